"""``--network-isolation``: what is asked for at AWS, run by AWS's toolkits without any network.

The requests are those that ``sagemaker train`` and ``deploy`` send to moto; what they upload there
is what the containers are given.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from algoshelf.algorithms.kmeans import IRIS

from tests.registry.aws.conftest import INSTANCE, Aws
from tests.toolkits.conftest import KMEANS, Shelf, differences
from tests.toolkits.containers import Container, alone, within
from tests.toolkits.contract import TOOLKIT, lay_out, pack, unpack
from tests.toolkits.serving import serving

TOLERANCE = 1e-5
GIVEN = ("--network-isolation", "--yes")


def fetched(aws: Aws, uri: str, folder: Path) -> Path:
    """What lies at ``uri``, in ``folder`` under its own name."""
    bucket, _, key = uri[len("s3://") :].partition("/")
    path = folder / key.rpartition("/")[2]
    folder.mkdir(parents=True, exist_ok=True)
    path.write_bytes(aws.client("s3").get_object(Bucket=bucket, Key=key)["Body"].read())
    return path


def test_a_job_and_its_endpoint_run_without_any_network(
    aws: Aws, shelf: Shelf, image: Path, java: None, long: None, tmp_path: Path
) -> None:
    aws.quotas["ml.m5.large for endpoint usage"] = 1.0
    role = aws.role()
    asked = ("--train", IRIS, "--k", 3, "--restarts", 2, "--instance", INSTANCE, "--no-wait")
    done = aws("train", "kmeans", *asked, *GIVEN, "--role", role, "--name", "alone")
    assert done.exit_code == 0, (done.exception, done.output)
    (request,) = aws.sent("CreateTrainingJob")
    assert request["EnableNetworkIsolation"] is True
    channels: dict[str, Any] = {
        each["ChannelName"]: fetched(
            aws, each["DataSource"]["S3DataSource"]["S3Uri"], tmp_path / each["ChannelName"]
        )
        for each in request["InputDataConfig"]
    }
    assert channels["code"].name == "sourcedir.tar.gz"
    ml = tmp_path / "job" / "ml"
    ml.mkdir(parents=True)
    lay_out(ml, channels, request["HyperParameters"])
    with alone() as host:
        with pytest.raises(OSError, match="unreachable"):
            within(host, _reach_out)
        with Container(["train"], ml, image, TOOLKIT, host=host) as job:
            assert job.wait() == 0, job.log
        assert not (ml / "output" / "failure").exists()
        archive = pack(ml / "model", tmp_path / "model.tar.gz")
        made = unpack(archive, tmp_path / "made")
        done = aws("deploy", made, "--name", "alone", *GIVEN, "--role", role)
        assert done.exit_code == 0, (done.exception, done.output)
        (model,) = aws.sent("CreateModel")
        assert model["EnableNetworkIsolation"] is True
        uploaded = fetched(aws, model["PrimaryContainer"]["ModelDataUrl"], tmp_path / "uploaded")
        serve = tmp_path / "endpoint"
        unpack(uploaded, serve / "model")
        environment = {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"}
        with serving(serve, image, environment, host=host) as endpoint:
            status, answer = endpoint.ask(KMEANS.body.encode(), KMEANS.content_type)
            assert status == 200, (answer, endpoint.container.log)
    here = shelf.answer(made, KMEANS.body.encode(), KMEANS.content_type)
    assert differences(json.loads(answer), here) <= TOLERANCE
    shutil.rmtree(tmp_path / "endpoint")


def _reach_out() -> None:
    import socket

    socket.create_connection(("93.184.216.34", 80), timeout=2).close()
