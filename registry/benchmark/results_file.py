"""The results file ``results.jsonl``: one record per line, written atomically, read with checks."""

from __future__ import annotations

from pathlib import Path
from typing import Sequence

from pydantic import ValidationError

from ...core.benchmark import Record
from ...core.runtime.errors import InputError
from ..discovery import catalog
from ..files import write_text

RESULTS = "results.jsonl"
MAX_BYTES = 256 * 2**20


def write(path: Path, records: Sequence[Record]) -> None:
    """Replace ``path`` by ``records``. Raises OutputError."""
    write_text(path, "".join(record.model_dump_json() + "\n" for record in records))


def read(path: Path) -> list[Record]:
    """The records of ``path``, or of ``results.jsonl`` in the folder ``path``.

    Raises InputError, which names the file and the line, for what is no record of this schema.
    """
    file = path / RESULTS if path.is_dir() else path
    try:
        if file.stat().st_size > MAX_BYTES:
            raise InputError(f"{file}: larger than {MAX_BYTES:,} bytes")
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}") from None
    records, names = [], catalog().names
    for number, line in enumerate(lines, 1):
        try:
            record = Record.model_validate_json(line)
        except ValidationError as error:
            fault = error.errors()[0]
            where = ".".join(map(str, fault["loc"])) or "line"
            raise InputError(f"{file}:{number}: {where}: {fault['msg']}") from None
        if record.algorithm in names:  # which may be an earlier name of it
            name = names[record.algorithm].algorithm.name
            record = record.model_copy(update={"algorithm": name})
        records.append(record)
    if not records:
        raise InputError(
            f"{file}: holds no record: `algoshelf benchmark NAME` writes one a setting"
        )
    return records
