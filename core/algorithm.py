"""What an algorithm is: one class with its name, its hyperparameters, and five verbs.

The verbs and their signatures are those of SageMaker's script mode: ``train``, ``model_fn``,
``input_fn``, ``predict_fn``, ``output_fn``. An algorithm holds no state of its own: what a
training is told comes in a Run, what it leaves goes into the artifact.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    Mapping,
    TypeVar,
)

from .artifact import Artifact, Model
from .channels import Channel
from .errors import ArtifactError, InputError
from .hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from .evaluation import Evaluation
    from .training.run import Run

H = TypeVar("H", bound=Hyperparameters)


@dataclass(frozen=True)
class ContentType:
    """A content type that an algorithm accepts or answers: what the body holds, and an example.

    ``parameters`` are what a request may add to it, each as ``name=choice|choice: meaning``:
    ``Content-Type: image/png; invert=no``. What reads them is ``codecs.parameter``.
    """

    name: str
    description: str
    example: str = ""
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True)
class Objective:
    """The metric that chooses between trainings, by its full name (``validation:accuracy``)."""

    metric: str
    maximize: bool


@dataclass(frozen=True)
class PublishedResult:
    """A figure that others published for the same task, to judge one's own by."""

    metric: str
    value: float
    data: str
    source: str


class Algorithm(ABC, Generic[H]):
    """Subclass it, set the attributes, write the verbs; ``Classifier`` leaves far less to write.

    ``quick`` are the hyperparameters with which ``algoshelf check`` trains on the sample in
    seconds; without them it changes ``epochs`` alone, where there are any. ``extras`` are those of
    its distribution that it needs: what it is packaged with holds their requirements.
    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    task: ClassVar[str]
    summary: ClassVar[str]
    Hyperparameters: ClassVar[type[Hyperparameters]]
    channels: ClassVar[tuple[Channel, ...]]
    accepts: ClassVar[tuple[ContentType, ...]]
    answers: ClassVar[tuple[ContentType, ...]]
    metrics: ClassVar[dict[str, str]]
    objective: ClassVar[Objective]
    published: ClassVar[tuple[PublishedResult, ...]] = ()
    quick: ClassVar[Mapping[str, Any]] = {}
    extras: ClassVar[tuple[str, ...]] = ()

    def sample(self) -> dict[str, Path]:
        """Channel to path of the bundled sample; empty where there is none."""
        return {}

    @abstractmethod
    def train(self, run: Run[H]) -> None:
        """Learn from ``run.channels`` under ``run.hyperparameters``; end with ``run.save``."""

    @abstractmethod
    def input_fn(self, request_body: bytes, request_content_type: str) -> Any:
        """A request's examples, in whatever form ``predict_fn`` takes; raises PayloadError."""

    @abstractmethod
    def predict_fn(self, input_data: Any, model: Model) -> Any:
        """The answers to a batch of examples, in their order."""

    @abstractmethod
    def output_fn(self, prediction: Any, accept: str) -> bytes:
        """The body that holds the answers; raises NotAcceptableError."""

    def model_fn(self, model_dir: str | Path, device: Any = None) -> Model:
        """The model in ``model_dir``, loaded on ``device``.

        Raises ArtifactError where it is damaged, or made by another algorithm or version.
        """
        return self.artifact(Path(model_dir)).load(device)

    def artifact(self, model_dir: Path) -> Artifact:
        """The artifact in ``model_dir``, which this algorithm made; raises ArtifactError."""
        artifact = Artifact.open(model_dir)
        made_by = f"{artifact.metadata.algorithm} {artifact.metadata.algorithm_version}"
        if made_by != f"{self.name} {self.version}":
            raise ArtifactError(
                f"{model_dir}: made by {made_by} ({artifact.metadata.distribution or 'unknown'}), "
                f"but {self.name} {self.version} is to load it: install the one, or train again"
            )
        return artifact

    def evaluate(self, model: Model, path: Path) -> Evaluation:
        """How well ``model`` does on the examples of ``path``."""
        raise InputError(f"{self.name} defines no evaluation")

    def sketch(self, path: Path, model: Model, count: int, width: int) -> str:
        """``count`` examples of ``path`` with their answers, drawn in ``width`` columns of text."""
        return ""

    @classmethod
    def accepted(cls) -> tuple[str, ...]:
        """The media types of ``accepts``."""
        return tuple(content_type.name for content_type in cls.accepts)

    @classmethod
    def answered(cls) -> tuple[str, ...]:
        """The media types of ``answers``, the default first."""
        return tuple(content_type.name for content_type in cls.answers)
