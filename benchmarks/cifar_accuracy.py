"""A small network, cifar_resnet20_v1 unless another is named, on the whole of CIFAR-10.

    python cifar_accuracy.py CIFAR10_FOLDER SCRATCH [SEED [NETWORK [NAME VALUE …]]]

Trains through the command line, with the recipe that OPTIONS has for the network and with
hyperparameters NAME VALUE as given, evaluates on the 10,000 test images, and keeps accuracy, time
and command under results/. About three quarters of an hour on two cores; checkpoints are kept in
SCRATCH, and the same command goes on from them.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator

from command import algoshelf, processor_seconds
from environment import environment, results_file

# Where the last epoch is kept, what is held out decides nothing.
OPTIONS = {"airbench": ("--recipe", "airbench", "--holdout", 0.01)}
OTHERS = ("--epochs", 40, "--holdout", 0.02)
NETWORK = "cifar_resnet20_v1"


@contextmanager
def timed(path: Path) -> Iterator[dict[str, float]]:
    """The time that all starts took together, of which ``path`` keeps what is over."""
    spent = {"seconds": 0.0, "processor_seconds": 0.0}
    if path.is_file():
        spent = json.loads(path.read_text())
    before, start = processor_seconds(), time.monotonic()
    try:
        yield spent
    finally:
        spent["seconds"] += time.monotonic() - start
        spent["processor_seconds"] += processor_seconds() - before
        path.write_text(json.dumps(spent))


def main(data: Path, scratch: Path, seed: int, network: str, given: list[str]) -> None:
    if not (data / "test_batch.bin").is_file():
        sys.exit(f"{data}: holds no test_batch.bin; give the folder with CIFAR-10's .bin files")
    options = ("--network", network, *OPTIONS.get(network, OTHERS))
    for name, value in zip(given[::2], given[1::2]):
        options += (f"--{name}", value)
    title = "-".join([network, *given, f"seed{seed}"])
    scratch.mkdir(parents=True, exist_ok=True)
    model = scratch / f"model-{title}"
    kept = ("--checkpoints", scratch / f"checkpoints-{title}", "--checkpoint-every", "5m")
    command = ("train", "image-classification", "--train", data, "--seed", seed, *options)
    with timed(scratch / f"seconds-{title}.json") as training:
        trained = algoshelf(*command, *kept, "--output", model)
    evaluated = algoshelf("evaluate", model, "--test", data)
    held = round(50_000 * trained["hyperparameters"]["holdout"])
    document = {
        "what": "algoshelf train image-classification --train CIFAR10 --seed S "
        + " ".join(map(str, options)),
        "data": f"CIFAR-10: {50_000 - held:,} images to train on, {held:,} of train held out, "
        "10,000 to test",
        "hyperparameters": trained["hyperparameters"],
        "environment": environment(),
        "seed": seed,
        "test_accuracy": evaluated["metrics"]["accuracy"],
        "interval_95": evaluated["intervals"]["accuracy"],
        "validation_accuracy": trained["metrics"]["validation:accuracy"],
        "seconds": round(training["seconds"]),
        "processor_seconds": round(training["processor_seconds"]),
    }
    path = results_file(f"cifar_accuracy-{title}")
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(document, indent=2))
    print(path)


if __name__ == "__main__":
    folder, scratch, *rest = sys.argv[1:]
    seed, network = (*rest[:2], *("1", NETWORK)[len(rest) :])
    main(Path(folder), Path(scratch), int(seed), network, rest[2:])
