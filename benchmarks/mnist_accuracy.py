"""mnist-cnn on the whole of MNIST, as users would train it.

    python mnist_accuracy.py small|large [MNIST_FOLDER] [--epochs N] [--seeds S ...]

Trains the network with each seed through the command line, evaluates on the 10,000 test images, and
keeps accuracy, time and commands under results/, beside those of other seeds with the same
hyperparameters on the same processor. On two quiet cores (Zen 4) an epoch of the small one takes
10 s, of the large one 50 s.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Sequence

from command import algoshelf
from environment import environment, results_file

SEEDS = (1, 2, 3)
DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "mnist"


def main(network: str, data: Path, epochs: str | None, seeds: Sequence[int]) -> None:
    if not data.is_dir():
        sys.exit(f"{data}: no such folder; give the folder with MNIST's four official files")
    options = ("--network", network, *(("--epochs", epochs) if epochs else ()))
    path = results_file(
        "-".join(["mnist_accuracy", network, *([f"{epochs}-epochs"] if epochs else [])])
    )
    for seed in seeds:
        hyperparameters, run = trained(seed, options, data)
        print(json.dumps(run), file=sys.stderr)
        document: dict[str, Any] = {
            "what": f"algoshelf train mnist-cnn {' '.join(options)} --train MNIST --seed S; "
            "algoshelf evaluate --test MNIST",
            "data": "MNIST: 54,000 images to train on, 6,000 of train held out, 10,000 to test",
            "hyperparameters": hyperparameters,
            "environment": environment(),
        }
        kept = json.loads(path.read_text()) if path.is_file() else {}
        alike = all(kept.get(key) == value for key, value in document.items())
        others = [each for each in kept["runs"] if each["seed"] != seed] if alike else []
        document["runs"] = sorted([*others, run], key=lambda each: int(each["seed"]))
        path.write_text(json.dumps(document, indent=2) + "\n")
    print(path)


def trained(seed: int, options: Sequence[str], data: Path) -> tuple[Any, dict[str, Any]]:
    """The hyperparameters of a training, and its figures."""
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch, "model")
        start = time.monotonic()
        found = algoshelf(
            *("train", "mnist-cnn", *options, "--train", data, "--output", model, "--seed", seed)
        )
        seconds = time.monotonic() - start
        evaluated = algoshelf("evaluate", model, "--test", data)
    return found["hyperparameters"], {
        "seed": seed,
        "test_accuracy": evaluated["metrics"]["accuracy"],
        "interval_95": evaluated["intervals"]["accuracy"],
        "validation_accuracy": found["metrics"]["validation:accuracy"],
        "train_seconds": round(seconds, 1),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network", choices=["small", "large"])
    parser.add_argument("data", type=Path, nargs="?", default=DEFAULT_DATA)
    parser.add_argument("--epochs", help="other than the algorithm's own")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    arguments = parser.parse_args()
    main(arguments.network, arguments.data, arguments.epochs, arguments.seeds)
