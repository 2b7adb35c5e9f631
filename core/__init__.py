"""core: what an algorithm is, and how any of them is trained, saved, served and measured.

May import numpy, pydantic, pluggy, Pillow, and mxnet (lazily, through ``core.mx``) only.
"""

from . import codecs, mx
from .algorithm import Algorithm, ContentType, Objective, PublishedResult
from .artifact import Artifact, Model
from .channels import Channel
from .errors import (
    AlgoshelfError,
    ArtifactError,
    DataError,
    HyperparameterError,
    InputError,
    MalformedPayloadError,
    MissingDependencyError,
    NotAcceptableError,
    OutputError,
    PayloadError,
    PluginError,
    TrainingError,
    UnfitPayloadError,
    UnknownNameError,
    UnsupportedContentTypeError,
)
from .evaluation import Evaluation
from .hooks import hookimpl, hookspec
from .hyperparameters import Hyperparameters, TrainingHyperparameters
from .supervised import Classifier, ClassProbabilities, SupervisedAlgorithm
from .training import ArrayDataset, Dataset, Reporter, Run, train

__all__ = [
    "Algorithm",
    "AlgoshelfError",
    "ArrayDataset",
    "Artifact",
    "ArtifactError",
    "Channel",
    "ClassProbabilities",
    "Classifier",
    "ContentType",
    "DataError",
    "Dataset",
    "Evaluation",
    "HyperparameterError",
    "Hyperparameters",
    "InputError",
    "MalformedPayloadError",
    "MissingDependencyError",
    "Model",
    "NotAcceptableError",
    "Objective",
    "OutputError",
    "PayloadError",
    "PluginError",
    "PublishedResult",
    "Reporter",
    "Run",
    "SupervisedAlgorithm",
    "TrainingError",
    "TrainingHyperparameters",
    "UnfitPayloadError",
    "UnknownNameError",
    "UnsupportedContentTypeError",
    "codecs",
    "hookimpl",
    "hookspec",
    "mx",
    "train",
]
