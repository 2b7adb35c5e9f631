"""Checks that train: the same bytes each time, on any devices, interrupted or not."""

from __future__ import annotations

import base64
import json
import math
import shutil
from pathlib import Path
from typing import Iterator

import numpy as np

from ..algorithm.base import Algorithm
from ..algorithm.channels import TEST
from ..artifact.metadata import METADATA, PARAMETERS, SYMBOL
from ..data.files import entries
from ..inference.handlers import Handlers
from ..runtime import params
from ..runtime.errors import InputError, Stopped
from ..runtime.types import Array
from .battery import RAISED, Battery, Fault, check
from .trial import StopAt, Trial, settings

# ‖a − b‖ / ‖a‖ over all parameters: on several devices sums are rounded otherwise, and adam
# enlarges that. Layers that see the part of a batch that is on their device learn other numbers.
MOST_DISTANCE = 0.02
MOST_DISTANCE_OF_REPLICAS = 0.25
OF_A_REPLICA = frozenset(["BatchNorm", "Dropout", "RNN"])
RANDOM = (
    "draw every random number from run.rng(…), and let nothing depend on the order of a "
    "set or a folder, on the time, or on what was trained before"
)
MOST_FILES = 50


@check(
    "sample",
    "hyperparameter-defaults",
    otherwise="train(run) has to learn from the sample and end with run.save(…)",
)
def training(battery: Battery) -> Iterator[Fault]:
    """It learns from the sample, reports metrics that it declares, and leaves an artifact."""
    cls, trial = battery.cls, battery.trial
    trial(battery.trained)
    battery.decisions = trial.decisions
    metadata = battery.artifact.metadata
    unknown = sorted(trial.heard - set(cls.metrics))
    if unknown:
        yield Fault(
            f"it reports {', '.join(unknown)}, which metrics does not describe",
            "describe each in metrics",
        )
    channel = cls.objective.metric.split(":")[0]
    if (
        cls.objective.metric in cls.metrics
        and cls.objective.metric not in trial.heard
        and channel in {"train", "validation", *battery.channels}
    ):
        yield Fault(
            f"it never reports its objective {cls.objective.metric}",
            "run.report({…}) it after each epoch: early stopping and tuning go by it",
        )
    silent = sorted(set(battery.channels) - set(metadata.data))
    if silent:
        yield Fault(
            f"the artifact does not say what data of {', '.join(silent)} it learned from",
            "run.data[channel] = the SHA-256 of the examples that were read",
        )
    if metadata.hyperparameters != settings(cls).model_dump(mode="json"):
        yield Fault(
            "the artifact holds other hyperparameters than it was trained with",
            "keep what the run was given in run.hyperparameters",
        )


@check(
    "training",
    otherwise=(
        "the artifact's own example (run.save(…, example=…)) must be a request that it answers"
    ),
)
def example(battery: Battery) -> Iterator[Fault]:
    """The artifact loads, and answers the example that it carries: a server proves itself so."""
    content_type = battery.model.metadata.example.content_type
    if content_type not in battery.cls.accepted():
        yield Fault(
            f"the artifact's example is {content_type}, which accepts does not list",
            "give an example of a type that is accepted",
        )
    for accept, body in battery.handlers.example_responses().items():
        if not isinstance(body, bytes) or not body:
            yield Fault(f"output_fn gives {body!r} for {accept}", "return the body as bytes")


@check("training", "imports", otherwise=RANDOM)
def determinism(battery: Battery) -> Iterator[Fault]:
    """The same seed gives the same artifact, byte for byte, here and in a fresh process."""
    again = battery.trial(battery.folder / "again")
    yield from _differences(battery.trained, again, "a second training in this process")
    there = Path(battery.fresh.value("train"))
    yield from _differences(battery.trained, there, "a training in a fresh process")


def _differences(one: Path, other: Path, which: str) -> Iterator[Fault]:
    """The files that differ, each with what makes it so."""
    for name, change in (
        (
            SYMBOL,
            "name no block by a counter of your own; build the network in the same order each time",
        ),
        (PARAMETERS, RANDOM),
        (METADATA, "put nothing into it that depends on time, place or chance"),
    ):
        if (one / name).read_bytes() == (other / name).read_bytes():
            continue
        inside = ""
        if name == METADATA:
            a, b = (json.loads((folder / name).read_bytes()) for folder in (one, other))
            keys = [key for key in sorted({*a, *b} - {"sha256"}) if a.get(key) != b.get(key)]
            if not keys:
                continue  # it differs by the digests of the files that differ
            inside = f" ({', '.join(keys)})"
        yield Fault(f"{which} gives another {name}{inside}", change)


@check(
    "example",
    "imports",
    otherwise=(
        "model_fn(folder) has to load what train left, in a process that knows nothing "
        "of the training"
    ),
)
def fresh_process(battery: Battery) -> Iterator[Fault]:
    """A process that has never seen the training loads the artifact and answers the same."""
    here = battery.handlers.example_responses()
    there = battery.fresh.value("answer")
    for name, body in here.items():
        if base64.b64decode(there.get(name, "")) != body:
            yield Fault(
                f"a fresh process answers the example otherwise ({name})",
                "keep all that answering needs in the artifact (encoding=…), nothing on the "
                "class or in a global",
            )


@check(
    "determinism", otherwise="create parameters on all of run.devices, and divide a batch over them"
)
def devices(battery: Battery) -> Iterator[Fault]:
    """Two devices learn what one learns, but for rounding."""
    two = battery.trial(battery.folder / "devices", devices="cpu:2")
    one, other = _parameters(battery.trained), _parameters(two)
    if {n: a.shape for n, a in one.items()} != {n: a.shape for n, a in other.items()}:
        yield Fault(
            "two devices give other parameters, or other shapes, than one",
            "let the network depend on the data and the hyperparameters alone",
        )
        return
    graph = json.loads((two / SYMBOL).read_bytes())
    split = OF_A_REPLICA & {node["op"] for node in graph["nodes"]}
    limit = MOST_DISTANCE_OF_REPLICAS if split else MOST_DISTANCE
    # What is the same to the bit, such as the mean of a regression's targets, was not learned.
    learned = [a for n, a in one.items() if not np.array_equal(a, other[n])]
    size = sum(float(np.sum(a.astype(float) ** 2)) for a in learned)
    apart = sum(float(np.sum((a.astype(float) - other[n]) ** 2)) for n, a in one.items())
    distance = math.sqrt(apart / max(1e-12, size))
    if not distance <= limit:
        yield Fault(
            f"the parameters learned on cpu:2 are {distance:.2g} of their size away from "
            f"those learned on cpu; the limit is {limit:g}",
            "sum gradients, or sums and counts, over all of run.devices before a step, and "
            "divide by the examples of the whole batch",
        )


def _parameters(folder: Path) -> dict[str, Array]:
    return params.read(folder / PARAMETERS).arrays


@check("determinism", otherwise="a run that goes on from its checkpoint must not raise")
def interruption(battery: Battery) -> Iterator[Fault]:
    """Stopped and started again, it ends with the very bytes of the uninterrupted run."""
    decisions = battery.decisions
    if decisions == 0:
        yield Fault(
            "train never asks run.decide(), so it cannot be interrupted",
            "between steps: decision = run.decide(); checkpoint where decision.save, raise "
            "Stopped where decision.stop, end where decision.over",
        )
        return
    kept, output = battery.folder / "checkpoints", battery.folder / "resumed"
    # Early, then in the midst of what is left: within an epoch and in another one.
    for at in (min(1, decisions - 1), decisions // 2):
        try:
            battery.trial(output, stop=StopAt(at), checkpoints=kept)
        except Stopped:
            pass
        else:
            if battery.trial.decisions > at:
                yield Fault(
                    "it goes on although run.decide() said stop",
                    "raise Stopped(message, decision.stop) where decision.stop is set",
                )
                return
            break
        if at > 0 and not any(entry.name.startswith("step-") for entry in entries(kept)):
            yield Fault(
                "it stopped without keeping a checkpoint",
                "call run.checkpoint(…) where decision.save is set, before raising Stopped",
            )
            return
    battery.trial(output, checkpoints=kept)
    for fault in _differences(battery.trained, output, "the run that went on from its checkpoint"):
        yield Fault(
            fault.wrong,
            "keep in the checkpoint all that the next step depends on: step, parameters, the "
            "optimizer's state, sums of an epoch; and draw random numbers by the step, "
            "run.rng(purpose, step)",
        )


@check(
    "interruption",
    "example",
    otherwise="end the training where run.decide().over is set, and save what there is",
)
def time_limit(battery: Battery) -> Iterator[Fault]:
    """When its time is over it ends, and saves a model that answers."""
    output = battery.trial(battery.folder / "limited", max_runtime=1e-9)
    if 2 < battery.decisions <= battery.trial.decisions:
        yield Fault(
            "it goes on although run.decide() said that the time is over",
            "end the training where decision.over is set, and save what there is",
        )
    Handlers.load(battery.algorithm, output).example_responses()


@check(
    "example", otherwise="evaluate(model, path) has to return an Evaluation for the test channel"
)
def evaluation(battery: Battery) -> Iterator[Fault]:
    """The model can be measured on the test channel, and its examples shown."""
    path = battery.channels.get(TEST)
    if path is None or battery.cls.evaluate is Algorithm.evaluate:
        return
    found = battery.algorithm.evaluate(battery.model, path)
    if (
        found.examples < 1
        or not found.metrics
        or not all(math.isfinite(v) for v in found.metrics.values())
    ):
        yield Fault(
            f"evaluate gives {found.metrics} of {found.examples} examples",
            "return finite metrics of at least one example",
        )
    drawn = battery.algorithm.sketch(path, battery.model, 3, 80)
    if not isinstance(drawn, str):
        yield Fault(
            f"sketch gives {type(drawn).__name__}",
            "return text; an empty one where there is nothing to draw",
        )


@check("training", otherwise="raise DataError, with the path, for what cannot be read")
def refused_data(battery: Battery) -> Iterator[Fault]:
    """Data that cannot be learned from is refused with a DataError that names the file."""
    for channel in battery.cls.channels:
        if channel.name not in battery.channels:
            continue
        for what, path in _spoilt(battery, channel.name):
            trial = Trial(battery.algorithm, {**battery.channels, channel.name: path})
            try:
                trial(battery.folder / "refused")
            except InputError as error:
                if str(path) not in str(error):
                    yield Fault(
                        f"the channel {channel.name} as {what} is refused without its path: "
                        f"{error}",
                        "begin the message with the path of the file, and its line where it "
                        "has one",
                    )
            except RAISED as error:
                yield Fault(
                    f"the channel {channel.name} as {what} raises {battery.shown(error)}",
                    'raise DataError(f"{path}: …"), which says what was expected; '
                    "algoshelf.core.data.files reads so",
                )
            else:
                yield Fault(
                    f"it learns from {what} as the channel {channel.name}",
                    "refuse it with DataError",
                )


def _spoilt(battery: Battery, channel: str) -> Iterator[tuple[str, Path]]:
    """An empty folder, and the sample itself with every file empty, or full of random bytes."""
    given = battery.channels[channel]
    base = battery.folder / "spoilt" / channel
    empty = base / "an empty folder"
    empty.mkdir(parents=True, exist_ok=True)
    yield "an empty folder", empty
    rng = np.random.default_rng(0)
    for what, size in (("empty files", 0), ("files of random bytes", 4000)):
        target = base / what / given.name
        shutil.rmtree(target, ignore_errors=True)
        files = [given] if given.is_file() else [p for p in sorted(given.rglob("*")) if p.is_file()]
        for file in files[:MOST_FILES]:
            place = target if given.is_file() else target / file.relative_to(given)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(rng.bytes(size))
        yield what, target
