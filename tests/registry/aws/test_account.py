"""Whose credentials these are, and the role that jobs act in."""

from __future__ import annotations

from pathlib import Path

import pytest
from algoshelf.core.runtime.errors import InputError
from algoshelf.registry.aws import checks
from algoshelf.registry.aws.account import Account
from botocore.stub import Stubber

from tests.registry.aws.conftest import ACCOUNT, Aws, trusting


@pytest.fixture
def role(aws: Aws) -> str:
    return aws.role()


def test_a_dry_run_signs_in_as_ever(
    aws: Aws, role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "config"
    path.write_text(
        "[profile mine]\naws_access_key_id = a\naws_secret_access_key = b\n"
        f"[profile assumed]\nrole_arn = {role}\nsource_profile = mine\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    planned: list[str] = []
    account = Account(
        profile="assumed", planned=lambda service, operation, _: planned.append(operation)
    )
    account.client("sagemaker").delete_model(ModelName="any")
    assert "assumed-role/algoshelf" in account.identity["Arn"]
    assert planned == ["DeleteModel"]


def test_a_role_is_found_by_its_name_or_is_ones_own(
    aws: Aws, role: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    account = Account()
    assert checks.execution_role(account, "algoshelf") == role
    other = "arn:aws:iam::999999999999:role/theirs"
    assert checks.execution_role(account, other) == other
    assert "is of another account, and cannot be checked" in capsys.readouterr().err
    with pytest.raises(InputError, match="no name and no ARN"):
        checks.execution_role(account, "a role!")
    got = aws.client("sts").assume_role(RoleArn=role, RoleSessionName="me")["Credentials"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", got["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", got["SecretAccessKey"])
    monkeypatch.setenv("AWS_SESSION_TOKEN", got["SessionToken"])
    assert checks.execution_role(Account(), None) == role


def test_a_role_of_sagemakers_console_is_found_under_its_path(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its credentials do not name the path, and may not let it be looked at."""
    name = "AmazonSageMaker-ExecutionRole-1"
    policy = trusting("sagemaker.amazonaws.com")
    client = aws.client("iam")
    made = client.create_role(
        RoleName=name, AssumeRolePolicyDocument=policy, Path="/service-role/"
    )["Role"]["Arn"]
    account = Account()
    sts = f"arn:aws:sts::{ACCOUNT}:assumed-role/{name}/SageMaker"
    account.identity = {"Account": ACCOUNT, "Arn": sts}
    assert checks.execution_role(account, None) == made
    with Stubber(account.client("iam")) as stub:
        stub.add_client_error("get_role", "AccessDenied", http_status_code=403)
        assert checks.execution_role(account, None) == made


def test_a_role_that_may_not_be_looked_at_is_taken_as_it_is(
    aws: Aws, role: str, capsys: pytest.CaptureFixture[str]
) -> None:
    account = Account()
    with Stubber(account.client("iam")) as stub:
        stub.add_client_error("get_role", "AccessDenied", http_status_code=403)
        stub.add_client_error("get_role", "AccessDenied", http_status_code=403)
        assert checks.execution_role(account, "algoshelf") == role
        assert checks.execution_role(account, role) == role
    assert "iam:GetRole" in capsys.readouterr().err
