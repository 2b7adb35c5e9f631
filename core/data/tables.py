"""Tables (CSV, TSV) as people keep them: detect the delimiter, the headings and the columns.

What was not certain is said; what cannot be told is refused, with the flag that decides.

A plain table, comma-separated UTF-8, is handed on as it lies; any other becomes one, line for line.
"""

from __future__ import annotations

import csv
import io
import itertools
import operator
import re
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Iterable, Iterator, List, NamedTuple, Sequence, Tuple

from ..runtime.deprecated import keep_old_names
from ..runtime.errors import DataError
from . import notices, reading
from .cells import (
    COMMA,
    DECIMAL_COMMA,
    NUMBER,
    POINT_OF_THOUSANDS,
    THOUSANDS,
    has_thousands,
    is_like_number,
    is_no_value,
    is_number,
    number_of,
)
from .encoding import TextForm, form_of, lines, nul_error, open_utf8
from .reading_flags import DELIMITERS

HEAD_BYTES = 2**18
HEAD_ROWS = 200
MOSTLY = 0.9  # of the cells below a heading are numbers, where it is that of numbers
WIDE_ROWS = 8  # of a table whose lines are longer than HEAD_BYTES
MAX_CELL = 2**28  # characters; Python's own limit is 2**17
CSV_BLOCK_BYTES = 4 * 2**20
LONGEST_LINE_BYTES = 64 * 2**20
BATCH_ROWS = 4096
MAX_LINES_OF_A_CELL = 1000
_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars (|)", " ": "spaces"}
_TABBED = (".tsv", ".tab", ".tsv.gz", ".tab.gz")
_MARK = "\ufeff".encode()
_PAIR = re.compile(r"[+-]?\d+,\d+")
_JSON = re.compile(r'\s*(?:\{\s*["}]|\[\s*[\[{"\d-])')
LIBSVM = re.compile(r"\s*[+-]?\d[\d.]*(?:[ \t]+\d+:[\d.eE+-]+)+[ \t]*(?:#.*)?\r?\n")
_OTHER_FORMS = (
    (re.compile(r"\s*(?:%[^\n]*\n\s*)*@relation\s", re.IGNORECASE), "ARFF, as Weka writes it",
     "remove all lines up to @data"),
    (LIBSVM, "in LIBSVM's form",
     "convert it: sklearn.datasets.load_svmlight_file, then numpy.save of x.toarray()"),
)  # fmt: skip
# What Excel reads of a first line: the character between cells.
_SEPARATOR = re.compile(r'"?sep=([^\r\n])"?[;,]*(?:\r?\n|\Z)', re.IGNORECASE)

Row = Tuple[int, List[str]]
"""The number of the line at which a row begins, and its cells; a blank line has none."""


class Block(NamedTuple):
    """Whole lines, separated by commas in UTF-8, without headings.

    ``line`` is the number of the first in the file, ``offset`` where it begins, in bytes of the
    text as ``open_utf8`` gives it.
    """

    text: bytes
    line: int
    offset: int


@dataclass(frozen=True)
class Layout:
    """How the table in ``path`` is written, and which of its columns are meant.

    ``header`` are the headings, empty where there are none; ``width`` the number of columns of
    the first row; ``columns`` the indices of those that are meant, None for all as they stand, of
    which the first ``labels`` are no features. ``above`` is how many lines stand before the table;
    ``is_empty`` whether there is no row.
    """

    path: Path
    form: TextForm
    delimiter: str = COMMA
    decimal: str = "."
    header: tuple[str, ...] = ()
    has_header: bool = False
    width: int = 0
    columns: tuple[int, ...] | None = None
    labels: int = 0
    above: int = 0
    is_empty: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether its lines can be taken as they are, but for those before the rows."""
        return self.form.is_usual and self.delimiter == COMMA and self.columns is None

    @property
    def lead(self) -> int:
        """How many lines stand before the rows: those above, and the headings."""
        return self.above + self.has_header * (1 + sum(name.count("\n") for name in self.header))

    def named(self, index: int) -> str:
        """``column 2, width``, of the columns as they stand in the file."""
        name = self.header[index].strip() if index < len(self.header) else ""
        return f"column {index + 1}" + (f", {name[:40]}" if name else "")

    def meant(self) -> Sequence[int]:
        """The indices of the columns that are meant, in order."""
        return range(self.width) if self.columns is None else self.columns

    def blocks(self) -> Iterator[Block]:
        """The lines below the headings as comma-separated numbers, little by little."""
        return self._plain_blocks() if self.is_plain else self._rewritten()

    def rows(self) -> Iterator[Row]:
        """All rows below the headings with all their columns, blank lines among them."""
        found = _rows(self.path, self.form, self.delimiter, self.above)
        if self.has_header:
            next(found, None)
        return found

    def batches(self, count: int) -> Iterator[tuple[Sequence[int], list[list[str]]]]:
        """The rows that are not blank, ``count`` at a time, and the lines at which they begin."""
        if self.form.is_usual and self.delimiter != "\t":
            yield from _quick_batches(self, count)
            return
        rows = (row for row in self.rows() if row[1])
        while True:
            batch = list(itertools.islice(rows, count))
            if not batch:
                return
            yield [line for line, _ in batch], [row for _, row in batch]

    def cells(self, count: int) -> Iterator[tuple[int, list[str] | None]]:
        """All cells below the headings, ``count`` rows at a time, row by row in one list, and the
        line where they begin. Where a row may not be one line that is divided by each delimiter,
        or is of another width, None: from there on ``begun_at`` reads row by row.
        """
        line = self.lead + 1
        with open_utf8(self.path, self.form) as binary:
            stream = io.TextIOWrapper(binary, encoding="utf-8-sig", newline="\n")
            try:
                head = list(itertools.islice(stream, self.lead))[self.above :]
                if head and _divided(head, self.delimiter, self.width) != list(self.header):
                    yield line, None
                    return
                while True:
                    rows = list(itertools.islice(stream, count))
                    if not rows:
                        return
                    found = _divided(rows, self.delimiter, self.width)
                    yield line, found
                    if found is None:
                        return
                    line += len(rows)
            except UnicodeDecodeError:
                yield line, None
            finally:
                stream.detach()

    def begun_at(self, line: int) -> Layout:
        """What is left of the table from ``line`` on, below the headings."""
        return self if line == self.lead + 1 else replace(self, above=line - 1, has_header=False)

    def chosen(self, row: Sequence[str]) -> list[str]:
        """The meant cells of ``row``, numbers with a point; a row of another width whole."""
        cells = list(row)
        if self.columns is not None and len(row) == self.width:
            cells = [row[i] for i in self.columns]
        return [_pointed(cell) for cell in cells] if self.decimal == COMMA else cells

    def _plain_blocks(self) -> Iterator[Block]:
        line, offset = 1, 0
        for block in _blocks_of_lines(self.path, self.form):
            text = block
            if offset == 0:
                skipped = len(_MARK) if block.startswith(_MARK) else 0
                for _ in range(self.lead):
                    end = block.find(b"\n", skipped) + 1
                    skipped = end or len(block)
                    line += 1 if end else 0
                text, offset = block[skipped:], skipped
            yield Block(text, line, offset)
            line += text.count(b"\n")
            offset += len(text)

    def _rewritten(self) -> Iterator[Block]:
        rows, offset = self.rows(), 0
        while True:
            batch = list(itertools.islice(rows, BATCH_ROWS))
            if not batch:
                return
            # a comma left in a cell would make two of it
            cells = ((cell.replace(COMMA, ";") for cell in self.chosen(row)) for _, row in batch)
            lines = [COMMA.join(row).replace("\n", " ") for row in cells]
            text = ("\n".join(lines) + "\n").encode("utf-8", "replace")
            yield Block(text, batch[0][0], offset)
            offset += len(text)


def _pointed(cell: str) -> str:
    """A number with a decimal comma as one with a point; what holds a point is none."""
    return f"?{cell}" if "." in cell else cell.replace(COMMA, ".", 1)


def numeric(path: Path, *, label: bool = False, skipped: int = 0, request: bool = False) -> Layout:
    """The layout of a table of numbers. Raises DataError.

    With ``label``, each row begins with the label: the first column, unless it is decided
    otherwise; without it, a label column is left out. ``skipped`` columns at the start are labels
    of no concern. Headings are held against those that were read before, or trained on: see
    ``reading.matched``. Of a ``request``, columns that count the rows are no concern.
    """
    form = form_of(path, whole=False)
    decided = reading.current()
    text, above, given = _begun(path, form)
    _check_is_table(path, text)
    delimiter, decimal, certain = _numeric_delimiter(path, text, decided.delimiter or given)
    rows = list(itertools.islice(_parsed(text, delimiter), HEAD_ROWS))
    commas = decided.delimiter is None and given is None and delimiter == COMMA
    _check_no_title(path, rows, above, request, commas)
    first = rows[0] if rows else []
    headed = decided.header
    if headed is None:
        filled = any(cell.strip() for cell in first)
        headed = filled and not any(is_like_number(cell, decimal) for cell in first)
        headed = headed or (filled and reading.are_known(first, reading.headings()))
    header = tuple(first) if headed else ()
    body = rows[1:] if headed else rows
    layout = Layout(path, form, delimiter, decimal, header, bool(headed), len(first), above=above)
    layout = replace(layout, is_empty=not any(cell.strip() for row in body for cell in row))
    _say(layout, certain, decided)
    if commas and not (headed or label or skipped) and _are_pairs(body):
        _say_pairs(path, body, request)
    layout = _with_columns(layout, decided, label, skipped)
    if not request and body:
        if label:
            notices.say_order(layout)
        if not decided.columns:
            notices.say_counted(layout, body)
        if not headed and decided.header is None:
            notices.say_first_line(layout, body)
    return layout


def mixed(path: Path) -> Layout:
    """The layout of a table of numbers, words and gaps, told by its lines being of one width, and
    by what stands above each column. Raises DataError.
    """
    form = form_of(path, whole=False)
    decided = reading.current()
    text, above, given = _begun(path, form, WIDE_ROWS)
    _check_is_table(path, text)
    delimiter, certain = decided.delimiter or given, True
    if delimiter is None:
        delimiter, certain = _mixed_delimiter(path, text)
    rows = [row for row in itertools.islice(_parsed(text, delimiter), HEAD_ROWS) if row]
    if decided.header is None:
        _check_no_title(path, rows, above, True, False)
    first = rows[0] if rows else []
    headed = are_names(rows) if decided.header is None else decided.header
    header = tuple(first) if headed else ()
    layout = Layout(path, form, delimiter, ".", header, bool(headed), len(first), above=above)
    filled = any(cell.strip() for row in rows[bool(headed) :] for cell in row)
    _say(layout, certain, decided)
    return replace(layout, is_empty=not filled)


def _mixed_delimiter(path: Path, text: str) -> tuple[str, bool]:
    """The delimiter between which most lines are of one width, and most cells numbers; and whether
    that was certain.
    """
    if path.name.lower().endswith(_TABBED):
        return "\t", True
    scores = {}
    for delimiter in _NAMES:
        if delimiter == " " or delimiter not in text:
            continue
        rows = [row for row in itertools.islice(_parsed(text, delimiter), HEAD_ROWS) if row]
        widths = [len(row) for row in rows]
        usual = max(set(widths), key=lambda width: (widths.count(width), width))
        cells = [cell for row in rows[1:] or rows for cell in row]
        numbers = sum(number_of(cell) is not None or is_number(cell, COMMA) for cell in cells)
        if usual > 1:
            scores[delimiter] = (widths.count(usual) / len(rows), numbers / max(1, len(cells)))
    if not scores or set(scores) == {COMMA}:
        return COMMA, True
    best = max(scores.values())
    found = [delimiter for delimiter, score in scores.items() if score == best]
    if len(found) > 1:
        raise DataError(_ambiguous(path, found))
    return found[0], found[0] == COMMA


def are_names(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row holds headings: no number, no two alike; and numbers alone stand below
    one, or none comes again in its column. The first may be empty, as above an index, and any
    above nothing, as where lines end with the delimiter.
    """
    names = [cell.strip() for cell in rows[0]] if rows else []
    if reading.are_known(names, reading.headings()):
        return True
    filled = [name for name in names if name]
    words = [not is_like_number(name, ".") and not is_no_value(name) for name in filled]
    if not filled or len(set(filled)) < len(filled) or not all(words):
        return False
    below = [[row[i].strip() for row in rows[1:] if i < len(row)] for i in range(len(names))]
    if any(not name and any(cells) for name, cells in zip(names[1:], below[1:])):
        return False
    if len(rows) == 1:  # a row alone has a number or a gap somewhere, or is one of a known table
        return reading.headings() is None
    if any(_are_numbers(cells) for cells in below):
        return True
    known = reading.headings()
    if known is not None:  # a table of words alone shows no headings but by their being known
        return bool(set(map(reading.key_of, names)) & set(map(reading.key_of, known.columns)))
    return not any(name and name in cells for name, cells in zip(names, below))


def _are_numbers(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if not is_no_value(cell)]
    numbers = sum(is_like_number(cell, COMMA) for cell in filled)
    return bool(filled) and numbers >= MOSTLY * len(filled)


def _with_columns(layout: Layout, decided: reading.Reading, label: bool, skipped: int) -> Layout:
    if not layout.width:
        return layout
    source, width, header = str(layout.path), layout.width, layout.header
    chosen = list(range(width))
    if decided.columns is not None:
        chosen = reading.places(decided.columns, width, header, source, "--columns")
    labels = [0] if label else chosen[:skipped]
    if decided.label_column is not None:
        labels = reading.places(decided.label_column, width, header, source, "--label-column")
        if len(labels) != 1:
            raise DataError(f"{source}: --label-column: names several columns, expected one")
    features = [i for i in chosen if i not in labels]
    kept = label or (skipped and decided.label_column is None)
    if label and decided.label_column is None and reading.headings() is None:
        _check_label_is_first(layout)
    if header:
        labels, features = reading.matched(
            layout.path, header, labels, features, decided.label_column is not None, label
        )
    labels = labels if kept else []
    columns = (*labels, *features)
    layout = replace(layout, labels=len(labels))
    if columns == tuple(range(width)):
        return layout
    if not features:
        raise DataError(f"{source}: of its {width} columns, none is left to read")
    return replace(layout, columns=columns)


def _check_is_table(path: Path, text: str) -> None:
    """Raises DataError for texts of another form: what it is, and what to do."""
    for form, what, advice in _OTHER_FORMS:
        if form.match(text):
            raise DataError(f"{path}: is {what}, expected a table: {advice}")
    if _JSON.match(text):
        lined = "\n{" in text and text.lstrip()[0] == "{"
        raise DataError(
            f"{path}: is JSON{' lines' if lined else ''}, expected a table: convert it: "
            f'pandas.read_json("…"{", lines=True" * lined}).to_csv("….csv", index=False)'
        )


def _check_no_title(
    path: Path, rows: Sequence[Sequence[str]], above: int, may_be_blank: bool, commas: bool
) -> None:
    """Raises DataError where a line with words in its first cell alone stands above a table, or a
    blank one where that may not be. Where ``commas`` are taken for what is between cells, it may
    be the heading of one column with decimal commas.
    """
    filled = [[cell for cell in row if cell.strip()] for row in rows]
    start = next((i for i, cells in enumerate(filled) if len(cells) > 1), 0)
    if start and not (may_be_blank or any(filled[:start]) or rows[0]):
        raise DataError(
            f"{path}: line {above + 1} is empty, and the table begins in line {above + start + 1}: "
            f"remove what is above it, as by: tail -n +{above + start + 1} FILE > NEW"
        )
    if not start or not filled[0] or is_like_number(filled[0][0], "."):
        return
    width = len(rows[start])
    alike = sum(len(row) == width for row in rows[start:])
    padded = len(rows[0]) == width and any(map(is_number, filled[start]))
    if width < 2 or 2 * alike <= len(rows) - start or not rows[0][0].strip() or padded:
        return
    title, lines = filled[0][0].strip(), "line" if start == 1 else f"{start} lines"
    if commas and start == len(rows[0]) == 1 and _are_pairs(rows[1:]):
        raise DataError(
            f"{path}: line {above + 1} has one heading, {title[:40]!r}, and the lines below it two "
            "whole numbers with a comma between them: --delimiter semicolon reads one column with "
            "decimal commas; if there are two columns, give each a heading"
        )
    raise DataError(
        f"{path}: line {above + 1}, {title[:40]!r}, is a title above the table, which begins in "
        f"line {above + start + 1}: remove the {lines} above it, as by: tail -n "
        f"+{above + start + 1} FILE > NEW"
    )


def _are_pairs(rows: Sequence[Sequence[str]]) -> bool:
    """Whether each line may be two whole numbers, or one with a decimal comma."""
    lines = [COMMA.join(row) for row in rows if row]
    return bool(lines) and all(_PAIR.fullmatch(line) for line in lines)


def _say_pairs(path: Path, rows: Sequence[Sequence[str]], request: bool) -> None:
    """That pairs of whole numbers may be decimals; raises DataError where they look like it."""
    if any(len(row) == 2 and len(row[1]) > 1 and row[1][0] == "0" for row in rows):
        raise DataError(
            f"{path}: its lines may hold one number with a decimal comma or two whole numbers: "
            "--delimiter semicolon reads one, --delimiter comma two"
        )
    if not request:
        reading.note(
            "read as two columns of whole numbers; if each line holds one number with a decimal "
            "comma, --delimiter semicolon reads it so (--delimiter comma decides for two)",
            path,
        )


def _check_label_is_first(layout: Layout) -> None:
    """A heading that says where the label is decides nothing by itself, but is not passed over."""
    names = [name.strip().lower() for name in layout.header]
    others = [i for i, name in enumerate(names) if i and name in ("label", "class", "target", "y")]
    if others and names[0] not in ("label", "class", "target", "y"):
        raise DataError(
            f"{layout.path}: the label is expected in column 1, {layout.header[0].strip()!r}, but "
            f"{layout.named(others[0])} has its name: --label-column {others[0] + 1} takes that, "
            "--label-column 1 the first"
        )


def _numeric_delimiter(path: Path, text: str, given: str | None) -> tuple[str, str, bool]:
    """The delimiter, what stands before decimals, and whether that was certain."""
    if given is not None:
        rows = list(itertools.islice(_parsed(text, given), HEAD_ROWS))
        return given, _decimal(path, rows, given), True
    scores = {}
    for delimiter in _NAMES:
        if delimiter == " " or delimiter not in text:
            continue
        rows = [row for row in itertools.islice(_parsed(text, delimiter), HEAD_ROWS) if row]
        body = rows[1:] or rows
        cells = [cell for row in body if len(row) > 1 for cell in row]
        if not cells:
            continue
        widths = [len(row) for row in body]
        alike = max(map(widths.count, set(widths))) / len(widths)
        decimals = "." if delimiter == COMMA else ".,"
        marked = sum(has_thousands(cell.strip()) for cell in cells)
        good = max(marked, *(sum(is_number(cell, mark) for cell in cells) for mark in decimals))
        scores[delimiter] = (round(alike * good / len(cells), 6), alike)
    if not scores or set(scores) == {COMMA}:
        return COMMA, ".", True
    best = max(scores.values())
    found = [delimiter for delimiter, score in scores.items() if score == best]
    if path.name.lower().endswith(_TABBED) and "\t" in scores:
        found = ["\t"]
    if len(found) > 1:
        raise DataError(_ambiguous(path, found))
    rows = list(itertools.islice(_parsed(text, found[0]), HEAD_ROWS))
    return found[0], _decimal(path, rows, found[0]), False


def _ambiguous(path: Path, found: Sequence[str]) -> str:
    names = [name for name, character in DELIMITERS.items() if character in found]
    kinds = " or ".join(_NAMES[character] for character in found)
    flags = " or ".join(f"--delimiter {name}" for name in names)
    return f"{path}: its cells may be separated by {kinds}: {flags} decides"


def _decimal(path: Path, rows: Sequence[Sequence[str]], delimiter: str) -> str:
    """What stands before decimals: a comma where numbers hold one. Raises DataError for both."""
    if delimiter == COMMA:
        return "."
    cells = [cell.strip() for row in rows for cell in row]
    commas = [cell for cell in cells if DECIMAL_COMMA.fullmatch(cell) or THOUSANDS.fullmatch(cell)]
    if not commas:
        _check_points(path, cells, delimiter)
        return "."
    points = [cell for cell in cells if "." in cell and NUMBER.fullmatch(cell)]
    if points:
        raise DataError(
            f"{path}: its numbers have decimal commas ({commas[0]}) and points ({points[0]}): one "
            "may stand between thousands: save it without these, with one mark for decimals"
        )
    if all(THOUSANDS.fullmatch(cell) for cell in commas):
        raise DataError(
            f"{path}: the comma in {commas[0]} may stand before decimals or between thousands: "
            "save it with points for decimals and nothing between thousands"
        )
    return COMMA


def _check_points(path: Path, cells: Sequence[str], delimiter: str) -> None:
    """Raises DataError where semicolons separate, as beside decimal commas, and all points may
    stand between thousands.
    """
    points = [cell for cell in cells if "." in cell and NUMBER.fullmatch(cell)]
    if delimiter != ";" or not points or not all(map(POINT_OF_THOUSANDS.fullmatch, points)):
        return
    raise DataError(
        f"{path}: the point in {points[0]} may stand before decimals or between thousands: if "
        "before decimals, put commas between the columns, as by: tr ';' ',' < FILE > NEW; if "
        "between thousands, remove it, as by: tr -d . < FILE > NEW"
    )


def _say(layout: Layout, certain: bool, decided: reading.Reading) -> None:
    """One line on all that was assumed."""
    parts = [layout.form.assumed] if layout.form.assumed else []
    if layout.above:
        parts.append(f"line 1 says that cells are separated by {_between(layout.delimiter)}")
    elif not certain:
        parts.append(f"separated by {_between(layout.delimiter)}")
    if layout.decimal == COMMA:
        parts.append("decimal commas")
    if layout.has_header and decided.header is None:
        names = ", ".join(name.strip() for name in layout.header)
        number = layout.above + 1
        parts.append(
            f"line {number} holds headings ({names if len(names) < 60 else names[:57] + '…'})"
        )
    if parts:
        flags = ["--encoding"] * bool(layout.form.assumed)
        flags += ["--delimiter"] * (not certain or layout.above > 0)
        flags += ["--header"] * (layout.has_header and decided.header is None)
        decide = f" ({', '.join(flags)} {'decide' if len(flags) > 1 else 'decides'})" * bool(flags)
        reading.note(f"{'; '.join(parts)}{decide}", layout.path)


def _between(delimiter: str) -> str:
    return _NAMES.get(delimiter, repr(delimiter))


def textual(path: Path, form: TextForm, *, names: Sequence[str]) -> Layout:
    """The layout of a table of texts, told by its lines being of one width; ``names`` are headings
    that such tables have. Whether it has headings is left open. Raises DataError.
    """
    decided = reading.current()
    text, above, given = _begun(path, form)
    delimiter, certain = decided.delimiter or given, True
    if delimiter is None:
        delimiter, certain = _textual_delimiter(path, text, names)
    first = next((row for row in _parsed(text, delimiter) if row), [])
    layout = Layout(path, form, delimiter, width=len(first), above=above)
    if form.assumed or above or not certain:
        _say(layout, certain, decided)
    return layout


def of_texts(path: Path, form: TextForm, headings: Sequence[str]) -> Layout:
    """The layout of a table that is asked about, of which one column holds texts: that of which
    it is decided, or whose heading is the first of ``headings``; else it is taken as it stands.
    """
    decided = reading.current()
    text, above, given = _begun(path, form)
    given = decided.delimiter or given
    tried = [given] if given else ["\t", COMMA, ";", "|"]
    if given is None and path.name.lower().endswith(_TABBED):
        tried = ["\t"]
    firsts = {each: next((row for row in _parsed(text, each) if row), []) for each in tried}
    named = {
        each: names
        for each, row in firsts.items()
        for names in [[cell.strip().lower() for cell in row]]
        if set(names) & set(headings)
    }
    delimiter = max(named, key=lambda each: len(named[each])) if named else tried[0]
    if not named and len(tried) > 1:
        delimiter = next((each for each in tried if _divides(text, each)), COMMA)
    first = firsts[delimiter]
    has_header = bool(named) if decided.header is None else decided.header
    header = tuple(first) if has_header else ()
    layout = Layout(path, form, delimiter, ".", header, has_header, len(first), above=above)
    filled = itertools.islice((row for row in _parsed(text, delimiter) if row), 1 + has_header)
    layout = replace(layout, is_empty=len(list(filled)) <= has_header)
    column = decided.text_column or decided.columns
    if column is not None:
        flag = "--text-column" if decided.text_column else "--columns"
        chosen = reading.places(column, len(first), header, str(path), flag)
        return replace(layout, columns=tuple(chosen))
    if named and has_header and len(first) > 1:
        names = named[delimiter]
        heading = next(name for name in headings if name in names)
        if names.count(heading) > 1:
            raise DataError(f"{path}: several columns are called {heading!r}: give --text-column")
        return replace(layout, columns=(names.index(heading),))
    return layout


def _divides(text: str, delimiter: str) -> bool:
    """Whether a table of which no heading is known has columns between ``delimiter``: all lines as
    many, and where it is no tab, which is hardly a sign of any text, one of numbers.
    """
    rows = [row for row in itertools.islice(_parsed(text, delimiter), HEAD_ROWS) if row]
    if len({len(row) for row in rows}) != 1 or len(rows[0]) < 2:
        return False
    return delimiter == "\t" or any(
        all(is_number(cell, COMMA) for cell in column[1:]) for column in zip(*rows) if column[1:]
    )


def _textual_delimiter(path: Path, text: str, names: Sequence[str]) -> tuple[str, bool]:
    if path.name.lower().endswith(_TABBED):
        return "\t", True
    fitting, named, often = [], [], {}
    for delimiter in _NAMES:
        if delimiter == " " or delimiter not in text:
            continue
        rows = [row for row in itertools.islice(_parsed(text, delimiter), HEAD_ROWS) if row]
        often[delimiter] = sum(len(row) > 1 for row in rows)
        if len(rows[0]) > 1 and len({len(row) for row in rows}) == 1:
            fitting.append(delimiter)
        if len(rows[0]) > 1 and {cell.strip().lower() for cell in rows[0]} & set(names):
            named.append(delimiter)
    if not often:
        return COMMA, True
    found = [each for each in fitting if each in named] or fitting or named
    if "\t" in found:  # hardly a sign of any text
        found = ["\t"]
    if len(found) > 1:
        raise DataError(_ambiguous(path, found))
    chosen = found[0] if found else max(often, key=lambda each: often[each])
    return chosen, chosen == COMMA


def _begun(path: Path, form: TextForm, rows: int = 0) -> tuple[str, int, str | None]:
    """The start of the table, ``rows`` lines at least, how many lines are above it, and the
    delimiter that they name.
    """
    text = _head(path, form, rows)
    found = _SEPARATOR.match(text)
    return (text[found.end() :], 1, found[1]) if found else (text, 0, None)


def _head(path: Path, form: TextForm, rows: int) -> str:
    """The first lines as text, ``rows`` at least; whole ones, unless it is all one."""
    with open_utf8(path, form) as stream:
        head = more = stream.read(HEAD_BYTES)
        while more and head.count(b"\n") < rows and len(head) < LONGEST_LINE_BYTES:
            more = stream.read(HEAD_BYTES)
            head += more
    if len(head) >= HEAD_BYTES:
        head = head[: head.rfind(b"\n") + 1] or head
    return head.decode("utf-8-sig", "replace")


def _parsed(text: str, delimiter: str) -> Iterator[list[str]]:
    """The rows of the start of a table, of which the last may be cut; blank lines are empty."""
    csv.field_size_limit(MAX_CELL)
    if delimiter == "\t":
        numbered = enumerate(text.replace("\r\n", "\n").rstrip("\n").split("\n"), 1)
        return (row for _, row in tabbed(numbered))
    return _tolerant(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def _tolerant(rows: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from rows
    except csv.Error:  # told with its line by who reads the table
        return


def _rows(path: Path, form: TextForm, delimiter: str, above: int) -> Iterator[Row]:
    numbered = itertools.islice(lines(path, form), above, None)
    if delimiter == "\t":
        yield from tabbed(numbered)
        return
    csv.field_size_limit(MAX_CELL)
    reader = csv.reader((line + "\n" for _, line in numbered), delimiter=delimiter, strict=True)
    first = above + 1
    try:
        for row in reader:
            yield first, row
            first = above + reader.line_num + 1
    except csv.Error as error:
        if "NUL" in str(error):
            raise nul_error(path, first) from None
        raise DataError(
            f"{path}: line {first}: {error}; a quote in a cell is written twice, and the cell in "
            "double quotes"
        ) from None


def _divided(lines: Sequence[str], delimiter: str, width: int) -> list[str] | None:
    """The cells of ``lines``, each a row of ``width`` cells without quotes; None for any other."""
    text = "".join(lines)
    if '"' in text or "\0" in text:
        return None
    if "\r" in text:
        text = text.replace("\r\n", "\n")
        if "\r" in text:
            return None
    if set(map(operator.methodcaller("count", delimiter), lines)) != {width - 1}:
        return None
    if (width == 1 or delimiter == "\t") and not all(map(str.strip, lines)):
        return None  # blank ones are no rows
    return (text[:-1] if text.endswith("\n") else text).replace("\n", delimiter).split(delimiter)


def _quick_batches(layout: Layout, count: int) -> Iterator[tuple[Sequence[int], list[list[str]]]]:
    """``Layout.batches`` of UTF-8, without a step of Python's for each line."""
    csv.field_size_limit(MAX_CELL)
    with open_utf8(layout.path, layout.form) as binary:
        stream = io.TextIOWrapper(binary, encoding="utf-8-sig", newline="\n")
        plain = map(operator.methodcaller("replace", "\r\n", "\n"), stream)
        text = itertools.islice(plain, layout.above, None)
        reader = csv.reader(text, delimiter=layout.delimiter, strict=True)
        line = layout.above + 1
        try:
            if layout.has_header:
                next(reader, None)
                line = layout.above + reader.line_num + 1
            while True:
                rows = list(itertools.islice(reader, count))
                if not rows:
                    break
                end = layout.above + reader.line_num + 1
                places = _places(rows, line, end)
                if places is None:
                    yield range(line, end), rows
                else:
                    yield [p for p, row in zip(places, rows) if row], [row for row in rows if row]
                line = end
        except (csv.Error, UnicodeDecodeError):
            deque(layout.rows(), maxlen=0)  # which says what is wrong, and where
            raise
        finally:
            stream.detach()


def _places(rows: Sequence[Sequence[str]], line: int, end: int) -> list[int] | None:
    """The lines at which ``rows`` begin; None where each is one line, and none is blank."""
    if end - line == len(rows) and all(rows):
        return None
    places = []
    for row in rows:
        places.append(line)
        line += 1 + sum(cell.count("\n") for cell in row)
    return places


def tabbed(numbered: Iterable[tuple[int, str]]) -> Iterator[Row]:
    """The rows of lines whose cells are separated by tabs.

    Such tables know no quoting but that of a whole cell, and most no line end within a cell. Excel
    does: where the last cell of a line begins with a quote that is left open, the lines up to the
    one that closes it, and fills the row, belong to it.
    """
    source, width = iter(numbered), 0
    waiting: deque[tuple[int, str]] = deque()
    while True:
        found = waiting.popleft() if waiting else next(source, None)
        if found is None:
            return
        number, line = found
        row = line.split("\t") if line.strip() else []
        if '"' in line:
            if width and _is_open(row[-1]):
                row = _joined(line, width, source, waiting).split("\t")
            row = [_unquoted(cell) for cell in row]
        width = width or len(row)
        yield number, row


def _joined(
    line: str, width: int, source: Iterator[tuple[int, str]], waiting: deque[tuple[int, str]]
) -> str:
    """``line`` with those that close its quote, taken from ``waiting`` and ``source``; as it is
    where they do not.
    """
    taken: list[tuple[int, str]] = []
    whole = line
    while len(taken) < MAX_LINES_OF_A_CELL:
        more = waiting.popleft() if waiting else next(source, None)
        if more is None:
            break
        taken.append(more)
        whole += "\n" + more[1]
        cells = whole.split("\t")
        if len(cells) > width:
            break
        if len(cells) == width and all(map(_is_closed, cells)):
            return whole
    waiting.extendleft(reversed(taken))
    return line


def _is_open(cell: str) -> bool:
    return cell.startswith('"') and cell.count('"') % 2 == 1


def _is_closed(cell: str) -> bool:
    return not cell.startswith('"') or _unquoted(cell) != cell


def _unquoted(cell: str) -> str:
    inner = cell[1:-1]
    if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', ""):
        return inner.replace('""', '"')
    return cell


def _blocks_of_lines(path: Path, form: TextForm) -> Iterator[bytes]:
    """The content of ``path`` in blocks of whole lines, so that memory holds little text."""
    rest = b""
    with open_utf8(path, form) as stream:
        while True:
            block = stream.read(CSV_BLOCK_BYTES)
            if not block:
                break
            end = block.rfind(b"\n") + 1
            if end:
                yield rest + block[:end]
                rest = block[end:]
            elif len(rest) + len(block) > LONGEST_LINE_BYTES:
                raise DataError(f"{path}: a line is longer than {LONGEST_LINE_BYTES:,} bytes")
            else:
                rest += block
    if rest:
        yield rest


keep_old_names(__name__, "data.tables")
