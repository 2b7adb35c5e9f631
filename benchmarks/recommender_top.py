"""The best 10 of all items for 1,000 users beside a product in numpy: python recommender_top.py.

A model of 64 factors, not trained, of 1,000 users and 1,682 items, and of 27,000; each user has
seen 100. In turn in one process: what ``predict_fn`` takes to answer 1,000 questions, and numpy for
the product of the same factors and the places of the 10 highest of each row, with nothing left out
and nothing named: by as many users at once as are the fastest of BLOCKS. Beside it, what the
product alone takes. The median of the rounds is kept under results/.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np
from algoshelf.algorithms.recommender import FactorRecommender
from algoshelf.core import RunOptions, train
from algoshelf.core.artifact import export
from algoshelf.core.inference.answers import example_inputs
from algoshelf.core.inference.handlers import Handlers
from algoshelf.core.tasks.recommendations import Question
from environment import environment, results_file

USERS, SEEN, TOP, ROUNDS = 1000, 100, 10, 15
ITEMS = (1_682, 27_000)
BLOCKS = (1000, 100, 16)  # users at once, in numpy


def main() -> None:
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for items in ITEMS:
            model = Path(folder) / str(items)
            made(model, items)
            runs += [measured(model, items, engine) for engine in ("mxnet", "onnx")]
            for run in runs[-2:]:
                print(json.dumps(run), file=sys.stderr)
    document = {
        "what": f"top {TOP} of all items for {USERS} users, 64 factors, {SEEN} items seen by each",
        "runs": runs,
        "environment": environment(),
    }
    path = results_file("recommender_top")
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(path)


def made(folder: Path, items: int) -> None:
    """A model of so many ``items``, with model.onnx."""
    rng = np.random.default_rng(0)
    rows = [
        f"{user},{item},{rng.integers(1, 6)}"
        for user in range(USERS)
        for item in rng.choice(items, SEEN, replace=False)
    ]
    rows += [f"{item % USERS},{item},3" for item in range(items)]
    data = folder.with_suffix(".csv")
    data.write_text("\n".join(rows) + "\n")
    algorithm = FactorRecommender()
    options = algorithm.Hyperparameters.parse(
        {"network": "mf", "factors": 64, "epochs": 1, "batch_size": 4096}
    )
    train(algorithm, {"train": data}, options, folder, options=RunOptions())
    handlers = Handlers.load(algorithm, folder, engine="mxnet")
    artifact = algorithm.artifact(folder)
    export.export(artifact, handlers.model, example_inputs(handlers), folder / "model.onnx")


def measured(folder: Path, items: int, engine: str) -> dict[str, Any]:
    algorithm = FactorRecommender()
    model: Any = algorithm.model_fn(folder, engine)
    items = len(model.items)
    names = list(model.users)
    questions = [Question(name, None, TOP) for name in names]
    numbers = np.arange(1, USERS + 1, dtype=np.int32)
    users = model.computed(np.stack([numbers, np.zeros_like(numbers)], axis=1))[1].copy()
    all_items = model.item_factors.copy()

    def ours() -> None:
        assert len(algorithm.predict_fn(questions, model)) == USERS

    def bare(block: int) -> None:
        for start in range(0, USERS, block):
            scores = users[start : start + block] @ all_items.T
            places = np.argpartition(scores, items - TOP, axis=1)[:, items - TOP :]
            order = np.argsort(-np.take_along_axis(scores, places, axis=1), axis=1)
            np.take_along_axis(places, order, axis=1)

    def taken(act: Callable[[], object]) -> float:
        start = time.perf_counter()
        act()
        return time.perf_counter() - start

    block = min(BLOCKS, key=lambda each: min(taken(lambda: bare(each)) for _ in range(3)))
    acts = {"ours": ours, "bare": lambda: bare(block), "product": lambda: users @ all_items.T}
    times: dict[str, list[float]] = {kind: [] for kind in acts}
    ours()
    for _ in range(ROUNDS):
        for kind, act in acts.items():
            times[kind].append(taken(act))
    middle = {kind: statistics.median(each) for kind, each in times.items()}
    return {
        "items": items,
        "engine": engine,
        "users at once": block,
        "ms": {kind: round(1000 * value, 2) for kind, value in middle.items()},
        "ratio": round(middle["ours"] / middle["bare"], 3),
    }


if __name__ == "__main__":
    main()
