"""MobileNetV2 on a thousand pictures: with frozen ImageNet weights, and from scratch.

    python transfer_accuracy.py WEIGHTS.params [SEED ...]

Trains image-classification on its bundled sample (1,000 pictures of CIFAR-10, enlarged to 96
pixels) through the command line, and evaluates on the sample's 300 test pictures. From scratch it
gets the same options, once for as many epochs and once for four times as many. WEIGHTS.params are
those of mxnet.gluon.model_zoo.vision.mobilenet_v2_1_0().features. About ten minutes on two cores.
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

EPOCHS = 4
OPTIONS = ("--network", "gluon:mobilenetv2_1.0", "--image-size", 96)
FROZEN = ("--frozen", "true", "--optimizer", "adam", "--learning-rate", 0.003)


def main(weights: Path, seeds: list[int]) -> None:
    if not weights.is_file():
        sys.exit(f"{weights}: no such file; give the weights of MobileNetV2")
    sample = algoshelf_sample()
    runs = []
    for seed in seeds:
        pretrained = ("--model", weights, *FROZEN)
        for name, given, epochs in (
            ("frozen ImageNet weights", pretrained, EPOCHS),
            ("from scratch", (), EPOCHS),
            ("from scratch, four times as long", (), 4 * EPOCHS),
        ):
            options = (*OPTIONS, *given, "--epochs", epochs)
            shown = [str(word) if word is not weights else "WEIGHTS" for word in options]
            runs.append({"what": name, "seed": seed, "options": " ".join(shown)})
            runs[-1].update(trained(sample, seed, options))
            print(json.dumps(runs[-1]), file=sys.stderr)
            keep(runs)


def keep(runs: list[dict[str, Any]]) -> None:
    """Write what has been measured so far."""
    document = {
        "command": "algoshelf train image-classification --train SAMPLE OPTIONS --seed SEED",
        "data": "the bundled sample: 1,000 pictures to train on, 300 to test",
        "runs": runs,
        "environment": environment(),
    }
    path = results_file("transfer_accuracy")
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(path)


def algoshelf_sample() -> Path:
    """The folder of the bundled sample."""
    from algoshelf.algorithms import image_classification

    return image_classification.SAMPLE


def trained(sample: Path, seed: int, options: tuple[object, ...]) -> dict[str, Any]:
    """Accuracy and time of one training."""
    with tempfile.TemporaryDirectory() as scratch:
        model = Path(scratch, "model")
        start = time.monotonic()
        common = ("--train", sample, "--seed", seed, "--output", model)
        document = algoshelf("train", "image-classification", *common, *options)
        seconds = time.monotonic() - start
        evaluated = algoshelf("evaluate", model, "--test", sample)
    return {
        "test_accuracy": evaluated["metrics"]["accuracy"],
        "interval_95": evaluated["intervals"]["accuracy"],
        "validation_accuracy": document["metrics"]["validation:accuracy"],
        "train_seconds": round(seconds),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), [int(seed) for seed in sys.argv[2:]] or [1])
