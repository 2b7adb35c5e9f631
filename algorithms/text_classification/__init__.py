"""text-classification: texts classified by what they say, such as praise and blame.

From top to bottom: hyperparameters, data, network, predictions.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Collection, Mapping, Sequence

import numpy as np
from pydantic import Field, model_validator
from typing_extensions import Literal

from ...core import (
    MODEL,
    TEST,
    TRAIN,
    Algorithm,
    Array,
    ArtifactError,
    Classifier,
    ClassProbabilities,
    ContentType,
    Context,
    DataError,
    Dataset,
    Example,
    HybridBlock,
    InputError,
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
    weights,
)
from ...core.algorithm.base import Draw
from ...core.artifact.network import GluonNetwork
from ...core.runtime import gluon
from ...core.tasks import bert, pieces, texts
from ...core.tasks.head import Features, Head
from ...core.tasks.pieces import PieceEncoder
from ...core.tasks.supervised import outputs
from . import pretrained
from . import vocabulary as words
from .vocabulary import AnyEncoder, Encoder, TextDataset

if TYPE_CHECKING:
    from ...core import Run
    from ...core.weights import PretrainedWeights

SAMPLE = Path(__file__).parent / "sample"
WITH_VECTORS = ("textcnn", "bilstm")
BY_WORDS = (*WITH_VECTORS, "ngram")
# What suits a pretrained network, where it is not given: J. Devlin et al., arXiv:1810.04805, A.3.
# The memory of attention goes by the square of a text's length.
FINE_TUNING = {
    "epochs": 3, "batch_size": 32, "learning_rate": 1e-4, "dropout": 0.1, "max_length": 128,
}  # fmt: skip
FROZEN = {**FINE_TUNING, "epochs": 20, "learning_rate": 3e-3}

SHORTEST = 3  # tokens: two that frame a text, and one of it


def _of_bert(name: str) -> str:
    tuned, frozen = FINE_TUNING[name], FROZEN[name]
    return f"bert: {tuned:g}" + (f", --frozen {frozen:g}" if frozen != tuned else "")


class TextHyperparameters(TrainingHyperparameters):
    network: Literal["textcnn", "bilstm", "ngram", "bert"] = Field(
        "textcnn",
        description="Network architecture: textcnn (convolutions), bilstm (two LSTMs), ngram "
        "(a bag of words and word pairs) or bert (a pretrained transformer, by --weights or "
        "--model).",
    )
    frozen: bool = Field(
        False,
        description="Whether to train the output layer only and keep the pretrained weights (bert "
        "only).",
    )
    layer_decay: float = Field(
        0.9,
        gt=0,
        le=1,
        description="Learning rate of a layer as a fraction of that of the layer above it (bert "
        "only).",
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
    epochs: int = Field(
        6,
        ge=1,
        le=10_000,
        description=f"Number of passes over the training data ({_of_bert('epochs')}).",
    )
    batch_size: int = Field(
        50,
        ge=1,
        le=65_536,
        description="Number of examples in one training step, over all devices and hosts "
        f"({_of_bert('batch_size')}).",
    )
    learning_rate: float = Field(
        1e-3,
        gt=0,
        le=100,
        description="Peak learning rate, reached at the end of the warm-up "
        f"({_of_bert('learning_rate')}).",
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
        0.5,
        ge=0,
        lt=1,
        description="Dropout: fraction of the features set to zero in each step "
        f"({_of_bert('dropout')}).",
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
        description="Number of tokens read from a text; the rest of a longer text is ignored "
        f"({_of_bert('max_length')}).",
    )

    search_space = {
        **TrainingHyperparameters.search_space,
        # Of a pretrained network the usual range is far below: by default its layers' rates vary.
        "learning_rate": Search(1e-4, 1e-1, log=True, where={"network": BY_WORDS}),
        "layer_decay": Search(0.6, 1.0, where={"network": ("bert",)}),
        "batch_size": Search(choices=(25, 50, 100, 200)),
        "dimensions": Search(
            50, 300, log=True, where={"network": WITH_VECTORS, "embedding": ("",)}
        ),
        "maps": Search(50, 300, log=True, where={"network": ("textcnn",)}),
        "hidden": Search(50, 300, log=True, where={"network": ("bilstm",)}),
        "dropout": Search(0.2, 0.7, where={"network": WITH_VECTORS}),
        "embedding_dropout": Search(0.0, 0.5, where={"network": WITH_VECTORS}),
        "word_dropout": Search(0.0, 0.5, where={"network": WITH_VECTORS}),
        "min_count": Search(1, 4, where={"network": BY_WORDS}),
    }

    @model_validator(mode="before")
    @classmethod
    def _suit_bert(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("network") != "bert":
            return given
        return {**(FROZEN if given.get("frozen") is True else FINE_TUNING), **given}

    @model_validator(mode="after")
    def _check_network(self) -> TextHyperparameters:
        if self.embedding and self.network not in WITH_VECTORS:
            raise ValueError(f"embedding: the network {self.network} uses no word vectors")
        if self.frozen and self.network != "bert":
            raise ValueError(
                f"frozen: the network {self.network} has no pretrained weights to keep"
            )
        if self.network == "bert" and self.max_length < SHORTEST:
            raise ValueError(f"max_length: the network bert reads at least {SHORTEST} tokens")
        return self


class TextClassification(Classifier[TextHyperparameters]):
    name = "text-classification"
    aliases = ("text-sentiment",)
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
            gluon.gluonnlp()  # what is missing is said before much is read
        known = None if encoding is None else encoding["classes"]
        found = texts.read(path, channel, known)
        if encoding is None:
            encoder = _new_encoder(found.texts, hyperparameters)
        else:
            encoder = _encoder(encoding, hyperparameters)
        classes = sorted(set(found.labels)) if known is None else known
        number = {name: index for index, name in enumerate(classes)}
        y = np.array([number[label] for label in found.labels], np.int32)
        ids, cut = encoder.encode(found.texts)
        note, counts = found.note, {**found.counts, **({"cut": cut} if cut else {})}
        if cut:
            more = f"{cut:,} are cut to {encoder.max_length:,} tokens (--max-length)"
            note = f"{note}; {more}" if note else more
        return TextDataset(ids, y, tuple(classes), encoder, note, counts)

    def united(
        self,
        encodings: Sequence[Mapping[str, Any]],
        hosts: Sequence[str],
        hyperparameters: TextHyperparameters,
    ) -> Mapping[str, Any]:
        """The words of all hosts, in turn the most frequent of each, as many as are to be known."""
        if hyperparameters.network == "bert":
            return super().united(pieces.completed(encodings), hosts, hyperparameters)
        whole = super().united(encodings, hosts, hyperparameters)
        most = hyperparameters.max_vocabulary + len(words.SPECIAL)
        if hyperparameters.embedding:
            most += hyperparameters.embedding_words
        return {**whole, "vocabulary": whole["vocabulary"][:most]}

    def network(self, hyperparameters: TextHyperparameters, data: Dataset) -> HybridBlock:
        from . import networks

        options = hyperparameters
        if options.network == "bert":
            sizes = bert.Sizes.read(data.encoding["encoder"])
            encoder = bert.text_encoder(sizes, options.dropout)
            count = len(data.encoding["classes"])
            return networks.Bert(encoder, sizes.units, count, options.dropout)
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

    def check_given(self, hyperparameters: TextHyperparameters, channels: Collection[str]) -> None:
        if hyperparameters.network == "bert" and MODEL not in channels:
            raise InputError(
                "the network bert begins with what another training has learned: give --weights a "
                "name of `algoshelf weights list`, or --model a model of this network"
            )

    def known(self, run: Run[TextHyperparameters]) -> Mapping[str, Any] | None:
        """The names in the model that the run starts from; of published weights, their pieces."""
        if MODEL in run.channels and weights.is_folder(run.channels[MODEL]):
            return {"classes": [], **pieces.published(weights.read(run.channels[MODEL]))}
        known = super().known(run)
        expected = "pieces" if run.hyperparameters.network == "bert" else "vocabulary"
        if known is not None and expected not in known:
            raise InputError(
                f"{run.channels[MODEL]}: its network reads texts otherwise than the network "
                f"{run.hyperparameters.network}: give --network that of the model"
            )
        return known

    def load_pretrained(
        self, network: HybridBlock, data: Dataset, run: Run[TextHyperparameters]
    ) -> None:
        """The model or the published weights to start from; which of them learn, and how fast."""
        options = run.hyperparameters
        path = run.channels.get(MODEL)
        if path is None or not weights.is_folder(path):
            super().load_pretrained(network, data, run)
        else:
            given, sizes = weights.read(path), bert.Sizes.read(data.encoding["encoder"])
            try:
                bert.load(network.encoder, sizes, given.arrays())
            except ValueError as error:
                raise DataError(f"{path}: {error}") from None
            run.data[MODEL] = given.digest
            run.reporter.message(f"starting from the weights {given.about.name}")
        if options.frozen:
            bert.freeze(network.encoder)
        elif options.network == "bert":
            layers = int(data.encoding["encoder"]["layers"])
            bert.set_rates(network.encoder, layers, options.layer_decay)

    def head(self, network: HybridBlock, run: Run[TextHyperparameters]) -> Head | None:
        if not run.hyperparameters.frozen:
            return None
        encoder = GluonNetwork(network.encoder, run.devices[0])
        return Head(network.head, lambda data: Features(data, outputs(encoder, data)))

    def augment(
        self,
        x: NDArray,
        y: NDArray,
        hyperparameters: TextHyperparameters,
        rng: np.random.Generator,
    ) -> tuple[NDArray, NDArray]:
        """Token ids (B, T), some of them unknown, as words will be of which training had none."""
        part = hyperparameters.word_dropout
        if not part or hyperparameters.network in ("ngram", "bert"):
            return x, y
        drawn = (rng.random(x.shape) < part).astype(np.int32)
        hidden = mx.nd.from_numpy(drawn).as_in_context(x.context)
        unknown = mx.nd.ones_like(x) * words.UNKNOWN
        return mx.nd.where(hidden * (x != words.PADDING), unknown, x), y

    def example(self, data: Dataset) -> Example:
        ids, encoding = data.take(np.zeros(1, np.int64))[0][0], data.encoding
        if "pieces" in encoding:
            text = pieces.text_of(encoding["pieces"], ids)
        else:
            text = words.text_of(encoding["vocabulary"], ids)
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
        return texts.extract_texts(records, texts.TEXT_NAMES)

    def predict_fn(self, input_data: Any, model: Model) -> ClassProbabilities:
        """Probabilities for a sequence of texts, those of about one length computed together."""
        assert isinstance(model, TextModel)
        ids, _ = model.encoder.encode(input_data)
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


TextSentiment = TextClassification  # what it was called in text_sentiment


@dataclass(frozen=True)
class TextModel(Model):
    """A loaded model with what makes token ids of its texts."""

    encoder: AnyEncoder


def _new_encoder(found: Sequence[str], options: TextHyperparameters) -> AnyEncoder:
    """One with the words of the texts ``found``; that of a pretrained network has its own."""
    if options.network == "bert":
        return pieces.Awaited()
    encoder = Encoder.of(
        found,
        bigrams=options.network == "ngram",
        max_length=options.max_length,
        min_count=options.min_count,
        max_size=options.max_vocabulary,
    )
    if not options.embedding:
        return encoder
    count = options.embedding_words
    return encoder.extended(words.most_frequent_words(Path(options.embedding), count))


def _encoder(encoding: Mapping[str, Any], hyperparameters: TextHyperparameters) -> AnyEncoder:
    if hyperparameters.network == "bert":
        return PieceEncoder.of(encoding, hyperparameters.max_length)
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
    return [TextClassification]


@hookimpl
def algoshelf_weights() -> Sequence[PretrainedWeights]:
    return pretrained.ROWS
