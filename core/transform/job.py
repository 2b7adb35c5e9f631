"""A batch transform's options and input files, and the content types of each."""

from __future__ import annotations

import glob
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Sequence

from .. import payload
from ..algorithm.base import Algorithm
from ..artifact.engines import AUTO
from ..data import leftovers, recordio
from ..data.files import absent, check_empty
from ..data.reading import Reading
from ..data.walking import walk
from ..inference.intake import Intake, intake
from ..runtime.errors import InputError, OutputError
from .reader import LINE, NONE, RECORDIO, Fault, Limits, Lines, Record

MULTI, SINGLE = "multi", "single"
STRATEGIES = (MULTI, SINGLE)
FAIL, REPORT = "fail", "report"
ON_ERROR = (FAIL, REPORT)
MAX_PAYLOAD = 6 * 2**20  # what SageMaker allows unless told otherwise
# A part is large enough for its overhead not to count, and small enough for many in memory.
PART_RECORDS = 8192
SINGLE_RECORDS = 256
PART_BYTES = 4 * 2**20
MAX_FAULTS = 10

_LINED = (payload.JSONLINES, payload.CSV)
_WITH_LINES = (payload.CSV, payload.JSONLINES, payload.TEXT, payload.JSON)


@dataclass(frozen=True)
class TransformOptions:
    """``max_payload`` is in bytes; ``devices`` as in ``--devices``; None is the usual choice.

    ``split_type`` is one of SPLIT_TYPES, ``strategy`` of STRATEGIES, ``on_error`` of ON_ERROR,
    ``engine`` of ENGINES. ``force`` computes anew what the journal holds for done. ``reading`` is
    what the user decides of tables and texts.
    """

    content_type: str | None = None
    accept: str | None = None
    split_type: str | None = None
    strategy: str = MULTI
    max_payload: int = MAX_PAYLOAD
    join_source: bool = False
    on_error: str = FAIL
    engine: str = AUTO
    devices: str = "auto"
    force: bool = False
    reading: Reading = field(default_factory=Reading)


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
    intake: Intake
    # the content type with its parameters, as the requests have it
    request_type: str = ""

    @property
    def holds_nothing(self) -> bool:
        """Whether there is nothing to answer, as in some of the parts that Spark writes."""
        return self.size == 0 or self.intake.is_empty

    @property
    def limits(self) -> Limits:
        """Of a part of this input."""
        records = SINGLE_RECORDS if self.strategy == SINGLE else PART_RECORDS
        return Limits(records, min(self.max_payload, PART_BYTES), self.max_payload)

    def body(self, records: Sequence[bytes]) -> bytes:
        """The request body with all of ``records``."""
        if isinstance(records, Lines):
            return records.body
        if self.split == LINE:
            return b"\n".join(records) + b"\n"
        if self.split == RECORDIO and self.content_type == payload.RECORDIO_PROTOBUF:
            return b"".join(map(recordio.frame, records))
        return records[0]

    def positions_to_predict(self, records: Sequence[Record]) -> Sequence[int]:
        """The positions of records to predict: all but blank lines, which count only in plain
        text, where each line is a text.
        """
        has_blank = self.split == LINE and self.content_type != payload.TEXT
        if isinstance(records, Lines) and not (has_blank and records.may_be_blank()):
            return range(len(records))
        return [
            position
            for position, record in enumerate(records)
            if not isinstance(record, Fault) and (record.strip() or not has_blank)
        ]


def select(
    algorithm: Algorithm[Any], source: str, output: Path, options: TransformOptions
) -> list[Job]:
    """A job for each file of ``source``; raises one InputError with all faults."""
    jobs, faults = [], []
    for path, name in _inputs(source, output):
        try:
            jobs.append(_job(algorithm, path, name, options))
        except InputError as error:
            faults += [
                fault if str(path) in fault else f"{path}: {fault}" for fault in error.faults
            ]
    if faults:
        more = len(faults) - MAX_FAULTS
        raise InputError(*faults[:MAX_FAULTS], *([f"... and {more} more"] if more > 0 else []))
    check_empty(Path(source), [job.path for job in jobs if job.holds_nothing], len(jobs))
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
                    f"{output}: lies in INPUT, {source}: its answers would be read as inputs; "
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
                    f"{inside[0]}: lies in OUTPUT, {output}: answers would be read as inputs; "
                    "give a folder elsewhere"
                )
        elif path.exists():
            raise InputError(f"{source}: not a file or folder")
        else:
            raise InputError(f"{absent(path)} (INPUT)")
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror}") from None
    if not found:
        raise InputError(f"{source}: holds no files (INPUT; hidden ones don't count)")
    kept = [file for file in found if not leftovers.is_no_data(file.name)]
    leftovers.say_left_out(base, [file.name for file in found if file not in kept])
    if not kept:
        raise InputError(f"{source}: holds no files that may be data (INPUT)")
    return [(file, file.relative_to(base).as_posix()) for file in sorted(kept)]


def _below(folder: Path) -> list[Path]:
    """All files in ``folder`` and its folders but hidden ones, such as ``.DS_Store``.

    Raises InputError for links that lead nowhere or back, and for what is no file: nobody may take
    it for answered.
    """
    found = walk(folder)
    if found.odd:
        raise InputError(*(f"{folder}: {odd}; remove it, or give a file" for odd in found.odd))
    return [
        folder / name
        for name in found.files
        if not any(map(leftovers.is_no_data, PurePosixPath(name).parts[:-1]))
    ]


def _base(pattern: str) -> Path:
    """The folder before the first wildcard."""
    base = Path(pattern)
    while glob.has_magic(str(base)):
        base = base.parent
    return base


def _job(algorithm: Algorithm[Any], path: Path, name: str, options: TransformOptions) -> Job:
    """How ``path`` is asked. Raises InputError where it or the options do not fit."""
    found = _stat(path)
    source = intake(algorithm, path, options.content_type)
    content_type = source.content_type
    split = options.split_type or usual_split(content_type)
    strategy = MULTI if split == NONE else options.strategy
    _check_split(content_type, split, strategy)
    offered = algorithm.response_media_types()
    if options.join_source:
        accept = _joined_type(content_type, split)
        if options.accept and payload.negotiate(options.accept, offered) != accept:
            raise InputError(
                f"--join-source joins {content_type} with {accept}: leave out --accept"
            )
        payload.negotiate(accept, offered)
        if source.is_made:
            raise InputError(
                "--join-source joins comma-separated columns as they stand: write the file so, "
                "or leave it out"
            )
    elif options.accept:
        accept = payload.negotiate(options.accept, offered)
    else:
        accept = next((each for each in _LINED if each in offered), offered[0])
    if split != NONE and accept not in (_LINED if strategy == MULTI else (*_LINED, payload.JSON)):
        alone = " with --strategy single" if accept == payload.JSON else ""
        raise InputError(
            f"--accept {accept} gives one document per request, not one line per {split}: give "
            f"it{alone or ' with --split-type none'}, or --accept {payload.JSONLINES}"
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
        source,
        options.content_type or "",
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
    if content_type in (payload.CSV, payload.JSONLINES, payload.TEXT):
        return LINE
    return RECORDIO if content_type == payload.RECORDIO_PROTOBUF else NONE


def _check_split(content_type: str, split: str, strategy: str) -> None:
    if split == LINE and content_type not in _WITH_LINES:
        raise InputError(f"--split-type line: {content_type} has no lines; give --split-type none")
    shared = (payload.RECORDIO_PROTOBUF,) if split == RECORDIO else _WITH_LINES[:3]
    if split != NONE and strategy == MULTI and content_type not in shared:
        raise InputError(
            f"--split-type {split}: a request holds one {content_type} only; "
            "give --strategy single as well"
        )


def _joined_type(content_type: str, split: str) -> str:
    """The content type of answers that can stand beside their input."""
    lined = split == LINE and content_type in (payload.CSV, payload.JSONLINES)
    if lined or (split == NONE and content_type == payload.JSON):
        return content_type
    raise InputError(
        f"--join-source joins lines of {payload.CSV} or {payload.JSONLINES}, or a whole "
        f"{payload.JSON}, not {content_type} with --split-type {split}"
    )
