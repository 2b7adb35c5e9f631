"""``sagemaker invoke`` of endpoints whose requests have to name what answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from algoshelf.registry.aws import removal
from botocore.client import BaseClient

from tests.registry.aws.conftest import check_request
from tests.registry.aws.endpoints.conftest import MODEL, OWN, Run, deployed

TO_ZERO = ("--autoscale", "0:2:100")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The parameters of each request to an endpoint."""
    found: list[dict[str, Any]] = []
    call = BaseClient._make_api_call

    def noted(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        if operation == "InvokeEndpoint":
            check_request(operation, {**parameters, "Body": ""}, "sagemaker-runtime")
            found.append(parameters)
        return call(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", noted)
    return found


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("1,2\n")
    return path


def test_a_component_is_named_to_aws(
    run: Run, aws: Any, asked: list[dict[str, Any]], rows: Path
) -> None:
    deployed(run, *TO_ZERO)
    result = run("invoke", "demo", rows)
    assert result.code == 0, result.err
    assert asked[0]["InferenceComponentName"] == "demo"
    assert asked[0]["Body"] == b"1,2\n"
    assert "TargetVariant" not in asked[0]


def test_of_several_components_one_has_to_be_chosen(
    run: Run, aws: Any, asked: list[dict[str, Any]], rows: Path
) -> None:
    result = run("deploy", MODEL, MODEL, "--name", "demo", *OWN, *TO_ZERO)
    assert result.code == 0, result.err
    refused = run("invoke", "demo", rows)
    assert refused.code == 2
    assert "--variant: demo holds the components demo-one-1, demo-one-2" in refused.err
    for variant in ("demo-one-2", "one-2"):
        assert run("invoke", "demo", rows, "--variant", variant).code == 0
        assert asked[-1]["InferenceComponentName"] == "demo-one-2"


def test_a_multi_model_endpoint_says_that_a_model_has_to_be_named(
    run: Run, aws: Any, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed(run)
    model = removal.model

    def held(account: Any, name: str) -> Any:
        found = model(account, name)
        assert found is not None
        container = {**found["PrimaryContainer"], "Mode": "MultiModel", "ModelDataUrl": "s3://m/a/"}
        return {**found, "PrimaryContainer": container}

    monkeypatch.setattr(removal, "model", held)
    assert "holds several models: give --target-model" in run("invoke", "demo", rows).err
