"""Speed of recommender's mf: python recommender_speed.py --movielens FOLDER [--torch PYTHON].

``training``: rows a second of the last epoch, beside PyTorch, which learns the same biased matrix
factorization by embedding bags, with the same number of factors, the same ratings of u1.base in
the same batches by Adam. Ours also shuffles, schedules and measures its losses; its validation is
not counted. ``top 10``: seconds that a loaded model takes for the best 10 of all items for 1,000
users, what they have rated left out, beside bare numpy: the product of two matrices in memory, the
same left out, and the 10 highest of each row in order. Sides are run in turn, in processes of
their own with one thread each; what counts is the median of the ratios within a round.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS = 5
FACTORS, BATCH, EPOCHS, RATE = 64, 1024, 3, 0.005
USERS, BEST, REPEATS = 1000, 10, 20
OPTIONS = (
    f"--network mf --factors {FACTORS} --batch-size {BATCH} --epochs {EPOCHS} "
    f"--learning-rate {RATE} --holdout 0.01"
)


def main(folder: Path, torch: str | None) -> None:
    from environment import environment, results_file

    with tempfile.TemporaryDirectory() as scratch:
        train, model = Path(scratch, "train.tsv"), Path(scratch, "model")
        train.write_text("user\titem\trating\ttime\n" + (folder / "u1.base").read_text())
        rounds: list[dict[str, float]] = []
        for _ in range(ROUNDS):
            found = {"algoshelf rows/s": _ours(train, model)}
            if torch:
                found["torch rows/s"] = _side(torch, "torch", folder / "u1.base")
            found.update(_side(sys.executable, "best", model))
            rounds.append(found)
            print(json.dumps(found), file=sys.stderr)
    ratios = {"top 10, algoshelf / numpy": [each["model s"] / each["numpy s"] for each in rounds]}
    if torch:
        name = "training, algoshelf / torch"
        ratios = {name: [e["algoshelf rows/s"] / e["torch rows/s"] for e in rounds], **ratios}
    document = {
        "what": "MovieLens-100k, u1.base: " + OPTIONS + f"; the best {BEST} of {USERS:,} users",
        "median_ratios": {name: statistics.median(each) for name, each in ratios.items()},
        "ratios": ratios,
        "rounds": rounds,
        "environment": environment(),
    }
    path = results_file("recommender_speed")
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(f"{path}: {document['median_ratios']}")


def _ours(train: Path, model: Path) -> float:
    """Rows a second of the last epoch, as the training reports it."""
    from command import algoshelf

    words = ("train", "recommender", "--train", train, *OPTIONS.split(), "--output", model)
    return float(algoshelf(*words)["metrics"]["train:throughput"])


def _side(python: str, name: str, path: Path) -> Any:
    """What another process of this file finds."""
    command = [python, __file__, "--side", name, str(path)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def torch_rows_per_second(path: Path) -> float:
    import torch
    from torch import nn

    torch.set_num_threads(1)
    table = np.loadtxt(path, dtype=np.int64)
    pairs, ratings = torch.tensor(table[:, :2]), torch.tensor(table[:, 2], dtype=torch.float32)
    ratings = (ratings - ratings.mean()) / ratings.std()
    sizes = [int(each) + 1 for each in table[:, :2].max(axis=0)]

    class Factorization(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.user, self.item = (nn.EmbeddingBag(n, FACTORS, mode="sum") for n in sizes)
            self.user_bias, self.item_bias = (nn.EmbeddingBag(n, 1, mode="sum") for n in sizes)
            for bag in (self.user, self.item):
                nn.init.normal_(bag.weight, std=0.05)

        def forward(self, x: Any) -> Any:
            user, item = x[:, :1], x[:, 1:]
            product = (self.user(user) * self.item(item)).sum(dim=1)
            return product + self.user_bias(user)[:, 0] + self.item_bias(item)[:, 0]

    network = Factorization()
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    rate = 0.0
    for _ in range(EPOCHS):
        start, order = time.perf_counter(), torch.randperm(len(pairs))
        steps = len(order) // BATCH
        for step in range(steps):
            batch = order[step * BATCH : (step + 1) * BATCH]
            optimizer.zero_grad()
            loss = ((network(pairs[batch]) - ratings[batch]) ** 2).mean() / 2
            loss.backward()
            optimizer.step()
        rate = steps * BATCH / (time.perf_counter() - start)
    return rate


def seconds_of_best(folder: Path) -> dict[str, float]:
    """Medians of the model's answers and of bare numpy's, in turn."""
    from algoshelf.algorithms.recommender import FactorRecommender

    model = FactorRecommender().model_fn(folder)
    users = np.random.default_rng(0).integers(1, len(model.users) + 1, USERS)
    product = model.computed(np.stack([users, np.zeros_like(users)], axis=1))[1]
    items = model.item_factors.copy()
    seen = [model.seen.of_user(user) - 1 for user in users.tolist()]

    def bare() -> None:
        scores = product @ items.T
        for row, own in enumerate(seen):
            scores[row, own] = -np.inf
        places = np.argpartition(-scores, BEST - 1, axis=1)[:, :BEST]
        values = np.take_along_axis(scores, places, axis=1)
        np.take_along_axis(places, np.argsort(-values, axis=1), axis=1)

    def ours() -> None:
        model.best(users, BEST)

    times: dict[str, list[float]] = {"model s": [], "numpy s": [], "product alone s": []}
    for _ in range(REPEATS):
        for name, call in (
            ("model s", ours), ("numpy s", bare), ("product alone s", lambda: product @ items.T)
        ):  # fmt: skip
            start = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(each) for name, each in times.items()}


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    if sys.argv[1:2] == ["--side"]:
        side = {"torch": torch_rows_per_second, "best": seconds_of_best}[sys.argv[2]]
        print(json.dumps(side(Path(sys.argv[3]))))
        sys.exit()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--movielens", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--torch", metavar="PYTHON")
    given = parser.parse_args()
    main(given.movielens, given.torch)
