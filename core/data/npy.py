"""numpy's npy format, with a header that is parsed without being evaluated."""

from __future__ import annotations

import functools
import math
import re
import struct
from typing import TYPE_CHECKING, Any, Iterator, Sequence

import numpy

from ..runtime import bounds
from ..runtime.errors import InputError, MalformedPayloadError, UnfitPayloadError
from ..runtime.faults import MAX_COUNTED, empty_body, place_of, quoted, refuse

if TYPE_CHECKING:
    from typing import Tuple, Type

    from numpy.typing import NDArray

    Fault = Tuple[Type[InputError], str]
MAX_NPY_HEADER = 4096
MAX_NPY_HEAD = 12 + MAX_NPY_HEADER  # with what stands before it
MAX_DIMENSIONS = 32  # numpy's own limit


# The header is read by these patterns, not by numpy: numpy's reader evaluates it as a Python
# literal, up to 4 GB of it before numpy 1.24, and Python 3.8's parser prints to stderr when
# that is nested too deep.
_NPY_DESCR = re.compile(rb"'descr'\s*:\s*(?:'([^']*)'|\[)")
_NPY_ORDER = re.compile(rb"'fortran_order'\s*:\s*(True|False)")
_NPY_SHAPE = re.compile(rb"'shape'\s*:\s*\(([\d\s,]*)\)")
_NPY_DTYPE = re.compile(r"[<>|=]?(?:b1|[iu][1248]|f[248])")


def decode_npy(body: bytes) -> NDArray[Any]:
    if not body:
        raise empty_body("an array in npy format, as numpy.save writes it")
    stored, fortran_order, shape, offset = npy_layout(body, len(body))
    bounds.check_examples(shape[0])
    bounds.charge(8 * math.prod(shape))
    # A bool is read as a byte: numpy's arithmetic goes wrong on a bool that is neither 0 nor 1.
    raw = numpy.frombuffer(body, "u1" if stored.kind == "b" else stored, offset=offset)
    ordered = raw.reshape(shape, order="F" if fortran_order else "C")
    values = numpy.array(ordered, stored.newbyteorder("="), order="C")
    if stored.kind == "f":
        refuse(_not_finite(values))
    return values


def npy_layout(body: bytes, size: int) -> tuple[numpy.dtype[Any], bool, tuple[int, ...], int]:
    """dtype, whether in Fortran order, shape, and where the data begins, of an npy of ``size``.

    ``body`` need not be longer than MAX_NPY_HEAD. Raises as ``decode_array`` does.
    """
    descr, fortran_order, shape, offset = _npy_header(body)
    if not _NPY_DTYPE.fullmatch(descr):
        raise UnfitPayloadError(
            f"the npy array's dtype is {quoted(descr)}, expected bool, int, uint or float"
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
            f"the npy header announces {promised} bytes of data (shape {shape}, {descr}), "
            f"the body holds {held}"
        )
    if not promised:
        raise empty_body(f"at least one example and one number in it, not shape {shape}")
    return stored, fortran_order, shape, offset


def _npy_header(body: bytes) -> tuple[str, bool, tuple[int, ...], int]:
    """dtype, whether in Fortran order, shape, and where the data begins.

    Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
    """
    if body[:6] != b"\x93NUMPY" or len(body) < 12:
        raise MalformedPayloadError("the body is not an npy array, as numpy.save writes it")
    if body[6:8] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise MalformedPayloadError(
            f"npy format {body[6]}.{body[7]} is unknown, expected 1.0, 2.0 or 3.0"
        )
    start, layout = (10, "<H") if body[6] == 1 else (12, "<I")
    (length,) = struct.unpack_from(layout, body, 8)
    if length > min(MAX_NPY_HEADER, len(body) - start):
        raise MalformedPayloadError(
            f"the npy header announces a length of {length} bytes, expected {MAX_NPY_HEADER} at "
            f"most; the body holds {len(body) - start}"
        )
    return (*_header_fields(body[start : start + length]), start + length)


@functools.lru_cache(maxsize=64)  # whoever asks again and again sends arrays of a few shapes
def _header_fields(header: bytes) -> tuple[str, bool, tuple[int, ...]]:
    """dtype, whether in Fortran order, and shape."""
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
    return name, order[1] == b"True", sizes


def _not_finite(values: NDArray[Any]) -> Iterator[Fault]:
    finite = numpy.isfinite(values)
    if finite.all():
        return
    # Of all their places, the indices would take many times what the body does.
    beyond = numpy.flatnonzero(~finite)[:MAX_COUNTED]
    for example, *element in zip(*(i.tolist() for i in numpy.unravel_index(beyond, finite.shape))):
        place = place_of(example + 1, [position + 1 for position in element])
        yield UnfitPayloadError, f"{place}: not a finite number"


def joined_npy(bodies: Sequence[bytes]) -> NDArray[Any]:
    """The arrays (N, …) that ``encode_npy`` wrote, alike but in N, one after the other."""
    arrays = []
    for body in bodies:
        stored, fortran_order, shape, offset = npy_layout(body, len(body))
        raw = numpy.frombuffer(body, stored, offset=offset)
        arrays.append(raw.reshape(shape, order="F" if fortran_order else "C"))
    return numpy.concatenate(arrays)
