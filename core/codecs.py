"""Request bodies into examples, answers into bytes: eight content types, one home.

A body is untrusted: nothing in it is unpickled or evaluated, sizes are checked before memory
is taken, and whatever is wrong with it is a ``PayloadError`` that says where. Places count
from 1, in lines, columns, examples and elements: ``example 3, element (2, 5)``.
"""

from __future__ import annotations

import array
import contextlib
import csv
import functools
import io
import itertools
import json
import math
import re
import struct
import sys
import warnings
from pathlib import PurePath
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Sequence

import numpy

from .data import images
from .errors import (
    InputError,
    MalformedPayloadError,
    NotAcceptableError,
    PayloadError,
    UnfitPayloadError,
    UnsupportedContentTypeError,
    did_you_mean,
)
from .runtime import bounds

if TYPE_CHECKING:
    import os
    from typing import Tuple, Type

    from numpy.typing import NDArray

    Fault = Tuple[Type[InputError], str]

CSV = "text/csv"
JSON = "application/json"
JSONLINES = "application/jsonlines"
NPY = "application/x-npy"
TEXT = "text/plain"
PNG = "image/png"
JPEG = "image/jpeg"
WEBP = "image/webp"
RECORDIO_PROTOBUF = "application/x-recordio-protobuf"

FORM = "application/x-www-form-urlencoded"  # what curl -d says unless it is told otherwise

UTF8_MARK = b"\xef\xbb\xbf"

MAX_FAULTS = 10  # shown
MAX_COUNTED = 1000  # a body that is all faults must not cost more than a good one
SOME = 1024  # steps after which the clock is looked at
MAX_NPY_HEADER = 4096
MOST_NPY_HEAD = 12 + MAX_NPY_HEADER  # with what stands before it
MAX_DIMENSIONS = 32  # numpy's own limit
MAX_CELL = 2**28  # characters in a cell of a CSV; Python's own limit is 2**17
MAX_DIGITS = 4300  # of one integer: Python's own limit, in the versions that have one
DENSE_BYTES = 24  # of a number that is read from text into an array
# About what Python's objects take: a str with its place in a list, and in JSON each sign.
STR_BYTES = 60
JSON_BYTES = {",": 32, '"': 16, "[": 64, "{": 240}
FLOAT32_LIMIT = float.fromhex("0x1.ffffffp127")  # from here on, float32 rounds to infinity

_ALIASES = {
    "application/csv": CSV,
    "text/json": JSON,
    "application/jsonl": JSONLINES,
    "application/x-jsonlines": JSONLINES,
    "application/x-jsonl": JSONLINES,
    "application/ndjson": JSONLINES,
    "application/x-ndjson": JSONLINES,
    "image/jpg": JPEG,
    "*": "*/*",  # what Java's HttpURLConnection sends as Accept
}
_EXTENSIONS = {
    ".csv": CSV,
    ".json": JSON,
    ".npy": NPY,
    ".png": PNG,
    ".jpg": JPEG,
    ".jpeg": JPEG,
    ".webp": WEBP,
    ".jsonl": JSONLINES,
    ".jsonlines": JSONLINES,
    ".ndjson": JSONLINES,
    ".pbr": RECORDIO_PROTOBUF,
    ".txt": TEXT,
}
_QUALITY = re.compile(r";\s*q\s*=\s*(\d+(?:\.\d*)?|\.\d+)\s*(?:;|$)", re.IGNORECASE)


# Content types


@functools.lru_cache(maxsize=512)
def media_type(content_type: str) -> str:
    """The bare, lower-case type of a Content-Type header: ``text/csv; label_size=0`` is
    ``text/csv``. Other names of the eight types (``application/x-ndjson``) become theirs.
    """
    bare = content_type.split(";", 1)[0].strip().lower()
    return _ALIASES.get(bare, bare)


def check_content_type(content_type: str, accepted: Sequence[str]) -> str:
    """The media type, if it is one of ``accepted``.

    Raises UnsupportedContentTypeError, which lists what is accepted.
    """
    media = media_type(content_type)
    if any(media == media_type(name) for name in accepted):
        return media
    expected = f"expected {either(accepted)}"
    if media in ("", FORM):
        said = (
            f"Content-Type is {FORM}, which curl -d says of any body"
            if media
            else "no Content-Type"
        )
        raise UnsupportedContentTypeError(
            f"{said}: say what the body is by a header, as in "
            f"curl -H 'Content-Type: {accepted[0]}' --data-binary @FILE; {expected}"
        )
    raise UnsupportedContentTypeError(
        f"content type {_shown(media)} is not accepted{did_you_mean(media, accepted)}: {expected}"
    )


def parameter(content_type: str, name: str, choices: Sequence[str]) -> str | None:
    """The value of a parameter of a Content-Type header: ``no`` of ``image/png; invert=no``.

    None where it is not given. Raises UnfitPayloadError for a value that is none of ``choices``.
    """
    for part in content_type.split(";")[1:]:
        key, _, value = part.partition("=")
        if key.strip().lower() == name:
            value = value.strip().strip('"').lower()
            if value not in choices:
                raise UnfitPayloadError(
                    f"the content type's {name} is {_shown(value)}{did_you_mean(value, choices)}: "
                    f"expected {either(choices)}"
                )
            return value
    return None


def content_type_of(path: str | os.PathLike[str]) -> str:
    """The content type that a file's extension stands for.

    Raises UnsupportedContentTypeError, which lists the known extensions.
    """
    extension = PurePath(path).suffix.lower()
    if extension in _EXTENSIONS:
        return _EXTENSIONS[extension]
    raise UnsupportedContentTypeError(
        f"{path}: no content type is known for the extension {extension!r}"
        f"{did_you_mean(extension, _EXTENSIONS)}: expected {either(list(_EXTENSIONS))}; "
        "for any other file, pass --content-type"
    )


def endings(accepted: Sequence[str]) -> str:
    """How the names of files end that hold one of the content types ``accepted``, for people."""
    return either([ending for ending, kind in _EXTENSIONS.items() if kind in accepted])


def negotiate(accept: str | None, offered: Sequence[str]) -> str:
    """The one of ``offered`` that an HTTP Accept header (RFC 9110, 12.5.1) likes best.

    The most specific range decides an offer's quality; the earlier offer wins a tie; without
    a header it is the first. An unreadable quality counts as 1.
    Raises NotAcceptableError, which lists the offers.
    """
    return _negotiated(accept or "", tuple(offered))


@functools.lru_cache(maxsize=512)
def _negotiated(accept: str, offered: tuple[str, ...]) -> str:
    if not accept.strip(" \t,"):
        return offered[0]
    ranges: dict[str, float] = {}
    for element in accept.split(","):
        found = _QUALITY.search(element)
        name = media_type(element)
        ranges[name] = max(ranges.get(name, 0.0), min(float(found[1]), 1.0) if found else 1.0)

    def quality(offer: str) -> float:
        media = media_type(offer)
        names = (media, media.split("/")[0] + "/*", "*/*")
        return next((ranges[name] for name in names if name in ranges), 0.0)

    best = max(offered, key=quality)
    if quality(best) > 0:
        return best
    raise NotAcceptableError(
        f"nothing satisfies Accept: {_shown(accept)}; offered is {either(offered)}"
    )


# Faults


def _refuse(
    faults: Iterable[Fault], error: type[InputError] | None = None, source: str = ""
) -> None:
    """Raise what faults there are: the first ones, and the number of the others.

    The class is ``error``; without it, the body is malformed if any of its faults says so.
    """
    counted = list(itertools.islice(faults, MAX_COUNTED))
    if not counted:
        return
    shown = [f"{source}: {text}" if source else text for _, text in counted[:MAX_FAULTS]]
    more = len(counted) - len(shown)
    if more:
        at_least = "at least " if len(counted) == MAX_COUNTED else ""
        shown.append(f"... and {at_least}{more} more")
    malformed = any(kind is MalformedPayloadError for kind, _ in counted)
    raise (error or (MalformedPayloadError if malformed else UnfitPayloadError))(*shown)


def _empty(expected: str) -> MalformedPayloadError:
    return MalformedPayloadError(f"the body is empty: expected {expected}")


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def either(names: Sequence[str]) -> str:
    """``a, b or c``."""
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _place(example: int, element: Sequence[int]) -> str:
    if not element:
        return f"example {example}"
    inner = element[0] if len(element) == 1 else tuple(element)
    return f"example {example}, element {inner}"


@contextlib.contextmanager
def _without_warnings_of(module: str) -> Iterator[None]:
    # Filters are the process's, not the thread's: should two threads leave in the wrong order,
    # no more than this module's warnings stays hidden.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=re.escape(module))
        yield


# Records


def decode_records(body: bytes, content_type: str) -> list[Any]:
    """The examples of a JSON, JSON Lines, CSV or text body, as Python objects; at least one.

    - JSON: a list of examples, or ``{"instances": [...]}``.
    - JSON Lines: one example a line; blank lines don't count.
    - CSV: a list of str for each row; cells may be quoted.
    - Text: a str for each line, empty ones too; lines end in LF or CRLF.

    A JSON example may be wrapped as SageMaker wraps it, in ``{"features": X}`` or
    ``{"data": {"features": {"values": X}}}``, and is then ``X``; other objects stay.
    Source: https://docs.aws.amazon.com/sagemaker/latest/dg/cdf-inference.html

    Raises MalformedPayloadError (no UTF-8, doesn't parse, empty, nested too deep),
    UnfitPayloadError (NaN or Infinity, a JSON body that is no list),
    UnsupportedContentTypeError.
    """
    media = check_content_type(content_type, (JSON, JSONLINES, CSV, TEXT))
    text = _text(body)
    if media == TEXT and text:
        count = text.count("\n") + (not text.endswith("\n"))
        bounds.check_examples(count)
        bounds.charge(STR_BYTES * count)
        lines = text[:-1].split("\n") if text.endswith("\n") else text.split("\n")
        return [line[:-1] if line.endswith("\r") else line for line in lines]
    if not text.strip():
        raise _empty("at least one example")
    if media == CSV:
        rows = _csv_rows(text)
        bounds.check_examples(len(rows))
        return rows
    records: list[Any] = []
    if media == JSON:
        records = _json_records(text)
    else:
        _refuse(_jsonlines_faults(text, records))
    if not records:
        raise _empty("at least one example")
    bounds.check_examples(len(records))
    return [_unwrap(record) for record in records]


def lines_of_records(body: bytes, content_type: str) -> list[int]:
    """The lines, from 1, at which the records of a body begin that ``decode_records`` takes.

    Empty for a content type whose records have none of their own.
    """
    media = media_type(content_type)
    if media not in (JSONLINES, CSV, TEXT):
        return []
    text = _text(body)
    if media != CSV:
        numbered = enumerate(text.split("\n"), 1)
        return [number for number, line in numbered if media == TEXT or line.strip(" \t\r")]
    starts, reader = [], csv.reader(io.StringIO(_ending_in_lf(text), newline=""))
    start = 1
    for _ in reader:
        starts.append(start)
        start = reader.line_num + 1
    return starts


def _text(body: bytes) -> str:
    bounds.charge(len(body) if body.isascii() else 4 * len(body))
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedPayloadError(
            f"byte offset {error.start}: not UTF-8 ({error.reason}); send the text as UTF-8"
        ) from None
    return text[1:] if text.startswith("\ufeff") else text


def _csv_rows(text: str) -> list[list[str]]:
    csv.field_size_limit(MAX_CELL)  # the process's, but nobody is worse off
    text = _ending_in_lf(text)
    bounds.charge(STR_BYTES * (text.count(",") + text.count("\n")))
    reader = csv.reader(io.StringIO(text.rstrip("\r\n"), newline=""), strict=True)
    rows = []
    try:
        for row in reader:
            if not row:
                raise MalformedPayloadError(f"line {reader.line_num} is empty")
            rows.append(row)
            if len(rows) % SOME == 0:
                bounds.check_examples(len(rows))
                bounds.check_time()
    except csv.Error as error:
        raise MalformedPayloadError(f"line {reader.line_num}: {error}") from None
    return rows


def _ending_in_lf(text: str) -> str:
    """``text`` with LF at its lines' ends, where it knows CR alone, as old Macs wrote it."""
    return text if "\n" in text else text.replace("\r", "\n")


def _json_records(text: str) -> list[Any]:
    _charge_json(text)
    value = _parse_json(text)
    if isinstance(value, dict) and isinstance(value.get("instances"), list):
        value = value["instances"]
    if not isinstance(value, list):
        raise UnfitPayloadError(
            f"the body is {_named(value)}: expected a list of examples, or an object whose "
            '"instances" is one; a single example is sent as a list of one'
        )
    return value


def _charge_json(text: str) -> None:
    bounds.charge(sum(size * text.count(sign) for sign, size in JSON_BYTES.items()))


def _jsonlines_faults(text: str, records: list[Any]) -> Iterator[Fault]:
    """Yield what is wrong, line by line, and append the values to ``records``."""
    _charge_json(text)
    bounds.charge(STR_BYTES * text.count("\n"))
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip(" \t\r"):
            if number % SOME == 0:
                bounds.check_examples(len(records))
                bounds.check_time()
            try:
                records.append(_parse_json(line, number))
            except PayloadError as error:
                yield type(error), error.faults[0]


def _unwrap(example: Any) -> Any:
    for path in (("features",), ("data", "features", "values")):
        inner = example
        for key in path:
            if not (isinstance(inner, dict) and list(inner) == [key]):
                break
            inner = inner[key]
        else:
            return inner
    return example


class _NotFiniteError(ValueError):
    pass


def _refuse_constant(name: str) -> None:
    raise _NotFiniteError(name)


_TOO_LONG = f"an integer has more than {MAX_DIGITS:,} digits, the most expected"


def _bounded_int(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(_TOO_LONG)
    return int(digits)


# The time that int() takes grows with the square of the digits: an old Python, such as the
# one in AWS's containers, sets itself no limit, and a hook for every integer costs a newer one.
_PARSE_INT = None if hasattr(sys, "set_int_max_str_digits") else _bounded_int
_JSON = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_PARSE_INT)
_STRING_OR_CONSTANT = re.compile(r'"[^"]*"|(NaN|-?Infinity)')


def half_character(text: str, first_line: int = 1) -> str:
    """Where JSON escapes half of a surrogate pair alone, and what is wrong; empty where it doesn't.

    Such a text has no UTF-8 (RFC 8259, 8.2): it comes of a cut through an emoji.
    """
    if not _MAY_BE_HALF.search(text):
        return ""
    found = next((each for each in _ESCAPE.finditer(text) if each[1]), None)
    if found is None:
        return ""
    start = found.start()
    line = first_line + text.count("\n", 0, start)
    return (
        f"line {line}, column {start - text.rfind(chr(10), 0, start)}: {found[1]} is half of a "
        "character (a surrogate without its other half): mend the text, or write \\ufffd there"
    )


_HIGH, _LOW = r"\\u[dD][89abAB][0-9a-fA-F]{2}", r"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(rf"{_HIGH}{_LOW}|({_HIGH}|{_LOW})|\\.", re.DOTALL)
# Quick, and may be mistaken where a backslash is escaped itself.
_MAY_BE_HALF = re.compile(rf"{_HIGH}(?!{_LOW})|(?<!{_HIGH}){_LOW}|\\\\u[dD]")


def _parse_json(text: str, first_line: int = 1) -> Any:
    half = half_character(text, first_line)
    if half:
        raise MalformedPayloadError(half)
    try:
        return _JSON.decode(text)
    except json.JSONDecodeError as error:
        place = f"line {first_line + error.lineno - 1}, column {error.colno}"
        raise MalformedPayloadError(f"{place}: {error.msg}") from None
    except _NotFiniteError as error:
        # Without what is escaped, in as many characters: a pattern that knew of it would take
        # memory for each of them.
        plain = text.replace("\\\\", "__").replace('\\"', "__")
        start = next(m.start(1) for m in _STRING_OR_CONSTANT.finditer(plain) if m[1])
        line = first_line + text.count("\n", 0, start)
        column = start - text.rfind("\n", 0, start)
        place = f"line {line}, column {column}"
        raise UnfitPayloadError(f"{place}: {error} is not a finite number") from None
    except RecursionError:
        raise MalformedPayloadError(f"line {first_line}: nested too deep") from None
    except ValueError as error:
        said = _TOO_LONG if "digit" in str(error) else error  # Python's own text is no help here
        raise MalformedPayloadError(f"line {first_line}: {said}") from None


def _named(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    return _shown(value) if isinstance(value, str) else json.dumps(value)[:40]


# Arrays


def decode_array(body: bytes, content_type: str, dtype: type[Any] = numpy.float32) -> NDArray[Any]:
    """The numeric examples of a body, ``(N, ...)``, N at least 1, every number finite.

    ``dtype`` is float32, or float64 for whoever needs all digits of a text.

    - CSV: ``(N, columns) dtype``, without a header line.
    - JSON, JSON Lines: ``(N, ...) dtype`` from nested lists, all of one shape; bodies and
      wrappings as in ``decode_records``.
    - npy, format 1 to 3: bool, int, uint or float of 16 to 64 bits; the shape and dtype of the
      body, in C order and native byte order.

    Raises MalformedPayloadError (doesn't parse, empty, an npy body of another length than its
    header says), UnfitPayloadError (ragged, no number, not finite or beyond float32, another
    dtype), UnsupportedContentTypeError.
    """
    media = check_content_type(content_type, (CSV, JSON, JSONLINES, NPY))
    if media == NPY:
        return _decode_npy(body)
    if media != CSV:
        return _array_of(decode_records(body, media), dtype)
    bounds.charge(DENSE_BYTES * (body.count(b",") + body.count(b"\n")))
    values = parse_csv(body, dtype=dtype)
    bounds.check_examples(len(values))
    if not len(values):
        raise _empty("at least one line of numbers, separated by commas")
    return values


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
        _refuse(_csv_faults(text, width, first_line, exact), error, source)
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
        shown = _shown(cell.decode("utf-8", "replace"))
        return MalformedPayloadError, f"{shown} is not a number"
    return UnfitPayloadError, f"{_shown(cell.decode())} is not a finite float32"


def _array_of(examples: list[Any], dtype: type[Any]) -> NDArray[Any]:
    bounds.check_time()
    shape = _shape(examples[0])
    if len(shape) >= MAX_DIMENSIONS:
        raise UnfitPayloadError(
            f"example 1 is a list nested {len(shape)} deep, expected {MAX_DIMENSIONS - 1} at most"
        )
    if 0 in shape:
        raise UnfitPayloadError("example 1 holds no number, expected at least one")
    values = _regular_array(examples, shape, dtype)
    if values is None:
        _refuse(
            (UnfitPayloadError, f"{_place(number, element)}: {sentence}")
            for number, example in enumerate(_watched(examples), 1)
            for element, sentence in _misfits(example, shape)
        )
        raise AssertionError("an irregular array without a fault")  # pragma: no cover
    return values


def _watched(examples: Sequence[Any]) -> Iterator[Any]:
    """``examples``, with a look at the clock now and then."""
    for number, example in enumerate(examples):
        if number % SOME == 0:
            bounds.check_time()
        yield example


def _shape(value: Any) -> tuple[int, ...]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    return tuple(shape)


def _regular_array(
    examples: list[Any], shape: tuple[int, ...], dtype: type[Any]
) -> NDArray[Any] | None:
    """``(N, *shape) dtype``, or None for whatever is doubtful."""
    level = examples
    for size in shape:
        if any(type(value) is not list or len(value) != size for value in level):
            return None
        level = list(itertools.chain.from_iterable(level))
    if not set(map(type, level)) <= {int, float}:  # numpy would read "1" and true as numbers
        return None
    try:
        values = numpy.array(level, numpy.float64)
    except OverflowError:
        return None
    if not (numpy.abs(values) < FLOAT32_LIMIT).all():
        return None
    return values.astype(dtype).reshape(len(examples), *shape)


def _misfits(
    value: Any, shape: tuple[int, ...], element: tuple[int, ...] = ()
) -> Iterator[tuple[tuple[int, ...], str]]:
    """Yield the element and what is wrong there, where value is no array of that shape."""
    if shape and not isinstance(value, list):
        yield element, f"{_named(value)}, expected a list of {shape[0]}, as in example 1"
    elif shape and len(value) != shape[0]:
        yield element, f"a list of {len(value)}, expected a list of {shape[0]}, as in example 1"
    elif shape:
        bounds.check_time()
        for position, inner in enumerate(value, 1):
            if position % SOME == 0:
                bounds.check_time()
            yield from _misfits(inner, shape[1:], (*element, position))
    elif type(value) not in (int, float):
        yield element, f"{_named(value)}, expected a number"
    elif not abs(value) < FLOAT32_LIMIT:
        shown = value if isinstance(value, float) else "an integer beyond float32's range"
        yield element, f"{shown} is not a finite float32"


# The header is read by these patterns, not by numpy: numpy's reader evaluates it as a Python
# literal, up to 4 GB of it before numpy 1.24, and Python 3.8's parser prints to stderr when
# that is nested too deep.
_NPY_DESCR = re.compile(rb"'descr'\s*:\s*(?:'([^']*)'|\[)")
_NPY_ORDER = re.compile(rb"'fortran_order'\s*:\s*(True|False)")
_NPY_SHAPE = re.compile(rb"'shape'\s*:\s*\(([\d\s,]*)\)")
_NPY_DTYPE = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248])")


def _decode_npy(body: bytes) -> NDArray[Any]:
    if not body:
        raise _empty("an array in npy format, as numpy.save writes it")
    stored, fortran_order, shape, offset = npy_layout(body, len(body))
    bounds.check_examples(shape[0])
    bounds.charge(8 * math.prod(shape))
    # A bool is read as a byte: numpy's arithmetic goes wrong on a bool that is neither 0 nor 1.
    raw = numpy.frombuffer(body, "u1" if stored.kind == "b" else stored, offset=offset)
    ordered = raw.reshape(shape, order="F" if fortran_order else "C")
    values = numpy.array(ordered, stored.newbyteorder("="), order="C")
    if stored.kind == "f":
        _refuse(_not_finite(values))
    return values


def npy_layout(body: bytes, size: int) -> tuple[numpy.dtype[Any], bool, tuple[int, ...], int]:
    """dtype, whether in Fortran order, shape, and where the data begins, of an npy of ``size``.

    ``body`` need not be longer than MOST_NPY_HEAD. Raises as ``decode_array`` does.
    """
    descr, fortran_order, shape, offset = _npy_header(body)
    if not _NPY_DTYPE.fullmatch(descr):
        raise UnfitPayloadError(
            f"the npy array's dtype is {_shown(descr)}, expected bool, int, uint or float"
        )
    if not 0 < len(shape) <= MAX_DIMENSIONS:
        raise UnfitPayloadError(
            f"the npy array has {len(shape)} dimensions, expected 1 to {MAX_DIMENSIONS}, "
            "the examples being the first"
        )
    stored = numpy.dtype(descr)
    promised, held = math.prod(shape) * stored.itemsize, size - offset
    if promised != held:
        raise MalformedPayloadError(
            f"the npy header promises {promised} bytes of data (shape {shape}, {descr}), "
            f"the body holds {held}"
        )
    if not promised:
        raise _empty(f"at least one example and one number in it, not shape {shape}")
    return stored, fortran_order, shape, offset


def _npy_header(body: bytes) -> tuple[str, bool, tuple[int, ...], int]:
    """dtype, whether in Fortran order, shape, and where the data begins.

    Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
    """
    if body[:6] != b"\x93NUMPY" or len(body) < 12:
        raise MalformedPayloadError("the body is no npy array: expected what numpy.save writes")
    if body[6:8] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise MalformedPayloadError(
            f"npy format {body[6]}.{body[7]} is unknown, expected 1.0, 2.0 or 3.0"
        )
    start, layout = (10, "<H") if body[6] == 1 else (12, "<I")
    (length,) = struct.unpack_from(layout, body, 8)
    if length > min(MAX_NPY_HEADER, len(body) - start):
        raise MalformedPayloadError(
            f"the npy header promises {length} bytes for itself, expected {MAX_NPY_HEADER} at "
            f"most; the body holds {len(body) - start}"
        )
    header = body[start : start + length]
    descr, order, shape = (
        pattern.search(header) for pattern in (_NPY_DESCR, _NPY_ORDER, _NPY_SHAPE)
    )
    if not (descr and order and shape):
        raise MalformedPayloadError(
            "the npy header is unreadable: expected {'descr': '<f4', 'fortran_order': False, "
            "'shape': (3, 4)} or the like"
        )
    name = (descr[1] or b"structured").decode("utf-8", "replace")
    sizes = tuple(int(size) for size in re.findall(rb"\d+", shape[1]))
    return name, order[1] == b"True", sizes, start + length


def _not_finite(values: NDArray[Any]) -> Iterator[Fault]:
    finite = numpy.isfinite(values)
    if finite.all():
        return
    # Of all their places, the indices would take many times what the body does.
    beyond = numpy.flatnonzero(~finite)[:MAX_COUNTED]
    for example, *element in zip(*(i.tolist() for i in numpy.unravel_index(beyond, finite.shape))):
        place = _place(example + 1, [position + 1 for position in element])
        yield UnfitPayloadError, f"{place}: not a finite number"


# Images

decode_image = images.decode  # by the name that plugins know; it is at home with files


# Answers


def encode_json(value: Any) -> bytes:
    """Compact JSON in ASCII. numpy's arrays become nested lists, its scalars numbers; a float
    is the shortest text that reads back as the same number of its dtype (float32: ``0.1``).

    Raises ValueError for NaN and infinity, TypeError for what JSON has no form for.
    """
    return _ENCODER.encode(value).encode("ascii")


def encode_jsonlines(rows: Iterable[Any]) -> bytes:
    """``encode_json`` of each row, each followed by a line feed."""
    return b"".join(encode_json(row) + b"\n" for row in rows)


def encode_csv(rows: Iterable[Any]) -> bytes:
    """CSV in UTF-8, lines ending in LF. A row is a sequence of cells, or a single cell; numbers
    are written as by ``encode_json``.

    Raises ValueError for NaN and infinity, TypeError for a cell that is a list or an object.
    """
    lines: list[str] = []
    # It quotes both characters of its line end, and those only.
    writer = csv.writer(SimpleNamespace(write=lines.append))
    for row in json.loads(encode_json(list(rows))):
        cells = row if isinstance(row, list) else [row]
        if any(isinstance(cell, (list, dict)) for cell in cells):
            raise TypeError("a cell of a CSV is one value, not a list or an object")
        writer.writerow(cells)
    text = "".join(line[:-2] + "\n" for line in lines)
    return text.encode("utf-8", "replace")  # half a surrogate pair has no UTF-8


def encode_npy(values: Any) -> bytes:
    """An array in npy format 1.0, in C order. Raises ValueError for objects: never pickles."""
    stream = io.BytesIO()
    numpy.save(stream, numpy.asarray(values, order="C"), allow_pickle=False)
    return stream.getvalue()


def joined_npy(bodies: Sequence[bytes]) -> NDArray[Any]:
    """The arrays (N, …) that ``encode_npy`` wrote, alike but in N, one after the other."""
    arrays = []
    for body in bodies:
        stored, fortran_order, shape, offset = npy_layout(body, len(body))
        raw = numpy.frombuffer(body, stored, offset=offset)
        arrays.append(raw.reshape(shape, order="F" if fortran_order else "C"))
    return numpy.concatenate(arrays)


def plain(value: Any) -> Any:
    """The Python value of a numpy array, nested lists, or scalar, as ``encode_json`` writes it.

    Who writes many numbers calls it once for all of them: that is ten times as quick as one by one.
    Raises TypeError for what JSON has no form for.
    """
    if not isinstance(value, (numpy.ndarray, numpy.generic)) or value.dtype.kind == "c":
        raise TypeError(f"{type(value).__name__} has no form in JSON")
    if value.dtype.kind != "f" or value.dtype == numpy.float64:
        return value.tolist()
    if isinstance(value, numpy.generic):
        return float(str(value))
    return _shortest(value.ravel()).reshape(value.shape).tolist()


_ENCODER = json.JSONEncoder(default=plain, separators=(",", ":"), allow_nan=False)
_POWERS = 10.0 ** numpy.arange(23)  # the powers of ten that a float64 holds exactly
_FEW = 200  # numbers, for which text is quicker


def _shortest(values: NDArray[Any]) -> NDArray[Any]:
    """The float64 (N,) of the shortest decimals that read back as ``values`` (N,) of lower dtype.

    A decimal of 6 to 9 digits is an integer and a power of ten, exact in float64, and their
    quotient is rounded as text would be: the first that reads back is the one.
    """
    found = values.astype(numpy.float64)
    size = numpy.abs(found)
    few = len(values) < _FEW or values.dtype != numpy.float32
    usual = (size >= 1e-9) & (size < 1e9) & (not few)
    for index in numpy.flatnonzero(~usual & (size > 0)).tolist():
        found[index] = float(str(values[index]))
    left = numpy.flatnonzero(usual)
    exponents = numpy.floor(numpy.log10(size[left])).astype(numpy.int64)
    for digits in range(6, 10):
        if not len(left):
            break
        places = digits - 1 - exponents
        up, down = _POWERS[numpy.maximum(places, 0)], _POWERS[numpy.maximum(-places, 0)]
        near = numpy.rint(found[left] * up / down) * down / up
        same = near.astype(numpy.float32) == values[left]
        found[left[same]] = near[same]
        left, exponents = left[~same], exponents[~same]
    return found
