"""Conformance checks of training: reproducible, on any devices, interrupted or not."""

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
from ..runtime import mx, params
from ..runtime.errors import InputError, Stopped
from ..runtime.types import Array
from .battery import RAISED, Battery, Fault, Skip, check
from .trial import StopAt, Trial, settings

OF_LAYERS = ("weight", "bias")  # as Gluon calls what its layers learn
# ‖a − b‖ / ‖a‖ over all parameters: on several devices sums are rounded otherwise, and adam
# enlarges that. Layers that see the part of a batch that is on their device learn other numbers.
MAX_DISTANCE = 0.02
MAX_DISTANCE_OF_REPLICAS = 0.25
OF_A_REPLICA = frozenset(["BatchNorm", "Dropout", "RNN"])
RANDOM = (
    "draw every random number from run.rng(…), and depend neither on the order of a set or a "
    "folder, nor on the time, nor on earlier trainings"
)
MAX_FILES = 50


@check(
    "sample",
    "hyperparameter-defaults",
    otherwise="let train(run) learn from the sample and end with run.save(…)",
)
def training(battery: Battery) -> Iterator[Fault]:
    """Training on the sample reports declared metrics only, among them the objective, and saves a
    model.
    """
    if battery.given_model is not None:
        raise Skip("a model is given: nothing is trained")
    if not mx.is_installed():
        raise Skip(f"training needs mxnet, which is not installed: check with {mx.PYTHONS}")
    cls, trial = battery.cls, battery.trial
    trial(battery.trained)
    battery.decisions = trial.decisions
    metadata = battery.artifact.metadata
    unknown = sorted(trial.heard - set(cls.metrics))
    if unknown:
        yield Fault(
            f"it reports {', '.join(unknown)}, which metrics does not describe",
            "describe each of them in metrics",
        )
    channel = cls.objective.metric.split(":")[0]
    if (
        cls.objective.metric in cls.metrics
        and cls.objective.metric not in trial.heard
        and channel in {"train", "validation", *battery.channels}
    ):
        yield Fault(
            f"it never reports its objective {cls.objective.metric}",
            "report it with run.report({…}) after each epoch: early stopping and tuning depend "
            "on it",
        )
    silent = sorted(set(battery.channels) - set(metadata.data))
    if silent:
        yield Fault(
            f"the artifact does not record the data of the channels {', '.join(silent)}",
            "set run.data[channel] to the SHA-256 of the examples that were read",
        )
    if metadata.hyperparameters != settings(cls, battery.channels).model_dump(mode="json"):
        yield Fault(
            "the artifact holds different hyperparameters from those of the training",
            "do not change run.hyperparameters",
        )


@check(
    otherwise=("give run.save(…, example=…) a request that the model can answer"),
)
def example(battery: Battery) -> Iterator[Fault]:
    """The saved model loads and answers its own example request, which a server uses as a health
    check.
    """
    if battery.given_model is None:
        battery.require("training")
    content_type = battery.model.metadata.example.content_type
    if content_type not in battery.cls.accepted_media_types():
        yield Fault(
            f"the artifact's example request is {content_type}, which accepts does not list",
            "give an example of a content type in accepts",
        )
    for accept, body in battery.handlers.example_responses().items():
        if not isinstance(body, bytes) or not body:
            yield Fault(f"output_fn returns {body!r} for {accept}", "return the body as bytes")


@check("training", "imports", otherwise=RANDOM)
def determinism(battery: Battery) -> Iterator[Fault]:
    """The same seed gives the same model files, byte for byte, in this process and in a new one."""
    again = battery.trial(battery.folder / "again")
    yield from _differences(battery.trained, again, "a second training in this process")
    there = Path(battery.fresh.value("train"))
    yield from _differences(battery.trained, there, "a training in a fresh process")


def _differences(one: Path, other: Path, which: str) -> Iterator[Fault]:
    """The files that differ, each with what makes it so."""
    for name, change in (
        (
            SYMBOL,
            "do not name blocks by a counter of your own; build the network in the same order "
            "each time",
        ),
        (PARAMETERS, RANDOM),
        (METADATA, "store nothing in it that depends on the time, the machine or chance"),
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
        yield Fault(f"{which} gives a different {name}{inside}", change)


@check(
    "example",
    "imports",
    otherwise=("let model_fn(folder) load the saved model in a process that did not train it"),
)
def fresh_process(battery: Battery) -> Iterator[Fault]:
    """A new process that did not train the model loads it and gives the same answers."""
    here = battery.handlers.example_responses()
    there = battery.fresh.value("answer")
    for name, body in here.items():
        if base64.b64decode(there.get(name, "")) != body:
            yield Fault(
                f"a new process answers the example request differently ({name})",
                "store everything that prediction needs in the artifact (encoding=…), and "
                "nothing on "
                "the class or in a global variable",
            )


@check(
    "determinism",
    otherwise="create the parameters on all of run.devices, and split each batch over them",
)
def devices(battery: Battery) -> Iterator[Fault]:
    """Training on two devices gives the parameters of training on one, except for rounding."""
    two = battery.trial(battery.folder / "devices", devices="cpu:2")
    one, other = _parameters(battery.trained), _parameters(two)
    if {n: a.shape for n, a in one.items()} != {n: a.shape for n, a in other.items()}:
        yield Fault(
            "two devices give parameters with different names or shapes from those of one",
            "let the network depend only on the data and the hyperparameters",
        )
        return
    graph = json.loads((two / SYMBOL).read_bytes())
    split = OF_A_REPLICA & {node["op"] for node in graph["nodes"]}
    limit = MAX_DISTANCE_OF_REPLICAS if split else MAX_DISTANCE
    # What is the same to the bit, such as the mean of a regression's targets, was not learned; but
    # weights may be, where rounding shows in biases alone, whose gradients nearly cancel.
    learned = [
        a for n, a in one.items() if n.endswith(OF_LAYERS) or not np.array_equal(a, other[n])
    ]
    size = sum(float(np.sum(a.astype(float) ** 2)) for a in learned)
    apart = sum(float(np.sum((a.astype(float) - other[n]) ** 2)) for n, a in one.items())
    distance = math.sqrt(apart / max(1e-12, size))
    if not distance <= limit:
        yield Fault(
            f"the parameters trained on cpu:2 differ from those trained on cpu by {distance:.2g} "
            "of "
            f"their norm; the limit is {limit:g}",
            "before each step, sum the gradients (or sums and counts) over all of run.devices, and "
            "divide by the number of examples in the whole batch",
        )


def _parameters(folder: Path) -> dict[str, Array]:
    return params.read(folder / PARAMETERS).arrays


@check("determinism", otherwise="let a training resume from its checkpoint without an exception")
def interruption(battery: Battery) -> Iterator[Fault]:
    """A training that is stopped and resumed ends with the same model files as an uninterrupted
    one.
    """
    decisions = battery.decisions
    if decisions == 0:
        yield Fault(
            "train never calls run.decide(), so it cannot be interrupted",
            "between steps, call decision = run.decide(); checkpoint if decision.save is set, "
            "raise "
            "Stopped if decision.stop is set, and end if decision.over is set",
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
                    "it continues although decision.stop was set",
                    "raise Stopped(message, decision.stop) if decision.stop is set",
                )
                return
            break
        if at > 0 and not any(entry.name.startswith("step-") for entry in entries(kept)):
            yield Fault(
                "it stopped without a checkpoint",
                "call run.checkpoint(…) if decision.save is set, before raising Stopped",
            )
            return
    battery.trial(output, checkpoints=kept)
    for fault in _differences(battery.trained, output, "the resumed training"):
        yield Fault(
            fault.wrong,
            "store in the checkpoint all that the next step depends on: the step, the parameters, "
            "the optimizer's state, the sums of the epoch; and draw random numbers by the step, "
            "run.rng(purpose, step)",
        )


@check(
    "interruption",
    "example",
    otherwise="end the training if run.decide().over is set, and save the model",
)
def time_limit(battery: Battery) -> Iterator[Fault]:
    """A training ends at its time limit and saves a working model."""
    output = battery.trial(battery.folder / "limited", max_runtime=1e-9)
    if 2 < battery.decisions <= battery.trial.decisions:
        yield Fault(
            "it continues although decision.over was set at the time limit",
            "end the training if decision.over is set, and save the model",
        )
    Handlers.load(battery.algorithm, output).example_responses()


@check("example", otherwise="let evaluate(model, path) return an Evaluation for the test channel")
def evaluation(battery: Battery) -> Iterator[Fault]:
    """The model can be evaluated on the test channel, and example predictions can be shown."""
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
            f"evaluate returns {found.metrics} for {found.examples} examples",
            "return finite metrics of at least one example",
        )
    drawn = battery.algorithm.preview(path, battery.model, 3, 80)
    if not isinstance(drawn, str):
        yield Fault(
            f"preview returns {type(drawn).__name__}",
            "return a str, empty if there is nothing to draw",
        )


@check("training", otherwise="raise a DataError with the path for data that cannot be read")
def refused_data(battery: Battery) -> Iterator[Fault]:
    """Unusable data is refused with a DataError that names the file."""
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
                        f"the error for {what} as the channel {channel.name} does not name the "
                        "path: "
                        f"{error}",
                        "begin the message with the path of the file, and the line if there is one",
                    )
            except RAISED as error:
                yield Fault(
                    f"{what} as the channel {channel.name}: raises {battery.shown(error)}",
                    'raise DataError(f"{path}: …") with what was expected, as the readers in '
                    "algoshelf.core.data.files do",
                )
            else:
                yield Fault(
                    f"{what} as the channel {channel.name} is accepted",
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
        for file in files[:MAX_FILES]:
            place = target if given.is_file() else target / file.relative_to(given)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(rng.bytes(size))
        yield what, target
