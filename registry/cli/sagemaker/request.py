"""What the command line says of a training or tuning job, and how such a job is started."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Mapping

import click

from ....core.algorithm.search_space import tunable
from ....core.data.reading import Reading
from ....core.runtime.errors import InputError
from ....core.training import parse_seed
from ...discovery import Entry
from ...flags import JOB_FLAGS, TUNING_JOB_FLAGS
from ...weights.choosing import chosen
from ..flags import (
    AlgorithmCommand,
    account_options,
    acting_options,
    bucket_option,
    channel_options,
    flag,
    hyperparameter_options,
    options,
    unknown_flags,
)
from ..output import json_option, say
from ..reading import reading_parameters, taken
from ..values import Values
from .common import account as open_account
from .common import confirm, say_price
from .company import company_names, company_parameters, read
from .showing import follow

if TYPE_CHECKING:
    from ...aws.training import JobRequest, PreparedJob

MAX_RUN_SECONDS = 28 * 24 * 3600
MAX_HOSTS, MAX_TRAININGS, MAX_PARALLEL = 99, 750, 100


def job_command(entry: Entry, *, tuning: bool) -> click.Command:
    """The command that trains ``entry`` in a job, or in many that look for hyperparameters."""
    parameters = channel_options(entry)
    parameters += options(JOB_FLAGS)
    parameters += options(TUNING_JOB_FLAGS) if tuning else []
    verb = "tune" if tuning else "train"
    parameters += company_parameters(verb)
    parameters += reading_parameters()
    parameters += hyperparameter_options(entry)

    def callback(
        as_json: bool,
        dry_run: bool,
        yes: bool,
        region: str | None,
        profile: str | None,
        bucket_owner: str,
        spot: bool,
        wait: bool,
        **given: Any,
    ) -> None:
        flags = {name: given.pop(name) for name in company_names(verb)}
        told = {name: value for name, value in given.items() if value is not None}
        request = _request(entry, told, flags, spot, click.get_current_context(), tuning)
        from ...aws import jobs, training

        kind = jobs.TUNING if tuning else jobs.TRAINING
        with open_account(region, profile, dry_run, bucket_owner, request.settings) as account:
            with training.prepared(account, request, kind, say) as job:
                _announce(job, tuning, yes)
                job.start(say)
            if not account.dry:
                follow(account, kind, job.name, wait=wait, as_json=as_json)

    command: click.Command = AlgorithmCommand(
        entry,
        name=entry.algorithm.name,
        params=parameters,
        callback=callback,
        help=entry.algorithm.summary,
    )
    return json_option(acting_options(account_options(bucket_option(command))))


def _request(
    entry: Entry,
    told: Mapping[str, str],
    flags: Mapping[str, Any],
    spot: bool,
    ctx: click.Context,
    tuning: bool,
) -> JobRequest:
    """What the command line says; every fault of it in one InputError."""
    from ...aws import checks, jobs, names
    from ...aws.instances import TRAINING
    from ...aws.settings import Settings
    from ...aws.training import MAX_VOLUME, JobRequest

    algorithm = entry.algorithm
    infos = [info.name for info in algorithm.Hyperparameters.describe()]
    faults = unknown_flags(ctx)
    faults += [f"{flag(name)}: expected a value, got ''" for name in told if not told[name]]
    values = Values(told, faults)
    hosts = values.whole("hosts", 1, MAX_HOSTS)
    trainings = values.whole("jobs", 10 if tuning else 1, MAX_TRAININGS)
    parallel = values.whole("parallel", 1, MAX_PARALLEL)
    duration = partial(values.duration, most=MAX_RUN_SECONDS, limit="28 days")
    max_run = duration("max_run") or jobs.MAX_RUN_SECONDS
    max_wait = duration("max_wait")
    if max_wait is not None and not spot:
        faults.append("--max-wait: belongs to --spot: give --spot too, or leave --max-wait out")
    elif max_wait is not None and max_wait < max_run:
        faults.append(
            f"--max-wait: includes the training, so it may not be shorter than --max-run, "
            f"{max_run:g} s; got {max_wait:g} s"
        )
    volume = values.whole("volume", 1, MAX_VOLUME) if "volume" in told else None
    seed = values.read("seed", parse_seed)
    settings = values.attempt(partial(read, "tune" if tuning else "train", flags)) or Settings()
    if settings.warm_pool and spot:
        faults.append("--warm-pool: AWS keeps no instances of --spot: leave out one of them")
    reading = values.attempt(partial(taken, told)) or Reading()
    if told.get("name"):
        most = names.MAX_TUNING_NAME if tuning else names.MAX_NAME
        faults += filter(None, [names.fault(told["name"], most)])
    pretrained = values.attempt(partial(chosen, algorithm, told))
    given = {name: told[name] for name in infos if name in told}
    given = {**(pretrained.hyperparameters if pretrained else {}), **given}
    hyperparameters = values.attempt(partial(algorithm.Hyperparameters.parse, given, flag))
    if "instance" in told:
        values.attempt(
            partial(
                checks.instance,
                told["instance"],
                TRAINING,
                hosts=hosts,
                hyperparameters=hyperparameters,
            )
        )
    else:
        faults.append(
            "--instance: is required, such as --instance ml.m5.xlarge; `algoshelf sagemaker cost` "
            "lists the types and their prices"
        )
    if faults:
        raise InputError(*faults)
    channels = {c.name: told[c.name] for c in algorithm.channels if c.name in told}
    if pretrained is not None:
        paths = pretrained.added_to(channels or algorithm.sample(), say)
        channels = {name: str(path) for name, path in paths.items()}
    strings: dict[str, Any] = {name: told.get(name) for name in ("image", "output", "name")}
    return JobRequest(
        entry=entry,
        hyperparameters=hyperparameters,
        given=given,
        channels=channels,
        instance=told["instance"],
        hosts=hosts,
        max_run=max_run,
        max_wait=max_wait,
        volume=volume,
        spot=spot,
        seed=seed,
        trainings=trainings,
        parallel=parallel,
        reading=reading,
        settings=settings,
        **strings,
    )


def _announce(job: PreparedJob, tuning: bool, yes: bool) -> None:
    """Show what will run and what it may cost, and ask."""
    from ...aws import prices

    request, region = job.request, job.account.region
    algorithm = request.entry.algorithm
    say(f"{algorithm.name} is trained on {request.hosts} × {request.instance} in {region}.")
    for name, source in job.channels.items():
        say(f"  {name}: {source}")
    for each in tunable(algorithm.Hyperparameters, request.given) if tuning else ():
        say(f"  {flag(each.name)}: {each}")
    cost = say_price(job.price, request.instance, region)
    if job.price is not None:
        pool = request.settings.warm_pool
        cost = f"at most {job.price.worst_case(request.max_run + pool, job.runs):,.2f} USD"
        kept = f", and is kept for {pool / 60:g} min" if pool else ""
        trainings = f" in {request.trainings} trainings" if tuning else ""
        say(f"That is {cost}{trainings}, if each runs for {request.max_run / 3600:g} h{kept}.")
    if request.spot:
        say(prices.SPOT)
    if not job.account.dry:
        confirm(f"Start it, for {cost}?", yes)
