"""What `serve` does with its options."""

from __future__ import annotations

import logging
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from ...core.artifact.folder import Artifact
from ...core.artifact.metadata import Metadata
from ...core.runtime import opt_ml as container
from ...core.runtime.cores import cores
from ...core.runtime.errors import InputError, MissingDependencyError
from ...core.runtime.printable import is_printable
from ...core.serving import admission, sizing
from ...core.serving.begun import First
from ..discovery import opened

INSTALL_HINT = "serving needs more packages: pip install 'algoshelf[serve]'"
MAX_EXAMPLE_CHARACTERS = 300
# What SageMaker allows a batch transform: the size of a request, the time to an answer.
MAX_BATCH_PAYLOAD, BATCH_SECONDS = 100 * 2**20, 600.0
# Whose input is the job's own, divided by bytes alone: as many as the smallest records there are.
MAX_BATCH_EXAMPLES = MAX_BATCH_PAYLOAD // 2


def run(
    first: First,
    *,
    models: tuple[str, ...],
    host: str | None,
    port: int,
    workers: int | None,
    engine: str,
    devices: str,
    max_payload: int,
    max_examples: int,
    max_batch: int,
    max_delay: float,
    max_queue: int,
    timeout: float,
    folder: Path | None,
    max_models: int | None,
    multi_model: bool,
    model_root: Path | None,
    allowed_hosts: str,
    token_file: Path | None,
    page: bool | None,
    capture: Path | None,
    capture_percent: int,
    capture_size: int,
) -> None:
    """Serve until it is told to stop; ``first`` is a worker that has been begun.

    Raises InputError, and what a model that does not load raises.
    """
    try:
        from ...core.serving import server
        from ...core.serving.options import MAX_MODELS, Options
    except ModuleNotFoundError as error:
        raise MissingDependencyError(f"{INSTALL_HINT} ({error.name} is missing)") from None
    if page is None:
        page = bool(models)
    _check_folder(folder, max_models, models)
    if not models and folder is None:  # in a container, whose host decides who may ask
        host = host or "0.0.0.0"
        allowed_hosts = allowed_hosts or admission.ANY
    if model_root is not None and not multi_model:
        raise InputError("--model-root works only with --multi-model: give both, or neither")
    if model_root is not None and not model_root.is_dir():
        raise InputError(f"--model-root: {model_root}: no such folder")
    token = admission.read_token(token_file) if token_file is not None else b""
    batch = container.batch_transform()
    if batch is not None:
        max_payload, timeout = batch.max_payload or MAX_BATCH_PAYLOAD, BATCH_SECONDS
        max_examples = max(max_examples, MAX_BATCH_EXAMPLES)
    folders = {} if folder is not None else _named(models, multi_model)
    found = {name: opened(folder) for name, folder in folders.items()}
    on = sizing.devices(devices, engine)
    count = sizing.workers(workers, on, list(folders.values()), engine)
    threads = max(1, cores() // count)
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    listening = server.listen(host or "127.0.0.1", port)
    address = _address(listening)
    if folder is not None:
        click.echo(f"serving the models in {folder}, each loaded when it is asked", err=True)
    else:
        click.echo(f"loading {', '.join(folders) or 'no model yet'} at {address}", err=True)

    def tell() -> None:
        click.echo(
            f"ready at {address}: {count} worker{'s' * (count > 1)} on {', '.join(on)}, "
            f"{threads} thread{'s' * (threads > 1)} each; Ctrl-C ends it",
            err=True,
        )
        for name, (artifact, _) in found.items():
            path = "/invocations" if len(found) == 1 else f"/models/{name}/invoke"
            click.echo(_curl(f"{address}{path}", artifact.metadata, token=bool(token)), err=True)
        if folder is not None:
            click.echo(f"ask them at {address}/models/NAME/invoke", err=True)
        if page:
            click.echo(f"or open {address}/ in a browser, to ask by hand", err=True)

    options = Options(
        workers=count,
        threads=threads,
        engine=engine,
        devices=tuple(on),
        max_batch=max_batch,
        max_delay=max_delay,
        timeout=timeout,
        max_queue=max_queue,
        max_payload=max_payload,
        max_examples=max_examples,
        manages=multi_model,
        roots=_roots(model_root or folder, folders),
        folder=None if folder is None else folder.absolute(),
        max_models=max_models or MAX_MODELS,
        hosts=admission.allowed_hosts(allowed_hosts, host),
        token=token,
        page=page,
        capture=capture,
        capture_percent=capture_percent,
        capture_bytes=capture_size,
    )
    server.run(listening, folders, opened, options, tell, first)


def _check_folder(folder: Path | None, max_models: int | None, models: tuple[str, ...]) -> None:
    """Raises InputError where --models cannot be served."""
    if folder is None:
        if max_models is not None:
            raise InputError("--max-models works only with --models: give both, or neither")
        return
    if models:
        raise InputError("give either MODEL or --models, which serves the models of a folder")
    if not folder.is_dir():
        raise InputError(f"--models: {folder}: no such folder")


def _named(models: tuple[str, ...], multi_model: bool) -> dict[str, Path]:
    """Folders by the names under which they are served."""
    if not models:
        folder = container.base() / "model"
        if multi_model:
            return {}
        if not folder.is_dir():
            raise InputError(
                f"no MODEL: give a folder written by `algoshelf train` (in a SageMaker container, "
                f"the default is {folder})"
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
            raise InputError(
                f"{text}: expected letters, digits, '.', '_' and '-' as the model's name, at "
                "most 128"
            )
        if name in named:
            raise InputError(f"two models are named {name}: give NAME=MODEL")
        named[name] = folder.absolute()
    return named


def _address(listening: Any) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _roots(root: Path | None, folders: dict[str, Path]) -> tuple[Path, ...]:
    """From where models may be loaded by request."""
    if root is not None:
        return (root.absolute(),)
    beside = tuple(dict.fromkeys(folder.parent for folder in folders.values()))
    return beside or (container.base(),)


def _curl(url: str, metadata: Metadata, *, token: bool) -> str:
    """A command that asks the model about its own example; all that it is given is quoted."""
    example = metadata.example
    words = ["curl", url]
    if is_printable(example.content_type):
        words += ["-H", f"Content-Type: {example.content_type}"]
    if token:
        words += ["-H", "Authorization: Bearer TOKEN"]
    body = example.body.rstrip("\n")
    short = len(body) <= MAX_EXAMPLE_CHARACTERS and is_printable(body)
    # A body that begins with @ would be the name of a file, which curl sends.
    words += ["--data-binary", body if short and not body.startswith("@") else "@FILE"]
    return " ".join(map(shlex.quote, words))
