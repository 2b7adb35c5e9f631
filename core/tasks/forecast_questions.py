"""What a forecaster is asked: series and what of their forecasts is wanted, as DeepAR takes them.

Source: https://docs.aws.amazon.com/sagemaker/latest/dg/deepar-in-formats.html
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Iterator, Mapping, Sequence

import numpy as np

from .. import payload
from ..data import series_files, series_records, series_tables
from ..data.frequencies import Frequency
from ..data.series import Series
from ..data.stamps import Found
from ..runtime import bounds
from ..runtime.errors import DataError, UnfitPayloadError
from ..runtime.faults import MAX_FAULTS, quoted
from ..runtime.types import Array
from .forecasts import OUTPUT_TYPES, Question

INSTANCES, CONFIGURATION = "instances", "configuration"
TYPES, LEVELS, SAMPLES = "output_types", "quantiles", "num_samples"
MOST_SAMPLES = 1000
MOST_QUANTILES = 100
MOST_STEPS = 10_000_000  # of all series of a request, between whose times there may be gaps


def questions(body: bytes, content_type: str) -> list[Question]:
    """What is asked in a body of JSON, JSON Lines or CSV. Raises PayloadError, with all faults.

    Of CSV, the whole body is one table: a row for each value, its series, time and number.
    """
    media = payload.media_type(content_type)
    if media == payload.CSV:
        return _of_table(body)
    faults: list[str] = []
    try:
        if media == payload.JSONLINES:
            records, usual = payload.decode_records(body, media), Question(_NONE)
        else:
            records, usual, faults = _of_document(payload.decode_json(body))
    except UnfitPayloadError as error:
        raise UnfitPayloadError(*map(_missing_value, error.faults)) from None
    bounds.check_examples(len(records))
    found = []
    for number, record in enumerate(records, 1):
        try:
            found.append(_question(record, usual))
        except series_records.RecordError as error:
            faults += [f"example {number}: {fault}" for fault in error.faults]
    _refuse(faults)
    return found


_NONE = Series("", None, np.zeros(0))


def _missing_value(fault: str) -> str:
    if not fault.endswith("is not a finite number"):
        return fault
    return f'{fault}: a missing value is null or "NaN"'


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        more = len(faults) - MAX_FAULTS
        raise UnfitPayloadError(*faults[:MAX_FAULTS], *([f"and {more:,} more"] * (more > 0)))


def _of_document(document: Any) -> tuple[list[Any], Question, list[str]]:
    """The series, what is wanted of all, and what is wrong with that."""
    if isinstance(document, list):
        return document, Question(_NONE), [] if document else ["the list holds no series"]
    if not isinstance(document, dict):
        raise UnfitPayloadError(
            'expected {"instances": [series, …], "configuration": {…}}, got '
            f"{str(document)[:40]!r}"
        )
    if INSTANCES not in document and series_records.TARGET in document:
        return [document], Question(_NONE), []
    instances, wanted = document.get(INSTANCES), document.get(CONFIGURATION)
    faults = [] if isinstance(instances, list) and instances else [
        f"instances: expected a list of series such as {series_records.FORM}"
    ]  # fmt: skip
    unknown = [key for key in document if key not in (INSTANCES, CONFIGURATION)]
    faults += [
        f"there is no {quoted(key)}: expected instances and configuration" for key in unknown
    ]
    usual, wrong = _configured(Question(_NONE), wanted)
    if not isinstance(instances, list):
        _refuse([*faults, *wrong])
    return instances or [], usual, [*faults, *wrong]


def _question(record: Any, usual: Question) -> Question:
    wanted = record.get(CONFIGURATION) if isinstance(record, dict) else None
    question, wrong = _configured(usual, wanted)
    try:
        found = series_records.record_of(record, "", asked=True)
    except series_records.RecordError as error:
        raise series_records.RecordError([*error.faults, *wrong]) from None
    if wrong:
        raise series_records.RecordError(wrong)
    return replace(question, series=found.series, times=found.times)


def _configured(usual: Question, wanted: Any) -> tuple[Question, list[str]]:
    """``usual`` with what a configuration says, and what is wrong with that."""
    if wanted is None:
        return usual, []
    if not isinstance(wanted, dict):
        return usual, [f"configuration: expected an object, got {str(wanted)[:40]!r}"]
    faults = [
        f"configuration: there is no {quoted(key)}: expected {TYPES}, {LEVELS} and {SAMPLES}"
        for key in wanted
        if key not in (TYPES, LEVELS, SAMPLES)
    ]
    types = wanted.get(TYPES, list(usual.output_types))
    if not isinstance(types, list) or not types or not all(each in OUTPUT_TYPES for each in types):
        faults.append(
            f"configuration: {TYPES}: expected a list of {', '.join(OUTPUT_TYPES)}, got "
            f"{str(types)[:60]}"
        )
        types = []
    levels = wanted.get(LEVELS, list(usual.quantiles))
    if not isinstance(levels, list) or len(levels) > MOST_QUANTILES:
        faults.append(f"configuration: {LEVELS}: expected a list of up to {MOST_QUANTILES}")
        levels = []
    wrong = [each for each in levels if not _is_level(each)]
    if wrong:
        faults.append(
            f"configuration: {LEVELS}: expected numbers above 0 and below 1 such as '0.9', got "
            f"{str(wrong[0])[:40]!r}"
        )
    count = wanted.get(SAMPLES, usual.samples)
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_SAMPLES:
        faults.append(
            f"configuration: {SAMPLES}: expected a whole number from 1 to {MOST_SAMPLES:,}, got "
            f"{str(count)[:40]}"
        )
    if faults:
        return usual, faults
    asked = tuple(str(each) for each in levels)
    return replace(usual, output_types=tuple(types), quantiles=asked, samples=count), []


def _is_level(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return False
    try:
        return 0 < float(value) < 1
    except (ValueError, OverflowError):
        return False


def _of_table(body: bytes) -> list[Question]:
    rows = payload.decode_records(body, payload.CSV)
    try:
        table = series_tables.series_of_table(series_tables.table_of_rows(rows, "the body"))
    except DataError as error:
        raise UnfitPayloadError(*(_of_body(fault) for fault in error.faults)) from None
    return [Question(series, times=times) for series, times in table.each()]


def _of_body(fault: str) -> str:
    """A fault of a table in a file, where there are no flags."""
    return fault.replace("the body: ", "", 1).split(": --")[0]


def placed(asked: Sequence[Question], encoding: Mapping[str, Any], horizon: int) -> list[Question]:
    """The questions with their series in steps of the training's frequency, with its categories and
    its features, which are known for the ``horizon`` steps to be forecast too. Raises
    UnfitPayloadError.
    """
    frequency = Frequency.parse(encoding["frequency"])
    found, faults, steps = [], [], 0
    for number, question in enumerate(asked, 1):
        series = question.series
        place = f"example {number}: " + (f"{quoted(series.name)}: " if series.name else "")
        if question.times is not None:
            try:
                series = series_files.in_steps(series, question.times, frequency)
            except ValueError as error:
                faults.append(f"{place}{error}")
                continue
        steps += len(series)
        if steps > MOST_STEPS:
            faults.append(f"{place}the series have more than {MOST_STEPS:,} steps of {frequency}")
            break
        wrong = list(_unlike(series, encoding))
        if not wrong and len(series.features):
            series = _before_horizon(series, horizon, question.times)
            wrong = list(_short(series, horizon, question.times))
        faults += [f"{place}{fault}" for fault in wrong]
        begin = ""
        if series.start is not None:
            begin = str(frequency.times(series.start, len(series), 1)[0]).replace("T", " ")
        found.append(replace(question, series=series, times=None, begin=begin))
    _refuse(faults)
    return found


def _unlike(series: Series, encoding: Mapping[str, Any]) -> Iterator[str]:
    for what, expected, has in (
        ("cat", len(encoding["categories"]), len(series.categories)),
        ("dynamic_feat", len(encoding["features"]), len(series.features)),
    ):
        if has != expected:
            yield f"{what}: there are {has}, expected {expected}, as in the training"
    if not np.isfinite(series.target).any():
        yield "target: there is no number, by which a forecast could be told how large it is"


def _before_horizon(series: Series, horizon: int, times: Found | None) -> Series:
    """A series from a table, whose last rows tell the features of the steps to be forecast, without
    their targets.
    """
    ahead: Array = series.target[-horizon:]
    if times is None or np.isfinite(ahead).any():
        return series
    return replace(series, target=series.target[:-horizon])


def _short(series: Series, horizon: int, times: Found | None) -> Iterator[str]:
    expected, has = len(series) + horizon, series.features.shape[1]
    if has != expected:
        yield (
            f"dynamic_feat has {has:,} numbers, expected {expected:,}: for the {len(series):,} of "
            f"target and the {horizon:,} to be forecast"
            + "; of a table, these are its last rows, without a value"
            * (times is not None)
        )
