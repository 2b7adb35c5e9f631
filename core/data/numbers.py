"""Parse the numbers in lines of CSV: fast where they are plain, and exactly where they are not."""

from __future__ import annotations

import array
import contextlib
import re
import warnings
from typing import TYPE_CHECKING, Any, Iterator

import numpy

from ..runtime import bounds
from ..runtime.errors import InputError, MalformedPayloadError, UnfitPayloadError
from ..runtime.faults import quoted, refuse

if TYPE_CHECKING:
    from typing import Tuple, Type

    from numpy.typing import NDArray

    Fault = Tuple[Type[InputError], str]

UTF8_MARK = b"\xef\xbb\xbf"
SOME = 1024  # steps after which the clock is looked at
MAX_CELL = 2**28  # characters in a cell of a CSV; Python's own limit is 2**17
DENSE_BYTES = 24  # of a number that is read from text into an array
FLOAT32_LIMIT = float.fromhex("0x1.ffffffp127")  # from here on, float32 rounds to infinity


def parse_csv(
    lines: bytes,
    *,
    columns: int | None = None,
    first_line: int = 1,
    source: str = "",
    error: type[InputError] | None = None,
    dtype: type[Any] = numpy.float32,
) -> NDArray[Any]:
    """Lines of numbers, separated by commas: ``(N, columns) dtype``; N may be 0.

    ``columns`` is what the first line has, where it isn't given. ``first_line`` (its number in
    the file) and ``source`` serve the messages. A number is decimal, may have an exponent, be
    quoted, and have blanks around it; lines end in LF or CRLF; blank lines may end the input.

    Raises ``error``; where it is None, MalformedPayloadError, or UnfitPayloadError if numbers
    that are not finite in float32 are the only fault.
    """
    text = lines[len(UTF8_MARK) :] if first_line == 1 and lines.startswith(UTF8_MARK) else lines
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n")
        text = text if b"\n" in text else text.replace(b"\r", b"\n")
    text = text.rstrip(b" \t\r\n")
    if not text:
        return numpy.empty((0, columns or 0), dtype)
    text += b"\n"
    width = text.count(b",", 0, text.index(b"\n")) + 1 if columns is None else columns
    values = _parse_plain_csv(text, width, dtype)
    if values is None:
        exact = array.array("d")
        refuse(_csv_faults(text, width, first_line, exact), error, source)
        values = numpy.array(exact).astype(dtype)
    return values.reshape(-1, width)


def _parse_plain_csv(text: bytes, columns: int, dtype: type[Any]) -> NDArray[Any] | None:
    """The numbers of a plain regular CSV, or None for whatever is doubtful.

    Integers without a sign, such as pixels, have a parser of their own: it is five times as
    quick, but reads a lone sign as 0 and is exact up to 2**53 only.
    """
    if b" " in text:
        text = text.replace(b", ", b",")
    rows = text.count(b"\n")
    if _is_regular(text, b"0123456789", rows, columns):
        integers = _parse_numbers(text, "int64", rows * columns)
        if integers is not None and integers.max() < 2**53:
            return integers.astype(dtype)
    if _is_regular(text, b"0123456789+-.eE", rows, columns):
        floats = _parse_numbers(text, numpy.dtype(dtype).name, rows * columns)
        if floats is not None and float(numpy.abs(floats).max()) < FLOAT32_LIMIT:
            return floats
    return None


def _is_regular(text: bytes, characters: bytes, rows: int, columns: int) -> bool:
    """Whether each line, without ``characters``, is as many commas and a line feed."""
    marks = text.translate(None, characters)
    return len(marks) == rows * columns and marks == (b"," * (columns - 1) + b"\n") * rows


@contextlib.contextmanager
def _without_warnings_of(module: str) -> Iterator[None]:
    # Filters are the process's, not the thread's: should two threads leave in the wrong order,
    # no more than this module's warnings stays hidden.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=re.escape(module))
        yield


def _parse_numbers(text: bytes, dtype: str, count: int) -> NDArray[Any] | None:
    # numpy.fromstring stops at what it can't read, with no more than a warning, after taking
    # the number before it ("1 2" gives 1). It reached the end if it found the 0 put there.
    # It takes some blank cells for numbers too, so no text with blanks comes here.
    joined = text.replace(b"\n", b",") + b"0"
    with _without_warnings_of(__name__):
        try:
            found = numpy.fromstring(joined, dtype=dtype, sep=",")
        except ValueError:
            return None
    return found[:-1] if len(found) == count + 1 else None


_NUMBER = re.compile(rb"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?")
_NOT_FINITE = re.compile(rb"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)


def _csv_faults(
    text: bytes, columns: int, first_line: int, numbers: array.array[float]
) -> Iterator[Fault]:
    """Yield what is wrong, line by line, and append the numbers to ``numbers``."""
    read = 0
    for line_number, line in enumerate(text[:-1].split(b"\n"), first_line):
        cells = line.split(b",")
        read += len(cells)
        if read >= SOME:
            bounds.check_time()
            read = 0
        if not line.strip():
            yield MalformedPayloadError, f"line {line_number} is empty"
        elif len(cells) != columns:
            sentence = f"line {line_number} has {len(cells)} columns, expected {columns}"
            yield MalformedPayloadError, sentence
        else:
            for column, cell in enumerate(cells, 1):
                if column % SOME == 0:
                    bounds.check_time()
                fault = _cell_fault(cell.strip(b" \t"), numbers)
                if fault:
                    yield fault[0], f"line {line_number}, column {column}: {fault[1]}"


def _cell_fault(cell: bytes, numbers: array.array[float]) -> Fault | None:
    if len(cell) > 1 and cell[:1] == cell[-1:] == b'"':
        cell = cell[1:-1].strip(b" \t")
    if _NUMBER.fullmatch(cell):
        number = float(cell)
        if abs(number) < FLOAT32_LIMIT:
            numbers.append(number)
            return None
    elif not _NOT_FINITE.fullmatch(cell):
        shown = quoted(cell.decode("utf-8", "replace"))
        return MalformedPayloadError, f"{shown} is not a number"
    return UnfitPayloadError, f"{quoted(cell.decode())} is not a finite float32"
