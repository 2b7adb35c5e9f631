"""``check NAME``: the conformance checks that every algorithm of the catalog passes."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

from ...core.artifact import engines
from ...core.artifact.folder import Artifact
from ...core.conformance import CHECKS, Battery, Finding
from ...core.runtime.errors import InputError, UnknownNameError, did_you_mean
from ..discovery import catalog
from ..flags import reserved
from .flags import PATH
from .output import json_option, print_json, say


@click.command()
@click.argument("name")
@click.option(
    "--only",
    multiple=True,
    metavar="CHECK",
    help="Run only this check and those it depends on. May be repeated.",
)
@click.option(
    "--channel",
    "given",
    multiple=True,
    metavar="NAME=PATH",
    help="Data of a channel, such as train=rows.csv. May be repeated. [default: the bundled "
    "sample]",
)
@click.option(
    "--model",
    type=PATH,
    metavar="DIR",
    help="Check the answers of this model of the algorithm, and train nothing: the way without "
    "mxnet, for a model that `algoshelf export` has written model.onnx for.",
)
@click.option(
    "--weights",
    metavar="NAME",
    help="Begin the trainings with these pretrained weights; `algoshelf weights list` shows them.",
)
@json_option
def check(
    name: str,
    only: tuple[str, ...],
    given: tuple[str, ...],
    model: Path | None,
    weights: str | None,
    as_json: bool,
) -> None:
    """Check that the algorithm NAME behaves as every algorithm must, and say what to change.

    This trains the algorithm several times on a part of its sample, unless --model is given. The
    exit code is 1 if a check fails.

    Example: algoshelf check my-algorithm
    """
    algorithm = catalog().get(name).algorithm
    _check_model(name, model)
    channels = _channels(given)
    wanted = _wanted(only)
    if weights is not None:
        from ..weights.choosing import WEIGHTS, chosen

        pretrained = chosen(algorithm, {**channels, WEIGHTS: weights})
        assert pretrained is not None  # they are named
        channels = pretrained.added_to(channels or algorithm.sample(), say)
    findings = []
    with Battery(algorithm, channels, reserved(), model) as battery:
        for each in wanted:
            finding = battery.run(each)
            findings.append(finding)
            if not as_json:
                _show(finding)
    passed = sum(finding.ok for finding in findings)
    failed = any(finding.status == "failed" for finding in findings)
    if as_json:
        print_json(
            {
                "algorithm": name,
                "ok": not failed,
                "checks": [finding.to_dict() for finding in findings],
            }
        )
    else:
        click.echo(f"\n{name}: {passed} of {len(findings)} checks passed")
    if failed:
        sys.exit(1)


def _check_model(name: str, model: Path | None) -> None:
    """Raise InputError where ``model`` is not one of the algorithm ``name``, and as
    ``engines.resolve`` does where nothing here could compute it.
    """
    if model is None:
        return
    made_by = Artifact.open(model).metadata.algorithm
    if made_by != name:
        raise InputError(
            f"--model: {model} was made by {made_by!r}: run `algoshelf check {made_by} --model "
            f"{shlex.quote(str(model))}`"
        )
    engines.resolve(engines.AUTO, model)


def _channels(given: tuple[str, ...]) -> dict[str, Path]:
    """The paths of ``--channel NAME=PATH``."""
    wrong = [f"--channel: expected NAME=PATH, got {text!r}" for text in given if "=" not in text]
    if wrong:
        raise InputError(*wrong)
    return {name: Path(path) for name, _, path in (text.partition("=") for text in given)}


def _wanted(only: tuple[str, ...]) -> list[str]:
    """The checks to run, in the order of the battery."""
    others = f"; there are {', '.join(CHECKS)}"
    unknown = [
        f"--only: no check {name!r}{did_you_mean(name, CHECKS) or others}"
        for name in only
        if name not in CHECKS
    ]
    if unknown:
        raise UnknownNameError(*unknown)
    return [name for name in CHECKS if not only or name in only]


def _show(finding: Finding) -> None:
    """A line, and below it each fault with what to change."""
    seconds = f"{finding.seconds:7.2f} s" if finding.status != "skipped" else " " * 9
    click.echo(f"{finding.status:<8}{finding.name:<28}{seconds}")
    if not finding.ok:
        click.echo(f"        {finding.holds}")
    for line in finding.advice.splitlines():
        click.echo(f"        {line}")
