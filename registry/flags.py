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

from ..core.data.reading_flags import FLAGS as READING
from ..core.runtime.devices import DISTRIBUTED_STORES, FORMS, STORES

# How it is written, the form of its value ("" of a switch), its meaning.
Row = Tuple[str, str, str]
Table = Sequence[Row]

# fmt: off
MODEL_FLAGS = (
    ("--output", "DIR", "Folder for the trained model. [default: models/NAME]"),
    ("--seed", "N",
     "Random seed; the same seed gives the same model, byte for byte. [default: 1]"),
)
RUN_FLAGS = (
    ("--devices", "D", f"Devices to train on: {FORMS}. [default: auto]"),
    ("--threads", "N",
     "Number of threads of an operator, or auto: one for each processor that other programs leave "
     "free when the training starts. The same number gives the same model, byte for byte; it is "
     "in the model's record. [default: auto]"),
    ("--hosts", "N",
     "Number of training processes on this machine, which exchange gradients through MXNet's "
     "parameter server. [default: 1; in a SageMaker job, one per host]"),
    ("--peer-timeout", "TIME",
     "With several hosts: end the job when a host has sent nothing for this time. [default: 5m]"),
    ("--kvstore", "K",
     "MXNet KVStore that sums the gradients: auto, "
     f"{', '.join(STORES + DISTRIBUTED_STORES)}. [default: auto]"),
    ("--gradient-compression", "T",
     "Send each gradient as 2 bits (-T, 0 or T); the rounding error is added to the next "
     "step's gradient. [default: off]"),
    ("--checkpoints", "DIR",
     "Folder for checkpoints. A training that was interrupted resumes from the newest one."),
    ("--checkpoint-every", "TIME",
     "Time between checkpoints within an epoch, such as 90s, 10m or 1h; each epoch ends with "
     "one. [default: 10m]"),
    ("--max-runtime", "TIME",
     "End the training after this time, such as 90s, 10m or 1h, and save the model."),
    ("--metrics", "FILE", "Also write the metrics to FILE, one JSON object per line."),
    ("--target-metric", "VALUE", "End the training when the objective metric reaches VALUE."),
)
# Of an algorithm with a channel for a model to begin with, beside the flag of that channel.
WEIGHTS: Row = (
    "--weights", "NAME",
    "Pretrained weights to begin with, by name; they are fetched once. `algoshelf weights list` "
    "shows them.",
)
TUNE_FLAGS = (
    ("--trials", "N",
     "Total number of trainings, including those that earlier runs or other processes did. "
     "[default: 20]"),
    ("--parallel", "N",
     "Number of trainings at the same time; they share the CPU cores. [default: 1]"),
    ("--max-runtime", "TIME",
     "End the search after this time, such as 90s, 10m or 1h, and keep its results."),
    ("--storage", "FILE",
     "Database of the trials. The same command resumes from it, and several processes may "
     "share it. [default: OUTPUT.db]"),
    ("--output", "DIR",
     "Folder for the best model; the report is written to DIR-report. "
     "[default: models/NAME-tuned]"),
    ("--seed", "N", "Random seed of the search and of every training. [default: 1]"),
    ("--repeats", "N",
     "Number of other seeds with which the best and the default hyperparameters are trained "
     "again, to tell an improvement from chance. [default: 4]"),
)
VARY: Row = (
    "--vary", "NAME[=RANGE]",
    "Hyperparameter to tune, with its range: LOW..HIGH, LOW..HIGH:log (logarithmic scale) or a "
    "list A,B,C. May be repeated; then only these are tuned.",
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
# What a company decides once for all: each with the commands that have it, and what a value of it
# is in pyproject.toml and in its variable, ALGOSHELF_VPC_SUBNETS for --vpc-subnets
# (registry/aws/settings.py).
TRAININGS = ("train", "tune", "benchmark")
MODELS = ("transform", "deploy", "update")
COMPANY_FLAGS: Sequence[tuple[Row, Sequence[str]]] = (
    (("--role", "ROLE",
      "The IAM role that SageMaker acts in: its ARN or its name. [default: $ALGOSHELF_ROLE]"),
     (*TRAININGS, *MODELS)),
    (("--vpc-subnets", "IDS",
      "Run inside these subnets of your VPC, separated by commas. Needs --security-groups."),
     (*TRAININGS, *MODELS)),
    (("--security-groups", "IDS",
      "The security groups of --vpc-subnets, separated by commas."),
     (*TRAININGS, *MODELS)),
    (("--kms-key", "KEY",
      "The KMS key that encrypts what is written to S3: uploads, models, answers. Its ID, alias or "
      "ARN."),
     (*TRAININGS, *MODELS, "invoke", "register")),
    (("--volume-kms-key", "KEY", "The KMS key that encrypts the disks of the instances."),
     (*TRAININGS, *MODELS)),
    (("--network-isolation/--no-network-isolation", "",
      "Give the container no network; all packages are packed with the code."),
     (*TRAININGS, *MODELS, "register")),
    (("--encrypt-traffic/--no-encrypt-traffic", "",
      "Encrypt what several instances of a training send each other."),
     TRAININGS),
    (("--tags", "KEY=VALUE",
      "Tags on everything that is created, separated by commas, such as team=search,cost=42."),
     (*TRAININGS, *MODELS, "register")),
    (("--warm-pool", "TIME",
      "Keep the instances for the next training for this time, such as 10m, at most 1h. They are "
      "billed meanwhile."),
     ("train",)),  # a benchmark keeps to its --max-cost, in which no pool is counted
    (("--input-mode", "MODE",
      "How the data reaches the instances: file copies it before the training, fastfile reads it "
      "while the training runs; pipe is refused, since training reads its data more than once. "
      "[default: file]"),
     TRAININGS),
    (("--retry", "N",
      "How often AWS starts a training again that failed by an error of AWS's own, at most 30. "
      "[default: 0]"),
     TRAININGS),
)


COMPANY_SWITCHES = [row for row, _ in COMPANY_FLAGS if not row[1]]


def company_flags(command: str) -> Table:
    """Those of COMPANY_FLAGS that ``command`` has."""
    return [row for row, commands in COMPANY_FLAGS if command in commands]


# fmt: on
REGION = ("--region", "REGION", "The AWS region. [default: as your AWS configuration says]")
PROFILE = ("--profile", "NAME", "The profile of your AWS configuration to sign in with.")
BUCKET_OWNER = (
    "--bucket-owner",
    "ACCOUNT",
    "The account that owns the buckets of s3:// addresses: its 12 digits, or any. "
    "[default: your own account]",
)
ENGINE = (
    "--engine",
    "E",
    "What computes the answers: mxnet, onnx (ONNX Runtime, by the model.onnx that `algoshelf "
    "export` wrote; mxnet is not needed) or auto, which is onnx where there is that file. "
    "[default: auto]",
)
DRY_RUN = ("--dry-run", "", "Print the requests that would be sent to AWS, and send none of them.")
YES = ("--yes", "", "Do not ask before something is created, changed or deleted.")
JSON = ("--json", "", "Print one JSON document.")
HELP = ("--help", "", "")
VALUES = {JSON: "as_json"}  # what click calls a value, where that is not the flag's own name

_READING = tuple((name, kind, text) for name, kind, text in READING)
_ACTING = (REGION, PROFILE, BUCKET_OWNER, DRY_RUN, YES)
_COMMANDS: Mapping[str, Table] = {
    "train": (*MODEL_FLAGS, *RUN_FLAGS, WEIGHTS),
    "tune": (*TUNE_FLAGS, VARY),
    "benchmark": (
        *(*BENCHMARK_FLAGS, *SERVING_FLAGS, INSTANCES, *REMOTE_FLAGS),
        *(*company_flags("benchmark"), *_ACTING),
    ),
    "sagemaker train": (*JOB_FLAGS, *company_flags("train"), *_ACTING),
    "sagemaker tune": (*JOB_FLAGS, *TUNING_JOB_FLAGS, *company_flags("tune"), *_ACTING),
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
