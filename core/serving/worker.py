"""A worker: a process that holds one copy of each model, and answers batches one at a time.

    python -m algoshelf.core.serving.worker DESCRIPTOR DEVICE

DESCRIPTOR is a socket on which the server sends messages: ``load`` a model, ``unload`` it,
``answer`` a batch. A worker ends with the server.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import logging
import os
import socket
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator

from .. import mx
from ..algorithm import Algorithm
from ..answers import ask, best, close, rows_of
from ..artifact import Model
from ..errors import AlgoshelfError, ArtifactError
from ..training.devices import parse_devices
from ..training.launch import die_with_parent
from ..types import Context, HybridBlock
from .answering import Request, answer
from .sized import sized
from .wire import Message, messages, pack

log = logging.getLogger(__name__)

RAGGED_LENGTH = 8


class Worker:
    """Models by key, and what the server may have done with them."""

    def __init__(self) -> None:
        self._models: dict[str, tuple[Algorithm[Any], Model]] = {}

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
        algorithm, model = self._models[header["key"]]
        requests = [Request(body, *kind) for body, kind in zip(message.bodies, header["kinds"])]
        replies = answer(algorithm, model, requests)
        header = {"replies": [[reply.status, reply.content_type] for reply in replies]}
        return pack(header, [reply.body for reply in replies])

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
        self._models[key] = loaded
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
    logging.basicConfig(format="worker: %(message)s", level=logging.INFO, stream=sys.stderr)
    worker = Worker()
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
