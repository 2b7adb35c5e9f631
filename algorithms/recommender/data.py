"""Interactions from files, in whichever common form they come."""

from __future__ import annotations

import itertools
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Collection, Iterator, Mapping, NamedTuple, Sequence

import numpy as np

from ...core import Array, DataError, recordio_protobuf
from ...core.data import encoding, opening, recordio, sources, tables
from ...core.data.cells import is_number
from ...core.data.files import check_empty, data_files
from ...core.data.interactions import UNKNOWN, Interactions
from ...core.data.reading import current, headings, matched, places
from ...core.data.tables import Row
from ...core.runtime.faults import MAX_FAULTS

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
SUFFIXES = (
    *sources.SUFFIXES,
    *(
        f"{name}{gz}"
        for name in (".data", ".dat", ".base", ".test", ".train")
        for gz in ("", ".gz")
    ),
)
LATEST_SECOND = 10**11  # a greater number is a time in milliseconds


class Columns(NamedTuple):
    """Where each kind stands in a row, counted from 0; None for what there is not."""

    user: int
    item: int
    rating: int | None
    time: int | None


@dataclass
class Raw:
    """Interactions by names: ``users`` and ``items`` give each name its number, as it came."""

    users: dict[str, int] = field(default_factory=dict)
    items: dict[str, int] = field(default_factory=dict)
    user: array[int] = field(default_factory=lambda: array("i"))
    item: array[int] = field(default_factory=lambda: array("i"))
    rating: array[float] = field(default_factory=lambda: array("f"))
    time: array[int] = field(default_factory=lambda: array("q"))
    note: str = ""


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


def _read(path: Path, columns: Mapping[str, str], raw: Raw, explicit: bool) -> None:
    pairs = _sparse(path)
    if pairs is not None:
        _read_sparse(path, pairs, raw)
        return
    rows, header, first = rows_of(path, KINDS)
    if first is None:
        return
    found = _columns(path, header, first[1], columns)
    if explicit and found.rating is None:
        raise DataError(
            f"{path}: line {first[0]}: no column of ratings is found: --rating-column names it; "
            "--feedback implicit learns from who chose what"
        )
    if header and headings() is None:  # by which later requests are taken
        matched(path, header, [], [found.user, found.item], False, False)
    raw.note = _said(header, found, len(first[1]))
    width, faults = len(first[1]), 0
    told: list[str] = []
    users, items = raw.users, raw.items
    for number, row in rows:
        if not row or (len(row) == 1 and not row[0].strip()):
            continue
        try:
            if len(row) != width:
                raise ValueError(f"{len(row)} columns, where the first line has {width}")
            user, item = row[found.user].strip(), row[found.item].strip()
            if not user or not item:
                raise ValueError("there is no user" if not user else "there is no item")
            rating = 1.0 if found.rating is None else _rating(row[found.rating], explicit)
            time = 0 if found.time is None else _time(row[found.time])
        except ValueError as error:
            faults += 1
            if len(told) < MAX_FAULTS:
                told.append(f"{path}: line {number}: {error}")
            continue
        raw.user.append(users.setdefault(user, len(users)))
        raw.item.append(items.setdefault(item, len(items)))
        raw.rating.append(rating)
        if found.time is not None:
            raw.time.append(time)
    if faults:
        raise DataError(*told, *([f"and {faults - len(told):,} more"] * (faults > len(told))))


def _rating(cell: str, explicit: bool) -> float:
    try:
        value = float(cell)
    except ValueError:
        raise ValueError(f"the rating {cell[:40]!r} is no number") from None
    if not abs(value) < 1e30:
        raise ValueError(f"the rating {cell[:40]!r} is not finite")
    return value


def _time(cell: str) -> int:
    """A time in seconds: a number, or a date such as 2024-05-31 or 2024-05-31T12:00:00."""
    try:
        value = float(cell)
    except ValueError:
        try:
            return int(np.datetime64(cell.strip().rstrip("Z").replace(" ", "T"), "s").astype(int))
        except ValueError:
            raise ValueError(f"the time {cell[:40]!r} is neither a number nor a date") from None
    if not abs(value) < 1e18:
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
        found = recordio_protobuf.read_keys(stream, DataError, f"{path}: ")
        for number, (label, keys) in enumerate(found, 1):
            yield f"record {number}", label, keys.tolist()


def _read_sparse(path: Path, records: Iterator[tuple[str, float, Sequence[int]]], raw: Raw) -> None:
    """One-hot rows: the lower index is the user, the other one the item, by their numbers."""
    faults = 0
    told: list[str] = []
    for place, label, keys in records:
        if len(keys) != 2:
            faults += 1
            if len(told) < MAX_FAULTS:
                told.append(
                    f"{path}: {place}: {len(keys)} numbers are not 0, expected two: that of the "
                    "user and that of the item"
                )
            continue
        user, item = map(str, keys)
        raw.user.append(raw.users.setdefault(user, len(raw.users)))
        raw.item.append(raw.items.setdefault(item, len(raw.items)))
        raw.rating.append(label)
    if faults:
        raise DataError(*told, *([f"and {faults - len(told):,} more"] * (faults > len(told))))
    raw.note = (
        "of the two numbers that are not 0 the first is the user's, the second the item's, and the "
        "label is the rating"
    )


def rows_of(path: Path, kinds: Sequence[str]) -> tuple[Iterator[Row], Sequence[str], Row | None]:
    """The rows of a table with the numbers of their lines, the headings, and the first row.

    A first line is one of headings where it has one of those of ``kinds``, and of several kinds
    two.
    """
    rows: Iterator[Row]
    if sources.is_other(path):
        table = sources.read_table(path)
        rows = (
            (place, list(cells))
            for _, block in table.blocks(range(len(table.names)))
            for place, cells in zip(block.places, zip(*map(sources.as_texts, block.columns)))
        )
        first = next(rows, None)
        header = table.names if table.has_names else ()
        return itertools.chain([] if first is None else [first], rows), header, first
    form = encoding.form_of(path, whole=True)
    start = next((line for _, line in encoding.lines(path, form) if line.strip()), "")
    if "::" in start and current().delimiter is None:  # as MovieLens-1M and -10M are written
        rows = ((number, line.split("::")) for number, line in encoding.lines(path, form))
    else:
        names = [name for kind in kinds for name in NAMES[kind]]
        rows = tables.textual(path, form, names=names).rows()
    filled = ((number, row) for number, row in rows if any(cell.strip() for cell in row))
    first = next(filled, None)
    if first is None or not _is_header(first[1], kinds):
        return itertools.chain([] if first is None else [first], filled), (), first
    header = tuple(cell.strip() for cell in first[1])
    first = next(filled, None)
    return itertools.chain([] if first is None else [first], filled), header, first


def _is_header(row: Sequence[str], kinds: Sequence[str]) -> bool:
    decided = current().header
    if decided is not None:
        return decided
    names = {name for kind in kinds for name in NAMES[kind]}
    return sum(cell.strip().lower() in names for cell in row) >= min(2, len(kinds))


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


def _columns(
    path: Path, header: Sequence[str], row: Sequence[str], given: Mapping[str, str]
) -> Columns:
    """Where each kind stands: as it is decided, by the headings, or by place."""
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
    columns, names = [], {}
    for kind, numbers, by_name in (
        ("users", raw.user, raw.users), ("items", raw.item, raw.items)
    ):  # fmt: skip
        ordered = _ordered(by_name) if known is None else known[kind]
        number = {name: place for place, name in enumerate(ordered, 1)}
        table = np.array([number.get(name, UNKNOWN) for name in by_name], np.int32)
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


def _ordered(names: Mapping[str, int]) -> list[str]:
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
