"""docs/updating.md at AWS: its commands on moto; traffic moves, and a bad model is rolled back."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any, Callable

import boto3
import pytest
from algoshelf.core.data import capture
from algoshelf.registry.cli import main

from tests.project.test_docs import blocks
from tests.registry.aws.conftest import ACCOUNT
from tests.registry.aws.endpoints.conftest import Run, _update_endpoint, left
from tests.registry.aws.endpoints.test_endpoints import ERRORS, _measure
from tests.support_updating import DOCUMENT, texts_of

pytestmark = pytest.mark.long
BUCKET = "reviews-of-the-test"
PREFIX = "captured/reviews/old/2026/01/31/12"


def commands() -> list[tuple[list[str], str]]:
    """The commands of the page for AWS, each with its remark."""
    found = []
    for block in blocks(DOCUMENT, "bash"):
        for line in block.splitlines():
            command, _, remark = line.replace("BUCKET", BUCKET).partition("  # ")
            name, *arguments = shlex.split(command)
            assert name == "algoshelf"
            found.append((arguments, remark))
    return found


def put_capture(texts: list[str]) -> None:
    """What SageMaker's data capture leaves of requests: two files of an hour."""
    lines = [
        capture.written(
            json.dumps({"instances": [text]}).encode(), "application/json",
            b'{"predictions":[]}', "application/json",
        )
        for text in texts
    ]  # fmt: skip
    client = boto3.client("s3")
    for number, part in enumerate((lines[::2], lines[1::2])):
        client.put_object(Bucket=BUCKET, Key=f"{PREFIX}/{number}.jsonl", Body=b"".join(part))


@pytest.fixture
def here(updated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the story, with a model that is as bad as one can be."""
    for each in updated.iterdir():
        (tmp_path / each.name).symlink_to(each)
    (tmp_path / "models").unlink()
    shutil.copytree(updated / "models", tmp_path / "models")
    shutil.copytree(tmp_path / "models" / "new", tmp_path / "models" / "bad")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_for_aws(
    run: Run,
    aws: Any,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from moto.sagemaker.responses import SageMakerResponse

    boto3.client("s3").create_bucket(Bucket=BUCKET)
    monkeypatch.setenv("ALGOSHELF_ROLE", f"arn:aws:iam::{ACCOUNT}:role/sagemaker")
    put_capture([text for text, _ in texts_of(here / "gadgets-test.tsv")])
    (deploy, _), drift, (update, _), calm, (bad, remark) = commands()
    assert remark == "rolled back"

    result = run(*deploy[1:])
    assert result.code == 0, result.err
    [configuration] = aws.endpoint_configs.values()
    assert configuration.data_capture_config["DestinationS3Uri"] == f"s3://{BUCKET}/captured"

    def drifts(arguments: list[str]) -> int:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        return int(ended.value.code or 0)

    assert drift[1] == "exits with 3"
    assert drifts(drift[0]) == 3
    assert "Drift: " in capsys.readouterr().out

    before = set(left(aws))
    monkeypatch.setattr(SageMakerResponse, "update_endpoint", measuring([0.0] * 200))
    moved = run(*quick(update), "--json")
    assert moved.code == 0, moved.err
    assert [step["percent"] for step in moved.json["steps"]] == [10, 50, 100]
    between = set(left(aws))
    assert "reviews" in between
    assert before - between  # the old model is gone

    assert drifts(calm[0]) == 0, capsys.readouterr()
    monkeypatch.setattr(SageMakerResponse, "update_endpoint", measuring([1.0] * 20 + [0.0] * 80))
    back = run(*quick(bad), "--json")
    assert back.code == 1
    assert back.json["error"]["code"] == "rolled_back"
    assert "20 of 100 requests failed" in back.json["error"]["message"]
    assert set(left(aws)) == between


def quick(command: list[str]) -> list[str]:
    """An update as the page has it, whose steps last no ten minutes."""
    return ["1ms" if word == "10m" else word for word in command[1:]]


def measuring(values: list[float]) -> Callable[[Any], Any]:
    """UpdateEndpoint, after whose first call requests to the new variant are measured so."""
    begun: list[bool] = []

    def updating(self: Any) -> Any:
        if not begun:
            begun.append(True)
            backend = self.sagemaker_backend
            wanted = backend.describe_endpoint_config(self._get_param("EndpointConfigName"))
            held = {
                each["VariantName"]
                for each in backend.endpoints[self._get_param("EndpointName")].production_variants
            }
            names = {each["VariantName"] for each in wanted["ProductionVariants"]}
            for name in names - held:
                _measure(name, ERRORS, values, ahead=30, endpoint="reviews")
        return _update_endpoint(self)

    return updating


def test_pictures_of_a_manifest_are_put_to_s3(
    aws: Any, model: Path, digits: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import numpy as np

    boto3.client("s3").create_bucket(Bucket=BUCKET)
    np.save(tmp_path / "a.npy", digits[0])
    order = [
        "drift", str(model), "--baseline", str(tmp_path / "a.npy"), "--current",
        str(tmp_path / "a.npy"), "--manifest", str(tmp_path / "m"), "--most", "5",
    ]  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        main(order)
    assert ended.value.code == 2
    assert "--pictures s3://BUCKET/PREFIX" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main([*order, "--pictures", f"s3://{BUCKET}/faces"])
    assert not ended.value.code, capsys.readouterr().err
    client = boto3.client("s3")
    lines = [json.loads(line) for line in (tmp_path / "m").read_text().splitlines()]
    assert len(lines) == 5
    for line in lines:
        key = line["source-ref"][len(f"s3://{BUCKET}/") :]
        body = client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        assert body.startswith(b"\x89PNG")
        assert line["algoshelf"]["answer"] in "0123456789"


@pytest.mark.parametrize(
    ("place", "told"),
    [("s3://nobody/captured/", "no such bucket"), (f"s3://{BUCKET}/empty/", "nothing lies there")],
)
def test_a_place_in_s3_without_requests_is_said(
    aws: Any, iris_model: Path, place: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    with pytest.raises(SystemExit) as ended:
        main(["drift", str(iris_model), "--baseline", place, "--current", place])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err
