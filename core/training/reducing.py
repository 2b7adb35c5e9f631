"""Sum gradients and other values over all devices and hosts, through MXNet's KVStore."""

from __future__ import annotations

from typing import Any, Sequence

from ..runtime import mx
from ..runtime.types import NDArray


class Reducer:
    """Sums arrays in place over the devices, and over the hosts of a distributed store.

    ``kvstore`` is a name, the store itself, or None where there is one device and nothing to sum.
    Between hosts the sums are float32, whatever the dtype: so MXNet's parameter server adds.
    """

    def __init__(self, kvstore: Any, first_key: int = 0) -> None:
        self.store = mx.kv.create(kvstore) if isinstance(kvstore, str) else kvstore
        self._first_key = first_key
        self._keys: dict[str, int] = {}

    def reduce(self, groups: dict[str, Sequence[NDArray]]) -> None:
        """Replace each array of each group, one a device, by the sum of its group.

        A name stands for one shape and dtype; every host gives the same names in the same order.
        """
        if self.store is None:
            return
        for name, arrays in groups.items():
            if name not in self._keys:
                self._keys[name] = self._first_key + len(self._keys)
                self.store.init(self._keys[name], mx.nd.zeros_like(arrays[0]))
        for name, arrays in groups.items():
            self.store.push(self._keys[name], list(arrays), priority=-self._keys[name])
        for name, arrays in groups.items():
            self.store.pull(self._keys[name], out=list(arrays), priority=-self._keys[name])
