"""``benchmark NAME --instances``: remote runs, their price and their confirmation."""

from __future__ import annotations

import itertools
import math
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Mapping, Sequence

from ...core.benchmark import Place, Record, Setting, Task
from ...core.runtime.errors import InputError
from ..aws import checks, data, names, prices
from ..aws.account import Account, explained
from ..aws.instances import TRAINING
from ..aws.prices import Price
from ..benchmark.remote import STOPPING_SECONDS, HiredJob, Hiring
from ..discovery import Entry
from ..lacking import check_installed
from ..packaging import kinds
from .sagemaker.common import confirm
from .sagemaker.jobs import Reader

MAX_RUN_SECONDS = 3600.0
MOST_JOBS, MOST_HOSTS, MOST_PARALLEL = 100, 99, 20
MOST_USD = 1e6


@dataclass(frozen=True)
class Asked:
    """What the command line says of the jobs."""

    pairs: Sequence[tuple[str, int]]  # instance type and hosts
    seeds: range
    max_cost: float
    max_run: float
    parallel: int
    prices: Mapping[str, float]
    role: str | None


def read(
    given: Mapping[str, str], settings: Sequence[Setting], repeats: int, faults: list[str]
) -> Asked:
    """What ``given`` says; what is wrong with it goes to ``faults``."""
    reader = Reader(given, faults)
    types = list(dict.fromkeys(word.strip() for word in given["instances"].split(",")))
    counts = _hosts(given.get("hosts", "1"), faults)
    pairs = list(itertools.product(types, counts))
    for setting, (name, hosts) in itertools.product(settings, pairs):
        values = setting.hyperparameters
        try:
            checks.instance(name, TRAINING, hosts=hosts, hyperparameters=values)
        except InputError as error:
            faults += [fault for fault in error.faults if fault not in faults]
    if "max_cost" not in given:
        faults.append("--max-cost: required with --instances, in USD, such as 20")
    count = len(settings) * sum(repeats if hosts > 1 else 1 for _, hosts in pairs)
    if count > MOST_JOBS:
        faults.append(f"{count} training jobs: {MOST_JOBS} at most")
    return Asked(
        pairs=pairs,
        seeds=range(1, repeats + 1),
        max_cost=_usd("--max-cost", given.get("max_cost", "1"), faults),
        max_run=float(math.ceil(reader.duration("max_run") or MAX_RUN_SECONDS)),
        parallel=reader.number("parallel", 2, MOST_PARALLEL),
        prices=_prices(given.get("price"), types, faults),
        role=given.get("role"),
    )


def measure(
    account: Account,
    entry: Entry,
    given: Mapping[str, str],
    settings: Sequence[Setting],
    asked: Asked,
    command: str,
    *,
    yes: bool,
    keep: Callable[[Sequence[Record]], None],
    tell: Callable[[str], None],
) -> tuple[list[Record], dict[str, Any]]:
    """The records, and what they cost; both are empty after a dry run."""
    from ..aws import sdk

    algorithm = entry.algorithm
    own = {c.name: given[c.name] for c in algorithm.channels if c.name in given}
    sample = {name: str(path) for name, path in algorithm.sample().items()}
    channels = checks.channels(algorithm, own or sample, account)
    known = _known_prices(account, asked)
    session = sdk.Session(account)
    role = sdk.execution_role(session, asked.role)
    uris: dict[str, str] = {}

    def planned_job(
        number: int, setting: Setting, place: Place, seeds: list[int], source: Path
    ) -> HiredJob:
        values = setting.hyperparameters
        estimator = sdk.estimator(
            algorithm.name,
            instance_type=place.instance_type,
            instance_count=place.instances,
            role=role,
            hyperparameters=values.model_dump(mode="json", include=values.model_fields_set),
            reading=setting.reading,
            max_run=int(asked.max_run),
            output=f"{sdk.root(account)}/benchmarks",
            benchmark=Task(seeds=seeds, target=setting.target),
            source_dir=source,
            session=session,
        )
        name = names.named(algorithm.name, str(number))

        def start() -> None:
            with explained():
                sdk.start(estimator, uris, name)

        price = known[place.instance_type]
        return HiredJob(name, setting, place, price, seeds, asked.max_run, start)

    with tempfile.TemporaryDirectory(prefix="algoshelf-") as scratch:
        source = Path(scratch, "source")
        kinds.script(entry, source)
        planned: list[HiredJob] = []
        for (instance, hosts), setting in itertools.product(asked.pairs, settings):
            place = Place(
                instance_type=instance, instances=hosts, dollars_an_hour=known[instance].usd
            )
            # several hosts are one run
            for seeds in [[seed] for seed in asked.seeds] if hosts > 1 else [list(asked.seeds)]:
                planned.append(planned_job(len(planned) + 1, setting, place, seeds, source))
        _check_affordable(planned, asked)
        _check_quotas(account, asked, planned)
        _check_contents(entry, channels, settings[0], tell)
        _agree(account, entry, channels, planned, asked, yes=yes, tell=tell)
        data.ensured_bucket(account)
        uris.update(data.uploaded(account, channels))
        if account.dry:
            for job in planned:
                job.start()
            return [], {}
        hiring = Hiring(
            account, planned, command,
            budget=asked.max_cost, parallel=asked.parallel, keep=keep, tell=tell,
        )  # fmt: skip
        records = hiring.run()
        cost = {
            "max_cost": asked.max_cost,
            "worst_case": sum(job.worst_case for job in planned),
            "spent": hiring.spent,
            "jobs": [job.to_dict() for job in planned],
        }
        return records, cost


def _hosts(text: str, faults: list[str]) -> list[int]:
    words = list(dict.fromkeys(word.strip() for word in text.split(",")))
    if all(re.fullmatch(r"[1-9][0-9]?", word) for word in words):
        return [int(word) for word in words]
    faults.append(f"--hosts: expected whole numbers from 1 to {MOST_HOSTS}, got {text!r}")
    return [1]


def _usd(name: str, text: str, faults: list[str]) -> float:
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text) and 0 < float(text) < MOST_USD:
        return float(text)
    faults.append(f"{name}: expected USD, such as 20 or 0.75, got {text!r}")
    return 1.0


def _prices(text: str | None, types: Sequence[str], faults: list[str]) -> dict[str, float]:
    """``ml.p3.8xlarge=14.688,…``, of one instance for an hour."""
    found = {}
    for word in (text or "").split(",") if text is not None else ():
        name, separator, usd = (part.strip() for part in word.partition("="))
        if not separator or name not in types:
            faults.append(f"--price: expected TYPE=USD, a TYPE of --instances, got {word!r}")
        else:
            found[name] = _usd(f"--price {name}", usd, faults)
    return found


def _known_prices(account: Account, asked: Asked) -> dict[str, Price]:
    """The price of each type: as given, or as the table has it. Raises InputError."""
    found, faults = {}, []
    for name in dict.fromkeys(name for name, _ in asked.pairs):
        if name in asked.prices:
            found[name] = Price(asked.prices[name], "as given", "")
            continue
        price = prices.find(name, TRAINING, account.region)
        if price is None:
            faults.append(
                f"{name}: its price in {account.region} is unknown: give "
                f"--price {name}=USD (https://aws.amazon.com/sagemaker/pricing), or ask AWS by "
                "`algoshelf sagemaker cost --refresh`"
            )
        else:
            found[name] = price
    if faults:
        raise InputError(*faults)
    return found


def _check_affordable(planned: Sequence[HiredJob], asked: Asked) -> None:
    faults = [
        f"{job}: may cost {job.worst_case:.2f} USD, more than --max-cost {asked.max_cost:g}: "
        f"shorten --max-run, now {asked.max_run / 60:g} min, or raise --max-cost"
        for job in planned
        if job.worst_case > asked.max_cost
    ]
    if faults:
        raise InputError(*faults)


def _check_quotas(account: Account, asked: Asked, planned: Sequence[HiredJob]) -> None:
    """Of each type, what may run at once; a smaller quota would fail the jobs beyond it."""
    for name in dict.fromkeys(name for name, _ in asked.pairs):
        counts = [job.place.instances for job in planned if job.place.instance_type == name]
        at_once = sum(sorted(counts, reverse=True)[: asked.parallel])
        checks.quota(account, name, TRAINING, at_once)


def _check_contents(
    entry: Entry,
    channels: Mapping[str, Path | str],
    setting: Setting,
    tell: Callable[[str], None],
) -> None:
    here = {name: path for name, path in channels.items() if isinstance(path, Path)}
    if len(here) < len(channels):
        tell("what lies in S3 is read by the jobs alone: its contents are not checked")
        return
    check_installed(entry, setting.hyperparameters)
    tell("reading the channels, up to the first step")
    checks.contents(entry.algorithm, here, setting.hyperparameters, setting.reading)


def _agree(
    account: Account,
    entry: Entry,
    channels: Mapping[str, Path | str],
    planned: Sequence[HiredJob],
    asked: Asked,
    *,
    yes: bool,
    tell: Callable[[str], None],
) -> None:
    """Show what it may cost, and ask."""
    count = f"{len(planned)} training job{'s' * (len(planned) > 1)}"
    tell(f"{entry.algorithm.name}: {count} in {account.region}, {asked.parallel} at once at most")
    for name, source in channels.items():
        tell(f"  {name}: {source}")
    for job in planned:
        price = job.price
        dated = ", ".join(part for part in (price.source, price.date) if part)
        tell(f"  {job}: {price.usd:g} USD an hour ({dated}), at most {job.worst_case:.2f} USD")
    total = sum(job.worst_case for job in planned)
    minutes = (asked.max_run + STOPPING_SECONDS) / 60
    tell(f"  {total:,.2f} USD in all, if each runs for {minutes:g} min, as long as it may")
    if total > asked.max_cost:
        tell(
            f"  more than --max-cost {asked.max_cost:g}: a job starts only while all that was spent"
            " and all that may be leave room for it; what does not start is reported"
        )
    if not account.dry:
        confirm(f"Start them, for at most {min(total, asked.max_cost):,.2f} USD?", yes)
