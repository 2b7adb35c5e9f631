"""Tables in every form that is read: all become the same numbers, and hostile ones are refused."""

from __future__ import annotations

import csv
import datetime
import gzip
import io
import random
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Iterator

import numpy as np
import openpyxl
import pyarrow
import pyarrow.parquet
import pytest
from algoshelf.core import DataError, MissingDependencyError
from algoshelf.core.data import protobuf, sources
from algoshelf.core.data.reading import Reading, using
from algoshelf.core.data.schema import Schema, TableDataset, read_table

NAMES = ("x", "word", "when", "flag", "gap", "label")
ROWS = [
    (
        i / 8,
        ("red", "green", "dark blue, or black")[i % 3],
        datetime.datetime(2020, 1, 1) + datetime.timedelta(hours=7 * i),
        i % 2 == 0,
        None if i % 9 == 0 else i,
        "yes" if i % 4 else "no",
    )
    for i in range(80)
]


@pytest.fixture
def said() -> Iterator[list[str]]:
    told: list[str] = []
    with using(Reading(), told.append):
        yield told


def as_text(delimiter: str = ",", header: bool = True) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, delimiter=delimiter)
    writer.writerows(
        ([NAMES] if header else []) + [["" if c is None else c for c in row] for row in ROWS]
    )
    return stream.getvalue()


def learned(path: Path) -> TableDataset:
    table = read_table(path)
    return Schema.infer(table).dataset(table)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("sources") / "a.csv"
    path.write_text(as_text())
    return learned(path).digest()


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_text_in_any_encoding_and_with_any_delimiter(
    delimiter: str, encoding: str, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(as_text(delimiter).encode(encoding))
    assert learned(path).digest() == expected


def test_text_that_is_packed_or_whose_lines_end_otherwise(expected: str, tmp_path: Path) -> None:
    text = as_text().replace("\r\n", "\n")
    for ending in ("\n", "\r\n", "\r"):
        path = tmp_path / "a.csv"
        path.write_bytes(text.replace("\n", ending).encode())
        assert learned(path).digest() == expected
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert learned(tmp_path / "a.csv.gz").digest() == expected


def test_lines_that_end_with_the_delimiter_have_an_empty_column(tmp_path: Path) -> None:
    rows = [f"{i / 4},{('a', 'b')[i % 2]}," for i in range(30)]
    (tmp_path / "a.csv").write_text("x,label,\n" + "\n".join(rows) + "\n")
    schema = learned(tmp_path / "a.csv").schema
    assert [column.name for column in schema.columns] == ["x", "label", "column 3"]
    assert schema.columns[2].left_out == "empty in every row"


def test_an_index_without_a_heading_is_left_out(tmp_path: Path) -> None:
    rows = [f"{i},{i / 4},{('a', 'b')[i % 2]}" for i in range(30)]
    (tmp_path / "a.csv").write_text(",x,label\n" + "\n".join(rows) + "\n")
    schema = learned(tmp_path / "a.csv").schema
    assert [column.name for column in schema.features] == ["x"]


def test_a_title_above_the_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("Sales of 2020\nx,word,label\n1,a,b\n2,b,c\n")
    with pytest.raises(DataError, match="'Sales of 2020', is a title above the table"):
        learned(tmp_path / "a.csv")


def test_a_line_end_in_quotes_is_of_the_cell_and_lines_are_counted(tmp_path: Path) -> None:
    rows = [f'{i},"two\nlines",{"yes" if i % 2 else "no"}' for i in range(30)]
    rows.insert(5, "")
    rows.insert(20, "abc,word,no")
    path = tmp_path / "a.csv"
    path.write_text("x,word,label\n" + "\n".join(rows) + "\n")
    with pytest.raises(DataError, match="line 41: 'abc'"):
        learned(path)


def parquet(path: Path, **more: Any) -> Path:
    columns = {name: [row[i] for row in ROWS] for i, name in enumerate(NAMES)}
    pyarrow.parquet.write_table(pyarrow.table({**columns, **more}), path)
    return path


def workbook(path: Path, *sheets: list[list[Any]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for number, rows in enumerate(sheets, 1):
        sheet = book.create_sheet(f"sheet {number}")
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def test_parquet_and_excel_hold_the_same(expected: str, tmp_path: Path) -> None:
    assert learned(parquet(tmp_path / "a.parquet")).digest() == expected
    assert learned(parquet(tmp_path / "no ending")).digest() == expected
    assert (
        learned(workbook(tmp_path / "a.xlsx", [list(NAMES), *map(list, ROWS)])).digest() == expected
    )


def test_a_workbook_is_told_by_its_content(tmp_path: Path, expected: str) -> None:
    whole = workbook(tmp_path / "a.xlsx", [list(NAMES), *map(list, ROWS)])
    for name in ("a.xls", "a"):
        (tmp_path / name).write_bytes(whole.read_bytes())
        assert learned(tmp_path / name).digest() == expected


def test_types_of_parquet(tmp_path: Path) -> None:
    count = len(ROWS)
    more = {
        "small": pyarrow.array([i % 3 for i in range(count)], pyarrow.int8()),
        "decimal": pyarrow.array([i / 4 for i in range(count)]).cast(pyarrow.decimal128(10, 2)),
        "names": pyarrow.array(["a", "b"] * (count // 2)).dictionary_encode(),
        "day": pyarrow.array([datetime.date(2020, 1, 1 + i % 9) for i in range(count)]),
        "zoned": pyarrow.array([row[2] for row in ROWS], pyarrow.timestamp("us", "Europe/Berlin")),
        "nothing": pyarrow.nulls(count),
    }
    kinds = {
        c.name: c.kind for c in learned(parquet(tmp_path / "a.parquet", **more)).schema.columns
    }
    assert [kinds[name] for name in more] == [
        "number", "number", "category", "time", "time", "number",
    ]  # fmt: skip


def test_a_column_of_lists_is_refused_by_name_unless_others_are_chosen(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", points=[[1, 2]] * len(ROWS))
    with pytest.raises(DataError, match="column 'points' holds list"):
        learned(path)
    with using(Reading(columns="x,label"), print):
        assert len(learned(path)) == len(ROWS)


def test_the_first_sheet_is_read_and_that_is_said(tmp_path: Path, said: list[str]) -> None:
    rows = [list(NAMES), *map(list, ROWS)]
    path = workbook(tmp_path / "a.xlsx", [], rows, [["notes"]])
    assert len(learned(path)) == len(ROWS)
    assert any("the sheet 'sheet 2' is read, the others are not (sheet 3)" in text for text in said)


def test_a_word_in_a_sheet_is_told_with_its_row(tmp_path: Path) -> None:
    rows = [list(NAMES), *map(list, ROWS)]
    rows[40][0] = "abc"
    with pytest.raises(DataError, match="the first in row 41: 'abc'"):
        learned(workbook(tmp_path / "a.xlsx", rows))


@pytest.mark.parametrize("name", ["a.parquet", "a.xlsx"])
def test_damaged_files_are_refused(name: str, tmp_path: Path) -> None:
    whole = (
        parquet(tmp_path / "b") if name == "a.parquet" else workbook(tmp_path / "b.xlsx", [["a"]])
    )
    content = whole.read_bytes()
    random.seed(1)
    for cut in (20, len(content) // 2, len(content) - 5):
        (tmp_path / name).write_bytes(content[:cut])
        with pytest.raises(DataError):
            learned(tmp_path / name)
    for _ in range(20):
        damaged = bytearray(content)
        for _ in range(40):
            damaged[random.randrange(4, len(damaged))] = random.randrange(256)
        (tmp_path / name).write_bytes(damaged)
        try:
            learned(tmp_path / name)
        except DataError:
            continue


def test_a_sheet_that_unpacks_to_far_more_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from algoshelf.core.data import files

    monkeypatch.setattr(files, "MAX_UNPACKED_BYTES", 2**20)
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", " " * 2**24)
    with pytest.raises(DataError, match="its sheets would take"):
        read_table(tmp_path / "a.xlsx")


def test_an_old_workbook_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(DataError, match=r"old Excel workbook .*\.xls.*save the sheet as CSV"):
        read_table(tmp_path / "a.xls")


@pytest.mark.parametrize(("name", "package"), [("a.parquet", "pyarrow"), ("a.xlsx", "openpyxl")])
def test_what_is_not_installed_is_named_with_the_extra(
    name: str, package: str, tmp_path: Path
) -> None:
    path = parquet(tmp_path / name) if package == "pyarrow" else workbook(tmp_path / name, [["a"]])
    program = (
        "import sys\n"
        f"sys.modules[{package!r}] = None\n"
        "from pathlib import Path\n"
        "from algoshelf.core import MissingDependencyError\n"
        "from algoshelf.core.data.schema import read_table\n"
        f"try: read_table(Path({str(path)!r}))\n"
        "except MissingDependencyError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (
        f"needs {package}, which is not installed: pip install 'algoshelf[tables]'" in done.stdout
    )


def test_neither_is_imported_before_it_is_needed(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(as_text())
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from algoshelf.core.data.schema import Schema, read_table\n"
        f"Schema.infer(read_table(Path({str(tmp_path / 'a.csv')!r})))\n"
        "print(sorted({'pyarrow', 'openpyxl', 'pandas', 'mxnet'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


# SageMaker's forms


def numbers() -> Any:
    rng = np.random.default_rng(0)
    found = np.round(rng.normal(size=(50, 4)), 3).astype(np.float32)
    found[:, 0] = rng.integers(0, 2, 50)
    found[rng.random((50, 4)) < 0.3] = 0
    return found


def test_sagemakers_forms_hold_the_same(tmp_path: Path) -> None:
    rows = numbers()
    (tmp_path / "a.csv").write_text(
        "\n".join(",".join(str(float(cell)) for cell in row) for row in rows) + "\n"
    )
    lines = [
        " ".join([f"{row[0]:g}", *(f"{i}:{cell}" for i, cell in enumerate(row[1:], 1) if cell)])
        for row in rows
    ]
    (tmp_path / "a.svm").write_text("\n".join(lines) + " # a remark\n")
    (tmp_path / "a.rec").write_bytes(
        b"".join(protobuf.encode({"values": row[1:]}, {"values": row[:1]}) for row in rows)
    )
    (tmp_path / "sparse.rec").write_bytes(b"".join(sparse(row) for row in rows))
    names = ("a.csv", "a.svm", "a.rec", "sparse.rec")
    assert len({learned(tmp_path / name).digest() for name in names}) == 1


def sparse(row: Any) -> bytes:
    """A record as SageMaker's SDK writes sparse ones: values, keys and shape."""
    from algoshelf.core.data.protobuf import _as_varint, _field
    from algoshelf.core.data.recordio import frame

    keys = [i for i, cell in enumerate(row[1:]) if cell]
    values = np.array([row[1 + i] for i in keys], "<f4").tobytes()
    tensor = _field(1, values) + _field(2, b"".join(map(_as_varint, keys))) + _field(
        3, _as_varint(len(row) - 1)
    )  # fmt: skip
    label = _field(2, _field(1, np.array(row[:1], "<f4").tobytes()))
    record = _field(1, _field(1, b"values") + _field(2, _field(2, tensor)))
    return frame(record + _field(2, _field(1, b"values") + _field(2, label)))


def test_a_file_of_libsvm_may_use_fewer_indices_than_the_training(tmp_path: Path) -> None:
    (tmp_path / "a.svm").write_text("1 1:0.5 3:2\n0 2:1\n" * 20)
    (tmp_path / "b.svm").write_text("1 1:0.5\n0 7:1\n")
    schema = learned(tmp_path / "a.svm").schema
    found = schema.dataset(read_table(tmp_path / "b.svm"))
    assert found.take(np.arange(2))[0].tolist() == [[1, -1, -1], [-1, -1, -1]]


@pytest.mark.parametrize(
    ("line", "match"),
    [
        ("1 a:1", "line 3: 'a:1' is no such pair"),
        ("1 1:abc", "line 3: 'abc' is not a finite number"),
        ("1 1:1e999", "line 3: '1e999' is not a finite number"),
        ("1,2 1:1", "line 3: '1,2' is not a finite number"),
        ("1 99999999:1", "has the index 99,999,999, expected 65,536 at most"),
    ],
)
def test_faults_of_libsvm_are_told_with_their_line(line: str, match: str, tmp_path: Path) -> None:
    (tmp_path / "a.svm").write_text(f"1 1:0.5\n0 2:1\n{line}\n")
    with pytest.raises(DataError, match=match):
        read_table(tmp_path / "a.svm")


def test_a_record_without_a_label_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.rec").write_bytes(protobuf.encode_rows(numbers()))
    with pytest.raises(DataError, match="record 1: has no label, expected one"):
        read_table(tmp_path / "a.rec")


# Folders


def test_the_files_of_a_folder_are_one_table(tmp_path: Path, expected: str) -> None:
    lines = as_text().replace("\r\n", "\n").splitlines()
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "part-0").write_text("\n".join(lines[:40]) + "\n")
    (folder / "part-1").write_text("\n".join([lines[0], *lines[40:]]) + "\n")
    (folder / "part-2").write_text("")
    (folder / "_SUCCESS").write_text("")
    assert learned(folder).digest() == expected


def test_the_files_of_a_folder_must_have_the_same_columns(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "a.csv").write_text("x,label\n1,a\n2,b\n")
    (folder / "b.csv").write_text("y,label\n1,a\n2,b\n")
    with pytest.raises(DataError, match=r"b\.csv: its headings are not those .*a\.csv has: x miss"):
        learned(folder)


# Hostile


def test_rows_of_another_width_are_all_told(tmp_path: Path) -> None:
    lines = as_text().replace("\r\n", "\n").splitlines()
    for line in range(10, 30):
        lines[line] += ",more"
    (tmp_path / "a.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError) as caught:
        learned(tmp_path / "a.csv")
    assert "line 11 has 7 columns, expected 6 as in the first" in caught.value.faults[0]
    assert caught.value.faults[10] == "... and 10 more"


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "holds no rows"),
        (b"x,label\n", "holds no rows|no rows"),
        (b"x,label\n1,a\n2,\0b\n", "NUL byte|zero bytes"),
        (b'x,label\n1,"a\n2,b\n', "line 2: "),
        (b"x,label\n1e999,a\n" + b"2,b\n" * 30, "'x' is not finite in float32 .*line 2: '1e999'"),
        (b"x,label\ninf,a\n" + b"2,b\n" * 30, "'x' is not a number in 1 of 31 rows"),
        (b'{"x": 1, "label": "a"}\n' * 3, "is JSON lines"),
    ],
)  # fmt: skip
def test_hostile_text_is_refused(content: bytes, match: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(DataError, match=match):
        learned(tmp_path / "a.csv")


def test_a_million_columns_are_refused(tmp_path: Path) -> None:
    row = ",".join("1" for _ in range(1_000_000))
    (tmp_path / "a.csv").write_text(f"{row}\n{row}\n")
    with pytest.raises(DataError, match="has 1,000,000 columns, expected 65,536 at most"):
        read_table(tmp_path / "a.csv")


def test_huge_cells_are_texts(tmp_path: Path) -> None:
    rows = [f"{'a' * (200_000 + i)},{i % 3},{'yes' if i % 2 else 'no'}" for i in range(30)]
    (tmp_path / "a.csv").write_text("text,x,label\n" + "\n".join(rows) + "\n")
    schema = learned(tmp_path / "a.csv").schema
    assert schema.columns[0].left_out == "text, nearly all different"
    assert len(schema.columns[0].example) <= 40


def test_formulas_are_words(tmp_path: Path) -> None:
    rows = [
        f'"=HYPERLINK(""http://x"",{i % 2})",{i / 2},{"@SUM(1)" if i % 2 else "-no"}'
        for i in range(30)
    ]
    (tmp_path / "a.csv").write_text("c,x,label\n" + "\n".join(rows) + "\n")
    schema = learned(tmp_path / "a.csv").schema
    assert schema.classes == ("-no", "@SUM(1)")


def test_the_extra_is_the_one_that_errors_name() -> None:
    with pytest.raises(MissingDependencyError, match=r"algoshelf\[tables\]"):
        sources.library("no_such_package", "This")
