"""Parameter files: what mxnet wrote at any time is read, and what does not add up costs nothing."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

import numpy as np
import pytest
from algoshelf.core import mx
from algoshelf.core.runtime import params

from tests.conftest import ROOT

HERE = Path(__file__).parent
SAMPLE = ROOT / "algorithms" / "image_classification" / "sample"
VALUES = {"arg:a": np.arange(6, dtype=np.float32).reshape(2, 3), "aux:b": np.ones(4, np.int64)}


def test_what_is_written_is_what_mxnet_writes(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    params.write(ours, VALUES)
    mx.nd.save(str(theirs), {k: mx.nd.array(v, dtype=v.dtype) for k, v in VALUES.items()})
    assert ours.read_bytes() == theirs.read_bytes()


def old(layout: int | None) -> bytes:
    """VALUES as mxnet wrote them before 1.0: None is before 0.12, when no layout was said."""
    content = struct.pack("<QQQ", params.LIST_MAGIC, 0, len(VALUES))
    for values in VALUES.values():
        if layout is None:
            content += struct.pack(f"<I{values.ndim}I", values.ndim, *values.shape)
        else:
            content += struct.pack(f"<Ii{values.ndim}q", layout, values.ndim, *values.shape)
        content += struct.pack("<iii", 1, 0, params.DTYPES.index(str(values.dtype)))
        content += values.tobytes()
    content += struct.pack("<Q", len(VALUES))
    for name in VALUES:
        content += struct.pack("<Q", len(name)) + name.encode()
    return content


@pytest.mark.parametrize("layout", [None, params.V1])
def test_files_of_old_are_read_as_mxnet_reads_them(layout: int | None, tmp_path: Path) -> None:
    path = tmp_path / "x.params"
    path.write_bytes(old(layout))
    found = params.read(path).arrays
    for name, values in mx.nd.load(str(path)).items():
        np.testing.assert_array_equal(found[name], values.asnumpy())
        np.testing.assert_array_equal(found[name], VALUES[name])


def test_a_list_of_arrays_is_read_where_none_need_a_name(tmp_path: Path) -> None:
    path = tmp_path / "x.params"
    mx.nd.save(str(path), [mx.nd.ones((2,)), mx.nd.zeros((3,))])
    assert list(params.read(path, named=False).headers) == ["0", "1"]
    with pytest.raises(params.ParamsError, match="has 0 names for 2 arrays"):
        params.read(path)


def test_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.params"
    params.write(path, VALUES)
    from algoshelf.core.runtime.staging import digest_of

    assert params.read(path).digest == params.read(path, numbers=False).digest == digest_of(path)


def _array(*shape: int, layout: int = params.V2) -> bytes:
    return struct.pack(f"<Iii{len(shape)}qiii", layout, 0, len(shape), *shape, 1, 0, 0)


def _begin(count: int) -> bytes:
    return struct.pack("<QQQ", params.LIST_MAGIC, 0, count)


def a_corrupted_length(path: Path) -> None:
    params.write(path, VALUES)
    content = bytearray(path.read_bytes())
    struct.pack_into("<q", content, 24 + 12, 2**40)
    path.write_bytes(content)


def a_length_of_100_gb(path: Path) -> None:
    path.write_bytes(_begin(50) + _array(2**29) + bytes(100))


def a_hole_of_100_gb(path: Path) -> None:
    """The file is as long as it says, and takes no place on the disk."""
    path.write_bytes(_begin(50) + _array(2**29))
    os.truncate(path, 100 * 2**30)


def a_hole_of_4_gb(path: Path) -> None:
    """Only what comes last does not add up."""
    path.write_bytes(_begin(2) + _array(2**29))
    os.truncate(path, 24 + 32 + 2**31)
    with path.open("ab") as stream:
        stream.write(_array(2**29))
        stream.truncate(24 + 64 + 2**32)
        stream.seek(0, os.SEEK_END)
        stream.write(struct.pack("<QQ", 2, 2**50))


def cut(path: Path) -> None:
    params.write(path, {"arg:a": np.zeros((1000, 1000), np.float32)})
    os.truncate(path, 3_000_000)


def a_million_tiny_arrays(path: Path) -> None:
    path.write_bytes(_begin(10**6) + (_array(1) + bytes(4)) * 10**6)


def as_many_tiny_arrays_as_may_be(path: Path) -> None:
    path.write_bytes(_begin(params.MAX_ARRAYS) + (_array(1) + bytes(4)) * params.MAX_ARRAYS)


def names_of_2_gb(path: Path) -> None:
    path.write_bytes(_begin(1) + _array(1) + bytes(4) + struct.pack("<QQ", 1, 2**31))
    os.truncate(path, 3 * 2**30)


HOSTILE: tuple[Callable[[Path], None], ...] = (
    a_corrupted_length, a_length_of_100_gb, a_hole_of_100_gb, a_hole_of_4_gb, cut,
    a_million_tiny_arrays, as_many_tiny_arrays_as_may_be, names_of_2_gb,
)  # fmt: skip
MAX_SECONDS, MAX_MIB = 1.0, 100.0  # of a processor, and of memory


def test_no_command_spends_on_a_file_that_does_not_add_up(
    iris_model: Path, model: Path, tmp_path: Path
) -> None:
    """Each command that opens one, in a process that has imported all that it needs; of ``serve``
    it is what its worker does, once it has imported what it needs.
    """
    (tmp_path / "rows.csv").write_text("0," * 783 + "0\n")
    new = tmp_path / "new"
    commands: list[tuple[Any, ...]] = []
    for number, make in enumerate(HOSTILE):
        folder = tmp_path / make.__name__
        folder.mkdir()
        for file in ("model-symbol.json", "algorithm.json"):
            document = json.loads((model / file).read_bytes())
            document.pop("sha256", None)
            (folder / file).write_text(json.dumps(document))
        path = folder / "model-0000.params"
        make(path)
        adopted = ("adopt", "--params", path, "--output", new, "--algorithm")
        of_zoo = ("image-classification", "--network", "gluon:resnet18_v1")
        # All files by one command, and all commands, which open them by one reader.
        others = [
            ("evaluate", folder),
            ("transform", folder, tmp_path / "rows.csv", new),
            ("export", folder),
            ("package", folder, "--as", "model", "--output", new),
            (*adopted, "mnist-cnn", "--symbol", folder / "model-symbol.json"),
            (*adopted, "kmeans"),
            (*adopted, *of_zoo),
            ("train", "image-classification", "--model", path, "--train", SAMPLE, "--output", new),
        ]
        commands += [("predict", folder), ("worker", folder), others[number % len(others)]]
    child = subprocess.run(
        [sys.executable, str(HERE / "opening.py"), str(iris_model), str(SAMPLE)],
        input="".join(json.dumps([str(word) for word in command]) + "\n" for command in commands),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
    )
    told: list[Any] = [json.loads(line) for line in child.stdout.splitlines()]
    assert len(told) == len(commands)
    for command, (code, seconds, mib, said) in zip(commands, told):
        assert code == 2, (command, said)
        assert ".params" in said, (command, said)
        assert seconds <= MAX_SECONDS, (command, seconds)
        assert mib <= MAX_MIB, (command, mib)
    assert not (tmp_path / "new").exists()
