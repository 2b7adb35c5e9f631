"""Type names for arrays of numpy and mxnet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mxnet.context import Context
    from mxnet.gluon import HybridBlock
    from mxnet.ndarray import NDArray
    from numpy.typing import NDArray as _NumpyArray

    Array = _NumpyArray[Any]
else:  # neither is imported before it is used
    Array = Context = HybridBlock = NDArray = Any

__all__ = ["Array", "Context", "HybridBlock", "NDArray"]
