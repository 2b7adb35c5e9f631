"""A worker process: it holds one copy of each model and computes one batch at a time.

    python -m algoshelf.core.serving.worker DESCRIPTOR LEDGER

DESCRIPTOR is a socket on which the server sends messages: first what a request may cost, then
``load`` a model, ``unload`` it, ``answer`` a batch, ``go_on`` with one. A batch that is not done
after TURN_SECONDS is left: the worker sends the replies that are ready, and is free for another
one. LEDGER is the memory in which all workers enter their decoded bytes. A worker ends with the
server.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import socket
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generator, Iterator

from ..algorithm.base import Algorithm
from ..artifact.engines import ONNX
from ..inference.answers import is_close, parsed_rows, preferred_type
from ..inference.handlers import Handlers
from ..inference.requests import Replies, Reply, Request, RequestBatcher
from ..runtime import mx
from ..runtime.bounds import Account, Bounds, Ledger
from ..runtime.children import die_with_parent, named
from ..runtime.devices import parse_devices
from ..runtime.errors import AlgoshelfError, ArtifactError
from ..runtime.printable import guard_streams
from ..runtime.types import Context
from .wire import Message, messages, pack

log = logging.getLogger(__name__)

TURN_SECONDS = 0.1


@dataclass
class Batch:
    """Requests that are being answered, ``missing`` yet to be; for ``gone`` nobody waits."""

    steps: Generator[Replies, None, None]
    missing: int
    gone: set[int] = field(default_factory=set)


class Worker:
    """Models by key, and what the server may have done with them."""

    def __init__(self, bounds: Bounds, account: Account) -> None:
        self._bounds = bounds
        self._account = account
        self._models: dict[str, RequestBatcher] = {}
        self._left: dict[int, Batch] = {}

    def handle(self, message: Message) -> bytes:
        """What is sent back for ``message``."""
        header = message.header
        if header["do"] == "load":
            return pack(self._load(**header["model"]))
        if header["do"] == "unload":
            self._models.pop(header["key"], None)
            gc.unfreeze()  # a network is a cycle, and what is frozen is never collected
            _collect()
            return pack({})
        if header["do"] == "go_on":
            batch = self._left.pop(header["batch"])
            batch.gone.update(header["gone"])
            return self._turn(header["batch"], batch, keep=True)
        requests = [Request(body, *kind) for body, kind in zip(message.bodies, header["kinds"])]
        gone: set[int] = set()
        steps = self._models[header["key"]].steps(requests, gone)
        return self._turn(header["batch"], Batch(steps, len(requests), gone), header["keep"])

    def _turn(self, number: int, batch: Batch, keep: bool) -> bytes:
        """Go on with a batch for TURN_SECONDS. What is not done then is kept, or given up."""
        end = time.monotonic() + TURN_SECONDS
        ready: list[tuple[int, Reply]] = []
        rest = False
        for replies in batch.steps:
            ready += replies
            rest = time.monotonic() > end and len(ready) < batch.missing
            if rest:
                break
        batch.missing -= len(ready)
        if rest and keep:
            self._left[number] = batch
        else:
            batch.steps.close()
        header = {
            "replies": [[index, reply.status, reply.content_type] for index, reply in ready],
            "rest": rest,
            "kept": rest and keep,
        }
        return pack(header, [reply.body for _, reply in ready])

    def _load(self, key: str, algorithm: str, folder: str, device: str) -> dict[str, Any]:
        """Load a model, and prove it by its own example."""
        start = time.monotonic()
        try:
            handlers = load(algorithm, Path(folder), device)
        except AlgoshelfError as error:
            return {"error": [error.code, str(error)]}
        except Exception as error:
            log.exception("%s does not load", folder)
            return {"error": [ArtifactError.code, f"{folder}: does not load: {error}"]}
        self._models[key] = RequestBatcher(handlers, self._bounds, self._account)
        return {"seconds": time.monotonic() - start}


def load(algorithm: str, folder: Path, device: str) -> Handlers:
    """The model in ``folder``, which has answered its own example; ``algorithm`` is module:class.

    Raises ArtifactError where it cannot.
    """
    maker: Algorithm[Any] = named(algorithm)()
    context = device if device == ONNX else _mxnet_device(device)
    plain = Handlers.load(maker, folder, context)
    expected = _own_rows(plain)
    tuned = Handlers(maker, plain.model.tuned(lambda: maker.model_fn(folder, context)))
    found = plain
    if tuned.model is not plain.model:
        if is_close(_own_rows(tuned), expected):
            found = tuned
        else:
            log.warning("%s: fused operators answer differently: they are not used", folder)
    _collect()
    return found


def _own_rows(handlers: Handlers) -> Any:
    accept = preferred_type(handlers.algorithm.response_media_types())
    try:
        return parsed_rows(handlers.example_response(accept), accept)
    except Exception as error:
        raise ArtifactError(f"the model does not answer its own example: {error}") from error


def _collect() -> None:
    """Free what is not reached, and look no more at what stays."""
    gc.collect()
    gc.freeze()


def _mxnet_device(device: str) -> Context:
    """Where mxnet computes; on the processor its operators run in this thread, one after the other.

    Handing each to a thread of its own and waiting for it took half as long as computing it.
    """
    if device == "cpu":
        os.environ["MXNET_ENGINE_TYPE"] = "NaiveEngine"
    with _silence():  # which engine it uses
        mx.load()
        mx.nd.waitall()
    (context,) = parse_devices(device)
    return context


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Nothing on stderr, not even from mxnet's C++."""
    kept = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def main() -> None:
    die_with_parent()
    guard_streams()
    logging.basicConfig(format="worker: %(message)s", level=logging.INFO, stream=sys.stderr)
    with socket.socket(fileno=int(sys.argv[1])) as connection, contextlib.suppress(
        BrokenPipeError,
        ConnectionResetError,  # the server has gone first
        StopIteration,
    ):
        received = messages(connection)
        worker = _told(next(received).header, int(sys.argv[2]))
        connection.sendall(pack({}))
        for message in received:
            connection.sendall(worker.handle(message))


def _told(limits: dict[str, Any], ledger: int) -> Worker:
    """The worker that is told what a request may cost, and has the descriptor of the ledger."""
    cells = Ledger(limits["workers"], limits["decoded"], ledger)
    return Worker(Bounds(**limits["bounds"]), Account(cells, limits["index"]))


if __name__ == "__main__":
    main()
