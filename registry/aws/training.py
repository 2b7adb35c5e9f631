"""Training and tuning jobs: what is asked for, what is checked beforehand, and their start."""

from __future__ import annotations

import json
import logging
import math
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Mapping, Sequence

from ...core.algorithm.hyperparameters import Hyperparameters
from ...core.algorithm.search_space import Range, tunable
from ...core.benchmark import Task
from ...core.data.reading import Reading
from ...core.runtime.errors import InputError
from ...core.runtime.opt_ml import CODE
from ..discovery import Entry
from ..lacking import check_installed
from ..packaging import kinds
from ..packaging.kinds import SOURCE_ARCHIVE
from . import checks, data, images, jobs, names, prices, tags
from .account import Account
from .instances import TRAINING
from .prices import Price
from .rollback import Report, Rollback
from .settings import FILE, INPUT_MODES, Settings, with_wheels

# GB of the disk: what SageMaker's SDK takes; what is kept free beside the data, for model and
# checkpoints; and the bound of VolumeSizeInGB.
USUAL_VOLUME, FREE_VOLUME, MAX_VOLUME = 30, 20, 16_384
RANGES = {"int": "IntegerParameterRanges", "float": "ContinuousParameterRanges"}
CHOICES = "CategoricalParameterRanges"
NO_SETTINGS = Settings()
PACKED_CODE = f"/opt/ml/input/data/{CODE}/{SOURCE_ARCHIVE}"


@dataclass(frozen=True)
class JobRequest:
    """A training job, or a tuning job of ``trainings``, checked as far as it can be without AWS.

    ``given`` are the hyperparameters as they were written, ``channels`` paths here or s3:// URIs,
    none for the bundled sample; times are in seconds, ``volume`` in GB. With ``benchmark`` the job
    measures, keeps no checkpoints, and leaves no model but a record.
    """

    entry: Entry
    hyperparameters: Hyperparameters
    given: Mapping[str, str]
    channels: Mapping[str, str]
    instance: str
    hosts: int
    max_run: float
    reading: Reading
    max_wait: float | None = None
    spot: bool = False
    seed: int | None = None
    volume: int | None = None
    settings: Settings = NO_SETTINGS
    image: str | None = None
    output: str | None = None
    name: str | None = None
    trainings: int = 1
    parallel: int = 1
    benchmark: Task | None = None


@dataclass(frozen=True)
class Uploads:
    """Where in S3 a job finds its channels and, in AWS's image, its code."""

    channels: Mapping[str, str]
    code: str


@dataclass(frozen=True)
class PreparedJob:
    """A job of which all was checked, and nothing was uploaded or created.

    ``source`` is the archive of its code, None with an image of one's own; ``ranges`` are what a
    tuning job looks in.
    """

    account: Account
    request: JobRequest
    kind: jobs.Kind
    name: str
    channels: Mapping[str, Path | str]
    role: str
    volume: int
    source: Path | None
    ranges: Sequence[Range] = ()

    def __post_init__(self) -> None:
        """Raise InputError where it could not be asked for, before anything is uploaded."""
        self.parameters(Uploads({}, ""))

    @property
    def price(self) -> Price | None:
        """Of an hour of one instance; None where it is unknown."""
        return prices.find(self.request.instance, TRAINING, self.account.region)

    @property
    def runs(self) -> int:
        """How many instances are billed, over all trainings."""
        return self.request.hosts * self.request.trainings

    @property
    def output(self) -> str:
        """The URI under which SageMaker writes what the job leaves."""
        return self.request.output or f"{data.root(self.account)}/jobs"

    def start(self, report: Report) -> None:
        """Upload the channels and create the job. Raises AwsError; what was begun is stopped."""
        request = self.parameters(self.upload())
        with Rollback(self.account, report) as rollback:
            jobs.create(rollback, self.name, self.kind, request)

    def upload(self) -> Uploads:
        """Upload what is not there yet. Raises AwsError."""
        if self.request.output is None:
            data.ensured_bucket(self.account)
        channels = data.uploaded(self.account, self.channels)
        if self.source is None:
            return Uploads(channels, "")
        place = self.request.output or ""
        return Uploads(channels, data.upload(self.account, self.source, "code", place))

    def parameters(self, uploads: Uploads) -> dict[str, Any]:
        """Of CreateTrainingJob or CreateHyperParameterTuningJob, but for the name."""
        return (self._tuning if self.kind is jobs.TUNING else self._training)(uploads)

    def _training(self, uploads: Uploads) -> dict[str, Any]:
        parameters = {
            **self._definition(uploads),
            "HyperParameters": self._hyperparameters(uploads),
            "ProfilerConfig": {"DisableProfiler": True},  # it knows nothing of MXNet, and costs
            "Tags": self._tags,
        }
        if self.request.benchmark is None:
            place = f"{self.output}/checkpoints/{self.name}-{self.account.run}"
            parameters["CheckpointConfig"] = {"S3Uri": place}
        return parameters

    def _tuning(self, uploads: Uploads) -> dict[str, Any]:
        """Its trainings keep no checkpoints: they would mistake each other's for theirs."""
        definition = self._definition(uploads)
        definition["HyperParameterTuningResourceConfig"] = definition.pop("ResourceConfig")
        algorithm = self.request.entry.algorithm
        return {
            "HyperParameterTuningJobConfig": {
                "Strategy": "Bayesian",
                "HyperParameterTuningJobObjective": {
                    "Type": "Maximize" if algorithm.objective.maximize else "Minimize",
                    "MetricName": algorithm.objective.metric,
                },
                "ResourceLimits": {
                    "MaxNumberOfTrainingJobs": self.request.trainings,
                    "MaxParallelTrainingJobs": self.request.parallel,
                },
                "ParameterRanges": self._parameter_ranges(),
            },
            "TrainingJobDefinition": {
                **definition,
                "StaticHyperParameters": self._hyperparameters(uploads),
            },
            "Tags": self._tags,
        }

    def _definition(self, uploads: Uploads) -> dict[str, Any]:
        """What a training job and those of a tuning job are asked for alike."""
        asked = self.request
        image = asked.image or images.image(self.account.region, asked.instance, TRAINING)
        limits = {"MaxRuntimeInSeconds": int(asked.max_run)}
        if asked.spot:
            limits["MaxWaitTimeInSeconds"] = int(asked.max_wait or 2 * asked.max_run)
        found: dict[str, Any] = {
            "AlgorithmSpecification": {
                "TrainingImage": image,
                "TrainingInputMode": INPUT_MODES[asked.settings.input_mode],
                "MetricDefinitions": jobs.metric_definitions(asked.entry.algorithm),
            },
            "RoleArn": self.role,
            "InputDataConfig": self._channels(uploads),
            "OutputDataConfig": {"S3OutputPath": self.output, **asked.settings.of_output()},
            "ResourceConfig": {
                "InstanceType": asked.instance,
                "InstanceCount": asked.hosts,
                "VolumeSizeInGB": self.volume,
                **asked.settings.of_resources(),
            },
            "StoppingCondition": limits,
            **asked.settings.of_training(),
        }
        if asked.spot:
            found["EnableManagedSpotTraining"] = True
        return found

    @property
    def _has_code_channel(self) -> bool:
        """Whether the code comes as data does: a container without network cannot fetch it."""
        return self.source is not None and self.request.settings.network_isolation

    def _channels(self, uploads: Uploads) -> list[dict[str, Any]]:
        found = [_channel(*each) for each in uploads.channels.items()]
        if self._has_code_channel:
            code = _channel(CODE, uploads.code)
            if self.request.settings.input_mode != FILE:  # which is for the data
                code["InputMode"] = INPUT_MODES[FILE]
            found.append(code)
        return found

    def _hyperparameters(self, uploads: Uploads) -> dict[str, str]:
        """Each as a string."""
        asked = self.request
        values = jobs.hyperparameters(
            asked.hyperparameters, asked.reading, seed=asked.seed, benchmark=asked.benchmark
        )
        if self.source is None:
            return {name: self._written(value) for name, value in values.items()}
        code = PACKED_CODE if self._has_code_channel else uploads.code
        return script_mode(values, self.name, self.account.region, code, asked.hosts)

    def _written(self, value: Any) -> str:
        """A hyperparameter's value; a string is bare in an image of one's own, as by AWS's SDK."""
        bare = self.source is None and isinstance(value, str)
        return str(value) if bare else json.dumps(value)

    def _parameter_ranges(self) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in (*RANGES.values(), CHOICES)}
        for each in self.ranges:
            if each.kind == "choice":
                values = [self._written(value) for value in each.choices]
                found[CHOICES].append({"Name": each.name, "Values": values})
                continue
            number = int if each.kind == "int" else float
            found[RANGES[each.kind]].append(
                {
                    "Name": each.name,
                    "MinValue": str(number(each.low)),
                    "MaxValue": str(number(each.high)),
                    "ScalingType": "Logarithmic" if each.log else "Linear",
                }
            )
        return found

    @property
    def _tags(self) -> list[dict[str, str]]:
        return tags.tags(self.request.entry.algorithm.name, self.account.run)


@contextmanager
def prepared(
    account: Account, request: JobRequest, kind: jobs.Kind, report: Report
) -> Iterator[PreparedJob]:
    """Check all that can be checked; the channels that lie here are read up to the first step.

    The code that was packed is there within. Raises AwsError, DataError, InputError,
    MissingDependencyError, PluginError.
    """
    tuning = kind is jobs.TUNING
    algorithm = request.entry.algorithm
    ranges = tunable(algorithm.Hyperparameters, request.given) if tuning else []
    if tuning and not ranges:
        raise InputError(f"{algorithm.name}: nothing is left to tune: give fewer hyperparameters")
    if request.output is not None:
        data.check_output(request.output)
    check_code_channel(request.entry, request.settings, request.image)
    channels = checked_channels(account, request.entry, request.channels, report)
    name = request.name or names.timed(algorithm.name, tuning=tuning)
    settings = request.settings
    size = request.volume or volume(account, channels, report, settings)
    role = checks.execution_role(account, settings.role)
    with packed(account, request.entry, request.image, settings, report) as source:
        job = PreparedJob(account, request, kind, name, channels, role, size, source, ranges)
        jobs.check_free(account, name, kind)
        at_once = request.hosts * min(request.parallel, request.trainings)
        checks.quota(account, request.instance, TRAINING, at_once, spot=request.spot)
        check_contents(request.entry, channels, request.hyperparameters, request.reading, report)
        yield job


@contextmanager
def packed(
    account: Account, entry: Entry, image: str | None, settings: Settings, report: Report
) -> Iterator[Path | None]:
    """The archive of the code that AWS's image runs; None for an ``image`` of one's own.

    For a container without network it holds the wheels of all that is installed there.
    """
    if image is not None:
        yield None
        return
    offline = with_wheels(settings, account, report)
    with tempfile.TemporaryDirectory(prefix="algoshelf-") as scratch:
        yield kinds.script_archive(entry, Path(scratch, "source"), offline=offline)


def check_code_channel(entry: Entry, settings: Settings, image: str | None) -> None:
    """Raise InputError where the algorithm's own channel has the name of that of the code."""
    taken = CODE in {channel.name for channel in entry.algorithm.channels}
    if taken and settings.network_isolation and image is None:
        raise InputError(
            f"--network-isolation: {entry.algorithm.name} has a channel {CODE!r}, by which the "
            "code comes into a container without network: rename that channel, or give --image"
        )


def checked_channels(
    account: Account, entry: Entry, given: Mapping[str, str], report: Report
) -> dict[str, Path | str]:
    """Where each channel lies, of the bundled sample without ``given``. Raises DataError."""
    sample = {name: str(path) for name, path in entry.algorithm.sample().items()}
    if not given and sample:
        report("The bundled sample is used; give --train PATH or s3://… for your own data.")
    return checks.channels(entry.algorithm, given or sample, account)


def check_contents(
    entry: Entry,
    channels: Mapping[str, Path | str],
    hyperparameters: Hyperparameters,
    reading: Reading,
    report: Report,
) -> None:
    """Read the channels as a training does, up to its first step; not those that lie in S3."""
    here = {name: path for name, path in channels.items() if isinstance(path, Path)}
    if len(here) < len(channels):
        report("Data in S3 is read by the job alone: its contents are not checked here.")
        return
    check_installed(entry, hyperparameters)
    report("Checking the data: it is read up to the first step of a training.")
    checks.contents(entry.algorithm, here, hyperparameters, reading)


def volume(
    account: Account,
    channels: Mapping[str, Path | str],
    report: Report,
    settings: Settings = NO_SETTINGS,
) -> int:
    """The GB of each instance's disk, on which all channels are laid unless they are streamed."""
    if settings.input_mode != FILE:
        return USUAL_VOLUME
    held = sum(data.size(account, source) for source in set(channels.values()))
    needed = math.ceil(held / 10**9) + FREE_VOLUME
    if needed <= USUAL_VOLUME:
        return USUAL_VOLUME
    report(f"The data has {held / 10**9:.1f} GB: each instance gets a disk of {needed} GB.")
    return min(needed, MAX_VOLUME)


def script_mode(
    hyperparameters: Mapping[str, Any], job: str, region: str, code: str, hosts: int
) -> dict[str, str]:
    """Those of a job in AWS's image, in JSON, with what its toolkit is told by them.

    The toolkit (sagemaker-training 5.1.4, params.py) unpacks the archive at ``code`` and runs the
    program in it; its parameter server joins several hosts.
    """
    found = {
        **hyperparameters,
        "sagemaker_program": kinds.ENTRY_POINT,
        "sagemaker_submit_directory": code,
        "sagemaker_container_log_level": logging.INFO,
        "sagemaker_job_name": job,
        "sagemaker_region": region,
    }
    if hosts > 1:
        found["sagemaker_parameter_server_enabled"] = True
    return {name: json.dumps(value) for name, value in found.items()}


def _channel(name: str, uri: str) -> dict[str, Any]:
    """Every host gets all of it."""
    place = {
        "S3DataType": "S3Prefix",
        "S3Uri": uri,
        "S3DataDistributionType": "FullyReplicated",
    }
    return {"ChannelName": name, "DataSource": {"S3DataSource": place}}
