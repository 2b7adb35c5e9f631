"""What can be deployed: a model folder, an archive in S3, or a training job; found and uploaded."""

from __future__ import annotations

import logging
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Mapping

from ...core.artifact.folder import Artifact
from ...core.artifact.metadata import MAX_METADATA_BYTES, METADATA, ONNX, PARAMETERS, SYMBOL
from ...core.runtime.archives import Bounds, unpack
from ...core.runtime.errors import ArtifactError, DataError, InputError
from ..discovery import Entry, catalog, opened
from ..packaging import answering, kinds
from ..packaging.kinds import INFERENCE, MAX_MODEL_BYTES, MODEL_ARCHIVE
from ..packaging.requirements import WHEELS
from . import checks, data, images, removal, tags
from .account import NO_ACCOUNT, Account, AwsError, explained
from .names import is_name

UNKNOWN = "unknown"  # the algorithm of an archive that does not say
CODE = f"code/{INFERENCE}"
UPLOADS = "models"  # the kind of data under which they lie in S3
# The artifact's own files, and what each may have in bytes.
OWN = {
    METADATA: MAX_METADATA_BYTES,
    **dict.fromkeys((PARAMETERS, SYMBOL, ONNX), MAX_MODEL_BYTES),
}
BOUNDS = Bounds(contents=2 * MAX_MODEL_BYTES)
NO_BUCKET = "s3://BUCKET"  # where a job's model lies, in a dry run without credentials
AWS_TRAINING_IMAGE = "/mxnet-training:"
HANDLERS = {  # where AWS's MXNet image finds the code that answers
    "SAGEMAKER_PROGRAM": INFERENCE,
    "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code",
}


@dataclass(frozen=True)
class Source:
    """A model archive that an endpoint can answer with.

    ``image`` is "" where AWS's MXNet image serves it; ``role`` is that of its training job, or "".
    With a ``mode`` the ``uri`` is that of a folder of archives.
    ``package`` is the ARN of the registered model that it is, which has all else; or "".
    """

    algorithm: str
    uri: str
    image: str = ""
    role: str = ""
    mode: str = ""
    package: str = ""

    def container(self, region: str, instance: str) -> dict[str, Any]:
        """As CreateModel takes it, for ``instance``. Raises InputError where AWS has no image."""
        if self.package:
            return {"ModelPackageName": self.package}
        model = {"ModelDataUrl": self.uri, **({"Mode": self.mode} if self.mode else {})}
        if self.image:
            return {"Image": self.image, **model}
        return {
            "Image": images.image(region, instance, images.INFERENCE),
            **model,
            "Environment": {
                **HANDLERS,
                "SAGEMAKER_CONTAINER_LOG_LEVEL": str(logging.INFO),
                "SAGEMAKER_REGION": region,
            },
        }


@dataclass(frozen=True)
class FoundModel:
    """A model that was opened; ``archive`` is it as it can answer, if it is packed so."""

    account: Account
    entry: Entry
    artifact: Artifact
    archive: Path | None
    uri: str
    own_image: bool = False  # which has the code that answers

    def uploaded(self, offline: bool = False) -> str:
        """The URI of its model.tar.gz with code; uploaded unless those bytes are there.

        ``offline`` adds the wheels where the code is packed here. Raises AwsError, InputError,
        OutputError, PluginError.
        """
        if self.archive is not None:
            return self.uri or data.upload(self.account, self.archive, UPLOADS)
        with tempfile.TemporaryDirectory(prefix="algoshelf-") as scratch:
            target = Path(scratch, "packed")
            if self.own_image:
                answering.bare(self.artifact, target)
                return data.upload(self.account, target / MODEL_ARCHIVE, UPLOADS)
            kinds.model(self.entry, self.artifact, target, offline=offline)
            return data.upload(self.account, target / MODEL_ARCHIVE, UPLOADS)


def checked(account: Account, what: str, image: str = "") -> Source:
    """The model ``what`` without a ``uri``: it is there, and nothing was uploaded.

    Its ``algorithm`` may be the name of its file or job instead. ``image`` as of ``found``, and
    raises as that does.
    """
    if data.is_uri(what):
        _check_uri(account, what)
        return Source(what.rsplit("/", 2)[-2], "", image)
    if not is_local(what):
        job = completed_job(account, what)
        _check_uri(account, job["ModelArtifacts"]["S3ModelArtifacts"])
        return Source(what, "", image or _own_image(job), role=job["RoleArn"])
    with _artifact(Path(what)) as (folder, _):
        return Source(opened(folder)[1].name, "", image)


def found(account: Account, what: str, image: str = "", *, offline: bool = False) -> Source:
    """The model ``what``, uploaded where it lies here, with its code where AWS's image needs it.

    ``image`` is the URI of an image of one's own, which brings the code; that of the training job
    where it had one. ``offline`` adds the wheels. Raises as ``model`` does, and OutputError.
    """
    role, uri, algorithm = "", what, UNKNOWN
    if not data.is_uri(what) and not is_local(what):
        job = completed_job(account, what)
        role, uri = job["RoleArn"], job["ModelArtifacts"]["S3ModelArtifacts"]
        algorithm = tags.of(account, job["TrainingJobArn"]).get(tags.ALGORITHM, UNKNOWN)
        image = image or _own_image(job)
    if data.is_uri(uri) and (image or account.is_unsigned):
        _check_uri(account, uri)
        return Source(algorithm, uri, image, role)
    with model(account, uri, own_image=bool(image), isolated=offline) as it:
        return Source(it.entry.algorithm.name, it.uploaded(offline), image, role)


@contextmanager
def model(
    account: Account, what: str | Path, *, own_image: bool = False, isolated: bool = False
) -> Iterator[FoundModel]:
    """Open what ``what`` names: a folder that ``algoshelf train`` wrote, a model.tar.gz here or in
    S3, or a training job that has completed. An ``own_image`` answers without code in the archive;
    an ``isolated`` container only with code that has its wheels.

    Raises ArtifactError, AwsError, DataError, InputError, PluginError, UnknownNameError.
    """
    place = str(what)
    if not data.is_uri(place) and not is_local(place):
        place = str(completed_job(account, place)["ModelArtifacts"]["S3ModelArtifacts"])
    with tempfile.TemporaryDirectory(prefix="algoshelf-") as scratch:
        path, uri = Path(place), ""
        if data.is_uri(place):
            _check_uri(account, place)
            if account.is_unsigned:
                raise InputError(
                    f"{what}: its model is in S3, where a dry run without credentials cannot look: "
                    "give the model's folder here, or sign in, as with `aws configure`"
                )
            path, uri = Path(scratch, MODEL_ARCHIVE), place
            data.download(account, uri, path, MAX_MODEL_BYTES)
        with _artifact(path, place, isolated) as (folder, has_code):
            artifact, algorithm = opened(folder)
            algorithm.check(artifact)
            entry = catalog().get(algorithm.name)
            packed = path.is_file() and (has_code or own_image)
            yield FoundModel(account, entry, artifact, path if packed else None, uri, own_image)


def is_local(what: str) -> bool:
    """Whether it is, or was meant as, a file or folder here."""
    return Path(what).exists() or "/" in what


def _check_uri(account: Account, uri: str) -> None:
    if not uri.endswith(".tar.gz"):
        raise InputError(f"{uri}: a model in S3 is one archive, whose name ends in .tar.gz")
    data.check_uri(account, uri)


@contextmanager
def _artifact(path: Path, label: str = "", isolated: bool = False) -> Iterator[tuple[Path, bool]]:
    """The folder of the artifact at ``path``, which may be an archive, and whether it has code,
    with its wheels if ``isolated``.
    """
    if not path.is_file():
        yield path, False
        return
    label = label or str(path)
    with tempfile.TemporaryDirectory(prefix="algoshelf-") as scratch:
        try:
            names = set(unpack(path, Path(scratch), lambda name: OWN.get(name, 0), BOUNDS, label))
        except DataError as error:
            raise ArtifactError(f"{error}; expected a model.tar.gz") from None
        if METADATA not in names:
            raise ArtifactError(
                f"{label}: holds no {METADATA}, so it is no model of algoshelf's: give the --image "
                "that answers with it"
            )
        has_wheels = any(name.startswith(f"code/{WHEELS}/") for name in names)
        yield Path(scratch), CODE in names and (has_wheels or not isolated)


def _own_image(job: Mapping[str, Any]) -> str:
    """The image that a training job ran in; "" where that was AWS's."""
    image = str(job["AlgorithmSpecification"].get("TrainingImage", ""))
    return "" if AWS_TRAINING_IMAGE in image else image


def completed_job(account: Account, name: str) -> dict[str, Any]:
    """The training job ``name``. Raises InputError where it has no model."""
    if not is_name(name):
        raise InputError(f"{name}: is no folder here, and no name of a training job")
    if account.is_unsigned:
        arn = f"arn:aws:sagemaker:{account.region}:{NO_ACCOUNT}:training-job/{name}"
        return {
            "TrainingJobArn": arn,
            "TrainingJobStatus": "Completed",
            "RoleArn": checks.NO_ROLE,
            "AlgorithmSpecification": {"TrainingImage": AWS_TRAINING_IMAGE},
            "ModelArtifacts": {"S3ModelArtifacts": f"{NO_BUCKET}/{name}/output/{MODEL_ARCHIVE}"},
        }
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
