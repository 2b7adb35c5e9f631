"""Batch transform jobs: a model answers each record of what lies in S3."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

from ...core import payload
from ...core.data.walking import walk
from ...core.runtime.errors import InputError, PayloadError
from ...core.transform.job import usual_split
from ...core.transform.reader import LINE, NONE, RECORDIO
from . import checks, data, endpoints, jobs, names, prices, sources, tags
from .account import Account
from .instances import TRANSFORM
from .prices import Price
from .rollback import Report, Rollback
from .settings import Settings, with_wheels

MAX_PAYLOAD = 100 * 2**20  # bytes of a request of a transform job
NO_SETTINGS = Settings()
SPLITS = {LINE: "Line", RECORDIO: "RecordIO"}


@dataclass(frozen=True)
class TransformRequest:
    """What is asked for; "" or None where it is left open. ``max_payload`` is in bytes."""

    model: str
    source: str
    instance: str
    hosts: int = 1
    settings: Settings = NO_SETTINGS
    image: str | None = None
    output: str | None = None
    content_type: str | None = None
    accept: str | None = None
    split_type: str | None = None
    max_payload: int = 6 * 2**20
    join_source: bool = False
    name: str | None = None

    def check(self) -> None:
        """Raise InputError for what AWS would refuse."""
        checks.instance(self.instance, TRANSFORM)
        if self.output is not None:
            data.check_output(self.output)
        if self.name is not None and (fault := names.fault(self.name)):
            raise InputError(fault)
        if self.max_payload > MAX_PAYLOAD:
            raise InputError(
                f"--max-payload: AWS takes at most 100MB, got {self.max_payload:,} bytes"
            )


@dataclass(frozen=True)
class PreparedTransform:
    """A transform job of which all was checked, and nothing was uploaded or created."""

    account: Account
    request: TransformRequest
    found: sources.FoundModel
    role: str
    name: str
    content_type: str
    accept: str

    @property
    def price(self) -> Price | None:
        """Of an hour of one instance; None where it is unknown."""
        return prices.find(self.request.instance, TRANSFORM, self.account.region)

    def start(self, report: Report) -> str:
        """Upload model and input, and create the job; the name of the model that it uses.

        Raises AwsError; what was created is removed then.
        """
        account, asked, algorithm = self.account, self.request, self.found.entry.algorithm
        offline = asked.image is None and with_wheels(asked.settings, account, report)
        uri = self.found.uploaded(offline)
        source = sources.Source(algorithm.name, uri, asked.image or "")
        local = not data.is_uri(asked.source)
        uri = data.upload(account, Path(asked.source), "data") if local else asked.source
        labels = tags.tags(algorithm.name, account.run)
        with Rollback(account, report) as rollback:
            model = endpoints.create_model(
                account, rollback, algorithm.name, source, asked.instance, self.role, labels,
                **asked.settings.of_model(),
            )  # fmt: skip
            parameters = {"ModelName": model, "Tags": labels, **self._parameters(uri)}
            jobs.create(rollback, self.name, jobs.TRANSFORM, parameters)
        return model

    def _parameters(self, uri: str) -> dict[str, Any]:
        """Of CreateTransformJob, as far as they are what was asked for; the input is at ``uri``."""
        asked = self.request
        split = asked.split_type or usual_split(self.content_type)
        place = {"S3DataType": "S3Prefix", "S3Uri": uri}
        source: dict[str, Any] = {
            "DataSource": {"S3DataSource": place},
            "ContentType": self.content_type,
        }
        if split in SPLITS:
            source["SplitType"] = SPLITS[split]
        output = f"{asked.output or data.root(self.account)}/transforms/{self.name}"
        target = {"S3OutputPath": output, "Accept": self.accept, **asked.settings.of_output()}
        if split == LINE:
            target["AssembleWith"] = "Line"
        found = {
            "TransformInput": source,
            "TransformOutput": target,
            "TransformResources": {
                "InstanceType": asked.instance,
                "InstanceCount": asked.hosts,
                **asked.settings.of_disks("VolumeKmsKeyId"),
            },
            "BatchStrategy": "SingleRecord" if split == NONE else "MultiRecord",
            "MaxPayloadInMB": -(-asked.max_payload // 2**20),
        }
        if asked.join_source:
            found["DataProcessing"] = {"JoinSource": "Input"}
        return found


@contextmanager
def prepared(account: Account, request: TransformRequest) -> Iterator[PreparedTransform]:
    """Check all that can be checked; the model stays open within.

    Raises ArtifactError, AwsError, DataError, InputError, PayloadError, PluginError.
    """
    kind = request.content_type or _content_type(request.source)
    if data.is_uri(request.source):
        data.check_uri(account, request.source)
    else:
        checks.not_empty(Path(request.source))
    isolated = request.settings.network_isolation and request.image is None
    with sources.model(account, request.model, isolated=isolated) as found:
        algorithm = found.entry.algorithm
        payload.check_content_type(kind, algorithm.accepted_media_types())
        usual = (
            payload.JSONLINES if payload.JSONLINES in algorithm.response_media_types() else "*/*"
        )
        accept = payload.negotiate(request.accept or usual, algorithm.response_media_types())
        role = checks.execution_role(account, request.settings.role)
        checks.quota(account, request.instance, TRANSFORM, request.hosts)
        name = request.name or names.timed(algorithm.name)
        jobs.check_free(account, name, jobs.TRANSFORM)
        yield PreparedTransform(account, request, found, role, name, kind, accept)


def _content_type(source: str) -> str:
    """By the name of the file, or of the first in the folder."""
    path = Path(source)
    if path.is_dir():
        path = next(iter(walk(path).files.values()), path)
    try:
        return payload.content_type_of(path)
    except PayloadError as error:
        raise InputError(f"{error}") from None
