"""measuring: a training measured by the rules of MLPerf, here or in a container, as one record.

May import core only: what measures on SageMaker is what measures at home.
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
