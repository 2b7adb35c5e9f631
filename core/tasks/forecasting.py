"""Forecasting: of many series in time the distribution of the values that follow."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Iterator, Mapping, Sequence

import numpy as np
from pydantic import Field
from typing_extensions import Literal

from .. import payload
from ..algorithm.base import ContentType, Draw, Objective
from ..algorithm.channels import TEST, TRAIN, VALIDATION, Channel
from ..algorithm.evaluation import Evaluation
from ..algorithm.hyperparameters import TrainingHyperparameters
from ..algorithm.widgets import SERIES
from ..artifact.metadata import Example, Metadata
from ..artifact.model import Model
from ..artifact.network import GluonNetwork, Network, outputs
from ..data import reading, series_files
from ..data.dataset import Dataset, chunks
from ..data.frequencies import Frequency
from ..data.series import ManySeries, series_of
from ..data.series_columns import Columns
from ..data.windows import (
    COUNTS,
    FEATURE_MOMENTS,
    NONNEGATIVE,
    DrawnWindows,
    Layout,
    Windows,
    last_windows,
    windows_of,
)
from ..runtime import mx
from ..runtime.errors import DataError
from ..runtime.types import Array, HybridBlock
from .answers import Answers
from .forecast_figures import evaluate_forecasts, evaluate_windows
from .forecast_questions import placed, questions
from .forecasts import LEVELS, Answer, Forecasts, Question, with_mean
from .scaling import moments
from .spreads import distances, spreads
from .supervised import MEASURED, SupervisedAlgorithm

if TYPE_CHECKING:
    from ..training.run import Run

WINDOWS_AT_ONCE = 4096  # that are laid out in memory
LONGEST = 504  # steps of a context that nobody has chosen
SMALL = 100.0  # of counts, the largest mean


class ForecasterHyperparameters(TrainingHyperparameters):
    """What every forecaster is told besides; the names are DeepAR's where it has them."""

    prediction_length: int = Field(
        12, ge=1, le=10_000, description="Number of steps to forecast (DeepAR's name; the horizon)."
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
    series_column: str = Field(
        "",
        description="Columns of a table that tell the series, by their headings or their numbers "
        "from 1; several are categories of it too. Empty: detected.",
    )
    time_column: str = Field(
        "", description="Column of the times, or of a date and a time of day. Empty: detected."
    )
    value_column: str = Field(
        "", description="Column of the values, or of several, a series each. Empty: detected."
    )
    category_columns: str = Field(
        "", description="Columns of categories of the series, such as a region (DeepAR's cat)."
    )
    feature_columns: str = Field(
        "",
        description="Columns of numbers that are known of each step, of the future too, such as a "
        "price (DeepAR's dynamic_feat).",
    )
    aggregate: Literal["auto", "mean", "sum", "first", "last"] = Field(
        "auto",
        description="What becomes of several values of a series in one step: their mean, sum, the "
        "first, the last, or auto (the mean where they are few).",
    )


class Forecaster(SupervisedAlgorithm[Any]):
    """A supervised algorithm that learns how series go on.

    ``dataset`` returns ManySeries. ``network`` takes windows (N, context + horizon, channels)
    float32 as ``data/windows.py`` lays them out, in the units of the series, and gives for each
    step to forecast its quantiles at LEVELS in these units too, of one member or of several, whose
    mean counts: (N, horizon, E · Q). Where it has a parameter ``spread`` (Q,), by which it
    multiplies how far its quantiles are from its median, that is set by the validation. A network
    that computes otherwise, step by step, says so by ``computed`` and ``forecast``.

    What is held out for validation is the latest part of each series, ``holdout`` of it in whole
    horizons, one at least. A series of the validation or the test channel holds its past too, as
    DeepAR takes it: its last horizon is what is forecast.
    """

    Hyperparameters = ForecasterHyperparameters
    levels: ClassVar[tuple[float, ...]] = LEVELS
    metrics = {
        "train:loss": "Mean loss of the training batches.",
        "validation:wql": "Weighted quantile loss: the mean over the quantiles of twice their "
        "pinball loss, by the sum of the absolute values.",
        "validation:sql": "Scaled quantile loss: the same by MASE's scale in place of the values: "
        "all series count alike.",
        "validation:mase": "Mean absolute error of the median, by that of last season's value "
        "within the past of the series; the mean over series.",
        "validation:smape": "Mean of 200 |error| / (|value| + |median|), in percent.",
        "validation:coverage": "Part of the values within the 80 % interval.",
        "validation:rmse": "Root of the mean squared error of the mean, in units of the series.",
        "test:wql": "The same for the test channel, after training.",
        "test:sql": "The same for the test channel, after training.",
        "test:mase": "The same for the test channel, after training.",
        "test:smape": "The same for the test channel, after training.",
        "test:coverage": "The same for the test channel, after training.",
        "test:rmse": "The same for the test channel, after training.",
        **MEASURED,
    }
    objective = Objective("validation:sql", maximize=False)
    accepts = (
        ContentType(
            payload.JSON,
            "Series as DeepAR takes them, and what of their forecasts is wanted.",
            '{"instances": [{"start": "2024-01-01 00:00:00", "target": [4.0, 10.0, "NaN", …], '
            '"cat": [0], "dynamic_feat": [[1.0, 1.1, 2.1, 0.5, …]]}], "configuration": '
            '{"num_samples": 50, "output_types": ["mean", "quantiles"], "quantiles": ["0.5"]}}',
        ),
        ContentType(
            payload.JSONLINES, "One series per line.", '{"start": "2024-01-01", "target": [4.0]}'
        ),
        ContentType(
            payload.CSV,
            "A table as training reads them, a row for each value: its series, time and number. "
            "It is asked about as a whole, and not line by line.",
            "id,time,value\nshop 1,2024-01-01,4.0",
        ),
    )
    response_types = (
        ContentType(
            payload.JSON,
            "For each series what was asked for: a number a step, or of each quantile.",
            '{"predictions": [{"mean": [5.1], "quantiles": {"0.5": [5.0]}, "samples": [[4.8]]}]}',
        ),
        ContentType(payload.JSONLINES, "One answer per line, as in JSON."),
        ContentType(
            payload.CSV,
            "One line per series: its name, when the forecast begins, and the numbers of all "
            "steps: the mean, then each quantile, then each sample path.",
        ),
    )
    asks_series = True
    widget = SERIES
    channels = (
        Channel(TRAIN, "Series to learn from.", series_files.FORMATS, required=True),
        Channel(
            VALIDATION,
            "Series whose last horizon is forecast after each epoch to choose the best epoch: each "
            "holds its past too. Default: the latest part of each training series, which is then "
            "held out.",
            series_files.FORMATS,
        ),
        Channel(
            TEST,
            "Series whose last horizon is forecast once after the training: each holds its past "
            "too. They influence nothing else.",
            series_files.FORMATS,
        ),
    )

    def dataset(
        self,
        path: Path,
        channel: str,
        hyperparameters: Any,
        encoding: Mapping[str, Any] | None = None,
    ) -> ManySeries:
        options = hyperparameters
        columns = Columns(
            options.series_column,
            options.time_column,
            options.value_column,
            options.category_columns,
            options.feature_columns,
        )
        return series_files.read_series(
            path,
            time_freq=options.time_freq,
            columns=columns,
            aggregate=options.aggregate,
            known=encoding,
        )

    def united(
        self, encodings: Sequence[Mapping[str, Any]], hosts: Sequence[str], hyperparameters: Any
    ) -> Mapping[str, Any]:
        """The categories of all hosts, place by place, and one clock."""
        return super().united(series_files.alike(encodings), hosts, hyperparameters)

    @abstractmethod
    def network(self, hyperparameters: Any, data: Dataset) -> HybridBlock:
        """A new network for ``data``, which are DrawnWindows, not initialized: ``data.layout`` has
        their shape, ``data.encoding`` what is known of the series.
        """

    def layout(self, hyperparameters: Any, encoding: Mapping[str, Any]) -> Layout:
        """The shape of the windows. ``context_length`` 0 is three of the longest seasons or four
        horizons, whichever is longer, but no more than LONGEST or the horizon.
        """
        horizon = hyperparameters.prediction_length
        seasons = Frequency.parse(encoding["frequency"]).seasons
        usual = max(3 * min(seasons[-1], LONGEST // 3), min(4 * horizon, LONGEST), horizon)
        return Layout(hyperparameters.context_length or usual, horizon)

    def described(self, data: Dataset, run: Run[Any]) -> ManySeries:
        """With what the values of all hosts say: whether any is negative, and the mean and the
        deviation of each feature.
        """
        whole = series_of(data)
        known = [each.target[np.isfinite(each.target)] for each in whole.series]
        values = np.concatenate([*known, np.zeros(0)])
        nonnegative = bool((values >= 0).all())
        counts = nonnegative and bool((values == np.floor(values)).all())
        counts = counts and float(values.mean() if len(values) else 0) <= SMALL
        every = run.cluster.exchange([nonnegative, counts], "what the values are like")
        encoding = {
            **whole.encoding,
            NONNEGATIVE: all(each[0] for each in every),
            COUNTS: all(each[1] for each in every),
        }
        if whole.encoding["features"]:
            values = np.concatenate([each.features for each in whole.series], axis=1).T
            values = values[np.isfinite(values).all(axis=1)].astype(np.float64)
            if len(values):
                found = moments(run.cluster, values, "features")
                encoding[FEATURE_MOMENTS] = [
                    [mean, scale]
                    for mean, scale in zip(found.mean.tolist(), found.scale32.tolist())
                ]
        return replace(whole, encoding=encoding)

    def _divided(
        self, run: Run[Any], given: Mapping[str, Dataset]
    ) -> tuple[Dataset, Dataset, Dataset | None]:
        """Windows to learn from, those of the validation, and those of the test."""
        options, train = run.hyperparameters, series_of(given[TRAIN])
        layout = self.layout(options, train.encoding)
        held = self.held(given, run)
        ends = train.lengths_in_time
        if VALIDATION not in given:
            first = np.full(len(train), np.iinfo(np.int64).max)
            np.minimum.at(first, held.which, held.begins)
            ends = np.minimum(ends, first)
            count = self._backtests(train, layout, options)
            run.reporter.message(
                f"no validation channel: the last {count * layout.horizon:,} steps of "
                f"{len(np.unique(held.which)):,} series are held out"
                + (f", {count:,} windows of {layout.horizon:,}" if count > 1 else "")
            )
        learn = DrawnWindows(train, layout, ends)
        if not learn.choices.any():
            raise DataError(
                f"{run.channels[TRAIN]}: nothing is left to learn from: every series has one value "
                "at most before what is held out: give longer series or a shorter "
                "prediction_length"
            )
        test = None
        if TEST in given:
            test = self._last(series_of(given[TEST]), layout, 1, run.channels[TEST])
        return learn, held, test

    def held(self, given: Mapping[str, Dataset], run: Run[Any]) -> Windows:
        """The windows of the validation: the last of each series of its channel; without one, the
        last of each that is long enough of the training's.
        """
        options, train = run.hyperparameters, series_of(given[TRAIN])
        layout = self.layout(options, train.encoding)
        if VALIDATION in given:
            return self._last(series_of(given[VALIDATION]), layout, 1, run.channels[VALIDATION])
        count = self._backtests(train, layout, options)
        found = last_windows(train, layout, count)
        left = train.lengths_in_time - count * layout.horizon
        enough = left >= min(layout.horizon, max(2, int(left.max())))
        found = found.at(np.flatnonzero(enough[found.which]))
        if not len(found):
            raise DataError(
                f"{run.channels[TRAIN]}: no series has more than the {layout.horizon:,} values of "
                f"a horizon (prediction_length), which are held out for validation: the longest of "
                f"{len(train):,} has {train.lengths_in_time.max():,}. Give longer series or a "
                "shorter prediction_length"
            )
        return found

    def _backtests(self, train: ManySeries, layout: Layout, options: Any) -> int:
        """How many horizons are held out of each series."""
        usual = float(np.median(train.lengths_in_time))
        return max(1, int(options.holdout * usual / layout.horizon))

    def _last(self, whole: ManySeries, layout: Layout, count: int, path: Path) -> Windows:
        """The last ``count`` windows of each series. Raises DataError where there are none."""
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
        _note_short(whole, found, count, path)
        return found

    def loss(self, hyperparameters: Any) -> Any:
        """The pinball loss of quantiles (B, horizon, E · Q) at LEVELS, of each of E members."""
        return pinball_loss()

    def trained(self, network: HybridBlock, given: Mapping[str, Dataset], run: Run[Any]) -> None:
        """Widen or narrow the quantiles of a ``network`` that has a parameter ``spread`` (Q,), so
        that in the validation as much lies below each as it says.
        """
        spread = getattr(network, "spread", None)
        if spread is None:
            return
        held = self.held(given, run)
        found = self.all_outputs(GluonNetwork(network, run.devices[0]), held, run.hyperparameters)
        ratios = distances(Forecasts.of(found), held.truth())
        if not run.cluster.agrees(held.digest(), "the data to evaluate"):
            parts = run.cluster.gather_arrays(ratios, "the errors of the validation")
            ratios = np.concatenate(parts)
        spread.set_data(mx.nd.array(spreads(ratios)))

    def all_outputs(self, network: Network, data: Dataset, hyperparameters: Any) -> Array:
        """``computed`` of all windows of ``data``, of which memory holds a few at a time."""
        windows = windows_of(data)
        numbers = np.arange(len(windows))
        parts = [
            self.computed(
                network, windows.at(numbers[part]).inputs(), hyperparameters, data.encoding
            )
            for part in chunks(len(windows), WINDOWS_AT_ONCE)
        ]
        if not parts:  # as a host's share may be
            return np.zeros((0, windows.layout.horizon, 1 + len(LEVELS)), np.float32)
        return np.concatenate(parts)

    def computed(
        self, network: Network, x: Array, hyperparameters: Any, encoding: Mapping[str, Any]
    ) -> Array:
        """The mean and the quantiles at LEVELS for windows ``x``: (N, horizon, 1 + Q)."""
        found = outputs(network, x)
        found = found.reshape(*found.shape[:2], -1, len(LEVELS)).mean(axis=2)
        return with_mean(np.maximum(found, 0) if encoding.get(NONNEGATIVE) else found)

    def forecast(self, model: Model, x: Array, samples: int) -> Forecasts:
        """The distribution of what follows in windows ``x``; where the network draws them, with
        ``samples`` sample paths, the same ones each time.
        """
        options = self.Hyperparameters.parse(model.metadata.hyperparameters)
        return Forecasts.of(self.computed(model.network, x, options, model.metadata.encoding))

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
        found = self.all_outputs(model.network, windows, options)
        self.check_finite(found)
        return evaluate_windows(Forecasts.of(found), windows)

    def test_windows(self, path: Path, model: Model, count: int = 1) -> Windows:
        """The last ``count`` horizons of each series at ``path``. Raises DataError where there are
        none, as no series is longer than its horizon.
        """
        options = self.Hyperparameters.parse(model.metadata.hyperparameters)
        whole = series_of(self.test_data(path, model))
        layout = self.layout(options, whole.encoding)
        found = self._last(whole, layout, count, path)
        if not np.isfinite(found.truth()).any():
            raise DataError(
                f"{path}: all of the {layout.horizon:,} values at the end of each series, which "
                "are to be forecast, are missing: there is nothing to measure by"
            )
        return found

    def example(self, data: Dataset) -> Example:
        """Of the first series what a forecast is made of."""
        body = payload.encode_json({"instances": [asked(windows_of(data), 0)]}).decode()
        return Example(content_type=payload.JSON, body=body)

    def columns(self, metadata: Metadata) -> Mapping[str, Sequence[int]]:
        return {}

    def calibration(self, model: Model, path: Path, count: int) -> Iterator[Array]:
        """What ``computed`` asks the network of ``count`` windows."""
        options = self.Hyperparameters.parse(model.metadata.hyperparameters)
        whole = series_of(self._read_for(model, path, TRAIN))
        layout = self.layout(options, whole.encoding)
        drawn = DrawnWindows(whole, layout, whole.lengths_in_time)
        x = drawn.take(np.arange(min(count, len(drawn))))[0]
        heard = Heard(model.network)
        self.computed(heard, x, options, whole.encoding)
        yield from heard.asked

    def examples(self, path: Path, model: Model, draw: Draw) -> tuple[list[Any], int]:
        """Each series as the question for what follows it."""
        whole = series_of(self.test_data(path, model))
        return [Question(whole.series[index]) for index in draw(len(whole))], len(whole)

    def input_fn(self, request_body: bytes, request_content_type: str) -> list[Question]:
        """Series and what of their forecasts is wanted, a Question each. Raises PayloadError."""
        content_type = payload.check_content_type(request_content_type, self.accepted_media_types())
        return questions(request_body, content_type)

    def predict_fn(self, input_data: Sequence[Question], model: Model) -> Answers[Answer]:
        options = self.Hyperparameters.parse(model.metadata.hyperparameters)
        encoding = model.metadata.encoding
        input_data = placed(input_data, encoding, options.prediction_length)
        answers: dict[int, Answer] = {}
        for samples in sorted({each.samples for each in input_data}):
            numbers = [n for n, each in enumerate(input_data) if each.samples == samples]
            whole = ManySeries([input_data[n].series for n in numbers], encoding)
            which = np.arange(len(whole))
            windows = Windows(whole, self.layout(options, encoding), which, whole.lengths_in_time)
            found = self.forecast(model, windows.inputs(), samples)
            for place, number in enumerate(numbers):
                answers[number] = Answer.of(input_data[number], found[place : place + 1])
        return Answers([answers[number] for number in range(len(input_data))])

    def output_fn(self, prediction: Answers[Answer], accept: str) -> bytes:
        return prediction.encoded(payload.negotiate(accept, self.response_media_types()))


class Heard:
    """A network that keeps what it is ``asked``."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self.asked: list[Array] = []

    def compute(self, x: Array) -> tuple[Array, ...]:
        self.asked.append(np.array(x))
        return self._network.compute(x)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)


def asked(windows: Windows, index: int) -> dict[str, Any]:
    """What DeepAR would be asked for window ``index``: the past that a forecast is made of."""
    series, end = windows.whole.series[windows.which[index]], int(windows.begins[index])
    first = max(0, end - windows.layout.context)
    past = series.target[first:end]
    found: dict[str, Any] = {
        "target": [value if np.isfinite(value) else "NaN" for value in past.tolist()]
    }
    if series.start is not None:
        begin = windows.whole.frequency.times(series.start, first, 1)[0]
        found["start"] = str(begin.astype("datetime64[s]")).replace("T", " ")
    if series.categories:
        found["cat"] = list(series.categories)
    if len(series.features):
        given = series.features[:, first : end + windows.layout.horizon].tolist()
        found["dynamic_feat"] = [
            [value if np.isfinite(value) else "NaN" for value in row] for row in given
        ]
    return found


def pinball_loss() -> HybridBlock:
    """The mean pinball loss of quantiles (B, horizon, E · Q) at LEVELS for labels as those of
    DrawnWindows: of the values, and of their logarithms, each as much as the labels say.
    """

    class PinballLoss(mx.gluon.HybridBlock):  # type: ignore[misc]
        def hybrid_forward(self, F: Any, found: Any, labels: Any) -> Any:  # noqa: N803
            truth, known, (unit, of_change, of_value) = parted_labels(F, labels)
            found = F.reshape(found, shape=(0, 0, -1, len(LEVELS)))
            losses = F.broadcast_mul(_pinball(F, truth, found), of_change)
            logarithms = F.arcsinh(F.broadcast_div(truth, unit))
            unit = F.reshape(unit, shape=(0, 1, 1, 1))
            relative = _pinball(F, logarithms, F.arcsinh(F.broadcast_div(found, unit)))
            losses = losses + F.broadcast_mul(relative, of_value)
            return mean_of_known(F, losses, known)

    return PinballLoss()


def _pinball(ops: Any, truth: Any, found: Any) -> Any:
    """Of quantiles ``found`` (B, T, E, Q) for ``truth`` (B, T) the mean loss of each step (B, T).

    max(l e, (l - 1) e) = |e| / 2 + (l - 1/2) e, of an error e and a level l.
    """
    errors = ops.broadcast_sub(ops.reshape(truth, shape=(0, 0, 1, 1)), found)
    losses = ops.mean(ops.abs(errors), axis=(2, 3)) / 2
    errors = ops.mean(errors, axis=2)
    for place, level in enumerate(LEVELS):
        one = ops.slice_axis(errors, axis=2, begin=place, end=place + 1)
        losses = losses + (level - 0.5) / len(LEVELS) * ops.reshape(one, shape=(0, -1))
    return losses


def parted_labels(ops: Any, labels: Any) -> tuple[Any, Any, tuple[Any, Any, Any]]:
    """Of labels as those of DrawnWindows the values (B, T), 0 where they are not known; whether
    they are; and the last three, (B, 1) each.
    """
    truth = ops.slice_axis(labels, axis=1, begin=0, end=-3)
    known = truth == truth
    truth = ops.where(known, truth, ops.zeros_like(truth))
    first, second, third = (
        ops.slice_axis(labels, axis=1, begin=place, end=place + 1 or None) for place in (-3, -2, -1)
    )
    return truth, known, (first, second, third)


def mean_of_known(ops: Any, losses: Any, known: Any) -> Any:
    """The mean of the ``losses`` (B, T) of each window whose values are ``known``, (B,)."""
    count = ops.sum(known, axis=1)
    count = ops.broadcast_maximum(count, ops.ones_like(count))
    return ops.sum(losses * known, axis=1) / count


def _note_short(whole: ManySeries, found: Windows, count: int, path: Path) -> None:
    """Say how many of ``whole`` have fewer than ``count`` windows among ``found``, or none."""
    windows = np.bincount(found.which, minlength=len(whole))
    fewer, none = int(((windows > 0) & (windows < count)).sum()), int((windows == 0).sum())
    horizon = f"{found.layout.horizon:,} steps"
    if none:
        what = "1 series has" if none == 1 else f"{none:,} series have"
        reading.note(f"{what} no past before the last {horizon}: left out", path)
    if fewer:
        what = "1 series is" if fewer == 1 else f"{fewer:,} series are"
        reading.note(f"{what} too short for {count:,} windows of {horizon}", path)
