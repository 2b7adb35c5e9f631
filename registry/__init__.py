"""registry: find algorithms by name; the command line, packaging, tuning, benchmarks, SageMaker.

May import core. Knows algorithms only through the hooks, and is never copied into a container.
``estimator``, ``model``, ``predictor`` and ``tuner`` return objects of AWS's SageMaker SDK, version
2, which is imported with them; nothing else here needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .discovery import Catalog, Entry, catalog

if TYPE_CHECKING:
    from .aws.sdk import estimator, model, predictor, tuner

__all__ = ["Catalog", "Entry", "catalog", "estimator", "model", "predictor", "tuner"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .aws import sdk

    return getattr(sdk, name)
