"""Training and tuning jobs: what is asked for, what is checked beforehand, and their start."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from ...core.algorithm.hyperparameters import Hyperparameters
from ...core.data.reading import Reading
from ..discovery import Entry
from ..lacking import check_installed
from . import checks, data, estimator, jobs, prices, sdk
from .account import Account, explained
from .instances import TRAINING
from .prices import Price
from .rollback import Report

# GB of the disk: the SDK's default; what is kept free beside the data, for model and checkpoints;
# and the bound of VolumeSizeInGB.
USUAL_VOLUME, FREE_VOLUME, MAX_VOLUME = 30, 20, 16_384


@dataclass(frozen=True)
class JobRequest:
    """A training job, or a tuning job of ``trainings``, checked as far as it can be without AWS.

    ``given`` are the hyperparameters as they were written, ``channels`` paths here or s3:// URIs,
    none for the bundled sample; times are in seconds, ``volume`` in GB.
    """

    entry: Entry
    hyperparameters: Hyperparameters
    given: Mapping[str, str]
    channels: Mapping[str, str]
    instance: str
    hosts: int
    max_run: float
    max_wait: float | None
    spot: bool
    seed: int | None
    reading: Reading
    volume: int | None = None
    role: str | None = None
    image: str | None = None
    output: str | None = None
    name: str | None = None
    trainings: int = 1
    parallel: int = 1


@dataclass(frozen=True)
class PreparedJob:
    """A job of which all was checked, and nothing was uploaded or created."""

    account: Account
    request: JobRequest
    kind: jobs.Kind
    name: str
    channels: Mapping[str, Path | str]
    job: Any  # the SDK's estimator or tuner

    @property
    def price(self) -> Price | None:
        """Of an hour of one instance; None where it is unknown."""
        return prices.find(self.request.instance, TRAINING, self.account.region)

    @property
    def runs(self) -> int:
        """How many instances are billed, over all trainings."""
        return self.request.hosts * self.request.trainings

    def start(self, report: Report) -> None:
        """Upload the channels and create the job. Raises AwsError; what was begun is stopped."""
        if self.request.output is None:  # then what the job leaves goes to the account's own bucket
            data.ensured_bucket(self.account)
        uris = data.uploaded(self.account, self.channels)
        with jobs.starting(self.account, self.name, self.kind, report), explained():
            if self.kind is jobs.TUNING:
                self.job.fit(uris, wait=False, job_name=self.name)
            else:
                estimator.start(self.job, uris, self.name)


def prepare(account: Account, request: JobRequest, kind: jobs.Kind, report: Report) -> PreparedJob:
    """Check all that can be checked; the channels that lie here are read up to the first step.

    Raises AwsError, DataError, InputError, MissingDependencyError, PluginError.
    """
    algorithm = request.entry.algorithm
    session = sdk.Session(account)
    channels = checked_channels(account, request.entry, request.channels, report)
    settings: dict[str, Any] = {
        "instance_type": request.instance,
        "instance_count": request.hosts,
        "role": request.role,
        "hyperparameters": request.given,
        "seed": request.seed,
        "reading": request.reading,
        "image_uri": request.image,
        "spot": request.spot,
        "max_run": int(request.max_run),
        "max_wait": None if request.max_wait is None else int(request.max_wait),
        "output": request.output or f"{data.root(account)}/jobs",
        "volume_size": request.volume or _volume(account, channels, report),
        "session": session,
    }
    tuning = kind is jobs.TUNING
    if tuning:
        settings.update(max_jobs=request.trainings, max_parallel_jobs=request.parallel)
    job = (estimator.tuner if tuning else estimator.estimator)(algorithm.name, **settings)
    name = request.name or sdk.job_name(algorithm.name, tuning=tuning)
    jobs.check_free(account, name, kind)
    at_once = request.hosts * min(request.parallel, request.trainings)
    checks.quota(account, request.instance, TRAINING, at_once, spot=request.spot)
    check_contents(request.entry, channels, request.hyperparameters, request.reading, report)
    return PreparedJob(account, request, kind, name, channels, job)


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


def _volume(account: Account, channels: Mapping[str, Path | str], report: Report) -> int:
    """The GB of each instance's disk, on which all channels are laid."""
    held = sum(data.size(account, source) for source in set(channels.values()))
    needed = math.ceil(held / 10**9) + FREE_VOLUME
    if needed <= USUAL_VOLUME:
        return USUAL_VOLUME
    report(f"The data has {held / 10**9:.1f} GB: each instance gets a disk of {needed} GB.")
    return min(needed, MAX_VOLUME)
