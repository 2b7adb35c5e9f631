"""Speed of recommender's mf: python recommender_speed.py --movielens FOLDER --torch PYTHON.

Rows a second of the last epoch, beside PyTorch, which learns the same biased matrix factorization
by embedding bags: as many factors, the same ratings of u1.base in batches of the same size, Adam.
Ours also shuffles, schedules and measures its losses; its validation is not counted. Each side is
a process of its own with one thread, run in turn, ROUNDS times; what counts is the median of the
ratios within a round. ``cpu`` are the same ratios by seconds of a processor for each row, which on
a machine that others use too tell more: the time of EPOCHS epochs less that of one.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np
from command import processor_seconds

ROUNDS = 3
FACTORS, BATCH, RATE = 64, 1024, 0.005
SHORT, LONG = 1, 11  # epochs
OPTIONS = (
    f"--network mf --factors {FACTORS} --batch-size {BATCH} --learning-rate {RATE} --holdout 0.01"
)


def main(folder: Path, torch: str) -> None:
    from environment import environment, results_file

    rounds: list[dict[str, dict[str, float]]] = []
    with tempfile.TemporaryDirectory() as scratch:
        train = Path(scratch, "train.tsv")
        train.write_text("user\titem\trating\ttime\n" + (folder / "u1.base").read_text())
        rows = len(train.read_text().splitlines()) - 1
        sides = {
            "algoshelf": lambda epochs: _ours(train, epochs, Path(scratch, "model")),
            "torch": lambda epochs: float(
                _output([torch, __file__, "--side", str(epochs), str(folder / "u1.base")])
            ),
        }
        for _ in range(ROUNDS):
            rounds.append({name: _measured(side, rows) for name, side in sides.items()})
            print(json.dumps(rounds[-1]), file=sys.stderr)
    ratios = {
        f"algoshelf / torch, {told}": [r["algoshelf"][name] / r["torch"][name] for r in rounds]
        for name, told in (("rows/s", "rows/s"), ("rows/cpu s", "rows a second of a processor"))
    }
    document = {
        "what": "Training recommender's mf, MovieLens-100k u1.base, 64 factors, batch 1,024",
        "command": f"algoshelf train recommender {OPTIONS}",
        "median_ratios": {name: statistics.median(each) for name, each in ratios.items()},
        "ratios": ratios,
        "rounds": rounds,
        "environment": environment(),
    }
    path = results_file("recommender_speed")
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(f"{path}: {document['median_ratios']}")


def _measured(side: Callable[[int], float], rows: int) -> dict[str, float]:
    """What a side takes for LONG epochs, and by the difference from SHORT, of a processor."""
    spent = []
    rate = 0.0
    for epochs in (SHORT, LONG):
        before = processor_seconds()
        rate = side(epochs)
        spent.append(processor_seconds() - before)
    return {"rows/s": rate, "rows/cpu s": rows * (LONG - SHORT) / (spent[1] - spent[0])}


def _ours(train: Path, epochs: int, model: Path) -> float:
    """Rows a second of the last epoch, as the training reports it."""
    from command import ALGOSHELF

    words = ["--train", train, *OPTIONS.split(), "--epochs", epochs, "--output", model]
    told = _output([ALGOSHELF, "train", "recommender", *map(str, words)])
    return float(re.findall(r"train:throughput=([0-9.e+]+)", told)[-1])


def _output(command: list[str]) -> str:
    """What a process says."""
    run = subprocess.run(
        command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    return run.stdout


def torch_rows_per_second(path: Path, epochs: int) -> float:
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
    for _ in range(epochs):
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


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    if sys.argv[1:2] == ["--side"]:
        print(torch_rows_per_second(Path(sys.argv[3]), int(sys.argv[2])))
        sys.exit()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--movielens", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--torch", required=True, metavar="PYTHON")
    given = parser.parse_args()
    main(given.movielens, given.torch)
