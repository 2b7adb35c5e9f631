"""RecordIO and the protobuf in it, against mxnet's own reader and Google's own library."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.core import DataError, MalformedPayloadError, mx, recordio_protobuf
from algoshelf.core.data import recordio
from hypothesis import given
from hypothesis import strategies as st

M = recordio.MAGIC
BODIES = [b"", b"x", b"abcd", M, b"ab" + M, b"abcd" + M + b"efg", M + M, b"1234" + M * 3 + b"5"]


def read(content: bytes) -> list[bytes]:
    return list(recordio.read_bodies(io.BytesIO(content), DataError, "x.rec: "))


def test_what_is_framed_is_read_by_us_and_by_mxnet(tmp_path: Path) -> None:
    content = b"".join(map(recordio.frame, BODIES))
    assert read(content) == BODIES
    (tmp_path / "x.rec").write_bytes(content)
    mx.load()
    reader = mx.recordio.MXRecordIO(str(tmp_path / "x.rec"), "r")
    assert [reader.read() for _ in BODIES] == BODIES
    reader.close()


def test_what_mxnet_writes_is_read(tmp_path: Path) -> None:
    mx.load()
    writer = mx.recordio.MXRecordIO(str(tmp_path / "x.rec"), "w")
    for body in BODIES:
        writer.write(body)
    writer.close()
    assert read((tmp_path / "x.rec").read_bytes()) == BODIES


WHOLE = recordio.frame(b"abcdefgh")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"PNG?", "x.rec: record 1 is cut short"),
        (b"not RecordIO", "x.rec: record 1 is damaged, or this is not a RecordIO file"),
        (WHOLE + WHOLE[:-1], "x.rec: record 2 is cut short: 8 bytes are promised"),
        (M + b"\xff\xff\xff\x1f", "record 1 is cut short: 536,870,911 bytes"),
        (M + b"\x04\0\0\x40" + b"abcd", "record 1 is damaged"),
        (M + b"\x04\0\0\x20" + b"abcd", "record 1 is cut short"),
    ],
)
def test_damage_is_placed(content: bytes, fault: str) -> None:
    with pytest.raises(DataError, match=fault):
        read(content)


@pytest.fixture(scope="module")
def record() -> Any:
    """Google's class for aialgs.data.Record, from the definition that SageMaker publishes."""
    descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2")
    from google.protobuf import descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="record.proto", package="aialgs.data")
    kinds = descriptor_pb2.FieldDescriptorProto

    def message(name: str, parent: Any = None) -> Any:
        made = (parent.nested_type if parent else file.message_type).add()
        made.name = name
        return made

    def field(to: Any, name: str, number: int, kind: str, of: str = "", **more: Any) -> None:
        label = kinds.LABEL_REPEATED if more.pop("repeated", False) else kinds.LABEL_OPTIONAL
        made = to.field.add(name=name, number=number, label=label, **more)
        made.type = getattr(kinds, f"TYPE_{kind}")
        if of:
            made.type_name = f".aialgs.data.{of}"
        if label == kinds.LABEL_REPEATED and kind != "MESSAGE":
            made.options.packed = True

    for name, kind in (("Float32", "FLOAT"), ("Float64", "DOUBLE"), ("Int32", "INT32")):
        tensor = message(f"{name}Tensor")
        field(tensor, "values", 1, kind, repeated=True)
        field(tensor, "keys", 2, "UINT64", repeated=True)
        field(tensor, "shape", 3, "UINT64", repeated=True)
    value = message("Value")
    value.oneof_decl.add(name="value")
    for name, number in (("Float32", 2), ("Float64", 3), ("Int32", 7)):
        of = f"{name}Tensor"
        field(value, f"{name.lower()}_tensor", number, "MESSAGE", of, oneof_index=0)
    whole = message("Record")
    for name, number in (("features", 1), ("label", 2)):
        entry = message(f"{name.capitalize()}Entry", whole)
        entry.options.map_entry = True
        field(entry, "key", 1, "STRING")
        field(entry, "value", 2, "MESSAGE", "Value")
        field(whole, name, number, "MESSAGE", f"Record.{entry.name}", repeated=True)
    field(whole, "uid", 3, "STRING")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    found = pool.FindMessageTypeByName("aialgs.data.Record")
    return message_factory.GetMessageClass(found)


def decoded(*messages: Any) -> np.ndarray:
    framed = [recordio.frame(each.SerializeToString()) for each in messages]
    return recordio_protobuf.decode(b"".join(framed))


@pytest.mark.parametrize("kind", ["float32_tensor", "float64_tensor", "int32_tensor"])
def test_dense_and_sparse_tensors_of_every_kind(record: Any, kind: str) -> None:
    dense, sparse, empty = record(uid="a"), record(), record()
    getattr(dense.features["values"], kind).values.extend([3, 0, -2, 0])
    dense.label["values"].float32_tensor.values.append(7)
    tensor = getattr(sparse.features["values"], kind)
    tensor.values.extend([3, -2])
    tensor.keys.extend([0, 2])
    tensor.shape.append(4)
    getattr(empty.features["values"], kind).shape.append(4)
    rows = decoded(dense, sparse, empty)
    assert rows.dtype == (np.float32 if kind == "float32_tensor" else np.float64)
    np.testing.assert_array_equal(rows, [[3, 0, -2, 0], [3, 0, -2, 0], [0, 0, 0, 0]])


def test_google_reads_what_is_written(record: Any) -> None:
    rows = np.array([[1.5, -2, 3e38], [0, 1e-40, 7]], np.float32)
    bodies = read(recordio_protobuf.encode_rows(rows))
    found = [record.FromString(body).features["values"].float32_tensor.values for body in bodies]
    np.testing.assert_array_equal(np.array(found, np.float32), rows)
    answer = recordio_protobuf.encode(label={"closest_cluster": rows[0], "b": rows[1]})
    label = record.FromString(read(answer)[0]).label
    assert list(label) == ["closest_cluster", "b"] or set(label) == {"closest_cluster", "b"}
    np.testing.assert_array_equal(label["b"].float32_tensor.values, rows[1])


def test_other_fields_and_unpacked_numbers_are_allowed() -> None:
    unpacked = b"\x0d" + np.float32(1.5).tobytes() + b"\x0d" + np.float32(-2).tobytes()
    tensor = b"\x12" + bytes([len(unpacked)]) + unpacked
    entry = b"\x0a\x06values\x12" + bytes([len(tensor)]) + tensor
    unknown = b"\x78\xac\x02" + b"\x71" + bytes(8) + b"\x7a\x01z"
    body = unknown + b"\x0a" + bytes([len(entry)]) + entry
    rows = recordio_protobuf.decode(recordio.frame(body))
    np.testing.assert_array_equal(rows, [[1.5, -2]])


ROW = recordio_protobuf.encode_rows(np.ones((1, 3), np.float32))


def sparse(record: Any, keys: list[int], shape: int) -> bytes:
    one = record()
    tensor = one.features["values"].float32_tensor
    tensor.values.extend([1.0] * max(1, len(keys) - 1))
    tensor.keys.extend(keys)
    tensor.shape.append(shape)
    return recordio.frame(one.SerializeToString())


def test_wrong_records_are_placed(record: Any) -> None:
    faults = {
        b"": "holds no records",
        recordio.frame(b""): "record 1: expected one feature, or one named 'values'",
        ROW + recordio_protobuf.encode_rows(np.ones((1, 2))): "record 2: has 2 numbers, expected 3",
        recordio_protobuf.encode({"values": np.array([1, np.nan])}): "number 2 is not finite",
        recordio_protobuf.encode({"a": np.ones(1), "b": np.ones(1)}): "there is a, b",
        recordio.frame(b"\x0a\x7f"): "record 1: the message is cut short",
        recordio.frame(b"\x0b"): "record 1: is not a protocol buffers message",
        recordio.frame(b"\xff" * 20): "record 1: a number is longer than 64 bits",
        sparse(record, [9], 4): "record 1: has the key 9 in 4 numbers",
        sparse(record, [1, 2], 4): "record 1: has 2 keys for 1 values",
        sparse(record, [1], 2**40): "expected 1 to 16,777,216",
    }
    for body, fault in faults.items():
        with pytest.raises(MalformedPayloadError, match=fault):
            recordio_protobuf.decode(body)


@given(st.binary(max_size=200), st.integers(0, 100))
def test_no_body_raises_anything_else(noise: bytes, place: int) -> None:
    row = recordio.read_bodies(io.BytesIO(ROW), DataError)
    body = bytearray(next(row))
    body[place % len(body) : place % len(body) + len(noise) // 20] = noise[: len(noise) // 20]
    for content in (noise, recordio.frame(noise), recordio.frame(bytes(body))):
        try:
            rows = recordio_protobuf.decode(content)
        except MalformedPayloadError:
            continue
        assert rows.ndim == 2
        assert np.isfinite(rows).all()
