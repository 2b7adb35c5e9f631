"""Blood cells found by object-detection: BCCD's official split, transfer and scratch.

    python detection_accuracy.py BCCD [SEED ...] [scratch]

BCCD is a folder in VOC's form (205, 87 and 72 pictures, 3 classes). Each run learns from train and
takes the epoch that is best on validation; test is asked once, by `algoshelf evaluate`. With
MobileNetV2's weights by name for each seed, and ``scratch`` from random weights by the same options
and seed 1. Without a word, seeds 1 to 3 and scratch; runs that were kept before stay. What is kept
is the mean average precision at an overlap of 0.5 and over 0.5 to 0.95, that of each class, and
what the training cost: seconds, and seconds of a processor.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from command import algoshelf, processor_seconds
from environment import environment, results_file

OPTIONS = ("--image-size", 256, "--epochs", 30, "--crop", 0.1, "--expand", 0)
WEIGHTS = ("--weights", "mobilenetv2-imagenet")


def main(bccd: Path, asked: list[str]) -> None:
    if not (bccd / "ImageSets").is_dir():
        sys.exit(f"{bccd}: expected a folder in VOC's form, with ImageSets")
    for each in asked:
        if each == "scratch":
            keep(ran(bccd, "from scratch", 1, ()))
        else:
            keep(ran(bccd, "with MobileNetV2's weights", int(each), WEIGHTS))


def ran(bccd: Path, what: str, seed: int, more: tuple[object, ...]) -> dict[str, Any]:
    """Figures on test, and time, of one training."""
    options = (*more, *OPTIONS)
    channels = ("--train", bccd, "--validation", bccd)
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch, "model")
        start, before = time.monotonic(), processor_seconds()
        found = algoshelf(
            "train", "object-detection", *channels, *options, "--seed", seed, "--output", model
        )
        seconds, used = time.monotonic() - start, processor_seconds() - before
        tested = algoshelf("evaluate", model, "--test", bccd)
    run = {
        "what": what,
        "options": " ".join(map(str, options)),
        "seed": seed,
        "metrics": tested["metrics"],
        "intervals": tested["intervals"],
        "classes": tested["objects"],
        "validation_map_50": found["metrics"]["validation:map_50"],
        "train_seconds": round(seconds),
        "train_cpu_seconds": round(used),
    }
    print(json.dumps(run), file=sys.stderr)
    return run


def keep(run: dict[str, Any]) -> None:
    """Put ``run`` among what has been measured so far, in place of an earlier one of its kind."""
    path = results_file("detection_accuracy")
    before = json.loads(path.read_text())["runs"] if path.exists() else []
    others = [each for each in before if kind(each) != kind(run)]
    document = {
        "what": "Object detection, BCCD's official split: mean average precision on test",
        "command": "algoshelf train object-detection --train BCCD --validation BCCD OPTIONS",
        "runs": sorted(
            [*others, run], key=lambda each: (each["what"] == "from scratch", each["seed"])
        ),
        "environment": environment(),
    }
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(path)


def kind(run: dict[str, Any]) -> tuple[str, int]:
    return run["what"], run["seed"]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:] or ["1", "2", "3", "scratch"])
