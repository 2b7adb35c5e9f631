"""The base class of all algorithms: their attributes, and the methods of SageMaker's script mode.

The verbs and their signatures are those of SageMaker's script mode: ``train``, ``model_fn``,
``input_fn``, ``predict_fn``, ``output_fn``. An algorithm holds no state of its own: what a
training is told comes in a Run, what it leaves goes into the artifact.
"""

from __future__ import annotations

import math
from abc import ABCMeta, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ClassVar,
    Collection,
    Generic,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    TypeVar,
)

from ..artifact.folder import Artifact, Examined
from ..artifact.metadata import Metadata
from ..artifact.model import Model
from ..runtime.deprecated import OF_ALGORITHMS, Renamed
from ..runtime.errors import ArtifactError, HyperparameterError, InputError
from ..runtime.graph import Fit
from ..runtime.types import Array
from ..weights import folder as pretrained
from .channels import MODEL, Channel
from .hyperparameters import Hyperparameters

if TYPE_CHECKING:
    from ..artifact.adoption import Adopted, Foreign
    from ..training.run import Run
    from .evaluation import Evaluation, Importance

H = TypeVar("H", bound=Hyperparameters)
Draw = Callable[[int], Sequence[int]]
# The networks of the catalog take up to 380, or much less than ``max_work``.
WORK_PER_PARAMETER = 500


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


class _AlgorithmType(Renamed, ABCMeta):
    """Makes Algorithm abstract, and its attributes known by their old names."""


class Algorithm(Generic[H], metaclass=_AlgorithmType):
    """Subclass it, set the attributes, write the verbs; ``Classifier`` leaves far less to write.

    ``aliases`` are other names by which it is found, such as an earlier one: whatever was made
    under them is its own.
    ``check_hyperparameters`` are the hyperparameters with which ``algoshelf check`` trains on the
    sample in seconds; without them it changes ``epochs`` alone, where there are any. ``extras`` are
    those of its distribution that it needs: what it is packaged with holds their requirements.
    ``max_memory`` is how many bytes a network may take for one example besides its parameters,
    ``max_work`` how many multiplications; all may take WORK_PER_PARAMETER for each parameter.
    ``text_headings`` are headings of the column of a table that holds the texts to ask about, for
    an algorithm of texts: of such a table, requests are made of this column alone. With
    ``mixed_tables``, cells may be words and gaps as well as numbers, and files may be of any form
    that ``data.sources`` reads.
    ``widget`` is how the page of ``algoshelf serve`` asks: ``text``, ``digit``, ``picture``,
    ``rows`` or ``body``, or the path of a JavaScript module beside the class's own module, such as
    ``widget.js``; without one, what suits the content types in ``accepts``.
    """

    name: ClassVar[str]
    aliases: ClassVar[tuple[str, ...]] = ()
    version: ClassVar[str] = "1"
    task: ClassVar[str]
    summary: ClassVar[str]
    Hyperparameters: ClassVar[type[Hyperparameters]]
    channels: ClassVar[tuple[Channel, ...]]
    accepts: ClassVar[tuple[ContentType, ...]]
    response_types: ClassVar[tuple[ContentType, ...]]
    metrics: ClassVar[dict[str, str]]
    objective: ClassVar[Objective]
    published: ClassVar[tuple[PublishedResult, ...]] = ()
    check_hyperparameters: ClassVar[Mapping[str, Any]] = {}
    extras: ClassVar[tuple[str, ...]] = ()
    max_memory: ClassVar[int] = 256 * 2**20  # the catalog's networks take up to 30 MiB
    max_work: ClassVar[int] = 2**33
    text_headings: ClassVar[tuple[str, ...]] = ()
    widget: ClassVar[str] = ""
    mixed_tables: ClassVar[bool] = False
    old_attributes: ClassVar[Mapping[str, str]] = OF_ALGORITHMS

    def sample(self) -> dict[str, Path]:
        """Channel to path of the bundled sample; empty where there is none."""
        return {}

    def needed_extras(self, hyperparameters: H) -> tuple[str, ...]:
        """Those of ``extras`` without which it cannot train by ``hyperparameters``."""
        return self.extras

    def check_given(self, hyperparameters: H, channels: Collection[str]) -> None:
        """Raises InputError where a training by ``hyperparameters`` needs a channel besides the
        ``channels`` that are given, such as pretrained weights. Those that are always required are
        checked elsewhere.
        """

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
        """The model in ``model_dir``, loaded on ``device``: a context of mxnet's, or the name of
        an engine, ``mxnet``, ``onnx`` or ``auto``, which is the default.

        Raises ArtifactError where it is damaged, or made by another algorithm or version.
        """
        artifact = self.artifact(Path(model_dir))
        return artifact.load(device, lambda found: self._faults(artifact.metadata, found))

    def check(self, artifact: Artifact) -> None:
        """Raises ArtifactError where ``artifact`` is none that ``model_fn`` would load.

        mxnet is not needed.
        """
        artifact.check(lambda found: self._faults(artifact.metadata, found))

    def _faults(self, metadata: Metadata, found: Examined) -> Iterator[str]:
        try:
            self.Hyperparameters.parse(metadata.hyperparameters)
        except HyperparameterError as error:
            yield from (f"hyperparameters: {fault}" for fault in error.faults)
            return
        parameters = sum(math.prod(shape) for shape, _ in found.parameters.headers.values())
        yield from self.excesses(found.fit, parameters)
        yield from self.disagreements(metadata, tuple(found.fit.outputs))

    def excesses(self, fit: Fit, parameters: int) -> Iterator[str]:
        """Why a network with so many ``parameters`` takes too much for one example."""
        most = max(self.max_work, WORK_PER_PARAMETER * parameters)
        if fit.work > most:
            yield (
                f"one example needs {fit.work:,} multiplications, but max_work of "
                f"{type(self).__name__} allows {most:,}"
            )
        if fit.peak > self.max_memory:
            yield (
                f"one example needs {fit.peak:,} bytes, but max_memory of {type(self).__name__} "
                f"allows {self.max_memory:,}"
            )

    def disagreements(
        self, metadata: Metadata, outputs: tuple[tuple[int, ...], ...]
    ) -> Iterable[str]:
        """What makes a model none of this algorithm's, a sentence each: ``outputs`` are the shapes
        of what its network gives for one example.
        """
        return ()

    def begins_with(self, network: str) -> Mapping[str, Any] | None:
        """The hyperparameters that go with pretrained weights of ``network`` (``--weights``); None
        where it cannot begin with them.

        Without a definition of its own, an algorithm that can begin with a model, and one of whose
        hyperparameters is ``network``, begins with weights of any that it has by that name.
        """
        named = {"network": network}
        if MODEL not in {channel.name for channel in self.channels}:
            return None
        if "network" not in self.Hyperparameters.model_fields:
            return None
        try:
            self.Hyperparameters.parse(named)
        except HyperparameterError:
            return None
        return named

    def implied(self, channels: Mapping[str, Path]) -> Mapping[str, Any]:
        """The hyperparameters that go with what ``channels`` hold, where none are given: of a
        folder of pretrained weights, ``begins_with`` its network. Raises DataError.
        """
        path = channels.get(MODEL)
        if path is None or not pretrained.is_folder(path):
            return {}
        return self.begins_with(pretrained.read(path, digests=False).about.network) or {}

    def adopt(self, foreign: Foreign) -> Adopted:
        """What an artifact of this algorithm's is made of, of a model from elsewhere.

        Raises InputError with all that keeps it from being one.
        """
        raise InputError(f"{self.name} takes no models from elsewhere: it does not define adopt()")

    def artifact(self, model_dir: Path) -> Artifact:
        """The artifact in ``model_dir``, which this algorithm made; raises ArtifactError."""
        artifact = Artifact.open(model_dir)
        found = artifact.metadata
        if found.algorithm not in self.all_names() or found.algorithm_version != self.version:
            made_by = f"{found.algorithm} {found.algorithm_version}"
            raise ArtifactError(
                f"{model_dir}: made by {made_by} ({found.distribution or 'unknown'}), "
                f"but the installed version is {self.name} {self.version}: install the other "
                "one, or train again"
            )
        return artifact

    def evaluate(self, model: Model, path: Path) -> Evaluation:
        """How well ``model`` does on the examples of ``path``."""
        raise InputError(f"{self.name} cannot be evaluated: it does not define evaluate()")

    def examples(self, path: Path, model: Model, draw: Draw) -> tuple[list[Any], int]:
        """Examples at ``path``, which training reads, each as ``input_fn`` gives it, and of how
        many; ``draw`` says which, by that number. Raises InputError.

        `algoshelf drift` compares them with requests.
        """
        raise InputError(
            f"{self.name} does not read data as requests: it does not define examples()"
        )

    def importances(self, model: Model, path: Path) -> tuple[Importance, ...]:
        """How much each column of the examples of ``path`` matters to ``model``, the most first."""
        raise InputError(
            f"{self.name} cannot tell which columns matter: it does not define importances()"
        )

    def calibration(self, model: Model, path: Path, count: int) -> Iterator[Array]:
        """Batches (B, …) of the network's input, ``count`` training examples of ``path`` in all,
        on which ``algoshelf export --quantize`` finds the range of each activation.
        """
        raise InputError(
            f"{self.name} cannot be quantized: it does not define calibration(), by which its "
            "training examples become the network's input"
        )

    def preview(self, path: Path, model: Model, count: int, width: int) -> str:
        """``count`` examples of ``path`` with their answers, drawn in ``width`` columns of text."""
        return ""

    @classmethod
    def all_names(cls) -> tuple[str, ...]:
        """All names by which it is found: its own, then its ``aliases``."""
        return cls.name, *cls.aliases

    @classmethod
    def accepted_media_types(cls) -> tuple[str, ...]:
        """The media types of ``accepts``."""
        return tuple(content_type.name for content_type in cls.accepts)

    @classmethod
    def response_media_types(cls) -> tuple[str, ...]:
        """The media types of ``response_types``, the default first."""
        return tuple(content_type.name for content_type in cls.response_types)
