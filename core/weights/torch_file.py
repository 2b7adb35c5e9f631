"""The tensors of a file that PyTorch saved (``state_dict``), without unpickling it.

Such a file is a pickle, a program that builds objects, and the numbers beside it: in a zip archive,
or before PyTorch 1.6 behind it. The program is followed here step by step, and nothing is run: of
what it may name, twelve are known, and become a dict, a tensor's place, or a dtype. Whatever else
it names or does is refused.
Source: https://github.com/pytorch/pytorch/blob/main/torch/serialization.py
"""

from __future__ import annotations

import math
import pickletools
import struct
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Callable, Mapping

import numpy as np

from ..runtime import params
from ..runtime.types import Array
from .faults import FormatError, check_shape, named

LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
MAX_STEPS = 2_000_000  # a tensor takes about 36
# How much more than the file tensors may hold that share numbers, and for small files.
MAX_SHARED, SPARE_BYTES = 4, 64 * 2**20
MAX_PICKLE_BYTES = 64 * 2**20
MAX_ENTRIES = 2 * params.MAX_ARRAYS
BFLOAT16 = "bfloat16"
_STORAGES = {
    "FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2",
    "BFloat16Storage": BFLOAT16, "LongStorage": "<i8", "IntStorage": "<i4", "CharStorage": "|i1",
    "ByteStorage": "|u1", "BoolStorage": "|u1",
}  # fmt: skip
_ORDERED = "collections OrderedDict"
_TENSOR = "torch._utils _rebuild_tensor_v2"
_PARAMETER = "torch._utils _rebuild_parameter"
_KNOWN = {_ORDERED, _TENSOR, _PARAMETER, *(f"torch {name}" for name in _STORAGES)}
# What checkpoints call the weights among other things.
_WITHIN = ("state_dict", "model_state_dict", "model")


@dataclass(frozen=True)
class _Named:
    """What the program names; it is never looked up."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """The numbers of one or several tensors, by the key under which they lie."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True)
class _Tensor:
    """Where a tensor lies in its storage: counts of numbers."""

    storage: _Storage
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


Load = Callable[[_Storage], Any]


def read(path: Path) -> dict[str, Array]:
    """The tensors of a file by name. Raises FormatError and OSError."""
    with path.open("rb") as stream:
        if stream.read(4) == b"PK\x03\x04":
            return _of_zip(path)
        stream.seek(0)
        return _of_legacy(stream, path.stat().st_size)


def _of_zip(path: Path) -> dict[str, Array]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename: entry for entry in archive.infolist()}
            programs = [name for name in entries if name.rpartition("/")[2] == "data.pkl"]
            if len(programs) != 1 or len(entries) > MAX_ENTRIES:
                raise FormatError("is a zip archive, but not one of PyTorch's tensors")
            folder = programs[0][: -len("data.pkl")]
            if entries[programs[0]].file_size > MAX_PICKLE_BYTES:
                raise FormatError("has a description that is too large")
            with archive.open(programs[0]) as program:
                top = _Machine().run(program)

            def load(storage: _Storage) -> Any:
                entry = entries.get(f"{folder}data/{storage.key}")
                size = _bytes_of(storage)
                if entry is None or entry.file_size != size:
                    raise FormatError(f"its numbers {storage.key[:40]!r} are not there, or too few")
                return archive.read(entry)

            return _arrays(top, load, path.stat().st_size)
    except (FormatError, OSError):
        raise
    except Exception as error:  # zipfile raises many kinds for a damaged archive
        raise FormatError(f"is not a readable archive of PyTorch's: {error}") from None


def _of_legacy(stream: IO[bytes], size: int) -> dict[str, Array]:
    magic, protocol, system = (_Machine().run(stream) for _ in range(3))
    if (magic, protocol) != (LEGACY_MAGIC, LEGACY_PROTOCOL):
        raise FormatError("was not saved by PyTorch")
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise FormatError("was saved on a big-endian machine, whose numbers are not read")
    top = _Machine().run(stream)
    keys = _Machine().run(stream)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise FormatError("names no storages after its description")
    storages = {tensor.storage.key: tensor.storage for tensor in _tensors(top).values()}
    places: dict[str, int] = {}
    for key in keys:
        storage = storages.get(key)
        count = stream.read(8)
        if storage is None or len(count) < 8 or struct.unpack("<q", count)[0] != storage.count:
            raise FormatError(f"its storage {key[:40]!r} is not the one that it describes")
        places[key] = stream.tell()
        if places[key] + _bytes_of(storage) > size:
            raise FormatError("ends within its numbers: it was not written whole")
        stream.seek(_bytes_of(storage), 1)

    def load(storage: _Storage) -> Any:
        if storage.key not in places:
            raise FormatError(f"its numbers {storage.key[:40]!r} are not there")
        stream.seek(places[storage.key])
        return stream.read(_bytes_of(storage))

    return _arrays(top, load, size)


def _bytes_of(storage: _Storage) -> int:
    return storage.count * (2 if storage.dtype == BFLOAT16 else np.dtype(storage.dtype).itemsize)


def _tensors(top: Any) -> dict[str, _Tensor]:
    """The tensors by name, of what the program built. Raises FormatError."""
    for key in _WITHIN:
        if isinstance(top, dict) and isinstance(top.get(key), dict):
            top = top[key]
    if not isinstance(top, dict):
        raise FormatError("holds no dict of tensors: save the model's state_dict() alone")
    found = {key: value for key, value in top.items() if isinstance(value, _Tensor)}
    if not found or len(found) > params.MAX_ARRAYS:
        raise FormatError(
            f"holds {len(found):,} tensors, expected 1 to {params.MAX_ARRAYS:,}: save the model's "
            "state_dict() alone"
        )
    return found


def _arrays(top: Any, load: Load, size: int) -> dict[str, Array]:
    found: dict[str, Array] = {}
    total = 0
    kept: dict[str, Any] = {}
    for name, tensor in _tensors(top).items():
        what = named(name)
        check_shape(tensor.shape or (1,), what)
        last = tensor.start + sum((n - 1) * by for n, by in zip(tensor.shape, tensor.strides))
        if len(tensor.shape) != len(tensor.strides) or last >= tensor.storage.count:
            raise FormatError(f"{what}: reaches beyond its numbers")
        total += math.prod(tensor.shape) * 8
        if total > MAX_SHARED * size + SPARE_BYTES:
            raise FormatError(
                f"{what}: repeats numbers until they are far more than the file holds"
            )
        if tensor.storage.key not in kept:  # several may share one, one after the other
            kept = {tensor.storage.key: load(tensor.storage)}
        found[name] = _array(tensor, kept[tensor.storage.key])
    return found


def _array(tensor: _Tensor, content: bytes) -> Array:
    small = tensor.storage.dtype == BFLOAT16
    flat = np.frombuffer(content, "<u2" if small else tensor.storage.dtype)
    strides = tuple(by * flat.itemsize for by in tensor.strides)
    view = np.lib.stride_tricks.as_strided(
        flat[tensor.start :], tensor.shape, strides, writeable=False
    )
    values = np.array(view, order="C").reshape(tensor.shape or (1,))
    return (values.astype(np.uint32) << 16).view(np.float32) if small else values


_MARK = object()


@dataclass
class _Machine:
    """Follows the steps of a pickle, which build dicts, lists, tuples, texts and numbers."""

    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)

    def run(self, stream: IO[bytes]) -> Any:
        """What the program builds; the stream stands after it. Raises FormatError."""
        try:
            for number, (step, value, _) in enumerate(pickletools.genops(stream)):
                if number >= MAX_STEPS:
                    raise FormatError("has a description of too many steps")
                if step.name == "STOP":
                    return self.stack.pop()
                self._follow(step.name, value)
        except FormatError:
            raise
        except Exception as error:  # of a pickle that is none, or damaged: many kinds
            raise FormatError(f"was not saved by PyTorch, or is damaged: {error}") from None
        raise FormatError("ends within its description")

    def _follow(self, step: str, value: Any) -> None:
        if step in ("PROTO", "FRAME"):
            return
        if step in _PLAIN:
            self.stack.append(value)
        elif step in _MADE:
            self.stack.append(_MADE[step]())
        elif step in _CONSTANTS:
            self.stack.append(_CONSTANTS[step])
        elif step in ("BINPUT", "LONG_BINPUT"):
            self.memo[value] = self.stack[-1]
        elif step == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif step in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[value])
        elif step == "GLOBAL":
            self.stack.append(_known(value))
        elif step == "STACK_GLOBAL":
            module, name = self._pop(2)
            self.stack.append(_known(f"{module} {name}"))
        elif step == "BINPERSID":
            self.stack.append(_storage(self.stack.pop()))
        elif step == "REDUCE":
            function, arguments = self._pop(2)
            self.stack.append(_built(function, arguments))
        elif step == "BUILD":  # what a dict is told besides, such as the versions of its layers
            self._pop(1)
        else:
            self._collect(step)

    def _collect(self, step: str) -> None:
        """Steps that take several values from the stack."""
        if step in ("TUPLE1", "TUPLE2", "TUPLE3"):
            self.stack.append(tuple(self._pop(int(step[-1]))))
        elif step == "TUPLE":
            self.stack.append(tuple(self._to_mark()))
        elif step in ("APPEND", "APPENDS"):
            items = self._pop(1) if step == "APPEND" else self._to_mark()
            _expect(self.stack[-1], list).extend(items)
        elif step in ("SETITEM", "SETITEMS"):
            items = self._pop(2) if step == "SETITEM" else self._to_mark()
            there = _expect(self.stack[-1], dict)
            for key, item in zip(items[::2], items[1::2]):
                if not isinstance(key, (str, int)):
                    raise FormatError("holds a dict whose keys are no texts")
                there[key] = item
        else:
            raise FormatError(
                f"does what no state_dict needs (step {step} of its pickle): it is not read, since "
                "it could run code; save the model's state_dict() alone"
            )

    def _pop(self, count: int) -> list[Any]:
        if len(self.stack) < count:
            raise FormatError("has a damaged description")
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def _to_mark(self) -> list[Any]:
        at = len(self.stack) - 1 - self.stack[::-1].index(_MARK)
        taken = self.stack[at + 1 :]
        del self.stack[at:]
        return taken


_PLAIN = frozenset(
    ("BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT")
)
_MADE: Mapping[str, Callable[[], Any]] = {
    "EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_TUPLE": tuple,
}  # fmt: skip
_CONSTANTS: Mapping[str, Any] = {"MARK": _MARK, "NONE": None, "NEWTRUE": True, "NEWFALSE": False}


def _known(name: str) -> _Named:
    if name not in _KNOWN:
        raise FormatError(
            f"names {name.replace(' ', '.', 1)[:80]!r}, which no state_dict needs: it is not read, "
            "since it could run code; save the model's state_dict() alone"
        )
    return _Named(name)


def _storage(told: Any) -> _Storage:
    """Of a persistent id: ("storage", its type, its key, where it was, how many numbers)."""
    tag, kind, key, _, count, *_ = _expect(told, tuple)
    dtype = _STORAGES.get(_expect(kind, _Named).name.rpartition(" ")[2])
    if tag != "storage" or dtype is None or not 0 <= _expect(count, int) <= params.MAX_SIZE:
        raise FormatError("describes numbers that are none of a tensor's")
    return _Storage(_expect(key, str), dtype, count)


def _built(function: Any, arguments: Any) -> Any:
    """What a known name makes of its arguments."""
    name, given = _expect(function, _Named).name, _expect(arguments, tuple)
    if name == _ORDERED and not given:
        return {}
    if name == _PARAMETER:
        return _expect(given[0], _Tensor)
    if name == _TENSOR:
        storage, start, shape, strides, *_ = given
        counts = (start, *_expect(shape, tuple), *_expect(strides, tuple))
        if not all(type(count) is int and 0 <= count <= params.MAX_SIZE for count in counts):
            raise FormatError("describes a tensor of an impossible shape")
        return _Tensor(_expect(storage, _Storage), start, shape, strides)
    raise FormatError("has a damaged description")


def _expect(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise FormatError("has a damaged description")
    return value
