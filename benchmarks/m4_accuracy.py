"""forecasting on M4's hourly series: python m4_accuracy.py FOLDER [--network NAME] [--seeds N].

The 414 hourly series of the M4 competition, 48 hours ahead, through the command line. Options, the
epoch and how wide the intervals are were chosen by the last 48 hours of the training part; the
official test is asked once for each seed, of the model that is kept. Beside it stand what the
product's own baselines get, and what the competition published of its best. FOLDER holds
Hourly-train.csv.gz and Hourly-test.csv.gz. Seconds of a processor are those of the training alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any

from command import algoshelf, processor_seconds
from environment import environment, results_file
from m4_baselines import HORIZON, hourly

OPTIONS = {
    "tide": "--network tide --hidden 256 --members 2 --batch-size 256 --epochs 6 --holdout 0.05 "
    "--learning-rate 0.001",
    "deepar": "--network deepar --batch-size 128 --epochs 3 --holdout 0.05",
}
SHOWN = ("owa", "smape", "mase", "wql", "coverage")
# S. Makridakis et al., "The M4 Competition", International Journal of Forecasting 36, 2020
PUBLISHED = {
    "Doornik, Castle, Hendry (Card)": {"smape": 8.913, "mase": 0.801, "owa": 0.410},
    "Smyl (ES-RNN)": {"smape": 9.328, "mase": 0.893, "owa": 0.440},
    "Montero-Manso et al.": {"smape": 11.506, "mase": 0.819, "owa": 0.484},
}


def laid(folder: Path, scratch: Path) -> tuple[Path, Path]:
    """The series as DeepAR takes them: what there is to learn from; the same with the test."""
    train, test = scratch / "train.jsonl", scratch / "test.jsonl"
    with train.open("w") as one, test.open("w") as other:
        for series in hourly(folder).whole.series:
            values = series.target.tolist()
            for stream, target in ((one, values[:-HORIZON]), (other, values)):
                stream.write(json.dumps({"item_id": series.name, "target": target}) + "\n")
    return train, test


def measured(options: str, seed: int, train: Path, test: Path, model: Path) -> dict[str, Any]:
    start, before = time.monotonic(), processor_seconds()
    trained = algoshelf(
        "train", "forecasting", *options.split(), "--time-freq", "H", "--prediction-length",
        HORIZON, "--train", train, "--seed", seed, "--output", model,
    )  # fmt: skip
    seconds, used = time.monotonic() - start, processor_seconds() - before
    found = algoshelf("evaluate", model, "--test", test)
    return {
        "seed": seed,
        **{name: round(found["metrics"][name], 4) for name in SHOWN},
        "validation": {
            name: round(trained["metrics"][f"validation:{name}"], 4)
            for name in SHOWN
            if f"validation:{name}" in trained["metrics"]
        },
        "train_seconds": round(seconds, 1),
        "processor_seconds": round(used, 1),
        "baselines": {
            each["name"]: {name: round(each["metrics"][name], 4) for name in SHOWN}
            for each in found["baselines"]
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--network", choices=OPTIONS, default="tide")
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    options = OPTIONS[given.network]
    path = results_file(f"m4_accuracy-{given.network}")
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        train, test = laid(given.folder, Path(scratch))
        for seed in range(1, given.seeds + 1):
            runs.append(measured(options, seed, train, test, Path(scratch, f"m{seed}")))
            baselines = runs[-1].pop("baselines")
            document = {
                "data": "M4, 414 hourly series, 48 hours ahead",
                "what": f"algoshelf train forecasting --time-freq H --prediction-length {HORIZON} "
                f"{options} --seed S",
                "mean": {name: round(mean(run[name] for run in runs), 4) for name in SHOWN},
                "runs": runs,
                "baselines": baselines,
                "published": PUBLISHED,
                "environment": environment(),
            }
            path.write_text(json.dumps(document, indent=2) + "\n")
            print(path, document["mean"])


if __name__ == "__main__":
    main()
