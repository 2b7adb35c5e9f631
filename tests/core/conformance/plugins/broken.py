"""Plugins that are each broken in one way; ``breaks`` names the check that is to find it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Optional

import numpy as np
from algoshelf.core import (
    ArrayDataset,
    ContentType,
    Evaluation,
    HyperparameterError,
    Objective,
    Regressor,
    codecs,
    files,
    mx,
)
from algoshelf.core.training.run import Decision
from my_algorithm import CLASSES, SAMPLE, MyAlgorithm, MyAlgorithmHyperparameters
from pydantic import Field, field_validator

BROKEN: list[type[Broken]] = []


class Broken(MyAlgorithm):
    """The scaffold's algorithm, which is sound, and how each subclass breaks it."""

    breaks: ClassVar[str]

    def __init_subclass__(cls) -> None:
        BROKEN.append(cls)


class Unsummarized(Broken):
    breaks = "metadata"
    summary = ""


class WithContentTypeParameters(Broken):
    breaks = "metadata"
    accepts = (*Broken.accepts, ContentType("Text/CSV; header=absent", "the same"))


class ObjectiveMisspelt(Broken):
    breaks = "objective"
    objective = Objective("validation:acuracy", maximize=True)


class Unbounded(Broken):
    breaks = "hyperparameter-defaults"

    class Hyperparameters(MyAlgorithmHyperparameters):
        noise: float = Field(0.0, description="without a range")


class QuickOutOfRange(Broken):
    breaks = "hyperparameter-defaults"
    check_hyperparameters = {"units": 0}


class WithoutHyphens(Broken):
    breaks = "hyperparameter-strings"

    class Hyperparameters(MyAlgorithmHyperparameters):
        @classmethod
        def parse(cls, values: Any, label: Any = str) -> Any:
            if any("-" in name for name in values):
                raise HyperparameterError("hyphens")
            return super().parse(values, label)


class NoneIsText(Broken):
    breaks = "hyperparameter-strings"

    class Hyperparameters(MyAlgorithmHyperparameters):
        norm: Optional[str] = Field("none", description="read as None")  # noqa: UP045


class Clamps(Broken):
    breaks = "hyperparameter-ranges"

    class Hyperparameters(MyAlgorithmHyperparameters):
        @field_validator("units", mode="before")
        @classmethod
        def clamp(cls, value: Any) -> Any:
            return min(max(value, 1), 4096) if isinstance(value, int) else value


class LeftOut(Broken):
    breaks = "hyperparameter-round-trip"
    check_hyperparameters = {"units": 8}

    class Hyperparameters(MyAlgorithmHyperparameters):
        units: int = Field(16, ge=1, le=4096, description="width", exclude=True)


class SampleNotInstalled(Broken):
    breaks = "sample"

    def sample(self) -> Any:
        return {"train": SAMPLE / "trian.csv"}


class NoSample(Broken):
    breaks = "sample"

    def sample(self) -> Any:
        return {}


class MetricNotDeclared(Broken):
    breaks = "training"
    metrics = {name: text for name, text in Broken.metrics.items() if name != "train:loss"}


class SavesNothing(Broken):
    breaks = "training"

    def train(self, run: Any) -> None:
        run.report({"validation:accuracy": 1.0}, epoch=1, step=1)


class DrawsAtRandom(Broken):
    """Its network holds an operator that no model may hold, which is said before it trains."""

    breaks = "training"

    def network(self, *arguments: Any) -> Any:
        class Noisy(mx.gluon.HybridBlock):  # type: ignore[misc]
            def hybrid_forward(self, operators: Any, x: Any) -> Any:
                return x + operators.random.normal_like(x)

        whole = mx.gluon.nn.HybridSequential()
        whole.add(Noisy(), super().network(*arguments))
        return whole


class LoadsAnother(Broken):
    breaks = "example"

    def model_fn(self, model_dir: Any, device: Any = None) -> Any:
        return super().model_fn(f"{model_dir}-of-yesterday", device)


class UnseededNoise(Broken):
    breaks = "determinism"

    def augment(self, x: Any, y: Any, hyperparameters: Any, rng: Any) -> Any:
        return x + mx.nd.array(np.random.default_rng().normal(size=x.shape), ctx=x.context), y


class OrderOfASet(Broken):
    breaks = "determinism"

    def dataset(self, *arguments: Any, **named: Any) -> Any:
        return WithWords(super().dataset(*arguments, **named))


class WithWords(ArrayDataset):
    """Its vocabulary stands in the order of a set, which is another in every process."""

    words = list({f"word {number}" for number in range(50)})

    def __init__(self, data: ArrayDataset) -> None:
        super().__init__(data.x, data.y, data.classes)

    @property
    def encoding(self) -> Any:
        return {**super().encoding, "vocabulary": self.words}


class KnowsOnlyHere(Broken):
    breaks = "fresh-process"
    scale = 1.0

    def dataset(self, *arguments: Any, **named: Any) -> Any:
        type(self).scale = 0.1
        return super().dataset(*arguments, **named)

    def input_fn(self, request_body: bytes, request_content_type: str) -> Any:
        return super().input_fn(request_body, request_content_type) * self.scale


class FasterOnTwo(Broken):
    breaks = "devices"

    def train(self, run: Any) -> None:
        rate = run.hyperparameters.learning_rate * len(run.devices)
        run.hyperparameters = run.hyperparameters.model_copy(update={"learning_rate": rate})
        super().train(run)


class FasterOnTwoByMillions(Regressor[MyAlgorithmHyperparameters]):
    """Its targets' mean, which its model holds beside what it has learned, is large."""

    breaks = "devices"
    name = "faster-on-two"
    task = "tabular-regression"
    summary = "Estimates sizes, in units of a tenth of a micrometre."
    Hyperparameters = MyAlgorithmHyperparameters
    channels = MyAlgorithm.channels
    accepts = MyAlgorithm.accepts

    def sample(self) -> dict[str, Path]:
        return {"train": SAMPLE / "train.csv", "test": SAMPLE / "test.csv"}

    def dataset(
        self, path: Path, channel: str, hyperparameters: Any, encoding: Any = None
    ) -> ArrayDataset:
        rows = files.read_numbers_csv(path, columns=5, target_first=True)
        return ArrayDataset(rows[:, 1:], rows[:, 4] * 1e5 + 1e6)

    def network(self, hyperparameters: Any, data: Any) -> Any:
        return mx.gluon.nn.Dense(1)

    def train(self, run: Any) -> None:
        rate = run.hyperparameters.learning_rate * len(run.devices)
        run.hyperparameters = run.hyperparameters.model_copy(update={"learning_rate": rate})
        super().train(run)


BROKEN.append(FasterOnTwoByMillions)  # type: ignore[arg-type]


class CountsFromZero(Broken):
    breaks = "interruption"
    batches = 0

    def train(self, run: Any) -> None:
        self.batches = 0
        super().train(run)

    def augment(self, x: Any, y: Any, hyperparameters: Any, rng: Any) -> Any:
        self.batches += 1
        return x * (1 + 0.01 * self.batches), y


class NeverAsks(Broken):
    breaks = "interruption"

    def train(self, run: Any) -> None:
        run.decide = lambda: Decision(stop=0, over=False, save=False)
        super().train(run)


class GoesOn(Broken):
    breaks = "time-limit"

    def train(self, run: Any) -> None:
        decide = run.decide
        run.decide = lambda: decide()._replace(over=False)
        super().train(run)


class EvaluatesToNothing(Broken):
    breaks = "evaluation"

    def evaluate(self, model: Any, path: Any) -> Evaluation:
        return Evaluation(0, {})


class LearnsFromAnything(Broken):
    breaks = "refused-data"

    def dataset(self, path: Any, *arguments: Any, **named: Any) -> Any:
        try:
            return super().dataset(path, *arguments, **named)
        except Exception:
            return ArrayDataset(np.eye(9, 4), np.arange(9, dtype=np.int32) % 3, CLASSES)


class LosesThePath(Broken):
    breaks = "refused-data"

    def dataset(self, path: Any, *arguments: Any, **named: Any) -> Any:
        text = path.read_text() or "0"
        rows = np.array([line.split(",") for line in text.splitlines()], np.float32)
        return ArrayDataset(rows[:, 1:], rows[:, 0].astype(np.int32), CLASSES)


class ReadsJsonOtherwise(Broken):
    breaks = "content-types-in"

    def input_fn(self, request_body: bytes, request_content_type: str) -> Any:
        array = super().input_fn(request_body, request_content_type)
        return array / 10 if "json" in request_content_type else array


class ReadsNoJson(Broken):
    breaks = "content-types-in"

    def input_fn(self, request_body: bytes, request_content_type: str) -> Any:
        content_type = codecs.check_content_type(request_content_type, [codecs.CSV])
        return codecs.decode_array(request_body, content_type)


class WritesPython(Broken):
    breaks = "content-types-out"

    def output_fn(self, prediction: Any, accept: str) -> bytes:
        body = super().output_fn(prediction, accept)
        content_type = codecs.negotiate(accept, self.response_media_types())
        return str(json.loads(body)).encode() if content_type == codecs.JSON else body


class LooksAround(Broken):
    breaks = "batches"

    def predict_fn(self, input_data: Any, model: Any) -> Any:
        return super().predict_fn(input_data - input_data.mean(axis=0), model)


class TrustsRequests(Broken):
    breaks = "refused-requests"

    def input_fn(self, request_body: bytes, request_content_type: str) -> Any:
        content_type = codecs.check_content_type(request_content_type, self.accepted_media_types())
        if content_type == codecs.JSON:
            return np.array(json.loads(request_body)["instances"], np.float32)
        return codecs.decode_array(request_body, content_type)


class TakesAnyType(Broken):
    breaks = "refused-content-types"

    def input_fn(self, request_body: bytes, request_content_type: str) -> Any:
        json_like = "json" in request_content_type.lower()
        return codecs.decode_array(request_body, codecs.JSON if json_like else codecs.CSV)


class AnswersAnyType(Broken):
    breaks = "refused-content-types"

    def output_fn(self, prediction: Any, accept: str) -> bytes:
        return super().output_fn(prediction, accept if "no-such" not in accept else codecs.JSON)


class HasNoForm(Broken):
    breaks = "onnx"

    def network(self, hyperparameters: Any, data: Any) -> Any:
        network = super().network(hyperparameters, data)
        network.add(mx.gluon.nn.HybridLambda(lambda ops, x: x + ops.erfinv(ops.tanh(x) / 2)))
        return network
