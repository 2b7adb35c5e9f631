"""A run: what one training of one algorithm is given, and how it reports, saves and goes on."""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import (
    Any,
    ClassVar,
    Collection,
    ContextManager,
    Generic,
    Iterator,
    Mapping,
    NamedTuple,
    Protocol,
    Sequence,
    TypeVar,
)

import numpy as np

from ..algorithm.channels import Channel
from ..algorithm.hyperparameters import Hyperparameters
from ..artifact import folder as artifact
from ..artifact.folder import Artifact
from ..artifact.metadata import Example, InputSignature, Metadata, name_faults
from ..data import reading as reads
from ..runtime import mx
from ..runtime.deprecated import keep_old_names
from ..runtime.errors import ArtifactError, DataError, InputError, PluginError, TrainingError
from ..runtime.graph import Fit
from ..runtime.types import Array, Context, HybridBlock, NDArray
from .checkpoints import Checkpoint, Checkpoints
from .cluster import Cluster
from .options import RunOptions
from .provenance import packages, source_digest
from .reducing import Reducer
from .reporting import LogReporter, Reporter
from .stopping import Stop

H = TypeVar("H", bound=Hyperparameters)
# In one store with gradients, weights and gathered figures: engine.WEIGHTS_KEY, cluster.GATHER_KEY.
SUMS_KEY = 150_000
OVER, FINISHED = "the time of --max-runtime is over", "it was interrupted"


class Objective(Protocol):
    """The metric that chooses between trainings."""

    @property
    def metric(self) -> str: ...

    @property
    def maximize(self) -> bool: ...


class Trainable(Protocol[H]):
    """What a training needs to know of an algorithm, as ``Algorithm`` states it."""

    name: ClassVar[str]
    version: ClassVar[str]
    channels: ClassVar[tuple[Channel, ...]]

    @property
    def objective(self) -> Objective: ...

    def train(self, run: Run[H]) -> None: ...

    def check_given(self, hyperparameters: H, channels: Collection[str]) -> None: ...

    def check(self, artifact: Artifact) -> None: ...

    def excesses(self, fit: Fit, parameters: int) -> Iterator[str]: ...


class Decision(NamedTuple):
    """``stop`` is the number of a signal or 0; ``over``: the time is up, or somebody asks for the
    model as it is by now: ``why`` says which; ``save``: a checkpoint.
    """

    stop: int
    over: bool
    save: bool
    why: str = OVER


@dataclass
class Run(Generic[H]):
    """What an algorithm's ``train`` is given, and the verbs by which it reports and saves.

    ``devices`` are the mxnet contexts to compute on, ``kvstore`` the store that sums over them
    (None where there is nothing to sum). ``metrics`` holds the last value of each metric
    reported, ``data`` the digest of each channel read, ``examples`` how many there were in it and
    what is to be said of them by number, ``epoch`` the epoch whose parameters are kept: all go into
    the artifact.
    """

    algorithm: Trainable[H]
    hyperparameters: H
    channels: Mapping[str, Path]
    seed: int
    devices: Sequence[Context]
    folder: Path
    options: RunOptions = field(default_factory=RunOptions)
    kvstore: Any = None
    cluster: Cluster = field(default_factory=Cluster)
    reporter: Reporter = field(default_factory=LogReporter)
    metrics: dict[str, float] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    epoch: int | None = None
    examples: dict[str, dict[str, int]] = field(default_factory=dict)
    stop: Stop = field(default_factory=Stop)
    distribution: str = ""

    def __post_init__(self) -> None:
        self._started = self._saved = time.monotonic()
        folder = self.options.checkpoints
        self._checkpoints = None if folder is None else Checkpoints(folder)
        self._reducer: Reducer | None = None
        self._data: dict[str, str] = {}
        # Of the code that runs, not of what its files hold when a checkpoint or the model is saved.
        self._packages = packages()
        self._code = "" if folder is None else source_digest(type(self.algorithm))

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

        Raises TrainingError for a value that is no number: a model of it is of no use.
        ``measured`` are figures of this machine, such as speed: they are told, not kept.
        """
        broken = [name for name, value in values.items() if not math.isfinite(value)]
        if broken:
            raise TrainingError(
                f"after step {step}, {' and '.join(broken)} is no longer finite: look for outliers "
                "in the data, or lower the learning rate"
            )
        self.metrics.update(values)
        self.reporter.metrics({**values, **(measured or {})}, epoch=epoch, step=step)

    @property
    def keeps_checkpoints(self) -> bool:
        return self._checkpoints is not None

    def close(self) -> None:
        """Let go of the folder of checkpoints."""
        if self._checkpoints is not None:
            self._checkpoints.close()

    def resume(self) -> Checkpoint | None:
        """The newest whole checkpoint of this very run; None where there is none.

        The chief alone reads it, judges it, and gives it to the other hosts. Raises CheckpointError
        where it is of another run, with each difference.
        """
        if self._checkpoints is None:
            return None
        self._data = self._data_of_unlike_hosts()
        checkpoint = None
        if self.cluster.is_chief:
            self._checkpoints.prepare()
            checkpoint = self._checkpoints.latest(self._identity(), self.reporter)
        if self.cluster.count > 1:
            body = b"" if checkpoint is None else checkpoint.to_bytes()
            body = self.cluster.from_chief(body, "the chief's checkpoint")
            checkpoint = Checkpoint.from_bytes(body) if body else None
        if checkpoint is not None:
            self.reporter.message(f"resuming after step {checkpoint.step}")
        return checkpoint

    def sum(self, name: str, parts: Sequence[NDArray]) -> Array:
        """The sum of ``parts``, one a device, and of those of the other hosts: float64.

        A ``name`` stands for one shape; every host calls it at the same place. Devices are summed
        in the dtype of ``parts``, hosts in float32. Raises InputError where the run compresses
        what is pushed, which leaves nothing of a sum.
        """
        self.check_sums()
        if self._reducer is None:
            self._reducer = Reducer(self.kvstore, SUMS_KEY)
        with self.cluster.waiting(f"the sums ({name}) of the other hosts"):
            self._reducer.reduce({f"{name} {parts[0].shape}": parts})
            total: Array = parts[0].asnumpy().astype(np.float64)
        return total

    def check_sums(self) -> None:
        """Raises InputError where the run compresses what is pushed, which leaves no sums."""
        if self.options.gradient_compression:
            raise InputError(
                f"--gradient-compression: {self.algorithm.name} has no gradients to compress"
            )

    def decide(self) -> Decision:
        """What is to be done between two steps; the same answer on every host."""
        now = time.monotonic()
        limit, finish = self.options.max_runtime, self.stop.finish
        self.stop.begun = True
        rows = self.cluster.gather(
            [
                self.stop.signal or 0,
                finish or (limit is not None and now - self._started >= limit),
                now - self._saved >= self.options.checkpoint_every,
            ]
        )
        stop, over, due = (int(value) for value in rows.max(axis=0))
        save = self.keeps_checkpoints and bool(due or stop)
        return Decision(stop, bool(over), save, FINISHED if finish else OVER)

    def checkpoint(
        self,
        step: int,
        position: Mapping[str, Any],
        arrays: Mapping[str, Mapping[str, NDArray]],
    ) -> None:
        """Keep ``position`` (a JSON object) and ``arrays``, on the chief."""
        self._saved = time.monotonic()
        if self._checkpoints is not None and self.cluster.is_chief:
            self._checkpoints.save(Checkpoint(step, self._identity(), position, arrays))

    def interruptible(self, where: str) -> ContextManager[None]:
        """While inside, a signal ends the run at once, by Stopped; ``where`` says where it stands.

        For long work between two steps, such as a validation, when a checkpoint is taken.
        """
        return self.stop.interruptible(where)

    def _identity(self) -> dict[str, Any]:
        """What a checkpoint must agree with to be gone on from."""
        hyperparameters = self.hyperparameters.model_dump(mode="json")
        return {
            "algorithm": f"{self.algorithm.name} {self.algorithm.version}",
            "code": self._code,
            **{f"hyperparameter {name}": value for name, value in hyperparameters.items()},
            **(self._data or {f"data of {name}": digest for name, digest in self.data.items()}),
            **{f"version of {name}": version for name, version in self._packages.items()},
            "seed": self.seed,
            "devices": ", ".join(map(str, self.devices)),
            "hosts": self.cluster.count,
            "threads": mx.threads(),
        }

    def check_headings(self) -> None:
        """Raise DataError where the hosts took columns of numbers by unlike headings; every host
        calls it once its data are read.
        """
        found = reads.headings()
        columns = None if found is None else [reads.key_of(name) for name in found.columns]
        everyone = self.cluster.exchange(columns, "the headings of the other hosts")
        if len({str(each) for each in everyone if each is not None}) > 1:
            raise DataError(
                "the hosts do not agree on the headings of columns, and their order: "
                + self.cluster.by_host(everyone)
            )

    def check_hosts(self) -> None:
        """Raise DataError, with each difference, where the hosts are not given the same.

        Their data may differ; the algorithm sees to what has to be alike of them.
        """
        if self.cluster.count == 1:
            return
        options = self.options
        given = {
            **{key: value for key, value in self._identity().items() if key != "threads"},
            "devices": f"{len(self.devices)}",
            "channels": ", ".join(sorted(self.channels)),
            "--kvstore": options.kvstore,
            "--target-metric": options.target_metric,
            "--gradient-compression": options.gradient_compression,
            "--checkpoints": "given" if options.checkpoints else "not given",
            "examples": options.examples,
        }
        everyone = self.cluster.exchange(given, "the settings of the other hosts")
        differing = sorted(
            key for key in set().union(*everyone) if len({str(e.get(key)) for e in everyone}) > 1
        )
        if differing:
            raise DataError(
                *(
                    f"the hosts do not agree on {key}: "
                    + self.cluster.by_host([each.get(key) for each in everyone])
                    for key in differing
                )
            )

    def _data_of_unlike_hosts(self) -> dict[str, str]:
        """Of data that differ, what a checkpoint is held against, whoever is chief; else empty."""
        everyone = self.cluster.exchange(self.data, "the digests of the data")
        if all(each == everyone[0] for each in everyone):
            return {}
        texts = sorted(json.dumps(each, sort_keys=True) for each in everyone)
        return {"data of the hosts": hashlib.sha256("".join(texts).encode()).hexdigest()}

    def check(
        self,
        *,
        signature: InputSignature,
        example: Example,
        encoding: Mapping[str, Any] | None = None,
    ) -> None:
        """Before the first step: whether what ``save`` is going to be given can be saved.

        Raises DataError for names that the data gave to its classes, PluginError for the rest.
        """
        self._metadata(signature, example, encoding)

    def save(
        self,
        block: HybridBlock,
        *,
        signature: InputSignature,
        example: Example,
        encoding: Mapping[str, Any] | None = None,
        kept: Mapping[str, Array] | None = None,
    ) -> None:
        """Write the artifact of ``block``, hybridized and run at least once, on the chief.

        ``kept`` are arrays that ``Artifact.kept`` gives back by name.
        """
        metadata = self._metadata(signature, example, encoding)
        if not self.cluster.is_chief:
            return
        artifact.write(self.folder, block, metadata, kept)
        try:
            self.algorithm.check(Artifact.open(self.folder))
        except ArtifactError as error:
            raise PluginError(
                f"the model that {self.algorithm.name} has learned could not be opened: {error}"
            ) from None

    def _metadata(
        self, signature: InputSignature, example: Example, encoding: Mapping[str, Any] | None
    ) -> Metadata:
        faults = name_faults(encoding or {})
        if faults:
            raise DataError(*faults)
        try:
            metadata = Metadata(
                algorithm=self.algorithm.name,
                algorithm_version=self.algorithm.version,
                hyperparameters=self.hyperparameters.model_dump(mode="json"),
                seed=self.seed,
                input=signature,
                example=example,
                encoding=dict(encoding or {}),
                distribution=self.distribution,
                metrics=self.metrics,
                epoch=self.epoch,
                data=self.data,
                examples=self.examples,
                headings=reads.headings(),
                packages=self._packages,
                threads=mx.threads(),
            )
            metadata.document()
        except ValueError as error:
            raise PluginError(
                f"{self.algorithm.name}: its model could not be saved: {error}"
            ) from None
        return metadata


keep_old_names(__name__, "training.run")
