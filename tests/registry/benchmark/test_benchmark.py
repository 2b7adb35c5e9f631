"""benchmark: what is measured, how it is summed up, compared and reported."""

from __future__ import annotations

import json
import random
import re
import socket
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Callable, Sequence

import numpy as np
import pytest
from algoshelf.core.benchmark import Figure, Objective, Place, Point, Record, Run
from algoshelf.registry.benchmark.compare import compare, ratio_of
from algoshelf.registry.benchmark.figures import FIGURES
from algoshelf.registry.benchmark.page import page
from algoshelf.registry.benchmark.serving import measure_serving
from algoshelf.registry.statistics import student_quantile

from tests.conftest import ROOT, Algoshelf, write_idx
from tests.registry.conftest import Site

OBJECTIVE = Objective(metric="validation:accuracy", maximize=True, target=0.9)


@dataclass(frozen=True)
class Measured:
    """What one command of ``benchmark`` left."""

    folder: Path
    records: list[dict[str, Any]]
    document: dict[str, Any]


@pytest.fixture(scope="module")
def measured(
    tmp_path_factory: pytest.TempPathFactory, digits: tuple[np.ndarray, np.ndarray]
) -> Measured:
    """mnist-cnn on 100 digits, on one device and on two, and served."""
    folder = tmp_path_factory.mktemp("benchmark")
    (folder / "digits").mkdir()
    for name, array in zip(("train-images-idx3-ubyte", "train-labels-idx1-ubyte"), digits):
        write_idx(folder / "digits" / name, array)
    settings = ("--devices", "cpu,cpu:2", "--batch-sizes", 30, "--epochs", 2, "--repeats", 1)
    serving = ("--serving", "--connections", "1,3", "--seconds", 0.5)
    done = Algoshelf(folder)(
        "benchmark", "mnist-cnn", "--train", "digits", *settings, *serving,
        "--output", "out", "--json", OMP_NUM_THREADS="1",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    lines = (folder / "out" / "results.jsonl").read_text().splitlines()
    return Measured(folder / "out", [json.loads(line) for line in lines], done.json)


def test_each_setting_is_a_record_of_its_runs(measured: Measured) -> None:
    assert measured.document["records"] == measured.records
    one, two, _ = measured.records
    assert (one["contexts"], two["contexts"]) == (["cpu(0)"], ["cpu(0)", "cpu(1)"])
    for record in (one, two):
        (run,) = record["runs"]
        figures = run["figures"]
        assert record["batch_size"] == 30
        assert [point["epoch"] for point in run["curve"]] == [1, 2]
        seconds = [point["seconds"] for point in run["curve"]]
        assert 0 < seconds[0] < seconds[1] < figures["process_seconds"]
        assert figures["setup_seconds"] + seconds[1] < figures["process_seconds"]
        # the second epoch alone, of three steps, which is a part of the time between two reports
        told = run["curve"][1]["metrics"]["train:throughput"]
        assert figures["throughput"] == pytest.approx(told)
        assert 90 / figures["throughput"] < seconds[1] - seconds[0]
        assert figures["final"] == run["curve"][1]["metrics"]["validation:accuracy"]
        assert 0 <= figures["data_wait"] < 1
        assert figures["peak_memory_mb"] > 100
        assert record["summary"]["throughput"]["mean"] == pytest.approx(figures["throughput"])


def test_a_record_holds_what_repeats_it_and_no_name_of_a_machine(measured: Measured) -> None:
    record = measured.records[0]
    said = "OMP_NUM_THREADS=1 algoshelf benchmark mnist-cnn --train digits --devices"
    assert record["command"].startswith(said)
    assert len(record["data"]["train"]) == 64
    assert record["environment"]["threads"] == 1
    assert {"processor", "cores", "gpus", "python", "mxnet", "numpy"} <= set(record["environment"])
    assert record["runs"][0]["seed"] == 1
    for file in measured.folder.iterdir():
        text = file.read_text()
        assert str(measured.folder.parent) not in text
        assert "/tmp" not in text
        assert socket.gethostname() not in text


def test_scaling_is_against_one_device_with_the_same_threads(measured: Measured) -> None:
    one, two = (r["summary"]["throughput"]["mean"] for r in measured.records[:2])
    (found,) = measured.document["scaling"]
    assert found["devices"] == "cpu:2"
    assert found["speed"] == pytest.approx(two / one)
    assert found["efficiency"] == pytest.approx(two / one / 2)


def test_serving_is_measured_by_connections(measured: Measured) -> None:
    served = measured.records[2]
    assert served["kind"] == "serving"
    figures = served["runs"][0]["figures"]
    assert figures["cold_start_seconds"] > 0
    for count in (1, 3):
        assert figures[f"failed_requests@{count}"] == 0
        assert 0 < figures[f"p50_ms@{count}"] <= figures[f"p99_ms@{count}"]
        # closed loops: so many are in flight all the time, each for its latency
        rate = figures[f"requests_per_second@{count}"]
        assert rate * figures[f"p50_ms@{count}"] / 1000 < 2 * count


def test_the_page_holds_its_plots_and_needs_nothing_else(measured: Measured) -> None:
    html = (measured.folder / "report.html").read_text()
    titles = [drawing.findtext("title") for drawing in drawings(html)]
    assert titles == [
        "learning curves",
        "throughput of each setting",
        "scaling",
        "requests",
        "latency",
    ]
    assert not re.search(r"https?:|src=|<script|@import|url\(", html)
    markdown = (measured.folder / "report.md").read_text()
    for record in measured.records[:2]:
        assert f"| {record['devices']}, batch 30 | " in markdown
    assert measured.records[0]["command"] in markdown


def drawings(html: str) -> list[ElementTree.Element]:
    """The SVGs of a page, each well-formed, all numbers finite."""
    found = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert not any(re.search(r"\b(nan|inf)\b", drawn) for drawn in found)
    return [ElementTree.fromstring(drawn) for drawn in found]


def test_time_to_target_is_when_the_first_report_reached_it(algoshelf: Algoshelf) -> None:
    done = algoshelf(
        "benchmark",
        "kmeans",
        "--k",
        3,
        "--target-metric",
        "train:msd=0.6",
        "--repeats",
        1,
        "--json",
    )
    assert done.code == 0, done.stderr
    (record,) = done.json["records"]
    (run,) = record["runs"]
    reached = [p["seconds"] for p in run["curve"] if p["metrics"]["train:msd"] <= 0.6]
    assert run["figures"]["seconds_to_target"] == reached[0]
    assert done.json["output"] == "benchmarks/kmeans"
    again = algoshelf("benchmark", "kmeans", "--repeats", 1)
    assert again.code == 2
    assert "benchmarks/kmeans: exists already" in again.stderr
    (algoshelf.folder / "afile").write_text("mine")
    below = algoshelf("benchmark", "kmeans", "--repeats", 1, "--output", "afile/out")
    assert below.code == 2
    assert "afile/out: cannot be written" in below.stderr


def test_all_faults_of_a_command_line_are_told_at_once(algoshelf: Algoshelf) -> None:
    done = algoshelf(
        "benchmark", "mnist-cnn", "--devices", "cpu,tpu", "--batch-sizes", "64,x", "--epochs", 0,
        "--target-metric", "train:loss=low", "--repeats", 0, "--seconds", 3, "--batch-size", 5,
    )  # fmt: skip
    assert done.code == 2
    for fault in (
        "--devices: expected a list of auto",
        "--batch-size: expected a whole number from 1 to 65536, got 'x'",
        "--epochs: expected a whole number from 1",
        "the objective of mnist-cnn is validation:accuracy, not 'train:loss'",
        "--target-metric: expected a number, got 'low'",
        "--repeats: expected a whole number from 1 to 100, got '0'",
        "--seconds: belongs to --serving",
        "--batch-size: no such option (did you mean '--batch-sizes'?)",
    ):
        assert fault in done.stderr


def test_a_target_that_no_accuracy_has_is_refused(algoshelf: Algoshelf) -> None:
    done = algoshelf("benchmark", "mnist-cnn", "--target-metric", 95)
    assert done.code == 2
    assert "expected a number from 0 to 1 for validation:accuracy, got 95" in done.stderr


def test_what_cannot_be_trained_ends_the_measurement(algoshelf: Algoshelf, tmp_path: Path) -> None:
    done = algoshelf("benchmark", "mnist-cnn", "--devices", "cpu:2", "--batch-sizes", 5, "--json")
    assert done.code == 2
    assert "a batch of 5 cannot be split evenly over 2 devices" in done.json["error"]["message"]
    assert not (tmp_path / "benchmarks").exists()


FAILING = """
import os
from algoshelf.core import Algorithm, Channel, Hyperparameters, Objective, TrainingError, hookimpl

class Failing(Algorithm):
    name, task, summary = "failing", "clustering", "Fails, each seed in its way."
    Hyperparameters = type("None_", (Hyperparameters,), {})
    channels = (Channel("train", "anything", ("CSV",), required=True),)
    accepts = response_types = ()
    metrics = {"train:msd": "never told"}
    objective = Objective("train:msd", maximize=False)
    def train(self, run):
        if run.seed == 1:
            raise TrainingError("it went astray in " + str(run.folder))
        os.kill(os.getpid(), 9)
    def input_fn(self, request_body, request_content_type): ...
    def predict_fn(self, input_data, model): ...
    def output_fn(self, prediction, accept): ...

@hookimpl
def algoshelf_algorithms():
    return [Failing]
"""


def test_a_server_that_fails_is_a_failed_run_and_those_before_it_are_kept(
    site: Site, tmp_path: Path
) -> None:
    """The model's folder goes while it is served."""
    model = tmp_path / "model"
    assert site("train", "kmeans", "--output", model).code == 0
    trained = record([{"throughput": 1.0}], algorithm="kmeans")
    told: list[str] = []
    measured = measure_serving(trained, model, 2, connections=[1], seconds=0.2, tell=told.append)
    first = next(measured)
    (model / "model-0000.params").write_bytes(b"")
    second = next(measured)
    assert len(first.runs) == 1
    assert first.failures == []
    assert second.runs[0] == first.runs[0]
    assert "the server does not get ready" in second.failures[0]
    assert str(tmp_path) not in second.failures[0]
    assert "does not get ready" in page([trained, second])
    assert "does not get ready" in page(
        [trained, second.model_copy(update={"runs": second.runs[1:]})]
    )


def test_a_run_that_fails_is_reported_and_the_others_go_on(site: Site, tmp_path: Path) -> None:
    site.install("acme-failing", FAILING)
    (tmp_path / "x.csv").write_text("1\n")
    arguments = ("failing", "--train", "x.csv", "--repeats", 2, "--output", "out", "--json")
    done = site("benchmark", *arguments)
    assert done.code == 1, done.stderr
    (record,) = done.json["records"]
    first, second = (run["failure"] for run in record["runs"])
    assert first.startswith("it went astray in (scratch)")
    assert second == "the process was killed by signal 9"
    assert record["summary"] == {}
    assert "2 runs failed" in done.stderr
    assert "killed by signal 9" in (tmp_path / "out" / "report.html").read_text()


# Summing up


def record(runs: Sequence[dict[str, float]], place: Place | None = None, **changes: Any) -> Record:
    """A record of made-up ``runs``."""
    values: dict[str, Any] = {
        "kind": "training",
        "command": "algoshelf benchmark acme",
        "algorithm": "acme",
        "algorithm_version": "1",
        "devices": "cpu",
        "contexts": ["cpu(0)"],
        "batch_size": 64,
        "objective": OBJECTIVE,
        "place": place,
        "runs": [Run(seed=i, figures=figures) for i, figures in enumerate(runs, 1)],
    }
    return Record(**{**values, **changes})


def test_of_five_runs_the_least_and_the_greatest_are_dropped() -> None:
    five = record([{"throughput": value} for value in (100, 10, 40, 30, 20)]).summary["throughput"]
    assert (five.mean, five.averaged, five.dropped) == (30, 3, 2)
    assert (five.least, five.most) == (10, 100)
    four = record([{"throughput": value} for value in (100, 10, 40, 30)]).summary["throughput"]
    assert (four.mean, four.averaged, four.dropped) == (45, 4, 0)


def test_a_run_that_misses_the_target_counts_as_the_slowest() -> None:
    times = [{"seconds_to_target": value} for value in (5.0, 6.0, 7.0, 9.0)]
    once = record([*times, {}]).summary["seconds_to_target"]
    assert (once.mean, once.missed) == (pytest.approx(22 / 3), 1)
    twice = record([*times[:3], {}, {}]).summary["seconds_to_target"]
    assert (twice.mean, twice.missed) == (None, 2)
    assert "missed by 2 of 5" in page([record([*times[:3], {}, {}])]).replace("&nbsp;", " ")


def test_dollars_are_the_hours_to_the_target_with_setting_up() -> None:
    runs = [{"seconds_to_target": 3540.0, "setup_seconds": 60.0}]
    place = Place(instance_type="ml.g4dn.xlarge", instances=2, dollars_an_hour=0.736)
    assert record(runs, place).dollars_to_target == pytest.approx(1.472)
    assert record(runs).dollars_to_target is None


def test_the_page_names_the_cheapest_and_the_fastest_and_marks_the_front() -> None:
    remote = [
        record([{"seconds_to_target": seconds}], Place(instance_type=name, dollars_an_hour=price))
        for name, seconds, price in (
            ("ml.slow", 3600.0, 1.0),
            ("ml.fast", 360.0, 20.0),
            ("ml.worse", 3000.0, 3.0),
            ("ml.worst", 4000.0, 30.0),
        )
    ]
    html = page(remote)
    assert "Cheapest to the target: ml.slow, cpu, batch 64, $1.00." in html
    assert "Fastest to the target: ml.fast, cpu, batch 64, 360 s." in html
    assert "Pareto front: ml.slow, cpu, batch 64; ml.fast, cpu, batch 64." in html
    (plot,) = (d for d in drawings(html) if d.findtext("title") == "time and cost")
    circles = [element for element in plot if element.tag == "circle"]
    assert [float(circle.attrib["r"]) > 5 for circle in circles] == [True, True, False, False]


def test_a_name_is_text_on_the_page() -> None:
    html = page([record([{"throughput": 1.0}], algorithm="<script>x</script>")])

    class Tags(HTMLParser):
        found: set[str] = set()

        def handle_starttag(self, tag: str, attributes: object) -> None:
            self.found.add(tag)

    Tags().feed(html)
    assert "script" not in Tags.found


# Comparing


Write = Callable[..., Path]
EMPTY = json.dumps({**json.loads(record([{}]).model_dump_json()), "runs": []})


@pytest.fixture
def written(tmp_path: Path) -> Write:
    """Writes a results.jsonl of throughputs into a folder, and gives its name."""

    def write(name: str, *throughputs: float, **changes: Any) -> Path:
        found = record([{"throughput": value, "final": 0.9} for value in throughputs], **changes)
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        with (folder / "results.jsonl").open("a") as stream:
            print(found.model_dump_json(), file=stream)
        return Path(name)

    return write


def compared(algoshelf: Algoshelf, *arguments: object) -> tuple[int, dict[str, dict[str, Any]]]:
    done = algoshelf("benchmark", "compare", *arguments, "--json")
    (document,) = done.json["compared"]
    return done.code, {each["figure"]: each for each in document["comparisons"]}


def test_noise_is_no_difference(algoshelf: Algoshelf, written: Write) -> None:
    a = written("a", 1000, 1040, 980, 1010, 990)
    b = written("b", 960, 1030, 990, 940, 1000)
    code, found = compared(algoshelf, a, b, "--fail-below", 0.99)
    assert code == 0
    assert found["throughput"]["verdict"] == "no difference"
    assert found["throughput"]["low"] < 1 < found["throughput"]["high"]
    assert found["final"]["verdict"] == "no difference"
    assert found["final"]["ratio"] == 1


def test_what_is_slower_fails_and_what_is_faster_does_not(
    algoshelf: Algoshelf, written: Write
) -> None:
    a, b = written("a", 1000, 1010, 990), written("b", 800, 805, 795)
    code, found = compared(algoshelf, a, b, "--fail-below", 0.95)
    assert code == 1
    assert found["throughput"]["verdict"] == "worse"
    assert found["throughput"]["ratio"] == pytest.approx(0.8, rel=0.01)
    code, found = compared(algoshelf, b, a, "--fail-below", 0.95)
    assert code == 0
    assert found["throughput"]["verdict"] == "better"
    assert compared(algoshelf, a, b)[0] == 0
    told = algoshelf("benchmark", "compare", a, b, "--fail-below", 0.95)
    assert "b: acme, cpu, batch 64: throughput is at 0.800" in told.stderr
    assert "worse" in told.text


def test_one_run_tells_nothing_but_its_ratio(algoshelf: Algoshelf, written: Write) -> None:
    a, b = written("a", 1000), written("b", 930)
    code, found = compared(algoshelf, a, b, "--fail-below", 0.95)
    assert code == 1
    assert found["throughput"]["low"] is None
    assert found["throughput"]["verdict"] == "one run tells nothing"


def of(name: str, *values: float | None, **changes: Any) -> list[Record]:
    """A record whose runs have the figure ``name``, or none of it."""
    return [record([{} if v is None else {name: v} for v in values], **changes)]


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        (of("final", 0.9, 0.91, 0.9), of("final", 0.0, 0.01, 0.0), "worse"),
        (of("final", 0.9, 0.91, 0.9), of("final", 0.0, 0.0, 0.0), "worse"),
        (of("final", -0.5, 0.5, 0.1), of("final", 0.2, -0.4, 0.3), "no difference"),
        (of("final", 0.0), of("final", 0.5), "one run tells nothing"),
        (of("final", 0.0, 0.0), of("final", 0.0, 0.0), "no difference"),
        (of("seconds_to_target", 10, 11, 12, None), of("seconds_to_target", 100, 101, 102, None),
         "worse"),
        (of("seconds_to_target", 10, 11, 12, None), of("seconds_to_target", 10, None), "worse"),
        (of("seconds_to_target", 10, None), of("seconds_to_target", 10, 11, 10, None, None, 12),
         "better"),
        (of("p99_ms@1", 1, 1), of("p99_ms@1", 1, 1e140), "runs too unlike to tell"),
        (of("throughput", 10, 11, 30), of("throughput", 12, 29, 10), "runs too unlike to tell"),
    ],
)  # fmt: skip
def test_what_has_no_ratio_is_judged_as_well(
    before: list[Record], after: list[Record], verdict: str
) -> None:
    found = compare(before, after)
    (judged,) = (c for c in found.comparisons if c.figure in after[0].runs[0].figures)
    assert judged.verdict == verdict
    assert bool(found.failing(0.95)) == (verdict == "worse")
    json.dumps(judged.to_dict(), allow_nan=False)


def test_what_another_target_makes_different_is_not_judged() -> None:
    figures = {"seconds_to_target": 3.0, "final": 0.9, "throughput": 10.0}
    other = OBJECTIVE.model_copy(update={"target": 0.5})
    found = compare([record([figures] * 2)], [record([figures] * 2, objective=other)])
    assert [c.figure for c in found.comparisons] == ["throughput"]
    assert "objective target differs: 0.9, then 0.5" in found.notes


def test_auto_is_what_it_means() -> None:
    auto, cpu = (of("throughput", 1.0, 2.0, devices=devices) for devices in ("auto", "cpu"))
    assert compare(auto, cpu).lost == []


def test_the_throughput_of_a_warm_up_counts_only_where_there_is_no_other() -> None:
    def run(seed: int, value: float, epochs: int) -> Run:
        notes = ["one epoch alone: its throughput includes the warm-up"] * (epochs == 1)
        return Run(seed=seed, figures={"throughput": value}, notes=notes)

    steady, warm = [run(1, 100, 2), run(2, 110, 2)], [run(3, 20, 1), run(4, 30, 1)]
    mixed = record([{}]).model_copy(update={"runs": [*steady, *warm]})
    assert mixed.summary["throughput"].mean == 105
    assert mixed.values("throughput") == [100, 110]
    alone = mixed.model_copy(update={"runs": warm})
    assert alone.summary["throughput"].mean == 25


def test_the_fastest_is_not_named_without_doubt_where_it_is_too_close() -> None:
    def timed(devices: str, *seconds: float) -> Record:
        return of("seconds_to_target", *seconds, devices=devices)[0]

    close = page([timed("cpu", 10, 14), timed("cpu:2", 9, 14)])
    assert "Fastest to the target: cpu:2, batch 64, 11.5 s, too close to cpu, batch 64 to" in close
    clear = page([timed("cpu", 10, 10.1), timed("cpu:2", 5, 5.1)])
    assert "Fastest to the target: cpu:2, batch 64, 5.05 s." in clear


def test_another_place_is_said() -> None:
    places = [Place(instance_type=name, instances=n) for name, n in (("ml.a", 1), ("ml.b", 4))]
    one, two = (of("throughput", 1.0, 2.0, place=place) for place in places)
    assert "place instances differs: 1, then 4" in compare(one, two).notes


def test_instances_of_two_types_are_two_lines_of_the_scaling_plot() -> None:
    remote = [
        record(
            [{"throughput": 100.0 * speed}],
            Place(instance_type=name, instances=count),
            contexts=["gpu(0)"],
        )
        for name, count, speed in (
            ("ml.a", 1, 1.0), ("ml.a", 2, 1.9), ("ml.b", 1, 4.0), ("ml.b", 2, 5.0),
        )
    ]  # fmt: skip
    html = page(remote)
    (plot,) = (d for d in drawings(html) if d.findtext("title") == "scaling")
    lines = [e for e in plot if e.tag == "path" and "line" in e.attrib["class"]]
    assert len(lines) == 2
    assert "ml.a, gpu, batch 64" in html


def test_what_differs_besides_and_what_is_gone_is_said(
    algoshelf: Algoshelf, written: Write
) -> None:
    a = written("a", 1000, 1001, environment={"threads": 2})
    written("a", 1000, 1001, devices="gpu", contexts=["gpu(0)"])
    written("a", 1000, 1001, kind="serving")
    b = written("b", 1000, 1002, environment={"threads": 1})
    done = algoshelf("benchmark", "compare", a, b, "--fail-below", 0.5)
    assert done.code == 1
    assert "environment threads differs: 2, then 1" in done.stderr
    assert "gpu, batch 64: was not measured" in done.stderr
    assert "serving, cpu, batch 64: was not measured" in done.stderr


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("{", "results.jsonl:2: line: Invalid JSON"),
        ('{"schema_version": 2}', "results.jsonl:2: schema_version: Input should be 1"),
        ('{"schema_version": 1}', "results.jsonl:2: kind: Field required"),
        (EMPTY, "results.jsonl:2: runs: List should"),
    ],
)
def test_what_is_no_record_is_named_by_its_line(
    algoshelf: Algoshelf, written: Write, tmp_path: Path, line: str, fault: str
) -> None:
    a = written("a", 1000, 1001)
    with (tmp_path / "a" / "results.jsonl").open("a") as stream:
        print(line, file=stream)
    done = algoshelf("benchmark", "compare", a, a)
    assert done.code == 2
    assert fault in done.stderr


@pytest.mark.parametrize(
    ("probability", "degrees", "expected"),
    # D. B. Owen, "Handbook of statistical tables", 1962
    [(0.975, 1, 12.7062), (0.975, 4, 2.7764), (0.995, 8, 3.3554), (0.95, 30, 1.6973)],
)
def test_quantiles_are_those_of_the_tables(
    probability: float, degrees: float, expected: float
) -> None:
    assert student_quantile(probability, degrees) == pytest.approx(expected, abs=1e-4)


def test_an_interval_holds_the_ratio_as_often_as_it_says() -> None:
    rng = random.Random(1)
    held = 0
    for _ in range(400):
        first = [rng.lognormvariate(0, 0.05) for _ in range(5)]
        second = [rng.lognormvariate(0.1, 0.1) for _ in range(4)]
        _, low, high = ratio_of(first, second, 0.9)
        assert low is not None
        assert high is not None
        held += low <= np.exp(0.1) <= high
    assert held / 400 == pytest.approx(0.9, abs=0.045)  # three standard errors


# The schema


def test_the_document_tells_of_every_field() -> None:
    text = (ROOT / "docs" / "benchmark.md").read_text()
    parts = [Record, Run, Point, Objective, Place, Figure]
    names = [name for part in parts for name in (*part.model_fields, *part.model_computed_fields)]
    assert len(names) > 30
    for name in [*names, *FIGURES]:
        assert re.search(rf"`(runs\[\]\.)?{name}(@N)?`", text), name
