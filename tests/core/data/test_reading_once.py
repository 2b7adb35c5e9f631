"""A table is read quickly, and once: what comes of it is what a slow and second reading gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from algoshelf.core import DataError
from algoshelf.core.data import remembered, sources, tables
from algoshelf.core.data.schema import Schema, TableDataset, read_table

PLAIN = [[f"{i}", f"word {i % 3}", "" if i % 4 else f"{i}.5"] for i in range(20)]
NAMES = ["number", "words", "gaps"]


def text_of(rows: list[list[str]], delimiter: str = ",", end: str = "\n") -> str:
    return "".join(delimiter.join(row) + end for row in [NAMES, *rows])


def cells(path: Path) -> list[tuple[int, tuple[object, ...]]]:
    """Each row with the line where it begins."""
    table = read_table(path)
    return [
        (place, row)
        for _, block in table.blocks()
        for place, row in zip(block.places, zip(*block.columns))
    ]


@pytest.fixture(autouse=True)
def few_rows_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "BLOCK_ROWS", 3)


@pytest.mark.parametrize(
    ("written", "rows", "lines"),
    [
        (text_of(PLAIN), PLAIN, range(2, 22)),
        (text_of(PLAIN)[:-1], PLAIN, range(2, 22)),
        (text_of(PLAIN, end="\r\n"), PLAIN, range(2, 22)),
        (text_of(PLAIN, delimiter=";"), PLAIN, range(2, 22)),
        (text_of(PLAIN, delimiter="\t"), PLAIN, range(2, 22)),
        ("\ufeff" + text_of(PLAIN), PLAIN, range(2, 22)),
        ("sep=,\n" + text_of(PLAIN), PLAIN, range(3, 23)),
        # what no line alone tells, after some that do
        (text_of(PLAIN) + '30,"a, ""b""\nc",\n31,d,1\n', [*PLAIN, ["30", 'a, "b"\nc', ""],
         ["31", "d", "1"]], [*range(2, 22), 22, 24]),
        (text_of(PLAIN) + "\n\n30,a,\n\n", [*PLAIN, ["30", "a", ""]], [*range(2, 22), 24]),
        ("number,words,gaps\n\n" + text_of(PLAIN).split("\n", 1)[1], PLAIN, range(3, 23)),
        ('"number","words","gaps"\n' + text_of(PLAIN).split("\n", 1)[1], PLAIN, range(2, 22)),
    ],
)  # fmt: skip
def test_all_rows_come_with_their_lines(
    tmp_path: Path, written: str, rows: list[list[str]], lines: range
) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(written.encode())
    assert cells(path) == [(line, tuple(row)) for line, row in zip(lines, rows)]


def test_a_text_in_another_encoding(tmp_path: Path) -> None:
    rows = [[cell.replace("word", "a word of some größe") for cell in row] for row in PLAIN]
    for encoding in ("utf-16", "cp1252"):
        path = tmp_path / f"{encoding}.csv"
        path.write_bytes(text_of(rows).encode(encoding))
        assert [row for _, row in cells(path)] == list(map(tuple, rows))


@pytest.mark.parametrize(
    ("last", "fault"),
    [
        ("1,2\n", "line 22 has 2 columns, expected 3 as in the first"),
        ("1,2,3,4\n1,2\n", "line 22 has 4 columns, expected 3 as in the first"),
        ('1,"2,3\n', "line 22: unexpected end of data"),
        ("1,2\0,3\n", "line 22 has a NUL byte"),
    ],
)
def test_what_is_wrong_behind_good_rows_is_told_by_its_line(
    tmp_path: Path, last: str, fault: str
) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text_of(PLAIN) + last)
    with pytest.raises(DataError, match=fault):
        cells(path)


def mixed(path: Path) -> Path:
    """Numbers, words, dates; categories that begin like numbers, and a number with a few gaps."""
    rng = np.random.default_rng(1)
    lines = ["x,word,when,code,price,label"]
    for i in range(90):
        code = f"{i % 4}" if i < 45 else f"k{i % 3}"
        price = ("n/a", "-", "", "1,200.5")[i % 4] if i % 7 == 0 else f"{rng.normal():.4f}"
        price = f'"{price}"' if "," in price else price
        x, word = rng.normal(), "ab"[i % 2]
        lines.append(f"{x:.5f},{word},2020-01-{i % 28 + 1:02d},{code},{price},{i % 2}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_that_has_room_in_memory_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mixed(tmp_path / "table.csv")
    table = read_table(path)
    schema = Schema.infer(table)
    path.unlink()
    found: TableDataset = schema.dataset(table)
    monkeypatch.setattr(remembered, "MEMORY", 500)
    table = read_table(mixed(path))
    assert Schema.infer(table) == schema
    again = schema.dataset(table)
    assert (again.digest(), again.note) == (found.digest(), found.note)
    assert len(found) == 90


def test_rows_that_have_to_be_read_one_by_one_give_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mixed(tmp_path / "table.csv")
    table = read_table(path)
    quick = Schema.infer(table).dataset(table)
    monkeypatch.setattr(tables, "_divided", lambda *_: None)
    table = read_table(path)
    slow = Schema.infer(table).dataset(table)
    assert (quick.schema, quick.digest()) == (slow.schema, slow.digest())
