"""``serve``: answer over HTTP, by SageMaker's contract for containers.

Here are its options alone: what they are for is imported when a worker has been begun.
"""

from __future__ import annotations

from typing import Any

import click

from ...core.runtime.bounds import MAX_EXAMPLES
from ...core.runtime.cores import cores
from ...core.serving import begun
from ...core.serving.sizing import FORMS
from .flags import DURATION, PATH, SIZE, SectionedCommand, engine_option, whole


@click.command(cls=SectionedCommand)
@click.argument("models", nargs=-1, metavar="[MODEL | NAME=MODEL ...]")
@click.option(
    "--host", help="IP address to listen on. [default: 127.0.0.1; in a SageMaker container, all]"
)
@click.option(
    "--port", type=whole(0, 65535), envvar="SAGEMAKER_BIND_TO_PORT", default=8080,
    show_default=True, help="Port to listen on; 0 picks a free one.",
)  # fmt: skip
@click.option(
    "--workers",
    type=whole(1, 256),
    help="Number of worker processes. [default: one per CPU core or GPU]",
)
@engine_option
@click.option(
    "--devices", default="auto", show_default=True, help=f"Devices of the workers: {FORMS}."
)
@click.option(
    "--max-payload",
    type=SIZE,
    default="6MB",
    show_default=True,
    help="Largest size of a request's body.",
)
@click.option(
    "--max-examples", type=whole(1), default=MAX_EXAMPLES, show_default=True,
    help="Largest number of examples in one request.",
)  # fmt: skip
@click.option(
    "--max-batch", type=whole(1, 4096), default=32, show_default=True,
    help="Largest number of requests computed together as one batch.",
)  # fmt: skip
@click.option(
    "--max-delay", type=DURATION, default="2ms", show_default=True,
    help="Longest time that a request waits under load for others to join its batch.",
)  # fmt: skip
@click.option(
    "--max-queue", type=whole(1), default=1000, show_default=True,
    help="Largest number of waiting requests; further ones get status 503 and should be retried.",
)  # fmt: skip
@click.option(
    "--timeout",
    type=DURATION,
    default="60s",
    show_default=True,
    help="Time allowed for one request in total.",
)
@click.option(
    "--models", "folder", type=PATH, metavar="FOLDER",
    help="In place of MODEL: serve each model folder in FOLDER by its name, loaded when it is "
    "first asked, at /models/NAME/invoke.",
)  # fmt: skip
@click.option(
    "--max-models", type=whole(1), metavar="N",
    help="With --models: the largest number of models that are loaded at a time. The one that was "
    "not asked for the longest time makes room, also where memory is short. [default: 100]",
)  # fmt: skip
@click.option(
    "--multi-model", is_flag=True, envvar="SAGEMAKER_MULTI_MODEL",
    help="Allow clients to load, replace and unload models over HTTP.",
)  # fmt: skip
@click.option(
    "--model-root", type=PATH, metavar="FOLDER",
    help="With --multi-model: the only folder from which clients may load models. [default: the "
    "folders that hold each MODEL; in a SageMaker container, /opt/ml]",
)  # fmt: skip
@click.option(
    "--allowed-hosts", default="", metavar="NAME,…",
    help="Host names that requests may use in their Host header; * allows any. "
    "[default: localhost and --host; in a SageMaker container, any]",
)  # fmt: skip
@click.option(
    "--token-file", type=PATH, metavar="FILE",
    help="Require the token in FILE from clients, as the header Authorization: Bearer TOKEN; /ping "
    "needs none.",
)  # fmt: skip
@click.option(
    "--capture", type=PATH, metavar="DIR",
    help="Keep requests and their answers in DIR, as SageMaker's data capture does, for "
    "`algoshelf drift`. They hold whatever people send. [default: nothing is kept]",
)  # fmt: skip
@click.option(
    "--capture-percent", type=whole(1, 100), default=100, show_default=True,
    help="With --capture: the percentage of requests that are kept.",
)  # fmt: skip
@click.option(
    "--capture-size", type=SIZE, default="1GB", show_default=True,
    help="With --capture: the largest size of all that is kept; the oldest files are removed.",
)  # fmt: skip
@click.option(
    "--page/--no-page", default=None,
    help="Offer a page for people at /, where a browser asks the models. [default: yes; without "
    "MODEL, as in a SageMaker container, no]",
)  # fmt: skip
def serve(workers: int | None, **given: Any) -> None:
    """Serve each MODEL, a folder written by `algoshelf train`, over HTTP.

    Without MODEL, serve what a SageMaker container finds in /opt/ml/model. GET /openapi.json of the
    running server describes its requests. SIGTERM and Ctrl-C stop it after the requests in flight
    are answered; SIGHUP reloads the models.

    Example: algoshelf serve digits=models/mnist-cnn --port 8080
    """
    with begun.first(cores() // min(workers or cores(), cores())) as first:
        from .serving import run

        run(first, workers=workers, **given)
