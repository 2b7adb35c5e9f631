"""``sagemaker models ENDPOINT``: the models behind a multi-model endpoint, more or fewer."""

from __future__ import annotations

from typing import Any

import click

from ....core.runtime.errors import InputError
from ...aws import multi, sources
from ...aws.names import slug
from ..flags import account_options, acting_options, bucket_option
from ..output import console, json_option, print_json, print_table, say
from .common import account, confirm
from .deploy import named_model
from .endpoints import image_option, iso


@click.command()
@click.argument("endpoint")
@click.option(
    "--add", "added", multiple=True, metavar="MODEL[=NAME]",
    help="Add MODEL, or put it in place of the one of that NAME. May be repeated. [default of "
    "NAME: the algorithm's]",
)  # fmt: skip
@click.option(
    "--remove", "removed", multiple=True, metavar="NAME",
    help="Remove the model NAME. May be repeated.",
)  # fmt: skip
@image_option
@bucket_option
@account_options
@acting_options
@json_option
def models(
    endpoint: str,
    added: tuple[str, ...],
    removed: tuple[str, ...],
    image: str,
    bucket_owner: str,
    region: str | None,
    profile: str | None,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Show the models behind ENDPOINT, which `deploy --multi-model` made; add and remove some.

    What is added answers at once. An instance that has loaded a model answers with it for a while
    after it was removed or replaced, until it needs the memory: to be sure, add a new version under
    a new NAME.
    """
    with account(region, profile, dry_run, bucket_owner) as acting:
        place = multi.of_endpoint(acting, endpoint)
        there = {each["name"] for each in multi.listed(acting, place)}
        unknown = [name for name in removed if name not in there]
        if unknown:
            names = ", ".join(sorted(there)) or "none"
            raise InputError(*(f"--remove {name}: there are {names}" for name in unknown))
        planned = [(model, name, sources.checked(acting, model, image).algorithm)
                   for model, name in map(named_model, added)]  # fmt: skip
        calling = {name or slug(algorithm, 60): model for model, name, algorithm in planned}
        for name, model in calling.items():
            say(f"{'replaces' if name in there else 'adds'} {name}: {model}")
        for name in removed:
            say(f"removes {name}")
        if (added or removed) and not dry_run:
            confirm(f"Change the models of {endpoint}?", yes)
        for name, model in calling.items():
            multi.put(acting, place, name, sources.found(acting, model, image).uri)
        for name in removed:
            multi.remove(acting, place, name)
        left = list(multi.listed(acting, place))
    if not dry_run:
        _show(endpoint, left, as_json)


def _show(endpoint: str, found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        listed = [{**each, "changed": iso(each["changed"])} for each in found]
        print_json({"endpoint": endpoint, "models": listed})
        return
    rows = [
        [each["name"], each["target_model"], f"{each['bytes'] / 2**20:,.1f} MiB",
         iso(each["changed"])]
        for each in found
    ]  # fmt: skip
    print_table(console(), ["NAME", "--target-model", "SIZE", "CHANGED"], rows)
