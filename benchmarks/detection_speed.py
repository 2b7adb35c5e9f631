"""Speed of training object-detection's ssd, beside gluon-cv's own loop for SSD.

    python detection_speed.py BCCD

Both learn the same network (MobileNetV2, the head of ssd) from the same PICTURES of BCCD, a folder
in VOC's form, at 256 pixels in batches of 8, with augmentation. ``gluoncv`` makes the calls of
gluon-cv's scripts/detection/ssd/train_ssd.py: its transform, which also finds the targets, in four
worker processes, its SSDMultiBoxLoss, its metrics, SGD. Ours is measured twice: "all layers", as
gluon-cv trains it, from random weights and by the statistics of the batch, and "transfer", as it
is with --weights: the first layers frozen, all by the statistics they were given. Sides are run in
turn, ROUNDS times, each a process of its own with one thread an operator; what counts is the median
of the ratios within a round. ``cpu`` are the same by seconds of a processor, which on a machine
that others use too tell more: the time of LONG epochs less that of SHORT. Needs the extra vision.
"""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

from command import processor_seconds

ROUNDS = 3
PICTURES, SIDE, BATCH = 32, 256, 8
SHORT, LONG = 1, 3  # epochs
LOADERS = 4  # the script's default
CLASSES = ("Platelets", "RBC", "WBC")
OPTIONS = f"--image-size {SIDE} --batch-size {BATCH}"
WEIGHTS = "--weights mobilenetv2-imagenet"


def main(bccd: Path) -> None:
    rounds: list[dict[str, dict[str, float]]] = []
    with tempfile.TemporaryDirectory() as scratch:
        part = laid_out(bccd, Path(scratch))
        sides: dict[str, Callable[[int], float]] = {
            "all layers": lambda epochs: ours(part, epochs, ""),
            "transfer": lambda epochs: ours(part, epochs, WEIGHTS),
            "gluoncv": lambda epochs: float(
                output([sys.executable, __file__, str(part.parent), str(epochs)]).split()[-1]
            ),
        }
        for _ in range(ROUNDS):
            rounds.append({name: measured(side) for name, side in sides.items()})
            print(json.dumps(rounds[-1]), file=sys.stderr)
            keep(rounds)


def keep(rounds: list[dict[str, dict[str, float]]]) -> None:
    """Write what has been measured so far."""
    from environment import environment, results_file

    ratios = {
        f"ssd, {side} / gluoncv, {told}": [r[side][name] / r["gluoncv"][name] for r in rounds]
        for side in ("all layers", "transfer")
        for name, told in (
            ("pictures/s", "pictures/s"), ("pictures/cpu s", "pictures a second of a processor")
        )
    }  # fmt: skip
    document = {
        "what": f"Training ssd on BCCD, {SIDE} pixels, batch {BATCH}",
        "command": f"algoshelf train object-detection {OPTIONS} [{WEIGHTS}]",
        "median_ratios": {name: round(statistics.median(v), 3) for name, v in ratios.items()},
        "ratios": {name: [round(x, 3) for x in values] for name, values in ratios.items()},
        "rounds": rounds,
        "environment": environment(),
    }
    path = results_file("detection_speed")
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(f"{path}: {document['median_ratios']}")


def laid_out(bccd: Path, folder: Path) -> Path:
    """BCCD with so many pictures to train on, and one to validate by."""
    part = folder / "VOCbccd"
    split = part / "ImageSets" / "Main"
    split.mkdir(parents=True)
    for name in ("Annotations", "JPEGImages"):
        (part / name).symlink_to((bccd / name).resolve())
    for name, count in (("train", PICTURES), ("val", 1)):
        names = (bccd / "ImageSets" / "Main" / f"{name}.txt").read_text().split()[:count]
        (split / f"{name}.txt").write_text("\n".join(names) + "\n")
    return part


def measured(side: Callable[[int], float]) -> dict[str, float]:
    """What a side takes for LONG epochs, and by the difference from SHORT, of a processor."""
    spent, rate = [], 0.0
    for epochs in (SHORT, LONG):
        before = processor_seconds()
        rate = side(epochs)
        spent.append(processor_seconds() - before)
    used = PICTURES * (LONG - SHORT) / (spent[1] - spent[0])
    return {"pictures/s": round(rate, 3), "pictures/cpu s": round(used, 3)}


def ours(part: Path, epochs: int, more: str) -> float:
    """Pictures a second of the last epoch, as the training reports it."""
    from command import ALGOSHELF

    words = [*OPTIONS.split(), *more.split(), "--epochs", epochs, "--output", part.parent / "model"]
    channels = ["--train", part, "--validation", part]
    told = output([ALGOSHELF, "train", "object-detection", *map(str, channels + words)])
    return float(re.findall(r"train:throughput=([0-9.e+]+)", told)[-1])


def output(command: list[str]) -> str:
    """What a process says."""
    run = subprocess.run(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if run.returncode:
        sys.exit(run.stdout)
    return run.stdout


def gluoncv(root: Path, epochs: int) -> float:
    """Pictures a second of the last epoch of gluon-cv's script."""
    import numpy as np

    np.bool = bool  # as its users set it beside numpy 1.24 and later
    import mxnet as mx
    from algoshelf.algorithms.object_detection import ssd
    from gluoncv.data import VOCDetection
    from gluoncv.data.batchify import Stack, Tuple
    from gluoncv.data.transforms.presets.ssd import SSDDefaultTrainTransform
    from gluoncv.loss import SSDMultiBoxLoss

    class Cells(VOCDetection):  # type: ignore[misc]
        CLASSES = tuple(name.lower() for name in CLASSES)

    class Network(mx.gluon.HybridBlock):  # type: ignore[misc]
        """ssd's network with a class for what is nothing, as the script's loss has it."""

        def __init__(self) -> None:
            super().__init__()
            self.whole = ssd.network(len(CLASSES) + 1, SIDE, 96)

        def hybrid_forward(self, F: Any, x: Any) -> Any:  # noqa: N803
            found, anchors = self.whole(x)
            scores = F.slice_axis(found, axis=2, begin=0, end=-4)
            offsets = F.slice_axis(found, axis=2, begin=-4, end=None)
            return scores, offsets, F.slice_axis(anchors, axis=2, begin=0, end=4)

    mx.random.seed(1)
    network = Network()
    network.initialize(mx.init.Xavier())
    boxes = np.stack([np.linspace(0.06, 0.45, 9)] * 2, axis=1)
    ssd.set_anchors(network.whole, boxes, SIDE)
    with mx.autograd.train_mode():
        anchors = network(mx.nd.zeros((1, 3, SIDE, SIDE)))[2]
    data = Cells(root=str(root), splits=[("VOCbccd", "train")])
    loader = mx.gluon.data.DataLoader(
        data.transform(SSDDefaultTrainTransform(SIDE, SIDE, anchors)),
        BATCH,
        True,
        batchify_fn=Tuple(Stack(), Stack(), Stack()),
        last_batch="rollover",
        num_workers=LOADERS,
    )
    settings = {"learning_rate": 1e-3, "wd": 5e-4, "momentum": 0.9}
    trainer = mx.gluon.Trainer(network.collect_params(), "sgd", settings, update_on_kvstore=None)
    multibox = SSDMultiBoxLoss()
    crosses, distances = mx.metric.Loss("CrossEntropy"), mx.metric.Loss("SmoothL1")
    devices, rate = [mx.cpu()], 0.0
    network.hybridize(static_alloc=True, static_shape=True)
    for _ in range(epochs):
        start, seen = time.perf_counter(), 0
        for metric in (crosses, distances):
            metric.reset()
        for batch in loader:
            xs, classes, edges = (
                mx.gluon.utils.split_and_load(part, ctx_list=devices, batch_axis=0)
                for part in batch
            )
            with mx.autograd.record():
                scores, offsets = zip(*(network(x)[:2] for x in xs))
                total, of_classes, of_boxes = multibox(list(scores), list(offsets), classes, edges)
                mx.autograd.backward(total)
            trainer.step(1)
            crosses.update(0, [each * BATCH for each in of_classes])
            distances.update(0, [each * BATCH for each in of_boxes])
            seen += BATCH
        crosses.get(), distances.get()
        mx.nd.waitall()
        rate = seen / (time.perf_counter() - start)
    return rate


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(gluoncv(Path(sys.argv[1]), int(sys.argv[2])))
    else:
        main(Path(sys.argv[1]))
