"""Files of weights: what each format holds comes out, and nothing hostile runs or takes memory."""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import struct
import zipfile
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from algoshelf.core import DataError
from algoshelf.core.runtime import params
from algoshelf.core.weights import formats

DATA = Path(__file__).parent / "data"
ARRAYS = {
    "features.0.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "bias": np.array([0.5, -1.0], np.float32),
    "counts": np.array([[1, 2, 3]], np.int64),
}
FLOATS = {name: values for name, values in ARRAYS.items() if name != "counts"}


def safetensors(arrays: dict[str, np.ndarray]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    names = {"float32": "F32", "int64": "I64"}
    for name, values in arrays.items():
        end = len(data) + values.nbytes
        header[name] = {
            "dtype": names[str(values.dtype)],
            "shape": list(values.shape),
            "data_offsets": [len(data), end],
        }
        data += values.tobytes()
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tfjs(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    """A model of TensorFlow.js in two shards, the border within an array."""
    data = b"".join(values.tobytes() for values in arrays.values())
    (folder / "a.bin").write_bytes(data[:50])
    (folder / "b.bin").write_bytes(data[50:])
    told = [{"name": n, "shape": list(v.shape), "dtype": "float32"} for n, v in arrays.items()]
    manifest = {"weightsManifest": [{"paths": ["a.bin", "b.bin"], "weights": told}]}
    (folder / "model.json").write_text(json.dumps(manifest))
    return folder / "model.json"


def onnx_file(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    onnx = pytest.importorskip("onnx")
    held = [onnx.numpy_helper.from_array(values, name) for name, values in arrays.items()]
    spread = onnx.helper.make_tensor("spread", onnx.TensorProto.FLOAT, [2], [1.5, 2.5])
    shape = onnx.helper.make_tensor("shape", onnx.TensorProto.INT64, [0], [])
    graph = onnx.helper.make_graph([], "g", [], [], initializer=[*held, spread, shape])
    onnx.save(onnx.helper.make_model(graph), str(folder / "m.onnx"))
    return folder / "m.onnx"


def written(folder: Path, kind: str) -> Path:
    path = folder / f"m.{kind}"
    if kind == "safetensors":
        path.write_bytes(safetensors(ARRAYS))
    elif kind == "npz":
        np.savez_compressed(path, **ARRAYS)
    else:
        params.write(path, {f"arg:{name}": values for name, values in ARRAYS.items()})
    return path


@pytest.mark.parametrize("kind", ["safetensors", "npz", "params"])
def test_the_arrays_of_each_format_come_out(tmp_path: Path, kind: str) -> None:
    found = formats.read(written(tmp_path, kind))
    assert list(found) == list(ARRAYS)
    for name, values in ARRAYS.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)


def test_the_arrays_of_tensorflow_js_and_of_onnx_come_out(tmp_path: Path) -> None:
    for path in (tfjs(tmp_path, FLOATS), onnx_file(tmp_path, ARRAYS)):
        found = formats.read(path)
        for name in FLOATS:
            np.testing.assert_array_equal(found[name], FLOATS[name])
    np.testing.assert_array_equal(found["spread"], np.array([1.5, 2.5], np.float32))
    assert "shape" not in found  # it has no numbers


def test_halves_of_google_become_float32(tmp_path: Path) -> None:
    body = safetensors({"x": np.array([1.5, -2.0], np.float32)})
    header = body[8:-8].replace(b"F32", b"BF16").replace(b"[0, 8]", b"[0, 4]")
    path = tmp_path / "b.safetensors"
    halves = np.array([1.5, -2.0], np.float32).view(np.uint32) >> 16
    path.write_bytes(struct.pack("<Q", len(header)) + header + halves.astype("<u2").tobytes())
    np.testing.assert_array_equal(formats.read(path)["x"], np.array([1.5, -2.0], np.float32))


@pytest.mark.parametrize("name", ["zipped.pt", "legacy.pt", "checkpoint.pth"])
def test_what_pytorch_saved_comes_out_without_pytorch(name: str) -> None:
    found = formats.read(DATA / name)
    with np.load(DATA / "expected.npz") as expected:
        assert set(found) == set(expected.files)
        for key in expected.files:
            np.testing.assert_array_equal(found[key], expected[key].reshape(found[key].shape))


class Touch:
    """When it is unpickled, a file appears."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_is_never_run(tmp_path: Path, protocol: int) -> None:
    trap = tmp_path / "trap"
    body = pickle.dumps({"weight": Touch(trap)}, protocol)
    legacy, zipped = tmp_path / "x.pt", tmp_path / "y.pt"
    start = b"".join(
        pickle.dumps(each, 2) for each in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    )
    legacy.write_bytes(start + body)
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("archive/data.pkl", body)
    for path in (legacy, zipped):
        with pytest.raises(DataError, match="could run code"):
            formats.read(path)
    np.savez(tmp_path / "z.npz", x=np.array([Touch(trap)], object))
    with pytest.raises(DataError, match="dtype"):
        formats.read(tmp_path / "z.npz")
    assert not trap.exists()


def test_a_module_is_told_from_its_state(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"torch\.nn\.modules.*save the model's state_dict"):
        formats.read(DATA / "module.pt")


def test_a_file_that_is_damaged_is_refused_and_nothing_worse(tmp_path: Path) -> None:
    """Cut at any place, or with some bytes changed: an error that names the file, or arrays."""
    chance = random.Random(1)
    sources = [written(tmp_path, kind) for kind in ("safetensors", "npz", "params")]
    sources += [onnx_file(tmp_path, ARRAYS), DATA / "zipped.pt", DATA / "legacy.pt"]
    refused = 0
    for source in sources:
        whole = source.read_bytes()
        path = tmp_path / f"damaged{source.suffix}"
        for number in range(120):
            body = bytearray(whole)
            if number % 2:
                del body[chance.randrange(len(whole)) :]
            else:
                for _ in range(chance.randint(1, 4)):
                    body[chance.randrange(len(whole))] = chance.randrange(256)
            path.write_bytes(body)
            try:
                formats.read(path)
            except DataError as error:
                assert str(path) in str(error)  # noqa: PT017 - most are refused, not all
                refused += 1
    assert refused > 300


def test_more_is_announced_than_there_is(tmp_path: Path) -> None:
    """The memory that a header asks for is not taken."""
    path = tmp_path / "big.safetensors"
    text = json.dumps({"x": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}})
    path.write_bytes(struct.pack("<Q", len(text)) + text.encode())
    with pytest.raises(DataError, match="the array 'x'"):
        formats.read(path)
    path.write_bytes(struct.pack("<Q", 2**60) + b"{}")
    with pytest.raises(DataError, match="its header would have"):
        formats.read(path)
    body = safetensors(FLOATS)
    path.write_bytes(body.replace(b"[96, 104]", b"[90, 098]"))
    with pytest.raises(DataError):
        formats.read(path)
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "<f4", "fortran_order": False, "shape": (2**33,)}
    )
    with zipfile.ZipFile(tmp_path / "big.npz", "w") as archive:
        archive.writestr("x.npy", stream.getvalue())
    with pytest.raises(DataError, match="announces"):
        formats.read(tmp_path / "big.npz")
    body = (DATA / "legacy.pt").read_bytes()
    # The shape (6, 4) and the strides (1, 6): a shape of 2**30 numbers, all of them the first.
    shape, strides = b"K\x06K\x04\x86", b"K\x01K\x06\x86"
    assert shape in body
    assert strides in body
    body = body.replace(shape, b"J\xff\xff\xff\x0fK\x04\x86", 1)
    path = tmp_path / "many.pt"
    path.write_bytes(body)
    with pytest.raises(DataError, match="the array 'turned': reaches beyond its numbers"):
        formats.read(path)
    path.write_bytes(body.replace(strides, b"K\x00K\x00\x86", 1))
    with pytest.raises(DataError, match="the array 'turned': repeats numbers"):
        formats.read(path)


def test_a_shard_lies_beside_its_list(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    path = tfjs(tmp_path / "inside", FLOATS)
    path.write_text(path.read_text().replace('"b.bin"', '"../b.bin"'))
    with pytest.raises(DataError, match="expected a file beside it"):
        formats.read(path)
    path.write_text(path.read_text().replace('"../b.bin"', '"c.bin"'))
    with pytest.raises(DataError, match="No such file"):
        formats.read(path)


def test_an_onnx_model_of_two_files_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    path = onnx_file(tmp_path, ARRAYS)
    model = onnx.load(str(path))
    outside = {"save_as_external_data": True, "size_threshold": 0, "location": "data.bin"}
    onnx.save(model, str(path), **outside)
    with pytest.raises(DataError, match="lie in another file: save the model as one file"):
        formats.read(path)


def test_a_file_of_no_known_format_is_told_what_is_known(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("weights")
    with pytest.raises(DataError, match=r"expected a file of weights: \.safetensors, \.onnx"):
        formats.read(tmp_path / "notes.txt")
    with pytest.raises(DataError, match="No such file"):
        formats.read(tmp_path / "absent.npz")
    (tmp_path / "empty.npz").write_bytes(b"")
    with pytest.raises(DataError, match="has 0 bytes"):
        formats.read(tmp_path / "empty.npz")
