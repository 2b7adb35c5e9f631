"""``algoshelf sagemaker setup | teardown`` in moto's account."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import Any

import pytest
from algoshelf.core.runtime.errors import AlgoshelfError
from algoshelf.registry.aws import rights
from algoshelf.registry.aws.setup import bucket as buckets
from botocore.exceptions import ClientError

from tests.registry.aws.conftest import (
    ACCOUNT,
    BUCKET,
    INSTANCE,
    PLACE,
    Aws,
    check_request,
    trusting,
)
from tests.registry.aws.test_jobs import TRAIN
from tests.registry.aws.test_policy import faults

ROLE = f"arn:aws:iam::{ACCOUNT}:role/algoshelf-execution"
POLICY = f"arn:aws:iam::{ACCOUNT}:policy/algoshelf"
SETUP = ("setup", "--yes")
TEARDOWN = ("teardown", "--yes")
IRELAND = f"sagemaker-eu-west-1-{ACCOUNT}"


def state(aws: Aws) -> dict[str, Any]:
    """All that the account has of what setup and teardown touch."""
    iam, s3 = aws.client("iam"), aws.client("s3")
    details = iam.get_account_authorization_details(
        Filter=["User", "Role", "Group", "LocalManagedPolicy"]
    )
    details.pop("ResponseMetadata")
    found = {"iam": details, "buckets": {}}
    for each in s3.list_buckets()["Buckets"]:
        name = each["Name"]
        keys = [found["Key"] for found in s3.list_objects_v2(Bucket=name).get("Contents", ())]
        found["buckets"][name] = (keys, settings(aws, name))
    return found


def settings(aws: Aws, name: str) -> dict[str, Any]:
    client = aws.client("s3")
    found = {each.name: each.read(client, name) for each in buckets.SETTINGS}
    try:
        found["tags"] = client.get_bucket_tagging(Bucket=name)["TagSet"]
    except ClientError:
        found["tags"] = []
    return found


def refusal(result: Any) -> str:
    assert isinstance(result.exception, AlgoshelfError), result.exception
    return str(result.exception)


def test_setup_makes_what_a_job_needs_and_teardown_leaves_the_account_as_it_was(aws: Aws) -> None:
    client = aws.client("iam")
    client.create_user(UserName="anna")
    client.create_group(GroupName="team")
    aws.client("s3").create_bucket(Bucket="of-somebody")
    before = state(aws)
    aws.requests.clear()
    made = aws(*SETUP, "--for", "user/anna", "--for", "group/team", "--json")
    assert made.exit_code == 0, made.exception
    for operation, service in (("CreateRole", "iam"), ("CreatePolicy", "iam")):
        check_request(operation, aws.sent(operation)[0], service)
    told = json.loads(made.stdout)
    assert (told["role"], told["policy"], told["bucket"]) == (ROLE, POLICY, BUCKET)
    role = client.get_role(RoleName="algoshelf-execution")["Role"]
    assert role["AssumeRolePolicyDocument"] == rights.trust(PLACE)
    inline = client.get_role_policy(RoleName=role["RoleName"], PolicyName=role["RoleName"])
    assert inline["PolicyDocument"] == rights.policy(rights.EXECUTION, PLACE)
    version = client.get_policy_version(PolicyArn=POLICY, VersionId="v1")["PolicyVersion"]
    assert version["Document"] == rights.policy(rights.USER, PLACE)
    assert client.list_attached_user_policies(UserName="anna")["AttachedPolicies"]
    found = settings(aws, BUCKET)
    assert found["private"] == dict.fromkeys(buckets.PRIVATE, True)
    assert found["encryption"]["SSEAlgorithm"] == "AES256"
    assert found["TLS"]["Statement"][0]["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert {rule["ID"] for rule in found["lifecycle"]} == {"algoshelf-uploads",
                                                           "algoshelf-checkpoints"}  # fmt: skip
    trained = aws(*TRAIN, "--yes", "--no-wait", "--name", "iris")  # without --role
    assert trained.exit_code == 0, trained.exception
    assert aws.sent("CreateTrainingJob")[0]["RoleArn"] == ROLE
    gone = aws(*TEARDOWN, "--delete-data")
    assert gone.exit_code == 0, gone.exception
    assert state(aws) == before


def test_what_is_there_is_left_as_it_is_and_what_differs_is_mended(aws: Aws) -> None:
    aws(*SETUP)
    before = state(aws)
    aws.requests.clear()
    again = aws(*SETUP)
    assert "Nothing is to be done" in again.stderr
    assert aws.changes() == []
    client = aws.client("iam")
    client.update_assume_role_policy(
        RoleName="algoshelf-execution",
        PolicyDocument=trusting("ec2.amazonaws.com"),
    )
    client.delete_role_policy(RoleName="algoshelf-execution", PolicyName="algoshelf-execution")
    old = rights.policy(rights.EXECUTION, PLACE)
    for _ in range(4):
        client.create_policy_version(
            PolicyArn=POLICY, PolicyDocument=json.dumps(old), SetAsDefault=True
        )
    aws.client("s3").delete_public_access_block(Bucket=BUCKET)
    other = {
        "ID": "mine",
        "Status": "Enabled",
        "Filter": {"Prefix": "x"},
        "Expiration": {"Days": 9},
    }
    aws.client("s3").put_bucket_lifecycle_configuration(
        Bucket=BUCKET, LifecycleConfiguration={"Rules": [other]}
    )
    mended = aws(*SETUP)
    assert mended.exit_code == 0, mended.exception
    after = state(aws)
    assert after["buckets"][BUCKET][1]["private"] == before["buckets"][BUCKET][1]["private"]
    rules = after["buckets"][BUCKET][1]["lifecycle"]
    assert [rule["ID"] for rule in rules] == ["mine", "algoshelf-uploads", "algoshelf-checkpoints"]
    assert after["iam"]["RoleDetailList"] == before["iam"]["RoleDetailList"]
    version = client.get_policy(PolicyArn=POLICY)["Policy"]["DefaultVersionId"]
    text = client.get_policy_version(PolicyArn=POLICY, VersionId=version)["PolicyVersion"]
    assert text["Document"] == rights.policy(rights.USER, PLACE)
    assert aws(*TEARDOWN).exit_code == 0
    assert state(aws) == {"iam": {**before["iam"], "RoleDetailList": [], "Policies": []},
                          "buckets": {}}  # fmt: skip


def interrupted(aws: Aws, command: tuple[str, ...]) -> int:
    """Run ``command`` again and again, each time cut off at its next change, by an error or by
    Ctrl-C, then whole; how often it was cut off.
    """
    for number in range(1, 60):
        sent: list[str] = []

        def cut(operation: str, left: int = number, sent: list[str] = sent) -> None:
            sent.append(operation)
            if len(sent) == left:
                raise CUTS[left % 2]

        aws.on_change = cut
        result = aws(*command)
        aws.on_change = None
        if len(sent) < number:
            assert result.exit_code == 0, result.exception
            return number - 1
        assert result.exit_code != 0
        assert "again" in f"{result.exception} {result.stderr}"
        whole = aws(*command)
        assert whole.exit_code == 0, whole.exception
        aws(*(TEARDOWN if command == SETUP else SETUP))
    raise AssertionError("never whole")


DENIED = ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "AnyRequest")


CUTS = (DENIED, KeyboardInterrupt())


def test_setup_that_is_cut_off_at_any_step_is_completed_by_the_next(aws: Aws) -> None:
    before = state(aws)
    aws(*SETUP)
    complete = untimed(state(aws))
    aws(*TEARDOWN)
    assert interrupted(aws, SETUP) >= 9
    assert untimed(state(aws)) == complete
    aws(*TEARDOWN)
    assert state(aws) == before


def test_teardown_that_is_cut_off_at_any_step_is_completed_by_the_next(aws: Aws) -> None:
    before = state(aws)
    aws(*SETUP)
    assert interrupted(aws, TEARDOWN) >= 4
    assert state(aws) == before


def untimed(found: Any) -> Any:
    """Without what each making has anew: times, identifiers, the run."""
    text = json.dumps(found, default=lambda value: "time")
    return json.loads(re.sub(r'"([0-9a-f]{16}|A[A-Z0-9]{15,20})"', '"new"', text))


def test_a_bucket_with_data_says_its_bytes_and_stays_unless_that_is_wanted(aws: Aws) -> None:
    aws(*SETUP)
    client = aws.client("s3")
    client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    for body in (b"x" * 1000, b"y" * 234):
        client.put_object(Bucket=BUCKET, Key="algoshelf/model.tar.gz", Body=body)
    client.delete_object(Bucket=BUCKET, Key="algoshelf/model.tar.gz")
    client.create_multipart_upload(Bucket=BUCKET, Key="algoshelf/part")
    kept = aws(*TEARDOWN)
    assert kept.exit_code == 0, kept.exception
    assert f"The bucket {BUCKET} holds 3 objects of 1,234 bytes: data" in kept.stderr
    assert "stays with its data" in kept.stderr
    assert list(state(aws)["buckets"]) == [BUCKET]
    assert state(aws)["iam"]["RoleDetailList"] == []
    gone = aws(*TEARDOWN, "--delete-data", "--json")  # which knows it by its tag
    assert gone.exit_code == 0, gone.exception
    assert json.loads(gone.stdout)["kept_bucket"] is None
    assert state(aws)["buckets"] == {}
    assert "Nothing is to be done" in aws(*TEARDOWN).stderr


def test_what_somebody_else_made_is_neither_changed_nor_removed(aws: Aws) -> None:
    client = aws.client("s3")
    client.create_bucket(Bucket=BUCKET)
    client.put_object(Bucket=BUCKET, Key="theirs", Body=b"x")
    before = state(aws)
    made = aws(*SETUP)
    assert made.exit_code == 0, made.exception
    assert "is used, and left as it is: setup did not make it. It lacks:" in made.stderr
    assert "it takes requests without TLS" in made.stderr
    assert state(aws)["buckets"] == before["buckets"]
    gone = aws(*TEARDOWN, "--delete-data")
    assert f"bucket {BUCKET}: is left as it is: setup did not make it" in gone.stderr
    assert state(aws) == before
    aws.role("algoshelf-execution")
    aws.client("iam").create_policy(
        PolicyName="algoshelf", PolicyDocument=json.dumps(rights.policy(rights.USER, PLACE))
    )
    before = state(aws)
    told = refusal(aws(*SETUP))
    assert "algoshelf-execution: there is a role of this name, which setup did not make" in told
    assert "aws iam tag-policy --policy-arn" in told
    assert aws(*TEARDOWN).exit_code == 0
    assert state(aws) == before


def test_a_role_that_another_region_uses_stays(aws: Aws) -> None:
    before = state(aws)
    aws(*SETUP)
    there = aws(*SETUP, "--region", "eu-west-1")
    assert there.exit_code == 0, there.exception
    assert set(state(aws)["buckets"]) == {BUCKET, IRELAND}
    first = aws(*TEARDOWN)
    assert "the role and the policies stay: eu-west-1 use" in first.stderr
    assert set(state(aws)["buckets"]) == {IRELAND}
    assert aws(*TEARDOWN, "--region", "eu-west-1").exit_code == 0
    assert state(aws) == before


def test_what_is_billed_has_to_end_before(aws: Aws) -> None:
    aws(*SETUP)
    aws(*TRAIN, "--yes", "--no-wait", "--name", "iris")
    aws.answers["ListTrainingJobs"] = _in_progress
    told = refusal(aws(*TEARDOWN))
    assert "training job iris: is billed, and acts in the role" in told
    assert "algoshelf sagemaker delete --all" in told
    assert list(state(aws)["buckets"]) == [BUCKET]


def _in_progress(answer: dict[str, Any]) -> None:
    arn = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/iris"
    if not answer["TrainingJobSummaries"]:
        now = datetime.now(timezone.utc)
        answer["TrainingJobSummaries"] = [
            {"TrainingJobName": "iris", "TrainingJobArn": arn, "CreationTime": now}
        ]


def test_a_dry_run_and_a_refusal_change_nothing(aws: Aws) -> None:
    before = state(aws)
    dry = aws("setup", "--dry-run")
    assert dry.exit_code == 0, dry.exception
    operations = [each["operation"] for each in json.loads(dry.stdout)["requests"]]
    assert operations[:2] == ["CreateRole", "PutRolePolicy"]
    assert {"CreateBucket", "PutBucketEncryption", "PutBucketPolicy"} <= set(operations)
    told = refusal(aws("setup"))
    assert "There is no terminal to ask on" in told
    told = refusal(aws(*SETUP, "--for", "user/nobody", "--for", "group/none"))
    assert "--for user/nobody: there is no such user" in told
    assert "--for group/none: there is no such group" in told
    assert "expected user/NAME, group/NAME or role/NAME" in aws(*SETUP, "--for", "anna").output
    assert state(aws) == before


def test_a_key_of_ones_own_encrypts_the_bucket(aws: Aws) -> None:
    key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    assert "expected arn:aws:kms" in aws(*SETUP, "--kms-key", "mine").output
    there = key.replace("us-east-1", "eu-west-1")
    assert "is of another region than the bucket" in refusal(aws(*SETUP, "--kms-key", there))
    assert aws(*SETUP, "--kms-key", key).exit_code == 0
    wanted = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    assert settings(aws, BUCKET)["encryption"] == wanted
    assert "Nothing is to be done" in aws(*SETUP).stderr  # nor is the key taken away again


def test_what_companies_give_needs_rights_of_its_own_which_go_again(aws: Aws) -> None:
    client = aws.client("iam")
    client.create_user(UserName="anna")
    before = state(aws)
    assert aws(*SETUP, "--company", "--for", "user/anna").exit_code == 0
    name = "algoshelf-company"
    inline = client.get_role_policy(RoleName="algoshelf-execution", PolicyName=name)
    assert inline["PolicyDocument"] == rights.policy(rights.COMPANY_ROLE, PLACE)
    has = client.list_attached_user_policies(UserName="anna")["AttachedPolicies"]
    assert {each["PolicyName"] for each in has} == {"algoshelf", name}
    assert "Nothing is to be done" in aws(*SETUP).stderr  # nor is it taken away
    template = json.loads(aws("setup", "--cloudformation", "--company").stdout)["Resources"]
    document = filled(template["CompanyPolicy"]["Properties"]["PolicyDocument"])
    assert document == rights.policy(rights.COMPANY, PLACE)
    assert aws(*TEARDOWN).exit_code == 0
    assert state(aws) == before


WITH_ALL = (
    *("--for", "user/anna", "--for", "role/dev"),
    *("--kms-key", f"arn:aws:kms:us-east-1:{ACCOUNT}:key/1"),
)


@pytest.mark.parametrize(("region", "options"), [("us-east-1", ()), ("cn-north-1", WITH_ALL)])
def test_the_template_is_one_of_cloudformation_and_asks_nothing_of_aws(
    aws: Aws, region: str, options: tuple[str, ...]
) -> None:
    printed = aws("setup", "--cloudformation", "--region", region, *options)
    assert printed.exit_code == 0, printed.exception
    assert aws.requests == []
    template = json.loads(printed.stdout)
    assert faults(template) == []
    assert ACCOUNT not in printed.stdout.replace(f"{ACCOUNT}:key", "")


def filled(value: Any) -> Any:
    """A part of a template as CloudFormation would make it here."""
    if isinstance(value, list):
        return [filled(each) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"Fn::Sub"}:
        known = {"Partition": "aws", "AccountId": ACCOUNT, "Region": "us-east-1"}
        text = re.sub(r"\$\{AWS::(\w+)\}", lambda found: known[found[1]], value["Fn::Sub"])
        return text.replace("${!", "${")
    return {name: filled(inner) for name, inner in value.items()}


def test_the_template_makes_what_setup_makes(aws: Aws) -> None:
    """moto's CloudFormation needs packages of API Gateway; so the template is read here."""
    aws(*SETUP)
    template = json.loads(aws("setup", "--cloudformation", "--for", "user/anna").stdout)
    made = {name: filled(each["Properties"]) for name, each in template["Resources"].items()}
    found = state(aws)
    (role,), (policy,) = found["iam"]["RoleDetailList"], found["iam"]["Policies"]
    ours, bucket = found["buckets"][BUCKET][1], made["Bucket"]
    assert made["ExecutionRole"]["RoleName"] == role["RoleName"]
    assert made["ExecutionRole"]["AssumeRolePolicyDocument"] == role["AssumeRolePolicyDocument"]
    assert made["ExecutionRole"]["Policies"] == role["RolePolicyList"]
    assert made["PeoplePolicy"]["ManagedPolicyName"] == "algoshelf"
    assert made["PeoplePolicy"]["PolicyDocument"] == policy["PolicyVersionList"][0]["Document"]
    assert made["PeoplePolicy"]["Users"] == ["anna"]
    assert (bucket["BucketName"], bucket["PublicAccessBlockConfiguration"]) == (
        BUCKET,
        ours["private"],
    )
    encryption = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"][0]
    assert encryption["ServerSideEncryptionByDefault"] == ours["encryption"]
    assert bucket["OwnershipControls"]["Rules"][0]["ObjectOwnership"] == ours["ownership"]
    assert [each["Id"] for each in bucket["LifecycleConfiguration"]["Rules"]] == [
        each["ID"] for each in ours["lifecycle"]
    ]
    assert made["BucketPolicy"]["PolicyDocument"]["Statement"] == ours["TLS"]["Statement"]


def test_what_a_stack_made_only_the_stack_changes(aws: Aws) -> None:
    aws(*SETUP)
    tag = {"Key": "aws:cloudformation:stack-name", "Value": "ours"}
    aws.client("iam").get_role(RoleName="algoshelf-execution")

    def of_a_stack(answer: dict[str, Any]) -> None:
        answer["Role"]["Tags"].append(tag)

    aws.answers["GetRole"] = of_a_stack
    before = state(aws)
    aws.requests.clear()
    assert "delete-stack --stack-name ours" in refusal(aws(*TEARDOWN))
    assert "setup --cloudformation prints the template" in refusal(aws(*SETUP))
    assert aws.changes() == []
    assert state(aws) == before


def test_a_policy_that_people_lack_is_said_with_who_may_help(aws: Aws) -> None:
    aws.quotas[f"{INSTANCE} for training job usage"] = 4.0

    def refuse(_: dict[str, Any]) -> None:
        raise DENIED

    aws.before["GetRole"] = lambda: refuse({})
    result = aws(*SETUP)
    assert "docs/sagemaker.md has the policy" in refusal(result)
