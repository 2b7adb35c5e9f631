"""``algoshelf sagemaker doctor`` in moto's account, with IAM's simulation, which moto lacks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from algoshelf.registry.aws import rights
from botocore.exceptions import NoCredentialsError
from moto.core.exceptions import AccessDeniedError
from moto.iam.responses import IamResponse
from moto.sts.responses import TokenResponse

from tests.registry.aws import iam
from tests.registry.aws.conftest import ACCOUNT, BUCKET, INSTANCE, PLACE, Aws, trusting

ROLE = "algoshelf-execution"
DOCTOR = ("doctor", "--instance", INSTANCE)


def told(aws: Aws, *words: object) -> dict[str, dict[str, str]]:
    """The checks by name; what a user reads is the same."""
    shown = aws(*(words or DOCTOR))
    result = aws(*(words or DOCTOR), "--json")
    document = json.loads(result.stdout)
    assert document["ok"] == (result.exit_code == 0) == (shown.exit_code == 0)
    checks: dict[str, dict[str, str]] = {each["name"]: each for each in document["checks"]}
    for each in checks.values():
        assert each["text"] in shown.stdout
        assert each["fix"] in shown.stdout
    assert aws.changes() == [name for name in aws.changes() if name.startswith("Simulate")]
    return checks


def test_an_account_that_was_set_up_is_well(
    aws: Aws,
) -> None:
    aws("setup", "--yes")
    aws.requests.clear()
    checks = told(aws)
    assert {each["status"] for each in checks.values()} == {"ok"}, checks
    names = ["credentials", "region", "role", "trust", "role's policy", "your rights", "bucket"]
    assert list(checks) == [*names, INSTANCE]
    assert checks["role"]["text"] == f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"
    assert "spot 4" in checks[INSTANCE]["text"]


def test_an_empty_account_is_told_what_makes_it_well(
    aws: Aws,
) -> None:
    aws.policies[f"user/{iam.USER}"] = []
    checks = told(aws)
    assert checks["role"]["status"] == "failed"
    assert checks["role"]["fix"] == "algoshelf sagemaker setup"
    assert checks["bucket"]["status"] == "warning"
    assert checks["your rights"]["status"] == "failed"
    assert "so these fail: benchmark, cost, delete, deploy" in checks["your rights"]["text"]
    assert checks["your rights"]["fix"].endswith(f"setup --for user/{iam.USER}")


def test_each_thing_that_is_lacking_is_named_with_its_cure(
    aws: Aws,
) -> None:
    aws("setup", "--yes")
    aws.requests.clear()
    lesser = json.loads(json.dumps(rights.policy(rights.USER, PLACE)))
    for statement in lesser["Statement"]:
        if statement["Sid"] == "CreateTaggedOnly":
            statement["Action"].remove("sagemaker:CreateTransformJob")
    aws.policies[f"user/{iam.USER}"] = [lesser]
    aws.policies[f"role/{ROLE}"] = []
    aws.quotas[f"{INSTANCE} for endpoint usage"] = 0.0
    client = aws.client("s3")
    client.delete_bucket_policy(Bucket=BUCKET)
    aws.client("iam").update_assume_role_policy(
        RoleName=ROLE, PolicyDocument=trusting("sagemaker.amazonaws.com")
    )
    aws.requests.clear()
    checks = told(aws)
    assert checks["trust"]["status"] == "warning"
    assert "confused deputy" in checks["trust"]["text"]
    assert checks["role's policy"]["status"] == "failed"
    assert "may not: cloudwatch:PutMetricData" in checks["role's policy"]["text"]
    text = checks["your rights"]["text"]
    assert text == "not allowed: sagemaker:CreateTransformJob; so these fail: transform"
    assert checks["bucket"]["text"] == f"{BUCKET}: it takes requests without TLS"
    assert checks["bucket"]["fix"] == "algoshelf sagemaker setup"
    assert "none for endpoint" in checks[INSTANCE]["text"]
    assert "request-service-quota-increase" in checks[INSTANCE]["fix"]
    aws.client("iam").update_assume_role_policy(
        RoleName=ROLE, PolicyDocument=trusting("ec2.amazonaws.com")
    )
    aws.requests.clear()
    assert told(aws)["trust"]["status"] == "failed"


def test_where_nobody_may_look_that_is_said(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    aws("setup", "--yes")
    aws.requests.clear()

    def refuse(_: Any) -> Any:
        raise AccessDeniedError("you", "this")

    monkeypatch.setattr(IamResponse, "simulate_principal_policy", refuse)
    checks = told(aws)
    assert checks["role's policy"]["status"] == "ok"  # by what it says
    assert checks["your rights"]["status"] == "unknown"
    monkeypatch.setattr(IamResponse, "get_role", refuse)
    aws.quotas.clear()
    checks = told(aws)
    assert checks["role"]["status"] == checks[INSTANCE]["status"] == "unknown"


def test_without_credentials_or_region_the_first_step_is_said(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TokenResponse, "get_caller_identity", lambda _: _raise())
    checks = told(aws)
    assert list(checks) == ["credentials"]
    assert checks["credentials"]["status"] == "failed"
    assert "aws configure" in checks["credentials"]["fix"]
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert told(aws)["region"]["fix"] == "export AWS_DEFAULT_REGION=REGION"
    assert told(aws, "doctor", "--region", "eu-west-1", "--profile", "nobody")["credentials"]
    assert "there are ml.m5.large" in str(aws("doctor", "--instance", "ml.m5.larg").exception)


def _raise() -> None:
    raise NoCredentialsError
