"""SageMaker's Batch Transform, here: the answers to files of any size, as ``<input>.out``.

Line i of an output belongs to line i of its input. A part of the input is read and decoded while
the one before is predicted, so that memory holds a few parts.
What is written is noted in a journal, from which the same command goes on.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform.html and, for join_source,
https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform-data-processing.html
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import queue
import re
import stat
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generator, Iterator, NamedTuple, Sequence

from .. import codecs, recordio
from ..algorithm import Algorithm
from ..artifact import METADATA, PARAMETERS, SYMBOL, Model, digest_of
from ..errors import (
    ArtifactError,
    DataError,
    InputError,
    MalformedPayloadError,
    OutputError,
    PayloadError,
    PluginError,
    UnfitPayloadError,
)
from ..training.devices import parse_devices
from ..types import Context
from . import journal
from .splitting import LINE, NONE, RECORDIO, Fault, Limits, Part, Record, parts

MULTI, SINGLE = "multi", "single"
STRATEGIES = (MULTI, SINGLE)
FAIL, REPORT = "fail", "report"
ON_ERROR = (FAIL, REPORT)
MAX_PAYLOAD = 6 * 2**20  # what SageMaker allows unless told otherwise
# A part is large enough for its overhead not to count, and small enough for many in memory.
PART_RECORDS = 8192
SINGLE_RECORDS = 256
PART_BYTES = 4 * 2**20
SAVE_SECONDS = 2.0
MOST_FAULTS = 10
OUTPUT_KEY, INPUT_KEY = "SageMakerOutput", "SageMakerInput"
_LINED = (codecs.JSONLINES, codecs.CSV)
_WITH_LINES = (codecs.CSV, codecs.JSONLINES, codecs.TEXT, codecs.JSON)
LINE_FEED = b"\n"
_PLACE = re.compile(r"(?:line|example|record) 1(?:, |: )")


@dataclass(frozen=True)
class TransformOptions:
    """``max_payload`` is in bytes; ``devices`` as in ``--devices``; None is the usual choice.

    ``split_type`` is one of SPLIT_TYPES, ``strategy`` of STRATEGIES, ``on_error`` of ON_ERROR.
    ``force`` computes anew what the journal holds for done.
    """

    content_type: str | None = None
    accept: str | None = None
    split_type: str | None = None
    strategy: str = MULTI
    max_payload: int = MAX_PAYLOAD
    join_source: bool = False
    on_error: str = FAIL
    devices: str = "auto"
    force: bool = False


@dataclass
class Summary:
    """What a transform did: ``rows`` and ``errors`` are of all ``files``, of which ``unchanged``
    were done before; ``seconds`` and ``answered``, the rows of this run, make ``rate``.
    """

    files: int = 0
    unchanged: int = 0
    rows: int = 0
    errors: int = 0
    answered: int = 0
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Rows a second."""
        return self.answered / max(1e-9, self.seconds)


class Listener:
    """Hears how a transform goes on; override what it cares for."""

    def message(self, text: str) -> None:
        """A sentence for people."""

    def begin(self, total: int) -> None:
        """Inputs of ``total`` bytes are to be answered."""

    def progress(self, summary: Summary, done: int) -> None:
        """``done`` bytes are read, and answered; called often."""

    def end(self) -> None:
        """The transform is over, well or not."""


@dataclass(frozen=True)
class Job:
    """One input: where it is, how its outputs are named, how it is asked and answered."""

    path: Path
    name: str
    size: int
    modified: int
    content_type: str
    accept: str
    split: str
    strategy: str
    max_payload: int
    join: bool

    @property
    def limits(self) -> Limits:
        """Of a part of this input."""
        records = SINGLE_RECORDS if self.strategy == SINGLE else PART_RECORDS
        return Limits(records, min(self.max_payload, PART_BYTES), self.max_payload)

    def body(self, records: Sequence[bytes]) -> bytes:
        """The request that asks for all of ``records``."""
        if self.split == LINE:
            return b"\n".join(records) + b"\n"
        if self.split == RECORDIO and self.content_type == codecs.RECORDIO_PROTOBUF:
            return b"".join(map(recordio.frame, records))
        return records[0]

    def is_blank(self, record: Record) -> bool:
        """Whether a line asks for nothing; of plain text each line is a text, be it empty."""
        blank = self.split == LINE and self.content_type != codecs.TEXT
        return blank and not isinstance(record, Fault) and not record.strip()


def transform(
    algorithm: Algorithm[Any],
    model: Path,
    source: str,
    output: Path,
    options: TransformOptions | None = None,
    listener: Listener | None = None,
) -> Summary:
    """Answer every file of ``source``, a file, a folder or a glob, into the folder ``output``.

    Bad records are either the end, or stand in ``<input>.errors.jsonl``; the output then holds
    ``{"error": {"code", "message"}}`` in their place, in CSV an empty line. A blank line of CSV or
    JSON Lines is no record, and stays blank. Raises InputError.
    """
    options = options or TransformOptions()
    jobs = _jobs(algorithm, source, output, options)
    digest = _digest(model)
    with journal.opened(output) as notes:
        run = _Transform(algorithm, model, digest, output, options, listener or Listener(), notes)
        return run.all(jobs)


# Inputs


def _jobs(
    algorithm: Algorithm[Any], source: str, output: Path, options: TransformOptions
) -> list[Job]:
    """What is to be done; all faults of it in one InputError."""
    jobs, faults = [], []
    for path, name in _inputs(source, output):
        try:
            jobs.append(_job(algorithm, path, name, options))
        except InputError as error:
            faults += [
                fault if str(path) in fault else f"{path}: {fault}" for fault in error.faults
            ]
    if faults:
        more = len(faults) - MOST_FAULTS
        raise InputError(*faults[:MOST_FAULTS], *([f"... and {more} more"] if more > 0 else []))
    return jobs


def _inputs(source: str, output: Path) -> list[tuple[Path, str]]:
    """The files of ``source``, sorted, with their names below it. Raises InputError."""
    path = Path(source)
    target = output.resolve()
    try:
        if path.is_file():
            return [(path, path.name)]
        if path.is_dir():
            if path.resolve() in (target, *target.parents):
                raise OutputError(
                    f"{output}: lies in INPUT, {source}: its answers would be taken for inputs; "
                    "give a folder elsewhere"
                )
            base, found = path, _below(path)
        elif glob.has_magic(source) and not path.exists():
            base = _base(source)
            found = [Path(name) for name in glob.glob(source, recursive=True)]
            found = [file for file in found if file.is_file()]
            inside = [file for file in found if target in file.resolve().parents]
            if inside:
                raise OutputError(
                    f"{inside[0]}: lies in OUTPUT, {output}: answers would be taken for inputs; "
                    "give a folder elsewhere"
                )
        elif path.exists():
            raise InputError(f"{source}: not a file or folder")
        else:
            raise InputError(f"{source}: no such file or folder (INPUT)")
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror}") from None
    if not found:
        raise InputError(f"{source}: holds no files (INPUT; hidden ones don't count)")
    return [(file, file.relative_to(base).as_posix()) for file in sorted(found)]


def _below(folder: Path) -> list[Path]:
    """All files in ``folder`` and its folders but hidden ones, such as ``.DS_Store``."""
    found = []

    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}")

    for parent, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in files if not name.startswith(".")]
    return found


def _base(pattern: str) -> Path:
    """The folder before the first wildcard."""
    base = Path(pattern)
    while glob.has_magic(str(base)):
        base = base.parent
    return base


def _job(algorithm: Algorithm[Any], path: Path, name: str, options: TransformOptions) -> Job:
    """How ``path`` is asked. Raises InputError where it or the options do not fit."""
    found = _stat(path)
    kind = options.content_type or codecs.content_type_of(path)
    content_type = codecs.check_content_type(kind, algorithm.accepted())
    split = options.split_type or usual_split(content_type)
    strategy = MULTI if split == NONE else options.strategy
    _check_split(content_type, split, strategy)
    offered = algorithm.answered()
    if options.join_source:
        accept = _joined_type(content_type, split)
        if options.accept and codecs.negotiate(options.accept, offered) != accept:
            raise InputError(
                f"--join-source joins {content_type} with {accept}: leave out --accept"
            )
        codecs.negotiate(accept, offered)
    elif options.accept:
        accept = codecs.negotiate(options.accept, offered)
    else:
        accept = next((each for each in _LINED if each in offered), offered[0])
    if split != NONE and accept not in (_LINED if strategy == MULTI else (*_LINED, codecs.JSON)):
        alone = " with --strategy single" if accept == codecs.JSON else ""
        raise InputError(
            f"--accept {accept} is one document a request, and gives no line for each {split}: "
            f"take it{alone or ' with --split-type none'}, or --accept {codecs.JSONLINES}"
        )
    return Job(
        path,
        name,
        found.st_size,
        found.st_mtime_ns,
        content_type,
        accept,
        split,
        strategy,
        options.max_payload,
        options.join_source,
    )


def _stat(path: Path) -> os.stat_result:
    """Of a file that can be read. Raises InputError."""
    try:
        found = path.stat()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path}: not a file")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: cannot be read: permission denied")
    return found


def usual_split(content_type: str) -> str:
    """The split type of a body of ``content_type`` that is not told its own."""
    if content_type in (codecs.CSV, codecs.JSONLINES, codecs.TEXT):
        return LINE
    return RECORDIO if content_type == codecs.RECORDIO_PROTOBUF else NONE


def _check_split(content_type: str, split: str, strategy: str) -> None:
    if split == LINE and content_type not in _WITH_LINES:
        raise InputError(f"--split-type line: {content_type} has no lines; give --split-type none")
    shared = (codecs.RECORDIO_PROTOBUF,) if split == RECORDIO else _WITH_LINES[:3]
    if split != NONE and strategy == MULTI and content_type not in shared:
        raise InputError(
            f"--split-type {split}: a request holds one {content_type} only; "
            "give --strategy single as well"
        )


def _joined_type(content_type: str, split: str) -> str:
    """The content type of answers that can stand beside their input."""
    lined = split == LINE and content_type in (codecs.CSV, codecs.JSONLINES)
    if lined or (split == NONE and content_type == codecs.JSON):
        return content_type
    raise InputError(
        f"--join-source joins lines of {codecs.CSV} or {codecs.JSONLINES}, or a whole "
        f"{codecs.JSON}, not {content_type} with --split-type {split}"
    )


def _digest(model: Path) -> str:
    try:
        digests = [digest_of(model / name) for name in (METADATA, SYMBOL, PARAMETERS)]
    except OSError as error:
        raise ArtifactError(f"{error.filename}: cannot be read: {error.strerror}") from None
    return hashlib.sha256("".join(digests).encode()).hexdigest()


# The run


class Question(NamedTuple):
    """A part of a job, with the positions of the records that are to be asked.

    ``decoded`` is what ``input_fn`` made of all of them, None where it could not.
    """

    job: Job
    part: Part
    asked: list[int]
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


class _Transform:
    """The state of one ``transform``."""

    def __init__(
        self,
        algorithm: Algorithm[Any],
        model: Path,
        digest: str,
        output: Path,
        options: TransformOptions,
        listener: Listener,
        notes: journal.Journal,
    ) -> None:
        self.algorithm = algorithm
        self.model = model
        self.digest = digest
        self.folder = output
        self.options = options
        self.listener = listener
        self.notes = notes
        self.summary = Summary()
        self.done = 0
        self.current: journal.Output | None = None
        self.saved = 0.0

    def all(self, jobs: Sequence[Job]) -> Summary:
        started = time.monotonic()
        summary = self.summary
        summary.files = len(jobs)
        outputs = {}
        for job in jobs:
            found = self._begun(job)
            if found is not None:
                outputs[job.name] = found
        todo = [job for job in jobs if job.name in outputs]
        if not todo:
            return summary
        self.listener.begin(sum(job.size for job in todo))
        self.done = sum(found.entry.offset for found in outputs.values())
        try:
            devices = parse_devices(self.options.devices)
            asker = _Asker(self.algorithm, self.model, devices)
            starts = [(job, outputs[job.name].entry) for job in todo]
            with closing(asker.answers(starts)) as answers:
                for answer in answers:
                    self._write(outputs[answer.question.job.name], answer)
                    summary.seconds = time.monotonic() - started
                    self.listener.progress(summary, self.done)
        except BaseException as error:
            self._keep(error)
            raise
        finally:
            self.listener.end()
        summary.seconds = time.monotonic() - started
        return summary

    def _begun(self, job: Job) -> journal.Output | None:
        """Where the answers to ``job`` go, with what is there; None where they are done."""
        settings = self._settings(job)
        before = self.notes.entries.get(job.name)
        fresh = journal.Entry(settings)
        found = journal.Output(self.notes, self.folder, job.name, before or fresh)
        if before is None:
            return found
        reason = self._reason_to_begin_anew(before, settings, found)
        if reason:
            self.listener.message(f"{job.path}: begun anew: {reason}")
            return journal.Output(self.notes, self.folder, job.name, fresh)
        self.summary.rows += before.rows
        self.summary.errors += before.errors
        if before.whole:
            found.settle()
            self.summary.unchanged += 1
            self.listener.message(f"{job.path}: was done before; --force computes it anew")
            return None
        self.listener.message(f"{job.path}: goes on after {job.split} {before.records:,}")
        return found

    def _reason_to_begin_anew(
        self, before: journal.Entry, settings: dict[str, Any], found: journal.Output
    ) -> str:
        if self.options.force:
            return "--force"
        changed = [key for key in settings if before.settings.get(key) != settings[key]]
        if changed:
            return f"another {', '.join(changed)} than before"
        if before.errors and self.options.on_error == FAIL:
            return f"it has {before.errors:,} bad rows, and --on-error is {FAIL}"
        return "" if found.holds() else "what was written is no longer there"

    def _settings(self, job: Job) -> dict[str, Any]:
        """All that the answers to ``job`` depend on, by the names that people know."""
        return {
            "input size": job.size,
            "input time": job.modified,
            "model": self.digest,
            "content type": job.content_type,
            "accept": job.accept,
            "split type": job.split,
            "strategy": job.strategy,
            "max payload": job.max_payload,
            "join source": job.join,
            "devices": self.options.devices,
            "part": list(job.limits),
        }

    def _write(self, output: journal.Output, answer: Answer) -> None:
        """Append what a part gave, and from time to time make it durable."""
        job, part = answer.question.job, answer.question.part
        if output is not self.current:
            output.open()
            self.current = output
            self.saved = -SAVE_SECONDS
        body, rows, faults = self._composed(answer)
        if faults and self.options.on_error == FAIL:
            number, fault = faults[0]
            where = f"{job.path}: {_numbered(job, number)}".rstrip(": ")
            raise fault.kind(
                f"{where}: {fault.reason}; --on-error report answers the others, and lists "
                f"what is bad in {output.report.final}"
            )
        report = b"".join(
            codecs.encode_json(
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
        before = output.entry
        entry = journal.Entry(
            before.settings,
            offset=part.end,
            records=before.records + len(part.records),
            rows=before.rows + rows,
            errors=before.errors + len(faults),
        )
        output.write(body, report, entry)
        self.summary.rows += rows
        self.summary.answered += rows
        self.summary.errors += len(faults)
        self.done += part.end - before.offset
        if part.last:
            self._check_unchanged(job)
            output.save(whole=True)
            self.current = None
        elif time.monotonic() - self.saved > SAVE_SECONDS:
            output.save()
            self.saved = time.monotonic()

    def _check_unchanged(self, job: Job) -> None:
        now = job.path.stat()
        if (now.st_size, now.st_mtime_ns) != (job.size, job.modified):
            raise DataError(f"{job.path}: has changed while it was read: begin again")

    def _composed(self, answer: Answer) -> tuple[bytes, int, list[tuple[int, Fault]]]:
        """The bytes for a part's records, how many rows are answered, and what is bad."""
        question, rows = answer.question, answer.rows
        job, part, asked = question.job, question.part, question.asked
        body, count = answer.body, answer.examples
        if body is not None:
            if job.split == NONE:
                rows = [body]
            elif body.count(LINE_FEED) != count:
                raise PluginError(
                    f"{self.algorithm.name} answers {body.count(LINE_FEED):,} lines of "
                    f"{job.accept} for {count:,} {job.split}s: expected one each"
                )
            elif count == len(part.records) and not job.join:
                return body, count, []
            else:
                rows = list(body.split(b"\n")[:-1])
        outcomes: list[Record] = [b"" if not isinstance(r, Fault) else r for r in part.records]
        for position, outcome in zip(asked, rows or ()):
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

    def _keep(self, error: BaseException) -> None:
        """Before the end by ``error``, make what is written durable, and say so."""
        if self.current is None or not self.current.streams:
            return
        try:
            self.current.save()
        except OSError:
            return
        finally:
            self.current.close()
        if not isinstance(error, PayloadError):
            entry = self.current.entry
            self.listener.message(
                f"stopped after {entry.records:,} of {self.current.name}; "
                "the same command goes on from there"
            )


def _numbered(job: Job, number: int) -> str:
    if job.split == NONE:
        return ""
    return f"{'record' if job.split == RECORDIO else 'line'} {number:,}"


def _shown(job: Job, fault: Fault) -> bytes:
    """What stands in the output for a bad record."""
    if job.accept not in (codecs.JSON, codecs.JSONLINES):
        return b""
    shown = {"error": {"code": fault.kind.code, "message": fault.reason}}
    return codecs.encode_json(shown) + (b"\n" if job.split == NONE else b"")


def _joined(job: Job, record: Record, answer: bytes) -> bytes:
    """A record of the input with its answer, as SageMaker's JoinSource puts them together."""
    assert isinstance(record, bytes)
    record, answer = record.strip(b" \t\r\n"), answer.rstrip(b"\n")
    if job.content_type == codecs.CSV:
        return record + b"," + answer
    key = codecs.encode_json(OUTPUT_KEY)
    if not record.startswith(b"{"):
        return b'{"%s":%s,%s:%s}' % (INPUT_KEY.encode(), record, key, answer)
    if key in record:  # perhaps as a key, which the answer replaces
        joined = json.loads(record)
        joined[OUTPUT_KEY] = json.loads(answer)
        return codecs.encode_json(joined)
    comma = b"" if record[1:-1].strip() == b"" else b","
    return record[:-1] + comma + key + b":" + answer + b"}"


class _Asker:
    """Models that answer parts in turn, one for each device and each with its own thread."""

    def __init__(self, algorithm: Algorithm[Any], model: Path, devices: Sequence[Context]) -> None:
        self.algorithm = algorithm
        self.folder = model
        self.count = len(devices)
        self.devices: queue.Queue[Context] = queue.Queue()
        for device in devices:
            self.devices.put(device)
        self.local = threading.local()

    def answers(self, starts: Sequence[tuple[Job, journal.Entry]]) -> Generator[Answer, None, None]:
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

    def _questions(self, starts: Sequence[tuple[Job, journal.Entry]]) -> Iterator[Question]:
        """What is to be asked, read and decoded when it is wanted."""
        for job, entry in starts:
            for part in parts(job.path, job.split, job.limits, entry.offset, entry.records):
                part = _checked(job, part)
                asked = [
                    position
                    for position, record in enumerate(part.records)
                    if not (isinstance(record, Fault) or job.is_blank(record))
                ]
                decoded = None
                if asked and job.strategy == MULTI:
                    with suppress(PayloadError):  # whose it is, the model's thread finds out
                        decoded = self._decoded(job, _chosen(part, asked))
                yield Question(job, part, asked, decoded)

    def _decoded(self, job: Job, records: Sequence[bytes]) -> Any:
        return self.algorithm.input_fn(job.body(records), job.content_type)

    def _answer(self, question: Question) -> Answer:
        job, part, asked, decoded = question
        question = question._replace(decoded=None)
        if not asked:
            return Answer(question, None, 0, [])
        model = self._model()
        if decoded is not None:
            try:
                prediction = self._predicted(job, decoded, len(asked), model)
                body = self.algorithm.output_fn(prediction, job.accept)
                return Answer(question, body, len(prediction), None)
            except PayloadError:
                pass  # whose it is, shows below
        records = _chosen(part, asked)
        if job.strategy == MULTI:
            return Answer(question, None, len(asked), self._sorted(job, records, model))
        rows: list[Record] = []
        for record in records:
            rows += self._sorted(job, [record], model)
        return Answer(question, None, len(asked), rows)

    def _model(self) -> Model:
        """One for each thread: those that share one are given wrong answers."""
        if not hasattr(self.local, "model"):
            self.local.model = self.algorithm.model_fn(self.folder, self.devices.get_nowait())
        model: Model = self.local.model
        return model

    def _predicted(self, job: Job, decoded: Any, count: int, model: Model) -> Any:
        """The prediction for ``count`` records. Raises PayloadError where one is bad."""
        prediction = self.algorithm.predict_fn(decoded, model)
        if job.split != NONE and job.accept != codecs.JSON and len(prediction) != count:
            raise UnfitPayloadError(
                f"holds {len(prediction)} examples, expected one"
                if count == 1
                else f"{count} records hold {len(prediction)} examples"
            )
        return prediction

    def _sorted(self, job: Job, records: Sequence[bytes], model: Model) -> list[Record]:
        """What becomes of each of ``records``: its answer, or its fault.

        Those that do not decode are found by halving, and the others asked together again; where
        all decode, but not together or not to what the model takes, each half is asked.
        """
        try:
            decoded = self._decoded(job, records)
            prediction = self._predicted(job, decoded, len(records), model)
            body = self.algorithm.output_fn(prediction, job.accept)
            return [body.rstrip(b"\n")] if len(records) == 1 else list(body.split(b"\n")[:-1])
        except PayloadError as error:
            if len(records) == 1:
                return [_fault(error)]
        found: list[Record] = list(self._undecodable(job, records))
        good = [position for position, record in enumerate(found) if isinstance(record, bytes)]
        if len(good) < len(records):
            answers = self._sorted(job, [records[i] for i in good], model) if good else []
            for position, outcome in zip(good, answers):
                found[position] = outcome
            return found
        middle = len(records) // 2
        halves = (records[:middle], records[middle:])
        return [outcome for half in halves for outcome in self._sorted(job, half, model)]

    def _undecodable(self, job: Job, records: Sequence[bytes]) -> Sequence[Record]:
        """``records`` with a fault in place of each that does not decode even alone."""
        try:
            self._decoded(job, records)
        except PayloadError as error:
            if len(records) == 1:
                return [_fault(error)]
            middle = len(records) // 2
            return [
                *self._undecodable(job, records[:middle]),
                *self._undecodable(job, records[middle:]),
            ]
        return records


def _chosen(part: Part, asked: Sequence[int]) -> list[bytes]:
    return [record for record in map(part.records.__getitem__, asked) if isinstance(record, bytes)]


def _checked(job: Job, part: Part) -> Part:
    """``part`` without the lines of CSV that are no rows: SageMaker divides at line feeds only."""
    if job.split != LINE or job.content_type != codecs.CSV:
        return part
    records = [
        Fault(
            MalformedPayloadError,
            "a quote is left open: a cell that holds a line feed is divided there, as SageMaker "
            f"does; send such texts as {codecs.JSONLINES}",
        )
        if isinstance(record, bytes) and record.count(b'"') % 2
        else record
        for record in part.records
    ]
    return part._replace(records=records)


def _fault(error: PayloadError) -> Fault:
    """What is wrong with the one record of a request."""
    reason = "; ".join(_PLACE.sub("", fault, 1) for fault in error.faults)
    return Fault(type(error), reason)
