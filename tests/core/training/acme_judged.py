"""A plugin whose objective is as good as random, so that its best epoch is any; it may be slow.

Validations from number ACME_JUDGED_AT on never end by themselves where ACME_JUDGED_BLOCK says how:
"python" in Python, "native" in code that hears of no signal. Each says that it begins.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import sys
import threading
from pathlib import Path
from typing import Any, Mapping

import numpy as np
from algoshelf.core import (
    Array,
    ArrayDataset,
    Classifier,
    ContentType,
    Dataset,
    Evaluation,
    TrainingHyperparameters,
    codecs,
    hookimpl,
    mx,
    supervised_channels,
)

CLASSES = ("minus", "plus")
# The network's answers to all examples held out, a validation each.
seen: list[Array] = []


class AcmeJudged(Classifier[TrainingHyperparameters]):
    name = "acme-judged"
    task = "test"
    summary = "Tells rows apart, and is judged by chance."
    Hyperparameters = TrainingHyperparameters
    channels = supervised_channels("nothing that is read")
    accepts = (ContentType(codecs.JSON, "pictures"),)

    def dataset(
        self, path: Path, channel: str, hyperparameters: Any, encoding: Any = None
    ) -> Dataset:
        rng = np.random.default_rng(1)
        x = rng.normal(size=(100, 1, 6, 6)).astype(np.float32)
        return ArrayDataset(x, (x.mean(axis=(1, 2, 3)) > 0).astype(np.int32), CLASSES)

    def network(self, hyperparameters: TrainingHyperparameters, data: Any) -> Any:
        nn = mx.gluon.nn
        net = nn.HybridSequential()
        net.add(nn.Conv2D(8, 3), nn.BatchNorm(), nn.Activation("relu"), nn.Dropout(0.2))
        net.add(nn.Dense(2))
        return net

    def score(self, outputs: Array, data: Dataset) -> Evaluation:
        seen.append(outputs)
        at = int(os.environ.get("ACME_JUDGED_AT", "1"))
        if len(seen) >= at and "ACME_JUDGED_BLOCK" in os.environ:
            print("validating", file=sys.stderr, flush=True)
            block(os.environ["ACME_JUDGED_BLOCK"])
        digest = hashlib.sha256(outputs.tobytes()).digest()
        return Evaluation(len(data), {"accuracy": int.from_bytes(digest[:4], "big") / 2**32})


def block(how: str) -> None:
    if how == "python":
        threading.Event().wait(600)
    mutex = ctypes.create_string_buffer(64)  # PTHREAD_MUTEX_INITIALIZER
    for _ in range(2):  # whoever locks it twice waits for ever, whatever signal comes
        ctypes.CDLL(None).pthread_mutex_lock(mutex)


class AcmeUnjudged(AcmeJudged):
    """Its validation tells nothing of the objective."""

    name = "acme-unjudged"

    def score(self, outputs: Array, data: Dataset) -> Evaluation:
        seen.append(outputs)
        figures: Mapping[str, float] = {"spread": float(np.ptp(outputs))}
        return Evaluation(len(data), dict(figures))


@hookimpl
def algoshelf_algorithms() -> Any:
    return [AcmeJudged, AcmeUnjudged]
