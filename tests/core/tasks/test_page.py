"""docs/tasks.md is true: each of its plugins is short, passes ``algoshelf check``, and works."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from algoshelf.core.conformance import CHECKS

from tests.conftest import ROOT
from tests.core.serving.conftest import serving
from tests.project.test_docs import blocks
from tests.registry.conftest import install

PAGE = ROOT / "docs" / "tasks.md"
MAX_LINES = 60
DATA, *COMMANDS = blocks(PAGE, "sh")
PLUGINS = {re.search(r'name = "(.+)"', code)[1]: code for code in blocks(PAGE, "python")}  # type: ignore[index]
OF_PLUGINS = dict(zip(PLUGINS, COMMANDS))
# The battery trains it with all that there is for two classes.
WEIGHED = (
    PLUGINS["wide-petals"]
    .replace('"wide-petals"', '"weighed-petals"')
    .replace(
        "    standardize_inputs",
        '    check_hyperparameters = {"threshold": "f1", "class_weights": "balanced"}\n'
        "    standardize_inputs",
    )
)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """With all the plugins of the page installed."""
    site = tmp_path_factory.mktemp("site")
    for name, code in PLUGINS.items():
        install(site, name, code)
    install(site, "weighed-petals", WEIGHED)
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": programs, "PYTHONPATH": str(site), "COLUMNS": "100"}


@pytest.fixture(scope="module")
def flowers(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the page's data."""
    folder = tmp_path_factory.mktemp("flowers")
    run(DATA, folder, environment)
    return folder


def run(commands: str, folder: Path, environment: dict[str, str]) -> str:
    shown = ""
    for line in commands.splitlines():
        done = subprocess.run(
            ["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        shown += done.stdout
    return shown


@pytest.fixture(scope="module")
def shown(flowers: Path, environment: dict[str, str]) -> str:
    """What the commands of the regression print; the model is in models/petal-width."""
    return run(OF_PLUGINS["petal-width"], flowers, environment)


def test_the_page_has_short_plugins() -> None:
    assert list(PLUGINS) == [
        *("wide-petals", "petal-width", "petal-labels", "flower-autoencoder", "book-tastes"),
        "cafe-guests",
    ]
    assert len(COMMANDS) == len(PLUGINS)
    assert all(code.count("\n") < MAX_LINES for code in PLUGINS.values())


def passes(name: str, shown: str) -> bool:
    return f"{name}: {len(CHECKS)} of {len(CHECKS)} checks passed" in shown


def test_the_two_classes_of_the_page_are_told_apart_by_what_a_mistake_costs(
    flowers: Path, environment: dict[str, str]
) -> None:
    shown = run(OF_PLUGINS["wide-petals"], flowers, environment)
    assert passes("wide-petals", shown)
    assert re.search(
        r"^positive class +wide, from a probability of 0\.\d+ on$", shown, re.MULTILINE
    )
    asked = "algoshelf evaluate models/{} --test others.csv --json"
    by_cost, balanced = (
        json.loads(run(asked.format(name), flowers, environment))
        for name in ("wide-petals", "balanced")
    )
    assert by_cost["positive"] == balanced["positive"] == "wide"
    assert 0 < by_cost["threshold"] < 0.5
    (_, alarms), (missed, _) = by_cost["confusion"]  # narrow, wide
    assert by_cost["metrics"]["cost"] == pytest.approx((alarms + 5 * missed) / 30)
    assert [each["name"] for each in by_cost["curves"]] == [
        "ROC",
        "precision-recall",
        "calibration",
    ]
    assert by_cost["metrics"]["roc_auc"] > 0.8
    assert "cost" not in balanced["metrics"]
    assert (flowers / "wide.png").read_bytes().startswith(b"\x89PNG")


def test_a_threshold_and_weights_pass_too(flowers: Path, environment: dict[str, str]) -> None:
    """Resumed and in a new process to the byte, on two devices, in ONNX."""
    command = "algoshelf check weighed-petals --channel train=flowers.csv"
    assert passes("weighed-petals", run(command, flowers, environment))


def test_hosts_choose_one_threshold(flowers: Path, environment: dict[str, str]) -> None:
    asked = "algoshelf train weighed-petals --train flowers.csv --epochs 5 --batch-size 16"
    asked += " --holdout 0.4 --class-weights balanced --threshold f1"
    found = []
    for hosts in (1, 2):
        run(f"{asked} --hosts {hosts} --output models/on{hosts}", flowers, environment)
        document = json.loads((flowers / "models" / f"on{hosts}" / "algorithm.json").read_text())
        found.append((document["encoding"]["decision"], document["metrics"]))
    (one, metrics), (other, of_two) = found
    assert one["threshold"] == pytest.approx(other["threshold"], abs=1e-4)
    assert one["positive"] == other["positive"] == "wide"
    assert metrics["validation:f1"] == pytest.approx(of_two["validation:f1"], abs=1e-4)


@pytest.mark.apart
def test_the_labels_of_the_page_are_told(flowers: Path, environment: dict[str, str]) -> None:
    shown = run(OF_PLUGINS["petal-labels"], flowers, environment)
    assert passes("petal-labels", shown)
    answer = json.loads(shown.splitlines()[-1])
    assert list(answer) == ["labels", "probabilities"]
    given = [name for name, value in answer["probabilities"].items() if value >= 0.5]
    assert answer["labels"] == given
    asked = "algoshelf evaluate models/petal-labels --test others.csv --json"
    found = json.loads(run(asked, flowers, environment))
    assert found["metrics"]["micro_f1"] > 0.7
    assert [each["name"] for each in found["labels"]] == ["wide_petal", "long_petal"]
    assert re.search(r"long_petal +[01]\.\d{4}", shown)
    assert (flowers / "labels.png").read_bytes().startswith(b"\x89PNG")


def test_the_autoencoder_of_the_page_tells_what_is_unusual(
    flowers: Path, environment: dict[str, str]
) -> None:
    shown = run(OF_PLUGINS["flower-autoencoder"], flowers, environment)
    assert passes("flower-autoencoder", shown)
    usual = json.loads(shown.splitlines()[-1])
    assert list(usual["reconstruction"]) == [
        "petal_width", "sepal_length", "sepal_width", "petal_length"
    ]  # fmt: skip
    (flowers / "odd.csv").write_text("2.5,4.3,4.4,1.0\n")
    odd = json.loads(
        run("algoshelf predict models/flower-autoencoder odd.csv", flowers, environment)
    )
    assert odd["error"] > 3 * usual["error"]
    assert re.search(r"^r2 +0\.9", shown, re.MULTILINE)


@pytest.mark.apart
def test_the_recommender_of_the_page_knows_tastes(
    flowers: Path, environment: dict[str, str]
) -> None:
    shown = run(OF_PLUGINS["book-tastes"], flowers, environment)
    assert passes("book-tastes", shown)
    answer = json.loads(shown.splitlines()[-1])
    assert len({each["item"] for each in answer["items"]}) == 3
    asked = "algoshelf evaluate models/book-tastes --test readers/readers/sample/test.csv --json"
    found = json.loads(run(asked, flowers, environment))
    assert all(found["metrics"]["rmse"] < each["metrics"]["rmse"] for each in found["baselines"])
    assert (flowers / "books.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.apart
def test_the_forecaster_of_the_page_beats_last_week(
    flowers: Path, environment: dict[str, str]
) -> None:
    shown = run(OF_PLUGINS["cafe-guests"], flowers, environment)
    assert passes("cafe-guests", shown)
    answer = json.loads(shown.splitlines()[-1])
    assert len(answer["mean"]) == 7
    low, high = (answer["quantiles"][level] for level in ("0.1", "0.9"))
    assert all(a < b for a, b in zip(low, high))
    asked = "algoshelf evaluate models/cafe-guests --test cafes/cafes/sample/test.csv --json"
    found, rolled = (
        json.loads(run(f"{asked}{more}", flowers, environment)) for more in ("", " --windows 3")
    )
    assert (found["examples"], rolled["examples"]) == (16, 48)
    for metric in ("wql", "mase", "smape", "owa"):
        assert all(
            found["metrics"][metric] < each["metrics"][metric] for each in found["baselines"]
        )
    assert [each["step"] for each in found["steps"]] == [*range(1, 8)]
    assert (flowers / "guests.png").read_bytes().startswith(b"\x89PNG")


def test_the_regression_of_the_page_passes_and_has_two_fifths_of_the_means_error(
    shown: str, flowers: Path, environment: dict[str, str]
) -> None:
    """On 30 real flowers that it never saw."""
    assert passes("petal-width", shown)
    assert re.search(r"^Which columns matter: rmse lost where a column is permuted$", shown, re.M)
    assert (flowers / "widths.png").read_bytes().startswith(b"\x89PNG")
    learned, others = (
        np.loadtxt(flowers / name, delimiter=",")[:, 0] for name in ("flowers.csv", "others.csv")
    )
    of_mean = float(np.sqrt(np.mean((others - learned.mean()) ** 2)))
    asked = "algoshelf evaluate models/petal-width --test others.csv --json"
    found = json.loads(run(asked, flowers, environment))
    assert found["metrics"]["rmse"] < 0.4 * of_mean
    assert found["metrics"]["r2"] > 0.85
    assert found["examples"] == 30
    assert found["intervals"] == {}  # of so few
    (target,) = found["targets"]
    assert target == {"name": "petal_width", **found["metrics"]}
    assert re.search(rf"^rmse +{found['metrics']['rmse']:.4f}$", shown, re.MULTILINE)


def test_its_model_answers_alike_whoever_asks(
    shown: str, flowers: Path, environment: dict[str, str]
) -> None:
    """In each content type: predict, transform and a server; in the unit of the target."""
    rows = list(csv.reader((flowers / "others.csv").open()))
    asked = "".join(",".join(row[1:]) + "\n" for row in rows)
    (flowers / "asked.csv").write_text(asked)
    ask = "algoshelf predict models/petal-width asked.csv --accept"
    lines = run(f"{ask} application/jsonlines", flowers, environment)
    answers = [json.loads(line)["petal_width"] for line in lines.splitlines()]
    truth = [float(row[0]) for row in rows]
    assert len(answers) == len(truth) == 30
    assert np.corrcoef(answers, truth)[0, 1] > 0.9
    whole = json.loads(run(f"{ask} application/json", flowers, environment))
    assert whole == {"predictions": [{"petal_width": answer} for answer in answers]}
    cells = run(f"{ask} text/csv", flowers, environment)
    assert [float(cell) for cell in cells.split()] == answers
    run("algoshelf transform models/petal-width asked.csv answered", flowers, environment)
    (written,) = (flowers / "answered").glob("asked.csv*")
    transformed = [json.loads(line) for line in written.read_text().splitlines()]
    assert [row["petal_width"] for row in transformed] == pytest.approx(answers, rel=1e-5)
    with serving(flowers / "models" / "petal-width", **environment) as server:
        answer = server.ask(asked.encode(), "text/csv", accept="application/json")
        assert answer.status == 200
        served = [row["petal_width"] for row in answer.json["predictions"]]
        assert served == pytest.approx(answers, rel=1e-5)
        huge = server.ask(b"5.1,3.5,1.4\n3e38,3e38,3e38\n", "text/csv")
        assert (huge.status, huge.code) == (422, "unfit_payload")
        assert "example 2: its numbers are too large" in huge.json["error"]["message"]
        assert server.ask(b"1,2\n", "text/csv").status == 422
