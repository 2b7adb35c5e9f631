"""The training jobs of a benchmark, planned and checked before anything is uploaded or billed."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Iterator, Mapping, Sequence

from ...core.benchmark import Place, Record, Setting, Task
from ...core.runtime.errors import InputError
from ..aws import checks, data, jobs, names, prices, training
from ..aws.account import Account
from ..aws.instances import TRAINING
from ..aws.prices import Price
from ..aws.training import JobRequest, PreparedJob
from ..discovery import Entry
from .remote import RemoteJob, RemoteRequest, RemoteRuns, Tell


@dataclass(frozen=True)
class RemotePlan:
    """What is to run, and on what data."""

    account: Account
    request: RemoteRequest
    channels: Mapping[str, Path | str]
    jobs: Sequence[RemoteJob]

    def run(
        self, command: str, keep: Callable[[Sequence[Record]], None], tell: Tell
    ) -> tuple[list[Record], dict[str, Any]]:
        """Upload the data and run the jobs: the records, and what they cost; empty if dry."""
        uploads = self.jobs[0].prepared.upload()  # of which all have the same
        if self.account.dry:
            for job in self.jobs:
                job.send(uploads)
            return [], {}
        runs = RemoteRuns(
            self.account, self.jobs, uploads, command,
            budget=self.request.max_cost, parallel=self.request.parallel, keep=keep, tell=tell,
        )  # fmt: skip
        records = runs.run()
        cost = {
            "max_cost": self.request.max_cost,
            "worst_case": sum(job.worst_case for job in self.jobs),
            "spent": runs.spent,
            "jobs": [job.to_dict() for job in self.jobs],
        }
        return records, cost


@contextmanager
def prepared(
    account: Account,
    entry: Entry,
    given: Mapping[str, str],
    settings: Sequence[Setting],
    request: RemoteRequest,
    tell: Tell,
) -> Iterator[RemotePlan]:
    """The plan, checked; what its jobs are packed from is there within.

    Raises AwsError, DataError, InputError, PluginError.
    """
    settings_of_aws = request.settings
    training.check_code_channel(entry, settings_of_aws, None)
    channels = training.checked_channels(account, entry, given, tell)
    known = _known_prices(account, request)
    role = checks.execution_role(account, settings_of_aws.role)
    volume = training.volume(account, channels, tell, settings_of_aws)
    with training.packed(account, entry, None, settings_of_aws, tell) as source:
        planned: list[RemoteJob] = []
        for (instance, hosts), setting in itertools.product(request.pairs, settings):
            place = Place(
                instance_type=instance, instances=hosts, dollars_an_hour=known[instance].usd
            )
            # several hosts are one run
            for seeds in [[seed] for seed in request.seeds] if hosts > 1 else [[*request.seeds]]:
                name = names.named(entry.algorithm.name, str(len(planned) + 1))
                job = PreparedJob(
                    account, _asked(account, entry, setting, place, seeds, request),
                    jobs.TRAINING, name, channels, role, volume, source,
                )  # fmt: skip
                planned.append(RemoteJob(job, setting, place, known[instance], seeds))
        _check_affordable(planned, request)
        _check_quotas(account, request, planned)
        first = settings[0]
        training.check_contents(entry, channels, first.hyperparameters, first.reading, tell)
        yield RemotePlan(account, request, channels, planned)


def _asked(
    account: Account,
    entry: Entry,
    setting: Setting,
    place: Place,
    seeds: list[int],
    request: RemoteRequest,
) -> JobRequest:
    """A job that measures."""
    return JobRequest(
        entry=entry,
        hyperparameters=setting.hyperparameters,
        given={},
        channels={},
        instance=place.instance_type,
        hosts=place.instances,
        max_run=request.max_run,
        reading=setting.reading,
        output=f"{data.root(account)}/benchmarks",
        settings=request.settings,
        benchmark=Task(seeds=seeds, target=setting.target),
    )


def _known_prices(account: Account, request: RemoteRequest) -> dict[str, Price]:
    """The price of each type: as given, or as the table has it. Raises InputError."""
    found, faults = {}, []
    for name in dict.fromkeys(name for name, _ in request.pairs):
        if name in request.prices:
            found[name] = Price(request.prices[name], "as given", "")
            continue
        price = prices.find(name, TRAINING, account.region)
        if price is None:
            faults.append(f"{prices.unknown(name, account.region)} Or give --price {name}=USD")
        else:
            found[name] = price
    if faults:
        raise InputError(*faults)
    return found


def _check_affordable(planned: Sequence[RemoteJob], request: RemoteRequest) -> None:
    faults = [
        f"{job}: may cost {job.worst_case:.2f} USD, more than --max-cost {request.max_cost:g}: "
        f"shorten --max-run, now {request.max_run / 60:g} min, or raise --max-cost"
        for job in planned
        if job.worst_case > request.max_cost
    ]
    if faults:
        raise InputError(*faults)


def _check_quotas(account: Account, request: RemoteRequest, planned: Sequence[RemoteJob]) -> None:
    """Of each type, what may run at once; a smaller quota would fail the jobs beyond it."""
    for name in dict.fromkeys(name for name, _ in request.pairs):
        counts = [job.place.instances for job in planned if job.place.instance_type == name]
        at_once = sum(sorted(counts, reverse=True)[: request.parallel])
        checks.quota(account, name, TRAINING, at_once)
