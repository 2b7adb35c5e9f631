"""Decode request bodies into examples.

A body is untrusted: nothing in it is unpickled or evaluated, sizes are checked before memory
is taken, and whatever is wrong with it is a ``PayloadError`` that says where. Places count
from 1, in lines, columns, examples and elements: ``example 3, element (2, 5)``.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import sys
from typing import TYPE_CHECKING, Any, Iterator, Sequence

import numpy

from ..data import images
from ..data.npy import MAX_DIMENSIONS, decode_npy
from ..data.numbers import DENSE_BYTES, FLOAT32_LIMIT, MAX_CELL, SOME, parse_csv
from ..runtime import bounds
from ..runtime.errors import InputError, MalformedPayloadError, PayloadError, UnfitPayloadError
from ..runtime.faults import empty_body, place_of, quoted, refuse
from .content_types import CSV, JSON, JSONLINES, NPY, TEXT, check_content_type, media_type

if TYPE_CHECKING:
    from typing import Tuple, Type

    from numpy.typing import NDArray

    Fault = Tuple[Type[InputError], str]
MAX_DIGITS = 4300  # of one integer: Python's own limit, in the versions that have one
# About what Python's objects take: a str with its place in a list, and in JSON each sign.
STR_BYTES = 60
JSON_BYTES = {",": 32, '"': 16, "[": 64, "{": 240}


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
        raise empty_body("at least one example")
    if media == CSV:
        rows = _csv_rows(text)
        bounds.check_examples(len(rows))
        return rows
    records: list[Any] = []
    if media == JSON:
        records = _json_records(text)
    else:
        refuse(_jsonlines_faults(text, records))
    if not records:
        raise empty_body("at least one example")
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


def decode_json(body: bytes) -> Any:
    """What a body of JSON holds, as Python objects. Raises as ``decode_records``."""
    text = _text(body)
    if not text.strip():
        raise empty_body("a document of JSON")
    _charge_json(text)
    return _parse_json(text)


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


_TOO_LONG = f"an integer has more than {MAX_DIGITS:,} digits, the maximum"


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
    return quoted(value) if isinstance(value, str) else json.dumps(value)[:40]


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
        return decode_npy(body)
    if media != CSV:
        return _array_of(decode_records(body, media), dtype)
    bounds.charge(DENSE_BYTES * (body.count(b",") + body.count(b"\n")))
    values = parse_csv(body, dtype=dtype)
    bounds.check_examples(len(values))
    if not len(values):
        raise empty_body("at least one line of numbers, separated by commas")
    return values


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
        refuse(
            (UnfitPayloadError, f"{place_of(number, element)}: {sentence}")
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


# Images

decode_image = images.decode  # by the name that plugins know; it is at home with files
