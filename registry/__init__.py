"""registry: find algorithms by name; the command line, packaging, tuning, benchmarks, SageMaker.

May import core. Knows algorithms only through the hooks, and is never copied into a container.
``estimator``, ``model``, ``predictor`` and ``tuner`` need the SageMaker SDK, imported with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.runtime import lazy

if TYPE_CHECKING:
    from .aws.estimator import estimator, tuner
    from .aws.predictor import model, predictor
    from .discovery import Catalog, Entry, catalog

__all__ = ["Catalog", "Entry", "catalog", "estimator", "model", "predictor", "tuner"]

lazy.offer(
    __name__,
    {
        "aws.estimator": "estimator tuner",
        "aws.predictor": "model predictor",
        "discovery": "Catalog Entry catalog",
    },
)
