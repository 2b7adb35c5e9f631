"""One stream of metrics: the log, its regular expressions, the JSON lines, strangers' listeners."""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path

import pytest
from algoshelf.algorithms.mnist_cnn import MnistCnn

from tests.conftest import InProcess
from tests.registry.conftest import Site

QUICK = ("--epochs", 2, "--batch-size", 50)  # 18 steps, for the tenth of 500 is held out


@pytest.fixture
def data(few: Path) -> tuple[object, ...]:
    return "--train", few, "--test", few


def test_every_metric_definition_finds_its_figures_in_a_real_log(
    in_process: InProcess, tmp_path: Path, data: tuple[object, ...]
) -> None:
    done = in_process("train", "mnist-cnn", *data, *QUICK, "--metrics", "logs/metrics.jsonl")
    assert done.code == 0, done.stderr
    lines = (tmp_path / "logs" / "metrics.jsonl").read_text().splitlines()
    written = [json.loads(line) for line in lines]
    assert [entry["epoch"] for entry in written] == [1, 2, 2]
    assert [entry["step"] for entry in written] == [9, 18, 18]
    definitions = in_process("info", "mnist-cnn", "--json").json["metric_definitions"]
    names = {definition["Name"] for definition in definitions}
    unheard = names - {name for entry in written for name in entry}
    assert {name for entry in written for name in entry} - {"epoch", "step"} <= names
    assert all(MnistCnn.metrics[name].startswith("Of two classes:") for name in unheard)
    assert len(definitions) <= 40
    for definition in definitions:
        assert len(definition["Regex"]) <= 500
        found = [float(figure) for figure in re.findall(definition["Regex"], done.stderr, re.M)]
        figures = [entry[definition["Name"]] for entry in written if definition["Name"] in entry]
        if definition["Name"] == MnistCnn.objective.metric:
            figures.append(max(figures))  # SageMaker takes the last one: it is the model's
        assert found == pytest.approx(figures, rel=1e-5)


def test_metrics_that_cannot_be_written_are_refused_before_training(
    in_process: InProcess, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    result = in_process("train", "mnist-cnn", *QUICK, "--metrics", "file/metrics.jsonl")
    assert result.code == 2
    assert "file/metrics.jsonl: cannot be written" in result.stderr
    assert "epoch=" not in result.stderr


LISTENER = """
import json
from algoshelf.core import Reporter, hookimpl

class Listener(Reporter):
    def __init__(self, name, output):
        self.begun = {"name": name, "output": str(output)}
    def metrics(self, values, *, epoch, step):
        with open("heard.jsonl", "a") as stream:
            print(json.dumps({**self.begun, "epoch": epoch, **values}), file=stream)
        FAIL

@hookimpl
def algoshelf_reporter(algorithm, hyperparameters, output):
    return Listener(algorithm, output) if hyperparameters["epochs"] == 2 else None
"""


def test_a_plugin_hears_every_metric(site: Site, tmp_path: Path, data: tuple[object, ...]) -> None:
    site.install("acme-listener", LISTENER.replace("FAIL", ""))
    assert site("train", "mnist-cnn", *data, *QUICK).code == 0
    heard = [json.loads(line) for line in (tmp_path / "heard.jsonl").read_text().splitlines()]
    assert [entry["epoch"] for entry in heard] == [1, 2, 2]
    assert heard[0]["name"] == "mnist-cnn"
    assert heard[0]["output"] == "models/mnist-cnn"
    assert "validation:accuracy" in heard[0]
    assert "test:accuracy" in heard[2]
    assert site("train", "mnist-cnn", *data, "--epochs", 1).code == 0
    assert len((tmp_path / "heard.jsonl").read_text().splitlines()) == 3


def test_a_listener_that_raises_is_dropped_and_the_training_goes_on(
    site: Site, tmp_path: Path, data: tuple[object, ...]
) -> None:
    site.install("acme-listener", LISTENER.replace("FAIL", "raise OSError('no network')"))
    result = site("train", "mnist-cnn", *data, *QUICK)
    assert result.code == 0
    assert result.stderr.count("warning: plugin 'acme_listener' of acme-listener is dropped") == 1
    assert "OSError: no network" in result.stderr
    assert len((tmp_path / "heard.jsonl").read_text().splitlines()) == 1


def test_tensorboard_gets_every_scalar(
    in_process: InProcess, tmp_path: Path, data: tuple[object, ...]
) -> None:
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event

    result = in_process("train", "mnist-cnn", *data, *QUICK, ALGOSHELF_TENSORBOARD="board")
    assert result.code == 0, result.stderr
    (path,) = (tmp_path / "board").iterdir()
    content, scalars = path.read_bytes(), set()
    while content:  # records: length, its checksum, data, its checksum
        (length,) = struct.unpack("<Q", content[:8])
        event = Event.FromString(content[12 : 12 + length])
        scalars |= {(value.tag, event.step) for value in event.summary.value}
        content = content[16 + length :]
    assert {
        ("validation/accuracy", 9),
        ("validation/accuracy", 18),
        ("test/accuracy", 18),
    } <= scalars
