"""The networks of forecasting: what they learn, that they answer anything, deepar's steps."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.algorithms.forecasting import Forecasting, likelihoods
from algoshelf.core import Artifact, Reporter, mx, train
from algoshelf.core.conformance.battery import Battery
from algoshelf.core.data.series import ManySeries, Series
from algoshelf.core.data.windows import DrawnWindows, drawn_windows_of
from algoshelf.core.tasks.forecasts import LEVELS, Forecasts, Question
from algoshelf.core.tasks.spreads import distances, spreads
from algoshelf.core.training.trainer import seed_everything

ENCODING: dict[str, Any] = {"frequency": "D", "categories": [["a", "b"]], "features": ["1"]}
SETTLED = {**ENCODING, "counts": False, "nonnegative": False}
START = np.datetime64("2024-01-01T00:00:00")


def shops(count: int = 24, days: int = 98) -> ManySeries:
    """Weeks of unlike levels, on which a feature of the day weighs heavily; with gaps."""
    rng = np.random.default_rng(7)
    series = []
    for number in range(count):
        offer = rng.integers(0, 2, days).astype(np.float32)
        week = 5 + 3 * np.sin(2 * np.pi * np.arange(days) / 7)
        target = (1 + number) * (week + 4 * offer + rng.normal(0, 0.3, days))
        target[rng.integers(0, days, number % 4)] = np.nan
        category = "ab"[number % 2]
        series.append(Series(f"{number}", START, target, (category,), offer[None]))
    return ManySeries(series, ENCODING)


class Shops(Forecasting):
    """It learns what ``shops`` makes, whatever the path."""

    options: dict[str, Any] = {}

    def dataset(
        self, path: Path, channel: str, hyperparameters: Any, encoding: Any = None
    ) -> ManySeries:
        return replace(shops(), encoding=encoding or ENCODING)


OPTIONS = {
    "tide": {"hidden": 32, "layers": 1, "epochs": 6, "members": 2},
    "deepar": {"network": "deepar", "num_cells": 12, "epochs": 6, "num_eval_samples": 40},
}


@pytest.fixture(scope="module", params=OPTIONS)
def learned(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Artifact]:
    algorithm, folder = Shops(), tmp_path_factory.mktemp(request.param)
    given = {**OPTIONS[request.param], "prediction_length": 7, "learning_rate": 0.01}
    options = algorithm.Hyperparameters.parse(given)
    channels = {"train": folder, "test": folder}
    artifact, _ = train(algorithm, channels, options, folder / "m", reporter=Reporter())
    assert artifact is not None
    return algorithm, artifact


def test_it_learns_what_a_feature_of_the_coming_days_says(learned: Any) -> None:
    algorithm, artifact = learned
    model = algorithm.model_fn(artifact.folder)
    found = algorithm.evaluate(model, artifact.folder)
    simple = {each.name: each.metrics for each in found.baselines}["seasonal naive"]
    assert found.metrics["wql"] < 0.7 * simple["wql"]
    assert 0.5 < found.metrics["coverage"] <= 1


def asked(target: Any, start: Any = START, category: str = "a") -> Question:
    values = np.array(target, float)
    features = np.zeros((1, len(values) + 7), np.float32)
    return Question(Series("?", start, values, (category,), features), samples=20)


UNUSUAL = {
    "one value": [5.0],
    "two values": [5.0, 7.0],
    "gaps": [np.nan] * 20 + [4.0] + [np.nan] * 20,
    "zeros": [0.0] * 40,
    "a constant": [3.0] * 40,
    "negative": [-5.0, -4.0] * 20,
    "very large": [1e12, 2e12] * 20,
    "very small": [1e-12, 2e-12] * 20,
    "a spike": [1.0] * 39 + [1e9],
    "very long": np.arange(20_000) % 7,
}


@pytest.mark.parametrize("what", UNUSUAL)
def test_any_series_is_answered_alone_as_among_others(learned: Any, what: str) -> None:
    algorithm, artifact = learned
    model = algorithm.model_fn(artifact.folder)
    questions = [asked(range(30)), asked(UNUSUAL[what]), asked(range(9), None, "new")]
    among = [*algorithm.predict_fn(questions, model)][1]
    (alone,) = algorithm.predict_fn(questions[1:2], model)
    levels = [among.quantiles[each] for each in ("0.1", "0.5", "0.9")]
    assert all(np.isfinite(each).all() for each in (among.mean, *levels))
    assert (levels[0] <= levels[1]).all()
    assert (levels[1] <= levels[2]).all()
    assert np.allclose(among.mean, alone.mean, rtol=1e-4)
    (again,) = algorithm.predict_fn(questions[1:2], model)
    assert np.array_equal(alone.mean, again.mean)


def test_a_series_of_another_size_is_answered_in_its_size(learned: Any) -> None:
    """The network never saw such sizes; deepar is told the size, and may go by it."""
    algorithm, artifact = learned
    model = algorithm.model_fn(artifact.folder)
    if model.metadata.hyperparameters["network"] == "deepar":
        pytest.skip("deepar is told the size")
    week = np.tile([2.0, 5.0, 8.0, 5.0, 2.0, 1.0, 1.0], 6)
    small, large = algorithm.predict_fn([asked(week), asked(1024 * week)], model)
    assert np.allclose(large.mean, 1024 * small.mean, rtol=1e-3)


def test_onnx_runtime_draws_the_same_paths(learned: Any) -> None:
    algorithm, artifact = learned
    pytest.importorskip("onnxruntime")
    from algoshelf.core.artifact.export import export

    model = algorithm.model_fn(artifact.folder)
    batches = [*algorithm.calibration(model, artifact.folder, 8)]
    if not (artifact.folder / "model.onnx").exists():
        export(artifact, model, batches[:1], artifact.folder / "model.onnx")
    other = algorithm.model_fn(artifact.folder, "onnx")
    question = replace(asked(range(30)), output_types=("mean", "quantiles", "samples"))
    ((one,), (two,)) = (algorithm.predict_fn([question], each) for each in (model, other))
    assert one.samples.shape == (20, 7)
    assert np.allclose(one.samples, two.samples, rtol=1e-4, atol=1e-3)


def test_deepar_step_by_step_is_the_network_that_was_trained() -> None:
    """The parameters of each distribution, by the graph over windows and by that of a step."""
    from algoshelf.algorithms.forecasting import _lags, deepar, networks

    algorithm = Shops()
    options = algorithm.Hyperparameters.parse({**OPTIONS["deepar"], "prediction_length": 7})
    whole = replace(shops(), encoding=SETTLED)
    layout = algorithm.layout(options, SETTLED)
    windows = DrawnWindows(whole, layout, whole.lengths_in_time, learned=layout.steps)
    seed_everything(3)
    network = algorithm.network(options, windows)
    network.initialize(mx.init.Normal(0.5))
    x, _ = windows.take(np.arange(5))
    expected = network(mx.nd.array(x)).asnumpy()[:, :, :-1]
    told: list[np.ndarray] = []

    class Told(likelihoods.StudentT):
        """Instead of a draw, what was to be drawn."""

        def __init__(self) -> None:
            self.step = 0

        def draw(self, rng: Any, parameters: Any, size: Any) -> Any:
            told.append(parameters.T)
            row, step = len(told) - 1, layout.context + (len(told) - 1) // len(x)
            return x[row % len(x), step, 0:1].astype(np.float64)

    network_of_step = deepar.Step(network)
    network_of_step.hybridize()

    class Asked:
        def compute(self, values: Any) -> Any:
            return (network_of_step(mx.nd.array(values)).asnumpy(),)

    deepar.paths(
        Asked(),  # type: ignore[arg-type]
        _hidden(x, layout.context),
        networks.Channels(SETTLED),
        Told(),
        _lags(SETTLED),
        horizon=7,
        states=2 * options.num_layers * options.num_cells,
        samples=1,
    )
    found = np.concatenate(told).reshape(7, len(x), -1).transpose(1, 0, 2)
    known = np.isfinite(_targets(windows, len(x))[:, -10:-3])
    assert known.any()
    first = ~np.logical_or.accumulate(~known, axis=1)  # after a gap what is drawn takes its place
    assert np.allclose(found[first], expected[:, -7:][first], rtol=1e-4, atol=1e-5)


def _hidden(x: Any, context: int) -> Any:
    hidden = x.copy()
    hidden[:, context:, :2] = 0
    return hidden


def _targets(windows: Any, count: int) -> Any:
    return drawn_windows_of(windows).take(np.arange(count))[1]


@pytest.mark.apart
def test_deepar_passes_the_checks_of_devices_interruption_and_export() -> None:
    with Battery(OfDeepAr) as battery:
        for name in ("devices", "interruption", "onnx", "batches"):
            found = battery.run(name)
            assert found.ok, found.advice


class OfDeepAr(Forecasting):
    check_hyperparameters = {
        "network": "deepar", "epochs": 2, "num_cells": 6, "num_layers": 1, "num_eval_samples": 10,
    }  # fmt: skip


@pytest.mark.parametrize("name", likelihoods.LIKELIHOODS)
def test_what_is_drawn_is_as_likely_as_the_loss_says(name: str) -> None:
    """The mean of the loss over what is drawn is the entropy: no other parameters have less."""
    likelihood = likelihoods.LIKELIHOODS[name]
    rng, count = np.random.default_rng(0), 40_000
    own = {"student-T": (1.0, 0.5, 5.0), "gaussian": (1.0, 0.5), "negative-binomial": (0.9, 0.4)}
    parameters = np.repeat(np.array(own[name], np.float32)[:, None], count, axis=1)
    size = np.full(count, 30.0)
    drawn = likelihood.draw(rng, parameters, size)

    def loss(*given: float) -> float:
        values = [mx.nd.full((1, count), each) for each in given]
        found = likelihood.loss(mx.nd, mx.nd.array(drawn[None]), values, mx.nd.array(size[None]))
        return float(found.mean().asscalar())

    least = loss(*own[name])
    for place in range(len(own[name])):
        for factor in (0.7, 1.4):
            other = [each * (factor if n == place else 1) for n, each in enumerate(own[name])]
            assert loss(*other) > least


def test_the_normal_loss_is_that_of_its_definition() -> None:
    loss = likelihoods.LIKELIHOODS["gaussian"].loss
    found = loss(mx.nd, *(mx.nd.array([[6.0]]), [mx.nd.array([[1.0]]), mx.nd.array([[2.0]])]),
                 mx.nd.array([[2.0]]))  # fmt: skip
    expected = 0.5 * ((6 / 2 - 1) / 2) ** 2 + math.log(2 * math.sqrt(2 * math.pi))
    assert float(found.asscalar()) == pytest.approx(expected, rel=1e-5)


def test_spreads_make_quantiles_true() -> None:
    """Quantiles half as wide as they should be, and the truth of a skewed distribution."""
    rng = np.random.default_rng(0)
    truth = rng.exponential(1.0, (400, 6))
    exact = -np.log1p(-np.array(LEVELS))
    median = exact[LEVELS.index(0.5)]
    narrow = np.broadcast_to(median + (exact - median) / 2, (400, 6, len(LEVELS)))
    found = Forecasts(narrow.mean(axis=-1), narrow)
    factors = spreads(distances(found, truth))
    wide = median + (narrow - median) * factors
    for place, level in enumerate(LEVELS):
        below = (truth <= wide[..., place]).mean()
        assert below == pytest.approx(level, abs=0.03)
    assert (spreads(distances(found, truth)[:5]) == 1).all()  # too few to tell
