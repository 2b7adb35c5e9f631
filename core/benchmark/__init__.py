"""benchmark: measure a training by the rules of MLPerf, here or in a container.

May import core only, so that the same code measures on SageMaker and locally.
"""

from .job import RECORD, Task, measure_job
from .records import SCHEMA_VERSION, TO_TARGET, Figure, Objective, Place, Point, Record, Run
from .training import Outcome, Setting, measure, record_of, run_once

__all__ = [
    "RECORD",
    "SCHEMA_VERSION",
    "TO_TARGET",
    "Figure",
    "Objective",
    "Outcome",
    "Place",
    "Point",
    "Record",
    "Run",
    "Setting",
    "Task",
    "measure",
    "measure_job",
    "record_of",
    "run_once",
]
