"""A plugin as plugins were written for algoshelf 0.1: old modules, old names of attributes."""

from algoshelf.core import ContentType, codecs, supervised_channels
from algoshelf.core.algorithm import WORK_PER_PARAMETER, Algorithm
from algoshelf.core.artifact import METADATA, Metadata
from algoshelf.core.codecs import CSV, MOST_NPY_HEAD, check_content_type, decode_array, negotiate
from algoshelf.core.errors import DataError
from algoshelf.core.evaluation import evaluate_classes
from algoshelf.core.files import MOST_UNPACKED_BYTES, read_labelled_csv
from algoshelf.core.hooks import hookimpl
from algoshelf.core.hyperparameters import Search, TrainingHyperparameters
from algoshelf.core.mx import gluon
from algoshelf.core.supervised import Classifier
from algoshelf.core.training.data import ArrayDataset

CLASSES = ("red", "green", "blue")
CONSTANTS = (MOST_NPY_HEAD, MOST_UNPACKED_BYTES, WORK_PER_PARAMETER, METADATA)


class OldHyperparameters(TrainingHyperparameters):
    searched = {
        **TrainingHyperparameters.searched,
        "learning_rate": Search(1e-3, 1e-2, log=True),
    }


class Drawn:
    """A mixin that knows nothing of algorithms."""

    def sketch(self, path, model, count, width):
        return f"{count} rows of {path.name}"


class AcmeOld(Drawn, Classifier[OldHyperparameters]):
    name = "acme-old"
    task = "tabular-classification"
    summary = "Tells rows of four numbers apart, in the old style."
    Hyperparameters = OldHyperparameters
    channels = supervised_channels("CSV: the class (0, 1 or 2) first, then four numbers")
    accepts = (ContentType(CSV, "a line an example: four numbers", "5.1,3.5,1.4,0.2"),)
    answers = Classifier.answers[:1]
    quick = {"epochs": 1, "batch_size": 10}
    most_memory = 2**20
    most_work = 2**20

    def __init_subclass__(cls):
        """Calls no other."""

    def dataset(self, path, channel, hyperparameters, encoding=None):
        features, labels = read_labelled_csv(path, features=4, labels=3)
        return ArrayDataset(features, labels, CLASSES)

    def network(self, hyperparameters, data):
        net = gluon.nn.HybridSequential()
        net.add(gluon.nn.Dense(16, activation="relu"), gluon.nn.Dense(3))
        return net

    def begin(self, network, data, run):
        super().begin(network, data, run)
        run.reporter.message("begins as before")

    def input_fn(self, request_body, request_content_type):
        kind = check_content_type(request_content_type, self.accepted())
        return decode_array(request_body, kind)

    def output_fn(self, prediction, accept):
        negotiate(accept, self.answered())
        return super().output_fn(prediction, accept)


class AcmeOlder(AcmeOld):
    """Inherits what is old."""

    name = "acme-older"
    quick = {"epochs": 2}

    def begin(self, network, data, run):
        super().begin(network, data, run)
        run.reporter.message("and before that")


@hookimpl
def algoshelf_algorithms():
    return [AcmeOld]


__all__ = ["Algorithm", "DataError", "Metadata", "codecs", "evaluate_classes"]
