"""Whether `algoshelf benchmark` tells the truth: its clock and throughput beside a stopwatch's.

    python hand_timed.py ALGORITHM [--rounds 3]

The stopwatch is outside of the program: `algoshelf train` with few and with more epochs, each a
whole process, whose difference is that of the epochs between. ``clock`` is the rate by the curve
of the record, by which the time to a target is told: like the stopwatch it sees validation.
``throughput`` is without, so little is held out, and epochs are long: after each, graphs are
planned anew for the shape of the validation's batch. Both train on the bundled sample, or on COPIES
of it (image-classification), or on made-up rows (kmeans). Sides are run in turn; what counts is the
median of the ratios within a round. Figures are kept under results/. Needs the extras cpu, vision
and text.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SAMPLE = Path(__file__).resolve().parents[1] / "algorithms/image_classification/sample"
COPIES = 5
ROWS, COLUMNS = 1_000_000, 8
# What makes the epochs, how few and how many, and what else is given.
SETTINGS = {
    "mnist-cnn": ("epochs", 1, 3, ["--holdout", "0.01"]),
    "image-classification": ("epochs", 1, 3, ["--batch-size", "100", "--holdout", "0.01"]),
    "text-classification": ("epochs", 1, 3, ["--holdout", "0.01"]),
    "kmeans": ("max-iterations", 5, 45, ["--k", "16", "--restarts", "1", "--tolerance", "0"]),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("algorithm", choices=SETTINGS)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    name = arguments.algorithm
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as scratch:
        rounds = [measured(name, Path(scratch), number) for number in range(arguments.rounds)]
    keep(name, rounds)


def measured(name: str, scratch: Path, number: int) -> dict[str, float]:
    epochs, few, many, options = SETTINGS[name]
    if name == "kmeans":
        rows = np.random.default_rng(1).random((ROWS, COLUMNS), np.float32)
        np.save(scratch / "rows.npy", rows)
        options = [*options, "--train", str(scratch / "rows.npy")]
    if name == "image-classification":
        pictures = gzip.decompress((SAMPLE / "data_batch_1.bin.gz").read_bytes())
        (scratch / "data_batch_1.bin").write_bytes(pictures * COPIES)
        options = [*options, "--train", str(scratch / "data_batch_1.bin")]

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
    curve = [point for point in only["curve"] if "train:throughput" in point["metrics"]]
    first, last = curve[few - 1], curve[-1]
    epochs_between = last["epoch"] - first["epoch"]  # kmeans may settle before
    batch = record["batch_size"]
    examples = epochs_between * (last["step"] / last["epoch"] * batch if batch else ROWS)
    found = {
        "stopwatch": examples / (long - short),
        "clock": examples / (last["seconds"] - first["seconds"]),
        "throughput": only["figures"]["throughput"],
    }
    print(found, file=sys.stderr)
    return found


def run(*arguments: object) -> None:
    command = [sys.executable, "-m", "algoshelf.registry.cli", *map(str, arguments)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def keep(name: str, rounds: list[dict[str, float]]) -> None:
    from environment import environment, results_file

    ratios = {side: [r[side] / r["stopwatch"] for r in rounds] for side in ("clock", "throughput")}
    document = {
        "what": f"training {name}: examples a second, by `algoshelf benchmark` and by a stopwatch",
        "environment": {**environment(), "threads": int(os.environ["OMP_NUM_THREADS"])},
        "median_ratios": {name: round(statistics.median(v), 3) for name, v in ratios.items()},
        "ratios": {name: [round(x, 3) for x in values] for name, values in ratios.items()},
        "rounds": [{side: round(figure) for side, figure in r.items()} for r in rounds],
    }
    path = results_file(f"hand_timed-{name}")
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(document["median_ratios"], path)


if __name__ == "__main__":
    main()
