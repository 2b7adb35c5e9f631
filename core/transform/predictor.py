"""Predict the parts of files, in order, in this process or in several.

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
from .job import MULTI, Job
from .journal import Entry
from .reader import LINE, NONE, Fault, Lines, Part, Record, read_parts

_PLACE = re.compile(r"(?:line|example|record) 1(?:, |: )")


class PartRequest(NamedTuple):
    """A part of a job, with the positions of the records to predict.

    ``decoded`` is what ``input_fn`` made of all of them, None where it could not.
    """

    job: Job
    part: Part
    positions: Sequence[int]
    decoded: Any


class PartResult(NamedTuple):
    """A prediction: one body for ``examples`` records, or the answer or fault of each record.

    The body is made by the thread that predicts: a third busy thread on two cores made those of
    the model's operators wait for one another.
    """

    request: PartRequest
    body: bytes | None
    examples: int
    rows: list[Record] | None


class BatchPredictor:
    """Models that predict parts in turn, one per device, each with its own thread.

    ``devices`` are those of ``engines.places``.
    """

    def __init__(self, algorithm: Algorithm[Any], model: Path, devices: Sequence[Any]) -> None:
        self.algorithm = algorithm
        self.folder = model
        self.count = len(devices)
        self.devices: queue.Queue[Any] = queue.Queue()
        for device in devices:
            self.devices.put(device)
        self.local = threading.local()

    def results(self, starts: Sequence[tuple[Job, Entry]]) -> Generator[PartResult, None, None]:
        """The answers to all parts from where each job stands, in order."""
        reader = ThreadPoolExecutor(1, "algoshelf-read")
        devices = ThreadPoolExecutor(self.count, "algoshelf-predict")
        requests = self._requests(starts)
        read: deque[Future[PartRequest | None]] = deque()
        predicted: deque[Future[PartResult]] = deque()
        try:
            while True:
                while len(read) <= self.count:
                    read.append(reader.submit(next, requests, None))
                request = read.popleft().result()
                if request is None:
                    break
                predicted.append(devices.submit(self._predict, request))
                if len(predicted) > 2 * self.count:
                    yield predicted.popleft().result()
            while predicted:
                yield predicted.popleft().result()
        finally:
            waiting: Sequence[Future[Any]] = (*read, *predicted)
            for future in waiting:
                future.cancel()
            reader.shutdown()
            devices.shutdown()

    def _requests(self, starts: Sequence[tuple[Job, Entry]]) -> Iterator[PartRequest]:
        """The parts to predict, read and decoded on demand."""
        for job, entry in starts:
            for part in read_parts(job.intake, job.split, job.limits, entry.offset, entry.records):
                part = _rewritten(job, _checked(job, part))
                positions = job.positions_to_predict(part.records)
                decoded = None
                if positions and job.strategy == MULTI:
                    with suppress(PayloadError):  # whose it is, the model's thread finds out
                        decoded = self._decoded(job, _chosen(part, positions))
                yield PartRequest(job, part, positions, decoded)

    def _decoded(self, job: Job, records: Sequence[bytes]) -> Any:
        kind = job.request_type or job.content_type
        return decode(self.algorithm, job.body(records), kind)

    def _predict(self, request: PartRequest) -> PartResult:
        job, part, positions, decoded = request
        request = request._replace(decoded=None)
        if not positions:
            return PartResult(request, None, 0, [])
        handlers = self._handlers()
        if decoded is not None:
            try:
                prediction = _predicted(job, decoded, len(positions), handlers)
                body = handlers.encode(prediction, job.accept)
                return PartResult(request, body, len(prediction), None)
            except PayloadError:
                pass  # whose it is, shows below
        records = _chosen(part, positions)
        if job.strategy == MULTI:
            return PartResult(request, None, len(positions), self._outcomes(job, records, handlers))
        rows: list[Record] = []
        for record in records:
            rows += self._outcomes(job, [record], handlers)
        return PartResult(request, None, len(positions), rows)

    def _handlers(self) -> Handlers:
        """One for each thread: those that share one are given wrong answers."""
        if not hasattr(self.local, "handlers"):
            device = self.devices.get_nowait()
            self.local.handlers = Handlers.load(self.algorithm, self.folder, device)
        handlers: Handlers = self.local.handlers
        return handlers

    def _outcomes(self, job: Job, records: Sequence[bytes], handlers: Handlers) -> list[Record]:
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
            answers = self._outcomes(job, [records[i] for i in good], handlers) if good else []
            for position, outcome in zip(good, answers):
                found[position] = outcome
            return found
        middle = len(records) // 2
        halves = (records[:middle], records[middle:])
        return [outcome for half in halves for outcome in self._outcomes(job, half, handlers)]

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


def _chosen(part: Part, positions: Sequence[int]) -> Sequence[bytes]:
    if isinstance(part.records, Lines) and len(positions) == len(part.records):
        return part.records
    return [
        record for record in map(part.records.__getitem__, positions) if isinstance(record, bytes)
    ]


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
