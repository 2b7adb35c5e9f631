"""Forecasting: of many series in time the distribution of the values that follow."""

from __future__ import annotations

import textwrap
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable, Mapping, Sequence

import numpy as np
from pydantic import Field

from .. import payload, training
from ..algorithm.base import ContentType, Draw, Objective
from ..algorithm.channels import TEST, TRAIN, VALIDATION
from ..algorithm.evaluation import Evaluation
from ..algorithm.hyperparameters import TrainingHyperparameters
from ..artifact.metadata import Example, Metadata
from ..artifact.model import Model
from ..artifact.network import GluonNetwork, Network
from ..data.dataset import Dataset, chunks
from ..data.frequencies import Frequency
from ..data.series import ManySeries, series_of
from ..data.windows import Layout, Windows, last_windows, windows_of
from ..runtime.errors import DataError
from ..runtime.types import Array, HybridBlock
from .forecast_figures import evaluate_forecasts, evaluate_windows
from .forecasts import LEVELS, Answer, Answers, Forecasts, Question
from .supervised import MEASURED, SupervisedAlgorithm

if TYPE_CHECKING:
    from ..training.run import Run

WINDOWS_AT_ONCE = 4096  # that are laid out in memory


class ForecasterHyperparameters(TrainingHyperparameters):
    """What every forecaster is told besides; the names are DeepAR's where it has them."""

    prediction_length: int = Field(
        24, ge=1, le=10_000, description="Number of steps to forecast (DeepAR's name; the horizon)."
    )
    context_length: int = Field(
        0,
        ge=0,
        le=100_000,
        description="Number of steps of the past that a forecast is made of. 0: by the frequency "
        "and the horizon.",
    )
    time_freq: str = Field(
        "",
        description="Time between two values: 30min, H, D, B, W, M, Q or Y (DeepAR's name). Empty: "
        "detected by the times.",
    )


class Forecaster(SupervisedAlgorithm[Any]):
    """A supervised algorithm that learns how series go on.

    ``dataset`` returns ManySeries. ``network`` takes windows (N, context + horizon, channels)
    float32 as ``data/windows.py`` lays them out, in the units of the series, and gives for each
    step to forecast its mean and its quantiles at LEVELS, (N, horizon, 1 + Q), in these units too.
    A network that computes otherwise, step by step, says so by ``computed`` and ``forecast``.

    What is held out for validation is the latest part of each series, ``holdout`` of it in whole
    horizons, one at least. A series of the validation or the test channel holds its past too, as
    DeepAR takes it: its last horizon is what is forecast.
    """

    Hyperparameters = ForecasterHyperparameters
    metrics = {
        "train:loss": "Mean loss of the training batches.",
        "validation:wql": "Weighted quantile loss: the mean over the quantiles of twice their "
        "pinball loss, by the sum of the absolute values.",
        "validation:mase": "Mean absolute error of the median, by that of last season's value "
        "within the past of the series; the mean over series.",
        "validation:smape": "Mean of 200 |error| / (|value| + |median|), in percent.",
        "validation:coverage": "Part of the values within the 80 % interval.",
        "validation:rmse": "Root of the mean squared error of the mean, in units of the series.",
        "test:wql": "The same for the test channel, after training.",
        "test:mase": "The same for the test channel, after training.",
        "test:smape": "The same for the test channel, after training.",
        "test:coverage": "The same for the test channel, after training.",
        "test:rmse": "The same for the test channel, after training.",
        **MEASURED,
    }
    objective = Objective("validation:wql", maximize=False)
    accepts = (
        ContentType(
            payload.JSON,
            "Series as DeepAR takes them, and what of their forecasts is wanted.",
            '{"instances": [{"start": "2024-01-01 00:00:00", "target": [4.0, 10.0, "NaN", 113.0], '
            '"cat": [0], "dynamic_feat": [[1.0, 1.1, 2.1, 0.5, 3.1]]}], "configuration": '
            '{"num_samples": 50, "output_types": ["mean", "quantiles"], "quantiles": ["0.5"]}}',
        ),
        ContentType(
            payload.JSONLINES, "One series per line.", '{"start": "2024-01-01", "target": [4.0]}'
        ),
    )
    response_types = (
        ContentType(
            payload.JSON,
            "For each series what was asked for: a number a step, or of each quantile.",
            '{"predictions": [{"mean": [5.1], "quantiles": {"0.5": [5.0]}, "samples": [[4.8]]}]}',
        ),
        ContentType(payload.JSONLINES, "One answer per line, as in JSON."),
    )

    @abstractmethod
    def network(self, hyperparameters: Any, data: Dataset) -> HybridBlock:
        """A new network for windows ``data``, not initialized; ``windows_of(data).layout`` has
        their shape.
        """

    def layout(self, hyperparameters: Any, encoding: Mapping[str, Any]) -> Layout:
        """The shape of the windows: of ``context_length`` 0, as much as shows the longest season
        twice, and the horizon once; at most the 4 horizons and 2 short seasons where that is less.
        """
        horizon = hyperparameters.prediction_length
        if hyperparameters.context_length:
            return Layout(hyperparameters.context_length, horizon)
        seasons = Frequency.parse(encoding["frequency"]).seasons
        return Layout(max(2 * seasons[-1], 2 * horizon), horizon)

    def computed(self, network: Network, x: Array, hyperparameters: Any) -> Array:
        """The mean and the quantiles at LEVELS for windows ``x``: (N, horizon, 1 + Q)."""
        from ..artifact.network import outputs

        found: Array = outputs(network, x)
        return found

    def forecast(self, model: Model, x: Array, samples: int) -> Forecasts:
        """The distribution of what follows in windows ``x``; where the network draws them, with
        ``samples`` sample paths, the same ones each time.
        """
        options = self.Hyperparameters.parse(model.metadata.hyperparameters)
        return Forecasts.of(self.computed(model.network, x, options))

    def score(self, outputs: Array, data: Dataset) -> Evaluation:
        """Of ``outputs`` as ``computed`` gives them, for windows ``data``."""
        self.check_finite(outputs)
        labels = data.labels()
        return evaluate_forecasts(Forecasts.of(outputs), labels[:, :-1], labels[:, -1])

    def evaluate(self, model: Model, path: Path) -> Evaluation:
        return self.backtest(model, path, 1)

    def backtest(self, model: Model, path: Path, count: int) -> Evaluation:
        options = self.Hyperparameters.parse(model.metadata.hyperparameters)
        windows = self.test_windows(path, model, count)
        parts = [
            self.computed(model.network, windows.take(np.arange(len(windows))[part])[0], options)
            for part in chunks(len(windows), WINDOWS_AT_ONCE)
        ]
        outputs = np.concatenate(parts)
        self.check_finite(outputs)
        return evaluate_windows(Forecasts.of(outputs), windows)

    def test_windows(self, path: Path, model: Model, count: int = 1) -> Windows:
        """The last ``count`` horizons of each series at ``path``. Raises DataError where there are
        none, as no series is longer than its horizon.
        """
        options = self.Hyperparameters.parse(model.metadata.hyperparameters)
        whole = series_of(self.test_data(path, model))
        layout = self.layout(options, whole.encoding)
        found = last_windows(whole, layout, count)
        if not len(found):
            raise DataError(
                f"{path}: no series has more than the {layout.horizon:,} values that are to be "
                f"forecast (prediction_length): the longest of {len(whole):,} has "
                f"{whole.lengths_in_time.max():,}; a test series holds its past too"
            )
        if not np.isfinite(found.truth()).any():
            raise DataError(
                f"{path}: all of the {layout.horizon:,} values at the end of each series, which "
                "are to be forecast, are missing: there is nothing to measure by"
            )
        return found

    def input_fn(self, request_body: bytes, request_content_type: str) -> list[Question]:
        """Series and what of their forecasts is wanted, a Question each. Raises PayloadError."""
        raise NotImplementedError

    def predict_fn(self, input_data: Sequence[Question], model: Model) -> Answers:
        options = self.Hyperparameters.parse(model.metadata.hyperparameters)
        encoding = model.metadata.encoding
        whole = ManySeries([each.series for each in input_data], encoding)
        numbers = np.arange(len(whole))
        windows = Windows(whole, self.layout(options, encoding), numbers, whole.lengths_in_time)
        samples = max(each.samples for each in input_data)
        found = self.forecast(model, windows.take(numbers)[0], samples)
        return Answers([Answer.of(each, found[n : n + 1]) for n, each in enumerate(input_data)])

    def output_fn(self, prediction: Answers, accept: str) -> bytes:
        return prediction.encoded(payload.negotiate(accept, self.response_media_types()))
