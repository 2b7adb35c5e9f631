"""The flags of the commands that take an algorithm's own, as data.

A command such as ``train NAME`` or ``sagemaker tune NAME`` has each channel and each hyperparameter
as a flag, beside those that are listed here. So the catalog refuses a plugin whose names
collide with one of these (``reserved``), and the command line makes its options of them
(``cli/flags.py``).
"""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType
from typing import Mapping, Sequence, Tuple

from ..core.data.reading import FLAGS as READING
from ..core.runtime.devices import DISTRIBUTED_STORES, FORMS, STORES

# How it is written, the form of its value ("" of a switch), its meaning.
Row = Tuple[str, str, str]
Table = Sequence[Row]

# fmt: off
MODEL_FLAGS = (
    ("--output", "DIR", "The model folder [default: models/NAME]"),
    ("--seed", "N", "The same seed, the same model [default: 1]"),
)
RUN_FLAGS = (
    ("--devices", "D", f"{FORMS} [default: auto]"),
    ("--hosts", "N",
     "Train in N processes here, over MXNet's parameter server [default: 1; on SageMaker the "
     "hosts of the job]"),
    ("--peer-timeout", "TIME", "Give up a host that says nothing for so long [default: 5m]"),
    ("--kvstore", "K",
     f"How devices sum gradients: {', '.join(STORES + DISTRIBUTED_STORES)} [default: auto]"),
    ("--gradient-compression", "T",
     "Round what devices and hosts send to -T, 0 or T; what is left goes into the next step."),
    ("--checkpoints", "DIR", "Keep checkpoints in DIR, and go on from the newest one there."),
    ("--checkpoint-every", "TIME", "And within an epoch, such as 90s, 10m, 1h [default: 10m]"),
    ("--max-runtime", "TIME", "End the training after this time, and save what it has."),
    ("--metrics", "FILE", "Also write each metric to FILE, a JSON object a line."),
    ("--target-metric", "VALUE", "End the training when the objective reaches this value."),
)
TUNE_FLAGS = (
    ("--trials", "N", "Trainings in all, those of earlier and other processes too [default: 20]"),
    ("--parallel", "N", "Trainings at once, which share the cores [default: 1]"),
    ("--max-runtime", "TIME", "End after this time, such as 90s, 10m, 1h; what is done is kept."),
    ("--storage", "FILE",
     "What was tried; the same command goes on with it, and several processes may share it "
     "[default: OUTPUT.db]"),
    ("--output", "DIR", "The folder of the best model; its report is in DIR-report."),
    ("--seed", "N", "Of every trial, and of what is tried [default: 1]"),
    ("--repeats", "N",
     "Train the best and the defaults again with N other seeds, to tell them from luck [default: "
     "4]"),
)
VARY: Row = (
    "--vary",
    "NAME[=RANGE]",
    "Tune this alone, from LOW..HIGH (LOW..HIGH:log by the logarithm) or over A,B,C; may be "
    "repeated.",
)
BENCHMARK_FLAGS = (
    ("--devices", "LIST", f"Compare these devices, separated by commas: {FORMS} [default: auto]"),
    ("--batch-sizes", "LIST",
     "Compare these batch sizes, separated by commas. [default: the algorithm's own]"),
    ("--target-metric", "[NAME=]VALUE",
     "End each run when the objective reaches VALUE, and measure the time until then."),
    ("--repeats", "N", "Runs of each setting, with the seeds 1 to N. [default: 5]"),
    ("--output", "DIR",
     "The new folder for the results and the report. [default: benchmarks/NAME]"),
)
SERVING_FLAGS = (
    ("--serving", "",
     "Also serve the model of the first setting, and measure its answers under load."),
    ("--connections", "LIST",
     "Numbers of simultaneous connections to measure, separated by commas. [default: 1,4,16]"),
    ("--seconds", "S", "Seconds for which each number of connections is measured. [default: 5]"),
)
INSTANCES = (
    "--instances",
    "LIST",
    "Measure in training jobs on these instance types, such as ml.m5.xlarge,ml.g5.xlarge, instead "
    "of on this machine.",
)
ROLE = "The IAM role that {} uses: its ARN or its name. [default: $ALGOSHELF_ROLE]"
# Of a benchmark, what belongs to --instances alone.
REMOTE_FLAGS = (
    ("--hosts", "LIST",
     "Numbers of instances that train together, separated by commas. [default: 1]"),
    ("--max-cost", "USD",
     "Start no job that may bring the cost of all jobs above this. Required with --instances."),
    ("--max-run", "TIME", "AWS stops a job after this time, such as 90m or 8h. [default: 1h]"),
    ("--parallel", "N", "The largest number of jobs at the same time. [default: 2]"),
    ("--price", "TYPE=USD",
     "What an instance of this type costs in one hour, where no price is known; several are "
     "separated by commas."),
    ("--role", "ROLE", ROLE.format("each job")),
)
JOB_FLAGS = (
    ("--instance", "TYPE",
     "The instance type to train on, such as ml.m5.xlarge or ml.g5.xlarge. Required; `algoshelf "
     "sagemaker cost` lists the types and their prices."),
    ("--hosts", "N",
     "The number of instances, which train together over MXNet's parameter server. [default: 1]"),
    ("--spot", "",
     "Use spare capacity at a lower price. AWS may interrupt the job, which then goes on from its"
     " last checkpoint."),
    ("--max-run", "TIME", "AWS stops a training after this time, such as 90m or 8h. [default: 4h]"),
    ("--max-wait", "TIME",
     "With --spot: AWS stops the job after this time, interruptions included. [default: twice "
     "--max-run]"),
    ("--volume", "GB", "The disk of each instance, in GB. [default: 30, or what the data needs]"),
    ("--role", "ROLE", ROLE.format("the job")),
    ("--image", "URI",
     "Train in this image of your own, which `algoshelf package --as container` prepares. "
     "[default: AWS's MXNet image]"),
    ("--output", "S3",
     "The S3 address below which the job writes model and checkpoints. [default: "
     "s3://sagemaker-REGION-ACCOUNT/algoshelf]"),
    ("--name", "NAME", "The name of the job. [default: the algorithm's name and the time]"),
    ("--seed", "N",
     "The seed of all random numbers: the same seed gives the same model. [default: 1]"),
    ("--wait/--no-wait", "", "Show the log of the job until it ends, or return at once."),
)
TUNING_JOB_FLAGS = (
    ("--jobs", "N", "The number of trainings in all. [default: 10]"),
    ("--parallel", "N", "The number of trainings at the same time. [default: 1]"),
)
# fmt: on
REGION = ("--region", "REGION", "The AWS region. [default: as your AWS configuration says]")
PROFILE = ("--profile", "NAME", "The profile of your AWS configuration to sign in with.")
BUCKET_OWNER = (
    "--bucket-owner",
    "ACCOUNT",
    "The account that owns the buckets of s3:// addresses: its 12 digits, or any. "
    "[default: your own account]",
)
DRY_RUN = ("--dry-run", "", "Print the requests that would be sent to AWS, and send none of them.")
YES = ("--yes", "", "Do not ask before something is created, changed or deleted.")
JSON = ("--json", "", "Print one JSON document.")
HELP = ("--help", "", "")
VALUES = {JSON: "as_json"}  # what click calls a value, where that is not the flag's own name

_READING = tuple((name, kind, text) for name, kind, text in READING)
_ACTING = (REGION, PROFILE, BUCKET_OWNER, DRY_RUN, YES)
_COMMANDS: Mapping[str, Table] = {
    "train": (*MODEL_FLAGS, *RUN_FLAGS),
    "tune": (*TUNE_FLAGS, VARY),
    "benchmark": (*BENCHMARK_FLAGS, *SERVING_FLAGS, INSTANCES, *REMOTE_FLAGS, *_ACTING),
    "sagemaker train": (*JOB_FLAGS, *_ACTING),
    "sagemaker tune": (*JOB_FLAGS, *TUNING_JOB_FLAGS, *_ACTING),
}


@lru_cache(maxsize=1)
def reserved() -> Mapping[str, str]:
    """The names that no channel and no hyperparameter may have, each with the flag that has it.

    In whatever form a flag is given (``--no-wait``), and as click calls its value.
    """
    found: dict[str, str] = {}
    for title, table in _COMMANDS.items():
        for row in (*table, *_READING, JSON, HELP):
            for written in row[0].split("/"):
                name = written.lstrip("-").replace("-", "_")
                told = f"--{name.replace('_', '-')} of `{title}`"
                found.setdefault(name, told)
            found.setdefault(VALUES.get(row, name), told)
    return MappingProxyType(found)
