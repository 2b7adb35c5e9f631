"""What is read as labelled texts, how its columns are told apart, and what is refused."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path
from typing import Callable

import pytest
from algoshelf.core import DataError
from algoshelf.core.data import reading
from algoshelf.core.tasks.texts import Texts, read

EXAMPLES = [
    ("a warm, funny film", "positive"),
    ('he said "no", twice', "very negative"),
    ("", "positive"),
    ("Привет, мир! 你好世界 \U0001f600 e\u0301", "sonst"),
    ("word " * 50_000, "positive"),
    ("it 's dull ; really", "very negative"),
]


def as_csv(folder: Path, header: bool = True) -> Path:
    path = folder / "texts.csv"
    with path.open("w", newline="", encoding="utf-8-sig") as stream:
        rows = csv.writer(stream)
        rows.writerows([("Review", "Label")] if header else [])
        rows.writerows(EXAMPLES)
    return path


def as_headless_csv(folder: Path) -> Path:
    return as_csv(folder, header=False)


def as_labels_first_csv(folder: Path) -> Path:
    path = folder / "texts.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream, delimiter=";").writerows((label, text) for text, label in EXAMPLES)
    return path


def as_tsv(folder: Path) -> Path:
    path = folder / "texts.tsv.gz"
    lines = ["sentence\tlabel", *("\t".join(pair) for pair in EXAMPLES)]
    path.write_bytes(gzip.compress("\r\n".join(lines).encode()))
    return path


def as_headless_tsv(folder: Path) -> Path:
    path = folder / "texts.txt"
    path.write_text("".join(f"{text}\t{label}\n" for text, label in EXAMPLES), encoding="utf-8")
    return path


def as_json_lines(folder: Path) -> Path:
    rows = [json.dumps({"label": label, "id": 7, "text": text}) for text, label in EXAMPLES]
    (folder / "texts.jsonl").write_text("\n\n".join(rows), encoding="utf-8")
    return folder / "texts.jsonl"


def as_blazing_text(folder: Path) -> Path:
    lines = [f"__label__{label.replace(' ', '-')} {text}" for text, label in EXAMPLES]
    (folder / "texts.train").write_text("\n".join(lines), encoding="utf-8")
    return folder / "texts.train"


def as_folders(folder: Path) -> Path:
    for number, (text, label) in enumerate(EXAMPLES):
        (folder / label).mkdir(exist_ok=True)
        (folder / label / f"{number}.txt").write_text(text, encoding="utf-8")
    (folder / "unsup").mkdir()
    (folder / "unsup" / "0.txt").write_text("nobody knows")
    return folder


def as_two_files(folder: Path) -> Path:
    for name, part in (("a.jsonl", EXAMPLES[:2]), ("b.jsonl", EXAMPLES[2:])):
        rows = [json.dumps({"source": text, "label": label}) for text, label in part]
        (folder / name).write_text("\n".join(rows))
    return folder


WRITERS = [
    as_csv,
    as_headless_csv,
    as_labels_first_csv,
    as_tsv,
    as_headless_tsv,
    as_json_lines,
    as_blazing_text,
    as_folders,
    as_two_files,
]


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_every_format_reads_the_same_texts(write: Callable[[Path], Path], tmp_path: Path) -> None:
    found = read(write(tmp_path), "train")
    pairs = [(t, label.replace("-", " ")) for t, label in zip(found.texts, found.labels)]
    assert sorted(pairs) == sorted(EXAMPLES)
    assert found.note


def test_the_end_of_a_file_is_the_class_of_its_lines(tmp_path: Path) -> None:
    (tmp_path / "rt-polarity.pos").write_text("a warm , funny film \n\nit 's , well , good\n")
    (tmp_path / "rt-polarity.neg.gz").write_bytes(gzip.compress(b"dull\n"))
    (tmp_path / "NOTES.md").write_text("about it")
    found = read(tmp_path, "train")
    pairs = sorted(zip(found.texts, found.labels))
    assert pairs == [
        ("a warm , funny film ", "pos"), ("dull", "neg"), ("it 's , well , good", "pos"),
    ]  # fmt: skip
    assert found.places[-1] == f"{tmp_path / 'rt-polarity.pos'}: line 3"
    (tmp_path / "rt-polarity.neg.gz").unlink()
    with pytest.raises(DataError, match="every label is 'pos'"):
        read(tmp_path, "train")


def test_aclimdb_serves_every_channel_from_one_folder(tmp_path: Path) -> None:
    for part, count in (("train", 3), ("test", 2)):
        for label in ("pos", "neg"):
            (tmp_path / part / label).mkdir(parents=True)
            for number in range(count):
                (tmp_path / part / label / f"{number}_7.txt").write_text(f"{part} {number}")
        (tmp_path / part / "urls_pos.txt").write_text("http://…")
    for channel, count in (("train", 6), ("validation", 4), ("test", 4)):
        found = read(tmp_path, channel)
        assert len(found.texts) == count
        assert set(found.labels) == {"pos", "neg"}
    assert len(read(tmp_path / "train", "test").texts) == 6


def test_files_named_by_part_serve_their_own_channel(tmp_path: Path) -> None:
    """As SST-2's lie: no training sees what it is measured by."""
    for name, count in (("train.tsv", 3), ("dev.tsv", 2), ("test.tsv.gz", 1)):
        content = "".join(
            f"{name} {number}\t{label}\n" for number in range(count) for label in "ab"
        )
        packed = gzip.compress(content.encode()) if name.endswith("gz") else content.encode()
        (tmp_path / name).write_bytes(packed)
    for channel, count in (("train", 6), ("validation", 4), ("test", 2)):
        assert len(read(tmp_path, channel).texts) == count
    (tmp_path / "dev.tsv").unlink()
    with pytest.raises(DataError, match=r"no file for validation beside train.tsv.* dev or val"):
        read(tmp_path, "validation")
    (tmp_path / "test.tsv.gz").unlink()
    (tmp_path / "more.tsv").write_text("more\ta\n")
    assert len(read(tmp_path, "validation").texts) == len(read(tmp_path, "train").texts) == 7


def table(path: Path, text: str) -> Texts:
    path.write_text(text)
    return read(path, "train")


@pytest.mark.parametrize(
    ("rows", "texts", "labels", "note"),
    [
        ("good film,1\nbad film,0\n", ["good film", "bad film"], ["1", "0"], "without a header"),
        ("1,good film\n0,bad film\n", ["good film", "bad film"], ["1", "0"], "'column 2' is the"),
        ("id,body,stars\n1,x,5\n2,y,1\n3,z,1\n", ["x", "y", "z"], ["5", "1", "1"], "'body' is the"),
        ("stars,what\n5,x\n1,y\n", ["x", "y"], ["5", "1"], "'what' is the text, 'stars'"),
        (  # sentiment140: polarity, id, date, query, user, text
            "0,17,Mon,NO_QUERY,ann,so sad today\n4,18,Mon,NO_QUERY,bob,so happy today\n"
            "0,19,Tue,NO_QUERY,cid,rain again and again\n",
            ["so sad today", "so happy today", "rain again and again"],
            ["0", "4", "0"],
            "'column 6' is the text, 'column 1' the label",
        ),
        ("text,good\nreview,bad\nmore text,good\n", ["text", "review", "more text"],
         ["good", "bad", "good"], "without a header"),
        ("label\ttext\n1\tsay \"hi\"\n0\t\"a \"\"b\"\"\"\n", ['say "hi"', 'a "b"'], ["1", "0"],
         "TSV with a header"),
        ('text,label\n"two\nlines",1\nx,0\n', ["two\nlines", "x"], ["1", "0"], "CSV with"),
    ],
)  # fmt: skip
def test_columns_are_told_apart_and_it_is_said(
    rows: str, texts: list[str], labels: list[str], note: str, tmp_path: Path
) -> None:
    found = table(tmp_path / "rows.csv", rows)
    assert found.texts == texts
    assert found.labels == labels
    assert note in found.note


DATE, ADDRESS = "Mon Apr 06 22:19:{:02} PDT 2009", "https://www.example.com/films/reviews/{}"


@pytest.mark.parametrize(
    ("date", "user"),
    [(DATE.format(45), "user{}"), (DATE, "an_{}"), (DATE, ADDRESS), ("{:040x}", "ann")],
)
def test_the_text_is_the_column_with_the_most_to_read_and_never_one_that_does_not_vary(
    date: str, user: str, tmp_path: Path
) -> None:
    """Sentiment140's dates, alike in every row, were longer than its shortest texts."""
    texts = [f"{word} film {i}" for i, word in enumerate(["awful", "good one, lovely"] * 20)]
    rows = [
        f'"{i % 2 * 4}","{i}","{date.format(i)}","NO_QUERY","{user.format(i)}","{text}"\n'
        for i, text in enumerate(texts)
    ]
    found = table(tmp_path / "rows.csv", "".join(rows))
    assert found.texts == texts
    assert "'column 6' is the text, 'column 1' the label" in found.note
    assert "alike" not in found.note


def test_texts_that_are_all_alike_are_warned_of(tmp_path: Path) -> None:
    found = table(tmp_path / "rows.csv", "text,what,label\nsame,good film,1\nsame,bad,0\n")
    assert found.note.endswith(
        "; warning: all 2 texts are alike ('same'): there is nothing to learn from them: "
        "--text-column names the column of texts"
    )


def test_after_training_the_labels_are_where_its_classes_stand(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("a,good\na,bad\na,good\na,good\n")
    assert read(path, "test", ["bad", "good"]).labels == ["good", "bad", "good", "good"]


WRONG = {
    "a_label_missing": ("x.csv", "text,label\ngood,1\nbad,\n", "x.csv: line 3: there is no label"),
    "a_column_too_many": ("x.csv", "good,1\nwell, made,1\n", "x.csv: line 2: 3 columns"),
    "one_column": ("x.txt", "good\nbad\n", "x.txt: line 1: one column"),
    "a_quote_left_open": ("x.csv", 'good,1\n"bad,0\n', "x.csv: line 2: unexpected end"),
    "one_class": ("x.csv", "good,1\nbad,1\n", "every label is '1': there is nothing to tell apart"),
    "empty": ("x.csv", "", "holds no texts"),
    "header_alone": ("x.csv", "text,label\n", "holds no texts"),
    "control_characters": ("x.tsv", "good\ta\x07b\nbad\tc\n", "x.tsv: line 1: the label 'a\\x07b'"),
    "no_json": ("x.jsonl", '{"text": "a", "label": 1}\n{"text": \n', "x.jsonl: line 2: no JSON"),
    "no_object": ("x.jsonl", '{"text": "a", "label": 1}\n[1]\n', "x.jsonl: line 2: expected an"),
    "no_text": ("x.jsonl", '{"label": 1, "what": "a"}\n', "x.jsonl: line 1: no text and label"),
    "text_is_a_number": (
        "x.jsonl",
        '{"text": "a", "label": 1}\n{"text": 5, "label": 1}\n',
        "x.jsonl: line 2: expected a text in 'text', got 5",
    ),
    "label_is_null": (
        "x.jsonl",
        '{"text": "a", "label": null}\n',
        "x.jsonl: line 1: expected a label in 'label', got nothing",
    ),
    "a_json_document": ("x.json", "[1]", "x.json: one JSON document: expected JSON lines"),
    "half_a_character": (
        "x.jsonl",
        '{"text": "a", "label": 1}\n{"text": "\\\\ud83d \\ud83d\\ude00 \\ud83d", "label": 1}\n',
        "x.jsonl: line 2, column 32: \\ud83d is half of a character",
    ),
    "half_a_character_in_a_label": (
        "x.jsonl",
        '{"text": "a", "label": "\\uDE00"}\n{"text": "a", "label": 1}\n',
        "x.jsonl: line 1, column 25: \\uDE00 is half of a character",
    ),
    "zero_bytes": ("x.tsv", "good \0 film\t1\nbad\t0\n", "x.tsv: line 1 has a NUL byte"),
    "an_object_over_lines": (
        "x.jsonl",
        '{\n "text": "a",\n "label": 1\n}\n',
        "x.jsonl: line 1: an object over several",
    ),
    "blanks_alone": ("x.txt", "\n \n", "holds no texts"),
    "no_gzip": ("x.csv.gz", "good,1\nbad,0\n", "ends in .gz, but it is not packed with gzip"),
    "a_pointer_of_git_lfs": (
        "x.csv",
        "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n",
        "x.csv: is a pointer of Git LFS, and not the data itself",
    ),
    "no_prefix": ("x.txt", "__label__a good\nb bad\n", "x.txt: line 2: expected __label__"),
    "two_labels": ("x.txt", "__label__a __label__b good\n", "x.txt: line 1: two labels"),
    "no_label_name": ("x.txt", "__label__a good\n__label__ x\n", "x.txt: line 2: there is no"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_fault_is_named_with_its_file_and_line(case: str, tmp_path: Path) -> None:
    name, content, fault = WRONG[case]
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError) as caught:
        read(tmp_path, "train")
    assert fault in str(caught.value)
    assert len(caught.value.faults) == 1


def test_all_faults_of_a_file_are_counted(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"text": "a", "label": 1}\n' + "[]\n" * 30)
    with pytest.raises(DataError) as caught:
        read(tmp_path, "train")
    assert len(caught.value.faults) == 11
    assert caught.value.faults[-1] == "... and 20 more"


def test_text_in_windows_1252_is_read_and_said(tmp_path: Path) -> None:
    """What is between „ and “ became control characters by the advice to convert from Latin-1."""
    (tmp_path / "x.csv").write_bytes("text,label\nganz „toll“ schön,1\nnaja…,0\n".encode("cp1252"))
    said: list[str] = []
    with reading.using(reading.Reading(), said.append):
        assert read(tmp_path, "train").texts == ["ganz „toll“ schön", "naja…"]
    assert any("x.csv: not UTF-8: taken for Windows-1252 (--encoding decides)" in s for s in said)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("schön,1\nnicht so,0\n".encode() + "übel,0\n".encode("cp1252"), "line 3: not UTF-8"),
        ("очень хорошо,1\nплохо,0\n".encode("cp1251"), "nor does it look like Windows-1252"),
        ("とても良い,1\n悪い,0\n".encode("shift_jis"), "give --encoding, such as"),
        ("schön und gut,1\nübel,0\n".encode("cp850"), "nor does it look like Windows-1252"),
        ("schön und gut,1\nübel,0\n".encode("mac-roman"), "nor does it look like Windows-1252"),
    ],
)
def test_what_may_be_another_encoding_is_refused_with_the_flag(
    content: bytes, fault: str, tmp_path: Path
) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(DataError, match=fault) as caught:
        read(tmp_path, "train")
    assert "--encoding" in str(caught.value)


def test_a_label_that_training_had_not_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text,label\ngood,1\nbad,2\n")
    with pytest.raises(DataError, match=r"line 3: the label '2' is none of the training's: 0, 1"):
        read(tmp_path, "test", ["0", "1"])


def test_an_empty_folder_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Expected CSV or TSV"):
        read(tmp_path, "train")


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"a text of {name}")


def test_what_lies_beside_texts_and_is_none_is_said(tmp_path: Path) -> None:
    write(tmp_path, "pos/1.txt", "pos/deep/2.TXT", "pos/a.docx", "neg/1.txt", "neg/.hidden")
    write(tmp_path, "stray.txt", "about.docx", "unsup/1.txt", "unsup/2.txt")
    (tmp_path / "none").mkdir()
    found = read(tmp_path, "train")
    assert sorted(found.labels) == ["neg", "pos", "pos"]
    assert found.note == (
        "the folders neg, pos, a text a file; 5 files are left out: 1 .docx, "
        "1 .docx beside the classes' folders, 1 .txt beside the classes' folders, "
        "2 in unsup, without a class; 1 folder is no class, since it holds no examples: none"
    )
    assert found.counts == {"left_out": 5, "empty_folders": 1}


def test_empty_texts_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text,label\ngood,1\n,1\n  ,0\n")
    found = read(tmp_path / "x.csv", "train")
    assert len(found.texts) == 3
    assert found.note.endswith(f"; 2 texts are empty (the first: {tmp_path / 'x.csv'}: line 3)")
    assert found.counts == {"empty": 2}


def test_the_part_that_serves_a_channel_is_its_own_and_said(tmp_path: Path) -> None:
    """What is chosen by is never what is measured by, where there is a part for either."""
    for part in ("train", "val", "test"):
        write(tmp_path, f"{part}/pos/1.txt", f"{part}/neg/1.txt")
    for channel, part in (("train", "train"), ("validation", "val"), ("test", "test")):
        found = read(tmp_path, channel)
        assert found.texts == [f"a text of {part}/{name}/1.txt" for name in ("neg", "pos")]
        assert f"the folders neg, pos of {part}/" in found.note


def test_parts_that_hold_no_classes_are_not_told_apart(tmp_path: Path) -> None:
    write(tmp_path, "train/1.txt", "test/2.txt")
    with pytest.raises(DataError, match="test, train are parts of the data, not classes"):
        read(tmp_path, "train")


def test_a_folder_without_texts_says_what_it_holds(tmp_path: Path) -> None:
    write(tmp_path, "pos/a.docx", "neg/b.docx")
    with pytest.raises(DataError, match=r"holds no texts \(2 files are left out: 2 \.docx; 2 fol"):
        read(tmp_path, "train")
