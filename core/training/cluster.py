"""Hosts that train together over MXNet's parameter server: who is who, and the sums they share.

The roles come from the environment, where ``--hosts`` on this machine, AWS's training toolkit, or
any launcher of ps-lite has put them: ``DMLC_ROLE``, ``DMLC_NUM_WORKER``, ``DMLC_PS_ROOT_URI``, ….
A process that imports mxnet as scheduler or server becomes that and never returns.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from contextlib import contextmanager
from typing import Any, Callable, Iterator, Sequence

import numpy as np

from .. import mx
from ..runtime.staging import leave
from ..types import Array

PEER_TIMEOUT_SECONDS = 300.0
# In one store with the gradients, which count from 0, and the weights (engine.WEIGHTS_KEY).
GATHER_KEY = 200_000


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
    """A host among ``count``; the one of rank 0 is the chief, who validates, reports and saves.

    Alone, every sum is what was given, and nothing is waited for.
    """

    rank = 0
    count = 1
    store: Any = None

    @property
    def is_chief(self) -> bool:
        return self.rank == 0

    def gather(self, row: Sequence[float]) -> Array:
        """The rows (K,) of all hosts, (count, K) float32, in the order of rank.

        Whole numbers below 2**24 arrive exactly. Every host calls it at the same place.
        """
        return np.asarray([row], np.float32)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """While inside, this host depends on the others: ``what`` it waits for."""
        yield

    def agrees(self, text: str) -> bool:
        """Whether ``text`` is the same on every host."""
        digest = hashlib.sha256(text.encode()).digest()
        rows = self.gather([int.from_bytes(digest[i : i + 2], "big") for i in range(0, 32, 2)])
        return bool((rows == rows[0]).all())

    def share(self, batch: Array) -> Array:
        """The part (B / count, …) of a batch (B, …) that this host computes."""
        size = len(batch) // self.count
        return batch[self.rank * size : (self.rank + 1) * size]

    def close(self) -> None:
        """Take leave of the other hosts."""


class HostCluster(Cluster):
    """Several hosts; one that hears nothing for ``timeout`` seconds ends itself, and says why."""

    def __init__(
        self, store: str, timeout: float, fail: Callable[[str], None], threshold: float = 0.0
    ) -> None:
        self._threshold = threshold
        self._keys: set[int] = set()
        self._wait: tuple[float, str] | None = None
        self._open = True
        self._timeout = timeout
        self._fail = fail
        threading.Thread(target=self._watch, name="algoshelf-peers", daemon=True).start()
        with self.waiting("the other hosts to begin"):
            self.store = open_store(store, threshold)
        self.rank, self.count = self.store.rank, self.store.num_workers

    def gather(self, row: Sequence[float]) -> Array:
        mine = np.zeros((self.count, len(row)), np.float32)
        mine[self.rank] = row
        key = GATHER_KEY + len(row)
        array = mx.nd.array(self._bits(mine) if self._threshold else mine)
        with self.waiting("the figures of the other hosts"):
            if key not in self._keys:
                self.store.init(key, mx.nd.zeros_like(array))
                self._keys.add(key)
            self.store.push(key, array)
            self.store.pull(key, out=array)
            rows: Array = array.asnumpy()
        return self._from_bits(rows).reshape(mine.shape) if self._threshold else rows

    def _bits(self, figures: Array) -> Array:
        """Every bit as 0 or the threshold, which compression leaves as they are."""
        return np.unpackbits(figures.view(np.uint8)).astype(np.float32) * self._threshold

    def _from_bits(self, bits: Array) -> Array:
        return np.packbits(bits > self._threshold / 2).view(np.float32)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        before, self._wait = self._wait, (time.monotonic(), what)
        try:
            yield
        finally:
            self._wait = before

    def close(self) -> None:
        """Take leave of the other hosts: mxnet aborts where a process ends without."""
        with self.waiting("the other hosts to end"):
            mx.nd.waitall()
            self.store.__del__()  # a barrier, then the chief ends the servers
        self.store.handle = None  # so that the collector does not do it again
        self._open = False

    def _watch(self) -> None:
        while self._open:
            wait = self._wait
            if wait is not None and time.monotonic() - wait[0] > self._timeout:
                self._fail(
                    f"no answer from the other hosts for {self._timeout:g} s, while waiting for "
                    f"{wait[1]}: one of them has died or cannot be reached"
                )
                leave(1)  # mxnet's own exit would wait for the others for ever
            time.sleep(0.2)
