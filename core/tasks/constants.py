"""Arrays that a network holds and no gradient moves."""

from __future__ import annotations

from typing import Any

from ..runtime import mx
from ..runtime.types import Array


class Given(mx.init.Initializer):  # type: ignore[misc]
    """Parameters begin as ``array``. Gluon's own constants leave an address in the artifact."""

    def __init__(self, array: Array) -> None:
        super().__init__()
        self.array = array

    def dumps(self) -> str:
        return '["zeros", {}]'

    def _init_weight(self, _: Any, parameter: Any) -> None:
        parameter[:] = self.array
