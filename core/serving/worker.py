"""A worker process: it holds one copy of each model and computes one batch at a time.

    python -m algoshelf.core.serving.worker DESCRIPTOR DEVICE LIMITS

DESCRIPTOR is a socket on which the server sends messages: ``load`` a model, ``unload`` it,
``answer`` a batch, ``go_on`` with one. A batch that is not done after TURN_SECONDS is left: the
worker sends the replies that are ready, and is free for another one. LIMITS is JSON: what a request
may cost, and the ledger of decoded bytes. A worker ends with the server.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import logging
import os
import socket
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generator, Iterator

from ..algorithm.base import Algorithm
from ..artifact.folder import Model
from ..inference.answers import ask, best, close, rows_of
from ..inference.requests import Answering, Replies, Reply, Request
from ..runtime import mx
from ..runtime.bounds import Account, Bounds, Ledger
from ..runtime.children import die_with_parent
from ..runtime.devices import parse_devices
from ..runtime.errors import AlgoshelfError, ArtifactError
from ..runtime.printable import guard_streams
from ..runtime.types import Context, HybridBlock
from .sized import sized
from .wire import Message, messages, pack

log = logging.getLogger(__name__)

RAGGED_LENGTH = 8
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
        self._models: dict[str, Answering] = {}
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
            loaded = load(algorithm, Path(folder), device)
        except AlgoshelfError as error:
            return {"error": [error.code, str(error)]}
        except Exception as error:
            log.exception("%s does not load", folder)
            return {"error": [ArtifactError.code, f"{folder}: does not load: {error}"]}
        self._models[key] = Answering(*loaded, self._bounds, self._account)
        return {"seconds": time.monotonic() - start}


def load(algorithm: str, folder: Path, device: str) -> tuple[Algorithm[Any], Model]:
    """The model in ``folder``, which has answered its own example; ``algorithm`` is module:class.

    Raises ArtifactError where it cannot.
    """
    module, _, name = algorithm.partition(":")
    maker: Algorithm[Any] = getattr(importlib.import_module(module), name)()
    (context,) = parse_devices(device)
    model = maker.model_fn(folder, context)
    expected = _own_answer(maker, model)
    if context.device_type == "cpu":
        quick = replace(model, block=_quick(maker, folder, context, model))
        if close(_own_answer(maker, quick), expected):
            model = quick
        else:
            log.warning("%s: fused operators answer differently: they are not used", folder)
    _collect()
    return maker, model


def _own_answer(algorithm: Algorithm[Any], model: Model) -> Any:
    example = model.metadata.example
    accept = best(algorithm.answered())
    try:
        body = ask(algorithm, model, example.body.encode(), example.content_type, accept)
        return rows_of(body, accept)
    except Exception as error:
        raise ArtifactError(f"the model does not answer its own example: {error}") from error


def _quick(maker: Algorithm[Any], folder: Path, context: Context, model: Model) -> Any:
    """The network with convolution, batch normalization and activation as one operator of oneDNN,
    and ready for batches of several sizes unless its examples differ in length.
    """
    signature = model.metadata.input
    shape = (1, *(size or RAGGED_LENGTH for size in signature.shape[1:]))
    example = mx.nd.zeros(shape, dtype=signature.dtype)

    def fused() -> HybridBlock:
        block = maker.model_fn(folder, context).block
        fixed = not signature.is_ragged
        try:
            block.optimize_for(example, backend="MKLDNN", static_alloc=True, static_shape=fixed)
        except mx.base.MXNetError:
            log.debug("the network is not fused", exc_info=True)
        return block

    return fused() if signature.is_ragged else sized(fused, example, model.fit)


def _collect() -> None:
    """Free what is not reached, and look no more at what stays."""
    gc.collect()
    gc.freeze()


def _load_mxnet() -> None:
    """Import mxnet; on the processor its operators run in this thread, one after the other.

    Handing each to a thread of its own and waiting for it took half as long as computing it.
    """
    if sys.argv[2] == "cpu":
        os.environ["MXNET_ENGINE_TYPE"] = "NaiveEngine"
    with _silence():  # which engine it uses
        mx.load()
        mx.nd.waitall()


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
    limits = json.loads(sys.argv[3])
    ledger = Ledger(limits["workers"], limits["decoded"], limits["ledger"])
    worker = Worker(Bounds(**limits["bounds"]), Account(ledger, limits["index"]))
    with socket.socket(fileno=int(sys.argv[1])) as connection, contextlib.suppress(
        BrokenPipeError,
        ConnectionResetError,  # the server has gone first
    ):
        try:
            _load_mxnet()
        except AlgoshelfError as error:
            connection.sendall(pack({"error": [error.code, str(error)]}))
            return
        connection.sendall(pack({}))
        for message in messages(connection):
            connection.sendall(worker.handle(message))


if __name__ == "__main__":
    main()
