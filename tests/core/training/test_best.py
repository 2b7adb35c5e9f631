"""The artifact holds the parameters of the best epoch, however the training came to its end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Mapping

import numpy as np
import pytest
from algoshelf.core import Artifact, Reporter, RunOptions, Stopped, TrainingHyperparameters, train
from algoshelf.core.conformance.trial import StopAt
from algoshelf.core.training import loop

from tests.core.training import acme_judged
from tests.core.training.acme_judged import AcmeJudged, AcmeUnjudged
from tests.registry.conftest import install

OBJECTIVE = "validation:accuracy"


class Log(Reporter):
    """What was said, and the objective of each epoch."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.told: list[tuple[int, int, Mapping[str, float]]] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def metrics(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        self.told.append((epoch, step, dict(values)))

    @property
    def judged(self) -> dict[int, float]:
        return {epoch: values[OBJECTIVE] for epoch, _, values in self.told if OBJECTIVE in values}


def fit(
    folder: Path,
    log: Reporter | None = None,
    *,
    algorithm: Any = AcmeJudged,
    stop: StopAt | None = None,
    seed: int = 1,
    options: Mapping[str, Any] | None = None,
    **changed: Any,
) -> Artifact:
    """10 steps an epoch: 90 examples, 9 a batch; the others are held out."""
    settings = TrainingHyperparameters(**{"epochs": 6, "batch_size": 9, **changed})
    acme_judged.seen.clear()
    run = RunOptions(**{"devices": "cpu", **(options or {})})
    artifact, _ = train(
        algorithm(), {"train": folder}, settings, folder / "m", seed=seed, options=run,
        reporter=log or Reporter(), stop=stop or StopAt(),
    )  # fmt: skip
    assert artifact is not None
    return artifact


def answers(artifact: Artifact) -> np.ndarray:
    """The network's outputs for the examples that were held out."""
    model = artifact.load()
    data = AcmeJudged().dataset(Path(), "train", None)
    rng = np.random.default_rng([artifact.metadata.seed, loop.HOLD_OUT])
    from algoshelf.core.data.dataset import hold_out

    _, held = hold_out(data, 0.1, rng)
    x, _ = held.take(np.arange(len(held)))
    return np.asarray(model.outputs(x))


def best_of(log: Log) -> int:
    return max(log.judged, key=lambda epoch: log.judged[epoch])


@pytest.mark.parametrize("devices", ["cpu", "cpu:3"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_artifact_is_that_of_the_best_epoch(tmp_path: Path, devices: str, seed: int) -> None:
    log = Log()
    artifact = fit(tmp_path, log, seed=seed, options={"devices": devices})
    best = best_of(log)
    assert artifact.metadata.epoch == best
    assert artifact.metadata.metrics[OBJECTIVE] == log.judged[best]
    assert artifact.metadata.metrics["train:loss"] == log.told[best - 1][2]["train:loss"]
    np.testing.assert_allclose(answers(artifact), acme_judged.seen[best - 1], rtol=1e-5, atol=1e-6)
    said = f"the model is that of epoch {best} of 6, the best: {OBJECTIVE}="
    assert any(message.startswith(said) for message in log.messages)


def test_the_seeds_above_have_their_best_epoch_before_the_last(tmp_path: Path) -> None:
    """So that the test above is known to tell."""
    assert any((fit(tmp_path, seed=seed).metadata.epoch or 6) < 6 for seed in (1, 2, 3))


@pytest.mark.parametrize("patience", [1, 2])
def test_patience_ends_with_the_best_and_not_the_last(tmp_path: Path, patience: int) -> None:
    log = Log()
    artifact = fit(tmp_path, log, epochs=50, patience=patience)
    assert artifact.metadata.epoch == best_of(log) == max(log.judged) - patience
    best = acme_judged.seen[best_of(log) - 1]
    np.testing.assert_allclose(answers(artifact), best, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("at", range(1, 18, 2))
def test_a_resumed_run_keeps_the_same(tmp_path: Path, at: int) -> None:
    whole = {path.name: path.read_bytes() for path in fit(tmp_path).folder.iterdir()}
    kept = {"checkpoints": tmp_path / "c"}
    with pytest.raises(Stopped, match="stopped by SIGTERM after step"):
        fit(tmp_path, stop=StopAt(at), options=kept)
    log = Log()
    resumed = fit(tmp_path, log, options=kept)
    assert any(message.startswith("resuming after step") for message in log.messages)
    assert {path.name: path.read_bytes() for path in resumed.folder.iterdir()} == whole


def test_without_an_objective_the_last_epoch_is_kept(tmp_path: Path) -> None:
    log = Log()
    artifact = fit(tmp_path, log, algorithm=AcmeUnjudged)
    assert artifact.metadata.epoch == 6
    last = acme_judged.seen[-1]
    np.testing.assert_allclose(answers(artifact), last, rtol=1e-5, atol=1e-6)
    assert f"the model is that of epoch 6, the last: {OBJECTIVE} was never reported" in log.messages


@pytest.mark.parametrize("batch_size", [9, 30])
def test_time_that_is_over_tells_each_epoch_once_and_its_true_loss(
    tmp_path: Path, batch_size: int
) -> None:
    """After 8 of 10 steps of an epoch, and at the end of an epoch of 3."""
    log = Log()
    options = {"max_runtime": 1e-3}
    artifact = fit(tmp_path, log, options=options, batch_size=batch_size)
    (told,) = log.told
    assert told[:2] == (1, 8 if batch_size == 9 else 3)
    assert 0.1 < told[2]["train:loss"] < 10
    assert artifact.metadata.metrics["train:loss"] == told[2]["train:loss"]
    assert artifact.metadata.epoch == 1
    assert "stopping early: the time of --max-runtime is over" in log.messages


def test_runs_that_had_no_time_end_as_one_that_had(tmp_path: Path) -> None:
    whole = {path.name: path.read_bytes() for path in fit(tmp_path, epochs=3).folder.iterdir()}
    options = {"checkpoints": tmp_path / "c", "max_runtime": 1e-3}
    for _ in range(30):
        log = Log()
        artifact = fit(tmp_path, log, epochs=3, options=options)
        if not any(message.startswith("stopping early") for message in log.messages):
            break
    assert {path.name: path.read_bytes() for path in artifact.folder.iterdir()} == whole


def test_two_hosts_keep_the_best_as_well(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    source = Path(acme_judged.__file__).read_text()
    install(tmp_path / "site", "acme-judged", source)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"}
    program = [str(Path(sys.executable).parent / "algoshelf"), "train", "acme-judged"]
    settings = ["--batch-size", "10", "--epochs", "6", "--hosts", "2", "--metrics", "told.jsonl"]
    done = subprocess.run(
        [*program, "--train", ".", *settings, "--output", "m", "--json"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]
    best = max(told, key=lambda line: line[OBJECTIVE])
    artifact = Artifact.open(tmp_path / "m")
    assert artifact.metadata.epoch == best["epoch"]
    assert artifact.metadata.metrics[OBJECTIVE] == best[OBJECTIVE]
    assert json.loads(done.stdout)["epoch"] == best["epoch"]
    assert f"the model is that of epoch {best['epoch']} of 6, the best" in done.stderr
