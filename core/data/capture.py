"""Requests and answers as SageMaker's data capture keeps them: JSON lines, one a request.

Source: "Capture data from real-time endpoint" in the developer guide of SageMaker,
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

from __future__ import annotations

import base64
import binascii
import json
import uuid
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Iterator, Mapping, NamedTuple

from ..runtime.errors import DataError
from .files import absent, exists

SUFFIX = ".jsonl"
CAPTURED = "captureData"
FOLDERS = "%Y/%m/%d/%H"
# What the text of a body may be kept as, by its content type; any other is kept in base64.
ENCODINGS = {"text/csv": "CSV", "application/json": "JSON", "application/jsonlines": "JSON"}
# Of a body whose content type was not kept.
TYPES = {"CSV": "text/csv", "JSON": "application/json"}


class Event(NamedTuple):
    """A request that was answered: its ``body``, and how it is called by those who answered.

    ``inference_id`` is what the client called it, "" where it did not.
    """

    body: bytes
    content_type: str
    event_id: str
    inference_id: str
    place: str

    @property
    def ids(self) -> tuple[str, ...]:
        """By what labels may name it."""
        return tuple(filter(None, (self.event_id, self.inference_id)))


class Place(NamedTuple):
    """Where a line of a capture stands: ``offset`` and ``size`` in bytes."""

    path: Path
    number: int
    offset: int
    size: int


def written(
    request: bytes,
    request_type: str,
    answer: bytes,
    answer_type: str,
    inference_id: str = "",
    when: datetime | None = None,
) -> bytes:
    """The line of one request, ending in a line feed."""
    when = when or datetime.now(timezone.utc)
    metadata = {"eventId": str(uuid.uuid4()), "inferenceTime": when.strftime("%Y-%m-%dT%H:%M:%SZ")}
    if inference_id:
        metadata["inferenceId"] = inference_id
    record = {
        CAPTURED: {
            "endpointInput": _side("INPUT", request, request_type),
            "endpointOutput": _side("OUTPUT", answer, answer_type),
        },
        "eventMetadata": metadata,
        "eventVersion": "0",
    }
    return json.dumps(record, separators=(",", ":")).encode("ascii") + b"\n"


def _side(mode: str, body: bytes, content_type: str) -> dict[str, str]:
    kind = ENCODINGS.get(content_type.partition(";")[0].strip().lower(), "")
    try:
        text = body.decode("utf-8") if kind else ""
    except UnicodeDecodeError:
        kind = ""
    if not kind:
        kind, text = "BASE64", base64.b64encode(body).decode("ascii")
    return {"observedContentType": content_type, "mode": mode, "data": text, "encoding": kind}


def files(path: Path) -> list[Path]:
    """The files of a capture at ``path``, a file or a folder with folders, in order of names."""
    if not path.is_dir():
        return [path]
    found = (each for each in path.rglob(f"*{SUFFIX}") if each.is_file())
    return sorted(each for each in found if not each.name.startswith("."))


def is_capture(path: Path) -> bool:
    """Whether ``path`` holds captured requests: the first line of its first file says so."""
    if not exists(path):
        raise DataError(absent(path))
    for file in files(path)[:1]:
        with file.open("rb") as stream:
            head = stream.read(2**20).lstrip().split(b"\n", 1)[0]
        return head.startswith(b"{") and f'"{CAPTURED}"'.encode() in head
    return False


def places(path: Path) -> Iterator[Place]:
    """Where each captured request of ``path`` stands."""
    for file in files(path):
        with file.open("rb") as stream:
            offset = 0
            for number, line in enumerate(stream, 1):
                if line.strip():
                    yield Place(file, number, offset, len(line))
                offset += len(line)


def read(place: Place) -> Event:
    """The request at ``place``. Raises DataError where the line holds none."""
    with place.path.open("rb") as stream:
        stream.seek(place.offset)
        line = stream.read(place.size)
    where = f"{place.path}: line {place.number}"
    try:
        record = json.loads(line)
        metadata: Mapping[str, Any] = record.get("eventMetadata") or {}
        given = record[CAPTURED]["endpointInput"]
        body = _body(given["data"], str(given.get("encoding", "")).upper())
        kind = given.get("observedContentType") or TYPES.get(str(given.get("encoding")), "")
        ids = [str(metadata.get(name) or "") for name in ("eventId", "inferenceId")]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error):
        raise DataError(
            f"{where}: expected a request as SageMaker's data capture keeps it, "
            '{"captureData": {"endpointInput": {"data": …, "encoding": "CSV", "JSON" or "BASE64", '
            f'"observedContentType": …}}}}, …}}, got {line[:60].decode("utf-8", "replace")!r}'
        ) from None
    return Event(body, kind, ids[0], ids[1], where)


def _body(data: Any, encoding: str) -> bytes:
    if not isinstance(data, str):
        data = json.dumps(data)
    if encoding == "BASE64":
        return base64.b64decode(data, validate=True)
    return str(data).encode("utf-8")
