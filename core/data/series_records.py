"""A series as one record of JSON, as DeepAR and GluonTS write it, in files and in requests.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/deepar.html#deepar-inputoutput
"""

from __future__ import annotations

from typing import Any, Iterator, Mapping, NamedTuple, Sequence

import numpy as np

from ..runtime.faults import quoted
from ..runtime.types import Array
from . import stamps
from .cells import is_no_value
from .numbers import FLOAT32_LIMIT
from .series import Series

START, TARGET, CATEGORIES, FEATURES, NAME = "start", "target", "cat", "dynamic_feat", "item_id"
TIMES = "times"  # of each value, in place of start, where some of the steps have none
# As GluonTS calls them, and others.
NAMES: Mapping[str, str] = {
    **{name: name for name in (START, TIMES, TARGET, CATEGORIES, FEATURES, NAME)},
    "feat_static_cat": CATEGORIES, "feat_dynamic_real": FEATURES, "id": NAME, "unique_id": NAME,
    "name": NAME, "series_id": NAME,
}  # fmt: skip
FORM = '{"start": "2024-05-31 00:00:00", "target": [4, null, 5.5]}'
MOST_CATEGORIES, MOST_FEATURES = 100, 1000
LONGEST_NAME = 1000


class RecordError(ValueError):
    """What is wrong with a record, all of it."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = list(faults)


class Record(NamedTuple):
    """A series as a record has it; ``times`` where it tells that of each value, which may be no
    step after the one before.
    """

    series: Series
    times: stamps.Found | None


def record_of(record: Any, name: str, *, asked: bool = False) -> Record:
    """The series that a record holds, called ``name`` where it has no name of its own.

    Features have a number for each value of the target; where the series is ``asked`` about, also
    for the steps to be forecast, which are counted by who knows how many these are. Raises
    RecordError.
    """
    if not isinstance(record, dict):
        raise RecordError([f"expected a series such as {FORM}, got {_shown(record)}"])
    found = {NAMES[key]: value for key, value in record.items() if key in NAMES}
    faults = [f"{key} and {NAMES[key]} are the same" for key in _twice(record)]
    if TARGET not in found:
        raise RecordError([*faults, f"there is no 'target': expected {FORM}"])
    start = _start(found.get(START), faults)
    target = _numbers(found[TARGET], TARGET, faults)
    times = _times(found.get(TIMES), target, faults)
    categories = _categories(found.get(CATEGORIES), faults)
    features = _features(found.get(FEATURES), faults)
    if NAME in found:
        name = _name(found[NAME], faults)
    if target is not None and features and not asked:
        _check_lengths(features, len(target), "as target has", faults)
    elif features:
        _check_lengths(features[1:], len(features[0]), "as the first has", faults)
    if faults:
        raise RecordError(faults)
    assert target is not None
    array = np.array(features, np.float32) if features else np.zeros((0, len(target)), np.float32)
    return Record(Series(name, start, target, categories, array), times)


def _check_lengths(features: Sequence[Array], length: int, why: str, faults: list[str]) -> None:
    for row in features:
        if len(row) != length:
            faults.append(f"dynamic_feat has {len(row):,} numbers, expected {length:,}, {why}")
            return


def _times(value: Any, target: Array | None, faults: list[str]) -> stamps.Found | None:
    if value is None:
        return None
    if not isinstance(value, list) or (target is not None and len(value) != len(target)):
        faults.append("times: expected a list with a time for each value of target")
        return None
    column = stamps.Stamps()
    column.add(["" if each is None else str(each) for each in value], range(1, 1 + len(value)), 1)
    if column.faults:
        place, cell = column.faults[0]
        faults.append(f"times: element {place}: expected {stamps.EXPECTED}, got {quoted(cell)}")
        return None
    try:
        return column.found() if value else None
    except ValueError as error:
        faults.append(f"times: {error}")
        return None


def _twice(record: Mapping[str, Any]) -> Iterator[str]:
    seen: list[str] = []
    for key in record:
        meaning = NAMES.get(key)
        if meaning is not None and meaning in seen:
            yield key
        seen += [meaning] if meaning else []


def _start(value: Any, faults: list[str]) -> np.datetime64 | None:
    """Null where only the order is known."""
    if value is None:
        return None
    found = stamps.stamp(value) if isinstance(value, str) else None
    if found is None:
        faults.append(f"start: expected a time such as '2024-05-31 14:00:00', got {_shown(value)}")
        return None
    seconds = found.day_first if found.day_first != stamps.NO_TIME else found.month_first
    return np.datetime64(seconds, "s")


def _numbers(value: Any, what: str, faults: list[str]) -> Array | None:
    """Numbers (N,) float64, NaN for null and "NaN"."""
    if not isinstance(value, list):
        faults.append(f"{what}: expected a list of numbers, got {_shown(value)}")
        return None
    kinds = set(map(type, value))
    words = {each for each in value if type(each) is str} if str in kinds else set()
    if kinds <= {int, float, str, type(None)} and all(map(is_no_value, words)):
        try:
            found = np.array(
                value
                if kinds <= {int, float}
                else [np.nan if each is None or type(each) is str else each for each in value],
                np.float64,
            )
            if (np.isnan(found) | (np.abs(found) < FLOAT32_LIMIT)).all():
                return found
        except OverflowError:
            pass
    found = np.full(len(value), np.nan)
    wrong = []
    for index, each in enumerate(value):
        if each is None or (isinstance(each, str) and is_no_value(each)) or each != each:
            continue
        if isinstance(each, bool) or not isinstance(each, (int, float)):
            wrong.append((index, f"expected a number, null or 'NaN', got {_shown(each)}"))
        elif not abs(each) < FLOAT32_LIMIT:
            wrong.append((index, f"{_shown(each)} is not a finite float32"))
        else:
            found[index] = each
    if wrong:
        index, reason = wrong[0]
        more = f" ({len(wrong) - 1:,} more are none either)" if len(wrong) > 1 else ""
        faults.append(f"{what}: element {index + 1}: {reason}{more}")
    return found


def _categories(value: Any, faults: list[str]) -> tuple[str, ...]:
    """The names of categories, which may be one, and whole numbers or names."""
    if value is None:
        return ()
    listed = value if isinstance(value, list) else [value]
    if len(listed) > MOST_CATEGORIES:
        faults.append(f"cat: {len(listed)} categories, expected {MOST_CATEGORIES} at most")
        return ()
    names = []
    for number, each in enumerate(listed, 1):
        if isinstance(each, float) and each.is_integer():
            each = int(each)
        if (
            isinstance(each, bool)
            or not isinstance(each, (str, int))
            or len(str(each)) > LONGEST_NAME
        ):
            faults.append(f"cat {number}: expected a whole number or a name, got {_shown(each)}")
            continue
        names.append(str(each).strip())
    return tuple(names)


def _features(value: Any, faults: list[str]) -> list[Array]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(row, list) for row in value):
        faults.append("dynamic_feat: expected a list of lists of numbers, one for each feature")
        return []
    if len(value) > MOST_FEATURES:
        faults.append(f"dynamic_feat: {len(value):,} features, expected {MOST_FEATURES:,} at most")
        return []
    rows = [_numbers(row, f"dynamic_feat {n}", faults) for n, row in enumerate(value, 1)]
    return [row for row in rows if row is not None]


def _name(value: Any, faults: list[str]) -> str:
    if (
        isinstance(value, bool)
        or not isinstance(value, (str, int))
        or len(str(value)) > LONGEST_NAME
    ):
        faults.append(f"{NAME}: expected a name, got {_shown(value)}")
        return ""
    return str(value)


def _shown(value: Any) -> str:
    return quoted(value) if isinstance(value, str) else str(value)[:40]
