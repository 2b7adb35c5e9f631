"""``serve``: answer over HTTP, as SageMaker asks its containers to."""

from __future__ import annotations

import logging
import shlex
import sys
from pathlib import Path
from typing import Any, Callable

import click

from ...core import container
from ...core.artifact import Artifact, Metadata
from ...core.errors import InputError, MissingDependencyError
from ...core.runtime.cores import cores
from ...core.serving import sizing
from ...core.training.run import parse_duration
from ..discovery import opened

INSTALL_HINT = "serving needs uvicorn and more: pip install 'algoshelf[serve]'"
MOST_EXAMPLE_CHARACTERS = 300
# What SageMaker allows a batch transform: the size of a request, the time to an answer.
MOST_BATCH_PAYLOAD, BATCH_SECONDS = 100 * 2**20, 600.0


class Parsed(click.ParamType):  # type: ignore[type-arg, unused-ignore]
    """A parameter that a function reads from text, and refuses by ValueError."""

    def __init__(self, name: str, parse: Callable[[str], Any], expected: str) -> None:
        self.name = name
        self._parse = parse
        self._expected = expected

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except ValueError:
            self.fail(f"expected {self._expected}, got {value!r}", param, ctx)


SIZE = Parsed("size", sizing.parse_size, "a size such as 6MB")
DURATION = Parsed("duration", parse_duration, "a time such as 2ms, 60s or 5m")


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL | NAME=MODEL ...]")
@click.option("--host", help="Address to listen at [default: 127.0.0.1; in a container, all]")
@click.option(
    "--port", type=click.IntRange(0, 65535), envvar="SAGEMAKER_BIND_TO_PORT", default=8080,
    show_default=True, help="0 is any free one",
)  # fmt: skip
@click.option(
    "--workers", type=click.IntRange(1, 256), help="Processes [default: one a core or GPU]"
)
@click.option("--devices", default="auto", show_default=True, help=sizing.FORMS)
@click.option(
    "--max-payload", type=SIZE, default="6MB", show_default=True, help="Of a request's body"
)
@click.option(
    "--max-batch", type=click.IntRange(1, 4096), default=32, show_default=True,
    help="Requests that are computed at once",
)  # fmt: skip
@click.option(
    "--max-delay", type=DURATION, default="2ms", show_default=True,
    help="That a request waits for others, under load",
)  # fmt: skip
@click.option(
    "--max-queue", type=click.IntRange(1), default=1000, show_default=True,
    help="Requests that may wait; more are told to come again",
)  # fmt: skip
@click.option(
    "--timeout", type=DURATION, default="60s", show_default=True, help="Of a request, in all"
)
@click.option(
    "--multi-model", is_flag=True, envvar="SAGEMAKER_MULTI_MODEL",
    help="Let requests load, replace and unload models",
)  # fmt: skip
def serve(
    models: tuple[str, ...],
    host: str | None,
    port: int,
    workers: int | None,
    devices: str,
    max_payload: int,
    max_batch: int,
    max_delay: float,
    max_queue: int,
    timeout: float,
    multi_model: bool,
) -> None:
    """Answer requests for each MODEL over HTTP; without any, as a SageMaker container does.

    GET /openapi.json of the running server says what it takes. SIGTERM and Ctrl-C end it when what
    is in flight is answered; SIGHUP reads the models anew.
    """
    try:
        from ...core.serving import pool, server
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"{INSTALL_HINT} ({error.name} is missing)") from None
    if not models:
        host = host or "0.0.0.0"
    batch = container.batch_transform()
    if batch is not None:
        max_payload, timeout = batch.max_payload or MOST_BATCH_PAYLOAD, BATCH_SECONDS
    folders = _named(models, multi_model)
    found = {name: opened(folder) for name, folder in folders.items()}
    on = sizing.devices(devices)
    count = sizing.workers(workers, on, list(folders.values()))
    threads = max(1, cores() // count)
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    listening = server.listen(host or "127.0.0.1", port)
    address = _address(listening)
    click.echo(f"loading {', '.join(folders) or 'no model yet'} at {address}", err=True)

    def tell() -> None:
        click.echo(
            f"ready at {address}: {count} worker{'s' * (count > 1)} on {', '.join(on)}, "
            f"{threads} thread{'s' * (threads > 1)} each; Ctrl-C ends it",
            err=True,
        )
        for name, (artifact, _) in found.items():
            path = "/invocations" if len(found) == 1 else f"/models/{name}/invoke"
            click.echo(_curl(f"{address}{path}", artifact.metadata), err=True)

    options = pool.Options(
        workers=count,
        threads=threads,
        devices=tuple(on),
        max_batch=max_batch,
        max_delay=max_delay,
        timeout=timeout,
        max_queue=max_queue,
        max_payload=max_payload,
        manages=multi_model,
    )
    server.run(listening, folders, opened, options, tell)


def _named(models: tuple[str, ...], multi_model: bool) -> dict[str, Path]:
    """Folders by the names under which they are served."""
    if not models:
        folder = container.base() / "model"
        if multi_model:
            return {}
        if not folder.is_dir():
            raise InputError(
                f"no MODEL: give a folder that `algoshelf train` wrote (a container has {folder})"
            )
        return {"model": folder}
    named: dict[str, Path] = {}
    for text in models:
        name, separator, folder_name = text.partition("=")
        is_named = bool(separator) and "/" not in name  # ./a=b is a folder
        folder = Path(folder_name if is_named else text)
        if not is_named:
            name = Artifact.open(folder).metadata.algorithm
        if not sizing.MODEL_NAME.fullmatch(name):
            raise InputError(f"{text}: a model's name is {sizing.MODEL_NAME.pattern}")
        if name in named:
            raise InputError(f"two models are named {name}: give NAME=MODEL")
        named[name] = folder.absolute()
    return named


def _address(listening: Any) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _curl(url: str, metadata: Metadata) -> str:
    """A command that asks the model about its own example."""
    example = metadata.example
    short = len(example.body) <= MOST_EXAMPLE_CHARACTERS
    body = shlex.quote(example.body) if short else "@FILE"
    return f"curl {url} -H 'Content-Type: {example.content_type}' --data-binary {body}"
