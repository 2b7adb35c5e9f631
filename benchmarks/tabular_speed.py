"""Rows a second of training tabular's mlp, beside PyTorch: tabular_speed.py --torch PYTHON

Both learn the same network on the same rows of the bundled sample, twice, in batches of 256 by
Adam; each side is a process of its own, run in turn, ROUNDS times, and the first epoch is not
counted. What counts is the median of the ratios within a round. Ours shuffles, schedules, measures
and validates besides, and makes the columns of each row once; PyTorch makes them in every step, as
its network stands ("torch"), or is given them ("torch, of columns"). The ratios of ``cpu`` are by
seconds of a processor for each row, which on a machine that others use too tell more: the time of
LONG epochs less that of SHORT. PYTHON is the interpreter of an environment that holds torch.
Figures are kept under results/. Needs the extra cpu.
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
from command import processor_seconds

ROUNDS = 5
SHORT, LONG = 2, 8  # epochs
BATCH, TIMES = 256, 2
MEMBERS, HIDDEN, RATE = 8, 64, 4e-3


def ours(folder: Path, epochs: int) -> float:
    """Rows a second through ``algoshelf.core.train``."""
    from algoshelf.algorithms.tabular import SAMPLE, Tabular
    from algoshelf.algorithms.tabular.data import BinnedTable
    from algoshelf.core import Reporter, train
    from algoshelf.core.data.dataset import Subset

    rates: list[float] = []

    class Throughput(Reporter):
        def metrics(self, values: Any, *, epoch: int, step: int) -> None:
            rates.append(values.get("train:throughput", 0.0))

    class Measured(Tabular):
        """Twice as many rows to learn, and few to validate."""

        def dataset(self, path: Path, channel: str, *rest: Any) -> Any:
            found: BinnedTable = super().dataset(path, channel, *rest)
            places = np.arange(512)
            if channel == "train":
                places = np.tile(np.arange(len(found) // BATCH * BATCH), TIMES)
                keep(folder, found, places)
            return Subset(found, places)

        def told(self, data: Any) -> Any:  # one host, which tells no other
            return data.encoding

        def described(self, data: Any, run: Any) -> Any:
            return data

    options = Tabular.Hyperparameters.parse({"epochs": epochs, "batch_size": BATCH})
    channels = {"train": SAMPLE / "train.csv.gz", "validation": SAMPLE / "test.csv.gz"}
    train(Measured(), channels, options, folder / "model", reporter=Throughput())
    return max(rates[1:epochs])


def keep(folder: Path, table: Any, places: np.ndarray) -> None:
    """The rows and the network's constants, for the other side."""
    from algoshelf.algorithms.tabular import data, networks

    features = table.schema.encoded
    numbers = data.number_places(table.schema)
    codes = [(i, k) for i, f in enumerate(features) if f.kind != "number" for k in range(f.size)]
    assert max(f.size for f in features) <= networks.MOST_COLUMNS
    x, y = table.take(places)
    np.savez(
        folder / "rows.npz",
        x=x,
        y=y,
        codes=np.array(codes),
        **networks.slots(numbers, table.borders)._asdict(),
    )


def torch(folder: Path, epochs: int, of_columns: bool = False) -> float:
    """The same network in PyTorch, its batches cut from a permutation."""
    import torch
    from torch import nn

    held = np.load(folder / "rows.npz")
    torch.manual_seed(1)

    class Ensemble(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.place = torch.from_numpy(held["place"].astype(np.int64))
            self.column = torch.from_numpy(held["codes"][:, 0].astype(np.int64))
            self.code = torch.from_numpy(held["codes"][:, 1].astype(np.float32))
            for name in ("slope", "offset", "low", "high"):
                setattr(self, name, torch.from_numpy(held[name].astype(np.float32)))
            self.first = nn.Linear(len(self.place) + len(self.column), MEMBERS * HIDDEN)
            self.weight = nn.Parameter(torch.randn(MEMBERS, HIDDEN, HIDDEN) * (2 / HIDDEN) ** 0.5)
            self.bias = nn.Parameter(torch.zeros(MEMBERS, 1, HIDDEN))
            self.output = nn.Parameter(torch.randn(MEMBERS, HIDDEN, 2) * HIDDEN**-0.5)
            self.last = nn.Parameter(torch.zeros(MEMBERS, 1, 2))

        def columns(self, rows: Any) -> Any:
            filled = torch.where(torch.isnan(rows), torch.zeros_like(rows), rows)
            bins = torch.addcmul(self.offset, filled[:, self.place], self.slope)
            bins = torch.minimum(torch.maximum(bins, self.low), self.high)
            codes = (filled[:, self.column] == self.code).float()
            return torch.cat([bins, codes], dim=1)

        def forward(self, rows: Any) -> Any:
            found = self.first(rows if of_columns else self.columns(rows))
            found = found.view(-1, MEMBERS, HIDDEN).transpose(0, 1).relu()
            found = torch.baddbmm(self.bias, found, self.weight).relu()
            return torch.baddbmm(self.last, found, self.output)

    network = Ensemble()
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE, weight_decay=1e-5)
    loss = nn.CrossEntropyLoss()
    x, y = torch.from_numpy(held["x"]), torch.from_numpy(held["y"].astype(np.int64))
    if of_columns:
        x = network.columns(x)
    rates = []
    for _ in range(epochs):
        start = time.perf_counter()
        for part in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad(set_to_none=True)
            said = network(x[part])
            labels = y[part].expand(MEMBERS, -1)
            loss(said.reshape(-1, 2), labels.reshape(-1)).backward()
            optimizer.step()
        rates.append(len(x) / (time.perf_counter() - start))
    return max(rates[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--torch", required=True, help="an interpreter that has torch")
    parser.add_argument("--side", choices=[*SIDES], help="measure one side alone")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--folder", type=Path, help="where the sides share the rows")
    given = parser.parse_args()
    if given.side:
        print(SIDES[given.side](given.folder, given.epochs))
        return
    rounds: list[dict[str, dict[str, float]]] = []
    for number in range(ROUNDS):
        with tempfile.TemporaryDirectory() as scratch:
            found = {
                side: measured(sys.executable if side == "ours" else given.torch, side, scratch)
                for side in SIDES
            }
        rounds.append(found)
        print(f"round {number + 1}: {found}", file=sys.stderr, flush=True)
    keep_results(rounds, given.torch)


def measured(python: str, side: str, folder: str) -> dict[str, float]:
    """Rows a second, and rows for each second of a processor."""
    from algoshelf.core.runtime.cores import cores

    command = [python, __file__, "--torch", python, "--side", side, "--folder", folder]
    threads = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(cores()))}
    rate, spent = 0.0, []
    for epochs in (SHORT, LONG):
        before = processor_seconds()
        done = subprocess.run(
            [*command, "--epochs", str(epochs)],
            env={**os.environ, **threads},
            check=True,
            stdout=subprocess.PIPE,
        )
        spent.append(processor_seconds() - before)
        rate = float(done.stdout.split()[-1])
    rows = len(np.load(Path(folder, "rows.npz"))["y"])
    per_cpu = rows * (LONG - SHORT) / (spent[1] - spent[0])
    return {"rows/s": round(rate), "rows/cpu s": round(per_cpu)}


def torch_of_columns(folder: Path, epochs: int) -> float:
    return torch(folder, epochs, of_columns=True)


SIDES = {"ours": ours, "torch": torch, "torch, of columns": torch_of_columns}


def keep_results(rounds: list[dict[str, dict[str, float]]], python: str) -> None:
    from environment import environment, results_file

    ratios = {
        f"engine / {side}{what}": [
            round(each["ours"][figure] / each[side][figure], 3) for each in rounds
        ]
        for side in list(SIDES)[1:]
        for what, figure in (("", "rows/s"), (", cpu", "rows/cpu s"))
    }
    ask = [python, "-c", "import torch; print(torch.__version__)"]
    version = subprocess.run(ask, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    document = {
        "what": f"Training tabular's mlp, batch {BATCH}: rows a second",
        "environment": {
            **environment(),
            "torch": version,
            "threads": os.environ.get("OMP_NUM_THREADS", "one a core"),
        },
        "median_ratios": {name: statistics.median(each) for name, each in ratios.items()},
        "ratios": ratios,
        "rounds": rounds,
    }
    path = results_file("training_speed-tabular")
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(document["median_ratios"], indent=2))
    print(path)


if __name__ == "__main__":
    main()
