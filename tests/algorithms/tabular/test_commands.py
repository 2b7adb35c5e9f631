"""tabular through the command line: train, evaluate, predict, export; classes and numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.algorithms.tabular.data import record_of
from algoshelf.core.data.schema import Overrides, Schema, read_table

from tests.conftest import InProcess

from .conftest import QUICK

ASKED = {"size": 120.0, "place": "centre", "built": 2005, "noise": 0.1}


def answers(in_process: InProcess, model: Path, records: list[Any]) -> list[Any]:
    (in_process.folder / "ask.json").write_text(json.dumps({"instances": records}))
    result = in_process("predict", model, "ask.json")
    assert result.code == 0, result.stderr
    return [json.loads(line) for line in result.text.splitlines()]


def test_classes_are_told_apart(sold: Path, fresh: Path, in_process: InProcess) -> None:
    found = in_process("evaluate", sold, "--test", fresh, "--json")
    assert found.code == 0, found.stderr
    assert found.json["metrics"]["roc_auc"] > 0.9
    assert found.json["metrics"]["loss"] == found.json["metrics"]["cross_entropy"]


def test_numbers_are_estimated_in_their_unit(
    priced: Path, fresh: Path, in_process: InProcess
) -> None:
    figures = in_process("evaluate", priced, "--test", fresh, "--json").json["metrics"]
    assert figures["r2"] > 0.8
    assert figures["loss"] == figures["rmse_log"] < 0.3
    (answer,) = answers(in_process, priced, [ASKED])
    assert answer["price"] == pytest.approx(1000 * 2 * 120 * 1.5, rel=0.2)


def test_what_matters_is_found(sold: Path, fresh: Path, in_process: InProcess) -> None:
    found = in_process("evaluate", sold, "--test", fresh, "--importances", "--json").json
    lost = {each["name"]: each["loss"] for each in found["importances"]}
    assert set(lost) == {"size", "place", "built", "noise"}
    assert min(lost["place"], lost["built"]) > 10 * max(lost["size"], lost["noise"], 0.001)


def test_gaps_new_categories_and_other_orders_are_answered(
    sold: Path, in_process: InProcess
) -> None:
    rows = [
        ASKED,
        dict(reversed(ASKED.items())),
        [120.0, "centre", 2005, 0.1],
        {**ASKED, "size": None},
        {**ASKED, "place": "harbour"},
        {**ASKED, "size": 1e9},
    ]
    found = answers(in_process, sold, rows)
    assert found[0] == found[1] == found[2]
    assert [each["label"] for each in found[:1]] == ["yes"]
    assert all(0 <= each["probability"] <= 1 for each in found)


def test_what_is_left_out_of_a_test_is_said(sold: Path, fresh: Path, in_process: InProcess) -> None:
    lines = fresh.read_text().splitlines()
    lines[3] = lines[3].rsplit(",", 1)[0] + ","
    lines[4] = ",".join(["100", "harbour", *lines[4].split(",")[2:]])
    (in_process.folder / "t.csv").write_text("\n".join(lines) + "\n")
    found = in_process("evaluate", sold, "--test", "t.csv", "--importances")
    assert found.code == 0, found.stderr
    assert found.stderr.count("1 row without a target is left out (the first: line 4)") == 1
    assert "did not have, taken for gaps: place: 1 (such as 'harbour')" in found.stderr


def test_a_model_of_onnx_answers_the_same(priced: Path, in_process: InProcess) -> None:
    rows = [ASKED, {**ASKED, "size": None, "place": None}]
    by_mxnet = [each["price"] for each in answers(in_process, priced, rows)]
    assert in_process("export", priced).code == 0
    result = in_process("predict", priced, "ask.json", "--engine", "onnx")
    by_onnx = [json.loads(line)["price"] for line in result.text.splitlines()]
    assert by_onnx == pytest.approx(by_mxnet, rel=1e-5)


def test_a_few_rows_are_shown(flats: Path, fresh: Path, in_process: InProcess) -> None:
    options = ("--train", flats, "--test", fresh, "--ignore", "label", "--target", "price")
    shown = in_process("train", "tabular", *QUICK, *options)
    assert shown.code == 0, shown.stderr
    line = r"^price [\d,.]+, is [\d,]+ +(size [\d.]+, )?place \w+, built \d{4}, noise"
    assert re.search(line, shown.text, re.MULTILINE), shown.text


def test_costs_choose_the_threshold(flats: Path, fresh: Path, in_process: InProcess) -> None:
    """A miss that costs ten times a false alarm is avoided."""
    missed = {}
    for name, costs in {"half": (), "cost": ("--cost-fn", 10, "--cost-fp", 1)}.items():
        options = ("--ignore", "price", "--holdout", 0.4, "--positive", "yes", *costs)
        command = ("train", "tabular", "--train", flats, *QUICK, *options, "--output", name)
        assert in_process(*command).code == 0
        found = in_process("evaluate", name, "--test", fresh, "--json").json
        missed[name] = found["confusion"][1][0]
        assert ("cost" in found["metrics"]) == (name == "cost")
    assert missed["cost"] < missed["half"]


@pytest.mark.parametrize("network", ["linear", "mlp", "resnet"])
@pytest.mark.parametrize("target", ["price", "label"])
def test_every_network_learns_every_target(
    flats: Path, in_process: InProcess, network: str, target: str
) -> None:
    options = ("--target", target, "--network", network, "--dropout", 0.1, "--epochs", 2)
    result = in_process("train", "tabular", "--train", flats, *QUICK, *options, "--json")
    assert result.code == 0, result.stderr
    assert np.isfinite(result.json["metrics"]["validation:loss"])


def test_many_categories_several_targets_and_dates(in_process: InProcess) -> None:
    """300 codes, each of which decides; two numbers at once; a time."""
    rng = np.random.default_rng(3)
    codes, days = rng.integers(0, 300, 1500), rng.integers(0, 700, 1500)
    dates = np.datetime64("2020-01-01") + days
    rows = [f"k{c:03},{d},{c % 7},{c % 5 + t / 1000}" for c, d, t in zip(codes, dates, days)]
    (in_process.folder / "t.csv").write_text("code,day,a,b\n" + "\n".join(rows) + "\n")
    options = ("--target", "a,b", "--epochs", 15, "--members", 2, "--hidden", 32)
    result = in_process("train", "tabular", "--train", "t.csv", *options, "--json")
    assert result.code == 0, result.stderr
    assert result.json["metrics"]["validation:r2"] > 0.9
    (answer,) = answers(
        in_process,
        in_process.folder / "models" / "tabular",
        [{"code": "k008", "day": "2021-01-01"}],
    )
    assert set(answer) == {"a", "b"}
    assert in_process("export", "models/tabular").code == 0


@pytest.mark.parametrize(
    ("cells", "shown"),
    [
        (["2023-01-01", "2018-05-31"], "2023-01-01"),
        (["2023-01-01 10:15", "2018-05-31 08:30"], "2023-01-01T10:15"),
    ],
)
def test_a_date_of_the_example_is_the_one_of_the_table(
    cells: list[str], shown: str, tmp_path: Path
) -> None:
    lines = [f"{cell},{i % 2}" for i, cell in enumerate(cells * 30)]
    (tmp_path / "t.csv").write_text("\n".join(["when,y", *lines]) + "\n")
    schema = Schema.infer(read_table(tmp_path / "t.csv"), Overrides(target="y"))
    row = schema.dataset(read_table(tmp_path / "t.csv")).take(np.zeros(1, np.int64))[0][0]
    assert record_of(schema, row) == {"when": shown}


def test_what_cannot_be_learned_is_refused(flats: Path, in_process: InProcess) -> None:
    for options, fault in {
        ("--target", "prise"): "price",
        ("--target", "noise", "--log-target", "true"): "has no logarithm there",
        ("--target", "size", "--target-kind", "classes", "--cost-fn", 2): "give both",
    }.items():
        result = in_process("train", "tabular", "--train", flats, *QUICK, *options)
        assert result.code == 2
        assert fault in result.stderr
        assert "Traceback" not in result.stderr
    assert not (in_process.folder / "models").exists()
