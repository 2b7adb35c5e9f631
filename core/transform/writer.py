"""The writer of a batch transform: a line per record (--join-source), a report of bad records."""

from __future__ import annotations

import json
from typing import Sequence, Tuple

from .. import payload
from ..runtime.errors import PluginError
from .job import Job
from .predictor import PartResult
from .reader import NONE, RECORDIO, Fault, Record

OUTPUT_KEY, INPUT_KEY = "SageMakerOutput", "SageMakerInput"
LINE_FEED = b"\n"

Faults = Sequence[Tuple[int, Fault]]
"""The numbers of bad records, and what is wrong with each."""


def output_of(answer: PartResult, algorithm: str) -> tuple[bytes, int, Faults]:
    """The output for a part's records, the number of rows predicted, and the bad records.

    Raises PluginError where ``algorithm`` does not answer a line a record.
    """
    request, rows = answer.request, answer.rows
    job, part, positions = request.job, request.part, request.positions
    body, count = answer.body, answer.examples
    if body is not None:
        if job.split == NONE:
            rows = [body]
        elif body.count(LINE_FEED) != count:
            raise PluginError(
                f"{algorithm} answers {body.count(LINE_FEED):,} lines of "
                f"{job.accept} for {count:,} {job.split}s: expected one each"
            )
        elif count == len(part.records) and not job.join:
            return body, count, []
        else:
            rows = list(body.split(b"\n")[:-1])
    outcomes: list[Record] = [b"" if not isinstance(r, Fault) else r for r in part.records]
    for position, outcome in zip(positions, rows or ()):
        outcomes[position] = outcome
        if job.join and not isinstance(outcome, Fault):
            outcomes[position] = _joined(job, part.records[position], outcome)
    faults = [
        (part.first + position, outcome)
        for position, outcome in enumerate(outcomes)
        if isinstance(outcome, Fault)
    ]
    lines = [_shown(job, each) if isinstance(each, Fault) else each for each in outcomes]
    bad = sum(isinstance(row, Fault) for row in rows or ())
    if job.split == NONE:
        return b"".join(lines), 0 if faults else count, faults
    return b"".join(line + b"\n" for line in lines), count - bad, faults


def error_report(job: Job, faults: Faults) -> bytes:
    """A line of JSON for each of ``faults``."""
    return b"".join(
        payload.encode_json(
            {
                "file": job.name,
                "line": None if job.split == NONE else number,
                "code": fault.kind.code,
                "reason": fault.reason,
            }
        )
        + b"\n"
        for number, fault in faults
    )


def place(job: Job, number: int) -> str:
    """Where record ``number`` stands, for people."""
    if job.split == NONE:
        return str(job.path)
    return f"{job.path}: {'record' if job.split == RECORDIO else 'line'} {number:,}"


def _shown(job: Job, fault: Fault) -> bytes:
    """What stands in the output for a bad record."""
    if job.accept not in (payload.JSON, payload.JSONLINES):
        return b""
    shown = {"error": {"code": fault.kind.code, "message": fault.reason}}
    return payload.encode_json(shown) + (b"\n" if job.split == NONE else b"")


def _joined(job: Job, record: Record, answer: bytes) -> bytes:
    """A record of the input with its answer, as SageMaker's JoinSource puts them together."""
    assert isinstance(record, bytes)
    record, answer = record.strip(b" \t\r\n"), answer.rstrip(b"\n")
    if job.content_type == payload.CSV:
        return record + b"," + answer
    key = payload.encode_json(OUTPUT_KEY)
    if not record.startswith(b"{"):
        return b'{"%s":%s,%s:%s}' % (INPUT_KEY.encode(), record, key, answer)
    if key in record:  # perhaps as a key, which the answer replaces
        joined = json.loads(record)
        joined[OUTPUT_KEY] = json.loads(answer)
        return payload.encode_json(joined)
    comma = b"" if record[1:-1].strip() == b"" else b","
    return record[:-1] + comma + key + b":" + answer + b"}"
