"""Texts from files and folders, with labels or without, in whichever common form they come."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping, NamedTuple, Sequence

from ..algorithm.channels import TEST, TRAIN, VALIDATION
from ..artifact.metadata import name_fault
from ..data import encoding, reading, tables
from ..data.cells import is_number
from ..data.encoding import TextForm
from ..data.files import check_empty, data_files, entries, with_suffix
from ..data.folders import ClassFolders, class_folders, ending
from ..payload.decode import MAX_DIGITS, half_character
from ..runtime.errors import DataError, UnfitPayloadError
from ..runtime.faults import MAX_FAULTS

FORMATS = (
    "CSV or TSV, gz or not, with or without a header: a column of texts and one of labels",
    'JSON lines, such as {"text": "…", "label": "…"}, or the output manifest of a labelling job of '
    "SageMaker Ground Truth",
    "BlazingText's (and fastText's) lines: __label__positive a warm , funny film",
    "a folder with a subfolder for each class that holds texts, a .txt file each; or aclImdb, "
    "whose train/ serves training and whose test/ the rest",
    "Pang and Lee's: files that end in .pos and in .neg, a text a line",
    "a folder of such files; where some are called train… and others dev…, val… or test…, each "
    "channel reads its own",
)
WITHOUT_LABELS = (
    "lines of text, a text each (.txt, gz or not)",
    "CSV or TSV, gz or not, with or without a header: a column of texts; those called id and label "
    "are read too",
    'JSON lines, such as {"text": "…"}, with "id" and "label" where they are known',
    *FORMATS[2:],
)
TEXT_NAMES = (
    "text", "source", "sentence", "review", "review_text", "review_body", "content", "comment",
    "tweet", "body", "message", "document", "phrase", "snippet", "description", "title",
)  # fmt: skip
LABEL_NAMES = (
    "label", "class", "sentiment", "target", "category", "polarity", "rating", "stars", "score",
    "labels", "y",
)  # fmt: skip
ID_NAMES = ("id", "_id", "key", "uid", "uuid", "text_id", "doc_id", "document_id")
SUFFIXES = (
    ".csv", ".tsv", ".tab", ".txt", ".jsonl", ".jsonlines", ".ndjson", ".json", ".train", ".valid",
    ".test", ".manifest",
)  # fmt: skip
# Of Ground Truth's manifests.
SOURCE, METADATA, FAILURE = "source", "-metadata", "failure-reason"
PREFIX = "__label__"  # https://docs.aws.amazon.com/sagemaker/latest/dg/blazingtext.html
# https://www.cs.cornell.edu/people/pabo/movie-review-data
POLARITIES = (".neg", ".pos")
# How the files of a data set that lie in one folder are called, by what they are for.
PARTS = {TRAIN: ("train",), VALIDATION: ("dev", "val"), TEST: ("test",)}
# And its folders; where there is none for validation, that for test serves.
FOLDERS = {
    TRAIN: ("train",), VALIDATION: ("validation", "valid", "val", "dev", "test"), TEST: ("test",),
}  # fmt: skip
LOOKED_AT = 2000  # cells of a column, to see how much there is to read
# Letters that stand together as in words: not in addresses, numbers and names of programs.
_WORD = re.compile(r"(?<![\w/@:=&?%#.-])[^\W\d_]+(?![\w/@:=&?%#])")
UNLABELLED = "unsup"  # aclImdb's folder of texts without a class


@dataclass
class Texts:
    """Texts with the names of their classes, where each stands, and how the files were read.

    ``counts`` are the figures in ``note`` by name. ``read_any`` gives each an id, and the label ""
    where it has none.
    """

    texts: list[str]
    labels: list[str]
    places: list[str]
    note: str
    counts: dict[str, int] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Wanted:
    """What is to be found beside the texts: labels, which are of ``classes`` where these are known;
    or whatever is there, and ids in ``id_column``.
    """

    classes: Sequence[str] | None = None
    labels: bool = True
    id_column: str = ""

    @property
    def formats(self) -> Sequence[str]:
        return FORMATS if self.labels else WITHOUT_LABELS


def read(path: Path, channel: str, classes: Sequence[str] | None = None) -> Texts:
    """The labelled texts at ``path``, in whichever of FORMATS it holds.

    ``classes`` are those of the training, where it is over: no other label is let through. Raises
    DataError, which names the first faults by file and line.
    """
    found = _read(path, channel, _Wanted(classes))
    faults = [
        f"{place}: {fault}"
        for place, label in zip(found.places, found.labels)
        for fault in [_label_fault(label, classes)]
        if fault
    ]
    if faults:
        more = len(faults) - MAX_FAULTS
        raise DataError(*faults[:MAX_FAULTS], *([f"... and {more} more"] if more > 0 else []))
    if not found.texts:
        raise DataError(f"{path}: holds no texts")
    if classes is None and len(set(found.labels)) == 1:
        raise DataError(
            f"{path}: every label is {found.labels[0]!r}: there is nothing to tell apart"
        )
    _note_empty(found)
    if classes is None and len(found.texts) > 1 and len(set(found.texts)) == 1:
        found.note += (
            f"; warning: all {len(found.texts):,} texts are alike ({found.texts[0][:40]!r}): there "
            "is nothing to learn from them: --text-column names the column of texts"
        )
    return found


def only_texts(path: Path, channel: str) -> list[str]:
    """The texts at ``path``, whatever their labels are called. Raises DataError."""
    found = _read(path, channel, _Wanted()).texts
    if not found:
        raise DataError(f"{path}: holds no texts")
    return found


def read_any(path: Path, channel: str, id_column: str = "") -> Texts:
    """The texts at ``path``, in whichever of WITHOUT_LABELS it holds, each with an id: that of its
    record, by ``id_column`` or one of ID_NAMES, its path in a folder, or its number from 1.

    Raises DataError, which names the first faults by file and line.
    """
    found = _read(path, channel, _Wanted(labels=False, id_column=id_column))
    if not found.texts:
        raise DataError(f"{path}: holds no texts")
    found.ids = [name or str(number) for number, name in enumerate(found.ids, 1)]
    _note_empty(found)
    return found


def _note_empty(found: Texts) -> None:
    empty = [place for place, text in zip(found.places, found.texts) if not text.strip()]
    if empty:
        what = "1 text is" if len(empty) == 1 else f"{len(empty):,} texts are"
        found.note += f"; {what} empty (the first: {empty[0]})"
        found.counts["empty"] = len(empty)


def _label_fault(label: str, classes: Sequence[str] | None) -> str:
    if not label:
        return "there is no label"
    fault = name_fault(label)
    if fault:
        return fault.replace("the name", "the label", 1)
    if classes is not None and label not in classes:
        known = ", ".join(classes[:10])
        return f"the label {label[:40]!r} is none of the training's: {known}"
    return ""


def _read(path: Path, channel: str, wanted: _Wanted) -> Texts:
    beside = ""
    if path.is_dir():
        there = {entry.name for entry in entries(path) if entry.is_dir()}
        own = [path / name for name in FOLDERS[channel] if name in there]
        for folder in (*own[:1], path):
            found = _class_folders(folder)
            if found.files:
                return _folders(folder, found, path)
            beside = f" ({found.note})" if found.note else beside
        if with_suffix(path, *_packed_or_not(*POLARITIES)):
            return _polarities(path)
    files = [path]
    if path.is_dir():
        files = _of_channel(path, data_files(path, _packed_or_not(*SUFFIXES)), channel)
    if not files:
        raise DataError(f"{path}: holds no texts{beside}. Expected {'; or '.join(wanted.formats)}")
    parts = [_file(file, wanted) for file in files]
    empty = [file for file, part in zip(files, parts) if not part.texts]
    if len(empty) < len(files):
        check_empty(path, empty, len(files))
        parts = [part for part in parts if part.texts]
    notes = dict.fromkeys(part.note for part in parts)
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(part.counts)
    return Texts(
        [text for part in parts for text in part.texts],
        [label for part in parts for label in part.labels],
        [place for part in parts for place in part.places],
        "; ".join(notes),
        dict(counts),
        [name for part in parts for name in part.ids],
    )


def _packed_or_not(*suffixes: str) -> tuple[str, ...]:
    return (*suffixes, *(f"{suffix}.gz" for suffix in suffixes))


def _polarities(path: Path) -> Texts:
    found = Texts([], [], [], "files that end in .neg and .pos, a text a line")
    for suffix in POLARITIES:
        for file in with_suffix(path, *_packed_or_not(suffix)):
            form = encoding.form_of(file, whole=True)
            encoding.say(file, form)
            for number, line in encoding.lines(file, form):
                if line.strip():
                    _append(found, line, suffix[1:], f"{file}: line {number}")
    return found


def _lines(path: Path, form: TextForm) -> Texts:
    found = Texts([], [], [], "a text a line")
    for number, line in encoding.lines(path, form):
        if line.strip():
            _append(found, line, "", f"{path}: line {number}")
    return found


def _of_channel(folder: Path, files: list[Path], channel: str) -> list[Path]:
    """Those for ``channel`` where names tell, such as train.tsv beside test.tsv; else all."""
    parts = {
        name: [file for file in files if file.name.lower().startswith(starts)]
        for name, starts in PARTS.items()
    }
    if not (parts[TRAIN] and (parts[VALIDATION] or parts[TEST])):
        return files
    if not parts[channel]:
        raise DataError(
            f"{folder}: holds no file for {channel} beside {parts[TRAIN][0].name}: expected a name "
            f"that starts with {' or '.join(PARTS[channel])}, or give the file itself"
        )
    return parts[channel]


def _class_folders(path: Path) -> ClassFolders:
    """The texts of each class; without subfolders, none."""
    if not any(entry.is_dir() for entry in entries(path)):
        return ClassFolders({}, {})
    return class_folders(path, _other_than_text, no_class=UNLABELLED)


def _other_than_text(file: Path) -> str:
    return "" if file.suffix.lower() == ".txt" else ending(file)


def _folders(path: Path, found: ClassFolders, given: Path) -> Texts:
    pairs = [(name, file) for name, files in found.files.items() for file in files]
    texts = []
    for _, file in pairs:
        form = encoding.form_of(file, whole=True)
        encoding.say(file, form)
        texts.append("\n".join(line for _, line in encoding.lines(file, form)))
    names = sorted(found.files)
    part = "" if path == given else f" of {path.name}/"
    note = f"the folders {', '.join(names)}{part}, a text a file"
    return Texts(
        texts,
        [name for name, _ in pairs],
        [str(file) for _, file in pairs],
        "; ".join(filter(None, [note, found.note])),
        found.counts,
        [file.relative_to(path).as_posix() for _, file in pairs],
    )


def _file(path: Path, wanted: _Wanted) -> Texts:
    form = encoding.form_of(path, whole=True)
    first = next((line for _, line in encoding.lines(path, form) if line.strip()), "")
    if first.startswith((PREFIX, "{")):
        encoding.say(path, form)
        if first.startswith(PREFIX):
            return _blazing_text(path, form)
        return _json_lines(path, form, wanted)
    if not wanted.labels and path.name.endswith(_packed_or_not(".txt")):
        encoding.say(path, form)
        return _lines(path, form)
    if first.startswith("[") and path.name.endswith((".json", ".json.gz")):
        raise DataError(
            f"{path}: one JSON document: expected JSON lines, an object a line, as "
            f"`jq -c '.[]' {path.name}` writes them"
        )
    return _table(path, form, wanted)


def _blazing_text(path: Path, form: TextForm) -> Texts:
    found = Texts([], [], [], f"lines that begin with {PREFIX}")
    faults = []
    for number, line in encoding.lines(path, form):
        if not line.strip():
            continue
        place = f"{path}: line {number}"
        label, _, text = line.partition(" ")
        if not label.startswith(PREFIX):
            faults.append(f"{place}: expected {PREFIX} and the name of a class, got {line[:40]!r}")
        elif text.startswith(PREFIX):
            faults.append(f"{place}: two labels: a text has one class here")
        _append(found, text, label[len(PREFIX) :], place)
    _refuse(faults)
    return found


def _json_lines(path: Path, form: TextForm, wanted: _Wanted) -> Texts:
    found = Texts([], [], [], "")
    names: _Names | None = None
    faults = []
    unlabelled: list[str] = []
    for number, line in encoding.lines(path, form):
        if not line.strip():
            continue
        place = f"{path}: line {number}"
        half = half_character(line, number)
        if half:
            faults.append(f"{path}: {half}")
            continue
        try:
            record = json.loads(line, parse_int=_whole_number)
        except (ValueError, RecursionError) as error:
            if line.strip() == "{":
                raise DataError(
                    f"{place}: an object over several lines: expected one a line, as "
                    f"`jq -c . {path.name}` writes them"
                ) from None
            faults.append(f"{place}: no JSON: {error}")
            continue
        if not isinstance(record, dict):
            faults.append(f"{place}: expected an object, got {line[:40]!r}")
            continue
        judged = _judged(record)
        if judged is not None:
            record, failed = judged
            if failed and wanted.labels:
                unlabelled.append(place)
                continue
        if names is None or not wanted.labels:
            names = _keys(record, place, wanted).beside(names)
        text, label, name = (record.get(key) for key in (names.text, names.label, names.id))
        if not isinstance(text, str):
            faults.append(f"{place}: expected a text in {names.text!r}, got {_short(text)}")
        elif isinstance(label, (dict, list)) or (wanted.labels and label is None):
            faults.append(f"{place}: expected a label in {names.label!r}, got {_short(label)}")
        elif isinstance(name, (dict, list, bool)):
            faults.append(f"{place}: expected an id in {names.id!r}, got {_short(name)}")
        else:
            _append(found, text, _plainly(label), place, _plainly(name))
    _refuse(faults)
    if names:
        found.note = f"JSON lines: {names.told()}"
    if unlabelled:
        what = "a line" if len(unlabelled) == 1 else f"{len(unlabelled):,} lines"
        found.note += f"; {what} that Ground Truth has not labelled (the first: {unlabelled[0]})"
        found.counts["unlabelled"] = len(unlabelled)
    return found


def _judged(record: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool] | None:
    """A line of a labelling job's output manifest with the name of its class as its label, and
    whether the job has failed to give it one; None for another line.

    Source: "Output data" in the developer guide of SageMaker:
    https://docs.aws.amazon.com/sagemaker/latest/dg/sms-data-output.html
    """
    judgement = next((value for key, value in record.items() if key.endswith(METADATA)), None)
    if SOURCE not in record or not isinstance(judgement, dict):
        return None
    label = judgement.get("class-name")
    return {SOURCE: record[SOURCE], "label": label}, label is None and FAILURE in judgement


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"an integer of {len(digits):,} digits, expected {MAX_DIGITS:,} at most")
    return int(digits)


def _plainly(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


class _Names(NamedTuple):
    """What is called how; None where nothing is."""

    text: str
    label: str | None
    id: str | None

    def beside(self, others: _Names | None) -> _Names:
        """With the names of what ``others`` alone have."""
        if others is None:
            return self
        return _Names(self.text, self.label or others.label, self.id or others.id)

    def told(self) -> str:
        """In a note."""
        more = [f"{name!r} the {kind}" for kind, name in (("label", self.label), ("id", self.id))
                if name is not None]  # fmt: skip
        return ", ".join([f"{self.text!r} is the text", *more])


def _keys(record: Mapping[str, Any], place: str, wanted: _Wanted) -> _Names:
    by_name = {name.strip().lower(): name for name in record}
    decided = reading.current()
    text = next((by_name[name] for name in TEXT_NAMES if name in by_name), None)
    label = next((by_name[name] for name in LABEL_NAMES if name in by_name), None)
    text = text if decided.text_column is None else by_name.get(decided.text_column.lower())
    label = label if decided.label_column is None else by_name.get(decided.label_column.lower())
    names = [wanted.id_column.lower()] if wanted.id_column else ID_NAMES
    own = None if wanted.labels else next((by_name[n] for n in names if n in by_name), None)
    there = ", ".join(map(repr, record))
    if wanted.labels and (text is None or label is None):
        raise DataError(
            f"{place}: no text and label are found among {there}: "
            "name them by --text-column and --label-column"
        )
    if text is None:
        raise DataError(f"{place}: no text is found among {there}: name it by --text-column")
    if wanted.id_column and own is None:
        raise DataError(f"{place}: --id-column: there is no {wanted.id_column!r} among {there}")
    return _Names(text, label, own)


def _table(path: Path, form: TextForm, wanted: _Wanted) -> Texts:
    """Rows of a table; which column is the text is told by name, or by what stands there."""
    layout = tables.textual(path, form, names=(*TEXT_NAMES, *LABEL_NAMES))
    rows = [(number, row) for number, row in layout.rows() if len(row) > 1 or "".join(row).strip()]
    found = Texts([], [], [], "")
    if not rows:
        return found
    width = len(rows[0][1])
    if width < 2 and wanted.labels:
        raise DataError(
            f"{path}: line {rows[0][0]}: one column: expected a text and its label, separated by "
            f"commas or tabs (--delimiter decides); or {'; or '.join(FORMATS[1:])}"
        )
    quoting = "" if layout.delimiter == "\t" else "; a text with commas is put in double quotes"
    _refuse(
        [
            f"{path}: line {number}: {len(row)} columns, where the first line has {width}{quoting}"
            for number, row in rows
            if len(row) != width
        ]
    )
    header = _header([row for _, row in rows])
    body = rows[1:] if header else rows
    columns: list[list[str]] = [[row[i] for _, row in body] for i in range(width)]
    text, label, own = _roles(path, header, columns, wanted)
    kind = {",": "CSV", "\t": "TSV"}.get(layout.delimiter, f"CSV with {layout.delimiter!r}")
    names = header or [f"column {i + 1}" for i in range(width)]
    called = _Names(names[text], *(None if i is None else names[i] for i in (label, own)))
    found.note = f"{kind} {'with' if header else 'without'} a header: {called.told()}"
    for number, row in body:
        held = ("" if i is None else row[i] for i in (label, own))
        _append(found, row[text], next(held), f"{path}: line {number}", next(held))
    return found


def _header(rows: Sequence[Sequence[str]]) -> list[str]:
    """The first row, if it holds headings: a cell of it is a name for texts or labels, or stands
    above nothing but numbers and is none; and no name comes again below.
    """
    names = [cell.strip() for cell in rows[0]]
    decided = reading.current().header
    if decided is not None:
        return names if decided else []
    known = any(name.lower() in (*TEXT_NAMES, *LABEL_NAMES) for name in names)
    above = not any(map(is_number, names)) and any(
        name and len(rows) > 2 and all(is_number(row[i]) for row in rows[1:])
        for i, name in enumerate(names)
    )
    again = any(name and row[i].strip() == name for row in rows[1:] for i, name in enumerate(names))
    return names if (known or above) and not again else []


def _roles(
    path: Path,
    header: Sequence[str],
    columns: Sequence[Sequence[str]],
    wanted: _Wanted,
) -> tuple[int, int | None, int | None]:
    """The numbers of the columns of texts, of labels and of ids; None of what is not there.

    As decided, or by name; else, where labels are wanted, the label is where the training's classes
    stand, or the fewest different values, of two at least where there are two such columns; the
    text is that of the others with the most to read, see ``_to_read``. Raises DataError where two
    columns have one name for it.
    """
    decided = reading.current()
    text = _decided(path, header, len(columns), decided.text_column, "--text-column")
    label = _decided(path, header, len(columns), decided.label_column, "--label-column")
    if text is not None and text == label:
        raise DataError(f"{path}: --text-column and --label-column are one column")
    if text is None:
        text = _by_name(path, header, TEXT_NAMES, "--text-column", label)
    if label is None:
        label = _by_name(path, header, LABEL_NAMES, "--label-column", text)
    own = None if wanted.labels else _id_column(path, header, len(columns), wanted, (text, label))
    known = wanted.classes
    if text is None and label is None and known is not None:
        fitting = [i for i, column in enumerate(columns) if {c.strip() for c in column} <= {*known}]
        label = fitting[0] if len(fitting) == 1 else None
    others = [i for i in range(len(columns)) if i not in (label, own)]
    if text is None:
        read = {i: _to_read(columns[i]) for i in others}
        decisive = label is not None or sum(varies for varies, *_ in read.values()) > 1
        # where one column alone varies, that may be the label
        text = max(others, key=lambda i: read[i] if decisive else read[i][-1:])
    if label is None and wanted.labels:
        variety = {
            i: len({c.strip() for c in columns[i]}) for i in range(len(columns)) if i != text
        }
        several = {i: count for i, count in variety.items() if count > 1} or variety
        label = min(several, key=lambda i: several[i])
    return text, label, own


def _id_column(
    path: Path,
    header: Sequence[str],
    width: int,
    wanted: _Wanted,
    taken: Sequence[int | None],
) -> int | None:
    """Where the ids stand, as decided or by name, if they do."""
    if wanted.id_column:
        return _decided(path, header, width, wanted.id_column, "--id-column")
    lower = ["" if i in taken else name.lower() for i, name in enumerate(header)]
    return next((lower.index(name) for name in ID_NAMES if name in lower), None)


def _to_read(column: Sequence[str]) -> tuple[float, ...]:
    """How much a column tells a reader: whether its cells differ, how many letters of words those
    hold that do, and how long all are. One of dates may be longer than one of short texts.
    """
    different = list(dict.fromkeys(column))
    shown = different[:: -(-len(different) // LOOKED_AT) or 1]
    letters = sum(sum(map(len, _WORD.findall(cell))) for cell in shown)
    part = max(1, len(shown)) / max(1, len(different))
    return len(different) > 1, letters / part, sum(map(len, column))


def _decided(
    path: Path, header: Sequence[str], width: int, column: str | None, flag: str
) -> int | None:
    if column is None:
        return None
    found = reading.places(column, width, header, str(path), flag)
    if len(found) != 1:
        raise DataError(f"{path}: {flag} names one column, got {column!r}")
    return found[0]


def _by_name(
    path: Path, header: Sequence[str], names: Sequence[str], flag: str, taken: int | None
) -> int | None:
    """The column whose heading is the first of ``names``; DataError where two have it."""
    lower = [name.lower() if i != taken else "" for i, name in enumerate(header)]
    name = next((name for name in names if name in lower), None)
    if name is None:
        return None
    same = [str(i + 1) for i, other in enumerate(lower) if other == name]
    if len(same) > 1:
        raise DataError(
            f"{path}: columns {' and '.join(same)} have the heading {name!r}: {flag} decides"
        )
    return lower.index(name)


def _append(found: Texts, text: str, label: str, place: str, name: str = "") -> None:
    found.texts.append(text)
    found.ids.append(name.strip())
    found.labels.append(label.strip())
    found.places.append(place)


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        more = len(faults) - MAX_FAULTS
        raise DataError(*faults[:MAX_FAULTS], *([f"... and {more} more"] if more > 0 else []))


def _short(value: object) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)[:40]


def extract_texts(records: Sequence[Any], keys: Sequence[str]) -> list[str]:
    """The text of each record: a string, a list of one, or an object with one of ``keys``.

    Raises UnfitPayloadError, which names every record that holds none.
    """
    found: list[str] = []
    faults = []
    for number, record in enumerate(records, 1):
        text = record
        if isinstance(record, dict):
            text = next((record[key] for key in keys if key in record), None)
        elif isinstance(record, list) and len(record) == 1:
            text = record[0]
        if isinstance(text, str):
            found.append(text)
        else:
            faults.append(f"example {number}: expected a text, {_got(record, keys)}")
    if faults:
        raise UnfitPayloadError(*faults[:10])
    return found


def _got(record: Any, keys: Sequence[str]) -> str:
    if isinstance(record, dict):
        return f"or an object with a text named {', '.join(keys[:3])}"
    if isinstance(record, list):
        if len(record) > 1 and all(isinstance(each, str) for each in record):
            return f"got {len(record)} cells: put a text with commas in double quotes"
        return f"got a list of {len(record)}"
    return f"got {str(record)[:40]!r}"
