"""``core.data.walking``: every real folder once, wherever links lead; what is left out is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from algoshelf.core.data.walking import walk
from algoshelf.core.runtime.errors import DataError


def write(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(path.name)


def test_a_link_to_the_folder_itself_adds_nothing(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.csv")
    for name in ("again", "once more"):
        (tmp_path / "data" / name).symlink_to(".")
    found = walk(tmp_path / "data")
    assert list(found.files) == ["a.csv"]
    assert found.left_out == [
        "again: a link that leads to a folder that is read already",
        "once more: a link that leads to a folder that is read already",
    ]


def test_two_folders_that_lead_to_one_another_end(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write(data / "a" / "1.csv", data / "b" / "2.csv")
    (data / "a" / "over").symlink_to("../b")
    (data / "b" / "back").symlink_to("../a")
    found = walk(data)
    assert list(found.files) == ["a/1.csv", "b/2.csv"]
    assert len(found.left_out) == 2


def test_the_real_folder_goes_before_a_link_to_it(tmp_path: Path) -> None:
    write(tmp_path / "data" / "z" / "1.csv")
    (tmp_path / "data" / "a").symlink_to("z")
    assert list(walk(tmp_path / "data").files) == ["z/1.csv"]


def test_a_folder_elsewhere_is_followed_once(tmp_path: Path) -> None:
    pool = tmp_path / "pool"
    write(pool / "1.png", pool / "deep" / "2.png", tmp_path / "data" / "own.png")
    (pool / "deep" / "loop").symlink_to(pool)
    (tmp_path / "data" / "cat").symlink_to(pool)
    (tmp_path / "data" / "dog").symlink_to(pool)
    (tmp_path / "data" / "one.png").symlink_to(pool / "1.png")
    found = walk(tmp_path / "data")
    assert list(found.files) == ["cat/1.png", "cat/deep/2.png", "one.png", "own.png"]
    assert [left.partition(":")[0] for left in found.left_out] == ["cat/deep/loop", "dog"]


def test_a_link_to_a_folder_above_does_not_take_in_what_lies_beside(tmp_path: Path) -> None:
    write(tmp_path / "data" / "a.csv", tmp_path / "secret.txt")
    (tmp_path / "data" / "up").symlink_to("..")
    (tmp_path / "data" / "root").symlink_to("/")
    found = walk(tmp_path / "data")
    assert list(found.files) == ["a.csv"]
    assert found.left_out == [
        "root: a link that leads to a folder above",
        "up: a link that leads to a folder above",
    ]


def test_what_is_no_file_is_left_out_and_said(tmp_path: Path) -> None:
    write(tmp_path / "a.csv", *(tmp_path / f".{n}" for n in range(6)), tmp_path / ".git" / "x")
    (tmp_path / "gone.csv").symlink_to("nowhere")
    (tmp_path / "itself").symlink_to("itself")
    (tmp_path / "zero").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    found = walk(tmp_path)
    assert list(found.files) == ["a.csv"]
    gone, itself, others, hidden = found.left_out
    assert gone == "gone.csv: a link that leads nowhere: No such file or directory"
    assert itself.startswith("itself: a link that leads nowhere: ")
    assert others == "2 entries that are no files: pipe, zero"
    assert hidden == "7 hidden entries: .0, .1, .2, .3, …"


def test_a_file_alone_and_what_is_not_there(tmp_path: Path) -> None:
    write(tmp_path / "a.csv")
    assert walk(tmp_path / "a.csv").files == {"a.csv": tmp_path / "a.csv"}
    with pytest.raises(DataError, match=r"b\.csv: no such file or folder"):
        walk(tmp_path / "b.csv")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_told(tmp_path: Path) -> None:
    write(tmp_path / "shut" / "a.csv")
    (tmp_path / "shut").chmod(0)
    with pytest.raises(DataError, match="shut: cannot be read"):
        walk(tmp_path)
