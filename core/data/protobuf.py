"""RecordIO-protobuf, the format of SageMaker's built-in algorithms: one row of numbers per record.

A body is one message ``aialgs.data.Record`` of protocol buffers, read here as far as it holds
numbers: maps ``features`` and ``label`` from a name to a tensor of float32, float64 or int32, dense
or sparse. Everything else in it is skipped, as protocol buffers want it.
Sources: https://docs.aws.amazon.com/sagemaker/latest/dg/cdf-training.html (the message),
https://protobuf.dev/programming-guides/encoding/ (the wire format)
"""

from __future__ import annotations

import io
import struct
from typing import IO, Iterator, Mapping

import numpy as np

from ..data.numbers import FLOAT32_LIMIT
from ..runtime import bounds
from ..runtime.errors import InputError, MalformedPayloadError
from ..runtime.types import Array
from .recordio import frame, read_bodies
from .wire import BYTES, SOME, WireError, fields, varint

VALUES = "values"  # what the one feature of a table is called
MAX_COLUMNS = 2**24
MAX_DIMENSIONS = 32
INT_BYTES = 40  # of a Python int, with its place in a list
BLOCK_BYTES = 16 * 2**20
# Fields of the messages. Record: features, label. An entry of a map: key, value.
_FEATURES, _LABEL = 1, 2
_KEY, _VALUE = 1, 2
# Value: one of the tensors, with the dtype of its values; a tensor: values, keys, shape.
_TENSORS = {2: "<f4", 3: "<f8", 7: "int32"}
_FLOAT32 = 2
_TENSOR_VALUES, _TENSOR_KEYS, _TENSOR_SHAPE = 1, 2, 3


def read_blocks(
    stream: IO[bytes],
    error: type[InputError] = MalformedPayloadError,
    source: str = "",
    *,
    labelled: bool = False,
) -> Iterator[Array]:
    """The features of all records, in blocks (B, D) of about BLOCK_BYTES; where ``labelled``, with
    the label before them, (B, 1 + D).

    They are float32 where the tensors are, otherwise float64, which int32 fits into.

    A sparse tensor becomes dense: its shape says how long, or where it has none the first record.
    Raises ``error``, which starts with ``source`` and counts records from 1.
    """
    rows: list[Array] = []
    columns, number = None, 0
    for number, body in enumerate(read_bodies(stream, error, source), 1):
        if number % SOME == 1:
            bounds.check_examples(number)
            bounds.check_time()
        try:
            row = _row(body, columns)
            columns = len(row)
            rows.append(np.concatenate([_label(body), row]) if labelled else row)
        except WireError as fault:
            raise error(f"{source}record {number}: {fault}") from None
        if len(rows) * columns * 4 >= BLOCK_BYTES:
            yield np.stack(rows)
            rows = []
    if number == 0:
        raise error(f"{source}holds no records")
    if rows:
        yield np.stack(rows)


def read_keys(
    stream: IO[bytes], error: type[InputError], source: str = ""
) -> Iterator[tuple[float, Array]]:
    """Of each record its label, and which of its numbers are not 0, (K,) int64, ascending: a sparse
    tensor stays so, be it as long as it may. Raises ``error``, as ``read_blocks``.
    """
    for number, body in enumerate(read_bodies(stream, error, source), 1):
        try:
            yield float(_label(body)[0]), _keys(_feature(body))
        except WireError as fault:
            raise error(f"{source}record {number}: {fault}") from None


def decode(body: bytes) -> Array:
    """A request's rows (N, D), float32 or float64 as they are. Raises MalformedPayloadError."""
    rows = np.concatenate(list(read_blocks(io.BytesIO(body))))
    bounds.check_examples(len(rows))
    return rows


def encode(
    features: Mapping[str, Array] | None = None, label: Mapping[str, Array] | None = None
) -> bytes:
    """One record that holds arrays (M,) by name, each a dense tensor of float32."""
    body = b"".join(
        _field(number, _field(_KEY, name.encode()) + _field(_VALUE, _dense(values)))
        for number, named in ((_FEATURES, features), (_LABEL, label))
        for name, values in (named or {}).items()
    )
    return frame(body)


def encode_rows(rows: Array) -> bytes:
    """Rows (N, D), a record each, as SageMaker's built-in algorithms are trained on them."""
    return b"".join(encode({VALUES: row}) for row in rows)


def _map(body: bytes, wanted: int) -> dict[str, bytes]:
    """The tensors of a record by name: its features, or its labels."""
    found: dict[str, bytes] = {}
    for number, _, value in fields(body):
        if number == wanted:
            entry = {key: inner for key, _, inner in fields(_message(value))}
            name = _message(entry.get(_KEY, b"")).decode("utf-8", "replace")
            found[name] = _message(entry.get(_VALUE, b""))
    return found


def _label(body: bytes) -> Array:
    """The one number of a record's label, (1,)."""
    labels = _map(body, _LABEL)
    if len(labels) != 1:
        raise WireError(f"has {len(labels) or 'no'} label{'s' * (len(labels) > 1)}, expected one")
    label = _tensor(labels.popitem()[1], 1)
    if len(label) != 1 or not np.isfinite(label).all():
        raise WireError(f"has {len(label)} numbers for a label, expected one that is finite")
    return label


def _feature(body: bytes) -> bytes:
    """The one feature of a record, or the one that is named VALUES."""
    features = _map(body, _FEATURES)
    chosen = features.get(VALUES)
    if chosen is None and len(features) == 1:
        (chosen,) = features.values()
    if chosen is None:
        named = ", ".join(sorted(features)[:10]) or "none"
        raise WireError(f"expected one feature, or one named {VALUES!r}; there is {named}")
    return chosen


def _keys(value: bytes) -> Array:
    """Where in a message Value the numbers stand that are not 0."""
    values, keys, _ = _parts(value)
    if not len(keys):
        return np.flatnonzero(values)
    if len(keys) != len(values):
        raise WireError(f"has {len(keys)} keys for {len(values)} values")
    if keys.max() > np.iinfo(np.int64).max:
        raise WireError(f"has the key {keys.max()}")
    found: Array = np.sort(keys[values != 0].astype(np.int64))
    return found


def _row(body: bytes, columns: int | None) -> Array:
    chosen = _feature(body)
    row = _tensor(chosen, columns)
    if columns is not None and len(row) != columns:
        raise WireError(f"has {len(row)} numbers, expected {columns} as in record 1")
    finite = np.isfinite(row)
    if row.dtype == np.float64:
        finite &= np.abs(row) < FLOAT32_LIMIT
    if not finite.all():
        raise WireError(f"number {np.flatnonzero(~finite)[0] + 1} is not finite in float32")
    return row


def _parts(value: bytes) -> tuple[Array, Array, Array]:
    """The numbers, keys and shape in a message Value; float64 are numbers that are not float32."""
    tensors = [(number, inner) for number, _, inner in fields(value) if number in _TENSORS]
    if not tensors:
        raise WireError("its feature is not a tensor of numbers")
    kind, message = tensors[-1]  # of one-of, the last counts
    parts: dict[int, list[bytes | int]] = {}
    for number, _, inner in fields(_message(message)):
        parts.setdefault(number, []).append(inner)
    values = _numbers(parts.get(_TENSOR_VALUES, []), _TENSORS[kind])
    keys = _numbers(parts.get(_TENSOR_KEYS, []), "uint64")
    return values, keys, _numbers(parts.get(_TENSOR_SHAPE, []), "uint64")


def _tensor(value: bytes, columns: int | None) -> Array:
    """The numbers (D,) in a message Value."""
    values, keys, shape = _parts(value)
    if not len(keys) and len(values):
        length = len(values)
    elif len(shape) > MAX_DIMENSIONS:
        raise WireError(f"has {len(shape):,} dimensions, expected {MAX_DIMENSIONS} at most")
    elif len(shape):
        length = int(np.prod(shape.astype(object)))
    else:
        length = columns or (int(keys.max()) + 1 if len(keys) else 0)
    if not 0 < length <= MAX_COLUMNS:
        raise WireError(f"has {length:,} numbers, expected 1 to {MAX_COLUMNS:,}")
    # A few bytes can promise millions of zeros. Twice: rows of their own, and joined.
    bounds.charge(2 * np.dtype(np.float32).itemsize * length)
    if not len(keys):
        return values if len(values) else np.zeros(length, np.float32)
    if len(keys) != len(values):
        raise WireError(f"has {len(keys)} keys for {len(values)} values")
    if keys.max() >= length:
        raise WireError(f"has the key {keys.max()} in {length} numbers")
    row = np.zeros(length, values.dtype)
    row[keys.astype(np.int64)] = values
    return row


def _numbers(parts: list[bytes | int], dtype: str) -> Array:
    """A repeated field of numbers, packed or not."""
    if dtype.startswith("<"):
        joined = b"".join(_message(part) for part in parts)
        if len(joined) % np.dtype(dtype).itemsize:
            raise WireError("a list of numbers is cut short")
        return np.frombuffer(joined, dtype).astype(np.dtype(dtype).newbyteorder("="))
    numbers: list[int] = []
    for part in parts:
        if isinstance(part, int):
            numbers.append(part)
            continue
        bounds.charge(INT_BYTES * len(part))
        position = 0
        while position < len(part):
            number, position = varint(part, position)
            numbers.append(number)
            if len(numbers) % SOME == 0:
                bounds.check_time()
    unsigned = np.array(numbers, np.uint64)
    return unsigned if dtype == "uint64" else unsigned.astype(np.uint32).view(np.int32).astype("f8")


def _message(value: bytes | int) -> bytes:
    if isinstance(value, int):
        raise WireError("a field is a number where a message is expected")
    return value


def _dense(values: Array) -> bytes:
    packed = np.ascontiguousarray(values, "<f4").tobytes()
    return _field(_FLOAT32, _field(_TENSOR_VALUES, packed))


def _field(number: int, content: bytes) -> bytes:
    return struct.pack("B", number << 3 | BYTES) + _as_varint(len(content)) + content


def _as_varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])
