"""Two devices side by side: whether one computes what the other does, in training and answering.

Each algorithm is trained on a few examples of its sample on either device, from the same start:
what it has learned and what its network answers must agree. On a machine with a GPU that tells
whether its kernels are there and right; with two contexts of the processor, that the comparison is.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Iterable, Iterator, Mapping, Sequence

import numpy as np

from ..algorithm.base import Algorithm
from ..algorithm.channels import check_channels
from ..artifact.folder import Artifact
from ..artifact.model import Model
from ..data.reading import Reading, using
from ..inference.handlers import Handlers
from ..runtime import mx
from ..runtime.errors import AlgoshelfError, InputError
from ..runtime.types import Array, Context
from ..training.cluster import open_store
from ..training.options import RunOptions
from ..training.reporting import Reporter
from ..training.run import Run
from ..training.stopping import Stop
from ..training.trainer import seed_everything

EXAMPLES, BATCH = 32, 8
# What makes runs on two devices alike: no random numbers of the device's own, and steps that are
# no larger where a gradient is almost nothing.
ALIKE = {
    "epochs": "1",
    "batch_size": str(BATCH),
    "optimizer": "sgd",
    "learning_rate": "0.1",
    "clip_norm": "1",
}
# Of the norm of an array. cuDNN multiplies in TF32, of 10 bits, where a GPU has it.
TOLERANCE, HALF_TOLERANCE = 0.02, 0.1
# Below so much a number, an array is noise: the gradient of a bias before a normalization.
FLOOR = 1e-3


@dataclass(frozen=True)
class Comparison:
    """What came of one: ``deviation`` is of the norm of what differs most, which has a name."""

    name: str
    status: str  # passed, failed, skipped
    seconds: float
    deviation: float = 0.0
    where: str = ""
    reason: str = ""


def compare(
    algorithms: Iterable[Algorithm[Any]], one: Sequence[Context], other: Sequence[Context]
) -> Iterator[Comparison]:
    """Compare each network of ``algorithms`` on the first of ``one`` and ``other``, each in mixed
    precision, and the sums of KVStores over all of them.

    ``one`` are contexts of the processor, ``other`` those to be judged.
    """
    listed = list(algorithms)
    for algorithm in listed:
        for network, given in networks(algorithm):
            name = f"{algorithm.name} {network}".strip()
            with _judged(name, TOLERANCE) as found:
                found.update(_deviations(algorithm, given, given, one[:1], other[:1]))
            yield found.comparison
    for algorithm in listed:
        yield _mixed(algorithm, one[:1], other[:1])
    for store, contexts in _stores(one, other):
        with _judged(f"KVStore {store} over {_told(contexts)}", TOLERANCE) as found:
            found.update(_summed(store, contexts))
        yield found.comparison
    if len(one) > 1 and len(other) > 1 and listed:
        algorithm = listed[0]
        _, given = next(networks(algorithm))
        with _judged(f"{algorithm.name} over {_told(other[:2])} by a KVStore", TOLERANCE) as found:
            found.update(_deviations(algorithm, given, given, one[:2], other[:2]))
        yield found.comparison


def networks(algorithm: Algorithm[Any]) -> Iterator[tuple[str, dict[str, str]]]:
    """Each network that the algorithm has, with the hyperparameters to compare it by."""
    known = {info.name: info for info in algorithm.Hyperparameters.describe()}
    given = dict(ALIKE) if ALIKE.keys() <= known.keys() else {}  # of networks that take steps
    given.update(dict.fromkeys((name for name in known if "dropout" in name), "0"))
    choices = known["network"].choices if "network" in known else ()
    if not choices:
        yield "", given
    for choice in choices:
        options = {**given, "network": str(choice)}
        try:
            parsed = algorithm.Hyperparameters.parse(dict(options))
            algorithm.check_given(parsed, algorithm.sample())
        except InputError:
            continue  # one that begins with pretrained weights
        yield str(choice), options


class _Found:
    """The deviations of a comparison, and what becomes of them."""

    def __init__(self, name: str, tolerance: float) -> None:
        self._name, self._tolerance = name, tolerance
        self._begun = time.monotonic()
        self._deviations: dict[str, float] = {}
        self.reason = ""
        self.skipped = False

    def update(self, deviations: Mapping[str, float]) -> None:
        self._deviations.update(deviations)

    @property
    def comparison(self) -> Comparison:
        seconds = time.monotonic() - self._begun
        if self.skipped or self.reason or not self._deviations:
            status = "skipped" if self.skipped else "failed"
            return Comparison(self._name, status, seconds, reason=self.reason or "nothing to see")
        where, most = max(self._deviations.items(), key=lambda item: _order(item[1]))
        status = "passed" if most <= self._tolerance else "failed"
        reason = "" if status == "passed" else f"more than {self._tolerance:.0%} apart"
        return Comparison(self._name, status, seconds, most, where, reason)


def _order(value: float) -> float:
    return float("inf") if np.isnan(value) else value


@contextmanager
def _judged(name: str, tolerance: float) -> Iterator[_Found]:
    """What fails within is a fault of the device, or of what is installed for it."""
    found = _Found(name, tolerance)
    try:
        yield found
    except (AlgoshelfError, mx.base.MXNetError) as error:
        found.reason = str(error).strip().splitlines()[0][:300]


def _mixed(
    algorithm: Algorithm[Any], one: Sequence[Context], other: Sequence[Context]
) -> Comparison:
    name = f"{algorithm.name} in mixed precision"
    _, given = next(networks(algorithm))
    with _judged(name, HALF_TOLERANCE) as found:
        if "precision" not in {info.name for info in algorithm.Hyperparameters.describe()}:
            found.skipped, found.reason = True, "has none"
        elif other[0].device_type != "gpu":
            found.skipped, found.reason = True, "needs a GPU"
        else:
            half = {**given, "precision": "mixed"}
            found.update(_deviations(algorithm, given, half, one, other))
    return found.comparison


def _deviations(
    algorithm: Algorithm[Any],
    given: Mapping[str, str],
    given_other: Mapping[str, str],
    one: Sequence[Context],
    other: Sequence[Context],
) -> dict[str, float]:
    """By array: what was learned, and what the networks answer to the same input."""
    with tempfile.TemporaryDirectory(prefix="algoshelf-") as scratch:
        here = _trained(algorithm, given, one, Path(scratch, "one"))
        there = _trained(algorithm, given_other, other, Path(scratch, "other"))
        ours, same, theirs = (
            Handlers.load(algorithm, artifact.folder, context).model
            for artifact, context in ((here, one[0]), (here, other[0]), (there, other[0]))
        )
        learned, found = ours.parameters(), theirs.parameters()
        deviations = {name: _apart(learned[name], found[name]) for name in learned}
        for number, (x, expected) in enumerate(_answers(algorithm, ours)):
            for answer, answered in zip(expected, _all(same.outputs(x))):
                deviations[f"answer {number}"] = _apart(answer, answered)
    return deviations


def _trained(
    algorithm: Algorithm[Any],
    given: Mapping[str, str],
    contexts: Sequence[Context],
    folder: Path,
) -> Artifact:
    folder.mkdir()
    seed_everything(1)
    run = Run(
        algorithm=algorithm,
        hyperparameters=algorithm.Hyperparameters.parse(dict(given)),
        channels=check_channels(algorithm.channels, algorithm.sample()),
        seed=1,
        devices=list(contexts),
        folder=folder,
        options=RunOptions(examples=EXAMPLES),
        kvstore=open_store("device", 0.0) if len(contexts) > 1 else None,
        reporter=Reporter(),
        stop=Stop(),
    )
    try:
        with mx.name.NameManager(), using(Reading(), lambda text: None):
            algorithm.train(run)
    finally:
        run.close()
    return Artifact.open(folder)


class _Heard:
    """A network that keeps what it is asked, and what it answers."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self.said: list[tuple[Array, tuple[Array, ...]]] = []

    def compute(self, x: Array) -> tuple[Array, ...]:
        kept = np.array(x)
        answers: tuple[Array, ...] = self._network.compute(x)
        self.said.append((kept, answers))
        return answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)


def _answers(algorithm: Algorithm[Any], model: Model) -> list[tuple[Array, tuple[Array, ...]]]:
    """What the network is asked for the artifact's own example, and what it answers."""
    heard = _Heard(model.network)
    handlers = Handlers(algorithm, replace(model, network=heard))
    example = model.metadata.example
    handlers.predict(handlers.decode(example.body.encode(), example.content_type))
    return heard.said


def _all(outputs: Any) -> tuple[Array, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def _apart(expected: Array, found: Array) -> float:
    """The norm of the difference, of that of what was expected; NaN where one is not a number."""
    if expected.shape != found.shape:
        return float("inf")
    if not expected.size:
        return 0.0
    exact = expected.astype(np.float64)
    norm = np.linalg.norm(exact) + FLOOR * np.sqrt(exact.size)
    return float(np.linalg.norm(exact - found.astype(np.float64)) / norm)


def _stores(
    one: Sequence[Context], other: Sequence[Context]
) -> Iterator[tuple[str, Sequence[Context]]]:
    """Each kind of store, over what it can sum: ``device`` and ``nccl`` over several devices."""
    yield "local", [one[0], other[0]]
    if len(other) > 1:
        yield "device", list(other)
        if other[0].device_type == "gpu" and mx.runtime.Features().is_enabled("NCCL"):
            yield "nccl", list(other)


def _summed(store: str, contexts: Sequence[Context]) -> dict[str, float]:
    """Of a sum of arrays, one on each of ``contexts``, as each of them gets it back."""
    parts = [np.random.default_rng(n).standard_normal((257, 33)) for n in range(len(contexts))]
    on_devices = [
        mx.nd.array(part, ctx=context, dtype="float32") for part, context in zip(parts, contexts)
    ]
    kvstore = mx.kv.create(store)
    kvstore.init(0, mx.nd.zeros_like(on_devices[0]))
    kvstore.push(0, on_devices)
    kvstore.pull(0, out=on_devices)
    expected = np.sum(parts, axis=0).astype(np.float32)
    return {str(each.context): _apart(expected, each.asnumpy()) for each in on_devices}


def _told(contexts: Sequence[Context]) -> str:
    return ", ".join(map(str, contexts))
