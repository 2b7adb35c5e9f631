"""Blood cells found by object-detection: BCCD's official split, transfer and scratch.

    python detection_accuracy.py BCCD [SEED ...]

BCCD is a folder in VOC's form (205, 87 and 72 pictures, 3 classes). Each run learns from train and
takes the epoch that is best on validation; test is asked once, by `algoshelf evaluate`. With
MobileNetV2's weights by name for each seed, and with the first from random weights, by the same
options. What is kept is the mean average precision at an overlap of 0.5 and over 0.5 to 0.95, that
of each class, and what the training cost: seconds, and seconds of a processor. About twenty minutes
on two cores.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from command import algoshelf
from environment import environment, results_file

OPTIONS = ("--image-size", 192, "--batch-size", 4, "--epochs", 16)
WEIGHTS = ("--weights", "mobilenetv2-imagenet")


def main(bccd: Path, seeds: list[int]) -> None:
    if not (bccd / "ImageSets").is_dir():
        sys.exit(f"{bccd}: expected a folder in VOC's form, with ImageSets")
    runs: list[dict[str, Any]] = []
    for seed in seeds:
        runs.append(ran(bccd, "with MobileNetV2's weights", seed, WEIGHTS))
        keep(runs)
    runs.append(ran(bccd, "from scratch", seeds[0], ()))
    keep(runs)


def ran(bccd: Path, what: str, seed: int, more: tuple[object, ...]) -> dict[str, Any]:
    """Figures on test, and time, of one training."""
    options = (*more, *OPTIONS)
    channels = ("--train", bccd, "--validation", bccd)
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch, "model")
        start, before = time.monotonic(), spent()
        found = algoshelf(
            "train", "object-detection", *channels, *options, "--seed", seed, "--output", model
        )
        seconds, used = time.monotonic() - start, spent() - before
        tested = algoshelf("evaluate", model, "--test", bccd)
    run = {
        "what": what,
        "options": " ".join(map(str, options)),
        "seed": seed,
        "metrics": tested["metrics"],
        "intervals": tested["intervals"],
        "validation_map_50": found["metrics"]["validation:map_50"],
        "train_seconds": round(seconds),
        "train_cpu_seconds": round(used),
    }
    print(json.dumps(run), file=sys.stderr)
    return run


def spent() -> float:
    """Seconds of a processor that processes begun here, and ended, have taken."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def keep(runs: list[dict[str, Any]]) -> None:
    """Write what has been measured so far."""
    document = {
        "what": "Object detection, BCCD's official split: mean average precision on test",
        "command": "algoshelf train object-detection --train BCCD --validation BCCD OPTIONS",
        "runs": runs,
        "environment": environment(),
    }
    path = results_file("detection_accuracy")
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(seed) for seed in sys.argv[2:]] or [1, 2, 3])
