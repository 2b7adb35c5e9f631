"""mnist-cnn on the whole of MNIST: python mnist_accuracy.py small|large [MNIST_FOLDER].

Trains the network with seeds 1, 2 and 3 through the command line, evaluates on the 10,000 test
images, and keeps accuracy, time and commands under results/. On two quiet cores the small one
takes five minutes, the large one a quarter of an hour.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from command import algoshelf
from environment import environment, results_file

SEEDS = (1, 2, 3)
DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"


def main(network: str, data: Path) -> None:
    if not data.is_dir():
        sys.exit(f"{data}: no such folder; give the folder with MNIST's four official files")
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in SEEDS:
            model = Path(scratch, str(seed))
            start = time.monotonic()
            trained = algoshelf(
                *("train", "mnist-cnn", "--network", network, "--train", data),
                *("--output", model, "--seed", seed),
            )
            seconds = time.monotonic() - start
            evaluated = algoshelf("evaluate", model, "--test", data)
            runs.append(
                {
                    "seed": seed,
                    "test_accuracy": evaluated["metrics"]["accuracy"],
                    "interval_95": evaluated["intervals"]["accuracy"],
                    "validation_accuracy": trained["metrics"]["validation:accuracy"],
                    "train_seconds": round(seconds, 1),
                }
            )
            print(json.dumps(runs[-1]), file=sys.stderr)
    document = {
        "what": f"algoshelf train mnist-cnn --network {network} --train MNIST --seed S; "
        "algoshelf evaluate --test MNIST",
        "data": "MNIST: 54,000 images to train on, 6,000 of train held out, 10,000 to test",
        "hyperparameters": trained["hyperparameters"],
        "environment": environment(),
        "runs": runs,
    }
    path = results_file(f"mnist_accuracy-{network}")
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("network", choices=["small", "large"])
    parser.add_argument("data", type=Path, nargs="?", default=DEFAULT_DATA)
    arguments = parser.parse_args()
    main(arguments.network, arguments.data)
