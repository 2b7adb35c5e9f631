"""Interactions from files, in whichever common form they come."""

from __future__ import annotations

import itertools
import math
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import (
    Any,
    Collection,
    Dict,
    Iterable,
    Iterator,
    List,
    Mapping,
    NamedTuple,
    Sequence,
    Tuple,
)

import numpy as np

from ..runtime.errors import DataError
from ..runtime.faults import MAX_FAULTS
from ..runtime.types import Array
from . import encoding, opening, plain_numbers, protobuf, recordio, sources, tables
from .cells import is_no_value, is_number, number_of
from .files import check_empty, data_files
from .interactions import UNKNOWN, Interactions
from .reading import current, headings, matched, places
from .tables import Row

FORMATS = (
    "CSV or TSV, gz or not, with or without a header: a user, an item, and where there are any a "
    "rating and a time",
    "u.data of MovieLens-100k; ratings.dat of MovieLens-1M (1::1193::5::978300760); ratings.csv of "
    "the others",
    "Parquet, or an Excel workbook (.xlsx), of which the first sheet is read",
    "RecordIO-protobuf or LibSVM as SageMaker's factorization machines take them, with two numbers "
    "that are not 0 in each record: that of the user, then that of the item",
    "a folder of such files",
)
# By these headings columns are known.
NAMES: Mapping[str, tuple[str, ...]] = {
    "user": (
        "user", "user_id", "userid", "uid", "user id", "userid:token", "user_id:token", "customer",
        "customer_id", "customerid", "reviewer", "reviewer_id", "reviewerid", "visitor",
        "visitorid", "visitor_id", "session", "session_id", "member", "member_id", "account",
        "account_id", "client_id",
    ),
    "item": (
        "item", "item_id", "itemid", "iid", "item id", "item_id:token", "product", "product_id",
        "productid", "movie", "movie_id", "movieid", "asin", "book", "book_id", "isbn", "track",
        "track_id", "song", "song_id", "artist", "artist_id", "artistid", "article", "article_id",
        "restaurant", "restaurant_id", "place", "place_id", "placeid", "sku", "stockcode", "title",
    ),
    "rating": (
        "rating", "ratings", "score", "stars", "label", "rating:float", "overall", "value",
        "book-rating", "feedback", "weight", "count", "target",
    ),
    "time": (
        "time", "timestamp", "timestamp:float", "date", "datetime", "unixreviewtime", "ts",
        "unix_timestamp", "created_at", "when",
    ),
}  # fmt: skip
KINDS = tuple(NAMES)
Block = Tuple[Sequence[int], Sequence[List[str]]]
"""Rows, and the lines at which they begin."""
BLOCK_ROWS = 8192
HEAD_ROWS = 200  # by which headings are told
MOST_KEPT = 2**16  # cells of ratings
NOBODY = -1
MOVIELENS = "::"  # between cells, in its sets of 1 and 10 million ratings
SUFFIXES = (
    *sources.SUFFIXES,
    *(
        f"{name}{gz}"
        for name in (".data", ".dat", ".base", ".test", ".train")
        for gz in ("", ".gz")
    ),
)
LATEST_TIME, LARGEST_RATING = 1e18, 1e30


class Columns(NamedTuple):
    """Where each kind stands in a row, counted from 0; None for what there is not."""

    user: int
    item: int
    rating: int | None
    time: int | None


class _Names(Dict[str, int]):
    """A number for each name, blanks around it aside, as it came; NOBODY for a cell without one."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.by_name: dict[str, int] = {}

    def __missing__(self, cell: str) -> int:
        name = cell.strip()
        if not name:
            return NOBODY
        number = self.by_name.setdefault(name, len(self.names))
        if number == len(self.names):
            self.names.append(name)
        self[cell] = number
        return number

    def numbered(self, names: Array) -> Array:
        """Those of whole numbers as names, (N,)."""
        different, places = np.unique(names, return_inverse=True)
        numbers = [self[str(int(name))] for name in different.tolist()]
        found: Array = np.array(numbers, np.int32)[places]
        return found


class _Ratings(Dict[str, float]):
    """The number of each cell, NaN for a gap; those that come again are kept."""

    def __missing__(self, cell: str) -> float:
        value = math.nan if is_no_value(cell) else _rating(cell)
        if len(self) < MOST_KEPT:
            self[cell] = value
        return value


@dataclass
class Raw:
    """Interactions by names: ``users`` and ``items`` give each name its number, as it came.

    ``unrated`` rows without a rating are left out, the first of which is at ``first_unrated``.
    """

    users: _Names = field(default_factory=_Names)
    items: _Names = field(default_factory=_Names)
    ratings: _Ratings = field(default_factory=_Ratings)
    user: array[int] = field(default_factory=lambda: array("i"))
    item: array[int] = field(default_factory=lambda: array("i"))
    rating: array[float] = field(default_factory=lambda: array("f"))
    time: array[int] = field(default_factory=lambda: array("q"))
    note: str = ""
    unrated: int = 0
    first_unrated: str = ""

    def add_cells(
        self, columns: Sequence[Sequence[str]], found: Columns, lines: Sequence[int]
    ) -> None:
        """Rows of one width, column by column, which begin at ``lines``. Raises ValueError where
        one is none.
        """
        count = len(lines)
        user, item = (
            np.fromiter(map(names.__getitem__, columns[place]), np.int32, count)
            for names, place in ((self.users, found.user), (self.items, found.item))
        )
        if count and min(user.min(), item.min()) == NOBODY:
            raise ValueError("there is no user, or no item")
        rating, time = np.ones(count, np.float32), None
        if found.rating is not None:
            cells = map(self.ratings.__getitem__, columns[found.rating])
            rating = np.fromiter(cells, np.float32, count)
        if found.time is not None:
            time = _times(columns[found.time])
        kept = ~np.isnan(rating)
        if not kept.all():
            self.unrated += int((~kept).sum())
            self.first_unrated = self.first_unrated or f"line {lines[int(kept.argmin())]:,}"
            user, item, rating = user[kept], item[kept], rating[kept]
            time = None if time is None else time[kept]
        self._add(user, item, rating, time)

    def add_numbers(self, rows: Array, found: Columns) -> None:
        """``rows`` (N, W) float64, whose users and items are called by whole numbers. Raises
        ValueError where one is none.
        """
        user, item = (
            names.numbered(rows[:, place])
            for names, place in ((self.users, found.user), (self.items, found.item))
        )
        rating = np.ones(len(rows)) if found.rating is None else rows[:, found.rating]
        time = None if found.time is None else _seconds(rows[:, found.time])
        self._add(user, item, _finite(rating), time)

    def _add(self, user: Array, item: Array, rating: Array, time: Array | None) -> None:
        self.user.frombytes(user.astype(np.int32).tobytes())
        self.item.frombytes(item.astype(np.int32).tobytes())
        self.rating.frombytes(rating.astype(np.float32).tobytes())
        if time is not None:
            self.time.frombytes(time.tobytes())

    def cut(self, length: int) -> None:
        """Leave out what was added after the first ``length``."""
        for each in (self.user, self.item, self.rating, self.time):
            del each[length:]


@dataclass(frozen=True)
class Table:
    """A table as it lies in ``path``: its ``header``, empty where there is none; its first row and
    the ``line`` where that stands; and all rows in blocks, with the lines at which they begin. Of
    text, its ``form`` and what is between cells.
    """

    path: Path
    header: Sequence[str]
    first: Sequence[str]
    line: int
    blocks: Iterator[Block]
    form: encoding.TextForm | None = None
    delimiter: str = ""

    def rows(self) -> Iterator[Row]:
        """All rows that hold something, each with its line."""
        for lines, rows in self.blocks:
            yield from (row for row in zip(lines, rows) if any(cell.strip() for cell in row[1]))


def read(
    path: Path,
    columns: Mapping[str, str],
    *,
    explicit: bool,
    known: Mapping[str, Any] | None = None,
) -> Interactions:
    """The interactions at ``path``, in whichever of FORMATS it holds.

    ``columns`` names columns by kind, where the user decides it. ``known`` are the encoding of
    the training: other users and items are UNKNOWN. Raises DataError, which names the first faults
    by file and line.
    """
    files = [path]
    if path.is_dir():
        files = data_files(path, SUFFIXES)
    if not files:
        raise DataError(f"{path}: holds no interactions: expected {'; or '.join(FORMATS)}")
    raw, empty = Raw(), []
    for file in files:
        before = len(raw.user)
        _read(file, columns, raw, explicit)
        empty += [file] if len(raw.user) == before else []
    if len(empty) < len(files):
        check_empty(path, empty, len(files))
    if not raw.user:
        raise DataError(f"{path}: holds no interactions: expected {'; or '.join(FORMATS)}")
    return _numbered(raw, explicit, known)


def read_interactions(
    path: Path, *, explicit: bool = True, known: Mapping[str, Any] | None = None
) -> Interactions:
    """Who chose or rated what, in any of the common forms; columns are told by their headings, or
    stand as user, item, rating, time. Without ``explicit`` ratings do not count.

    ``known`` is the encoding of the training. Raises DataError, with the line of each fault.
    """
    return read(path, {}, explicit=explicit, known=known)


def _read(path: Path, columns: Mapping[str, str], raw: Raw, explicit: bool) -> None:
    pairs = _sparse(path)
    if pairs is not None:
        _read_sparse(path, pairs, raw)
        return
    table = opened(path, KINDS)
    if table is None:
        return
    found = _columns(table, columns)
    if explicit and found.rating is None:
        raise DataError(
            f"{path}: line {table.line}: no column of ratings is found: --rating-column names it; "
            "--feedback implicit learns from who chose what"
        )
    if table.header and headings() is None:  # by which later requests are taken
        matched(path, table.header, [], [found.user, found.item], False, False)
    raw.note = _said(table.header, found, len(table.first))
    if not explicit:
        found = found._replace(rating=None)  # a choice is one, whatever it was worth
    if _add_plain(table, found, raw):
        return
    faults = Faults(path)
    for lines, rows in table.blocks:
        try:
            raw.add_cells(_by_column(rows, len(table.first)), found, lines)
        except ValueError:
            whole = _whole_rows(zip(lines, rows), found, len(table.first), faults)
            if whole and not faults.count:
                kept, cells = zip(*whole)
                raw.add_cells(list(zip(*cells)), found, kept)
    faults.refuse()


def _add_plain(table: Table, found: Columns, raw: Raw) -> bool:
    """Whether ``table`` holds nothing but numbers, and so is added in one fifth of the time."""
    if table.form is None:
        return False
    before, names = len(raw.user), (found.user, found.item)
    try:
        for rows in plain_numbers.blocks(
            table.path, table.form, table.delimiter, table.line - 1, len(table.first), names
        ):
            raw.add_numbers(rows, found)
    except ValueError:
        raw.cut(before)
        return False
    return True


def _by_column(rows: Sequence[Sequence[str]], width: int) -> Sequence[Sequence[str]]:
    """Raises ValueError where a row has another width."""
    if set(map(len, rows)) != {width}:
        raise ValueError(f"not all rows have {width} columns")
    return list(zip(*rows))


def _whole_rows(rows: Iterable[Row], found: Columns, width: int, faults: Faults) -> list[Row]:
    """Those of ``rows`` that are not blank and hold what they should; what else, to ``faults``."""
    whole = []
    for line, row in rows:
        if not any(cell.strip() for cell in row):
            continue
        try:
            if len(row) != width:
                raise ValueError(f"{len(row)} columns, where the first line has {width}")
            for place, what in ((found.user, "user"), (found.item, "item")):
                if not row[place].strip():
                    raise ValueError(f"there is no {what}")
            if found.rating is not None and not is_no_value(row[found.rating]):
                _rating(row[found.rating])
            if found.time is not None:
                _time(row[found.time])
        except ValueError as error:
            faults.add(f"line {line}", error)
        else:
            whole.append((line, row))
    return whole


@dataclass
class Faults:
    """What is wrong in ``path``: the first of it, and how much."""

    path: Path
    told: list[str] = field(default_factory=list)
    count: int = 0

    def add(self, place: str, what: object) -> None:
        self.count += 1
        if len(self.told) < MAX_FAULTS:
            self.told.append(f"{self.path}: {place}: {what}")

    def refuse(self) -> None:
        """Raises DataError where there is anything."""
        if self.count:
            more = self.count - len(self.told)
            raise DataError(*self.told, *([f"and {more:,} more"] if more else []))


def _rating(cell: str) -> float:
    """Also ``4,5``. Raises ValueError."""
    try:
        value = float(cell)
    except ValueError:
        found = number_of(cell)
        found = number_of(cell, ",") if found is None else found
        if found is None:
            raise ValueError(f"the rating {cell[:40]!r} is no number") from None
        value = found
    if not abs(value) < LARGEST_RATING:
        raise ValueError(f"the rating {cell[:40]!r} is not finite")
    return value


def _finite(ratings: Array) -> Array:
    if not (np.abs(ratings) < LARGEST_RATING).all():
        raise ValueError("a rating is not finite")
    return ratings


def _times(cells: Sequence[str]) -> Array:
    """Times in seconds, (N,) int64, as ``_time`` has each."""
    try:
        values = np.fromiter(map(float, cells), np.float64, len(cells))
    except ValueError:
        return np.fromiter(map(_time, cells), np.int64, len(cells))
    return _seconds(values)


def _seconds(values: Array) -> Array:
    if not (np.abs(values) < LATEST_TIME).all():
        raise ValueError("a time is no number of seconds")
    return values.astype(np.int64)


def _time(cell: str) -> int:
    """A time in seconds: a number, or a date such as 2024-05-31 or 2024-05-31T12:00:00."""
    try:
        value = float(cell)
    except ValueError:
        try:
            return int(np.datetime64(cell.strip().rstrip("Z").replace(" ", "T"), "s").astype(int))
        except ValueError:
            raise ValueError(
                f"the time {cell[:40]!r} is neither a number nor a date such as 2024-05-31"
            ) from None
    if not abs(value) < LATEST_TIME:
        raise ValueError(f"the time {cell[:40]!r} is no number of seconds")
    return int(value)


def _sparse(path: Path) -> Iterator[tuple[str, float, Sequence[int]]] | None:
    """Of a file of sparse records where each stands, its label, and which numbers are not 0; None
    for any other file.
    """
    with opening.open_bytes(path) as stream:
        head = stream.read(opening.HEAD_BYTES)
    if head.startswith(recordio.MAGIC):
        return _records(path)
    if not tables.LIBSVM.match(head.decode("latin-1")):
        return None
    form = encoding.form_of(path, whole=False)
    return (
        (f"line {number}", label, sorted(index for index, value in found if value))
        for number, label, found in sources.libsvm_lines(path, form)
    )


def _records(path: Path) -> Iterator[tuple[str, float, Sequence[int]]]:
    with opening.open_bytes(path) as stream:
        found = protobuf.read_keys(stream, DataError, f"{path}: ")
        for number, (label, keys) in enumerate(found, 1):
            yield f"record {number}", label, keys.tolist()


def _read_sparse(path: Path, records: Iterator[tuple[str, float, Sequence[int]]], raw: Raw) -> None:
    """One-hot rows: the lower index is the user, the other one the item, by their numbers."""
    faults = Faults(path)
    for place, label, keys in records:
        if len(keys) != 2:
            what = "numbers are not 0, expected two: that of the user and that of the item"
            faults.add(place, f"{len(keys)} {what}")
            continue
        raw.user.append(raw.users[str(keys[0])])
        raw.item.append(raw.items[str(keys[1])])
        raw.rating.append(label)
    faults.refuse()
    raw.note = (
        "of the two numbers that are not 0 the first is the user's, the second the item's, and the "
        "label is the rating"
    )


def opened(path: Path, kinds: Sequence[str]) -> Table | None:
    """The table at ``path``; None where it holds no row.

    A first line is one of headings where it has one of those of ``kinds``, and of several kinds
    two; or where it can be nothing else.
    """
    header: Sequence[str] = ()
    form, delimiter = None, ""
    if sources.is_other(path):
        table = sources.read_table(path)
        header = table.names if table.has_names else ()
        blocks: Iterator[Block] = (
            (block.places, list(map(list, zip(*map(sources.as_texts, block.columns)))))
            for _, block in table.blocks(range(len(table.names)))
        )
    else:
        form = encoding.form_of(path, whole=True)
        delimiter, blocks = _text_blocks(path, form, kinds)
    whole = next((block for block in blocks if any(map(_is_filled, block[1]))), None)
    if whole is None:
        return None
    head = [(line, row) for line, row in zip(*whole) if _is_filled(row)]
    if not header and _is_header([row for _, row in head[:HEAD_ROWS]], kinds):
        header = tuple(cell.strip() for cell in head[0][1])
        start = 1 + next(at for at, row in enumerate(whole[1]) if _is_filled(row))
        whole = (whole[0][start:], whole[1][start:])
        head = head[1:]
    if not head:  # headings alone stood in the first block
        rest = list(blocks)
        head = [(line, row) for each in rest for line, row in zip(*each) if _is_filled(row)]
        blocks = iter(rest)
    if not head:
        return None
    line, first = head[0]
    return Table(path, header, first, line, itertools.chain([whole], blocks), form, delimiter)


def _is_filled(row: Sequence[str]) -> bool:
    return any(cell.strip() for cell in row)


def _text_blocks(
    path: Path, form: encoding.TextForm, kinds: Sequence[str]
) -> tuple[str, Iterator[Block]]:
    """What is between the cells of a table of text, and its rows."""
    start = next((line for _, line in encoding.lines(path, form) if line.strip()), "")
    if MOVIELENS in start and current().delimiter is None:
        return MOVIELENS, _of_movielens(path, form)
    names = [name for kind in kinds for name in NAMES[kind]]
    layout = tables.textual(path, form, names=names)
    return layout.delimiter, iter(layout.batches(BLOCK_ROWS))


def _of_movielens(path: Path, form: encoding.TextForm) -> Iterator[Block]:
    rows = encoding.lines(path, form)
    while True:
        some = list(itertools.islice(rows, BLOCK_ROWS))
        if not some:
            return
        yield [number for number, _ in some], [line.split(MOVIELENS) for _, line in some]


def _is_header(rows: Sequence[Sequence[str]], kinds: Sequence[str]) -> bool:
    decided = current().header
    if decided is not None:
        return decided
    names = {name for kind in kinds for name in NAMES[kind]}
    known = sum(cell.strip().lower() in names for cell in rows[0])
    return known >= min(2, len(kinds)) or (len(rows) > 1 and tables.are_names(rows))


def place_of(path: Path, kind: str, header: Sequence[str], width: int, column: str) -> int:
    """Where the names of ``kind`` stand: as it is decided, by the headings, or first."""
    if column:
        return _decided(path, kind, header, width, column)
    found = _by_heading(kind, header, ())
    return 0 if found is None else found


def _decided(path: Path, kind: str, header: Sequence[str], width: int, column: str) -> int:
    chosen = places(column, width, header, str(path), f"--{kind}-column")
    if len(chosen) != 1:
        raise DataError(f"{path}: --{kind}-column names one column, got {column!r}")
    return chosen[0]


def _by_heading(kind: str, header: Sequence[str], taken: Collection[int]) -> int | None:
    """The column whose heading is the first of those of ``kind``."""
    names, lower = NAMES[kind], [name.lower() for name in header]
    same = [i for i, name in enumerate(lower) if name in names and i not in taken]
    return min(same, key=lambda i: names.index(lower[i])) if same else None


def _columns(table: Table, given: Mapping[str, str]) -> Columns:
    """Where each kind stands: as it is decided, by the headings, or by place."""
    path, header, row = table.path, table.header, table.first
    found = {
        kind: _decided(path, kind, header, len(row), column)
        for kind, column in given.items()
        if column
    }
    for kind in KINDS:
        place = None if kind in found else _by_heading(kind, header, found.values())
        if place is not None:
            found[kind] = place
    if not header:
        for place, kind in enumerate(KINDS):
            if kind in found or place >= len(row) or place in found.values():
                continue
            if kind in ("user", "item") or is_number(row[place].strip()):
                found[kind] = place
    missing = [kind for kind in ("user", "item") if kind not in found]
    if missing:
        shown = ", ".join(map(repr, (header or row)[:10]))
        raise DataError(
            f"{path}: no column of {' and '.join(f'{kind}s' for kind in missing)} is found among "
            f"{shown}: "
            + " and ".join(f"--{kind}-column" for kind in missing)
            + (" name them" if len(missing) > 1 else " names it")
            + "; --header no, if the first line holds no headings" * bool(header)
        )
    if len(set(found.values())) < len(found):
        raise DataError(f"{path}: two of its columns are the same: {found}")
    return Columns(found["user"], found["item"], found.get("rating"), found.get("time"))


def _said(header: Sequence[str], found: Columns, width: int) -> str:
    parts = []
    for kind, place in zip(KINDS, found):
        if place is not None:
            name = repr(header[place]) if header else f"column {place + 1}"
            parts.append(f"{name} is the {kind}")
    unread = width - len(parts)
    more = f"; {unread} more column{'s are' if unread > 1 else ' is'} not read" if unread else ""
    return ", ".join(parts) + more


def _numbered(raw: Raw, explicit: bool, known: Mapping[str, Sequence[str]] | None) -> Interactions:
    """Interactions whose users and items are numbered in the order of their names."""
    counts: dict[str, int] = {}
    notes = [raw.note]
    if raw.unrated:
        counts["unrated"] = raw.unrated
        what = "row without a rating is" if raw.unrated == 1 else "rows without a rating are"
        notes.append(f"{raw.unrated:,} {what} left out (the first: {raw.first_unrated})")
    columns, names = [], {}
    for kind, numbers, by_name in (
        ("users", raw.user, raw.users), ("items", raw.item, raw.items)
    ):  # fmt: skip
        ordered = _ordered(by_name.names) if known is None else known[kind]
        number = {name: place for place, name in enumerate(ordered, 1)}
        table = np.array([number.get(name, UNKNOWN) for name in by_name.names], np.int32)
        columns.append(table[np.frombuffer(numbers, np.int32)])
        names[kind] = ordered
        unknown = int((table == UNKNOWN).sum())
        if unknown:
            counts[f"unknown_{kind}"] = unknown
            notes.append(f"{unknown:,} of {len(table):,} {kind} are not of the training")
    pairs = np.stack(columns, axis=1)
    ratings = np.frombuffer(raw.rating, np.float32).copy()
    times = np.frombuffer(raw.time, np.int64).copy() if raw.time else None
    if not explicit:
        pairs, ratings, times, again = _once(pairs, ratings, times)
        if again:
            counts["repeated"] = again
            notes.append(f"{again:,} that repeat a user and an item count once, the last")
    if known is None:
        notes.append(f"{len(names['users']):,} users, {len(names['items']):,} items")
    encoding: dict[str, Any] = {"users": names["users"], "items": names["items"]}
    if explicit:
        encoding["scale"] = [float(ratings.min()), float(ratings.max())]
    return Interactions(pairs, ratings, known or encoding, times, "; ".join(notes), counts)


def _ordered(names: Sequence[str]) -> list[str]:
    """Names in their order, by number where all are numbers."""
    if all(name.isdecimal() and len(name) < 16 for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def _once(
    pairs: Array, ratings: Array, times: Array | None
) -> tuple[Array, Array, Array | None, int]:
    """Each pair once, the last by time, and how many are left out; UNKNOWN ones are all kept."""
    order = np.arange(len(pairs)) if times is None else np.argsort(times, kind="stable")
    keys = pairs[order, 0].astype(np.int64) << 32 | pairs[order, 1]
    _, first = np.unique(keys[::-1], return_index=True)
    chosen = np.zeros(len(pairs), bool)
    chosen[order[len(keys) - 1 - first]] = True
    chosen |= (pairs == UNKNOWN).any(axis=1)
    kept = np.flatnonzero(chosen)
    left_out = len(pairs) - len(kept)
    return pairs[kept], ratings[kept], None if times is None else times[kept], left_out
