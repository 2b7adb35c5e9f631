"""A whole third-party plugin: rows of four numbers, told apart by a small dense network."""

from algoshelf.core import (
    ArrayDataset,
    Classifier,
    ContentType,
    TrainingHyperparameters,
    codecs,
    files,
    hookimpl,
    mx,
    supervised_channels,
)


class AcmeTabular(Classifier[TrainingHyperparameters]):
    name = "acme-tabular"
    task = "tabular-classification"
    summary = "Tells rows of four numbers apart."
    Hyperparameters = TrainingHyperparameters
    channels = supervised_channels("CSV: the class (0, 1 or 2) first, then four numbers")
    accepts = (ContentType(codecs.CSV, "a line an example: four numbers", "5.1,3.5,1.4,0.2"),)

    def dataset(self, path, channel, hyperparameters, encoding=None):
        features, labels = files.read_labelled_csv(path, features=4, labels=3)
        return ArrayDataset(features, labels, ("red", "green", "blue"))

    def network(self, hyperparameters, data):
        nn = mx.gluon.nn
        net = nn.HybridSequential()
        net.add(nn.Dense(16, activation="relu"), nn.Dense(3))
        return net


@hookimpl
def algoshelf_algorithms():
    return [AcmeTabular]
