"""algorithm: what an algorithm declares: its class, hyperparameters, search space, channels, hooks.

May import runtime, artifact and, for types, tasks and training.
"""

from ..runtime.deprecated import keep_old_names
from .base import Algorithm, ContentType, Objective, PublishedResult

__all__ = ["Algorithm", "ContentType", "Objective", "PublishedResult"]

keep_old_names(__name__, "algorithm")
