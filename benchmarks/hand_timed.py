"""Whether `algoshelf benchmark` tells the truth: its throughput beside a stopwatch's.

    python hand_timed.py ALGORITHM

The stopwatch is outside of the program: `algoshelf train` with few and with more epochs, each a
whole process, whose difference is that of the epochs between. Both train on the bundled sample, of
which next to nothing is held out, since the stopwatch sees validation and throughput does not;
kmeans on made-up rows, enough to last. Sides are run in turn, ROUNDS times; what counts is the
median of the ratios within a round. Figures are kept under results/. Needs the extras cpu, vision
and text.
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

import numpy as np

ROUNDS = 3
ROWS, COLUMNS = 100_000, 8
# What makes the epochs, how few and how many, and what else is given.
SETTINGS = {
    "mnist-cnn": ("epochs", 1, 2, ["--holdout", "0.01"]),
    "image-classification": ("epochs", 1, 4, ["--batch-size", "100", "--holdout", "0.05"]),
    "text-sentiment": ("epochs", 1, 3, ["--holdout", "0.01"]),
    "kmeans": ("max-iterations", 20, 220, ["--k", "16", "--restarts", "1", "--tolerance", "0"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("algorithm", choices=SETTINGS)
    name = parser.parse_args().algorithm
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as scratch:
        rounds = [measured(name, Path(scratch), number) for number in range(ROUNDS)]
    keep(name, rounds)


def measured(name: str, scratch: Path, number: int) -> dict[str, float]:
    epochs, few, many, options = SETTINGS[name]
    if name == "kmeans":
        rows = np.random.default_rng(1).random((ROWS, COLUMNS), np.float32)
        np.save(scratch / "rows.npy", rows)
        options = [*options, "--train", str(scratch / "rows.npy")]

    def seconds(count: int) -> float:
        started = time.perf_counter()
        run("train", name, f"--{epochs}", count, *options, "--output", scratch / "model")
        return time.perf_counter() - started

    short, long = seconds(few), seconds(many)
    sizes = [word.replace("--batch-size", "--batch-sizes") for word in options]
    output = scratch / f"measured-{number}"
    run("benchmark", name, f"--{epochs}", many, *sizes, "--repeats", 1, "--output", output)
    record = json.loads((output / "results.jsonl").read_text())
    (only,) = record["runs"]
    batch = record["batch_size"]
    steps = only["curve"][-1]["step"] / only["curve"][-1]["epoch"]
    examples = steps * batch if batch else ROWS
    found = {
        "stopwatch": examples * (many - few) / (long - short),
        "benchmark": only["figures"]["throughput"],
    }
    print(found, file=sys.stderr)
    return found


def run(*arguments: object) -> None:
    command = [sys.executable, "-m", "algoshelf.registry.cli", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def keep(name: str, rounds: list[dict[str, float]]) -> None:
    from environment import environment, results_file

    ratios = [r["benchmark"] / r["stopwatch"] for r in rounds]
    document = {
        "what": f"training {name}: examples a second, by `algoshelf benchmark` and by a stopwatch",
        "environment": {**environment(), "threads": int(os.environ["OMP_NUM_THREADS"])},
        "median_ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "rounds": [{side: round(figure) for side, figure in r.items()} for r in rounds],
    }
    path = results_file(f"hand_timed-{name}")
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(document["median_ratio"], path)


if __name__ == "__main__":
    main()
