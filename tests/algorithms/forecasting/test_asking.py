"""A forecaster is asked as DeepAR is, and by tables; whole files are transformed; pages draw it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import InProcess

SAMPLE = Path(__file__).parents[3] / "algorithms" / "forecasting" / "sample"
YEAR = [511, 490, 530, 433, 468, 580, 741, 676, 568, 561, 514, 499]
SERIES: dict[str, Any] = {"start": "2004-01-01 00:00:00", "target": YEAR * 2}


def asked(in_process: InProcess, model: Path, body: Any, *more: object) -> list[dict[str, Any]]:
    (in_process.folder / "ask.json").write_text(json.dumps(body))
    result = in_process("predict", model, "ask.json", *more)
    assert result.code == 0, result.stderr
    return [json.loads(line) for line in result.text.splitlines()]


def refused(in_process: InProcess, model: Path, body: str, name: str = "ask.json") -> str:
    (in_process.folder / name).write_text(body)
    result = in_process("predict", model, name)
    assert result.code == 2
    return result.stderr


def test_answers_hold_what_was_asked_for_alone(
    forecasting_model: Path, in_process: InProcess
) -> None:
    wanted = {
        "num_samples": 5,
        "output_types": ["quantiles", "samples"],
        "quantiles": ["0.2", 0.75],
    }
    body = {"instances": [SERIES, {**SERIES, "item_id": "x"}], "configuration": wanted}
    first, second = asked(in_process, forecasting_model, body)
    assert set(first) == {"quantiles", "samples"}
    assert set(first["quantiles"]) == {"0.2", "0.75"}
    assert [len(row) for row in first["samples"]] == [12] * 5
    assert all(low <= high for low, high in zip(*first["quantiles"].values()))
    assert (second.pop("item_id"), second.pop("start")) == ("x", "2006-01-01 00:00:00")
    assert second == first
    (alone,) = asked(in_process, forecasting_model, SERIES)
    assert set(alone) == {"mean", "quantiles"}
    assert set(alone["quantiles"]) == {"0.1", "0.5", "0.9"}


def test_gaps_are_null_or_nan(forecasting_model: Path, in_process: InProcess) -> None:
    gaps = [{**SERIES, "target": [*YEAR, gap, *YEAR[1:]]} for gap in (None, "NaN", "nan", "")]
    answers = asked(in_process, forecasting_model, {"instances": gaps})
    assert all(answer == answers[0] for answer in answers)
    told = refused(in_process, forecasting_model, '{"instances": [{"target": [1, NaN]}]}')
    assert 'is not a finite number: a missing value is null or "NaN"' in told


def test_all_that_is_wrong_is_told(forecasting_model: Path, in_process: InProcess) -> None:
    told = refused(
        in_process,
        forecasting_model,
        json.dumps(
            {
                "instances": [{"target": "none"}, {"start": 5, "target": [True]}, 7],
                "configuration": {"quantiles": ["2"], "output_types": ["mode"], "num_samples": 0},
                "more": 1,
            }
        ),
    )
    for part in (
        "there is no 'more'",
        "quantiles: expected numbers above 0 and below 1 such as '0.9', got '2'",
        "output_types: expected a list of mean, quantiles, samples, got ['mode']",
        "num_samples: expected a whole number from 1 to 1,000, got 0",
        "example 1: target: expected a list of numbers, got 'none'",
        "example 2: start: expected a time such as '2024-05-31 14:00:00', got 5",
        "example 3: expected a series",
    ):
        assert part in told
    told = refused(
        in_process,
        forecasting_model,
        json.dumps(
            [
                {**SERIES, "cat": [0]},
                {**SERIES, "dynamic_feat": [[1] * 36]},
                {**SERIES, "target": [None], "item_id": "blank"},
            ]
        ),
    )
    for part in (
        "example 1: cat: there are 1, expected 0, as in the training",
        "example 2: dynamic_feat: there are 1, expected 0, as in the training",
        "example 3: 'blank': target: there is no number",
    ):
        assert part in told


@pytest.mark.parametrize("ending", ["csv", "jsonl", "json"])
def test_a_file_of_any_form_is_answered_alike(
    ending: str, forecasting_model: Path, in_process: InProcess
) -> None:
    """A table, and the same series as lines of JSON, which DeepAR's files have under .json too."""
    rows = [line.split(",") for line in (SAMPLE / "test.csv").read_text().splitlines()[1:]]
    path = in_process.folder / f"asked.{ending}"
    if ending == "csv":
        path.write_text("".join(f"{name},{month},{value}\n" for name, month, value in rows[::-1]))
    else:
        names = list(dict.fromkeys(row[0] for row in rows[::-1]))
        lines = [
            {
                "item_id": name,
                "start": "2004-01-01",
                "target": [int(r[2]) for r in rows if r[0] == name],
            }
            for name in names
        ]
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    predicted = in_process("predict", forecasting_model, path)
    assert predicted.code == 0, predicted.stderr
    answers = [json.loads(line) for line in predicted.text.splitlines()]
    assert len(answers) == 14
    assert {answer["start"] for answer in answers} == {"2008-01-01 00:00:00"}
    expected = in_process("predict", forecasting_model, SAMPLE / "test.csv").text
    known = {answer["item_id"]: answer for answer in map(json.loads, expected.splitlines())}
    assert {answer["item_id"]: answer for answer in answers} == known
    done = in_process("transform", forecasting_model, path, "out")
    assert done.code == 0, done.stderr
    assert (in_process.folder / "out" / f"{path.name}.out").read_text() == predicted.text
    cells = in_process("predict", forecasting_model, path, "--accept", "text/csv").text
    first = cells.splitlines()[0].split(",")
    assert len(first) == 2 + 4 * 12
    assert first[:2] == [answers[0]["item_id"], answers[0]["start"]]
    assert float(first[2]) == answers[0]["mean"][0]


def test_a_table_of_another_step_is_taken_to_the_models(
    forecasting_model: Path, in_process: InProcess
) -> None:
    """Days are more than one a month: the mean of each month is what is asked about."""
    days = [f"2005-{month:02}-{day:02}" for month in range(1, 13) for day in (1, 11, 21)]
    text = "".join(f"{day},{YEAR[place // 3] + place % 3 - 1}\n" for place, day in enumerate(days))
    (in_process.folder / "days.csv").write_text(f"day,value\n{text}")
    (found,) = asked_file(in_process, forecasting_model, "days.csv")
    (expected,) = asked(in_process, forecasting_model, {"start": "2005-01-01", "target": YEAR})
    assert found["quantiles"] == expected["quantiles"]


def asked_file(in_process: InProcess, model: Path, name: str) -> list[dict[str, Any]]:
    result = in_process("predict", model, name)
    assert result.code == 0, result.stderr
    return [json.loads(line) for line in result.text.splitlines()]


def test_a_bad_series_is_reported_and_the_others_answered(
    forecasting_model: Path, in_process: InProcess
) -> None:
    lines = [json.dumps(SERIES), '{"target": [null]}', "nothing", json.dumps(SERIES)]
    (in_process.folder / "asked.jsonl").write_text("\n".join(lines) + "\n")
    done = in_process("transform", forecasting_model, "asked.jsonl", "out", "--on-error", "report")
    found = (in_process.folder / "out" / "asked.jsonl.out").read_text().splitlines()
    assert [("mean" in json.loads(line)) for line in found] == [True, False, False, True]
    assert "there is no number" in json.loads(found[1])["error"]["message"]
    assert done.code == 0
    assert "2 bad rows have no prediction" in done.stderr


def test_columns_that_were_decided_are_those_of_later_tables(in_process: InProcess) -> None:
    rows = [
        f"2024-{day // 28 + 1:02}-{day % 28 + 1:02},{shop},{10 + day % 7},{day % 7 == 6:d},x{day}"
        for shop in ("a", "b") for day in range(84) if day % 28 + 1 <= 28
    ]  # fmt: skip
    head = "day,code,sold,closed,remark\n"
    rows = [row for row in rows if not row.startswith("2024-00")]
    (in_process.folder / "train.csv").write_text(head + "\n".join(rows) + "\n")
    given = ("--series-column", "code", "--value-column", "sold", "--feature-columns", "closed")
    size = (
        "--time-freq",
        "D",
        "--prediction-length",
        7,
        "--epochs",
        1,
        "--hidden",
        8,
        "--layers",
        1,
    )
    result = in_process("train", "forecasting", "--train", "train.csv", *given, *size)
    assert result.code == 0, result.stderr
    model = in_process.folder / "models" / "forecasting"
    told = json.loads((model / "algorithm.json").read_text())
    assert told["encoding"]["features"] == ["closed"]
    result = in_process("predict", model, "train.csv")
    assert result.code == 2
    assert "7 to be forecast; of a table, these are its last rows, without a value" in result.stderr
    ahead = [f"2024-03-{29 + day:02},{shop},,0,x" if day < 3 else f"2024-04-0{day - 2},{shop},,0,x"
             for shop in "ab" for day in range(7)]  # fmt: skip
    (in_process.folder / "ask.csv").write_text(head + "\n".join([*rows, *ahead]) + "\n")
    answers = asked_file(in_process, model, "ask.csv")
    assert [(answer["item_id"], answer["start"]) for answer in answers] == [
        ("a", "2024-03-29 00:00:00"), ("b", "2024-03-29 00:00:00")
    ]  # fmt: skip
