"""``doctor``: whether this machine has what algoshelf needs, and what to do where it has not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Sequence

import click

from ..doctor import FAILED, UNKNOWN, WARNING, Check, is_well, machine
from .output import json_option, print_json, say


@click.command()
@click.option("--quick", is_flag=True, help="Leave out the self-test.")
@json_option
def doctor(quick: bool, as_json: bool) -> None:
    """Check this machine: Python, mxnet, processors, GPUs, extras and disk, and say what to do.

    The self-test trains a little of every network on each GPU and on the processor, in mixed
    precision and through MXNet's KVStore too, and compares what they learned and answer; without a
    GPU it compares two contexts of the processor. The exit code is 1 if something failed.
    """
    found = []
    for check in machine.checks(Path()):
        found.append(check)
        if not as_json:
            show(check)
    comparisons = []
    if not quick:
        if not as_json:
            say("The self-test takes some seconds.")
        check, comparisons = machine.self_test()
        found.append(check)
        if not as_json:
            show(check)
            for each in comparisons:
                if each["status"] == "failed":
                    click.echo(f"{'':<24}{each['name']}: {each['reason']} {_apart(each)}")
    finish(found, as_json, comparisons=comparisons)


def _apart(comparison: dict[str, object]) -> str:
    where = comparison["where"]
    return f"({where}: {comparison['deviation']:.2g} of its norm)" if where else ""


def show(check: Check) -> None:
    """A line, and below it what to do."""
    click.echo(f"{check.status:<9}{check.name:<15}{check.text}")
    if check.fix:
        click.echo(f"{'':<24}{check.fix}")


def finish(found: Sequence[Check], as_json: bool, **more: object) -> None:
    """Say how it stands, and exit with 1 if something failed."""
    well = is_well(found)
    if as_json:
        print_json({"ok": well, "checks": [check.document() for check in found], **more})
    else:
        failed = sum(check.status == FAILED for check in found)
        doubtful = sum(check.status in (WARNING, UNKNOWN) for check in found)
        end = f"{failed} failed" if failed else "nothing failed"
        click.echo(f"\n{end}" + (f", {doubtful} to be looked at" if doubtful else ""))
    if not well:
        sys.exit(1)
