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
from typing import Any, Callable

import numpy as np
import pytest

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
    Case("spark", spark, "left out, which are no data: Thumbs.db, _SUCCESS", asked=False),
]  # fmt: skip


def excel(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "book.csv", "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return folder / "book.csv"


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
    assert transformed.code == (0 if case.name in ("empty.csv", "only_headings.csv") else 2)
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


def test_a_column_that_counts_the_rows_is_pointed_out(in_process: InProcess) -> None:
    rng = np.random.default_rng(0)
    lines = [f"{i},{a:.3f},{b:.3f}" for i, (a, b) in enumerate(rng.normal(size=(50, 2)), 1)]
    (in_process.folder / "x.csv").write_text("id,a,b\n" + "\n".join(lines) + "\n")
    said = _good(_trained(in_process, in_process.folder / "x.csv", (), "own")).stderr
    assert "column 1, id, counts the rows" in said
    assert "--columns 2-3 leaves it out" in said


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
    assert "nowhere.csv: cannot be read: No such file" in done.stderr
    assert "nor-here.csv: cannot be read: No such file" in done.stderr


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
        "train", "text-sentiment", "--train", path, "--validation", path, "--network", "ngram",
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
