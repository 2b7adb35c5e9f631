"""A run: one training of one algorithm, from checked inputs to the artifact."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import os
import platform
import random
import re
import tempfile
import time
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib import metadata as distributions
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    ContextManager,
    Generic,
    Iterator,
    Mapping,
    NamedTuple,
    Sequence,
    TypeVar,
)

import numpy as np

from ..algorithm.channels import check_channels
from ..algorithm.hyperparameters import Hyperparameters
from ..artifact import folder as artifact
from ..artifact.folder import Artifact
from ..artifact.metadata import Example, InputSignature, Metadata, class_faults
from ..artifact.target import staged
from ..data import reading as reads
from ..data.reading import Reading, using
from ..runtime import mx, staging
from ..runtime.devices import COMPRESSING_STORES, choose_distributed, choose_kvstore, parse_devices
from ..runtime.errors import ArtifactError, DataError, InputError, PluginError, TrainingError
from ..runtime.opt_ml import report_failure
from ..runtime.types import Array, Context, HybridBlock, NDArray
from .checkpoints import Checkpoint, Checkpoints
from .cluster import PEER_TIMEOUT_SECONDS, Cluster, HostCluster, is_worker, open_store
from .reducing import Reducer
from .reporting import LogReporter, Reporter
from .stopping import Stop, stop_on_signals

if TYPE_CHECKING:
    from ..algorithm.base import Algorithm

H = TypeVar("H", bound=Hyperparameters)
# In one store with gradients, weights and gathered figures: engine.WEIGHTS_KEY, cluster.GATHER_KEY.
SUMS_KEY = 150_000
MOST_SEED = 2**31 - 1


def parse_duration(text: str) -> float:
    """Seconds, from ``90``, ``90s``, ``2ms``, ``10m`` or ``1.5h``. Raises ValueError."""
    found = re.fullmatch(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(ms|[smh]|)", text.strip())
    if not found or float(found[1]) == 0:
        raise ValueError(f"no duration: {text!r}")
    return float(found[1]) * {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600}[found[2]]


def parse_seed(text: str) -> int:
    """A seed from 0 to MOST_SEED. Raises ValueError, which says what was expected."""
    if not (re.fullmatch(r"[0-9]{1,10}", text) and int(text) <= MOST_SEED):
        raise ValueError(f"expected a whole number from 0 to {MOST_SEED}, got {text!r}")
    return int(text)


@dataclass(frozen=True)
class RunOptions:
    """How a run is carried out; the hyperparameters say what is learned.

    ``devices`` as in ``--devices``; ``checkpoint_every`` and ``max_runtime`` are seconds;
    ``target_metric`` is a value of the algorithm's objective that ends the training;
    ``gradient_compression`` above 0 is the threshold to which pushed gradients are rounded;
    ``peer_timeout`` is how many seconds a host may say nothing before the others give it up;
    ``examples`` is about how many of a channel are used, where a trial on a part will do;
    ``reading`` is what the user decides of tables and texts.
    """

    devices: str = "auto"
    kvstore: str = "auto"
    gradient_compression: float = 0.0
    checkpoints: Path | None = None
    checkpoint_every: float = 600.0
    max_runtime: float | None = None
    target_metric: float | None = None
    peer_timeout: float = PEER_TIMEOUT_SECONDS
    examples: int | None = None
    reading: Reading = field(default_factory=Reading)


class Decision(NamedTuple):
    """``stop`` is the number of a signal or 0; ``over``: the time is up; ``save``: a checkpoint."""

    stop: int
    over: bool
    save: bool


@dataclass
class Run(Generic[H]):
    """What an algorithm's ``train`` is given, and the verbs by which it reports and saves.

    ``devices`` are the mxnet contexts to compute on, ``kvstore`` the store that sums over them
    (None where there is nothing to sum). ``metrics`` holds the last value of each metric
    reported, ``data`` the digest of each channel read, ``examples`` how many there were in it and
    what is to be said of them by number, ``epoch`` the epoch whose parameters are kept: all go into
    the artifact.
    """

    algorithm: Algorithm[H]
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
        self._packages = _packages()
        self._code = "" if folder is None else _source_digest(type(self.algorithm))

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
        limit = self.options.max_runtime
        rows = self.cluster.gather(
            [
                self.stop.signal or 0,
                limit is not None and now - self._started >= limit,
                now - self._saved >= self.options.checkpoint_every,
            ]
        )
        stop, over, due = (int(value) for value in rows.max(axis=0))
        return Decision(stop, bool(over), self.keeps_checkpoints and bool(due or stop))

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
    ) -> None:
        """Write the artifact of ``block``, hybridized and run at least once, on the chief."""
        metadata = self._metadata(signature, example, encoding)
        if not self.cluster.is_chief:
            return
        artifact.write(self.folder, block, metadata)
        try:
            self.algorithm.check(Artifact.open(self.folder))
        except ArtifactError as error:
            raise PluginError(
                f"the model that {self.algorithm.name} has learned could not be opened: {error}"
            ) from None

    def _metadata(
        self, signature: InputSignature, example: Example, encoding: Mapping[str, Any] | None
    ) -> Metadata:
        faults = class_faults(encoding or {})
        if faults:
            raise DataError(*(f"classes: {fault}" for fault in faults))
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
            )
            metadata.document()
        except ValueError as error:
            raise PluginError(
                f"{self.algorithm.name}: its model could not be saved: {error}"
            ) from None
        return metadata


def train(
    algorithm: Algorithm[H],
    channels: Mapping[str, Path | None],
    hyperparameters: H,
    output: Path,
    *,
    seed: int = 1,
    options: RunOptions | None = None,
    reporter: Reporter | None = None,
    distribution: str = "",
    stop: Stop | None = None,
) -> tuple[Artifact | None, dict[str, float]]:
    """Train ``algorithm`` on ``channels`` (name to path) and leave the artifact at ``output``.

    Everything that can be wrong with the inputs is checked before the first step, and on any
    error nothing is left at ``output``. ``distribution`` (name and version) is noted in the
    artifact as where ``algorithm`` comes from. ``stop`` asks the run to end in place of the
    process's signals, which then are left alone. Returns the artifact and its final metrics; of
    several hosts only the chief has an artifact.
    """
    paths = check_channels(algorithm.channels, channels)
    options = options or RunOptions()
    reporter = reporter or LogReporter()
    devices = parse_devices(options.devices)
    resumable = options.checkpoints is not None
    choose = choose_distributed if is_worker() else choose_kvstore
    store, why = choose(devices, options.kvstore)
    check_compression(options, store)
    cluster = Cluster()
    kvstore = None
    if is_worker() and store is not None:
        tell = reporter.message

        def fail(reason: str) -> None:
            tell(reason)
            report_failure(reason)

        cluster = HostCluster(store, options.peer_timeout, fail, options.gradient_compression)
        kvstore = cluster.store
    elif store is not None:
        kvstore = open_store(store, options.gradient_compression)
    if not cluster.is_chief:
        reporter = Reporter()
    with cluster, _stage(output, cluster) as folder, _stopping(stop, resumable) as asked:
        _seed(seed)
        run = Run(
            algorithm=algorithm,
            hyperparameters=hyperparameters,
            channels=paths,
            seed=seed,
            devices=devices,
            folder=folder,
            options=options,
            kvstore=kvstore,
            cluster=cluster,
            reporter=reporter,
            stop=asked,
            distribution=distribution,
        )
        where = ", ".join(map(str, devices))
        hosts = f"{cluster.count} hosts, each " if cluster.count > 1 else ""
        reporter.message(f"seed {seed}, {hosts}on {where}, {mx.threads()} threads an operator")
        if kvstore is not None:
            reporter.message(why)
        try:
            run.check_hosts()
            # names of blocks and operators count from 0 again: the same training, the same bytes
            with mx.name.NameManager(), using(options.reading, reporter.message):
                algorithm.train(run)
        finally:
            reporter.end()
            run.close()
    return (Artifact.open(output) if cluster.is_chief else None), run.metrics


def check_compression(options: RunOptions, store: str | None) -> None:
    """Raises InputError where gradients cannot be compressed as asked for."""
    if not options.gradient_compression:
        return
    if store not in COMPRESSING_STORES:
        raise InputError(
            f"--gradient-compression: works with the KVStores {', '.join(COMPRESSING_STORES)}; "
            f"here it is {store or 'none, since one device sends nothing'}"
        )
    if options.checkpoints is not None:
        raise InputError(
            "--gradient-compression: what it leaves out of a step is nowhere to be saved: "
            "give no --checkpoints"
        )


@contextmanager
def _stage(output: Path, cluster: Cluster) -> Iterator[Path]:
    """Where the artifact is written; what another host than the chief writes is thrown away."""
    if cluster.is_chief:
        with staged(output) as folder:
            yield folder
    else:
        with staging.stage(Path(tempfile.gettempdir()), f"algoshelf-host-{os.getuid()}") as scratch:
            yield scratch


def _stopping(stop: Stop | None, resumable: bool) -> ContextManager[Stop]:
    return stop_on_signals(resumable) if stop is None else nullcontext(stop)


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)
    mx.random.seed(seed)


def sources(cls: type) -> list[Path]:
    """The files of the package, or the module, that ``cls`` is written in."""
    path = Path(inspect.getfile(cls))
    packaged = (path.parent / "__init__.py").exists()
    return sorted(path.parent.rglob("*.py")) if packaged else [path]


def _source_digest(cls: type) -> str:
    """Of the files of ``cls`` and of the algorithms of others that it builds on."""
    own = __name__.split(".", 1)[0] + ".core."
    written = [each for each in cls.__mro__ if hasattr(each, "train")]
    chosen = [each for each in written if each is cls or not each.__module__.startswith(own)]
    files = dict.fromkeys(file for each in chosen for file in sources(each))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def _packages() -> dict[str, str]:
    versions = {"python": platform.python_version(), "mxnet": mx.load().__version__}
    for name in ("algoshelf", "numpy"):
        try:
            versions[name] = distributions.version(name)
        except distributions.PackageNotFoundError:
            continue
    return versions
