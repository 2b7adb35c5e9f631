"""The Dataset interface: examples by index; hold-out, batching and prefetching.

The order is a function of (seed, epoch) only, so that a run can be repeated, resumed in the
middle of an epoch, and divided among hosts.
"""

from __future__ import annotations

import contextlib
import hashlib
import queue
import threading
from dataclasses import dataclass, field
from functools import partial
from typing import (
    Any,
    Callable,
    Generator,
    Iterable,
    Mapping,
    Protocol,
    Sequence,
    TypeVar,
)

import numpy as np

from ..runtime.errors import DataError, PluginError
from ..runtime.types import Array

K = TypeVar("K")
V = TypeVar("V")


class Examples(Protocol):
    """What a network can be asked about: a Dataset, or a part of one, without labels to learn."""

    def __len__(self) -> int: ...

    def take(self, indices: Array) -> tuple[Array, Array]:
        """Examples (B, …), and what belongs to each, (B, …)."""


class Dataset(Protocol):
    """Examples by index, in memory or read when asked for.

    One whose examples differ in length, such as texts, also offers ``lengths() -> (N,) int``, and
    pads what it takes; examples of about one length then share a batch. One whose examples belong
    together, such as the visits of a patient, offers ``groups() -> (N,)``, any numbers or names:
    no group is divided by a hold-out. One whose later examples are to be told from earlier ones
    offers ``times() -> (N,)``, numbers: what is held out is the latest. Any may offer ``note``, a
    sentence on how its files were understood, for the log, and ``counts``, the figures in it by
    name (``inverted``, ``left_out``), for programs. One that draws a part of each example anew in
    each epoch, such as what a user did not choose, offers ``drawn(rng) -> Dataset``: what it draws
    for an example depends on ``rng`` and the example's index alone, be it in whichever batch, on
    whichever host. One whose examples differ from one epoch to the next by a rule offers
    ``in_epoch(number) -> Dataset``, the first being 0.
    """

    @property
    def encoding(self) -> Mapping[str, Any]:
        """How names became numbers, in JSON types: ``{"classes": […], "vocabulary": […]}``.

        ``targets`` are the names of the numbers that a regression estimates.

        It is kept in the artifact, and given to ``dataset`` for every other channel.
        """

    def __len__(self) -> int: ...

    def take(self, indices: Array) -> tuple[Array, Array]:
        """The batch ``(x, y)`` of the examples at ``indices`` (B,) int64: x (B, …), y (B, …)."""

    def labels(self) -> Array:
        """What is to be learned of each example, (N, …).

        Where ``encoding`` names classes, (N,) integers are indices into them, and a split is
        stratified by them.
        """

    def digest(self) -> str:
        """The SHA-256 of all examples in hexadecimal: the same data, the same digest."""


@dataclass(frozen=True)
class ArrayDataset:
    """Examples in memory: ``x`` (N, …), and ``y`` (N, …), what is to be learned of each.

    ``classes`` are the names of classes, of which ``y`` (N,) int32 holds the indices; ``targets``
    those of numbers to be estimated, ``y`` (N,) or (N, T) float32. float64 becomes float32. The
    ``group`` (N,), numbers or names, or the ``time`` (N,) of each example says how to hold out.
    """

    x: Array
    y: Array
    classes: tuple[str, ...] = ()
    note: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    targets: tuple[str, ...] = ()
    group: Array | None = None
    time: Array | None = None

    @property
    def encoding(self) -> Mapping[str, Any]:
        named = {"classes": list(self.classes), "targets": list(self.targets)}
        return {kind: names for kind, names in named.items() if names}

    def __post_init__(self) -> None:
        for name in ("x", "y"):
            if getattr(self, name).dtype == np.float64:
                object.__setattr__(self, name, getattr(self, name).astype(np.float32))

    def __len__(self) -> int:
        return len(self.y)

    def take(self, indices: Array) -> tuple[Array, Array]:
        return self.x[indices], self.y[indices]

    def labels(self) -> Array:
        return self.y

    def groups(self) -> Array | None:
        return self.group

    def times(self) -> Array | None:
        return self.time

    def digest(self) -> str:
        digest = hashlib.sha256()
        told = (np.asarray(each) for each in (self.group, self.time) if each is not None)
        for array in (self.x, self.y, *told):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).view(np.uint8).data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Subset:
    """The examples of ``whole`` at ``indices`` (N,) int64."""

    whole: Dataset
    indices: Array

    @property
    def encoding(self) -> Mapping[str, Any]:
        return self.whole.encoding

    def __len__(self) -> int:
        return len(self.indices)

    def take(self, indices: Array) -> tuple[Array, Array]:
        return self.whole.take(self.indices[indices])

    def labels(self) -> Array:
        labels: Array = self.whole.labels()[self.indices]
        return labels

    def digest(self) -> str:
        return hashlib.sha256(self.whole.digest().encode() + self.indices.tobytes()).hexdigest()


@dataclass(frozen=True)
class Encoded:
    """The examples of ``whole``, whose encoding has ``more`` in it."""

    whole: Dataset
    more: Mapping[str, Any]

    @property
    def encoding(self) -> Mapping[str, Any]:
        return {**self.whole.encoding, **self.more}

    def __len__(self) -> int:
        return len(self.whole)

    def take(self, indices: Array) -> tuple[Array, Array]:
        return self.whole.take(indices)

    def labels(self) -> Array:
        return self.whole.labels()

    def digest(self) -> str:
        return self.whole.digest()


def encoded(dataset: Dataset, more: Mapping[str, Any]) -> Dataset:
    """``dataset`` with ``more`` in its encoding; itself where that is nothing."""
    return Encoded(dataset, more) if more else dataset


def classes_of(dataset: Dataset) -> Array | None:
    """The class of each example (N,), an integer; None where the labels are no classes.

    Numbers to be estimated, several labels an example, or the example itself are none.
    """
    if not dataset.encoding.get("classes"):
        return None
    labels = np.asarray(dataset.labels())
    return labels if labels.ndim == 1 and labels.dtype.kind in "iub" else None


def part_of(dataset: Dataset, examples: int) -> Dataset:
    """About ``examples`` of ``dataset``, of each class in its proportion the first, at least two.

    Two, so that one can be held out. Without classes, the first.
    """
    if len(dataset) <= examples:
        return dataset
    chosen = []
    for members in _strata(dataset):
        part = round(len(members) * examples / len(dataset))
        chosen.append(members[: max(2, part)])
    return Subset(dataset, np.sort(np.concatenate(chosen)))


def hold_out(
    dataset: Dataset, fraction: float, rng: np.random.Generator
) -> tuple[Dataset, Dataset]:
    """``dataset`` without, and only, a random ``fraction`` of it: at least one, not all.

    Where it has classes, this is so of each. Where it has ``times``, what is held out is later than
    all that is not; where it has ``groups``, whole groups are. Raises DataError where there are
    fewer than two examples to divide, of a class, of all, or at more than one time or of more than
    one group.
    """
    chosen = _latest if times_of(dataset) is not None else _random_of_each
    if groups_of(dataset) is not None:
        if times_of(dataset) is not None:
            raise PluginError(
                "a dataset offers groups() and times(): expected one, which says how to hold out"
            )
        chosen = _whole_groups
    inside = chosen(dataset, fraction, rng)
    return Subset(dataset, np.flatnonzero(~inside)), Subset(dataset, np.flatnonzero(inside))


def _random_of_each(dataset: Dataset, fraction: float, rng: np.random.Generator) -> Array:
    held: list[Array] = []
    for members in _strata(dataset):
        if len(members) < 2:
            raise DataError(
                f"{_stratum(dataset, members)} only one example, too few to hold one out for "
                "validation: add examples, or give a validation channel" + how_read(dataset)
            )
        count = min(len(members) - 1, max(1, round(fraction * len(members))))
        held.append(rng.permutation(members)[:count])
    inside = np.zeros(len(dataset), dtype=bool)
    inside[np.concatenate(held)] = True
    return inside


def _latest(dataset: Dataset, fraction: float, rng: np.random.Generator) -> Array:
    """Those after the time at which the rest is nearest to its part of all."""
    times = np.asarray(times_of(dataset))
    if not np.isfinite(times).all():
        raise DataError("the times of examples are to be finite numbers" + how_read(dataset))
    ends, counts = np.unique(times, return_counts=True)
    if len(ends) < 2:
        raise DataError(
            "all examples are of one time, so that none is later than others: give a validation "
            "channel" + how_read(dataset)
        )
    before = np.cumsum(counts)[:-1]
    inside: Array = times > ends[np.argmin(np.abs(before - (1 - fraction) * len(times)))]
    return inside


def _whole_groups(dataset: Dataset, fraction: float, rng: np.random.Generator) -> Array:
    """Groups in random order, as many as come nearest to the part of all."""
    names, places, counts = np.unique(
        np.asarray(groups_of(dataset)), return_inverse=True, return_counts=True
    )
    if len(names) < 2:
        raise DataError(
            "all examples are of one group, which is not divided: add groups, or give a validation "
            "channel" + how_read(dataset)
        )
    order = rng.permutation(len(names))
    taken = np.cumsum(counts[order])[:-1]
    count = 1 + int(np.argmin(np.abs(taken - fraction * len(places))))
    inside: Array = np.isin(places, order[:count])
    return inside


def note_of(dataset: Dataset) -> str:
    """What is to be said of how ``dataset`` was read, such as what was left out; or nothing."""
    whole = dataset.whole if isinstance(dataset, (Subset, Encoded)) else dataset
    note: str = getattr(whole, "note", "")
    return note


def how_read(dataset: Dataset) -> str:
    """What is to be said of how ``dataset`` was read where it is refused, in brackets: the cause
    may lie there. Empty where there is nothing to say.
    """
    whole = dataset.whole if isinstance(dataset, Subset) else dataset
    note = note_of(dataset)
    if getattr(whole, "counts", {}).get("left_out"):
        note += (
            "; files that are left out are used once they are saved in a form that is read, "
            "pictures as PNG"
        )
    return f" ({note})" if note else ""


def _strata(dataset: Dataset) -> list[Array]:
    """The indices of each class in turn; without classes, all together."""
    classes = classes_of(dataset)
    if classes is None:
        return [np.arange(len(dataset))]
    order = np.argsort(classes, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(classes[order])) + 1)


def _stratum(dataset: Dataset, members: Array) -> str:
    classes = classes_of(dataset)
    if classes is None:
        return "train has"
    label = int(classes[members[0]])
    names = dict(enumerate(dataset.encoding["classes"]))
    return f"class {names.get(label, str(label))!r} has"


def lengths_of(dataset: Examples) -> Array | None:
    """How long each example is, (N,) int; None where they are all alike."""
    return _offered(dataset, "lengths")


def groups_of(dataset: Dataset) -> Array | None:
    """The group of each example, (N,); None where each stands for itself."""
    return _offered(dataset, "groups")


def times_of(dataset: Dataset) -> Array | None:
    """The time of each example, (N,); None where they have no order."""
    return _offered(dataset, "times")


def _offered(dataset: Examples, name: str) -> Array | None:
    if isinstance(dataset, Subset):
        whole = _offered(dataset.whole, name)
        return None if whole is None else np.asarray(whole)[dataset.indices]
    if isinstance(dataset, Encoded):
        return _offered(dataset.whole, name)
    offered = getattr(dataset, name, None)
    return None if offered is None else offered()


def drawn(dataset: Dataset, rng: np.random.Generator) -> Dataset:
    """``dataset`` as it is for one epoch, whose random numbers are those of ``rng``."""
    offered = getattr(dataset, "drawn", None)
    return dataset if offered is None else offered(rng)


def in_epoch(dataset: Dataset, number: int) -> Dataset:
    """``dataset`` as it is in the epoch ``number``, the first being 0."""
    offered = getattr(dataset, "in_epoch", None)
    return dataset if offered is None else offered(number)


def shuffled_batches(
    size: int, batch_size: int, rng: np.random.Generator, lengths: Array | None = None
) -> list[Array]:
    """One epoch: the indices of full batches in random order.

    With ``lengths`` (size,), the examples of a batch are of about one length. What is left over is
    dropped, other examples in every epoch, because a batch of another size makes a static graph
    plan its memory anew.
    """
    order = rng.permutation(size)
    order = order[: size // batch_size * batch_size]
    if lengths is not None:
        order = order[np.argsort(lengths[order], kind="stable")]
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    if lengths is not None:
        batches = [batches[index] for index in rng.permutation(len(batches))]
    return batches


def prefetched(
    produce: Callable[[K], V], keys: Sequence[K], depth: int = 4
) -> Generator[V, None, None]:
    """``produce(key)`` for every key in order, made up to ``depth`` ahead by a thread of its own.

    An exception in ``produce`` is raised here. The thread ends when the iterator is closed. One key
    needs no thread: each that ends leaves about 1 kB behind, and a server has one key a request.
    """
    if len(keys) == 1:
        yield produce(keys[0])
        return
    made: queue.Queue[Callable[[], Any]] = queue.Queue(depth)
    closed = threading.Event()

    def put(result: Callable[[], Any]) -> bool:
        while not closed.is_set():
            with contextlib.suppress(queue.Full):
                made.put(result, timeout=0.1)
                return True
        return False

    def work() -> None:
        for key in keys:
            try:
                value = produce(key)
            except BaseException as error:
                put(partial(_raise, error))
                return
            if not put(partial(_identity, value)):
                return

    thread = threading.Thread(target=work, name="algoshelf-prefetch", daemon=True)
    thread.start()
    try:
        for _ in keys:
            yield made.get()()
    finally:
        closed.set()
        thread.join()


def _raise(error: BaseException) -> Any:
    raise error


def _identity(value: V) -> V:
    return value


def chunks(size: int, length: int) -> Iterable[slice]:
    """Slices of at most ``length`` that cover ``range(size)``."""
    return (slice(start, min(start + length, size)) for start in range(0, size, length))
