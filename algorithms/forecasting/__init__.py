"""forecasting: how many series in time go on, with how sure that is.

From top to bottom: hyperparameters, data, network. How windows are drawn, what is held out, and how
it is measured and asked is that of the task: ``core/tasks/forecasting.py``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np
from pydantic import Field
from typing_extensions import Literal

from ...core import (
    TEST,
    TRAIN,
    Algorithm,
    Array,
    Dataset,
    Forecaster,
    ForecasterHyperparameters,
    HybridBlock,
    Model,
    PublishedResult,
    Run,
    Search,
    hookimpl,
)
from ...core.artifact.network import Network
from ...core.data.frequencies import Frequency
from ...core.data.windows import COUNTS, Layout, drawn_windows_of
from ...core.tasks.forecasting import LONGEST
from ...core.tasks.forecasts import Forecasts, of_paths
from .likelihoods import LIKELIHOODS, NEGATIVE_BINOMIAL, STUDENT_T, Likelihood

SAMPLE = Path(__file__).parent / "sample"


class ForecastingHyperparameters(ForecasterHyperparameters):
    network: Literal["tide", "deepar"] = Field(
        "tide",
        description="Network architecture: tide (dense layers over the whole past, fast; answers "
        "quantiles) or deepar (an LSTM step by step; answers sample paths).",
    )
    epochs: int = Field(20, ge=1, le=10_000, description="Number of passes over the training data.")
    batch_size: int = Field(
        64,
        ge=1,
        le=65_536,
        description="Number of windows in one training step, over all devices and hosts.",
    )
    hidden: int = Field(
        256, ge=1, le=65_536, description="Number of units in each dense layer (tide only)."
    )
    layers: int = Field(2, ge=1, le=32, description="Number of residual blocks (tide only).")
    members: int = Field(
        1,
        ge=1,
        le=64,
        description="Number of networks that begin differently and whose mean is the answer (tide "
        "only).",
    )
    num_cells: int = Field(
        40, ge=1, le=4096, description="Number of cells in each layer of the LSTM (deepar only)."
    )
    num_layers: int = Field(
        2, ge=1, le=8, description="Number of layers of the LSTM (deepar only)."
    )
    likelihood: Literal["auto", "student-T", "gaussian", "negative-binomial"] = Field(
        "auto",
        description="Distribution of the next value (deepar only): student-T, gaussian, "
        "negative-binomial (counts), or auto: negative-binomial where all values are small counts, "
        "else student-T.",
    )
    num_eval_samples: int = Field(
        100,
        ge=10,
        le=10_000,
        description="Number of sample paths of which the quantiles are taken (deepar only).",
    )
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Dropout: fraction of the units set to zero in each step."
    )

    search_space = {
        **ForecasterHyperparameters.search_space,
        "hidden": Search(64, 1024, log=True, where={"network": ("tide",)}),
        "layers": Search(1, 4, where={"network": ("tide",)}),
        "num_cells": Search(20, 200, log=True, where={"network": ("deepar",)}),
        "num_layers": Search(1, 4, where={"network": ("deepar",)}),
        "dropout": Search(0.0, 0.5),
    }


class Forecasting(Forecaster):
    name = "forecasting"
    task = "forecasting"
    summary = "Learns from many series in time how they go on; answers quantiles or sample paths."
    Hyperparameters = ForecastingHyperparameters
    published = tuple(
        PublishedResult(metric, value, "M4, 414 hourly series, 48 hours ahead", source)
        for source, mase, smape in (
            ("Doornik et al., the best of the M4 competition on hourly series", 0.801, 8.913),
            ("Smyl, the winner of the M4 competition", 0.893, 9.328),
        )
        for metric, value in (("test:mase", mase), ("test:smape", smape))
    )
    check_hyperparameters = {"epochs": 2, "hidden": 16, "layers": 1}

    def sample(self) -> dict[str, Path]:
        return {name: SAMPLE / f"{name}.csv" for name in (TRAIN, TEST)}

    def layout(
        self, hyperparameters: ForecastingHyperparameters, encoding: Mapping[str, Any]
    ) -> Layout:
        """Of deepar, the context of the LSTM is by default a horizon or two short seasons, before
        which there are as many steps as its longest lag.
        """
        options = hyperparameters
        if options.network != "deepar":
            return super().layout(options, encoding)
        horizon, seasons = options.prediction_length, Frequency.parse(encoding["frequency"]).seasons
        usual = max(horizon, min(2 * seasons[0], LONGEST))
        return Layout((options.context_length or usual) + max(_lags(encoding)), horizon)

    def network(self, hyperparameters: ForecastingHyperparameters, data: Dataset) -> HybridBlock:
        from . import deepar, networks

        options, windows = hyperparameters, drawn_windows_of(data)
        if options.network == "deepar":
            return deepar.DeepAr(
                windows.layout.context,
                data.encoding,
                _likelihood(options, data.encoding),
                _lags(data.encoding),
                cells=options.num_cells,
                layers=options.num_layers,
                dropout=options.dropout,
            )
        return networks.Tide(
            windows.layout,
            data.encoding,
            hidden=options.hidden,
            layers=options.layers,
            members=options.members,
            examples=int(windows.ends.sum()) // windows.layout.horizon,
            dropout=options.dropout,
        )

    def weighted(
        self, loss: HybridBlock, train: Dataset, run: Run[ForecastingHyperparameters]
    ) -> HybridBlock:
        """Of deepar the likelihood's loss, which the values of ``train`` may decide."""
        if run.hyperparameters.network != "deepar":
            return loss
        from . import deepar

        return deepar.negative_log_likelihood(_likelihood(run.hyperparameters, train.encoding))

    def scale_targets(
        self, network: HybridBlock, train: Dataset, run: Run[ForecastingHyperparameters]
    ) -> tuple[HybridBlock, Dataset]:
        """Of deepar, what is kept is one step, and what is learned from are whole windows."""
        if run.hyperparameters.network != "deepar":
            return network, train
        from . import deepar

        windows = drawn_windows_of(train)
        learned = windows.layout.steps - max(_lags(train.encoding))
        return deepar.Step(network), replace(windows, learned=learned)

    def model_input(self, train: Dataset, run: Run[ForecastingHyperparameters]) -> Array:
        options, encoding = run.hyperparameters, train.encoding
        if options.network != "deepar":
            return super().model_input(train, run)
        from . import deepar, networks

        told = deepar.told_width(networks.Channels(encoding), _lags(encoding))
        width = told + len(encoding["categories"]) + _states(options)
        return np.zeros((1, width), np.float32)

    def computed(
        self,
        network: Network,
        x: Array,
        hyperparameters: ForecastingHyperparameters,
        encoding: Mapping[str, Any],
    ) -> Array:
        options = hyperparameters
        if options.network != "deepar":
            return super().computed(network, x, options, encoding)
        return of_paths(self._paths(network, x, options, encoding, options.num_eval_samples))

    def forecast(self, model: Model, x: Array, samples: int) -> Forecasts:
        options = self.Hyperparameters.parse(model.metadata.hyperparameters)
        if options.network != "deepar":
            return super().forecast(model, x, samples)
        count = max(samples, options.num_eval_samples)
        drawn = self._paths(model.network, x, options, model.metadata.encoding, count)
        return replace(Forecasts.of(of_paths(drawn)), drawn=drawn)

    def _paths(
        self,
        network: Network,
        x: Array,
        options: ForecastingHyperparameters,
        encoding: Mapping[str, Any],
        samples: int,
    ) -> Array:
        from . import deepar, networks

        return deepar.paths(
            network,
            x,
            networks.Channels(encoding),
            _likelihood(options, encoding),
            _lags(encoding),
            horizon=options.prediction_length,
            states=_states(options),
            samples=samples,
        )


def _lags(encoding: Mapping[str, Any]) -> list[int]:
    """How many steps before each one its values are told to deepar: the last ones, and those about
    a season ago.
    """
    seasons = Frequency.parse(encoding["frequency"]).seasons
    about = {season + apart for season in seasons for apart in (-1, 0, 1)}
    return sorted({1, 2, 3} | {lag for lag in about if 1 <= lag <= LONGEST})


def _states(options: ForecastingHyperparameters) -> int:
    """How many numbers the states of the LSTM are."""
    return 2 * options.num_layers * options.num_cells


def _likelihood(options: ForecastingHyperparameters, encoding: Mapping[str, Any]) -> Likelihood:
    if options.likelihood != "auto":
        return LIKELIHOODS[options.likelihood]
    return LIKELIHOODS[NEGATIVE_BINOMIAL if encoding[COUNTS] else STUDENT_T]


@hookimpl
def algoshelf_algorithms() -> Sequence[type[Algorithm[Any]]]:
    return [Forecasting]
