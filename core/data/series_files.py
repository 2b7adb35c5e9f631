"""Series from files, in whichever common form they come."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Sequence

import numpy as np

from ..runtime.errors import DataError
from ..runtime.faults import quoted
from ..runtime.types import Array
from . import encoding, opening, reading, series_records, sources, steps
from .files import check_empty, data_files
from .frequencies import Frequency
from .interaction_tables import Faults
from .series import ManySeries, Series, numbers_of
from .series_columns import TOLD, Columns
from .series_tables import TableOfSeries, Values, read_series_table
from .stamps import Found

FORMATS = (
    "JSON lines as DeepAR takes them (gz or not), such as "
    '{"start": "2024-05-31 00:00:00", "target": [4, "NaN", 5], "cat": [0]}, or Parquet alike',
    "CSV or TSV (gz or not), Parquet or Excel with a row for each value: its series, time, number",
    "the same with a column of times and a column for each series, or with a row for each series",
    "a folder of such files",
)
JSON_SUFFIXES = tuple(
    f"{name}{gz}" for name in (".json", ".jsonl", ".jsonlines", ".ndjson") for gz in ("", ".gz")
)
SUFFIXES = (*sources.SUFFIXES, *JSON_SUFFIXES)
CLOCK = "utc_offset"  # of the encoding: seconds by which the clock of tables is before UTC
AUTO, MEAN, SUM, FIRST, LAST = "auto", "mean", "sum", "first", "last"
FEW = 0.05  # of the values share a step with another one by mistake
MOST_GAPS = 200  # steps for each value: beyond that, the frequency is not meant
SMALL = 100_000  # steps of all series, for which that does not matter
CLOCK_MONTHS, CLOCK_HOURS = (3, 4, 10, 11), 4  # when clocks are set back, in one half or the other
MOSTLY = 0.9  # of the values are whole and not negative, as counts are
LEAST = 2  # values of a series from which anything is to be learned


@dataclass
class _Said:
    """What is to be said of the reading: sentences, and the figures in them by name."""

    notes: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, count: int, one: str, many: str) -> None:
        """A figure, where it is not 0."""
        if count:
            self.counts[name] = count
            self.notes.append(f"{count:,} {one if count == 1 else many}")


def read_series(
    path: Path,
    *,
    time_freq: str = "",
    columns: Columns = TOLD,
    aggregate: str = AUTO,
    known: Mapping[str, Any] | None = None,
) -> ManySeries:
    """The series at ``path``, in whichever of FORMATS it holds.

    ``time_freq`` is their frequency, where the user decides it, ``columns`` which columns of a
    table say what, ``aggregate`` what becomes of several values of one step: their mean, sum, the
    first or the last, or by "auto" the mean where they are few. ``known`` is the encoding of the
    training. Raises DataError, which names the first faults by file and line.
    """
    files = data_files(path, SUFFIXES) if path.is_dir() else [path]
    filled = [file for file in files if file.stat().st_size]
    if not filled:
        raise DataError(f"{path}: holds no series: expected {'; or '.join(FORMATS)}")
    check_empty(path, [file for file in files if file not in filled], len(files))
    given = known["frequency"] if known is not None else time_freq
    kinds = {holds_records(file) for file in filled}
    if len(kinds) > 1:
        raise DataError(
            f"{path}: some of its files hold a series a line in JSON, others are tables: give "
            "files of one form"
        )
    said, table = _Said(), None
    if kinds == {True}:
        frequency = _given(path, given)
        series = list(_of_records(filled, frequency))
    else:
        table = read_series_table(path, columns, (known or {}).get(CLOCK))
        said.notes += table.notes
        series, frequency = _of_table(path, table, given, aggregate, said)
    empty = [each for each in series if not np.isfinite(each.target).any()]
    kept = [each for each in series if np.isfinite(each.target).any()]
    said.add(
        "empty_series", len(empty), "series without a value is left out",
        "series without a value are left out",
    )  # fmt: skip
    if not kept:
        raise DataError(f"{path}: holds no series with a value: expected {'; or '.join(FORMATS)}")
    encoded = known
    if encoded is None:
        encoded = _encoding(kept, frequency, table.features if table is not None else ())
        if table is not None and table.offset is not None:
            encoded[CLOCK] = table.offset
    check_like(kept, encoded, str(path))
    _describe(kept, said)
    undated = sum(each.start is None for each in kept)
    said.add(
        "without_start", undated, "series does not say when it begins, and so nothing of the "
        "calendar", "series do not say when they begin, and so nothing of the calendar",
    )  # fmt: skip
    if known is not None:
        new = sum(0 in numbers_of(each.categories, encoded) for each in kept)
        said.add(
            "unknown_categories", new, "series has a category that the training did not have",
            "series have a category that the training did not have",
        )  # fmt: skip
    return ManySeries(kept, encoded, "; ".join(said.notes), said.counts)


def is_lined(path: Path) -> bool:
    """Whether a file holds a record of JSON a line, be its name that of JSON or of its lines."""
    return _head_of(path)[:1] == b"{" and not is_document(path)


def is_document(path: Path) -> bool:
    """Whether a file holds one document of JSON: a list, an object over several lines, or one with
    instances.
    """
    head = _head_of(path)
    first, _, _ = head.partition(b"\n")
    if first[:1] == b"[":
        return True
    return first[:1] == b"{" and (first.strip() == b"{" or b'"instances"' in first)


def _head_of(path: Path) -> bytes:
    """How a file begins, without a mark and blanks."""
    with opening.open_bytes(path) as stream:
        return stream.read(opening.HEAD_BYTES).lstrip(b"\xef\xbb\xbf \t\r\n")


def asked_lines(path: Path) -> Callable[[], Iterator[bytes]]:
    """What makes lines of JSON, a record each, of the series in a table. Raises DataError."""
    if holds_records(path):

        def parquet() -> Iterator[bytes]:
            for _, record in _of_parquet(path):
                yield _line({key: value for key, value in record.items() if value is not None})

        return parquet
    table = read_series_table(path)
    for note in table.notes:
        reading.note(note, path)

    def lines() -> Iterator[bytes]:
        for series, times in table.each():
            yield _line(_record_of(series, times))

    return lines


def _line(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record).encode() + b"\n"


def _record_of(series: Series, times: Found) -> dict[str, Any]:
    """As JSON that ``series_records`` reads."""
    found: dict[str, Any] = {series_records.NAME: series.name}
    if times.counted:
        found[series_records.TIMES] = times.seconds.tolist()
    else:
        written = np.datetime_as_string(times.seconds.astype("datetime64[s]"))
        found[series_records.TIMES] = [each.replace("T", " ") for each in written.tolist()]
    found[series_records.TARGET] = _with_nulls(series.target)
    if series.categories:
        found[series_records.CATEGORIES] = list(series.categories)
    if len(series.features):
        found[series_records.FEATURES] = [_with_nulls(row) for row in series.features]
    return found


def _with_nulls(values: Array) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]


def holds_records(path: Path) -> bool:
    """Whether a file holds records of JSON, or of Parquet with the columns of DeepAR."""
    head = _head_of(path)
    if not head.startswith(sources.PARQUET):
        return head[:1] in (b"{", b"[")
    parquet = sources.library("pyarrow.parquet", "Parquet")
    try:
        names = set(parquet.read_schema(path).names)
    except Exception:  # it is damaged, which is said by who reads it
        return False
    return {series_records.START, series_records.TARGET} <= names


def _given(path: Path, given: str) -> Frequency:
    if given:
        return Frequency.parse(given)
    raise DataError(
        f"{path}: how far the values of its series are apart is not told: --time-freq says it, as "
        "--time-freq H of hours, 15min, D, B (business days), W, M, Q or Y"
    )


# Records


def _of_records(files: Sequence[Path], frequency: Frequency) -> Iterator[Series]:
    number = 0
    for file in files:
        faults = Faults(file)
        for place, record in _records(file, faults):
            number += 1
            try:
                found, times = series_records.record_of(record, f"series {number}")
                if times is not None and not faults.count:
                    found = in_steps(found, times, frequency)
            except series_records.RecordError as error:
                for fault in error.faults:
                    faults.add(place, fault)
            except ValueError as error:
                faults.add(place, error)
            else:
                if not faults.count:
                    yield found
        faults.refuse()


def _records(path: Path, faults: Faults) -> Iterator[tuple[str, Any]]:
    """Each record, and where it stands."""
    if _head_of(path).startswith(sources.PARQUET):
        yield from _of_parquet(path)
        return
    form = encoding.form_of(path, whole=False)
    if is_document(path):
        yield from _of_document(path, form, faults)
        return
    for number, line in encoding.lines(path, form):
        if not line.strip():
            continue
        try:
            yield f"line {number}", json.loads(line)
        except (ValueError, RecursionError) as error:
            faults.add(f"line {number}", f"is no JSON: {str(error)[:100]}")


def _of_document(path: Path, form: encoding.TextForm, faults: Faults) -> Iterator[tuple[str, Any]]:
    """Of one document over several lines: a list of records, or one."""
    try:
        found = json.loads("\n".join(line for _, line in encoding.lines(path, form)))
    except (ValueError, RecursionError) as error:
        faults.add("JSON", f"does not parse: {str(error)[:100]}")
        return
    listed = found.get("instances", [found]) if isinstance(found, dict) else found
    yield from ((f"series {number}", each) for number, each in enumerate(listed, 1))


def _of_parquet(path: Path) -> Iterator[tuple[str, Any]]:
    parquet = sources.library("pyarrow.parquet", "Parquet")
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(1024):
                for record in batch.to_pylist():
                    number += 1
                    start = record.get(series_records.START)
                    if start is not None:
                        record[series_records.START] = str(start)
                    yield f"row {number}", record
    except (sources.library("pyarrow", "Parquet").ArrowException, OSError) as error:
        raise DataError(f"{path}: is no readable Parquet file: {str(error)[:200]}") from None


def in_steps(series: Series, times: Found, frequency: Frequency) -> Series:
    """``series`` whose values are of ``times``, in steps of ``frequency``: those that share one
    become their mean. Raises ValueError where nearly all steps would be gaps.
    """
    if not len(series):
        return series
    order = np.argsort(times.seconds, kind="stable")
    seconds = times.seconds[order]
    places = seconds - seconds[0]
    start = None
    if not times.counted:
        placed = steps.placed(np.zeros(len(seconds), np.int64), seconds, frequency)
        places, start = placed.steps, np.datetime64(int(placed.starts[0]), "s")
    length = int(places[-1]) + 1
    if length > SMALL and length > MOST_GAPS * len(places):
        raise ValueError(
            f"from {_written(seconds[0], times.counted)} to {_written(seconds[-1], times.counted)} "
            f"there are {length:,} steps of {frequency}, nearly all of them without a value"
        )
    first = np.flatnonzero(np.append(True, places[1:] != places[:-1]))
    target = np.full(length, np.nan)
    target[places[first]] = _reduced(series.target[order], first, False)
    features = np.full((len(series.features), length), np.nan, np.float32)
    for row, given in zip(features, series.features):
        row[places[first]] = _reduced(given[order].astype(np.float64), first, False)
    return replace(series, start=start, target=target, features=features)


# Tables


def _of_table(
    path: Path, table: TableOfSeries, given: str, aggregate: str, said: _Said
) -> tuple[list[Series], Frequency]:
    values = table.values
    frequency = _frequency(path, table, given, said)
    said.add(
        "unsorted", table.unsorted, "value stands before an earlier one of its series: all are "
        "taken in the order of time", "values stand before an earlier one of their series: all are "
        "taken in the order of time",
    )  # fmt: skip
    if table.counted:
        placed = _by_number(values)
    elif given and aggregate != AUTO:
        placed = steps.gathered(values.series, values.seconds, frequency)
    else:
        placed = steps.placed(values.series, values.seconds, frequency)
    said.add(
        "off_step", placed.off, f"time is between two steps of {frequency}, and taken to the "
        "nearest", f"times are between two steps of {frequency}, and taken to the nearest",
    )  # fmt: skip
    kept, once = _one_a_step(path, table, placed.steps, aggregate, frequency, said)
    return _laid_out(path, table, placed.starts, kept, once, frequency), frequency


def _frequency(path: Path, table: TableOfSeries, given: str, said: _Said) -> Frequency:
    if table.counted:
        return _given(path, given)
    try:
        found = steps.detected(table.values.series, table.values.seconds)
    except ValueError as error:
        if given:
            return Frequency.parse(given)
        raise DataError(
            f"{path}: {error}: --time-freq names their frequency, such as 15min, H, D, W or M; "
            "with --aggregate mean (sum, first, last) times that are nearer are taken together"
        ) from None
    if not given:
        said.notes.append(f"their frequency is {found}, by their times (--time-freq decides)")
        return found
    decided = Frequency.parse(given)
    start = np.zeros(1, np.int64)
    later = found.times(np.datetime64(0, "s"), 1, 1).astype(np.int64)
    if steps.steps_since(decided, start, later)[0] > 1:
        said.notes.append(f"its times are {found} apart, not {decided}: what is between is missing")
    return decided


def _by_number(values: Values) -> steps.Placed:
    """Of series whose times are numbers that count."""
    first = np.flatnonzero(np.append(True, values.series[1:] != values.series[:-1]))
    starts = values.seconds[first]
    counts = np.diff(np.append(first, len(values.series)))
    return steps.Placed(values.seconds - np.repeat(starts, counts), starts, 0)


def _one_a_step(
    path: Path,
    table: TableOfSeries,
    places: Array,
    aggregate: str,
    frequency: Frequency,
    said: _Said,
) -> tuple[Values, Array]:
    """The values of which each step has one, and their ``places``, the number of the step."""
    values = table.values
    again = np.append(
        False, (values.series[1:] == values.series[:-1]) & (places[1:] == places[:-1])
    )
    count = int(again.sum())
    if not count:
        return values, places
    if aggregate == AUTO and count > FEW * len(again):
        raise DataError(_shared(path, table, int(np.argmax(again)), count, frequency))
    first = np.flatnonzero(~again)
    if aggregate in (FIRST, LAST):
        chosen = first if aggregate == FIRST else np.append(first[1:], len(again)) - 1
        target = values.target[chosen]
    else:
        target = _reduced(values.target, first, aggregate == SUM)
    features = [_reduced(row.astype(np.float64), first, False) for row in values.features]
    how = MEAN if aggregate == AUTO else aggregate
    said.add(
        "repeated", count, f"value shares its step with another one, and the {how} is taken",
        f"values share their step with another one, and the {how} is taken",
    )  # fmt: skip
    turned = _when_clocks_turn(values.seconds[again]) if frequency.unit in ("min", "H") else 0
    if aggregate == AUTO and 2 * turned > count:
        said.counts["clock_set_back"] = turned
        said.notes[-1] += f" ({turned:,} of them at night when clocks are set back)"
    array = np.array(features, np.float32).reshape(-1, len(first))
    return Values(values.series[first], values.seconds[first], target, array), places[first]


def _shared(path: Path, table: TableOfSeries, at: int, count: int, frequency: Frequency) -> str:
    """Why so many values share a step, and what to do."""
    name = quoted(table.names[int(table.values.series[at])])
    when = _written(table.values.seconds[at], table.counted)
    advice = "--aggregate mean (or sum, first, last) says what becomes of them"
    if not table.by_series and not table.is_wide:
        advice = f"--series-column names the column that says whose each value is; or {advice}"
    return (
        f"{path}: {count:,} of {len(table.values.target):,} values share their step of {frequency} "
        f"with another one of their series (the first: {name}, {when}): {advice}"
    )


def _written(seconds: int, counted: bool) -> str:
    if counted:
        return f"step {int(seconds):,}"
    return str(np.datetime64(int(seconds), "s")).replace("T", " ")


def _reduced(values: Array, first: Array, summed: bool) -> Array:
    """The mean or the sum of the values of each step that are known; NaN where none is."""
    known = np.isfinite(values)
    sums = np.add.reduceat(np.where(known, values, 0), first)
    counts = np.add.reduceat(known.astype(np.float64), first)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = np.where(counts > 0, sums if summed else sums / counts, np.nan)
    return found


def _when_clocks_turn(seconds: Array) -> int:
    """How many are in the night of a Sunday, in the months in which clocks are set back."""
    months = seconds.astype("datetime64[s]").astype("datetime64[M]").astype(np.int64) % 12 + 1
    sunday = (seconds // steps.DAY + 3) % 7 == 6
    night = seconds % steps.DAY < CLOCK_HOURS * steps.HOUR
    return int((sunday & night & np.isin(months, CLOCK_MONTHS)).sum())


def _laid_out(
    path: Path,
    table: TableOfSeries,
    starts: Array,
    values: Values,
    places: Array,
    frequency: Frequency,
) -> list[Series]:
    """The series with a value or a gap for each step."""
    first = np.flatnonzero(np.append(True, values.series[1:] != values.series[:-1]))
    ends = np.append(first[1:], len(places))
    lengths = places[ends - 1] + 1
    total = int(lengths.sum())
    if total > SMALL and total > MOST_GAPS * len(places):
        worst = int(np.argmax(lengths - (ends - first)))
        raise DataError(
            f"{path}: with steps of {frequency} its {len(places):,} values are among {total:,} "
            f"steps, nearly all of them gaps (series "
            f"{quoted(table.names[int(values.series[first[worst]])])}: {lengths[worst]:,}): "
            "--time-freq names a longer step; a time may also be wrong by years"
        )
    found = []
    for begin, end, start, length in zip(
        first.tolist(), ends.tolist(), starts.tolist(), lengths.tolist()
    ):
        at, part = places[begin:end], values.at(slice(begin, end))
        target = np.full(length, np.nan)
        target[at] = part.target
        features = np.full((len(part.features), length), np.nan, np.float32)
        features[:, at] = part.features
        number = int(part.series[0])
        when = None if table.counted else np.datetime64(start, "s")
        if table.is_wide:
            target, features, when = _trimmed(target, features, when, frequency)
        found.append(Series(table.names[number], when, target, table.categories[number], features))
    return found


def _trimmed(
    target: Array, features: Array, start: np.datetime64 | None, frequency: Frequency
) -> tuple[Array, Array, np.datetime64 | None]:
    """Without the gaps at both ends, where other series have values."""
    known = np.flatnonzero(np.isfinite(target))
    if not len(known):
        return target, features, start
    begin, end = int(known[0]), int(known[-1]) + 1
    if start is not None and begin:
        start = frequency.times(start, begin, 1)[0]
    return target[begin:end], features[:, begin:end], start


# All series together


def _encoding(
    series: Sequence[Series], frequency: Frequency, names: Sequence[str]
) -> dict[str, Any]:
    """By the first series, which the others have to be like; ``names`` are those of features."""
    first = series[0]
    categories = [
        _ordered({each.categories[place] for each in series if len(each.categories) > place})
        for place in range(len(first.categories))
    ]
    features = list(names) or [str(number) for number in range(1, 1 + len(first.features))]
    return {"frequency": str(frequency), "categories": categories, "features": features}


def _ordered(names: Sequence[str] | set[str]) -> list[str]:
    """Names in their order, by number where all are whole ones."""
    if all(name.isdecimal() and len(name) < 16 for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def alike(encodings: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """``encodings`` with the categories of all of them, and the clock that is least before UTC,
    that of winter. Raises DataError where their categories or features are not as many, or others.
    """
    for what in ("categories", "features"):
        found = [each[what] for each in encodings]
        shown = [len(each) if what == "categories" else each for each in found]
        if any(each != shown[0] for each in shown):
            raise DataError(
                f"the hosts' series have unlike {what} ({' and '.join(map(str, shown[:4]))}): give "
                "all hosts data of one form"
            )
    categories = [
        _ordered({name for names in place for name in names})
        for place in zip(*(each["categories"] for each in encodings))
    ]
    clocks = [each[CLOCK] for each in encodings if CLOCK in each]
    clock = {CLOCK: min(clocks)} if clocks else {}
    return [{**each, "categories": categories, **clock} for each in encodings]


def check_like(series: Sequence[Series], encoded: Mapping[str, Any], source: str) -> None:
    """Raises DataError where series have other categories or features than ``encoded`` says."""
    categories, features = len(encoded["categories"]), len(encoded["features"])
    told: list[str] = []
    for each in series:
        found = (len(each.categories), len(each.features))
        for what, expected, has in (
            ("categories (cat)", categories, found[0]),
            ("features (dynamic_feat)", features, found[1]),
        ):
            if has != expected:
                told.append(
                    f"{source}: series {quoted(each.name)} has {has} {what}, expected {expected}, "
                    "as in the training" + " and all its series" * (series[0] is not each)
                )
    if told:
        more = len(told) - 10
        raise DataError(*told[:10], *([f"and {more:,} more"] if more > 0 else []))


def _describe(series: Sequence[Series], said: _Said) -> None:
    """What series hold that people may not expect."""
    missing = total = constant = zeros = short = negative = whole = known = 0
    for each in series:
        found = each.target[np.isfinite(each.target)]
        total += len(each)
        missing += len(each) - len(found)
        known += len(found)
        negative += int((found < 0).sum())
        whole += int((found == np.floor(found)).sum())
        if len(found) < LEAST:
            short += 1
        elif not found.any():
            zeros += 1
        elif (found == found[0]).all():
            constant += 1
    said.notes.append(f"{total:,} steps")
    said.add("missing", missing, "of them has no value", "of them have no value")
    said.add("single_value", short, "series has one value", "series have one value")
    said.add("all_zero", zeros, "series is 0 throughout", "series are 0 throughout")
    said.add("constant", constant, "series is constant", "series are constant")
    if negative and whole == known and negative < (1 - MOSTLY) * known:
        said.add(
            "negative", negative, "value is negative, though all are whole, as counts are",
            "values are negative, though all are whole, as counts are",
        )  # fmt: skip
