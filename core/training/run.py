"""A run: one training of one algorithm, from checked inputs to the artifact."""

from __future__ import annotations

import platform
import random
from dataclasses import dataclass, field
from importlib import metadata as distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Mapping, Sequence, TypeVar

import numpy as np

from .. import artifact, mx
from ..artifact import Artifact, Example, InputSignature, Metadata
from ..channels import check_channels
from ..hyperparameters import Hyperparameters
from ..types import Context, HybridBlock
from .reporting import LogReporter, Reporter

if TYPE_CHECKING:
    from ..algorithm import Algorithm

H = TypeVar("H", bound=Hyperparameters)


@dataclass
class Run(Generic[H]):
    """What an algorithm's ``train`` is given, and the verbs by which it reports and saves.

    ``devices`` are the mxnet contexts to compute on. ``metrics`` holds the last value of each
    metric reported, ``data`` the digest of each channel read: both go into the artifact.
    """

    algorithm: Algorithm[H]
    hyperparameters: H
    channels: Mapping[str, Path]
    seed: int
    devices: Sequence[Context]
    folder: Path
    reporter: Reporter = field(default_factory=LogReporter)
    metrics: dict[str, float] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)

    def rng(self, *key: int) -> np.random.Generator:
        """Random numbers that depend on the run's seed and ``key`` (purpose, epoch, …) alone."""
        return np.random.default_rng([self.seed, *key])

    def report(
        self,
        values: Mapping[str, float],
        *,
        epoch: int,
        step: int,
        measured: Mapping[str, float] | None = None,
    ) -> None:
        """Tell everyone who listens, by full metric names (``validation:accuracy``).

        ``measured`` are figures of this machine, such as speed: they are told, not kept.
        """
        self.metrics.update(values)
        self.reporter.metrics({**values, **(measured or {})}, epoch=epoch, step=step)

    def save(
        self,
        block: HybridBlock,
        *,
        signature: InputSignature,
        example: Example,
        classes: Sequence[str] | None = None,
    ) -> None:
        """Write the artifact of ``block``, hybridized and run at least once."""
        artifact.write(
            self.folder,
            block,
            Metadata(
                algorithm=self.algorithm.name,
                algorithm_version=self.algorithm.version,
                hyperparameters=self.hyperparameters.model_dump(mode="json"),
                seed=self.seed,
                input=signature,
                example=example,
                classes=None if classes is None else list(classes),
                metrics=self.metrics,
                data=self.data,
                packages=_packages(),
            ),
        )


def train(
    algorithm: Algorithm[H],
    channels: Mapping[str, Path | None],
    hyperparameters: H,
    output: Path,
    *,
    seed: int = 1,
    reporter: Reporter | None = None,
) -> tuple[Artifact, dict[str, float]]:
    """Train ``algorithm`` on ``channels`` (name to path) and leave the artifact at ``output``.

    Everything that can be wrong with the inputs is checked before the first step, and on any
    error nothing is left at ``output``. Returns the artifact and its final metrics.
    """
    paths = check_channels(algorithm.channels, channels)
    reporter = reporter or LogReporter()
    with artifact.staged(output) as folder:
        _seed(seed)
        run = Run(
            algorithm=algorithm,
            hyperparameters=hyperparameters,
            channels=paths,
            seed=seed,
            devices=default_devices(),
            folder=folder,
            reporter=reporter,
        )
        where = ", ".join(map(str, run.devices))
        reporter.message(f"seed {seed}, on {where}, {mx.threads()} threads an operator")
        try:
            # names of blocks and operators count from 0 again: the same training, the same bytes
            with mx.name.NameManager():
                algorithm.train(run)
        finally:
            reporter.end()
    return Artifact.open(output), run.metrics


def default_devices() -> Sequence[Any]:
    """The first GPU, or else the CPU."""
    return [mx.gpu(0)] if mx.context.num_gpus() else [mx.cpu()]


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    mx.random.seed(seed)


def _packages() -> dict[str, str]:
    versions = {"python": platform.python_version(), "mxnet": mx.load().__version__}
    for name in ("algoshelf", "numpy"):
        try:
            versions[name] = distributions.version(name)
        except distributions.PackageNotFoundError:
            continue
    return versions
