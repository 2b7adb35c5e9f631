"""Hosts that train together over MXNet's parameter server: their roles, and what they exchange.

The roles come from the environment, where ``--hosts`` on this machine, AWS's training toolkit, or
any launcher of ps-lite has put them: ``DMLC_ROLE``, ``DMLC_NUM_WORKER``, ``DMLC_PS_ROOT_URI``, ….
A process that imports mxnet as scheduler or server becomes that and never returns.

Two ways lead from host to host. The KVStore sums large arrays, in float32. What has to arrive as it
is (counts, steps, seeds, digests, names, figures) goes over the line of ``peers``.
"""

from __future__ import annotations

import io
import json
import os
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Sequence

import numpy as np

from ..runtime import mx
from ..runtime.errors import AlgoshelfError, DataError, Stopped
from ..runtime.types import Array
from .peers import Peers

PEER_TIMEOUT_SECONDS = 300.0
SHOWN = 100  # characters of a host's own value, where hosts differ


def is_worker() -> bool:
    """Whether this process is one of several hosts' workers."""
    return os.environ.get("DMLC_ROLE") == "worker" and int(os.environ["DMLC_NUM_WORKER"]) > 1


def open_store(name: str, threshold: float) -> Any:
    """The KVStore ``name``; with a ``threshold`` above 0 what is pushed is compressed to 2 bits.

    Each number becomes -threshold, 0 or threshold, and what that leaves out is added to the next:
    F. Seide et al., "1-bit stochastic gradient descent and its application to data-parallel
    distributed training of speech DNNs", Interspeech 2014.
    """
    store = mx.kv.create(name)
    if threshold:
        store.set_gradient_compression({"type": "2bit", "threshold": threshold})
    return store


class Cluster:
    """A host among ``count``, whose ``names`` are in the order of rank.

    The one of rank 0 is the chief, who reports and saves. Alone, whatever is gathered is what was
    given, and nothing is waited for.
    """

    rank = 0
    count = 1
    names: Sequence[str] = ("this host",)
    store: Any = None

    @property
    def is_chief(self) -> bool:
        return self.rank == 0

    def send(self, body: bytes, what: str, *, to_chief: bool = False) -> list[bytes]:
        """What every host gives, in the order of rank; ``to_chief`` alone, the others get nothing.

        Every host calls it at the same place of the program, with the same ``what``: the words for
        it in messages.
        """
        return [body]

    def exchange(self, value: Any, what: str) -> list[Any]:
        """The JSON values of all hosts, in the order of rank."""
        return [json.loads(body) for body in self.send(json.dumps(value).encode(), what)]

    def gather(self, row: Sequence[float] | Array, what: str = "the figures") -> Array:
        """The rows (K,) of all hosts, (count, K) float64, in the order of rank, as they are."""
        mine = np.asarray(row, np.float64)
        return np.stack([np.frombuffer(body) for body in self.send(mine.tobytes(), what)])

    def gather_arrays(self, array: Array, what: str, *, to_chief: bool = False) -> list[Array]:
        """The arrays of all hosts, of any shape and dtype, in the order of rank."""
        return [array]

    def from_chief(self, body: bytes, what: str) -> bytes:
        """What the chief gives."""
        return self.send(body if self.is_chief else b"", what)[0]

    def sum_whole(self, mine: Array, what: str = "the counts") -> Array:
        """Whole numbers (…) int64 of all hosts, added up exactly."""
        total: Array = np.sum(self.gather_arrays(np.asarray(mine, np.int64), what), axis=0)
        return total

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """While inside, this host depends on the others: ``what`` it waits for."""
        yield

    def agrees(self, value: Any, what: str = "the data") -> bool:
        """Whether ``value``, of JSON types, is the same on every host."""
        values = self.exchange(value, what)
        return all(each == values[0] for each in values)

    def check_alike(self, what: str, value: Any) -> None:
        """Raise DataError, with who has which, where ``value`` (JSON types) is not every host's."""
        values = self.exchange(value, what)
        if any(each != values[0] for each in values):
            raise DataError(f"the hosts do not agree on {what}: {self.by_host(values)}")

    def by_host(self, values: Sequence[Any]) -> str:
        """``values`` in the order of rank, each once, with the names of the hosts that have it."""
        owners: dict[str, list[str]] = {}
        for name, value in zip(self.names, values):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            owners.setdefault(text, []).append(name)
        return "; ".join(f"{_short(text)} on {', '.join(who)}" for text, who in owners.items())

    def share(self, batch: Array) -> Array:
        """The part (B / count, …) of a batch (B, …) that this host computes."""
        size = len(batch) // self.count
        return batch[self.rank * size : (self.rank + 1) * size]

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Take leave of the other hosts, which are told of an error."""


class HostCluster(Cluster):
    """Several hosts. One that waits for another which is not there any more ends itself, with why.

    A host is there as long as it is heard from within ``timeout`` seconds, whatever it does: it may
    validate or write for hours.
    """

    def __init__(
        self, store: str, timeout: float, fail: Callable[[str], None], threshold: float = 0.0
    ) -> None:
        self._peers = Peers(int(os.environ["DMLC_NUM_WORKER"]), timeout, fail)
        with self.waiting("the parameter server"):
            opened = open_store(store, threshold)
        self.rank, self.count = opened.rank, opened.num_workers
        ranks = [json.loads(body) for body in self._peers.exchange(b"%d" % self.rank, "the ranks")]
        self._order = sorted(range(self.count), key=lambda number: int(ranks[number]))
        self.names = [self._peers.names[number] for number in self._order]
        self.store = HostStore(opened, self)

    def send(self, body: bytes, what: str, *, to_chief: bool = False) -> list[bytes]:
        to = self._order[0] if to_chief else None
        bodies = self._peers.exchange(body, what, to)
        return [bodies[number] for number in self._order] if bodies else []

    def gather_arrays(self, array: Array, what: str, *, to_chief: bool = False) -> list[Array]:
        stream = io.BytesIO()
        np.save(stream, array, allow_pickle=False)
        bodies = self.send(stream.getvalue(), what, to_chief=to_chief)
        return [np.load(io.BytesIO(body), allow_pickle=False) for body in bodies]

    def waiting(self, what: str) -> Any:
        return self._peers.waiting(what)

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            self._close()
            self._peers.leave("", 0, well=True)
            return
        code = error.exit_code if isinstance(error, AlgoshelfError) else 1
        told = isinstance(error, AlgoshelfError)
        reason = str(error) if told else f"{type(error).__name__}: {error}"
        well = isinstance(error, (Stopped, SystemExit, KeyboardInterrupt))
        self._peers.leave(f"{'has ended' if well else 'failed'}: {reason}", code, well=well)

    def _close(self) -> None:
        """mxnet aborts where a process ends without."""
        with self.waiting("the other hosts to end"):
            mx.nd.waitall()
            self.store.close()
        self.store = None


class HostStore:
    """mxnet's KVStore of several hosts, whose arrays are compared before the first is sent.

    It adds up what has the same key: where shapes differ it would read memory that is not its own.
    """

    def __init__(self, store: Any, cluster: Cluster) -> None:
        self._store, self._cluster = store, cluster

    def init(self, key: int, value: Any) -> None:
        """Begin ``key`` with the chief's ``value``. Raises DataError where shapes differ."""
        self._cluster.check_alike(
            f"the shape of array {key}", f"{tuple(value.shape)} {np.dtype(value.dtype).name}"
        )
        with self._cluster.waiting("the arrays to begin with"):
            self._store.init(key, value)

    def push(self, key: int, value: Any, priority: int = 0) -> None:
        self._store.push(key, value, priority=priority)

    def pull(self, key: int, out: Any, priority: int = 0) -> None:
        self._store.pull(key, out=out, priority=priority)

    def close(self) -> None:
        """A barrier, then the chief ends the servers."""
        self._store.__del__()
        self._store.handle = None  # so that the collector does not do it again


def _short(text: str) -> str:
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
