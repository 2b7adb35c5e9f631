"""Tables of numbers with labels, files beside them that are no data, and requests: as plugins and
jobs meet them.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Sequence

import numpy as np
import pytest
from algoshelf.core import CsvRows, DataError, MalformedPayloadError, codecs, files
from algoshelf.core.data import leftovers, tables
from algoshelf.core.data.reading import Headings, Reading, using
from algoshelf.core.data.rows import read_rows

X, Y = [[2, 3.5], [5, 6], [8, 9.25]], [1, 0, 2]
PLAIN = "1,2,3.5\n0,5,6\n2,8,9.25\n"
SEMICOLONS = "art;länge;höhe\n1;2;3,5\n0;5;6\n2;8;9,25\n"
LAST = "a,b,label\n2,3.5,1\n5,6,0\n8,9.25,2\n"
LABELLED = {
    "plain": (PLAIN.encode(), {}),
    "semicolons": (SEMICOLONS.encode("cp1252"), {}),
    "utf16": (SEMICOLONS.encode("utf-16"), {}),
    "cr": (PLAIN.replace("\n", "\r").encode(), {}),
    "label_last": (LAST.encode(), {"label_column": "label"}),
    "chosen": (
        b"id,label,a,name,b\n1,1,2,x,3.5\n2,0,5,y,6\n3,2,8,z,9.25\n",
        {"label_column": "2", "columns": "a,b"},
    ),
}


@pytest.mark.parametrize("case", LABELLED)
def test_labelled_tables_are_read_alike_in_memory_and_from_disk(case: str, tmp_path: Path) -> None:
    content, flags = LABELLED[case]
    path = tmp_path / "rows.csv"
    path.write_bytes(content)
    with using(Reading.parse(flags), lambda _: None):
        x, y = files.read_labelled_csv(path, features=2, labels=3)
        rows = CsvRows(path, features=2, classes=("a", "b", "c"))
    np.testing.assert_array_equal(x, np.array(X, np.float32))
    np.testing.assert_array_equal(y, Y)
    order = np.array([2, 0, 1, 2])
    taken, labels = rows.take(order)
    np.testing.assert_array_equal(taken, np.array(X, np.float32)[order])
    np.testing.assert_array_equal(labels, np.array(Y)[order])


def test_other_columns_of_one_file_are_other_data(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,b,c\n1,2,0\n0,1,2\n")
    digests = set()
    for column in ("a", "c"):
        with using(Reading(label_column=column), lambda _: None):
            digests.add(CsvRows(path, features=2, classes=("a", "b", "c")).digest())
    assert len(digests) == 2


def test_a_heading_that_says_where_the_label_is_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(LAST)
    with pytest.raises(DataError, match=r"column 1, 'a', but column 3, label has its name") as e:
        files.read_labelled_csv(tmp_path / "rows.csv", features=2, labels=10)
    assert "--label-column 3 takes that, --label-column 1 the first" in str(e.value)


@pytest.mark.parametrize(
    ("order", "said"), [(range(12), False), (range(11, -1, -1), True), ([*range(1, 12), 0], True)]
)
def test_headings_that_count_otherwise_than_columns_stand_are_pointed_out(
    order: Sequence[int], said: bool, tmp_path: Path
) -> None:
    header = ",".join(["label", *(f"pixel{i}" for i in order)])
    (tmp_path / "rows.csv").write_text(f"{header}\n1,{','.join('5' * 12)}\n")
    notes: list[str] = []
    with using(Reading(), notes.append):
        files.read_labelled_csv(tmp_path / "rows.csv", features=12, labels=3)
    first = f"(pixel{order[0]}, pixel{order[1]}, …)"
    assert any(f"though their headings {first} count otherwise" in text for text in notes) == said


def test_labels_that_are_names_are_summarised(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("kind,a,b\n" + "wild rose,1,2\n" * 30)
    with pytest.raises(DataError) as caught:
        files.read_labelled_csv(tmp_path / "rows.csv", features=2, labels=3)
    assert caught.value.faults == (
        f"{tmp_path / 'rows.csv'}: column 1, kind: text throughout (first in line 2: 'wild rose')",
        "--columns 2-3 leaves such columns out",
    )


def test_a_first_line_of_numbers_and_words_names_the_flag_that_makes_headings_of_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "rows.csv").write_text("2019,2020,name\n" + PLAIN)
    with pytest.raises(DataError, match="line 1, column 3: 'name' is not a number") as caught:
        files.read_labelled_csv(tmp_path / "rows.csv", features=2, labels=3)
    assert caught.value.faults[-1] == "--header yes reads line 1 as headings"
    with using(Reading(header=True), lambda _: None):
        assert files.read_labelled_csv(tmp_path / "rows.csv", features=2, labels=3)[1].tolist() == Y


def test_a_folder_as_spark_writes_it_is_one_table(tmp_path: Path) -> None:
    (tmp_path / "part-00000").write_text("label,a,b\n1,2,3.5\n")
    (tmp_path / "part-00001").write_text("label,a,b\n0,5,6\n2,8,9.25\n")
    for name in ("_SUCCESS", "_committed_1", ".part-00000.crc", "Thumbs.db", "README.md"):
        (tmp_path / name).write_text("no data")
    (tmp_path / "notes.docx").write_text("no data")
    said: list[str] = []
    with using(Reading(), said.append):
        x, y = files.read_labelled_csv(tmp_path, features=2, labels=3)
    np.testing.assert_array_equal(x, np.array(X, np.float32))
    np.testing.assert_array_equal(y, Y)
    left = [text for text in said if "left out" in text]
    assert left == [
        f"{tmp_path}: 4 files left out, which are no data: README.md, Thumbs.db, _SUCCESS, "
        "_committed_1",
        f"{tmp_path}: 1 file left out, since their names do not end as data's do: notes.docx",
    ]
    first, others = [text for text in said if "part-0000" in text]
    assert first.startswith(f"{tmp_path / 'part-00000'}: line 1 holds headings (label, a, b)")
    assert others.startswith(f"{tmp_path / 'part-00001'}: the same, as for any file")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("_SUCCESS", False), ("_committed_17", False), (".DS_Store", False), ("Thumbs.db", False),
        ("README", False), ("readme.txt", False), ("LICENSE.md", False), ("a.csv.crc", False),
        ("SHA256SUMS", False), ("a.csv.md5", False), ("~$book.xlsx", False), ("a.csv~", False),
        ("part-00000", True), ("license_plates.csv", True), ("readme.csv", True), ("a.csv", True),
        ("notice.jpg", True), ("md5.csv", True),
    ],
)  # fmt: skip
def test_what_is_no_data_is_told_by_its_name(name: str, data: bool) -> None:
    assert leftovers.is_no_data(name) is not data


def test_a_quote_left_open_in_a_tsv_swallows_no_row() -> None:
    lines = ['"hello\t1', "b\t2", 'c\t"3', '"two', 'lines"\t4', "last\t5"]
    rows = tables.tabbed(enumerate(["text\tlabel", *lines], 1))
    assert list(rows) == [
        (1, ["text", "label"]), (2, ['"hello', "1"]), (3, ["b", "2"]), (4, ["c", '"3']),
        (5, ["two\nlines", "4"]), (7, ["last", "5"]),
    ]  # fmt: skip


def test_requests_know_cr_and_have_a_word_of_their_own_for_long_integers() -> None:
    np.testing.assert_array_equal(codecs.decode_array(b"1,2\r3,4", codecs.CSV), [[1, 2], [3, 4]])
    assert codecs.decode_records(b"a,1\rb,2\r", codecs.CSV) == [["a", "1"], ["b", "2"]]
    with pytest.raises(MalformedPayloadError, match=r"line 2: an integer has more than 4,300 dig"):
        codecs.decode_array(b"[1]\n[%s]" % (b"7" * 5000), codecs.JSONLINES)


def test_a_packed_file_that_is_called_otherwise_is_read_and_said(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(gzip.compress(PLAIN.encode()))
    said: list[str] = []
    with using(Reading(), said.append):
        _, y = files.read_labelled_csv(tmp_path / "rows.csv", features=2, labels=3)
    assert y.tolist() == Y
    assert any("gzip, though its name does not say so" in text for text in said)


def test_tables_of_one_training_are_taken_by_the_headings_of_the_first(tmp_path: Path) -> None:
    """Taken by place, they were one table of nonsense."""
    (tmp_path / "a.csv").write_text("age,income\n30,1000\n40,2000\n")
    (tmp_path / "b.csv").write_text("income,age\n1000,30\n2000,40\n")
    for decided, count in ((Reading(), 1), (Reading(columns="age,income"), 0)):
        said: list[str] = []
        with using(decided, said.append):
            rows = read_rows(tmp_path).take(slice(0, 4))
        assert rows.tolist() == [[30, 1000], [40, 2000], [30, 1000], [40, 2000]]
        told = [text for text in said if "in the order that" in text]
        assert len(told) == count


def test_tables_of_one_training_with_other_headings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("age,income\n30,1000\n")
    for content, match in (
        ("age,wage\n1,2\n", "income missing, wage unknown"),
        ("income,id,age\n1,2,3\n", "id unknown; --columns leaves columns out"),
    ):
        (tmp_path / "b.csv").write_text(content)
        with using(Reading(), lambda _: None), pytest.raises(DataError, match=match):
            read_rows(tmp_path)


def test_labelled_tables_are_taken_by_the_headings_of_the_model(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    known = Headings(columns=("a", "b"), labels=("label",))
    for content in (LAST, "b,id,label,a\n3.5,1,1,2\n6,2,0,5\n9.25,3,2,8\n"):
        path.write_text(content)
        said: list[str] = []
        with using(Reading(), said.append, known):
            x, y = files.read_labelled_csv(path, features=2, labels=3)
            rows = CsvRows(path, features=2, classes=("a", "b", "c"))
        np.testing.assert_array_equal(x, np.array(X, np.float32))
        np.testing.assert_array_equal(y, Y)
        np.testing.assert_array_equal(rows.take(np.arange(3))[0], x)
    assert any("1 column is left out, which the model was not trained on: id" in t for t in said)
    path.write_text("class,a,b\n1,2,3.5\n")
    with using(Reading(), said.append, known), pytest.raises(
        DataError, match=r"label missing, class unknown; .*--label-c"
    ):
        files.read_labelled_csv(path, features=2, labels=3)
    with using(Reading(label_column="class"), said.append, known):
        assert files.read_labelled_csv(path, features=2, labels=3)[1].tolist() == [1]
