"""Encode answers as bytes."""

from __future__ import annotations

import csv
import functools
import io
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Iterable, Sequence

import numpy

from .content_types import JSONLINES

if TYPE_CHECKING:
    from numpy.typing import NDArray


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


def encode_answers(rows: Sequence[Any], content_type: str) -> bytes:
    """``rows``, one an answer, as JSON lines where ``content_type`` says so; else as JSON,
    ``{"predictions": rows}``.
    """
    if content_type == JSONLINES:
        return encode_jsonlines(rows)
    return encode_json({"predictions": rows})


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
    array = numpy.asarray(values, order="C")
    if array.dtype.hasobject:
        raise ValueError("an array of objects cannot be written without allow_pickle")
    return _npy_head(array.dtype, array.shape) + array.tobytes()


@functools.lru_cache(maxsize=64)
def _npy_head(dtype: numpy.dtype[Any], shape: tuple[int, ...]) -> bytes:
    """What stands before the numbers; numpy writes it slower than a small network computes."""
    stream = io.BytesIO()
    npy: Any = numpy.lib.format  # which has no types
    description = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    npy.write_array_header_1_0(stream, description)
    return stream.getvalue()


def plain(value: Any) -> Any:
    """The Python value of a numpy array, nested lists, or scalar, as ``encode_json`` writes it.

    Who writes many numbers calls it once for all of them: that is ten times as quick as one by one.
    Raises TypeError for what JSON has no form for.
    """
    if not isinstance(value, (numpy.ndarray, numpy.generic)) or value.dtype.kind == "c":
        raise TypeError(f"{type(value).__name__} cannot be written as JSON")
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
