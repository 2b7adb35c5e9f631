"""training: the training loop, its devices and hosts, checkpoints, and what it reports.

May import algorithm, artifact, data and runtime; never serving, container, or an algorithm.
"""

from ..data.dataset import ArrayDataset, Dataset
from .options import RunOptions, parse_duration, parse_seed
from .reporting import LogReporter, Reporter
from .run import Run
from .trainer import train

__all__ = [
    "ArrayDataset",
    "Dataset",
    "LogReporter",
    "Reporter",
    "Run",
    "RunOptions",
    "parse_duration",
    "parse_seed",
    "train",
]
