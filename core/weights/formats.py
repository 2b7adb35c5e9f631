"""Files of arrays by name, in the formats that weights come in; nothing is unpickled or run.

    .safetensors   Hugging Face: a JSON header, then the numbers
    .onnx          the initializers of a graph
    .npz           numpy, without objects
    .params        mxnet and Gluon
    .pt .pth .bin  PyTorch: a state_dict, whose pickle is followed without being run (torch_file.py)
    model.json     TensorFlow.js: a list of arrays, and the shards beside it that hold them

Of each, what it says is compared with what it holds before memory is taken: what does not add up is
refused. Sources: https://github.com/huggingface/safetensors (Format),
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3 (TensorProto),
https://github.com/tensorflow/tfjs/blob/master/tfjs-core/src/io/types.ts (WeightsManifestConfig)
"""

from __future__ import annotations

import json
import math
import mmap
import struct
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any, Callable, Dict, Iterator, Mapping, Sequence

import numpy as np

from ..data.files import check_unpacked
from ..data.npy import npy_layout
from ..data.wire import BITS32, BYTES, VARINT, WireError, fields
from ..runtime import params
from ..runtime.errors import DataError, InputError
from ..runtime.types import Array
from . import torch_file
from .faults import FormatError, check_shape, named

MAX_BYTES = params.MAX_BYTES
MAX_ARRAYS, MAX_AXES, MAX_SIZE = params.MAX_ARRAYS, params.MAX_AXES, params.MAX_SIZE
LONGEST_NAME = params.LONGEST_NAME
MAX_HEADER_BYTES = 16 * 2**20
MAX_SHARDS = 1_000
MAX_UNPACKED = 100_000  # numbers of an array that are fields of their own, which nobody writes
TFJS = "model.json"
ONNX_DTYPES = {
    1: "<f4", 2: "|u1", 3: "|i1", 6: "<i4", 7: "<i8", 10: "<f2", 11: "<f8",
}  # fmt: skip
SAFETENSORS_DTYPES = {
    "F32": "<f4", "F64": "<f8", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4",
    "I8": "|i1", "U8": "|u1",
}  # fmt: skip
TFJS_DTYPES = {"float32": "<f4", "int32": "<i4"}
GRAPH, INITIALIZER = 7, 5  # fields of ModelProto and GraphProto
_RAW, _FLOATS, _INT64S, _EXTERNAL = 9, 4, 7, 13


Arrays = Dict[str, Array]


def read(path: Path) -> Arrays:
    """The arrays of a file by name, numbers of which mxnet knows the dtype; bfloat16 becomes
    float32. Raises DataError.
    """
    reader = reader_of(path.name)
    if reader is None:
        raise DataError(f"{path}: expected a file of weights: {FORMATS}")
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise FormatError("is not a file")
        if not 0 < size <= MAX_BYTES:
            raise FormatError(f"has {size:,} bytes, expected 1 to {MAX_BYTES:,}")
        found = reader(path)
        if not found:
            raise FormatError("holds no arrays")
        for name, values in found.items():
            if str(values.dtype) not in params.DTYPES:
                raise FormatError(f"{named(name)}: has the dtype {values.dtype}, which mxnet lacks")
        return found
    except (FormatError, WireError, params.ParamsError) as error:
        raise DataError(f"{path}: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None


def reader_of(name: str) -> Callable[[Path], Arrays] | None:
    """What reads a file of this name; None where nothing does."""
    if name == TFJS:
        return _tfjs
    return _READERS.get(PurePosixPath(name).suffix.lower())


def is_beside(member: str, other: str) -> bool:
    """Whether ``other`` in an archive may be a shard of ``member``, which names them."""
    place, there = PurePosixPath(member), PurePosixPath(other)
    return place.name == TFJS and place.parent == there.parent


def _safetensors(path: Path) -> Arrays:
    content = _mapped(path)
    if len(content) < 8:
        raise FormatError("is not a safetensors file: it is too short")
    (length,) = struct.unpack_from("<Q", content)
    if not 2 <= length <= min(MAX_HEADER_BYTES, len(content) - 8):
        raise FormatError(f"is not a safetensors file: its header would have {length:,} bytes")
    header = _object(bytes(content[8 : 8 + length]), "its header")
    header.pop("__metadata__", None)
    data = content[8 + length :]
    found: Arrays = {}
    places = []
    for name, told in _counted(header.items()):
        what = named(name)
        if not isinstance(told, dict) or set(told) != {"dtype", "shape", "data_offsets"}:
            raise FormatError(f"{what}: expected dtype, shape and data_offsets")
        dtype = SAFETENSORS_DTYPES.get(str(told["dtype"]))
        if dtype is None:
            raise FormatError(
                f"{what}: has the dtype {str(told['dtype'])[:20]!r}, none of "
                f"{', '.join(SAFETENSORS_DTYPES)}"
            )
        shape = _shape(told["shape"], what)
        begin, end = _sizes(told["data_offsets"], what, 2)
        if end - begin != math.prod(shape) * np.dtype(dtype).itemsize or end > len(data):
            raise FormatError(f"{what}: its place in the file does not fit its shape {shape}")
        places.append((begin, end, what))
        values = np.frombuffer(data[begin:end], dtype).reshape(shape)
        found[name] = _from_bfloat16(values) if told["dtype"] == "BF16" else values.copy()
    _check_tiled(places, len(data))
    return found


def _check_tiled(places: Sequence[tuple[int, int, str]], size: int) -> None:
    """The arrays lie one after the other, as the format wants, so that none is counted twice."""
    last = 0
    for begin, end, what in sorted(places):
        if begin != last:
            raise FormatError(f"{what}: overlaps another array, or leaves a gap before it")
        last = end
    if last != size:
        raise FormatError(f"has {size - last:,} bytes after its last array")


def _from_bfloat16(values: Array) -> Array:
    """float32 of the upper halves of float32."""
    return (values.astype(np.uint32) << 16).view(np.float32)


def _onnx(path: Path) -> Arrays:
    found: Arrays = {}
    parts = fields(_mapped(path))
    graphs: list[Any] = [value for number, kind, value in parts if (number, kind) == (GRAPH, BYTES)]
    if len(graphs) != 1:
        raise FormatError("is not an ONNX model: it holds no graph")
    for number, kind, value in fields(graphs[0]):
        if (number, kind) == (INITIALIZER, BYTES):
            name, values = _tensor(value)
            if name in found:
                raise FormatError(f"{named(name)}: is in it twice")
            if values.size:
                found[name] = values
            _check_count(found)
    return found


def _tensor(message: Any) -> tuple[str, Array]:
    """Name and numbers of a TensorProto."""
    dims: list[int] = []
    raw: Any = None
    floats: list[Any] = []
    kind_of, name = 0, ""
    value: Any
    for number, kind, value in fields(message):
        if number == 1:
            dims += [int(value)] if kind == VARINT else _varints(value)
        elif (number, kind) == (2, VARINT):
            kind_of = value
        elif (number, kind) == (8, BYTES):
            name = bytes(value[: LONGEST_NAME + 1]).decode("utf-8", "replace")
        elif (number, kind) == (_RAW, BYTES):
            raw = value
        elif number == _FLOATS and kind in (BYTES, BITS32):
            floats.append(value)
        elif number == _EXTERNAL:
            raise FormatError(
                f"{named(name)}: its numbers lie in another file: save the model as one file"
            )
        if len(dims) > MAX_AXES or len(floats) > MAX_UNPACKED:
            raise FormatError(f"{named(name)}: is too large")
    what = named(name)
    dtype = ONNX_DTYPES.get(kind_of)
    if dtype is None:
        raise FormatError(f"{what}: has the dtype {kind_of} of ONNX, which no weights have")
    if not math.prod(dims):
        return name, np.empty(0, np.float32)
    shape = _shape(dims or [1], what)
    if raw is None:
        if kind_of != 1:  # lists of integers are no weights: shapes, axes
            return name, np.empty(0, np.float32)
        raw = b"".join(map(bytes, floats))
    if len(raw) != math.prod(shape) * np.dtype(dtype).itemsize:
        raise FormatError(f"{what}: has the shape {shape}, but {len(raw):,} bytes")
    return name, np.frombuffer(raw, dtype).reshape(shape).copy()


def _varints(message: Any) -> list[int]:
    from ..data.wire import varint

    found, position = [], 0
    while position < len(message):
        value, position = varint(message, position)
        found.append(value)
        if len(found) > MAX_AXES:
            raise FormatError("an array has too many axes")
    return found


def _npz(path: Path) -> Arrays:
    found: Arrays = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            check_unpacked(path, sum(member.file_size for member in members))
            for member in _counted(members):
                name = member.filename
                if not name.endswith(".npy"):
                    raise FormatError(f"holds {name[:80]!r}, expected arrays (.npy) alone")
                found[name[: -len(".npy")]] = _npy(archive.read(member), named(name))
    except (FormatError, InputError, OSError):
        raise
    except Exception as error:  # zipfile raises many kinds for a damaged archive
        raise FormatError(f"is not a readable npz file: {error}") from None
    return found


def _npy(body: bytes, what: str) -> Array:
    try:
        stored, fortran, shape, offset = npy_layout(body, len(body))
    except InputError as error:
        raise FormatError(f"{what}: {error}") from None
    values = np.frombuffer(body, "u1" if stored.kind == "b" else stored, offset=offset)
    return np.ascontiguousarray(values.reshape(shape, order="F" if fortran else "C"))


def _params(path: Path) -> Arrays:
    return {params.plain(name): values for name, values in params.read(path).arrays.items()}


def _tfjs(path: Path) -> Arrays:
    if path.stat().st_size > MAX_HEADER_BYTES:
        raise FormatError(f"has more than {MAX_HEADER_BYTES:,} bytes")
    groups = _object(path.read_bytes(), "it").get("weightsManifest")
    if not isinstance(groups, list):
        raise FormatError("is not a model of TensorFlow.js: it has no weightsManifest")
    found: Arrays = {}
    shards = 0
    for group in groups:
        names = group.get("paths") if isinstance(group, dict) else None
        told = group.get("weights") if isinstance(group, dict) else None
        if not isinstance(names, list) or not isinstance(told, list):
            raise FormatError("its weightsManifest names no paths and weights")
        shards += len(names)
        if shards > MAX_SHARDS:
            raise FormatError(f"names more than {MAX_SHARDS:,} shards")
        content = memoryview(b"".join(_shards(path.parent, names)))
        for name, values in _tfjs_arrays(content, told):
            if name in found:
                raise FormatError(f"{named(name)}: is in it twice")
            found[name] = values
            _check_count(found)
    return found


def _shards(folder: Path, names: Sequence[Any]) -> Iterator[bytes]:
    total = 0
    for name in names:
        if not isinstance(name, str) or PurePosixPath(name).name != name:
            raise FormatError(f"names the shard {str(name)[:80]!r}, expected a file beside it")
        total += (folder / name).stat().st_size
        if total > MAX_BYTES:
            raise FormatError(f"its shards have more than {MAX_BYTES:,} bytes")
        yield (folder / name).read_bytes()


def _tfjs_arrays(content: memoryview, told: Sequence[Any]) -> Iterator[tuple[str, Array]]:
    position = 0
    for each in told:
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            raise FormatError("its weightsManifest has weights without a name")
        what = named(each["name"])
        dtype = TFJS_DTYPES.get(str(each.get("dtype")))
        if dtype is None or "quantization" in each:
            raise FormatError(f"{what}: is quantized, or neither float32 nor int32")
        shape = _shape(each.get("shape") or [1], what)
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size > len(content) - position:
            raise FormatError(f"{what}: its shards end before it does")
        part = content[position : position + size]
        yield each["name"], np.frombuffer(part, dtype).reshape(shape).copy()
        position += size
    if position != len(content):
        raise FormatError(f"its shards have {len(content) - position:,} bytes after the last array")


def _mapped(path: Path) -> memoryview:
    with path.open("rb") as stream:
        return memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ))


def _object(content: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{what} is not JSON: {str(error)[:200]}") from None
    if not isinstance(found, dict):
        raise FormatError(f"{what} is not a JSON object")
    return found


def _counted(items: Any) -> Any:
    if len(items) > MAX_ARRAYS:
        raise FormatError(f"holds {len(items):,} arrays, expected {MAX_ARRAYS:,} at most")
    return items


def _check_count(found: Mapping[str, Array]) -> None:
    _counted(found)


def _shape(sizes: Any, what: str) -> tuple[int, ...]:
    """At least one axis: mxnet has no scalars."""
    return check_shape(tuple(_sizes(sizes, what)) or (1,), what)


def _sizes(values: Any, what: str, count: int | None = None) -> list[int]:
    right = isinstance(values, list) and all(type(v) is int and 0 <= v < 2**62 for v in values)
    if not right or (count is not None and len(values) != count):
        raise FormatError(f"{what}: expected a list of whole numbers, got {str(values)[:80]}")
    return list(values)


_READERS: Mapping[str, Callable[[Path], Arrays]] = {
    ".safetensors": _safetensors,
    ".onnx": _onnx,
    ".npz": _npz,
    ".params": _params,
    **dict.fromkeys((".pt", ".pth", ".bin"), torch_file.read),
}
FORMATS = f"{', '.join(_READERS)} or {TFJS} of TensorFlow.js"
