"""A small network, cifar_resnet20_v1 unless another is named, on the whole of CIFAR-10.

    python cifar_accuracy.py CIFAR10_FOLDER SCRATCH [SEED [NETWORK [NAME VALUE …]]]

Trains through the command line, 40 epochs and with hyperparameters NAME VALUE as given, evaluates
on the 10,000 test images, and keeps accuracy, time and command under results/. About three quarters
of an hour on two cores; checkpoints are kept in SCRATCH, and the same command goes on from them.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from command import algoshelf
from environment import environment, results_file

OPTIONS = ("--epochs", 40, "--holdout", 0.02)
NETWORK = "cifar_resnet20_v1"


def main(data: Path, scratch: Path, seed: int, network: str, given: list[str]) -> None:
    if not (data / "test_batch.bin").is_file():
        sys.exit(f"{data}: holds no test_batch.bin; give the folder with CIFAR-10's .bin files")
    options = ("--network", network, *OPTIONS)
    for name, value in zip(given[::2], given[1::2]):
        options += (f"--{name}", value)
    title = "-".join([network, *given, f"seed{seed}"])
    model = scratch / f"model-{title}"
    kept = ("--checkpoints", scratch / f"checkpoints-{title}", "--checkpoint-every", "5m")
    start = time.monotonic()
    command = ("train", "image-classification", "--train", data, "--seed", seed, *options)
    trained = algoshelf(*command, *kept, "--output", model)
    seconds = time.monotonic() - start
    evaluated = algoshelf("evaluate", model, "--test", data)
    document = {
        "what": "algoshelf train image-classification --train CIFAR10 --seed S "
        + " ".join(map(str, options)),
        "data": "CIFAR-10: 49,000 images to train on, 1,000 of train held out, 10,000 to test",
        "hyperparameters": trained["hyperparameters"],
        "environment": environment(),
        "seed": seed,
        "test_accuracy": evaluated["metrics"]["accuracy"],
        "interval_95": evaluated["intervals"]["accuracy"],
        "validation_accuracy": trained["metrics"]["validation:accuracy"],
        "seconds_of_the_last_start": round(seconds),
    }
    path = results_file(f"cifar_accuracy-{title}")
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(document, indent=2))
    print(path)


if __name__ == "__main__":
    folder, scratch, *rest = sys.argv[1:]
    seed, network = (*rest[:2], *("1", NETWORK)[len(rest) :])
    main(Path(folder), Path(scratch), int(seed), network, rest[2:])
