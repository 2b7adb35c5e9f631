"""``web MODEL|ENDPOINT``: the review app, as a stack for AWS or on this machine."""

from __future__ import annotations

import logging
import shlex
import sys
from pathlib import Path

import click

from ...core.artifact import engines
from ...core.artifact.folder import Artifact
from ...core.artifact.metadata import METADATA
from ...core.runtime.errors import InputError
from ...core.serving import admission
from ..discovery import Entry, catalog, opened
from .flags import ABOVE_0, PATH, SectionedCommand, whole
from .output import json_option, print_json, say

KEPT = Path("corrections.jsonl")
PASSWORD = "--password-file"


@click.command(cls=SectionedCommand)
@click.argument("what", metavar="MODEL|ENDPOINT")
@click.option(
    "--output", type=PATH, metavar="DIR",
    help="Write the stack to this folder, which must be new or empty.",
)  # fmt: skip
@click.option(
    "--local", is_flag=True,
    help="Run the app on this machine instead, with `algoshelf serve` as the endpoint of MODEL.",
)  # fmt: skip
@click.option(
    "--password-file", type=PATH, metavar="FILE",
    help="Ask for the password in FILE, of 16 characters or more. [default: anybody may ask]",
)  # fmt: skip
@click.option(
    "--alarm-usd", type=ABOVE_0, metavar="USD",
    help="An alarm goes off at so many requests a day as cost USD a month. [default: 5]",
)  # fmt: skip
@click.option(
    "--host", metavar="IP", help="With --local: IP address to listen on. [default: 127.0.0.1]"
)
@click.option(
    "--port", type=whole(0, 65535), metavar="N",
    help="With --local: port to listen on; 0 picks a free one. [default: 8090]",
)  # fmt: skip
@click.option(
    "--corrections", type=PATH, metavar="FILE",
    help=f"With --local: append corrections to FILE. [default: {KEPT}]",
)  # fmt: skip
@click.option(
    "--engine", type=click.Choice(engines.ENGINES),
    help="With --local: what computes the answers. [default: auto]",
)  # fmt: skip
@click.option(
    "--workers", type=whole(1, 256), metavar="N",
    help="With --local: number of worker processes. [default: one per CPU core]",
)  # fmt: skip
@json_option
def web(
    what: str,
    output: Path | None,
    local: bool,
    password_file: Path | None,
    alarm_usd: float | None,
    host: str | None,
    port: int | None,
    corrections: Path | None,
    engine: str | None,
    workers: int | None,
    as_json: bool,
) -> None:
    """Make the review app: a page on which people type a text, read the verdict, and correct it.

    The stack that --output writes is a page, a function of AWS Lambda and an API; `algoshelf
    sagemaker web deploy DIR` deploys it. Of ENDPOINT, the name of an endpoint of SageMaker, the
    function asks that endpoint. Of MODEL, a folder written by `algoshelf train`, the function
    holds the model itself, by ONNX Runtime, and nothing is paid while nobody asks.

    Example: algoshelf web models/text-classification --local
    """
    if local == (output is not None):
        raise InputError("expected either --output DIR or --local")
    elsewhere = {
        "--host": host, "--port": port, "--corrections": corrections, "--engine": engine,
        "--workers": workers,
    } if not local else {"--alarm-usd": alarm_usd, "--json": as_json or None}  # fmt: skip
    faults = [
        f"{option}: applies {'to --output' if local else 'to --local'} only"
        for option, given in elsewhere.items()
        if given is not None
    ]
    if faults:
        raise InputError(*faults)
    token = admission.read_token(password_file, PASSWORD) if password_file else b""
    found = _model(what)
    if output is not None:
        _write(what, found, output, token, 5.0 if alarm_usd is None else alarm_usd, as_json)
        return
    if found is None:
        raise InputError(
            f"{what}: --local serves a MODEL, a folder written by `algoshelf train`, and there is "
            "none here"
        )
    _run(found, host, port, corrections, token, engine, workers)


def _model(what: str) -> tuple[Entry, Artifact] | None:
    """The model in the folder ``what``; None where that is the name of an endpoint.

    Raises InputError where it is neither, or a model that is not asked about texts.
    """
    from ..aws import names
    from ..web import stack

    if (Path(what) / METADATA).is_file() or not names.is_name(what) or Path(what).is_dir():
        artifact, algorithm = opened(Path(what))
        entry = catalog().get(algorithm.name)
        stack.check_texts(entry, artifact)
        return entry, artifact
    return None


def _write(
    what: str,
    found: tuple[Entry, Artifact] | None,
    output: Path,
    token: bytes,
    usd: float,
    as_json: bool,
) -> None:
    from ..web import prices, stack
    from ..web.template import Stack

    password = stack.digest(token)
    if found is None:
        say(f"{what}: no folder of this name is a model: writing the app of the endpoint {what}")
        wanted = Stack(what, "", what, password, usd)
        stack.write_for_endpoint(wanted, output)
    else:
        entry, artifact = found
        wanted = Stack(_called(artifact), entry.algorithm.name, "", password, usd)
        stack.write_with_model(wanted, entry, artifact, output)
    million = 1e6 * prices.of_request(wanted.memory, wanted.machine)
    files = sorted(path.name for path in output.iterdir())
    if as_json:
        print_json(
            {
                "model": wanted.model,
                "endpoint": wanted.endpoint or None,
                "output": str(output),
                "files": files,
                "password": bool(password),
                "usd_per_million_requests": round(million, 2),
                "alarm_usd_per_month": usd,
            }
        )
        return
    folder = shlex.quote(str(output))
    click.echo(f"the app of {wanted.model} is in {output}: {', '.join(files)}")
    click.echo(f"A million requests cost about {million:.2f} USD in {prices.REGION}. Next:")
    click.echo(f"  algoshelf sagemaker web deploy {folder}")


def _run(
    found: tuple[Entry, Artifact],
    host: str | None,
    port: int | None,
    kept: Path | None,
    token: bytes,
    engine: str | None,
    workers: int | None,
) -> None:
    from ..web import local, stack

    _, artifact = found
    options = ["--engine", engine] if engine else []
    options += ["--workers", str(workers)] if workers else []
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    local.run(
        artifact.folder,
        _called(artifact),
        stack.example(artifact),
        host=host or "127.0.0.1",
        port=8090 if port is None else port,
        kept=kept or KEPT,
        password=stack.digest(token),
        options=options,
        say=say,
    )


def _called(artifact: Artifact) -> str:
    """How the model is called on the page: as its folder, or else as its algorithm."""
    return artifact.folder.absolute().name or artifact.metadata.algorithm
