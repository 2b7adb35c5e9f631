"""Batch transform: predictions for files of any size; begun, or resumed half-way.

Those for a file are written as ``<input>.out``.

Line i of an output belongs to line i of its input. Progress is kept in a journal, from which the
same command resumes.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform.html and, for join_source,
https://docs.aws.amazon.com/sagemaker/latest/dg/batch-transform-data-processing.html
"""

from __future__ import annotations

import hashlib
import time
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Sequence

from ..algorithm.base import Algorithm
from ..artifact import engines
from ..artifact.metadata import METADATA, ONNX, PARAMETERS, SYMBOL
from ..data.reading import using
from ..runtime.errors import ArtifactError, DataError, OutputError, PayloadError
from ..runtime.staging import digest_of
from . import journal
from .job import FAIL, Job, TransformOptions, select
from .predictor import BatchPredictor, PartResult
from .writer import error_report, output_of, place

SAVE_SECONDS = 2.0


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
    """Receives the progress of a transform; override what you need."""

    def message(self, text: str) -> None:
        """A sentence for people."""

    def begin(self, total: int) -> None:
        """Inputs of ``total`` bytes are to be answered."""

    def progress(self, summary: Summary, done: int) -> None:
        """``done`` bytes are read, and answered; called often."""

    def end(self) -> None:
        """The transform is over, well or not."""


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
    listener = listener or Listener()
    headings = algorithm.artifact(model).metadata.headings
    with using(options.reading, listener.message, headings):
        jobs = select(algorithm, source, output, options)
    engine = engines.resolve(options.engine, model, options.devices)
    options = replace(options, engine=engine)
    digest = _digest(model, engine)
    with journal.opened(output) as notes:
        run = _Transform(algorithm, model, digest, output, options, listener, notes)
        return run.all(jobs)


def _digest(model: Path, engine: str) -> str:
    names = (METADATA, SYMBOL, PARAMETERS) + ((ONNX,) if engine == engines.ONNX else ())
    try:
        digests = [digest_of(model / name) for name in names]
    except OSError as error:
        raise ArtifactError(f"{error.filename}: cannot be read: {error.strerror}") from None
    return hashlib.sha256("".join(digests).encode()).hexdigest()


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
            devices = engines.places(self.options.engine, self.model, self.options.devices)
            predictor = BatchPredictor(self.algorithm, self.model, devices)
            starts = [(job, outputs[job.name].entry) for job in todo]
            with closing(predictor.results(starts)) as results:
                for result in results:
                    self._write(outputs[result.request.job.name], result)
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
            self.listener.message(f"{job.path}: starting over: {reason}")
            return journal.Output(self.notes, self.folder, job.name, fresh)
        self.summary.rows += before.rows
        self.summary.errors += before.errors
        if before.whole:
            found.settle()
            self.summary.unchanged += 1
            self.listener.message(f"{job.path}: already done; --force computes it again")
            return None
        if before.records:
            self.listener.message(f"{job.path}: resuming after {job.split} {before.records:,}")
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
            rows = "1 bad row" if before.errors == 1 else f"{before.errors:,} bad rows"
            return f"it has {rows}, and --on-error is {FAIL}"
        return "" if found.holds() else "the earlier output is gone"

    def _settings(self, job: Job) -> dict[str, Any]:
        """All that the answers to ``job`` depend on, by the names that people know."""
        return {
            "input size": job.size,
            "input time": job.modified,
            "model": self.digest,
            "content type": job.request_type or job.content_type,
            "accept": job.accept,
            "split type": job.split,
            "strategy": job.strategy,
            "max payload": job.max_payload,
            "join source": job.join,
            "engine": self.options.engine,
            "devices": self.options.devices,
            "part": list(job.limits),
            **job.intake.settings(),
        }

    def _write(self, output: journal.Output, result: PartResult) -> None:
        """Append what a part gave, and from time to time make it durable."""
        job, part = result.request.job, result.request.part
        if output is not self.current:
            output.open()
            self.current = output
            self.saved = -SAVE_SECONDS
        body, rows, faults = output_of(result, self.algorithm.name)
        if faults and self.options.on_error == FAIL:
            number, fault = faults[0]
            raise fault.kind(
                f"{place(job, number)}: {fault.reason}; --on-error report answers the others, "
                f"and lists the bad ones in {output.report.final}"
            )
        before = output.entry
        entry = journal.Entry(
            before.settings,
            offset=part.end,
            records=before.records + len(part.records),
            rows=before.rows + rows,
            errors=before.errors + len(faults),
        )
        output.write(body, error_report(job, faults), entry)
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
        with suppress(OSError):
            now = job.path.stat()
            if (now.st_size, now.st_mtime_ns) == (job.size, job.modified):
                return
        raise DataError(f"{job.path}: has changed while it was read: run the command again")

    def _keep(self, error: BaseException) -> None:
        """Before ending with ``error``, make the output durable, and say so."""
        if self.current is None or not self.current.streams:
            return
        if not self.current.entry.records:
            self.current.discard()
            return
        try:
            self.current.save()
        except OutputError:
            return
        finally:
            self.current.close()
        if not isinstance(error, PayloadError):
            entry = self.current.entry
            self.listener.message(
                f"stopped after {entry.records:,} of {self.current.name}; "
                "the same command resumes from there"
            )
