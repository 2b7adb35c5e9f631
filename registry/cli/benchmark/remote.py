"""``benchmark NAME --instances``: what is asked for, what it may cost, and its start."""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence

from ...discovery import Entry
from ..output import say
from ..sagemaker.common import confirm
from ..sagemaker.company import read as resolve
from ..values import Values

if TYPE_CHECKING:
    from ....core.benchmark import Record, Setting
    from ...aws.account import Account
    from ...benchmark.plan import RemotePlan
    from ...benchmark.remote import RemoteRequest

MAX_RUN_SECONDS, LONGEST_RUN_SECONDS = 3600.0, 28 * 24 * 3600.0
MAX_JOBS, MAX_HOSTS, MAX_PARALLEL = 100, 99, 20
MAX_USD = 1e6


def read(
    values: Values, company: Mapping[str, Any], settings: Sequence[Setting], repeats: int
) -> RemoteRequest:
    """What ``values`` say; what is wrong with it goes to their faults."""
    from ...aws import checks
    from ...aws.instances import TRAINING
    from ...aws.settings import Settings
    from ...benchmark.remote import RemoteRequest

    given, faults = values.given, values.faults
    types = list(dict.fromkeys(word.strip() for word in given["instances"].split(",")))
    pairs = list(itertools.product(types, values.wholes("hosts", "1", MAX_HOSTS)))
    for setting, (name, hosts) in itertools.product(settings, pairs):
        hyperparameters = setting.hyperparameters
        values.attempt(
            partial(checks.instance, name, TRAINING, hosts=hosts, hyperparameters=hyperparameters)
        )
    if "max_cost" not in given:
        faults.append("--max-cost: is required with --instances, in USD, such as --max-cost 20")
    count = len(settings) * sum(repeats if hosts > 1 else 1 for _, hosts in pairs)
    if count > MAX_JOBS:
        faults.append(
            f"--instances: that is {count} training jobs, and {MAX_JOBS} are allowed: give fewer "
            "instance types, hosts, batch sizes or repeats"
        )
    longest = values.duration("max_run", LONGEST_RUN_SECONDS, "28 days")
    return RemoteRequest(
        pairs=pairs,
        seeds=range(1, repeats + 1),
        max_cost=values.number("max_cost", 1.0, MAX_USD, "USD, such as 20 or 0.75"),
        max_run=float(math.ceil(longest or MAX_RUN_SECONDS)),
        parallel=values.whole("parallel", 2, MAX_PARALLEL),
        prices=_prices(given.get("price"), types, faults),
        settings=values.attempt(partial(resolve, "benchmark", company)) or Settings(),
    )


def _prices(text: str | None, types: Sequence[str], faults: list[str]) -> dict[str, float]:
    """``ml.p3.8xlarge=14.688,…``, of one instance for an hour."""
    found = {}
    for word in (text or "").split(",") if text is not None else ():
        name, separator, usd = (part.strip() for part in word.partition("="))
        if not separator or name not in types:
            faults.append(f"--price: expected TYPE=USD, a TYPE of --instances, got {word!r}")
        else:
            value = Values({"price": usd}, faults)
            expected = f"USD for {name}, such as 20 or 0.75"
            found[name] = value.number("price", 1.0, MAX_USD, expected)
    return found


def measure_there(
    account: Account,
    entry: Entry,
    channels: Mapping[str, str],
    settings: Sequence[Setting],
    request: RemoteRequest,
    command: str,
    keep: Callable[[Sequence[Record]], None],
    *,
    yes: bool,
) -> tuple[list[Record], dict[str, Any]]:
    """The records, and what they cost; both are empty after a dry run."""
    from ...benchmark.plan import prepared

    with prepared(account, entry, channels, settings, request, say) as plan:
        _agree(entry, plan, yes)
        return plan.run(command, keep, say)


def _agree(entry: Entry, plan: RemotePlan, yes: bool) -> None:
    """Show what it may cost, and ask."""
    from ...benchmark.remote import STOPPING_SECONDS

    request, jobs, region = plan.request, plan.jobs, plan.account.region
    several = f"{len(jobs)} training job{'s' * (len(jobs) > 1)}"
    say(f"{entry.algorithm.name}: {several} in {region}, at most {request.parallel} at once.")
    for name, source in plan.channels.items():
        say(f"  {name}: {source}")
    for job in jobs:
        say(f"  {job}: {job.price}, at most {job.worst_case:.2f} USD")
    total = sum(job.worst_case for job in jobs)
    minutes = (request.max_run + STOPPING_SECONDS) / 60
    say(f"That is at most {total:,.2f} USD, if each job runs its full {minutes:g} min.")
    if total > request.max_cost:
        say(
            f"That is more than --max-cost {request.max_cost:g}. So a job starts only if it is "
            "certain that all jobs together stay below; what does not start is reported."
        )
    if not plan.account.dry:
        confirm(f"Start them, for at most {min(total, request.max_cost):,.2f} USD?", yes)
