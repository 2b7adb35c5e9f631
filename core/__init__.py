"""core: what an algorithm is, and how any of them is trained, saved, served and measured.

May import numpy, pydantic, pluggy, Pillow, and mxnet (lazily, through ``core.mx``) only.
"""

from . import codecs, files, mx, recordio_protobuf
from .algorithm import Algorithm, ContentType, Objective, PublishedResult
from .artifact import Artifact, Example, InputSignature, Metadata, Model
from .channels import TEST, TRAIN, VALIDATION, Channel, supervised_channels
from .datasets import CsvRows, ImageFiles, RecordImages
from .errors import (
    AlgoshelfError,
    ArtifactError,
    DataError,
    HyperparameterError,
    InputError,
    MalformedPayloadError,
    MissingDependencyError,
    NetworkError,
    NotAcceptableError,
    OutputError,
    PayloadError,
    PayloadTooLargeError,
    PluginError,
    Stopped,
    TrainingError,
    UnfitPayloadError,
    UnknownNameError,
    UnsupportedContentTypeError,
)
from .evaluation import Evaluation
from .hooks import hookimpl, hookspec
from .hyperparameters import Hyperparameters, Search, TrainingHyperparameters
from .supervised import Classifier, ClassProbabilities, SupervisedAlgorithm
from .training import ArrayDataset, Dataset, Reporter, Run, RunOptions, train
from .training.engine import on_device
from .tuning import Range, tunable
from .types import Array, Context, HybridBlock, NDArray

__all__ = [
    "TEST",
    "TRAIN",
    "VALIDATION",
    "Algorithm",
    "AlgoshelfError",
    "Array",
    "ArrayDataset",
    "Artifact",
    "ArtifactError",
    "Channel",
    "ClassProbabilities",
    "Classifier",
    "ContentType",
    "Context",
    "CsvRows",
    "DataError",
    "Dataset",
    "Evaluation",
    "Example",
    "HybridBlock",
    "HyperparameterError",
    "Hyperparameters",
    "ImageFiles",
    "InputError",
    "InputSignature",
    "MalformedPayloadError",
    "Metadata",
    "MissingDependencyError",
    "Model",
    "NDArray",
    "NetworkError",
    "NotAcceptableError",
    "Objective",
    "OutputError",
    "PayloadError",
    "PayloadTooLargeError",
    "PluginError",
    "PublishedResult",
    "Range",
    "RecordImages",
    "Reporter",
    "Run",
    "RunOptions",
    "Search",
    "Stopped",
    "SupervisedAlgorithm",
    "TrainingError",
    "TrainingHyperparameters",
    "UnfitPayloadError",
    "UnknownNameError",
    "UnsupportedContentTypeError",
    "codecs",
    "files",
    "hookimpl",
    "hookspec",
    "mx",
    "on_device",
    "recordio_protobuf",
    "supervised_channels",
    "train",
    "tunable",
]
