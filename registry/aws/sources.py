"""What may be deployed: a model's folder, an archive in S3, a training job; found, and uploaded."""

from __future__ import annotations

import re
import shutil
import tarfile
import tempfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Iterator

from ...core.artifact import METADATA, MOST_METADATA_BYTES, PARAMETERS, SYMBOL
from ...core.errors import ArtifactError, InputError
from ..discovery import catalog, opened
from ..packaging import kinds
from ..packaging.kinds import INFERENCE, MODEL_ARCHIVE, MOST_MODEL_BYTES
from . import data, removal, tags
from .account import Account, AwsError, explained

UNKNOWN = "unknown"  # the algorithm of an archive that does not say
CODE = f"code/{INFERENCE}"
UPLOADS = "models"  # the kind of data under which they lie in S3
JOB_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
MOST_MEMBERS = 100_000
AWS_TRAINING_IMAGE = "/mxnet-training:"
HANDLERS = {  # where AWS's MXNet image finds the code that answers
    "SAGEMAKER_PROGRAM": INFERENCE,
    "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
}


@dataclass(frozen=True)
class Source:
    """A model archive that an endpoint can answer with.

    ``image`` is "" where AWS's MXNet image serves it; ``role`` is that of its training job, or "".
    """

    algorithm: str
    uri: str
    image: str = ""
    role: str = ""


def checked(account: Account, what: str) -> Source:
    """The model ``what`` without a ``uri``: it is there, and nothing was uploaded.

    Its ``algorithm`` may be the name of its file or job instead. Raises as ``found`` does.
    """
    if data.is_uri(what):
        _check_uri(account, what)
        return Source(what.rsplit("/", 2)[-2], "")
    if not _is_local(what):
        return Source(what, "", role=_job(account, what)["RoleArn"])
    with _artifact(Path(what)) as (folder, _):
        return Source(opened(folder)[1].name, "")


def found(account: Account, what: str, image: str = "", *, offline: bool = False) -> Source:
    """The model ``what``, uploaded where it lies here, with its code where AWS's image needs it.

    ``image`` is the URI of an image of one's own, which brings the code; ``offline`` adds the
    wheels. Raises ArtifactError, AwsError, DataError, InputError, OutputError, PluginError and
    UnknownNameError.
    """
    if data.is_uri(what):
        return _in_s3(account, what, image, offline)
    if not _is_local(what):
        return _trained(account, what, image, offline)
    with _artifact(Path(what)) as (folder, has_code):
        if has_code:
            uri = data.upload(account, Path(what), UPLOADS)
            return Source(opened(folder)[1].name, uri, image)
        return _packed(account, folder, image, offline)


def _is_local(what: str) -> bool:
    """Whether it is, or was meant as, a file or folder here."""
    return Path(what).exists() or "/" in what


def _packed(account: Account, folder: Path, image: str, offline: bool) -> Source:
    """The artifact in ``folder``, packed with the code that answers, and uploaded."""
    artifact, algorithm = opened(folder)
    with tempfile.TemporaryDirectory(prefix="algoshelf-") as scratch:
        target = Path(scratch, "packed")
        kinds.model(catalog().get(algorithm.name), artifact, target, offline=offline)
        return Source(algorithm.name, data.upload(account, target / MODEL_ARCHIVE, UPLOADS), image)


def _in_s3(account: Account, uri: str, image: str, offline: bool) -> Source:
    """An archive in S3: as it is where it holds code or an image brings it, else with the code."""
    _check_uri(account, uri)
    if image:
        return Source(UNKNOWN, uri, image)
    with tempfile.TemporaryDirectory(prefix="algoshelf-") as scratch:
        archive = Path(scratch, MODEL_ARCHIVE)
        data.download(account, uri, archive, MOST_MODEL_BYTES)
        with _artifact(archive, uri) as (folder, has_code):
            if has_code:
                return Source(opened(folder)[1].name, uri)
            return _packed(account, folder, "", offline)


def _check_uri(account: Account, uri: str) -> None:
    if not uri.endswith(".tar.gz"):
        raise InputError(f"{uri}: a model in S3 is one archive, whose name ends in .tar.gz")
    data.check_uri(account, uri)


@contextmanager
def _artifact(path: Path, label: str = "") -> Iterator[tuple[Path, bool]]:
    """The folder of the artifact at ``path``, which may be an archive, and whether it has code."""
    if not path.is_file():
        yield path, False
        return
    label = label or str(path)
    with tempfile.TemporaryDirectory(prefix="algoshelf-") as scratch:
        try:
            names = set(_unpacked(path, Path(scratch), label))
        except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
            raise ArtifactError(f"{label}: is no archive of a model: {error}") from None
        if METADATA not in names:
            raise ArtifactError(
                f"{label}: holds no {METADATA}, so it is no model of algoshelf's: give the --image "
                "that answers with it"
            )
        yield Path(scratch), CODE in names


def _unpacked(archive: Path, target: Path, label: str) -> Iterator[str]:
    """Write an artifact's own files to ``target``; yield the names of all. Sizes are bounded."""
    bounds = {METADATA: MOST_METADATA_BYTES, PARAMETERS: MOST_MODEL_BYTES, SYMBOL: MOST_MODEL_BYTES}
    total = 0
    with tarfile.open(archive, "r:gz") as members:
        for count, member in enumerate(members):
            name = member.name[2:] if member.name.startswith("./") else member.name
            total += member.size
            if count >= MOST_MEMBERS or total > 2 * MOST_MODEL_BYTES:
                raise ArtifactError(f"{label}: holds too much to be a model")
            content = members.extractfile(member) if member.isreg() and name in bounds else None
            if content is not None:
                if member.size > bounds[name]:
                    raise ArtifactError(f"{label}: its {name} has {member.size:,} bytes")
                with content, (target / name).open("wb") as stream:
                    shutil.copyfileobj(content, stream)
            yield name


def _trained(account: Account, name: str, image: str, offline: bool) -> Source:
    """What the training job ``name`` left, served by the job's own image where it has one."""
    job = _job(account, name)
    trained_in = job["AlgorithmSpecification"].get("TrainingImage", "")
    if not image and AWS_TRAINING_IMAGE not in trained_in:
        image = trained_in
    source = _in_s3(account, job["ModelArtifacts"]["S3ModelArtifacts"], image, offline)
    algorithm = source.algorithm
    if algorithm == UNKNOWN:
        labels = removal.tagged(account, job["TrainingJobArn"])
        algorithm = labels.get(tags.ALGORITHM, UNKNOWN)
    return replace(source, algorithm=algorithm, role=job["RoleArn"])


def _job(account: Account, name: str) -> dict[str, Any]:
    """The training job ``name``. Raises InputError where it has no model."""
    if not JOB_NAME.fullmatch(name):
        raise InputError(f"{name}: is no folder here, and no name of a training job")
    try:
        with explained():
            job = account.client("sagemaker").describe_training_job(TrainingJobName=name)
    except AwsError as error:
        if not removal.is_absent(error):
            raise
        raise InputError(
            f"{name}: is no folder here, and no training job in {account.region}"
        ) from None
    if job["TrainingJobStatus"] != "Completed":
        reason = job.get("FailureReason") or "it has left no model"
        raise InputError(f"{name}: the training job is {job['TrainingJobStatus']}: {reason}")
    return dict(job)
