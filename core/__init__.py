"""core: what an algorithm is, and how any of them is trained, saved, served and measured.

May import numpy, pydantic, pluggy, Pillow, and lazily mxnet (through ``core.runtime.mx``), onnx and
onnxruntime (in ``core.artifact.export``), pyarrow and openpyxl (in ``core.data.sources``) only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .runtime import deprecated, lazy

if TYPE_CHECKING:
    from . import payload as codecs
    from .algorithm.base import Algorithm, ContentType, Objective, PublishedResult
    from .algorithm.channels import (
        MODEL,
        TEST,
        TRAIN,
        VALIDATION,
        Channel,
        model_channel,
        supervised_channels,
    )
    from .algorithm.evaluation import Evaluation
    from .algorithm.hooks import hookimpl, hookspec
    from .algorithm.hyperparameters import Hyperparameters, Search, TrainingHyperparameters
    from .algorithm.search_space import Range, tunable
    from .artifact.folder import Artifact
    from .artifact.metadata import Example, InputSignature, Metadata
    from .artifact.model import Model
    from .data import files
    from .data import protobuf as recordio_protobuf
    from .data.dataset import ArrayDataset, Dataset
    from .data.image_datasets import CsvRows, ImageFiles, RecordImages
    from .data.interaction_tables import read_interactions
    from .data.series_files import read_series
    from .runtime import mx
    from .runtime.devices import on_device
    from .runtime.errors import (
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
    from .runtime.types import Array, Context, HybridBlock, NDArray
    from .tasks.autoencoder import Autoencoder, Reconstructions
    from .tasks.classification import Classifier, ClassProbabilities
    from .tasks.detection import Detector, DetectorHyperparameters
    from .tasks.forecasting import Forecaster, ForecasterHyperparameters
    from .tasks.imbalance import ImbalanceHyperparameters, ThresholdHyperparameters
    from .tasks.multilabel import LabelProbabilities, MultiLabelClassifier
    from .tasks.pictures import PictureClassifier
    from .tasks.ranking import Recommender, RecommenderHyperparameters
    from .tasks.regression import Regressor, TargetValues
    from .tasks.supervised import SupervisedAlgorithm
    from .training.options import RunOptions
    from .training.reporting import Reporter
    from .training.run import Run
    from .training.trainer import train

__all__ = [
    "MODEL",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "Algorithm",
    "AlgoshelfError",
    "Array",
    "ArrayDataset",
    "Artifact",
    "ArtifactError",
    "Autoencoder",
    "Channel",
    "ClassProbabilities",
    "Classifier",
    "ContentType",
    "Context",
    "CsvRows",
    "DataError",
    "Dataset",
    "Detector",
    "DetectorHyperparameters",
    "Evaluation",
    "Example",
    "Forecaster",
    "ForecasterHyperparameters",
    "HybridBlock",
    "HyperparameterError",
    "Hyperparameters",
    "ImageFiles",
    "ImbalanceHyperparameters",
    "InputError",
    "InputSignature",
    "LabelProbabilities",
    "MalformedPayloadError",
    "Metadata",
    "MissingDependencyError",
    "Model",
    "MultiLabelClassifier",
    "NDArray",
    "NetworkError",
    "NotAcceptableError",
    "Objective",
    "OutputError",
    "PayloadError",
    "PayloadTooLargeError",
    "PictureClassifier",
    "PluginError",
    "PublishedResult",
    "Range",
    "Recommender",
    "RecommenderHyperparameters",
    "Reconstructions",
    "RecordImages",
    "Regressor",
    "Reporter",
    "Run",
    "RunOptions",
    "Search",
    "Stopped",
    "SupervisedAlgorithm",
    "TargetValues",
    "ThresholdHyperparameters",
    "TrainingError",
    "TrainingHyperparameters",
    "UnfitPayloadError",
    "UnknownNameError",
    "UnsupportedContentTypeError",
    "codecs",
    "files",
    "hookimpl",
    "hookspec",
    "model_channel",
    "mx",
    "on_device",
    "read_interactions",
    "read_series",
    "recordio_protobuf",
    "supervised_channels",
    "train",
    "tunable",
]

lazy.offer(
    __name__,
    {
        "algorithm.base": "Algorithm ContentType Objective PublishedResult",
        "algorithm.channels": (
            "MODEL TEST TRAIN VALIDATION Channel model_channel supervised_channels"
        ),
        "algorithm.evaluation": "Evaluation",
        "algorithm.hooks": "hookimpl hookspec",
        "algorithm.hyperparameters": "Hyperparameters Search TrainingHyperparameters",
        "algorithm.search_space": "Range tunable",
        "artifact.folder": "Artifact",
        "artifact.metadata": "Example InputSignature Metadata",
        "artifact.model": "Model",
        "data.dataset": "ArrayDataset Dataset",
        "data.files": "files=",
        "data.image_datasets": "CsvRows ImageFiles RecordImages",
        "data.interaction_tables": "read_interactions",
        "data.series_files": "read_series",
        "data.protobuf": "recordio_protobuf=",
        "payload": "codecs=",
        "runtime.devices": "on_device",
        "runtime.errors": (
            "AlgoshelfError ArtifactError DataError HyperparameterError InputError "
            "MalformedPayloadError MissingDependencyError NetworkError NotAcceptableError "
            "OutputError PayloadError PayloadTooLargeError PluginError Stopped TrainingError "
            "UnfitPayloadError UnknownNameError UnsupportedContentTypeError"
        ),
        "runtime.mx": "mx=",
        "runtime.types": "Array Context HybridBlock NDArray",
        "tasks.autoencoder": "Autoencoder Reconstructions",
        "tasks.classification": "Classifier ClassProbabilities",
        "tasks.detection": "Detector DetectorHyperparameters",
        "tasks.forecasting": "Forecaster ForecasterHyperparameters",
        "tasks.imbalance": "ImbalanceHyperparameters ThresholdHyperparameters",
        "tasks.multilabel": "LabelProbabilities MultiLabelClassifier",
        "tasks.pictures": "PictureClassifier",
        "tasks.ranking": "Recommender RecommenderHyperparameters",
        "tasks.regression": "Regressor TargetValues",
        "tasks.supervised": "SupervisedAlgorithm",
        "training.options": "RunOptions",
        "training.reporting": "Reporter",
        "training.run": "Run",
        "training.trainer": "train",
    },
)
deprecated.install()
