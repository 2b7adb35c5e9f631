"""Rows from files: the same from every format, in memory or on disk, with memory bounded."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Callable

import numpy as np
import pytest
from algoshelf.core import DataError, recordio_protobuf
from algoshelf.core.data import rows, tables

TABLE = np.random.default_rng(0).normal(size=(1000, 7)).astype(np.float32)


def text(table: np.ndarray) -> str:
    stream = io.StringIO()
    np.savetxt(stream, table, delimiter=",", fmt="%.9g")
    return stream.getvalue()


def as_csv(folder: Path) -> Path:
    (folder / "t.csv").write_text("a,b,c,d,e,f,g\n" + text(TABLE))
    return folder / "t.csv"


def as_csv_gz(folder: Path) -> Path:
    (folder / "t.csv.gz").write_bytes(gzip.compress(text(TABLE).encode()))
    return folder / "t.csv.gz"


def as_npy(folder: Path) -> Path:
    np.save(folder / "t.npy", TABLE)
    return folder / "t.npy"


def as_npy_of_float64_in_fortran_order(folder: Path) -> Path:
    np.save(folder / "t.npy", np.asfortranarray(TABLE.astype(np.float64)))
    return folder / "t.npy"


def as_npy_of_more_dimensions(folder: Path) -> Path:
    np.save(folder / "t.npy", TABLE.reshape(1000, 1, 7))
    return folder / "t.npy"


def as_npz(folder: Path) -> Path:
    np.savez_compressed(folder / "t.npz", x=TABLE)
    return folder / "t.npz"


def as_recordio(folder: Path) -> Path:
    (folder / "part-0").write_bytes(recordio_protobuf.encode_rows(TABLE))
    return folder / "part-0"


def as_folder(folder: Path) -> Path:
    np.save(folder / "a.npy", TABLE[:300])
    (folder / "b.csv").write_text(text(TABLE[300:600]))
    (folder / "part-0001").write_bytes(recordio_protobuf.encode_rows(TABLE[600:]))
    (folder / "README.md").write_text("not data")
    return folder


FORMATS = [as_csv, as_csv_gz, as_npy, as_npy_of_float64_in_fortran_order,
           as_npy_of_more_dimensions, as_npz, as_recordio, as_folder]  # fmt: skip


@pytest.mark.parametrize("write", FORMATS, ids=lambda write: write.__name__)
def test_every_format_gives_the_same_rows(write: Callable[[Path], Path], tmp_path: Path) -> None:
    path = write(tmp_path)
    in_memory = rows.read_rows(path)
    on_disk = rows.read_rows(path, memory=1)
    assert in_memory.in_memory
    assert not on_disk.in_memory
    chosen = np.array([999, 0, 0, 512])
    for held in (in_memory, on_disk):
        assert held.shape == (1000, 7)
        assert held.digest == rows.read_rows(as_npy(tmp_path)).digest
        np.testing.assert_array_equal(held.take(slice(0, 1000)), TABLE)
        held.move_origin(TABLE[0])
        # Nine digits of a text are no float32 yet.
        np.testing.assert_allclose(held.take(chosen), (TABLE - TABLE[0])[chosen], atol=1e-6)


def test_leading_columns_of_a_csv_are_left_out(tmp_path: Path) -> None:
    path = as_csv(tmp_path)
    np.testing.assert_array_equal(
        rows.read_rows(path, skipped=2).take(slice(0, 1000)), TABLE[:, 2:]
    )
    with pytest.raises(DataError, match="has 7 columns, of which 7 are labels"):
        rows.read_rows(path, skipped=7)


def test_reading_many_rows_takes_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """10 MB of rows, in blocks of a quarter of a megabyte."""
    for module, name in (
        (tables, "CSV_BLOCK_BYTES"),
        (rows, "BLOCK_BYTES"),
        (recordio_protobuf, "BLOCK_BYTES"),
    ):
        monkeypatch.setattr(module, name, 2**18)
    part = np.tile(TABLE[:, :5], (1, 20))
    np.save(tmp_path / "a.npy", np.tile(part, (25, 1)))
    (tmp_path / "b.csv").write_bytes(text(part).encode() * 25)
    (tmp_path / "c.rec").write_bytes(recordio_protobuf.encode_rows(part) * 25)
    for name in ("a.npy", "b.csv", "c.rec"):
        tracemalloc.start()
        held = rows.read_rows(tmp_path / name, memory=2**18)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held.shape == (25_000, 100)
        assert peak < 12 * 2**18, name


def faulty(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("a.csv", b"1,2\n3,x\n", r"a\.csv: line 2, column 2: 'x' is not a number"),
        ("a.csv", b"x,y\n1,2\n3\n", r"a\.csv: line 3 has 1 columns, expected 2"),
        ("a.csv", b"1,2\n3,inf\n", r"a\.csv: line 2, column 2: 'inf' is not a finite"),
        ("a.csv", b"x,y\n", r"a\.csv: holds no rows"),
        ("a.csv", b"", r"a\.csv: holds no rows"),
        ("a.npy", npy(np.ones(3)), r"a\.npy: expected an array \(N, D\) of numbers, got \(3,\)"),
        ("a.npy", npy(np.array([[1, np.nan]])), r"a\.npy: row 1, column 2: not a finite float32"),
        ("a.npy", npy(np.array([[1], [1e300]])), r"a\.npy: row 2, column 1: not a finite float32"),
        ("a.npy", npy(np.ones((3, 2)))[:-1], r"a\.npy: the npy header announces 48 bytes"),
        ("a.npy", npy(np.array([[{}]])), r"a\.npy: the npy array's dtype is"),
        ("a.npz", b"PK\3\4 and no more", r"a\.npz: not a readable npz file"),
        ("a", recordio_protobuf.encode_rows(TABLE)[:-4], "a: record 1000 is cut short"),
    ],
)
def test_wrong_files_are_refused_with_their_place(
    tmp_path: Path, name: str, content: bytes, fault: str
) -> None:
    with pytest.raises(DataError, match=fault):
        rows.read_rows(faulty(name, content)(tmp_path))


def test_files_of_different_width_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no rows\. Expected CSV"):
        rows.read_rows(tmp_path)
    (tmp_path / "a.csv").write_text("1,2\n")
    (tmp_path / "b.csv").write_text("1,2,3\n")
    with pytest.raises(DataError, match=r"b\.csv: has 3 columns, the file before it 2"):
        rows.read_rows(tmp_path)


SCATTERED = """
import re, sys
from pathlib import Path
import numpy as np
from algoshelf.core.data.rows import read_rows
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
rows = read_rows(Path(sys.argv[1]), memory=2**20)
chosen = np.sort(np.random.default_rng(0).choice(len(rows), 4096, replace=False))
Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
before = peak()
taken = rows.take(chosen)
assert np.array_equal(taken[:, 0], chosen), taken
print(peak() - before)
"""


def test_scattered_rows_are_read_without_what_lies_between_them(tmp_path: Path) -> None:
    """A mapping took 64 KiB for each of 256 bytes."""
    path = tmp_path / "rows.npy"
    rows = np.zeros((2**18, 64), np.float32)
    rows[:, 0] = np.arange(len(rows))
    np.save(path, rows)
    command = [sys.executable, "-c", SCATTERED, str(path)]
    kilobytes = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert int(kilobytes) < 16 * 1024
