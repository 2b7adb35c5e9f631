"""Gradients of embeddings, dense or row_sparse: python recommender_sparse.py.

One step of matrix factorization with adam, as the engine makes it, on one context, and on two with
the gradients summed through KVStore: at the size of MovieLens-100k and at 100,000 users and items.
Both kinds run in turn in one process; times are the median of the rounds, kept under results/.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from typing import Any

import numpy as np
from algoshelf.core import mx
from environment import environment, results_file

SIZES = {"ml-100k": (943, 1_682), "100k": (100_000, 100_000)}
FACTORS, BATCH, STEPS, ROUNDS = 64, 512, 10, 5


class Step:
    """A training of ``users`` x ``items`` factors on ``devices`` contexts."""

    def __init__(self, users: int, items: int, devices: int, sparse: bool) -> None:
        self.contexts = [mx.cpu(i) for i in range(devices)]
        self.sizes = users, items
        nn = mx.gluon.nn
        self.user = nn.Embedding(users, FACTORS, sparse_grad=sparse)
        self.item = nn.Embedding(items, FACTORS, sparse_grad=sparse)
        self.loss = mx.gluon.loss.L2Loss()
        parameters = {**self.user.collect_params(), **self.item.collect_params()}
        found = mx.gluon.ParameterDict()
        found.update(parameters)
        found.initialize(mx.init.Normal(0.05), ctx=self.contexts)
        store = None if devices == 1 else mx.kv.create("device")
        self.trainer = mx.gluon.Trainer(
            found, "adam", {"learning_rate": 1e-3}, kvstore=store, update_on_kvstore=False
        )
        self.rng = np.random.default_rng(0)

    def __call__(self) -> None:
        part = BATCH // len(self.contexts)
        losses = []
        with mx.autograd.record():
            for context in self.contexts:
                users, items = (
                    mx.nd.array(self.rng.integers(0, size, part), dtype="int32", ctx=context)
                    for size in self.sizes
                )
                scores = (self.user(users) * self.item(items)).sum(axis=1)
                losses.append(self.loss(scores, mx.nd.ones(part, ctx=context)))
        mx.autograd.backward(losses)
        self.trainer.step(BATCH)

    def seconds(self) -> float:
        """For one of STEPS steps."""
        mx.nd.waitall()
        start = time.perf_counter()
        for _ in range(STEPS):
            self()
        mx.nd.waitall()
        return (time.perf_counter() - start) / STEPS


def main() -> None:
    runs: list[dict[str, Any]] = []
    for name, (users, items) in SIZES.items():
        for devices in (1, 2):
            steps = {kind: Step(users, items, devices, kind == "row_sparse") for kind in KINDS}
            for step in steps.values():
                step()
            times = {kind: [] for kind in KINDS}
            for _ in range(ROUNDS):
                for kind, step in steps.items():
                    times[kind].append(step.seconds())
            found = {kind: round(1000 * statistics.median(each), 3) for kind, each in times.items()}
            runs.append({"size": name, "contexts": devices, "ms_a_step": found})
            print(json.dumps(runs[-1]), file=sys.stderr)
    document = {
        "what": f"{FACTORS} factors, batch {BATCH}, adam; median of {ROUNDS} rounds of {STEPS}",
        "runs": runs,
        "environment": environment(),
    }
    path = results_file("recommender_sparse")
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(path)


KINDS = ("dense", "row_sparse")

if __name__ == "__main__":
    main()
