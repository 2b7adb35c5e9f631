"""text-sentiment: texts classified by what they say, such as praise and blame.

From top to bottom: hyperparameters, data, network, predictions.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence

import numpy as np
from pydantic import Field, model_validator
from typing_extensions import Literal

from ...core import (
    TEST,
    TRAIN,
    Algorithm,
    Array,
    ArtifactError,
    Classifier,
    ClassProbabilities,
    ContentType,
    Context,
    Dataset,
    Example,
    HybridBlock,
    Model,
    NDArray,
    PublishedResult,
    Search,
    TrainingHyperparameters,
    codecs,
    hookimpl,
    model_channel,
    mx,
    supervised_channels,
)
from ...core.algorithm.base import Draw
from ...core.tasks.supervised import outputs
from . import data as texts
from . import pretrained
from . import vocabulary as words
from .vocabulary import Encoder, TextDataset

if TYPE_CHECKING:
    from ...core.weights import PretrainedWeights

SAMPLE = Path(__file__).parent / "sample"
WITH_VECTORS = ("textcnn", "bilstm")


class TextHyperparameters(TrainingHyperparameters):
    network: Literal["textcnn", "bilstm", "ngram"] = Field(
        "textcnn",
        description="Network architecture: textcnn (convolutions), bilstm (two LSTMs) or ngram "
        "(a bag of words and word pairs).",
    )
    embedding: str = Field(
        "",
        description="Path of a text file with pretrained word vectors, as GloVe and fastText "
        "publish them. Empty means none.",
    )
    embedding_words: int = Field(
        50_000,
        ge=0,
        le=2_000_000,
        description="Number of words from the top of --embedding that are added to the "
        "vocabulary of the training texts.",
    )
    epochs: int = Field(6, ge=1, le=10_000, description="Number of passes over the training data.")
    batch_size: int = Field(
        50,
        ge=1,
        le=65_536,
        description="Number of examples in one training step, over all devices and hosts.",
    )
    dimensions: int = Field(
        100,
        ge=1,
        le=4096,
        description="Length of a word vector. With --embedding, the length in that file.",
    )
    maps: int = Field(
        100,
        ge=1,
        le=4096,
        description="Number of feature maps for windows of 3, 4 and 5 words each (textcnn only).",
    )
    hidden: int = Field(
        100, ge=1, le=4096, description="Number of units in each direction (bilstm only)."
    )
    dropout: float = Field(
        0.5, ge=0, lt=1, description="Dropout: fraction of the features set to zero in each step."
    )
    embedding_dropout: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Dropout of word vectors: fraction of their elements set to zero in each step.",
    )
    word_dropout: float = Field(
        0.3,
        ge=0,
        lt=1,
        description="Augmentation: fraction of the words replaced by the unknown word in each "
        "step.",
    )
    min_count: int = Field(
        1,
        ge=1,
        description="Smallest number of occurrences in the training texts for a word to enter "
        "the vocabulary.",
    )
    max_vocabulary: int = Field(
        200_000,
        ge=1,
        le=2_000_000,
        description="Largest number of words (or n-grams) in the vocabulary.",
    )
    max_length: int = Field(
        512,
        ge=1,
        le=100_000,
        description="Number of tokens read from a text; the rest of a longer text is ignored.",
    )

    search_space = {
        **TrainingHyperparameters.search_space,
        "batch_size": Search(choices=(25, 50, 100, 200)),
        "dimensions": Search(
            50, 300, log=True, where={"network": WITH_VECTORS, "embedding": ("",)}
        ),
        "maps": Search(50, 300, log=True, where={"network": ("textcnn",)}),
        "hidden": Search(50, 300, log=True, where={"network": ("bilstm",)}),
        "dropout": Search(0.2, 0.7, where={"network": WITH_VECTORS}),
        "embedding_dropout": Search(0.0, 0.5, where={"network": WITH_VECTORS}),
        "word_dropout": Search(0.0, 0.5, where={"network": WITH_VECTORS}),
        "min_count": Search(1, 4),
    }

    @model_validator(mode="after")
    def _check_embedding(self) -> TextHyperparameters:
        if self.embedding and self.network == "ngram":
            raise ValueError("embedding: the network ngram uses no word vectors")
        return self


class TextSentiment(Classifier[TextHyperparameters]):
    name = "text-sentiment"
    task = "text-classification"
    summary = (
        "Classifies texts, such as reviews into positive and negative; any classes and language."
    )
    Hyperparameters = TextHyperparameters
    channels = (*supervised_channels(*texts.FORMATS), model_channel())
    accepts = (
        ContentType(
            codecs.JSON,
            "Texts, plain or as objects.",
            '{"instances": ["a warm, funny film", {"text": "dull"}]}',
        ),
        ContentType(
            codecs.JSONLINES, "One text per line, as in JSON.", '{"source": "a warm, funny film"}'
        ),
        ContentType(codecs.TEXT, "One text per line.", "a warm, funny film"),
        ContentType(codecs.CSV, "One text per line, in a single column.", '"a warm, funny film"'),
    )
    extras = ("text",)
    text_headings = texts.TEXT_NAMES
    widget = "text"
    published = (
        PublishedResult(
            "test:accuracy",
            0.827,
            "SST-2, 1,821 test sentences, trained with phrases too",
            "CNN-rand: Y. Kim, Convolutional neural networks for sentence classification, 2014",
        ),
        PublishedResult(
            "test:accuracy", 0.761, "MR, 10,662 sentences, 10-fold", "CNN-rand: the same"
        ),
        PublishedResult(
            "test:accuracy",
            0.794,
            "MR, 10,662 sentences, 10-fold",
            "NBSVM-bi: S. Wang and C. Manning, Baselines and bigrams, 2012",
        ),
    )

    def sample(self) -> dict[str, Path]:
        return {TRAIN: SAMPLE / "train.tsv.gz", TEST: SAMPLE / "test.tsv.gz"}

    def dataset(
        self,
        path: Path,
        channel: str,
        hyperparameters: TextHyperparameters,
        encoding: Mapping[str, Any] | None = None,
    ) -> TextDataset:
        if encoding is None:
            words.gluonnlp()  # what is missing is said before much is read
        known = None if encoding is None else encoding["classes"]
        found = texts.read(path, channel, known)
        if encoding is None:
            encoder = Encoder.of(
                found.texts,
                bigrams=hyperparameters.network == "ngram",
                max_length=hyperparameters.max_length,
                min_count=hyperparameters.min_count,
                max_size=hyperparameters.max_vocabulary,
            )
            if hyperparameters.embedding:
                path, count = Path(hyperparameters.embedding), hyperparameters.embedding_words
                encoder = encoder.extended(words.most_frequent_words(path, count))
        else:
            encoder = _encoder(encoding, hyperparameters)
        classes = sorted(set(found.labels)) if known is None else known
        number = {name: index for index, name in enumerate(classes)}
        y = np.array([number[label] for label in found.labels], np.int32)
        ids = [encoder(text) for text in found.texts]
        return TextDataset(ids, y, tuple(classes), encoder, found.note, found.counts)

    def united(
        self,
        encodings: Sequence[Mapping[str, Any]],
        hosts: Sequence[str],
        hyperparameters: TextHyperparameters,
    ) -> Mapping[str, Any]:
        """The words of all hosts, in turn the most frequent of each, as many as are to be known."""
        whole = super().united(encodings, hosts, hyperparameters)
        most = hyperparameters.max_vocabulary + len(words.SPECIAL)
        if hyperparameters.embedding:
            most += hyperparameters.embedding_words
        return {**whole, "vocabulary": whole["vocabulary"][:most]}

    def network(self, hyperparameters: TextHyperparameters, data: Dataset) -> HybridBlock:
        from . import networks

        options = hyperparameters
        vocabulary, classes = data.encoding["vocabulary"], len(data.encoding["classes"])
        if options.network == "ngram":
            return networks.NgramBag(log_count_ratios(data, len(vocabulary), classes))
        vectors = networks.word_vectors(options.embedding, vocabulary, options.dimensions)
        shared = {"dropout": options.dropout, "embedding_dropout": options.embedding_dropout}
        if options.network == "bilstm":
            return networks.BiLstm(vectors, classes, hidden=options.hidden, **shared)
        bag = networks.NgramBag(log_count_ratios(data, len(vocabulary), classes))
        return networks.TextCnn(
            vectors, bag, classes, maps=options.maps, windows=(3, 4, 5), **shared
        )

    def augment(
        self,
        x: NDArray,
        y: NDArray,
        hyperparameters: TextHyperparameters,
        rng: np.random.Generator,
    ) -> tuple[NDArray, NDArray]:
        """Token ids (B, T), some of them unknown, as words will be of which training had none."""
        part = hyperparameters.word_dropout
        if not part or hyperparameters.network == "ngram":
            return x, y
        drawn = (rng.random(x.shape) < part).astype(np.int32)
        hidden = mx.nd.from_numpy(drawn).as_in_context(x.context)
        unknown = mx.nd.ones_like(x) * words.UNKNOWN
        return mx.nd.where(hidden * (x != words.PADDING), unknown, x), y

    def example(self, data: Dataset) -> Example:
        ids = data.take(np.zeros(1, np.int64))[0][0]
        vocabulary = data.encoding["vocabulary"]
        text = " ".join(
            vocabulary[i] for i in ids if i > words.UNKNOWN and " " not in vocabulary[i]
        )
        body = codecs.encode_json({"instances": [text]}).decode()
        return Example(content_type=codecs.JSON, body=body)

    def model_fn(self, model_dir: str | Path, device: Context | None = None) -> Model:
        model = super().model_fn(model_dir, device)
        options = TextHyperparameters.parse(model.metadata.hyperparameters)
        try:
            encoder = _encoder(model.metadata.encoding, options)
        except ArtifactError as error:
            raise ArtifactError(*(f"{model_dir}: {fault}" for fault in error.faults)) from None
        return TextModel(**vars(model), encoder=encoder)

    def input_fn(self, request_body: bytes, request_content_type: str) -> list[str]:
        """The texts of a request."""
        content_type = codecs.check_content_type(request_content_type, self.accepted_media_types())
        records = codecs.decode_records(request_body, content_type)
        return words.extract_texts(records, texts.TEXT_NAMES)

    def predict_fn(self, input_data: Any, model: Model) -> ClassProbabilities:
        """Probabilities for a sequence of texts, those of about one length computed together."""
        assert isinstance(model, TextModel)
        ids = [model.encoder(text) for text in input_data]
        nobody = np.zeros(len(ids), np.int32)
        data = TextDataset(ids, nobody, model.metadata.classes, model.encoder)
        return self.probabilities(outputs(model.network, data), model)

    def examples(self, path: Path, model: Model, draw: Draw) -> tuple[list[str], int]:
        """The texts themselves, with the words that the model does not know."""
        found = texts.only_texts(path, TEST)
        return [found[index] for index in draw(len(found))], len(found)

    def preview(self, path: Path, model: Model, count: int, width: int) -> str:
        found = texts.read(path, TEST, model.metadata.classes)
        chosen = np.linspace(0, len(found.texts) - 1, count).astype(int)
        shown = [found.texts[i] for i in chosen]
        answers = self.predict_fn(shown, model).best()
        lines = []
        for i, text, (label, probability) in zip(chosen, shown, answers):
            truth = found.labels[i]
            verdict = f"{label} ({probability:.1%})" + ("" if label == truth else f", is {truth}")
            lines.append(f"{verdict:<34}" + textwrap.shorten(text, max(20, width - 36)))
        return "\n".join(lines)


@dataclass(frozen=True)
class TextModel(Model):
    """A loaded model with what makes token ids of its texts."""

    encoder: Encoder


def _encoder(encoding: Mapping[str, Any], hyperparameters: TextHyperparameters) -> Encoder:
    return Encoder.from_words(
        encoding.get("vocabulary"),
        bigrams=hyperparameters.network == "ngram",
        max_length=hyperparameters.max_length,
    )


def log_count_ratios(data: Dataset, vocabulary: int, classes: int) -> Array:
    """How much more often each n-gram stands in a class than in the others: (V, C) float32.

    The logarithm of the ratio of its shares, each count begun at 1; 0 for padding and unknown.
    """
    counts = np.ones((vocabulary, classes))
    for part in np.array_split(np.arange(len(data)), -(-len(data) // 1024)):
        ids, labels = data.take(part)
        np.add.at(counts, (ids, np.broadcast_to(labels[:, None], ids.shape)), 1)
    counts[: len(words.SPECIAL)] = 1
    others = counts.sum(axis=1, keepdims=True) - counts
    ratios: Array = np.log(counts / counts.sum(axis=0)) - np.log(others / others.sum(axis=0))
    ratios[: len(words.SPECIAL)] = 0
    return ratios.astype(np.float32)


@hookimpl
def algoshelf_algorithms() -> Sequence[type[Algorithm[Any]]]:
    return [TextSentiment]


@hookimpl
def algoshelf_weights() -> Sequence[PretrainedWeights]:
    return pretrained.ROWS
