"""How training scales on this machine: two processes, and two CPU contexts, against one.

    python scaling.py --cifar10 DIR

CIFAR ResNet-20 v1 in batches of 128 of the whole job, one thread an operator, so that every replica
has a core of its own. ``one``: one process, one context. ``contexts``: one process, two contexts
(`--devices cpu:2`). ``hosts``: two processes over MXNet's parameter server (`--hosts 2`). Sides
are run in turn, ROUNDS times; what counts is the median of the ratios within a round. Figures and a
plot are kept under results/. Needs the extras cpu, vision and plot.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from command import ALGOSHELF

ROUNDS = 5
SIDES = {
    "one": [],
    "contexts": ["--devices", "cpu:2"],
    "hosts": ["--hosts", "2"],
}


def measured(side: str, cifar10: str) -> float:
    """Images a second of the whole job, in the epoch after the first."""
    with tempfile.TemporaryDirectory() as scratch:
        batch = Path(scratch, "data", "data_batch_1.bin")
        batch.parent.mkdir()
        with Path(cifar10, batch.name).open("rb") as source:
            batch.write_bytes(source.read(6400 * 3073))
            Path(scratch, "few.bin").write_bytes(source.read(256 * 3073))
        metrics = Path(scratch, "metrics.jsonl")
        command = [
            ALGOSHELF, "train", "image-classification", "--network", "cifar_resnet20_v1",
            "--train", str(batch), "--validation", str(Path(scratch, "few.bin")),
            "--epochs", "2", "--batch-size", "128", "--shift", "0", "--flip", "false",
            "--metrics", str(metrics), "--output", str(Path(scratch, "model")), *SIDES[side],
        ]  # fmt: skip
        # --hosts divides the threads among its processes.
        threads = "2" if side == "hosts" else "1"
        environment = {**os.environ, "OMP_NUM_THREADS": threads}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command, env=environment, check=True, **quiet)
        epochs = [json.loads(line) for line in metrics.read_text().splitlines()]
    return float(max(epoch["train:throughput"] for epoch in epochs[1:]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cifar10", required=True, help="the folder of CIFAR-10's .bin files")
    arguments = parser.parse_args()
    rounds = []
    for number in range(ROUNDS):
        rounds.append({side: measured(side, arguments.cifar10) for side in SIDES})
        print(f"round {number + 1}: {rounds[-1]}", file=sys.stderr)
    keep(rounds)


def keep(rounds: list[dict[str, float]]) -> None:
    from environment import environment, results_file

    ratios = {
        f"{side} / one": [r[side] / r["one"] for r in rounds] for side in SIDES if side != "one"
    }
    document = {
        "what": "CIFAR ResNet-20 v1, batch 128, one thread a replica: images a second of the job",
        "environment": environment(),
        "median_ratios": {name: round(statistics.median(v), 3) for name, v in ratios.items()},
        "ratios": {name: [round(x, 3) for x in values] for name, values in ratios.items()},
        "rounds": [{side: round(figure) for side, figure in r.items()} for r in rounds],
    }
    path = results_file("scaling")
    path.write_text(json.dumps(document, indent=2) + "\n")
    plot(rounds, path.with_suffix(".png"))
    print(json.dumps(document["median_ratios"], indent=2))
    print(path)


def plot(rounds: list[dict[str, float]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.4), layout="constrained")
    axes = figure.subplots()
    medians = [statistics.median(r[side] / r["one"] for r in rounds) for side in SIDES]
    axes.barh(list(SIDES), medians, color="#8fb3d9")
    for side in SIDES:
        axes.plot([r[side] / r["one"] for r in rounds], [side] * len(rounds), "k.", markersize=5)
    axes.axvline(2, color="grey", linestyle=":")
    axes.invert_yaxis()
    axes.set(
        xlabel="throughput, relative to one replica of one thread (dotted: ideal)",
        title="CIFAR ResNet-20 v1 on two cores",
    )
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
