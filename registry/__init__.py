"""registry: find algorithms by name; the command line, packaging, tuning, benchmarks, SageMaker.

May import core. Knows algorithms only through the hooks, and is never copied into a container.
``estimator``, ``model``, ``predictor`` and ``tuner`` return objects of AWS's SageMaker SDK, version
2, which is imported with them; nothing else here needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.runtime import lazy

if TYPE_CHECKING:
    from .aws.sdk import estimator, model, predictor, tuner
    from .discovery import Catalog, Entry, catalog
    from .weights.choosing import pretrained_weights

__all__ = [
    "Catalog",
    "Entry",
    "catalog",
    "estimator",
    "model",
    "predictor",
    "pretrained_weights",
    "tuner",
]

lazy.offer(
    __name__,
    {
        "aws.sdk": "estimator model predictor tuner",
        "discovery": "Catalog Entry catalog",
        "weights.choosing": "pretrained_weights",
    },
)
