"""Tables and texts as people keep them, each through train, evaluate, predict and transform: read
alike by all four, with what was assumed said; or refused by all four, with what to do.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sqlite3
import subprocess
import sys
import zipfile
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable, Sequence

import numpy as np
import pytest
from PIL import Image

from tests.conftest import InProcess, Result

ROWS = [(1.5, 2.5, 3), (4.5, 5.5, 6), (7, 8, 9.25), (1.25, 2, 3), (8, 7, 9), (4, 5, 6.5)]
HEADINGS = ["width", "length", "height"]
CSV = "".join(f"{','.join(map(str, row))}\n" for row in ROWS)
HEADED = ",".join(HEADINGS) + "\n" + CSV
SEMICOLONS = CSV.replace(",", ";").replace(".", ",")
Write = Callable[[Path], Path]


@dataclass
class Case:
    """A file, flags for it, and what all commands say of it."""

    name: str
    content: bytes | str | Write
    said: str = ""
    flags: tuple[str, ...] = ()
    asked: bool = field(default=True)  # whether predict can be asked about it

    def write(self, folder: Path) -> Path:
        if callable(self.content):
            return self.content(folder)
        path = folder / self.name
        content = self.content
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path


def spark(folder: Path) -> Path:
    """What df.write.csv(header=True) leaves on Databricks, with Windows' and a checksum."""
    found = folder / "table.csv"
    found.mkdir()
    for number, part in enumerate((ROWS[:2], ROWS[2:])):
        lines = "".join(f"{','.join(map(str, row))}\n" for row in part)
        (found / f"part-0000{number}-c000.csv").write_text(",".join(HEADINGS) + "\n" + lines)
        (found / f".part-0000{number}-c000.csv.crc").write_bytes(b"crc\0")
    for name in ("_SUCCESS", "_committed_17", "_started_17"):
        (found / name).write_text("{}")
    (found / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    (found / "part-00000-c000.csv.md5").write_text("d41d8cd98f00b204e9800998ecf8427e")
    return found


def spark_with_empty_parts(folder: Path) -> Path:
    found = folder / "parts"
    found.mkdir()
    for number, rows in enumerate((None, (), ROWS[:4], ROWS[4:])):
        lines = "".join(f"{','.join(map(str, row))}\n" for row in rows or ())
        headings = "" if rows is None else ",".join(HEADINGS) + "\n"
        (found / f"part-0000{number}.csv").write_text(headings + lines)
    return found


def empty_parts(folder: Path) -> Path:
    (folder / "empty_parts").mkdir()
    for number, content in enumerate(("", "a,b,c\n")):
        (folder / "empty_parts" / f"part-{number}.csv").write_text(content)
    return folder / "empty_parts"


def numbered(lines: list[str]) -> str:
    return "".join(f"{number},{line}\n" for number, line in enumerate(lines, 1))


# Each of these is the same six rows.
READ = [
    Case("plain.csv", CSV),
    Case("headings.csv", HEADED, "line 1 holds headings (width, length, height) (--header"),
    Case("bom.csv", "\ufeff" + HEADED.replace("\n", "\r\n"), "line 1 holds headings"),
    Case("excel_german.csv", ("größe;länge;höhe\r\n" + SEMICOLONS).encode("cp1252"),
         "not UTF-8: taken for Windows-1252; separated by semicolons; decimal commas; line 1"),
    Case("semicolons.csv", SEMICOLONS, "separated by semicolons; decimal commas (--delimiter"),
    Case("semicolons_and_points.csv", CSV.replace(",", ";"), "separated by semicolons (--delim"),
    Case("excel_unicode.txt", HEADED.replace(",", "\t").replace(".", ",").replace("\n", "\r\n")
         .encode("utf-16"), "in UTF-16; separated by tabs; decimal commas; line 1 holds headings"),
    Case("utf16_without_a_mark.csv", HEADED.encode("utf-16-be"), "taken for UTF-16 (big-endian"),
    Case("old_mac.csv", HEADED.replace("\n", "\r"), "lines end in CR; line 1 holds headings"),
    Case("tabs.tsv", HEADED.replace(",", "\t"), "separated by tabs; line 1 holds headings"),
    Case("bars.csv", CSV.replace(",", "|"), "separated by bars (|)"),
    Case("quoted.csv", "".join('"' + line.replace(",", '","') + '"\n' for line in
                               HEADED.split())),
    Case("packed.csv.gz", gzip.compress(HEADED.encode()), "line 1 holds headings"),
    Case("packed_by_another_name.csv", gzip.compress(CSV.encode()), "gzip, though its name"),
    Case("numbered.csv", "id,a,b,c\n" + numbered(CSV.split()), flags=("--columns", "2-4")),
    Case("a_name_with_line_ends.csv", "name,a,b,c\n" + "".join(
         f'"two\nlines, ""{i}""",{line}\n' for i, line in enumerate(CSV.split())),
         "line 1 holds headings", flags=("--columns", "a,b,c")),
    Case("a_label.csv", "a,b,c,species\n" + "".join(
         f"{line},wild rose\n" for line in CSV.split()), flags=("--label-column", "species")),
    Case("headings_twice.csv", "a,a,b\n" + CSV, "line 1 holds headings (a, a, b)"),
    Case("headings_of_numbers.csv", "0,1,2\n" + CSV, flags=("--header", "yes")),
    Case("blanks.txt", CSV.replace(",", " "), flags=("--delimiter", "space")),
    Case("excels_separator.csv", "\ufeffsep=;\r\n" + HEADED.replace(",", ";").replace(".", ","),
         "line 1 says that cells are separated by semicolons; decimal commas; line 2 holds head"),
    Case("excels_comma.csv", "sep=,\n" + HEADED, "line 1 says that cells are separated by commas"),
    Case("table.dat", HEADED, "line 1 holds headings"),
    Case("two_lines_of_headings.csv", '"width\n(cm)",length,height\n' + CSV, "line 1 holds head"),
    Case("spark_with_empty_parts", spark_with_empty_parts,
         "2 of its 4 files hold no rows: part-00000.csv, part-00001.csv", asked=False),
    Case("spark", spark, "left out, which are no data: Thumbs.db, _SUCCESS", asked=False),
]  # fmt: skip


def excel(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "book.csv", "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return folder / "book.csv"


def a_sheet(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "sheet.csv", "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", "<x/>")
    return folder / "sheet.csv"


def a_zip(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "zip.csv", "w") as archive:
        archive.writestr("rows.csv", CSV)
    return folder / "zip.csv"


def sqlite(folder: Path) -> Path:
    with sqlite3.connect(folder / "data.csv") as database:
        database.execute("CREATE TABLE x (a)")
    return folder / "data.csv"


MESSY = (
    "id,name,width,length\n"
    + "".join(f"{i},Anna {i},{i / 2},{'' if i % 3 else i}\n" for i in range(300))
    + "300,Bob,n/a,1\n301,Cid,inf,2\n"
)

# Each of these is refused by all four commands.
REFUSED = [
    Case("empty.csv", "", "holds no", asked=False),
    Case("only_headings.csv", "a,b,c\n", "holds no rows", asked=False),
    Case("empty_parts", empty_parts, "holds no rows: none of its 2 files does", asked=False),
    Case("nul.csv", CSV.replace("7,8", "7,\x008"), "line 3 has a NUL byte, which no text has"),
    Case("sheet.csv", a_sheet, "is an OpenDocument spreadsheet (.ods), expected text such as CSV"),
    Case("pointer.csv", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n",
         "is a pointer of Git LFS, and not the data itself, expected text such as CSV: fetch the"),
    Case("rows.csv", '[{"a": 1, "b": 2}]\n', "is JSON, expected a table: convert it: pandas"),
    Case("lines.csv", '{"a": 1}\n{"a": 2}\n', 'is JSON lines, expected a table: convert it'),
    Case("title.csv", "Sales of 2020\n" + HEADED, "line 1, 'Sales of 2020', is a title above the"),
    Case("wide_title.csv", "Sales of 2020,,\n,,\n" + HEADED, "the table, which begins in line 3"),
    Case("marks.csv", '"1,234","2,345"\n"1,000","3,000"\n',
         "write numbers without marks between thousands", asked=False),
    Case("german_marks.csv", "1.234,5;2.345,0\n1.000,5;3.000,0\n", "thousands='.', decimal=','",
         asked=False),
    Case("blanks.csv", CSV.replace(",", " "), "--delimiter space takes blanks for", asked=False),
    Case("aligned.csv", CSV.replace(",", "   "), "its columns stand apart by several blanks: put",
         asked=False),
    Case("blank_lines.csv", "\n\n" + HEADED, "line 1 is empty, and the table begins in line 3",
         asked=False),
    Case("weka.csv", "% mine\n@relation x\n@data\n" + CSV, "is ARFF, as Weka writes it"),
    Case("libsvm.txt", "1 1:0.5 2:3\n0 1:0.2 3:2\n", "is in LIBSVM's form, expected a table"),
    Case("units.csv", "a,b\n5 %,1\n$6,2\n7 cm,3\n", "write numbers alone, and their sign or unit",
         asked=False),
    Case("excels_rest.csv", CSV + ",,\n,,\n", "lines 7 to 8, the last, hold no values: leave them "
         "out, as by: grep '[^,\"[:space:]]' FILE > NEW", asked=False),
    Case("minus.csv", CSV + "\u221210.4,1,2\n", "line 7, column 1: '\u221210.4' has another "
         "character than - for minus", asked=False),
    Case("minus_first.csv", "\u22121,\u22122\n\u22123,\u22124\n", "write minus as -, as by: sed "
         "'s/\u2212/-/g' FILE > NEW", asked=False),
    Case("brackets.csv", CSV + "(10.4),1,2\n(3),1,2\n", "numbers in brackets in 2 lines of 8 (fir"
         "st in line 7: '(10.4)')", asked=False),
    Case("hexadecimal.csv", CSV + "0xa,1,2\n0x0,1,2\n", "hexadecimal numbers in 2 lines of 8 (fir"
         "st in line 7: '0xa')", asked=False),
    Case("hard_blank.csv", CSV + "1,2\u00a0,3\n", "line 7, column 2: '2\\xa0' is not a number"),
    Case("ragged.csv", CSV + "1,2\n1\n", "line 7 has 2 columns, expected 3, and 1 more lines",
         asked=False),
    Case("messy.csv", MESSY, "column 2, name: text throughout (first in line 2: 'Anna 0')",
         asked=False),
    Case("long_number.csv", CSV + f"{'7' * 5000},1,2\n", "is not a finite float32"),
    Case("gaps.csv", CSV + "1,nan,2\n", "line 7, column 2: 'nan' is not a finite float32"),
    Case("na.csv", CSV + "1,2,n/a\n", "line 7, column 3: 'n/a' is not a number"),
    Case("book.csv", excel, "is an Excel workbook (.xlsx), expected text such as CSV: save the"),
    Case("zip.csv", a_zip, "is a zip archive, expected text such as CSV: unpack it"),
    Case("data.csv", sqlite, "is an SQLite database"),
    Case("table.csv", b"PAR1\x15\x04\x15" + bytes(99) + b"PAR1", "is Parquet, expected text"),
    Case("page.csv", "<!DOCTYPE html>\n<html><body>Sign in</body></html>", "is an HTML page"),
    Case("paper.csv", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "is a PDF document"),
    Case("old.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), "an old Excel workbook"),
    Case("packed.csv", b"BZh91AY&SY", "is packed with bzip2"),
    Case("zeros.csv", b"1,2,3\n\0\0\0\0\0\0\n", "holds zero bytes: no text, or in an encoding"),
    Case("thousands.tsv", "a\tb\tc\n1,234\t2,345\t3,456\n", "may stand before decimals or between"),
    Case("points.csv", "rev;gain\n1.000;2.000\n2.001;2.037\n999;12.074\n", "the point in 1.000 may "
         "stand before decimals or between thousands: if before decimals, put commas between the "
         "columns, as by: tr ';' ',' < FILE > NEW; if between thousands, remove it, as by: tr -d .",
         asked=False),
    Case("decimal_commas.csv", "a\n0,6\n0,9\n10,4\n", "line 1 has one heading, 'a', and the lines "
         "below it two whole numbers with a comma between them: --delimiter semicolon reads one "
         "column with decimal commas; if there are two columns, give each a heading"),
    Case("decimals.csv", "0,60\n0,95\n10,05\n", "its lines may hold one number with a decimal "
         "comma or two whole numbers: --delimiter semicolon reads one, --delimiter comma two",
         asked=False),
    Case("both_marks.csv", "1,5;2.5;3\n1,5;2.5;4\n", "have decimal commas (1,5) and points (2.5)"),
    Case("damaged.csv.gz", gzip.compress(CSV.encode() * 99)[:-9], "damaged or cut short"),
    Case("no_such_column.csv", HEADED, "no such heading; there are 'width'",
         flags=("--columns", "depth")),
]  # fmt: skip


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A model of the plain table, and its answers."""
    folder = tmp_path_factory.mktemp("known")
    (folder / "plain.csv").write_text(CSV)
    algoshelf = InProcess(folder)
    _good(_trained(algoshelf, folder / "plain.csv", (), "m"))
    answers = _good(algoshelf("predict", "m", "plain.csv")).text
    return folder / "m", _lines(answers)


def _trained(algoshelf: InProcess, path: Path, flags: tuple[str, ...], model: str) -> Result:
    return algoshelf(
        "train", "kmeans", "--train", path, "--k", 2, "--restarts", 1, "--output", model, *flags
    )


def _good(result: Result) -> Result:
    assert result.code == 0, result.stderr
    return result


def _lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines() if line]


@pytest.mark.parametrize("case", READ, ids=lambda case: case.name)
def test_every_command_reads_the_same_rows(
    case: Case, in_process: InProcess, known: tuple[Path, list[Any]]
) -> None:
    model, answers = known
    path = case.write(in_process.folder)
    trained = _good(_trained(in_process, path, case.flags, "own"))
    assert case.said in trained.stderr
    for name in ("model-0000.params", "model-symbol.json"):
        assert (in_process.folder / "own" / name).read_bytes() == (model / name).read_bytes()
    measured = _good(in_process("evaluate", model, "--test", path, "--json", *case.flags))
    assert measured.json["examples"] == len(ROWS)
    assert case.said in measured.stderr
    if case.asked:
        asked = _good(in_process("predict", model, path, *case.flags))
        assert _lines(asked.text) == answers
        assert case.said in asked.stderr
    if case.name == "a_name_with_line_ends.csv":  # which SageMaker divides there
        refused = in_process("transform", model, path, "out", *case.flags)
        assert "a quote is left open" in refused.stderr
        return
    transformed = _good(in_process("transform", model, path, "out", *case.flags))
    assert case.said in transformed.stderr
    found = sorted((in_process.folder / "out").rglob("*.out"))
    assert [row for file in found for row in _lines(file.read_text())] == answers


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.name)
def test_every_command_refuses_with_what_to_do(
    case: Case, in_process: InProcess, known: tuple[Path, list[Any]]
) -> None:
    model, _ = known
    path = case.write(in_process.folder)
    trained = _trained(in_process, path, case.flags, "own")
    assert (trained.code, case.said in trained.stderr) == (2, True), trained.stderr
    assert not (in_process.folder / "own").exists()
    measured = in_process("evaluate", model, "--test", path, *case.flags)
    assert (measured.code, case.said in measured.stderr) == (2, True), measured.stderr
    asked = in_process("predict", model, path, *case.flags)
    assert asked.code == 2
    assert path.name in asked.stderr
    transformed = in_process("transform", model, path, "out", *case.flags)
    assert transformed.code == 2
    assert not (in_process.folder / "out").exists()
    for result in (asked, transformed):
        assert "error in algoshelf" not in result.stderr
        place = case.said.split(", column")[0].removeprefix("line 7") if case.asked else ""
        assert place in result.stderr
    assert "Traceback" not in asked.stderr + transformed.stderr


def test_a_messy_table_is_summarised_by_column(in_process: InProcess) -> None:
    (in_process.folder / "messy.csv").write_text(MESSY)
    refused = _trained(in_process, in_process.folder / "messy.csv", (), "own")
    faults = [line for line in refused.stderr.splitlines() if "holds headings" not in line]
    shown = "\n".join(faults)
    assert "messy.csv: column 2, name: text throughout (first in line 2: 'Anna 0')" in shown
    assert "column 3, width: no value in 1 line of 302 (first in line 302: 'n/a')" in shown
    assert "not a finite float32 in 1 line of 302 (first in line 303: 'inf')" in shown
    assert "column 4, length: empty in 200 lines of 302 (first in line 3)" in shown
    assert "--columns 1,3 leaves such columns out" in shown
    assert "more" not in shown


@pytest.mark.parametrize(
    ("heading", "ids", "said"),
    [
        ("id", range(1, 51), "counts the rows"),
        ("", range(50), "counts the rows"),
        ("x", range(1001, 1051), "counts the rows"),
        ("x", range(1001, 1401, 8), "rises by whole numbers from row to row"),
        ("customer_id", [(i * 7919) % 10007 for i in range(50)], "is another whole number in each"),
        ("customerId", [(i * 7919) % 10007 for i in range(50)], "is another whole number in each"),
        ("valid", [(i * 7919) % 10007 for i in range(50)], ""),
        ("id", [i % 7 for i in range(50)], ""),
    ],
)
def test_a_column_that_counts_or_names_the_rows_is_pointed_out(
    heading: str, ids: Sequence[int], said: str, in_process: InProcess
) -> None:
    rng = np.random.default_rng(0)
    lines = [f"{i},{a:.3f},{b:.3f}" for i, (a, b) in zip(ids, rng.normal(size=(50, 2)))]
    (in_process.folder / "x.csv").write_text(f"{heading},a,b\n" + "\n".join(lines) + "\n")
    told = _good(_trained(in_process, in_process.folder / "x.csv", (), "own")).stderr
    if said:
        name = f", {heading}" * bool(heading)
        assert f"column 1{name}, {said}" in told
        assert "--columns 2-3 leaves it out" in told
    assert ("leaves it out" in told) == bool(said)


@pytest.mark.parametrize(
    ("first", "flags", "said"),
    [
        ("2019,2020,2021", (), "line 1 (2019, 2020, 2021) was read as a row; --header yes if"),
        ("2015,2019,2021", (), "was read as a row"),
        ("0,1,2", (), "was read as a row"),
        ("2019,2020,2021", ("--header", "no"), ""),
        ("2019,2020,2021", ("--header", "yes"), ""),
        ("1.5,2.5,3.5", (), ""),
        ("3,1,2", (), ""),
    ],
)
def test_headings_that_are_numbers_are_pointed_out(
    first: str, flags: tuple[str, ...], said: str, in_process: InProcess
) -> None:
    (in_process.folder / "x.csv").write_text(f"{first}\n{CSV}")
    told = _good(_trained(in_process, in_process.folder / "x.csv", flags, "own")).stderr
    assert ("was read as a row" in told) == bool(said)
    assert said in told


def test_two_whole_numbers_a_line_may_be_one_with_a_decimal_comma(in_process: InProcess) -> None:
    rows = [(0, 6), (0, 9), (10, 4), (10, 7), (20, 1), (20, 2)]
    (in_process.folder / "two.csv").write_text("".join(f"{a},{b}\n" for a, b in rows))
    (in_process.folder / "one.csv").write_text("".join(f"{a}.{b}\n" for a, b in rows))
    (in_process.folder / "headed.csv").write_text("a\n" + "".join(f"{a},{b}\n" for a, b in rows))
    told = _good(_trained(in_process, in_process.folder / "two.csv", (), "own")).stderr
    assert (
        "two.csv: read as two columns of whole numbers; if each line holds one number with a"
        in told
    )
    assert "--delimiter semicolon reads it so (--delimiter comma decides for two)" in told
    decided = _trained(in_process, in_process.folder / "two.csv", ("--delimiter", "comma"), "own")
    assert "decimal comma" not in _good(decided).stderr
    _good(_trained(in_process, in_process.folder / "one.csv", (), "point"))
    for name in ("two.csv", "headed.csv"):
        semicolon = ("--delimiter", "semicolon")
        _good(_trained(in_process, in_process.folder / name, semicolon, "comma"))
        for part in ("model-0000.params", "model-symbol.json"):
            point = (in_process.folder / "point" / part).read_bytes()
            assert (in_process.folder / "comma" / part).read_bytes() == point


@pytest.mark.parametrize(
    "content",
    ["0.125;1.500\n2.250;3.125\n", "1.5;2.125\n3.125;4.250\n", "1.125,2.250\n3.500,1.125\n"],
)
def test_points_that_can_only_stand_before_decimals_are_read_so(
    content: str, in_process: InProcess
) -> None:
    (in_process.folder / "x.csv").write_text(content)
    _good(_trained(in_process, in_process.folder / "x.csv", (), "own"))


@pytest.mark.parametrize(("heading", "first"), [("", 0), ("id", 100_000), ("Unnamed: 0", 0)])
def test_a_column_whose_heading_says_so_names_the_rows_be_they_few(
    heading: str, first: int, in_process: InProcess
) -> None:
    lines = "".join(f"{first + i},{line}\n" for i, line in enumerate(CSV.split()))
    (in_process.folder / "x.csv").write_text(f"{heading},a,b,c\n{lines}")
    told = _good(_trained(in_process, in_process.folder / "x.csv", (), "own")).stderr
    name = f"column 1, {heading}" if heading else "column 1"
    assert (
        f"{name}, counts the rows, and is read as a number like the others; --columns 2-4" in told
    )


def test_a_table_of_whole_numbers_has_no_headings_by_chance(in_process: InProcess) -> None:
    (in_process.folder / "x.csv").write_text("".join(f"{i},{i + 1},{i + 2}\n" for i in range(30)))
    told = _good(_trained(in_process, in_process.folder / "x.csv", (), "own")).stderr
    assert "was read as a row" not in told


def test_a_missing_column_is_called_so(in_process: InProcess, known: tuple[Path, Any]) -> None:
    for content, said in (
        ("1,2\n3,4\n", "has 2 columns of numbers, the model was trained on 3: 1 too few; give"),
        ("1,2,3,4\n", "has 4 columns of numbers, the model was trained on 3: 1 too many; --col"),
    ):
        (in_process.folder / "x.csv").write_text(content)
        refused = in_process("evaluate", known[0], "--test", "x.csv")
        assert (refused.code, said in refused.stderr) == (2, True), refused.stderr
        assert "--label-size" not in refused.stderr


def test_a_folder_and_a_missing_file_are_told_before_mxnet_loads(
    in_process: InProcess, known: tuple[Path, list[Any]]
) -> None:
    folder = in_process("predict", known[0], known[0].parent)
    assert folder.code == 2
    assert "is a folder; for all files in it, run `algoshelf transform" in folder.stderr
    code = (
        "import sys\n"
        "from algoshelf.registry.cli import main\n"
        f"try: main(['predict', {str(known[0])!r}, 'nowhere.csv', 'nor-here.csv'])\n"
        "except SystemExit as ended: assert ended.code == 2, ended.code\n"
        "sys.exit('mxnet' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "nowhere.csv: no such file or folder" in done.stderr
    assert "nor-here.csv: no such file or folder" in done.stderr


def test_wrong_flags_are_reported_together(in_process: InProcess) -> None:
    refused = in_process(
        "train", "kmeans", "--delimiter", "xy", "--encoding", "klingon", "--header", "perhaps"
    )
    assert refused.code == 2
    for flag, expected in (
        ("--delimiter", "one of comma"), ("--encoding", "an encoding"), ("--header", "yes or no"),
    ):  # fmt: skip
        assert f"{flag}: expected {expected}" in refused.stderr


# Texts

TEXTS = [
    ("a warm, funny film", "very good"), ("so „dull“ and naïve", "bad"),
    ("great; really great", "very good"), ('he said "no"', "bad"),
    ("two\nlines of praise", "very good"), ("a waste of time", "bad"),
    ("charming, clever", "very good"), ("tired… and long", "bad"),
]  # fmt: skip


def table(delimiter: str, header: tuple[str, ...] = ("text", "label"), number: bool = False) -> str:
    stream = io.StringIO()
    rows = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    rows.writerows([header] if header else [])
    for i, pair in enumerate(TEXTS):
        rows.writerow([i, *pair] if number else pair)
    return stream.getvalue()


def json_lines() -> str:
    return "".join(json.dumps({"text": t, "label": y, "n": 1}) + "\n" for t, y in TEXTS)


def spark_of_texts(folder: Path) -> Path:
    found = folder / "texts"
    found.mkdir()
    (found / "part-0").write_text(table(","))
    (found / "part-1").write_text("text,label\n")
    (found / "part-2").write_text("")
    (found / "_SUCCESS").write_text("")
    (found / "README.md").write_text("# what this is")
    return found


READ_TEXTS = [
    Case("plain.csv", table(",")),
    Case("semicolons.csv", table(";"), "separated by semicolons (--delimiter decides)"),
    Case("windows.csv", table(";").encode("cp1252"), "not UTF-8: taken for Windows-1252"),
    Case("excel.txt", table("\t").replace("\n", "\r\n").encode("utf-16"), "in UTF-16",
         asked=False),
    Case("bom.csv", "\ufeff" + table(",").replace("\n", "\r\n")),
    Case("bars.csv", table("|"), "separated by bars"),
    Case("headless.csv", table(",", ()), "without a header", asked=False),
    Case("numbered.csv", table(",", ("id", "text", "label"), True), "'text' is the text"),
    Case("other_headings.csv", table(",", ("opinion", "verdict")), "'opinion' is the text",
         flags=("--header", "yes", "--text-column", "opinion", "--label-column", "verdict")),
    Case("two_of_one_name.csv", table(",", ("text", "text", "label"), True), "'text' is the",
         flags=("--text-column", "2")),
    Case("utf16.jsonl", json_lines().encode("utf-16"), "in UTF-16 (--encoding decides)"),
    Case("texts", spark_of_texts, "2 files left out, which are no data: README.md, _SUCCESS",
         asked=False),
]  # fmt: skip
REFUSED_TEXTS = [
    Case("cyrillic.csv", "text,label\nхорошо,1\nплохо,0\n".encode("cp1251"), "give --encoding"),
    Case("mixed.csv", "schön,1\nsehr schön,1\n".encode() + "übel,0\n".encode("cp1252"),
         "line 3: not UTF-8 at byte 1, though the file holds UTF-8 as well"),
    Case("which.csv", "good, very good;1\nbad, very bad;0\n",
         "may be separated by commas or semicolons: --delimiter comma or --delimiter semicolon"),
    Case("which_text.csv", table(",", ("text", "text", "label"), True),
         "columns 1 and 2 have the heading 'text': --text-column decides"),
    Case("long_number.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "label": %s}\n'
         % ("7" * 5000), "line 2: no JSON: an integer of 5,000 digits, expected 4,300 at most"),
    Case("page.csv", "<!doctype html><html></html>", "is an HTML page"),
    Case("book.csv", excel, "is an Excel workbook"),
]  # fmt: skip


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of the texts."""
    if find_spec("gluonnlp") is None:  # importing it here would be without mxnet's repairs
        pytest.skip("the extra text is not installed")
    folder = tmp_path_factory.mktemp("judge")
    (folder / "plain.csv").write_text(table(","))
    _good(_learned(InProcess(folder), folder / "plain.csv", ()))
    return folder / "m"


def _learned(algoshelf: InProcess, path: Path, flags: tuple[str, ...]) -> Result:
    return algoshelf(
        "train", "text-classification", "--train", path, "--validation", path, "--network", "ngram",
        "--epochs", 1, "--output", "m", *flags,
    )  # fmt: skip


@pytest.mark.parametrize("case", READ_TEXTS, ids=lambda case: case.name)
def test_every_command_reads_the_same_texts(case: Case, in_process: InProcess, judge: Path) -> None:
    path = case.write(in_process.folder)
    learned = _good(_learned(in_process, path, case.flags))
    assert case.said in learned.stderr
    own = json.loads((in_process.folder / "m" / "algorithm.json").read_text())
    expected = json.loads((judge / "algorithm.json").read_text())
    assert own["data"] == expected["data"]  # of the words and labels that were read
    measured = _good(in_process("evaluate", judge, "--test", path, "--json", *case.flags))
    assert measured.json["examples"] == len(TEXTS)
    if case.asked:
        asked = _good(in_process("predict", judge, path, *case.flags))
        assert len(_lines(asked.text)) == len(TEXTS)
    if case.name.endswith(".jsonl"):
        _good(in_process("transform", judge, path, "out", *case.flags))
        answered = (in_process.folder / "out" / f"{case.name}.out").read_text()
        assert answered == asked.text


def test_parts_without_texts_are_said_and_none_is_answered(
    in_process: InProcess, judge: Path
) -> None:
    learned = _good(_learned(in_process, spark_of_texts(in_process.folder), ()))
    assert "2 of its 3 files hold no rows: part-1, part-2" in learned.stderr
    (in_process.folder / "x.csv").write_text("text,label\n")
    for command in (("predict", judge, "x.csv"), ("transform", judge, "x.csv", "out")):
        refused = in_process(*command)
        assert (refused.code, "x.csv: holds no rows" in refused.stderr) == (2, True)


@pytest.mark.parametrize("case", REFUSED_TEXTS, ids=lambda case: case.name)
def test_what_cannot_be_told_of_texts_is_refused_with_the_flag(
    case: Case, in_process: InProcess, judge: Path
) -> None:
    path = case.write(in_process.folder)
    for result in (
        _learned(in_process, path, case.flags),
        in_process("evaluate", judge, "--test", path),
    ):
        assert result.code == 2
        assert case.said in result.stderr
        assert "Exceeds the limit" not in result.stderr


@pytest.mark.parametrize("form", ["table", "folder"])
def test_the_classes_that_are_found_are_said_and_odd_ones_warned_of(
    form: str, in_process: InProcess, judge: Path
) -> None:
    labels = ["gut", "gut", "GUT", "schlecht", "n/a", "schlecht", "NA", "gut"]
    path = in_process.folder / "odd"
    if form == "table":
        path = path.with_suffix(".csv")
        lines = [f"word{i} and more,{label}\n" for i, label in enumerate(labels)]
        path.write_text("text,label\n" + "".join(lines).replace("schlecht", " schlecht "))
    else:
        labels = [label for label in labels if label != "n/a"]
        for i, label in enumerate(labels):
            (path / label).mkdir(parents=True, exist_ok=True)
            (path / label / f"{i}.txt").write_text(f"word{i} and more")
    said = _good(_learned(in_process, path, ())).stderr
    assert "gut (3)" in said
    assert "schlecht (2)" in said
    assert "warning: classes that differ in case or blanks only: 'GUT' (1) and 'gut' (3): " in said
    missing = "'NA' (1); 'n/a' (1)" if form == "table" else "'NA' (1)"
    assert f"warning: classes whose name says that there is no value: {missing}: " in said
    plain = in_process.folder / "plain.csv"
    plain.write_text(table(","))
    said = _good(_learned(in_process, plain, ())).stderr
    assert "train: 2 classes: bad (4), very good (4)" in said
    assert "warning: classes" not in said


def test_half_a_character_is_refused_before_anything_is_learned_or_asked(
    in_process: InProcess, judge: Path
) -> None:
    rows = [{"text": "good", "label": "very good"}, {"text": "bad \ud83d", "label": "bad"}]
    path = in_process.folder / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    fault = "x.jsonl: line 2, column 15: \\ud83d is half of a character"
    for result in (
        _learned(in_process, path, ()),
        in_process("evaluate", judge, "--test", path),
        in_process("predict", judge, path),
    ):
        assert (result.code, fault in result.stderr) == (2, True), result.stderr
        assert "step" not in result.stderr
    transformed = in_process("transform", judge, path, "out")
    assert transformed.code == 2
    assert "x.jsonl: line 2" in transformed.stderr
    assert "half of a character" in transformed.stderr
    reported = in_process("transform", judge, path, "out", "--on-error", "report")
    assert reported.code == 0
    assert "half of a character" in (in_process.folder / "out" / "x.jsonl.errors.jsonl").read_text()


def test_texts_that_cannot_be_asked_about_are_told_by_their_line(
    in_process: InProcess, judge: Path
) -> None:
    folder = in_process.folder
    for name, content, fault in (
        ("a.jsonl", '"good"\n\n{"what": 1}\n', "a.jsonl: line 3: expected a text, or an object"),
        ("b.csv", '"two\nlines"\ngood, very\n', "b.csv: line 3: expected a text, got 2 cells"),
        ("c.tsv", "good\t1\nbad\t0\n", "c.tsv: line 1: 2 columns, of which none is headed"),
        ("e.csv", "a\tb\tc\n" + "1\t2.5\t3\n" * 12, "e.csv: line 1: 3 columns, of which none is"),
        ("f.csv", "a;b;c\n" + "1;2,5;3\n" * 12, "f.csv: line 1: 3 columns, of which none is"),
        ("d.md", "good", "d.md: no content type is known for names that end in .md: expected .csv, "
         ".json, .jsonl, .jsonlines, .ndjson or .txt;"),
    ):  # fmt: skip
        (folder / name).write_bytes(content.encode("utf-16" if name == "e.csv" else "utf-8"))
        asked = in_process("predict", judge, name)
        assert (asked.code, fault in asked.stderr) == (2, True), asked.stderr
    (folder / "g.csv").write_text("good; very good\nbad; very bad\nnaja; so lala\n")
    assert len(_lines(_good(in_process("predict", judge, "g.csv")).text)) == 3
    told = in_process("predict", judge, "c.tsv", "--text-column", "1")
    assert len(_lines(_good(told).text)) == 2


# Pictures


def picture(form: str, *, dot: bool = True) -> bytes:
    stream = io.BytesIO()
    found = Image.new("L", (28, 28), 0)
    for y in range(5, 22) if dot else ():
        found.putpixel((14, y), 255)
    found.save(stream, form)
    return stream.getvalue()


def test_a_picture_is_told_by_its_content(in_process: InProcess, model: Path) -> None:
    names = ("one.png", "bare", "odd.gif", "odd.dat", "odd.txt", "odd.jpg")
    for name in names:
        (in_process.folder / name).write_bytes(picture("PNG"))
    asked = _good(in_process("predict", model, *names))
    answers = _lines(asked.text)
    assert answers == answers[:1] * len(names)
    assert asked.stderr == ""
    _good(in_process("transform", model, "bare", "out"))
    assert _lines((in_process.folder / "out" / "bare.out").read_text()) == answers[:1]


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("seven.gif", picture("GIF"), "a file of another kind (GIF): expected a whole PNG, JPEG or "
         "WebP: save it as PNG"),
        ("bare", picture("GIF"), "a file of another kind (GIF)"),
        ("a.tif", picture("TIFF"), "a file of another kind (TIFF)"),
        ("a.svg", b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG, a "
         "drawing and not pixels"),
        ("a.png", b"<!DOCTYPE html><html>404</html>", "a page of the web in place of the picture"),
        ("a.png", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n", "a Git LFS "
         "pointer in place of the picture: `git lfs pull`"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_named_with_what_is_expected(
    name: str, content: bytes, fault: str, in_process: InProcess, model: Path
) -> None:
    (in_process.folder / name).write_bytes(content)
    for result in (in_process("predict", model, name), in_process("transform", model, name, "o")):
        assert (result.code, f"{name}: {fault}" in result.stderr) == (2, True), result.stderr
        assert "CSV" not in result.stderr


def test_an_answer_to_one_colour_is_not_taken_for_certain(
    in_process: InProcess, model: Path
) -> None:
    (in_process.folder / "blank.png").write_bytes(picture("PNG", dot=False))
    Image.new("RGB", (1, 1), (9, 8, 7)).save(in_process.folder / "dot.png")
    zeros, some = [0] * 784, [0] * 783 + [255]
    (in_process.folder / "x.jsonl").write_text(f"{some}\n{zeros}\n{zeros}\n")
    asked = _good(in_process("predict", model, "blank.png", "dot.png", "x.jsonl"))
    assert len(_lines(asked.text)) == 5
    said = "one colour throughout: the answer has nothing to go by"
    assert asked.stderr.splitlines() == [
        f"blank.png: {said}", f"dot.png: {said}", f"x.jsonl: example 2, 3: {said}",
    ]  # fmt: skip


def test_digits_of_one_colour_are_counted_and_named(
    in_process: InProcess, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    folder = in_process.folder / "digits"
    for number, (image, label) in enumerate(zip(*digits)):
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / str(label) / f"{number}.png")
    (folder / "3" / "blank.png").write_bytes(picture("PNG", dot=False))
    trained = _good(in_process("train", "mnist-cnn", "--train", "digits", "--epochs", 1,
                               "--batch-size", 10, "--output", "own", "--json"))  # fmt: skip
    assert "1 picture is of one colour throughout, nothing to learn" in trained.stderr
    assert "digits/3/blank.png" in trained.stderr
    assert trained.json["examples"]["train"] == {"examples": 101, "one_colour": 1}


def test_a_file_in_place_of_a_folder_and_a_link_that_leads_nowhere_are_named(
    in_process: InProcess, model: Path
) -> None:
    (in_process.folder / "plain.csv").write_text(CSV)
    (in_process.folder / "gone.csv").symlink_to("nowhere.csv")
    for arguments in (
        ("train", "kmeans", "--k", 2, "--output", "plain.csv/x"),
        ("package", "kmeans", "--as", "script", "--output", "plain.csv/x"),
        ("transform", model, "plain.csv", "plain.csv/out"),
        ("train", "kmeans", "--k", 2, "--checkpoints", "plain.csv/x", "--output", "o"),
    ):
        result = in_process(*arguments)
        assert result.code == 2
        assert "plain.csv is a file, expected a folder" in result.stderr, arguments
    for arguments in (
        ("train", "kmeans", "--train", "gone.csv"),
        ("evaluate", model, "--test", "gone.csv"),
        ("predict", model, "gone.csv"),
        ("transform", model, "gone.csv", "out"),
    ):
        result = in_process(*arguments)
        assert result.code == 2
        assert "gone.csv is a link that leads nowhere, to nowhere.csv" in result.stderr, arguments
