"""The answers of a model to the parts of files, in order.

A part of the input is read and decoded while the one before is predicted, so that memory holds a
few parts. A bad record is found by halving what does not decode.
"""

from __future__ import annotations

import queue
import re
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Generator, Iterator, NamedTuple, Sequence

from .. import payload
from ..algorithm.base import Algorithm
from ..inference.handlers import Handlers, decode
from ..inference.headings import placed
from ..runtime.errors import MalformedPayloadError, PayloadError, UnfitPayloadError
from ..runtime.types import Context
from .job import MULTI, Job
from .journal import Entry
from .reader import LINE, NONE, Fault, Lines, Part, Record, parts

_PLACE = re.compile(r"(?:line|example|record) 1(?:, |: )")


class Question(NamedTuple):
    """A part of a job, with the positions of the records that are to be asked.

    ``decoded`` is what ``input_fn`` made of all of them, None where it could not.
    """

    job: Job
    part: Part
    asked: Sequence[int]
    decoded: Any


class Answer(NamedTuple):
    """What a model said: one body for ``examples`` of them, or what became of each record.

    The body is made by the thread that predicts: a third busy thread on two cores made those of
    the model's operators wait for one another.
    """

    question: Question
    body: bytes | None
    examples: int
    rows: list[Record] | None


class Asker:
    """Models that answer parts in turn, one for each device and each with its own thread."""

    def __init__(self, algorithm: Algorithm[Any], model: Path, devices: Sequence[Context]) -> None:
        self.algorithm = algorithm
        self.folder = model
        self.count = len(devices)
        self.devices: queue.Queue[Context] = queue.Queue()
        for device in devices:
            self.devices.put(device)
        self.local = threading.local()

    def answers(self, starts: Sequence[tuple[Job, Entry]]) -> Generator[Answer, None, None]:
        """The answers to all parts from where each job stands, in order."""
        reader = ThreadPoolExecutor(1, "algoshelf-read")
        devices = ThreadPoolExecutor(self.count, "algoshelf-predict")
        questions = self._questions(starts)
        read: deque[Future[Question | None]] = deque()
        asked: deque[Future[Answer]] = deque()
        try:
            while True:
                while len(read) <= self.count:
                    read.append(reader.submit(next, questions, None))
                question = read.popleft().result()
                if question is None:
                    break
                asked.append(devices.submit(self._answer, question))
                if len(asked) > 2 * self.count:
                    yield asked.popleft().result()
            while asked:
                yield asked.popleft().result()
        finally:
            waiting: Sequence[Future[Any]] = (*read, *asked)
            for future in waiting:
                future.cancel()
            reader.shutdown()
            devices.shutdown()

    def _questions(self, starts: Sequence[tuple[Job, Entry]]) -> Iterator[Question]:
        """What is to be asked, read and decoded when it is wanted."""
        for job, entry in starts:
            for part in parts(job.intake, job.split, job.limits, entry.offset, entry.records):
                part = _rewritten(job, _checked(job, part))
                asked = job.asked(part.records)
                decoded = None
                if asked and job.strategy == MULTI:
                    with suppress(PayloadError):  # whose it is, the model's thread finds out
                        decoded = self._decoded(job, _chosen(part, asked))
                yield Question(job, part, asked, decoded)

    def _decoded(self, job: Job, records: Sequence[bytes]) -> Any:
        kind = job.request_type or job.content_type
        return decode(self.algorithm, job.body(records), kind)

    def _answer(self, question: Question) -> Answer:
        job, part, asked, decoded = question
        question = question._replace(decoded=None)
        if not asked:
            return Answer(question, None, 0, [])
        handlers = self._handlers()
        if decoded is not None:
            try:
                prediction = _predicted(job, decoded, len(asked), handlers)
                body = handlers.encode(prediction, job.accept)
                return Answer(question, body, len(prediction), None)
            except PayloadError:
                pass  # whose it is, shows below
        records = _chosen(part, asked)
        if job.strategy == MULTI:
            return Answer(question, None, len(asked), self._sorted(job, records, handlers))
        rows: list[Record] = []
        for record in records:
            rows += self._sorted(job, [record], handlers)
        return Answer(question, None, len(asked), rows)

    def _handlers(self) -> Handlers:
        """One for each thread: those that share one are given wrong answers."""
        if not hasattr(self.local, "handlers"):
            device = self.devices.get_nowait()
            self.local.handlers = Handlers.load(self.algorithm, self.folder, device)
        handlers: Handlers = self.local.handlers
        return handlers

    def _sorted(self, job: Job, records: Sequence[bytes], handlers: Handlers) -> list[Record]:
        """What becomes of each of ``records``: its answer, or its fault.

        Those that do not decode are found by halving, and the others asked together again; where
        all decode, but not together or not to what the model takes, each half is asked.
        """
        try:
            decoded = self._decoded(job, records)
            prediction = _predicted(job, decoded, len(records), handlers)
            body = handlers.encode(prediction, job.accept)
            return [body.rstrip(b"\n")] if len(records) == 1 else list(body.split(b"\n")[:-1])
        except PayloadError as error:
            if len(records) == 1:
                return [_fault(job, error)]
        found: list[Record] = list(self._undecodable(job, records))
        good = [position for position, record in enumerate(found) if isinstance(record, bytes)]
        if len(good) < len(records):
            answers = self._sorted(job, [records[i] for i in good], handlers) if good else []
            for position, outcome in zip(good, answers):
                found[position] = outcome
            return found
        middle = len(records) // 2
        halves = (records[:middle], records[middle:])
        return [outcome for half in halves for outcome in self._sorted(job, half, handlers)]

    def _undecodable(self, job: Job, records: Sequence[bytes]) -> Sequence[Record]:
        """``records`` with a fault in place of each that does not decode even alone."""
        try:
            self._decoded(job, records)
        except PayloadError as error:
            if len(records) == 1:
                return [_fault(job, error)]
            middle = len(records) // 2
            return [
                *self._undecodable(job, records[:middle]),
                *self._undecodable(job, records[middle:]),
            ]
        return records


def _predicted(job: Job, decoded: Any, count: int, handlers: Handlers) -> Any:
    """The prediction for ``count`` records. Raises PayloadError where one is bad."""
    prediction = handlers.predict(decoded)
    if job.split != NONE and job.accept != payload.JSON and len(prediction) != count:
        raise UnfitPayloadError(
            f"holds {len(prediction)} examples, expected one"
            if count == 1
            else f"{count} records hold {len(prediction)} examples"
        )
    return prediction


def _chosen(part: Part, asked: Sequence[int]) -> Sequence[bytes]:
    if isinstance(part.records, Lines) and len(asked) == len(part.records):
        return part.records
    return [record for record in map(part.records.__getitem__, asked) if isinstance(record, bytes)]


def _checked(job: Job, part: Part) -> Part:
    """``part`` without the lines of CSV that are no rows: SageMaker divides at line feeds only."""
    if job.split != LINE or job.content_type != payload.CSV:
        return part
    if isinstance(part.records, Lines) and b'"' not in part.records.body:
        return part
    records = [
        Fault(
            MalformedPayloadError,
            "a quote is left open: a cell that holds a line feed is divided there, as SageMaker "
            f"does; send such texts as {payload.JSONLINES}",
        )
        if isinstance(record, bytes) and record.count(b'"') % 2
        else record
        for record in part.records
    ]
    return part._replace(records=records)


def _rewritten(job: Job, part: Part) -> Part:
    """``part`` as lines of CSV that can be asked about, with blank ones for the headings and what
    stands above them.
    """
    intake = job.intake
    if job.split != LINE or not (intake.rewrites or intake.lead):
        return part
    lead = min(intake.lead, len(part.records)) if part.first == 1 else 0
    if not intake.rewrites and isinstance(part.records, Lines):
        if not lead:
            return part
        below = part.records.body.split(b"\n", lead)[lead]
        return part._replace(records=Lines(b"\n" * lead + below, len(part.records)))
    records = [
        intake.line(record) if isinstance(record, bytes) else record for record in part.records
    ]
    records[:lead] = [b""] * lead
    return part._replace(records=records)


def _fault(job: Job, error: PayloadError) -> Fault:
    """What is wrong with the one record of a request."""
    layout = job.intake.layout
    columns = None if layout is None else layout.columns
    reason = "; ".join(placed(_PLACE.sub("", fault, 1), 0, columns) for fault in error.faults)
    return Fault(type(error), reason)
