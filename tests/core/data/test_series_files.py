"""Series are read as people have them; what is assumed is said with its count, what cannot be told
is refused with the flag that decides.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.core import DataError, read_series
from algoshelf.core.data.reading import Reading, using
from algoshelf.core.data.series import ManySeries
from algoshelf.core.data.series_columns import Columns
from algoshelf.core.data.series_files import alike

DAYS = ("2024-01-01", "2024-01-02", "2024-01-04")
LONG = "".join(f"{name},{day},{place}\n" for name in "ab" for place, day in enumerate(DAYS))


def read(folder: Path, text: str, name: str = "series.csv", **options: Any) -> ManySeries:
    path = folder / name
    path.write_text(text)
    with using(Reading(), lambda said: None):
        return read_series(path, **options)


def values(found: ManySeries) -> dict[str, list[float | None]]:
    """By the names of the series, None for a gap."""
    return {
        each.name: [None if np.isnan(value) else value for value in each.target.tolist()]
        for each in found.series
    }


def starts(found: ManySeries) -> list[str]:
    return [str(each.start) for each in found.series]


def of_times(folder: Path, times: list[str], **options: Any) -> ManySeries:
    """One series with a value at each of ``times``."""
    rows = "".join(f"{time},{place + 1}\n" for place, time in enumerate(times))
    return read(folder, f"time,value\n{rows}", **options)


def test_common_forms_of_tables_are_read_alike(tmp_path: Path) -> None:
    expected = {"a": [0, 1, None, 2], "b": [0, 1, None, 2]}
    wide = "".join(f"{day},{place},{place}\n" for place, day in enumerate(DAYS))
    by_row = f"name,{','.join(DAYS)}\na,0,1,2\nb,0,1,2\n"
    for text in (
        f"id,time,value\n{LONG}",
        LONG,
        f"unique_id;ds;y\n{LONG}".replace(",", ";"),
        f"time,a,b\n{wide}",
        by_row,
    ):
        found = read(tmp_path, text)
        assert values(found) == expected, text
        assert starts(found) == ["2024-01-01T00:00:00"] * 2
        assert found.encoding == {"frequency": "D", "categories": [], "features": []}
        assert found.counts == {"missing": 2}


def test_parquet_excel_gzip_and_folders_are_read_alike(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    text = f"id,time,value\n{LONG}"
    expected = values(read(tmp_path, text))
    (tmp_path / "series.csv.gz").write_bytes(gzip.compress(text.encode()))
    frame = pandas.read_csv(tmp_path / "series.csv", parse_dates=["time"])
    frame.to_parquet(tmp_path / "series.parquet")
    folder = tmp_path / "parts"
    folder.mkdir()
    for name in "ab":
        frame[frame["id"] == name].to_parquet(folder / f"{name}.parquet")
    for path in (tmp_path / "series.csv.gz", tmp_path / "series.parquet", folder):
        assert values(read_series(path)) == expected


def test_records_are_read_as_deepar_takes_them(tmp_path: Path) -> None:
    lines = (
        '{"start": "2024-01-01 00:00:00", "target": [1, "NaN", null, 4.5], "cat": [3, 0], '
        '"dynamic_feat": [[1, 2, 3, 4]]}\n'
        '{"start": "2024-02-01", "target": [7], "cat": [1, 0], "dynamic_feat": [[5]], '
        '"item_id": "shop"}\n'
    )
    found = read(tmp_path, lines, "series.json", time_freq="H")
    assert values(found) == {"series 1": [1, None, None, 4.5], "shop": [7]}
    assert starts(found) == ["2024-01-01T00:00:00", "2024-02-01T00:00:00"]
    assert [each.categories for each in found.series] == [("3", "0"), ("1", "0")]
    assert found.series[0].features.tolist() == [[1, 2, 3, 4]]
    assert found.encoding == {
        "frequency": "H", "categories": [["1", "3"], ["0"]], "features": ["1"]
    }  # fmt: skip
    assert found.counts == {"missing": 2, "single_value": 1}
    document = json.dumps([json.loads(line) for line in lines.splitlines()], indent=1)
    assert values(read(tmp_path, document, "document.json", time_freq="H")) == values(found)


def test_records_in_parquet_are_deepars_too(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    start = pandas.to_datetime(["2024-01-01", "2024-01-02"])
    frame = pandas.DataFrame({"start": start, "target": [[1.0, 2.0], [3.0]], "cat": [[0], [1]]})
    frame.to_parquet(tmp_path / "series.parquet")
    found = read_series(tmp_path / "series.parquet", time_freq="D")
    assert values(found) == {"series 1": [1, 2], "series 2": [3]}
    assert starts(found) == ["2024-01-01T00:00:00", "2024-01-02T00:00:00"]


def test_all_faults_of_records_are_told_with_their_lines(tmp_path: Path) -> None:
    lines = (
        '{"start": "2024-01-01", "target": [1, "x", true]}\n'
        '{"start": "soon", "target": 5}\n'
        '{"start": "2024-01-01", "target": [1, 2], "dynamic_feat": [[1, 2, 3]]}\n'
        '[1, 2]\n'
        "nothing\n"
        '{"start": "2024-01-01", "target": [1e300]}\n'
    )  # fmt: skip
    with pytest.raises(DataError) as caught:
        read(tmp_path, lines, "series.jsonl", time_freq="D")
    told = "\n".join(caught.value.faults)
    for part in (
        "line 1: target: element 2: expected a number, null or 'NaN', got 'x' (1 more",
        "line 2: start: expected a time such as '2024-05-31 14:00:00', got 'soon'",
        "line 2: target: expected a list of numbers, got 5",
        "line 3: dynamic_feat has 3 numbers, expected 2, as target has",
        "line 4: expected a series such as",
        "line 5: is no JSON",
        "line 6: target: element 1: 1e+300 is not a finite float32",
    ):
        assert part in told


def test_records_of_unlike_kinds_are_refused_together(tmp_path: Path) -> None:
    lines = (
        '{"start": "2024-01-01", "target": [1], "cat": [0], "item_id": "x"}\n'
        '{"start": "2024-01-01", "target": [1], "cat": [0, 1], "item_id": "y"}\n'
        '{"start": "2024-01-01", "target": [1], "item_id": "z"}\n'
    )
    with pytest.raises(DataError) as caught:
        read(tmp_path, lines, "series.jsonl", time_freq="D")
    first, second = caught.value.faults
    assert "'y' has 2 categories (cat), expected 1" in first
    assert "'z' has 0 categories (cat), expected 1" in second


def test_records_do_not_tell_their_frequency(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--time-freq says it"):
        read(tmp_path, '{"start": "2024-01-01", "target": [1, 2]}\n', "series.jsonl")


@pytest.mark.parametrize(
    ("times", "frequency"),
    [
        ([f"2024-01-01 {h:02}:{m:02}" for h in range(3) for m in (0, 15, 30, 45)], "15min"),
        ([f"2024-01-01T{h:02}:00:00Z" for h in range(12)], "H"),
        ([f"2024-01-{d:02} {h:02}:00" for d in (1, 2) for h in (0, 6, 12, 18)], "6H"),
        ([f"{d}.1.2024" for d in range(1, 20)], "D"),
        ([f"2024-01-{d:02}" for d in range(1, 31) if d % 7 not in (6, 0)], "B"),
        (["2024-01-03", "2024-01-10", "2024-01-24", "2024-01-31"], "W"),
        (["2024-01-06", "2024-01-20", "2024-02-03"], "2W"),
        (["2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"], "M"),
        (["2024-01", "2024-02", "2024-04"], "M"),
        (["Jan 2024", "Feb 2024", "Mar 2024"], "M"),
        (["202401", "202402", "202403"], "M"),
        (["1/31/2024", "2/29/2024", "3/31/2024"], "M"),
        (["2023-12-29", "2024-01-31", "2024-02-29", "2024-03-28", "2024-04-30"], "M"),
        (["2024Q1", "2024Q2", "2024Q4"], "Q"),
        (["2024-03-31", "2024-06-30", "2024-09-30"], "Q"),
        (["2021", "2022", "2023"], "Y"),
        (["2021-12-31", "2022-12-31", "2023-12-31"], "Y"),
        (["2024-W01", "2024-W02", "2024-W03"], "W"),
        (["20240101", "20240102", "20240103"], "D"),
        ([str(1_704_067_200 + 3600 * hour) for hour in range(5)], "H"),
        ([str(1000 * (1_704_067_200 + 3600 * hour)) for hour in range(5)], "H"),
    ],
)
def test_frequencies_are_told_by_times(times: list[str], frequency: str, tmp_path: Path) -> None:
    found = of_times(tmp_path, times)
    assert found.encoding["frequency"] == frequency
    [series] = found.series
    known = np.flatnonzero(np.isfinite(series.target))
    assert series.target[known].tolist() == list(range(1, len(times) + 1))
    assert found.frequency.times(series.start, 0, len(series)).astype(str)[known[-1]][:4] == (
        "2024" if frequency != "Y" else "2023"
    )


def test_months_and_their_ends_go_on_as_they_are(tmp_path: Path) -> None:
    found = of_times(tmp_path, ["2024-01-31", "2024-02-29", "2024-03-31"])
    [series] = found.series
    days = found.frequency.times(series.start, 3, 3).astype("datetime64[D]").astype(str)
    assert days.tolist() == ["2024-04-30", "2024-05-31", "2024-06-30"]
    found = of_times(tmp_path, ["2024-01-15", "2024-02-15", "2024-03-15"])
    days = found.frequency.times(found.series[0].start, 3, 2).astype("datetime64[D]").astype(str)
    assert days.tolist() == ["2024-04-15", "2024-05-15"]


def test_clocks_that_change_leave_a_gap_and_share_an_hour(tmp_path: Path) -> None:
    spring = [f"2024-03-31 {hour:02}:00" for hour in range(24) if hour != 2]
    found = of_times(tmp_path, spring)
    assert found.counts == {"missing": 1}
    assert np.isnan(found.series[0].target[2])
    autumn = [f"2024-10-27 {hour:02}:00" for hour in (0, 1, 2, 2, *range(3, 24))]
    found = of_times(tmp_path, autumn)
    assert found.counts == {"repeated": 1, "clock_set_back": 1}
    assert found.series[0].target[2] == 3.5
    assert "when clocks are set back" in found.note


def test_times_that_tell_their_zone_are_evenly_apart(tmp_path: Path) -> None:
    times = ["2024-10-27T01:00:00+02:00", "2024-10-27T02:00:00+02:00", "2024-10-27T02:00:00+01:00"]
    found = of_times(tmp_path, times)
    assert values(found) == {"value": [1, 2, 3]}
    assert starts(found) == ["2024-10-27T00:00:00"]
    assert "times are +01:00 and +02:00 from UTC, and all taken as +01:00" in found.note
    known = found.encoding
    later = of_times(
        tmp_path, ["2024-06-01T12:00:00+02:00", "2024-06-01T13:00:00+02:00"], known=known
    )
    assert starts(later) == ["2024-06-01T11:00:00"]


def test_what_is_off_or_repeated_or_unsorted_is_counted(tmp_path: Path) -> None:
    minutes = [f"2024-01-01 00:{minute:02}:{(7 * minute) % 4:02}" for minute in range(40)]
    found = of_times(tmp_path, minutes)
    assert found.encoding["frequency"] == "1min".replace("1", "")
    assert found.counts["off_step"] == 30
    rows = [f"2024-01-{day:02},{day}\n" for day in (3, 1, 2, *range(4, 31), 30)]
    found = read(tmp_path, "day,sales\n" + "".join(rows))
    assert found.counts == {"unsorted": 1, "repeated": 1}
    assert found.series[0].target.tolist() == list(range(1, 31))


def test_many_values_of_a_step_need_a_decision(tmp_path: Path) -> None:
    text = "day,sales\n" + "".join(f"2024-01-{d:02},{v}\n" for d in range(1, 9) for v in (1, 3))
    with pytest.raises(DataError, match=r"8 of 16 values share their step of D.*--series-column"):
        read(tmp_path, text)
    for aggregate, value in (("mean", 2), ("sum", 4), ("first", 1), ("last", 3)):
        found = read(tmp_path, text, aggregate=aggregate)
        assert found.series[0].target.tolist() == [value] * 8
        assert found.counts["repeated"] == 8


def test_a_longer_step_gathers_what_lies_in_it(tmp_path: Path) -> None:
    times = [f"2024-01-{day:02} {hour:02}:00" for day in (1, 2) for hour in range(24)]
    with pytest.raises(DataError, match="--aggregate mean"):
        of_times(tmp_path, times, time_freq="D")
    found = of_times(tmp_path, times, time_freq="D", aggregate="sum")
    assert found.series[0].target.tolist() == [sum(range(1, 25)), sum(range(25, 49))]
    days = [f"2024-01-{day:02}" for day in range(1, 15)]  # two weeks from a Monday on
    found = of_times(tmp_path, days, time_freq="W", aggregate="sum")
    assert found.series[0].target.tolist() == [sum(range(1, 8)), sum(range(8, 15))]
    assert starts(found) == ["2024-01-01T00:00:00"]
    found = of_times(
        tmp_path, ["2024-01-05", "2024-01-20", "2024-03-01"], time_freq="M", aggregate="sum"
    )
    assert values(found) == {"value": [3, None, 3]}


def test_a_step_that_is_far_too_short_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"nearly all of them gaps .*--time-freq names a longer step"
    ):
        of_times(tmp_path, ["2020-01-01", "2024-01-01"], time_freq="min")


def test_several_frequencies_are_refused(tmp_path: Path) -> None:
    rows = [f"a,2024-01-{day:02},1\n" for day in range(1, 20)]
    rows += [f"b,2024-{month:02}-01,1\n" for month in range(1, 12)]
    with pytest.raises(DataError, match=r"a step of D, others are steadily of another \(1 of M\)"):
        read(tmp_path, "id,time,value\n" + "".join(rows))


def test_a_step_that_is_shorter_than_the_datas_is_said(tmp_path: Path) -> None:
    found = of_times(tmp_path, ["2024-01", "2024-02", "2024-03"], time_freq="D")
    assert "its times are M apart, not D: what is between is missing" in found.note
    found = of_times(tmp_path, ["2024-01-01", "2024-01-02", "2024-01-05"], time_freq="D")
    assert "apart" not in found.note


def test_sparse_series_are_of_the_frequency_of_all(tmp_path: Path) -> None:
    rows = [f"a,2024-01-{day:02},1\n" for day in (1, 2, 5, 6, 13, 20, 21)]
    rows += [f"b,2024-01-{day:02},1\n" for day in (1, 8, 10, 12, 13, 27)]
    found = read(tmp_path, "id,time,value\n" + "".join(rows))
    assert found.encoding["frequency"] == "D"
    assert found.counts["missing"] == 21 - 7 + 27 - 6


def test_uneven_times_name_what_they_are_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not evenly apart: most often .*--time-freq"):
        of_times(
            tmp_path,
            ["2024-01-01 00:00", "2024-01-01 00:07", "2024-01-01 03:31", "2024-01-03 05:00"],
        )


def test_odd_series_are_told_apart(tmp_path: Path) -> None:
    rows = {"none": ["", ""], "one": ["", 5], "zero": [0, 0], "same": [7, 7], "usual": [1, 2]}
    text = "".join(
        f"{name},2024-01-0{n + 1},{v}\n" for name, vs in rows.items() for n, v in enumerate(vs)
    )
    found = read(tmp_path, f"id,time,value\n{text}")
    assert [each.name for each in found.series] == ["one", "zero", "same", "usual"]
    assert found.counts == {
        "empty_series": 1, "missing": 1, "single_value": 1, "all_zero": 1, "constant": 1
    }  # fmt: skip
    assert "1 series without a value is left out" in found.note


def test_negative_counts_are_told(tmp_path: Path) -> None:
    found = of_times(tmp_path, [f"2024-01-{day:02}" for day in range(1, 30)])
    assert "negative" not in found.counts
    text = "".join(f"2024-01-{day:02},{-2 if day == 5 else day}\n" for day in range(1, 30))
    found = read(tmp_path, f"day,sold\n{text}")
    assert found.counts == {"negative": 1}
    assert "1 value is negative, though all are whole" in found.note


def test_dates_of_either_order_are_taken_by_their_steps_or_said(tmp_path: Path) -> None:
    found = of_times(tmp_path, [f"0{month}/05/2024" for month in range(1, 8)])
    assert found.encoding["frequency"] in ("D", "M")
    assert "day first" in found.note
    found = of_times(tmp_path, ["12/30/2023", "12/31/2023", "01/01/2024", "01/02/2024"])
    assert found.encoding["frequency"] == "D"
    assert starts(found) == ["2023-12-30T00:00:00"]
    with pytest.raises(DataError, match="in some of its dates the day comes first"):
        of_times(tmp_path, ["31/01/2024", "02/28/2024", "01/03/2024"])


def test_dates_and_clocks_in_two_columns(tmp_path: Path) -> None:
    text = "Date;Time;CO\n" + "".join(f"15/03/2004;{hour}:00:00;{hour},5\n" for hour in range(6))
    found = read(tmp_path, text)
    assert values(found) == {"CO": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5]}
    assert found.encoding["frequency"] == "H"
    text = "date,hour,load\n" + "".join(f"2024-01-01,{hour},{hour}\n" for hour in range(6))
    assert read(tmp_path, text).encoding["frequency"] == "H"


def test_series_without_times_have_an_order(tmp_path: Path) -> None:
    text = '"V1","V2","V3","V4"\n"H1","1","2","3"\n"H2","4","5",""\n'
    with pytest.raises(DataError, match="--time-freq says it"):
        read(tmp_path, text)
    found = read(tmp_path, text, time_freq="H")
    assert values(found) == {"H1": [1, 2, 3], "H2": [4, 5]}
    assert starts(found) == ["None", "None"]
    assert found.counts == {"without_start": 2}
    found = read(tmp_path, "5\n6\n7.5\n", time_freq="H")
    assert values(found) == {"column 1": [5, 6, 7.5]}
    assert "there are no times, but rows in their order" in found.note
    found = read(tmp_path, "item,sold\n1,5\n2,7\n1,6\n2,8\n", time_freq="H")
    assert values(found) == {"1": [5, 6], "2": [7, 8]}
    found = read(tmp_path, "id,t,y\na,1,5\na,2,6\na,4,8\n", time_freq="D")
    assert values(found) == {"a": [5, 6, None, 8]}


def test_columns_are_told_or_decided(tmp_path: Path) -> None:
    head = "region,store,item,date,sales,price\n"
    rows = "".join(
        f"{'n' if store == 1 else 's'},{store},{item},2024-01-0{day},{day},{day}.5\n"
        for store in (1, 2) for item in (7, 8) for day in (1, 2, 3)
    )  # fmt: skip
    found = read(tmp_path, head + rows)
    assert [each.name for each in found.series][:2] == ["n/1/7", "n/1/8"]
    assert found.encoding["categories"] == [["n", "s"], ["1", "2"], ["7", "8"]]
    assert "'price' is not read" in found.note
    columns = Columns(series="store,item", category="region", feature="price")
    found = read(tmp_path, head + rows, columns=columns)
    assert [each.name for each in found.series] == ["1/7", "1/8", "2/7", "2/8"]
    assert found.series[0].categories == ("n",)
    assert found.series[0].features.tolist() == [[1.5, 2.5, 3.5]]
    with pytest.raises(DataError, match=r"--category-columns: date .*are to be the same"):
        read(tmp_path, head + rows, columns=columns._replace(category="date"))
    with pytest.raises(DataError, match="no such heading"):
        read(tmp_path, head + rows, columns=Columns(time="day"))
    with pytest.raises(DataError, match=r"several columns hold numbers.*--value-column"):
        read(tmp_path, "name,date,high,low\nx,2024-01-01,1,2\nx,2024-01-02,1,2\n")


def test_faults_of_tables_are_told_together(tmp_path: Path) -> None:
    rows = "a,2024-01-01,x a,yesterday,2 ,2024-01-04,4 a,2024-01-05,1e99 a,2024-01-06,5 "
    text = "id,time,value\n" + rows.replace(" ", "\n")
    with pytest.raises(DataError) as caught:
        read(tmp_path, text)
    told = "\n".join(caught.value.faults)
    for part in (
        "line 2: 'value': 'x' is no number",
        "line 3: 'time' 'yesterday' is no time",
        "line 4: there is no name of a series",
        "line 5: 'value': '1e99' is not a finite float32",
    ):
        assert part in told


def test_other_channels_are_read_by_what_the_training_knows(tmp_path: Path) -> None:
    lines = '{"start": "2024-01-01", "target": [1], "cat": ["%s"]}\n'
    train = read(tmp_path, lines % "a", "train.jsonl", time_freq="D")
    found = read(tmp_path, lines % "new", "test.jsonl", known=train.encoding)
    assert found.counts["unknown_categories"] == 1
    assert found.numbers.tolist() == [[0]]
    with pytest.raises(DataError, match=r"0 categories \(cat\), expected 1"):
        read(
            tmp_path, '{"start": "2024-01-01", "target": [1]}\n', "test.jsonl", known=train.encoding
        )


@pytest.mark.parametrize(
    "text", ["", "\n", "id,time,value\n", '{"start": "2024-01-01", "target": []}\n']
)
def test_nothing_to_read_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no|no column of times"):
        read(tmp_path, text, time_freq="D")


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory as Linux tells it")
def test_a_long_table_takes_little_memory_beside_its_numbers(tmp_path: Path) -> None:
    hours = np.arange("2020-01-01", "2020-04-01", dtype="datetime64[h]").astype(str)
    with (tmp_path / "long.csv").open("w") as stream:
        stream.write("id,time,value\n")
        for number in range(40):
            stream.writelines(f"s{number},{hour}:00,{number}\n" for hour in hours)
    import tracemalloc

    tracemalloc.start()
    try:
        found = read_series(tmp_path / "long.csv")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    count = 40 * len(hours)
    assert sum(map(len, found.series)) == count
    assert peak < 200 * count


def test_columns_that_tell_more_than_the_name_count_where_they_are_needed(tmp_path: Path) -> None:
    days = range(1, 4)
    for head, key, names in (
        ("item_id,store_id", "{item},{store}", ["7/1", "8/1", "7/2", "8/2"]),
        ("unique_id,store_id", "{item}-{store},{store}", ["7-1", "8-1", "7-2", "8-2"]),
    ):
        pairs = [(item, store) for store in (1, 2) for item in (7, 8)]
        rows = [
            f"{key.format(item=item, store=store)},2024-01-0{day},{day}\n"
            for item, store in pairs for day in days
        ]  # fmt: skip
        found = read(tmp_path, f"{head},date,sales\n" + "".join(rows))
        assert [each.name for each in found.series] == names
        assert bool(found.encoding["categories"]) == ("/" in names[0])
        wide = [f"{key.format(item=item, store=store)},1,2,3\n" for item, store in pairs]
        found = read(tmp_path, f"{head},d_1,d_2,d_3\n" + "".join(wide), time_freq="D")
        assert [each.name for each in found.series] == names


def test_words_that_each_time_has_one_of_tell_no_series(tmp_path: Path) -> None:
    """A holiday, or a name of the day, of one series or of several."""
    text = "time,load,holiday\n" + "".join(
        f"2024-01-{day:02},{day},{'TRUE' if day % 6 == 0 else 'FALSE'}\n" for day in range(1, 20)
    )
    found = read(tmp_path, text)
    assert values(found) == {"load": list(range(1, 20))}
    assert "'holiday' is not read" in found.note
    found = read(tmp_path, text, columns=Columns(feature="holiday"))
    assert found.series[0].features[0, :7].tolist() == [0, 0, 0, 0, 0, 1, 0]
    text = "plant,time,load,day\n" + "".join(
        f"{plant},2024-01-{day:02},{day},day {day % 7}\n" for plant in "xy" for day in range(1, 20)
    )
    found = read(tmp_path, text)
    assert values(found) == {"x": list(range(1, 20)), "y": list(range(1, 20))}
    assert found.encoding["categories"] == []
    assert "'plant' tells the series" in found.note


def test_hosts_know_the_categories_of_all(tmp_path: Path) -> None:
    lines = '{"start": "2024-01-01", "target": [1], "cat": ["%s", "x"]}\n'
    parts = [read(tmp_path, lines % name, "part.jsonl", time_freq="D").encoding for name in "ba"]
    found = alike([*parts, {**parts[0], "utc_offset": 7200}, {**parts[0], "utc_offset": 3600}])
    assert all(each == found[0] for each in found)
    assert found[0]["categories"] == [["a", "b"], ["x"]]
    assert found[0]["utc_offset"] == 3600
    with pytest.raises(DataError, match=r"unlike features \(\[\] and \['price'\]\)"):
        alike([parts[0], {**parts[0], "features": ["price"]}])
