"""Batch transform jobs: a model answers each record of what lies in S3."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Iterator

from ...core import payload
from ...core.data.walking import walk
from ...core.runtime.errors import InputError, PayloadError
from ...core.transform.job import usual_split
from ...core.transform.reader import LINE, NONE, RECORDIO
from . import checks, data, jobs, names, predictor, prices, removal, sdk, sources, tags
from .account import Account, explained
from .instances import TRANSFORM
from .prices import Price
from .rollback import Report

MAX_PAYLOAD = 100 * 2**20  # bytes of a request of a transform job
SPLITS = {LINE: "Line", RECORDIO: "RecordIO", NONE: None}


@dataclass(frozen=True)
class TransformRequest:
    """What is asked for; "" or None where it is left open. ``max_payload`` is in bytes."""

    model: str
    source: str
    instance: str
    hosts: int = 1
    role: str | None = None
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
    session: Any
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
        made = predictor.model(
            self.found,
            role=self.role,
            image_uri=asked.image,
            name=names.named(algorithm.name),
            session=self.session,
        )
        local = not data.is_uri(asked.source)
        uri = data.upload(account, Path(asked.source), "data") if local else asked.source
        split = asked.split_type or usual_split(self.content_type)
        with jobs.starting(account, self.name, jobs.TRANSFORM, report) as rollback, explained():
            rollback.creating(
                f"model {made.name}",
                partial(removal.remove_model, account, made.name),
                f"aws sagemaker delete-model --model-name {made.name}",
                arn=partial(removal.model_arn, account, made.name),
            )
            transformer = made.transformer(
                asked.hosts,
                asked.instance,
                strategy="MultiRecord" if split != NONE else "SingleRecord",
                assemble_with="Line" if split == LINE else None,
                output_path=f"{asked.output or data.root(account)}/transforms/{self.name}",
                accept=self.accept,
                max_payload=-(-asked.max_payload // 2**20),
                tags=tags.tags(algorithm.name, account.run),
            )
            transformer.transform(
                uri,
                content_type=self.content_type,
                split_type=SPLITS[split],
                join_source="Input" if asked.join_source else None,
                job_name=self.name,
                wait=False,
                logs=False,
            )
        return str(made.name)


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
    with sources.model(account, request.model) as found:
        algorithm = found.entry.algorithm
        payload.check_content_type(kind, algorithm.accepted_media_types())
        usual = (
            payload.JSONLINES if payload.JSONLINES in algorithm.response_media_types() else "*/*"
        )
        accept = payload.negotiate(request.accept or usual, algorithm.response_media_types())
        session = sdk.Session(account)
        role = sdk.execution_role(session, request.role)
        checks.quota(account, request.instance, TRANSFORM, request.hosts)
        name = request.name or sdk.job_name(algorithm.name)
        jobs.check_free(account, name, jobs.TRANSFORM)
        yield PreparedTransform(account, request, found, session, role, name, kind, accept)


def _content_type(source: str) -> str:
    """By the name of the file, or of the first in the folder."""
    path = Path(source)
    if path.is_dir():
        path = next(iter(walk(path).files.values()), path)
    try:
        return payload.content_type_of(path)
    except PayloadError as error:
        raise InputError(f"{error}") from None
