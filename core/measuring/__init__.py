"""measuring: a training measured by the rules of MLPerf, here or in a container, as one record.

May import core only: what measures on SageMaker is what measures at home.
"""

from .records import SCHEMA_VERSION, Figure, Objective, Place, Point, Record, Run
from .training import Outcome, Setting, measure, record_of, run_once

__all__ = [
    "SCHEMA_VERSION",
    "Figure",
    "Objective",
    "Outcome",
    "Place",
    "Point",
    "Record",
    "Run",
    "Setting",
    "measure",
    "record_of",
    "run_once",
]
