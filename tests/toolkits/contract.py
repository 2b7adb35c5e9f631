"""/opt/ml as SageMaker lays it out before a job, and what it takes from there afterwards."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path
from typing import Any, Mapping, Sequence

from algoshelf.registry.aws.training import script_mode

from tests.toolkits.containers import Container, Host

TOOLKIT = {
    "SAGEMAKER_TRAINING_MODULE": "sagemaker_mxnet_container.training:main",
    "TRAINING_JOB_NAME": "job",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
# Where a job without network finds its code.
SOURCE = "/opt/ml/input/data/code/sourcedir.tar.gz"


def lay_out(
    ml: Path,
    channels: Mapping[str, Path],
    hyperparameters: Mapping[str, str],
    *,
    host: Host | None = None,
    hosts: Sequence[Host] = (),
) -> None:
    """The configuration and the channels of a training job."""
    config, data = ml / "input" / "config", ml / "input" / "data"
    config.mkdir(parents=True)
    for name, path in channels.items():
        (data / name).mkdir(parents=True)
        if path.is_dir():
            shutil.copytree(path, data / name, dirs_exist_ok=True)
        else:
            shutil.copy(path, data / name)
    names = [each.name for each in hosts] or ["algo-1"]
    one = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated"}
    one["RecordWrapperType"] = "None"
    for file, content in {
        "hyperparameters": dict(hyperparameters),
        "inputdataconfig": dict.fromkeys(channels, one),
        "resourceconfig": {
            "current_host": host.name if host else "algo-1",
            "hosts": names,
            "network_interface_name": "eth0" if host else "lo",
        },
    }.items():
        (config / f"{file}.json").write_text(json.dumps(content))


def toolkit_job(
    ml: Path,
    image: Path,
    source: Path,
    channels: Mapping[str, Path],
    hyperparameters: Mapping[str, Any],
    *,
    host: Host | None = None,
    hosts: Sequence[Host] = (),
) -> Container:
    """AWS's ``train`` on the folder ``source`` that ``package --as script`` wrote."""
    encoded = script_mode(hyperparameters, "job", "us-east-1", SOURCE, max(1, len(hosts)))
    archive = ml.parent / "code" / "sourcedir.tar.gz"
    archive.parent.mkdir(exist_ok=True)
    pack(source, archive)
    lay_out(ml, {**channels, "code": archive}, encoded, host=host, hosts=hosts)
    return Container(["train"], ml, image, TOOLKIT, host=host, hosts=hosts)


def pack(folder: Path, archive: Path) -> Path:
    """``folder`` as SageMaker packs /opt/ml/model, and the SDK a source_dir."""
    with tarfile.open(archive, "w:gz") as members:
        for path in sorted(folder.iterdir()):
            members.add(path, path.name)
    return archive


def unpack(archive: Path, folder: Path) -> Path:
    with tarfile.open(archive) as members:
        members.extractall(folder)
    return folder


def failure(ml: Path) -> str:
    """What SageMaker shows as the reason of a failure."""
    return (ml / "output" / "failure").read_text()[:1024]
