"""A trained model wherever it lies, a folder, an archive, S3 or a job: checked, uploaded."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from ...core.artifact import METADATA, PARAMETERS, SYMBOL, Artifact, Metadata
from ...core.errors import ArtifactError, InputError
from ..discovery import Entry, catalog, opened
from ..packaging import kinds
from . import data
from .account import Account, AwsError, explained

CODE = "code/"  # in a model.tar.gz, of what answers


@dataclass(frozen=True)
class FoundModel:
    """A model, here for as long as ``found`` says; ``archive`` is it with the code that answers."""

    account: Account
    entry: Entry
    artifact: Artifact
    archive: Path | None
    uri: str
    scratch: Path

    @property
    def metadata(self) -> Metadata:
        return self.artifact.metadata

    def uploaded(self, offline: bool = False) -> str:
        """The URI of its model.tar.gz with code; uploaded unless those bytes are there.

        ``offline`` adds the wheels where the code is packed here. Raises AwsError, InputError,
        PluginError.
        """
        if self.archive is None:
            folder = self.scratch / "packed"
            kinds.model(self.entry, self.artifact, folder, offline=offline)
            return data.upload(self.account, folder / kinds.MODEL_ARCHIVE, "models")
        return self.uri or data.upload(self.account, self.archive, "models")


@contextmanager
def found(account: Account, source: str | Path) -> Iterator[FoundModel]:
    """The model that ``source`` names: a folder that ``algoshelf train`` wrote, a model.tar.gz here
    or in S3, or a training job that has completed.

    Raises ArtifactError, AwsError, DataError, InputError, UnknownNameError.
    """
    uri = ""
    if data.is_uri(source):
        uri = str(source)
    elif not Path(source).exists() and "/" not in str(source):
        uri = _uri_of_job(account, str(source))
    with tempfile.TemporaryDirectory(prefix="algoshelf-") as scratch:
        folder = Path(source)
        archive = folder if not uri and folder.is_file() else None
        if uri:
            archive = Path(scratch, kinds.MODEL_ARCHIVE)
            data.download(account, uri, archive, kinds.MOST_MODEL_BYTES)
        if archive is not None:
            folder = Path(scratch, "model")
            folder.mkdir()
            if not _unpack(archive, folder, uri or str(archive)):
                archive = None
        artifact, algorithm = opened(folder)
        artifact.check()
        entry = catalog().get(algorithm.name)
        yield FoundModel(account, entry, artifact, archive, uri, Path(scratch))


def _uri_of_job(account: Account, job: str) -> str:
    """Where the training job left its model."""
    try:
        with explained():
            found = account.client("sagemaker").describe_training_job(TrainingJobName=job)
    except AwsError as error:
        if error.aws_code not in ("ValidationException", "ResourceNotFound"):
            raise
        raise InputError(
            f"{job}: neither a model folder or archive here, nor a training job in {account.region}"
        ) from None
    uri = found.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    if found["TrainingJobStatus"] != "Completed" or not uri:
        raise InputError(
            f"{job}: has no model yet: it is {found['TrainingJobStatus']}; see "
            f"`algoshelf sagemaker status {job}`"
        )
    return str(uri)


def _unpack(archive: Path, folder: Path, label: str) -> bool:
    """Write the model's own files of ``archive`` into ``folder``; whether it holds code too."""
    has_code, left = False, kinds.MOST_MODEL_BYTES
    try:
        with tarfile.open(archive) as members:
            for member in members:
                name = member.name[2:] if member.name.startswith("./") else member.name
                has_code = has_code or name == f"{CODE}{kinds.INFERENCE}"
                if name not in (METADATA, PARAMETERS, SYMBOL) or not member.isfile():
                    continue
                left -= member.size
                if left < 0:
                    raise ArtifactError(
                        f"{label}: holds a model of more than {kinds.MOST_MODEL_BYTES:,} bytes"
                    )
                content = members.extractfile(member)
                assert content is not None
                with content, Path(folder, name).open("wb") as target:
                    shutil.copyfileobj(content, target)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ArtifactError(f"{label}: is no archive of a model: {error}") from None
    if not Path(folder, METADATA).is_file():
        raise ArtifactError(f"{label}: holds no {METADATA}: it is no model of algoshelf's")
    return has_code
