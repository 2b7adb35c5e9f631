"""``sagemaker train``, ``tune`` and ``transform`` start jobs; ``status`` and ``logs`` show them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Callable, Mapping

import click

from ....core import codecs
from ....core.algorithm.hyperparameters import Hyperparameters
from ....core.data.reading import Reading
from ....core.data.walking import walk
from ....core.runtime.errors import InputError, PayloadError, TrainingError
from ....core.training import parse_duration, parse_seed
from ....core.transform.job import usual_split
from ....core.transform.reader import LINE, NONE, RECORDIO, SPLIT_TYPES
from ...aws.account import Account, explained
from ...aws.instances import TRAINING, TRANSFORM
from ...discovery import Entry
from ...lacking import check_installed
from ..flags import (
    JOB_FLAGS,
    SIZE,
    TUNING_JOB_FLAGS,
    AlgorithmCommand,
    AlgorithmGroup,
    Table,
    account_options,
    acting_options,
    bucket_option,
    channel_options,
    flag,
    hyperparameter_options,
    options,
    unknown_flags,
    whole,
)
from ..output import json_option, print_json
from ..reading import reading_parameters, taken
from .common import account as open_account
from .common import confirm

MOST_RUN_SECONDS = 28 * 24 * 3600
# The disk: the SDK's default; what is kept free beside the data, for model and checkpoints; and the
# bound of VolumeSizeInGB.
USUAL_VOLUME, FREE_VOLUME, MOST_VOLUME = 30, 20, 16_384
MOST_PAYLOAD = 100 * 2**20  # of a request of a transform job
UNKNOWN_PRICE = "unknown: see https://aws.amazon.com/sagemaker/pricing, or `cost --refresh`"
MOST_TUNING_JOBS, MOST_PARALLEL_JOBS = 750, 100


@dataclass(frozen=True)
class _Asked:
    """What the command line says of a job, checked as far as it can be without AWS."""

    entry: Entry
    hyperparameters: Hyperparameters
    given: Mapping[str, str]  # hyperparameters as they were written
    channels: Mapping[str, str]
    instance: str
    hosts: int
    max_run: float
    max_wait: float | None
    volume: int | None
    spot: bool
    seed: int | None
    jobs: int
    parallel: int
    reading: Reading
    flags: Mapping[str, str]


Start = Callable[..., None]


def _job_command(entry: Entry, start: Start, more: Table = ()) -> click.Command:
    """The command by which ``start`` starts a job of ``entry``."""
    parameters = channel_options(entry)
    parameters += options((*JOB_FLAGS, *more))
    parameters += [
        click.Option(["--spot"], is_flag=True, help="Take spare capacity, at a lower price."),
        click.Option(
            ["--wait/--no-wait"], default=True, help="Show the job's log until it ends, or not."
        ),
    ]
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
        **given: str | None,
    ) -> None:
        told = {name: value for name, value in given.items() if value is not None}
        asked = _checked(entry, told, spot, click.get_current_context(), bool(more))
        with open_account(region, profile, dry_run, bucket_owner) as account:
            start(account, asked, yes=yes, wait=wait, as_json=as_json)

    command: click.Command = AlgorithmCommand(
        entry,
        name=entry.algorithm.name,
        params=parameters,
        callback=callback,
        help=entry.algorithm.summary,
    )
    return json_option(acting_options(account_options(bucket_option(command))))


def _checked(
    entry: Entry,
    told: Mapping[str, str],
    spot: bool,
    ctx: click.Context,
    tuning: bool,
) -> _Asked:
    """What the command line says; every fault of it in one InputError."""
    from ...aws import checks, jobs, names

    algorithm = entry.algorithm
    infos = [info.name for info in algorithm.Hyperparameters.describe()]
    own = [channel.name for channel in algorithm.channels]
    faults = unknown_flags(ctx)
    faults += [f"{flag(name)}: expected a value, got ''" for name in told if not told[name]]
    reader = Reader(told, faults)
    hosts = reader.number("hosts", 1, 99)
    trainings = reader.number("jobs", 10, MOST_TUNING_JOBS)
    parallel = reader.number("parallel", 1, MOST_PARALLEL_JOBS)
    max_run = reader.duration("max_run") or jobs.MAX_RUN_SECONDS
    max_wait = reader.duration("max_wait")
    if max_wait is not None and not spot:
        faults.append("--max-wait: speaks of --spot")
    elif max_wait is not None and max_wait < max_run:
        faults.append(f"--max-wait: may not be shorter than --max-run, {max_run:g} s")
    volume = reader.number("volume", USUAL_VOLUME, MOST_VOLUME) if "volume" in told else None
    seed = reader.read("seed", parse_seed)
    reading = reader.attempt(lambda: taken(told)) or Reading()
    if told.get("name"):
        most = names.MOST_TUNING_NAME if tuning else names.MOST_NAME
        faults += filter(None, [names.fault(told["name"], most)])
    given = {name: told[name] for name in infos if name in told}
    hyperparameters = reader.attempt(lambda: algorithm.Hyperparameters.parse(given, flag))
    if "instance" in told:
        reader.attempt(
            lambda: checks.instance(
                told["instance"], TRAINING, hosts=hosts, hyperparameters=hyperparameters
            )
        )
    else:
        faults.append("--instance: required, such as ml.m5.xlarge; `sagemaker cost` lists all")
    if faults:
        raise InputError(*faults)
    assert hyperparameters is not None
    return _Asked(
        entry=entry,
        hyperparameters=hyperparameters,
        given=given,
        channels={name: told[name] for name in own if name in told},
        instance=told["instance"],
        hosts=hosts,
        max_run=max_run,
        max_wait=max_wait,
        volume=volume,
        spot=spot,
        seed=seed,
        jobs=trainings,
        parallel=parallel,
        reading=reading,
        flags=told,
    )


class Reader:
    """Reads flags, and notes what is wrong with them."""

    def __init__(self, told: Mapping[str, str], faults: list[str]) -> None:
        self.told = told
        self.faults = faults

    def attempt(self, work: Callable[[], Any]) -> Any:
        """What ``work`` gives; None where that raises InputError, which is noted."""
        try:
            return work()
        except InputError as error:
            self.faults += error.faults
            return None

    def read(self, name: str, parse: Callable[[str], Any]) -> Any:
        if name not in self.told:
            return None
        try:
            return parse(self.told[name])
        except ValueError as error:
            self.faults.append(f"{flag(name)}: {error}")
            return None

    def number(self, name: str, default: int, most: int) -> int:
        text = self.told.get(name, str(default))
        if re.fullmatch(r"[1-9][0-9]{0,5}", text) and int(text) <= most:
            return int(text)
        self.faults.append(f"{flag(name)}: expected a whole number from 1 to {most}, got {text!r}")
        return default

    def duration(self, name: str) -> float | None:
        """Seconds, as AWS takes them: whole ones, and not above 28 days."""

        def parse(text: str) -> float:
            try:
                seconds = parse_duration(text)
            except ValueError:
                seconds = 0
            if not 1 <= seconds <= MOST_RUN_SECONDS:
                raise ValueError(
                    f"expected a time such as 90m or 8h, at most 28 days, got {text!r}"
                )
            return seconds

        found = self.read(name, parse)
        return None if found is None else float(found)


def _train(account: Account, asked: _Asked, *, yes: bool, wait: bool, as_json: bool) -> None:
    from ...aws import jobs, sdk

    session = sdk.Session(account)
    channels = _channels(account, asked)
    estimator = sdk.estimator(
        asked.entry.algorithm.name, session=session, **_settings(account, asked, channels)
    )
    name = asked.flags.get("name") or sdk.job_name(asked.entry.algorithm.name)
    jobs.check_free(account, name, jobs.TRAINING)
    _looked_into(account, asked, channels, at_once=asked.hosts)
    _agreed(account, asked, channels, asked.hosts, yes=yes)
    uris = _uploaded(account, asked, channels)
    with jobs.starting(account, name, jobs.TRAINING, _say), explained():
        sdk.start(estimator, uris, name)
    if not account.dry:
        _shown(account, jobs.TRAINING, name, wait=wait, as_json=as_json)


def _tune(account: Account, asked: _Asked, *, yes: bool, wait: bool, as_json: bool) -> None:
    from ....core.algorithm.search_space import tunable
    from ...aws import jobs, sdk

    algorithm = asked.entry.algorithm
    session = sdk.Session(account)
    channels = _channels(account, asked)
    tuner = sdk.tuner(
        algorithm.name,
        max_jobs=asked.jobs,
        max_parallel_jobs=asked.parallel,
        session=session,
        **_settings(account, asked, channels),
    )
    name = asked.flags.get("name") or sdk.job_name(algorithm.name, tuning=True)
    jobs.check_free(account, name, jobs.TUNING)
    at_once = asked.hosts * min(asked.parallel, asked.jobs)
    _looked_into(account, asked, channels, at_once=at_once)
    for each in tunable(algorithm.Hyperparameters, asked.given):
        _say(f"  {flag(each.name)}: {each}")
    _agreed(account, asked, channels, asked.hosts * asked.jobs, yes=yes)
    uris = _uploaded(account, asked, channels)
    with jobs.starting(account, name, jobs.TUNING, _say), explained():
        tuner.fit(uris, wait=False, job_name=name)
    if not account.dry:
        _shown(account, jobs.TUNING, name, wait=wait, as_json=as_json)


@click.group(
    cls=AlgorithmGroup,
    make=partial(_job_command, start=_train),
    subcommand_metavar="NAME [OPTIONS]",
)
def train() -> None:
    """Train the algorithm NAME; `train NAME --help` shows its hyperparameters."""


@click.group(
    cls=AlgorithmGroup,
    make=partial(_job_command, start=_tune, more=TUNING_JOB_FLAGS),
    subcommand_metavar="NAME [OPTIONS]",
)
def tune() -> None:
    """Let SageMaker look for the hyperparameters of NAME that are not given."""


def _settings(
    account: Account, asked: _Asked, channels: Mapping[str, Path | str]
) -> dict[str, Any]:
    """As ``sdk.estimator`` takes them."""
    from ...aws import sdk

    return {
        "instance_type": asked.instance,
        "instance_count": asked.hosts,
        "role": asked.flags.get("role"),
        "hyperparameters": asked.given,
        "seed": asked.seed,
        "reading": asked.reading,
        "image_uri": asked.flags.get("image"),
        "spot": asked.spot,
        "max_run": int(asked.max_run),
        "max_wait": None if asked.max_wait is None else int(asked.max_wait),
        "output": asked.flags.get("output") or f"{sdk.root(account)}/jobs",
        "volume_size": asked.volume or _volume(account, channels),
    }


def _volume(account: Account, channels: Mapping[str, Path | str]) -> int:
    """The GB of each instance's disk, on which all channels are laid."""
    from ...aws import data

    held = sum(data.size(account, source) for source in set(channels.values()))
    needed = math.ceil(held / 10**9) + FREE_VOLUME
    if needed <= USUAL_VOLUME:
        return USUAL_VOLUME
    _say(f"the data has {held / 10**9:.1f} GB: each instance gets a disk of {needed} GB")
    return min(needed, MOST_VOLUME)


def _channels(account: Account, asked: _Asked) -> dict[str, Path | str]:
    from ...aws import checks

    algorithm = asked.entry.algorithm
    given = dict(asked.channels)
    if not given:
        given = {name: str(path) for name, path in algorithm.sample().items()}
        if given:
            _say("on the bundled sample; give --train PATH or s3://… for your own data")
    return checks.channels(algorithm, given, account)


def _looked_into(
    account: Account, asked: _Asked, channels: Mapping[str, Path | str], *, at_once: int
) -> None:
    """What takes longer to check."""
    from ...aws import checks

    checks.quota(account, asked.instance, TRAINING, at_once, spot=asked.spot)
    here = {name: path for name, path in channels.items() if isinstance(path, Path)}
    if len(here) < len(channels):
        _say("what lies in S3 is read by the job alone: its contents are not checked")
        return
    check_installed(asked.entry, asked.hyperparameters)
    _say("reading the channels, up to the first step")
    checks.contents(asked.entry.algorithm, here, asked.hyperparameters, asked.reading)


def _agreed(
    account: Account, asked: _Asked, channels: Mapping[str, Path | str], runs: int, *, yes: bool
) -> None:
    """Show what it may cost, and ask."""
    from ...aws import prices

    price = prices.find(asked.instance, TRAINING, account.region)
    hosts = f"{asked.hosts} × " if asked.hosts > 1 else ""
    _say(f"{asked.entry.algorithm.name} on {hosts}{asked.instance} in {account.region}")
    for name, source in channels.items():
        _say(f"  {name}: {source}")
    cost = _say_price(price, asked.instance)
    if price is not None:
        most = f"{price.worst_case(asked.max_run, runs):,.2f} USD"
        trainings = f" in {asked.jobs} trainings" if runs > asked.hosts else ""
        _say(f"  at most {most}{trainings}, if each runs for {asked.max_run / 3600:g} h")
        cost = f"at most {most}"
    if asked.spot:
        _say(f"  {prices.SPOT}")
    if not account.dry:
        confirm(f"Start it, for {cost}?", yes)


def _say_price(price: Any, instance: str) -> str:
    if price is None:
        _say(f"  the price of {instance} is {UNKNOWN_PRICE}")
        return "a price that is unknown"
    dated = f", {price.date}" if price.date else ""
    _say(f"  {price.usd:g} USD an hour for each {instance} ({price.source}{dated})")
    return f"{price.usd:g} USD an hour"


def _uploaded(
    account: Account, asked: _Asked, channels: Mapping[str, Path | str]
) -> dict[str, str]:
    """The URI of each channel."""
    from ...aws import data

    if "output" not in asked.flags:  # then what the job leaves goes to the account's own bucket
        data.ensured_bucket(account)
    return data.uploaded(account, channels)


def _shown(account: Account, kind: Any, name: str, *, wait: bool, as_json: bool) -> None:
    """Follow the job, or say how to; raises TrainingError where it failed."""
    from ...aws import jobs

    _say(f"{kind.title} job {name}")
    job = jobs.Job(account, name, kind, {})
    try:
        job.refresh()
        if wait:
            job.follow(_say)
    except BaseException:  # whatever ends this ends no job
        where = f"{name} --region {account.region}"
        _say(
            f"the job goes on, and is billed: `algoshelf sagemaker status {where}`, or "
            f"`algoshelf sagemaker delete {where}` to end it"
        )
        raise
    if job.status == "Completed" or not job.has_ended:
        _report(job, as_json)
        return
    if not as_json:
        _report(job, as_json)
    see = f"; `algoshelf sagemaker logs {name}` shows its log" if kind.log_group else ""
    raise TrainingError(f"{name}: {job.failure or _unsaid(job)}{see}")


def _unsaid(job: Any) -> str:
    """Why it has not completed, where AWS gives no reason of failure."""
    if job.description.get("SecondaryStatus") == "MaxRuntimeExceeded":
        return "AWS stopped it at the end of --max-run: give it more time"
    return "AWS gives no reason" if job.status == "Failed" else f"it is {job.status}"


def _report(job: Any, as_json: bool) -> None:
    found = _summary(job)
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        if isinstance(value, dict):
            for key, inner in value.items():
                click.echo(f"{key:<28}{inner}")
        elif value not in (None, ""):
            click.echo(f"{name.replace('_', ' '):<28}{value}")
    if job.kind.title == "training" and job.status == "Completed":
        _say("\nNext:")
        _say(f"  algoshelf sagemaker deploy {job.name}")
        _say(f"  aws s3 cp {found['model']} .")


def _summary(job: Any) -> dict[str, Any]:
    """What a person wants to know of the job, of whatever kind."""
    told = job.description
    found: dict[str, Any] = {"job": job.name, "kind": job.kind.title, "status": job.status}
    if "SecondaryStatus" in told and told["SecondaryStatus"] != job.status:
        found["doing"] = told["SecondaryStatus"]
    if job.failure:
        found["failure"] = job.failure
    resources = told.get("ResourceConfig") or told.get("TransformResources") or {}
    found["instance"] = resources.get("InstanceType")
    found["hosts"] = resources.get("InstanceCount")
    found["created"] = told.get("CreationTime")
    found["billed_seconds"] = told.get("BillableTimeInSeconds")
    found["model"] = told.get("ModelArtifacts", {}).get("S3ModelArtifacts")
    found["output"] = told.get("TransformOutput", {}).get("S3OutputPath")
    found["metrics"] = {
        each["MetricName"]: each["Value"] for each in told.get("FinalMetricDataList", ())
    }
    if "TrainingJobStatusCounters" in told:
        found["trainings"] = dict(told["TrainingJobStatusCounters"])
        best = told.get("BestTrainingJob", {})
        found["best"] = best.get("TrainingJobName")
        found["best_hyperparameters"] = dict(best.get("TunedHyperParameters", {}))
        objective = best.get("FinalHyperParameterTuningJobObjectiveMetric", {})
        found["metrics"] = {objective["MetricName"]: objective["Value"]} if objective else {}
    return {name: value for name, value in found.items() if value is not None}


@click.command()
@click.argument("job")
@account_options
@json_option
def status(job: str, region: str | None, profile: str | None, as_json: bool) -> None:
    """Show how JOB stands, a training, transform or tuning job."""
    from ...aws import jobs

    with open_account(region, profile, False) as account:
        _report(jobs.Job.find(account, job), as_json)


@click.command()
@click.argument("job")
@click.option("--follow", is_flag=True, help="Show what comes, until the job ends.")
@account_options
def logs(job: str, follow: bool, region: str | None, profile: str | None) -> None:
    """Show the log of JOB, a training or transform job; each host has its own."""
    from ...aws import jobs

    with open_account(region, profile, False) as account:
        found = jobs.Job.find(account, job)
        if not found.kind.log_group:
            raise InputError(f"{job}: is a tuning job: its trainings have logs; see `status {job}`")
        if follow:
            found.follow(click.echo)
            return
        count = 0
        for line in found.lines():
            click.echo(line)
            count += 1
        if not count:
            _say(f"{job}: its log is empty yet; it is {found.status}")


@click.command()
@click.argument("model")
@click.argument("source", metavar="INPUT")
@click.option("--instance", metavar="TYPE", required=True, help="Such as ml.m5.xlarge")
@click.option("--hosts", type=whole(1, 99), default=1, show_default=True)
@click.option("--role", metavar="ROLE", help="An ARN or a name [default: $ALGOSHELF_ROLE]")
@click.option("--image", metavar="URI", help="An image of your own in place of AWS's")
@click.option("--output", metavar="S3", help="Where the answers go [default: beside the jobs]")
@click.option("--content-type", help="Of every input [default: by the file's name]")
@click.option("--accept", help="The content type of the answers [default: JSON Lines, if offered]")
@click.option(
    "--split-type", type=click.Choice(SPLIT_TYPES),
    help="What a record is [default: by the content type]",
)  # fmt: skip
@click.option("--max-payload", type=SIZE, default="6MB", show_default=True, help="Of a request")
@click.option("--join-source", is_flag=True, help="Write each record together with its answer.")
@click.option("--name", metavar="NAME", help="Of the job [default: the algorithm's and the time]")
@click.option("--wait/--no-wait", default=True, help="Show the job's log until it ends, or not.")
@bucket_option
@account_options
@acting_options
@json_option
def transform(
    model: str,
    source: str,
    instance: str,
    hosts: int,
    role: str | None,
    image: str | None,
    output: str | None,
    content_type: str | None,
    accept: str | None,
    split_type: str | None,
    max_payload: int,
    join_source: bool,
    name: str | None,
    wait: bool,
    bucket_owner: str,
    region: str | None,
    profile: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Have MODEL answer each record of INPUT in a batch transform job.

    MODEL is a folder that `train` wrote, a model.tar.gz here or in S3, or a training job; INPUT a
    file or folder here, or in S3. The answers are in <output>/<input>.out.
    """
    from ...aws import checks, data, jobs, names, prices, removal, sdk, sources, tags

    checks.instance(instance, TRANSFORM)
    if output is not None:
        sdk.check_output(output)
    if name is not None and (fault := names.fault(name)):
        raise InputError(fault)
    if max_payload > MOST_PAYLOAD:
        raise InputError(f"--max-payload: AWS takes at most 100MB, got {max_payload:,} bytes")
    kind = content_type or _content_type(source)
    with open_account(region, profile, dry_run, bucket_owner) as account:
        if data.is_uri(source):
            data.check_uri(account, source)
        else:
            checks.not_empty(Path(source))
        with sources.model(account, model) as found:
            algorithm = found.entry.algorithm
            codecs.check_content_type(kind, algorithm.accepted())
            usual = codecs.JSONLINES if codecs.JSONLINES in algorithm.answered() else "*/*"
            answer = codecs.negotiate(accept or usual, algorithm.answered())
            session = sdk.Session(account)
            arn = sdk.execution_role(session, role)
            checks.quota(account, instance, TRANSFORM, hosts)
            job = name or sdk.job_name(algorithm.name)
            jobs.check_free(account, job, jobs.TRANSFORM)
            price = prices.find(instance, TRANSFORM, account.region)
            _say(f"{model} on {hosts} × {instance} in {account.region}, about {source}")
            cost = _say_price(price, instance)
            _say("  a transform job has no limit of time: it is billed until it has read all")
            if not account.dry:
                confirm(f"Start it, for {cost}?", yes)
            made = sdk.model(
                found,
                role=arn,
                image_uri=image,
                name=names.named(algorithm.name),
                session=session,
            )
        uri = source if data.is_uri(source) else data.upload(account, Path(source), "data")
        split = split_type or usual_split(kind)
        with jobs.starting(account, job, jobs.TRANSFORM, _say) as undo, explained():
            undo.making(
                f"model {made.name}",
                partial(removal.remove_model, account, made.name),
                f"aws sagemaker delete-model --model-name {made.name}",
                arn=partial(removal.model_arn, account, made.name),
            )
            transformer = made.transformer(
                hosts,
                instance,
                strategy="MultiRecord" if split != NONE else "SingleRecord",
                assemble_with="Line" if split == LINE else None,
                output_path=f"{output or sdk.root(account)}/transforms/{job}",
                accept=answer,
                max_payload=-(-max_payload // 2**20),
                tags=tags.tags(algorithm.name, account.run),
            )
            transformer.transform(
                uri,
                content_type=kind,
                split_type=SPLITS[split],
                join_source="Input" if join_source else None,
                job_name=job,
                wait=False,
                logs=False,
            )
        ended = account.dry
        try:
            if not account.dry:
                _shown(account, jobs.TRANSFORM, job, wait=wait, as_json=as_json)
                ended = wait
        except TrainingError:
            ended = True
            raise
        finally:
            if ended:  # nothing else needs the model
                removal.remove_own_model(account, made.name)


SPLITS = {LINE: "Line", RECORDIO: "RecordIO", NONE: None}


def _content_type(source: str) -> str:
    """By the name of the file, or of the first in the folder."""
    path = Path(source)
    if path.is_dir():
        path = next(iter(walk(path).files.values()), path)
    try:
        return codecs.content_type_of(path)
    except PayloadError as error:
        raise InputError(f"{error}") from None


def _say(text: str) -> None:
    click.echo(text, err=True)
