"""text-embedding: a vector for each text, and the texts of an index that are nearest to it.

From top to bottom: hyperparameters, training, predictions. ``networks.py`` has what computes a
vector, ``lsa.py`` how vectors of words are learned from the texts themselves; what an index is, and
what is answered, is that of the task: ``core/tasks/embedding.py``.
"""

from __future__ import annotations

import hashlib
import json
import textwrap
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Collection, Iterator, Mapping, Sequence, Union

import numpy as np
from pydantic import Field
from typing_extensions import Literal

from ...core import (
    MODEL,
    TEST,
    TRAIN,
    Algorithm,
    Array,
    ArtifactError,
    Channel,
    Context,
    DataError,
    Evaluation,
    Example,
    HybridBlock,
    Hyperparameters,
    InputError,
    InputSignature,
    Model,
    Objective,
    Search,
    codecs,
    hookimpl,
    model_channel,
    mx,
    weights,
)
from ...core.algorithm.base import Draw
from ...core.artifact.metadata import PARAMETERS, Metadata
from ...core.artifact.network import GluonNetwork, Network
from ...core.data.sequences import pad_sequences
from ...core.runtime.staging import digest_of
from ...core.tasks import bert, embedding, pieces, texts
from ...core.tasks.embedding import Embeddings, Index
from ...core.tasks.pieces import PieceEncoder
from ...core.tasks.supervised import outputs
from ...core.training import starting
from ...core.training.reporting import peak_memory_mb
from ...core.training.stopping import stopped
from .lsa import WordEncoder, word_vectors

if TYPE_CHECKING:
    from ...core import Run
    from ...core.tasks.texts import Texts

SAMPLE = Path(__file__).parent / "sample"
ROUND = 256  # texts of each host between two looks at the clock
MEASURED = 2000  # texts of an index whose neighbours are measured
FIT, MEASURE = 1, 2  # purposes of random numbers
AnyEncoder = Union[WordEncoder, PieceEncoder]


class EmbeddingHyperparameters(Hyperparameters):
    network: Literal["lsa", "bert"] = Field(
        "lsa",
        description="Network architecture: lsa (a vector for each word, learned from the training "
        "texts by latent semantic analysis) or bert (a pretrained transformer, by --weights or "
        "--model).",
    )
    neighbours: int = Field(
        5,
        ge=0,
        le=embedding.MOST,
        description="Number of nearest training texts in an answer. 0 means vectors alone, and no "
        "index of the training texts.",
    )
    dimensions: int = Field(
        100, ge=1, le=4096, description="Length of a vector (lsa only; that of bert is its own)."
    )
    max_length: int = Field(
        256,
        ge=3,
        le=100_000,
        description="Number of tokens read from a text; the rest of a longer text is ignored.",
    )
    min_count: int = Field(
        1,
        ge=1,
        description="Smallest number of training texts that have a word, for it to enter the "
        "vocabulary (lsa only).",
    )
    max_vocabulary: int = Field(
        100_000, ge=1, le=2_000_000, description="Largest number of words (lsa only)."
    )
    id_column: str = Field(
        "",
        description="Column of the texts' ids, by its heading or its number from 1. Empty: "
        "detected; where there is none, texts are numbered from 1.",
    )

    search_space = {
        "dimensions": Search(25, 400, log=True, where={"network": ("lsa",)}),
        "min_count": Search(1, 4, where={"network": ("lsa",)}),
    }


class TextEmbedding(Algorithm[EmbeddingHyperparameters]):
    name = "text-embedding"
    task = "text-embedding"
    summary = "Gives a vector for each text, and finds the texts of an index that are most like it."
    Hyperparameters = EmbeddingHyperparameters
    channels = (
        Channel(
            TRAIN,
            "Training texts: those to be found, and for lsa those to learn from.",
            texts.WITHOUT_LABELS,
            required=True,
        ),
        Channel(
            TEST,
            "Test texts with labels, measured once after the training. They influence nothing "
            "else.",
            texts.WITHOUT_LABELS,
        ),
        model_channel(),
    )
    accepts = embedding.ACCEPTED
    response_types = embedding.ANSWERED
    metrics = {
        **embedding.METRICS,
        "train:throughput": "Texts whose vectors are computed per second.",
        "train:peak_memory_mb": "Peak memory of the process, in MiB.",
    }
    objective = Objective("train:accuracy", maximize=True)
    extras = ("text",)
    text_headings = texts.TEXT_NAMES
    widget = "text"

    def sample(self) -> dict[str, Path]:
        return {TRAIN: SAMPLE / "train.tsv.gz", TEST: SAMPLE / "test.tsv.gz"}

    def needed_extras(self, hyperparameters: EmbeddingHyperparameters) -> tuple[str, ...]:
        return self.extras if hyperparameters.network == "bert" else ()

    def check_given(
        self, hyperparameters: EmbeddingHyperparameters, channels: Collection[str]
    ) -> None:
        if hyperparameters.network == "bert" and MODEL not in channels:
            raise InputError(
                "the network bert begins with what another training has learned: give --weights a "
                "name of `algoshelf weights list`, or --model a model of this network"
            )

    def train(self, run: Run[EmbeddingHyperparameters]) -> None:
        options = run.hyperparameters
        found, test = self._read(run)
        encoder, old = self._encoder(found.texts, run)
        told = _told(found) if options.neighbours else ([], [], [])
        embedding.check_size(*told)
        known = dict(zip((embedding.IDS, embedding.TEXTS, embedding.LABELS), told))
        encoding = {**encoder.encoding, **(known if options.neighbours else {})}
        signature = InputSignature(shape=(0, 0), dtype="int32")
        example = _example(found.texts)
        run.check(signature=signature, example=example, encoding=encoding)
        network = self._network(found.texts, encoder, old, run)
        computing = GluonNetwork(network, run.devices[0])
        index, figures = None, {}
        if options.neighbours:
            vectors = self._indexed(run, computing, encoder, found.texts)
            index = Index(vectors, *(part[: len(vectors)] for part in told))
            encoding.update(index.encoding())
            rng = run.rng(MEASURE)
            size = min(MEASURED, len(index))
            chosen = np.sort(rng.choice(len(index), size, replace=False, shuffle=False))
            figures = {f"train:{name}": each for name, each in embedding.alike(index, chosen)}
        else:
            computing.compute(np.ones((1, 1), np.int32))
        if test is not None and index is not None and any(index.labels) and any(test.labels):
            asked = _vectors(computing, encoder, test.texts)[0]
            held = embedding.evaluated(index, asked, test.labels, options.neighbours)
            figures.update({f"test:{name}": each for name, each in held.metrics.items()})
        if figures and run.cluster.is_chief:
            run.report(figures, epoch=1, step=len(found.texts))
        kept = {} if index is None else {embedding.VECTORS: index.vectors}
        run.save(network, signature=signature, example=example, encoding=encoding, kept=kept)

    def _read(self, run: Run[EmbeddingHyperparameters]) -> tuple[Texts, Texts | None]:
        """The training texts, of all hosts, without empty ones; and the test's."""
        column = run.hyperparameters.id_column
        given = {
            channel: texts.read_any(run.channels[channel], channel, column)
            for channel in (TRAIN, TEST)
            if channel in run.channels
        }
        for channel, held in given.items():
            run.data[channel] = _digest(held)
            run.examples[channel] = {"examples": len(held.texts), **held.counts}
            run.reporter.message(f"{channel}: {len(held.texts):,} texts ({held.note})")
        found = _gathered(_filled(given[TRAIN]), run)
        if not found.texts:
            raise DataError(f"{run.channels[TRAIN]}: every text is empty")
        again = len(found.ids) - len(set(found.ids))
        if again and run.hyperparameters.neighbours:
            run.reporter.message(f"warning: {again:,} texts have the id of another")
        test = _filled(given[TEST]) if TEST in given else None
        if test is not None:
            run.cluster.check_alike("the test texts", run.data[TEST])
        return found, test

    def _encoder(
        self, found: Sequence[str], run: Run[EmbeddingHyperparameters]
    ) -> tuple[AnyEncoder, Any]:
        """What makes ids of texts, and what to begin with: an artifact, weights, or None."""
        options, path = run.hyperparameters, run.channels.get(MODEL)
        if path is None:
            encoder = WordEncoder.learned(
                found,
                max_length=options.max_length,
                min_count=options.min_count,
                max_size=options.max_vocabulary,
            )
            if len(encoder.words) == 1:
                raise DataError(
                    f"{run.channels[TRAIN]}: no word stands in {options.min_count:,} texts or "
                    "more: give a smaller --min-count, or more texts"
                )
            return encoder, None
        if weights.is_folder(path):
            given = weights.read(path)
            run.data[MODEL] = given.digest
            return PieceEncoder.of(pieces.published(given), options.max_length), given
        old = self.artifact(path)
        network = old.metadata.hyperparameters.get("network")
        if network != options.network:
            raise InputError(f"{path}: is of the network {network}: give --network {network}")
        run.data[MODEL] = digest_of(old.folder / PARAMETERS)
        return _encoder(old.metadata.encoding, options), old

    def _network(
        self,
        found: Sequence[str],
        encoder: AnyEncoder,
        old: Any,
        run: Run[EmbeddingHyperparameters],
    ) -> HybridBlock:
        """The network on the device, as it is going to be kept."""
        from . import networks

        options, device = run.hyperparameters, run.devices[0]
        if isinstance(encoder, WordEncoder):
            if old is None:
                ids, _ = encoder.parts(found)
                rng = run.rng(FIT)
                vectors = word_vectors(ids, len(encoder.words), options.dimensions, rng)
                if vectors.shape[1] < options.dimensions:
                    run.reporter.message(
                        f"vectors have {vectors.shape[1]:,} numbers, not {options.dimensions:,}: "
                        "there are no more texts or words"
                    )
            else:
                (vectors,) = old.check(numbers=True).parameters.arrays.values()
            inner: HybridBlock = networks.WordSum(vectors)
        else:
            inner = bert.text_encoder(encoder.sizes, 0.0)
            inner.initialize()
            self._load(inner, encoder, old, run)
        network = networks.Unit(inner)
        network.collect_params().reset_ctx(device)
        network.hybridize(static_alloc=True)
        return network

    def _load(
        self,
        network: HybridBlock,
        encoder: PieceEncoder,
        old: Any,
        run: Run[EmbeddingHyperparameters],
    ) -> None:
        """Give BERT the published weights, or those of an earlier model."""
        if isinstance(old, weights.Pretrained):
            try:
                bert.load(network, encoder.sizes, old.arrays())
            except ValueError as error:
                raise DataError(f"{run.channels[MODEL]}: {error}") from None
            run.reporter.message(f"starting from the weights {old.about.name}")
        else:
            run.reporter.message(starting.start(network, encoder.encoding, old))

    def _indexed(
        self,
        run: Run[EmbeddingHyperparameters],
        network: Network,
        encoder: AnyEncoder,
        found: Sequence[str],
    ) -> Array:
        """The vectors (M, D) of all texts, or of those that there is time for. Hosts share them."""
        parts: list[Array] = []
        done = cut = 0
        checkpoint = run.resume()
        if checkpoint is not None:
            parts = [checkpoint.arrays["index"]["vectors"].asnumpy()]
            done, cut = len(parts[0]), checkpoint.position["cut"]
        run.reporter.begin(len(found))
        run.reporter.step(done)
        began, before = time.monotonic(), done
        while done < len(found):
            cluster = run.cluster
            whole = found[done : done + ROUND * cluster.count]
            mine = np.array_split(np.arange(len(whole)), cluster.count)[cluster.rank]
            vectors, long = _vectors(network, encoder, [whole[place] for place in mine])
            cut += int(cluster.gather([sum(long)], "how many texts were cut").sum())
            parts += cluster.gather_arrays(vectors, "the vectors of the texts")
            done += len(whole)
            run.reporter.step(done)
            decision = run.decide()
            if decision.save:
                arrays = {"vectors": mx.nd.array(np.concatenate(parts))}
                run.checkpoint(done, {"cut": cut}, {"index": arrays})
            if decision.stop:
                raise stopped(decision.stop, f"after {done:,} of {len(found):,} texts")
            if decision.over and done < len(found):
                run.reporter.message(
                    f"stopping early: {decision.why}: the index has the first {done:,} of "
                    f"{len(found):,} texts"
                )
                break
        if cut:
            run.reporter.message(
                f"{cut:,} texts are cut to {encoder.max_length:,} tokens (--max-length)"
            )
        seconds = max(1e-9, time.monotonic() - began)
        if run.cluster.is_chief:
            measured = {
                "train:throughput": (done - before) / seconds,
                "train:peak_memory_mb": peak_memory_mb(),
            }
            run.report({}, epoch=1, step=done, measured=measured)
        joined: Array = np.concatenate(parts)
        return joined

    def model_fn(self, model_dir: str | Path, device: Context | None = None) -> Model:
        model = super().model_fn(model_dir, device)
        options = self.Hyperparameters.parse(model.metadata.hyperparameters)
        try:
            encoder = _encoder(model.metadata.encoding, options)
            index = Index.read(model, self.artifact(Path(model_dir)).kept())
        except ArtifactError as error:
            raise ArtifactError(*(f"{model_dir}: {fault}" for fault in error.faults)) from None
        return EmbeddingModel(
            **vars(model), encoder=encoder, index=index, neighbours=options.neighbours
        )

    def input_fn(self, request_body: bytes, request_content_type: str) -> list[embedding.Wanted]:
        """The texts of a request, and what is wanted of each."""
        content_type = codecs.check_content_type(request_content_type, self.accepted_media_types())
        records = codecs.decode_records(request_body, content_type)
        return embedding.wanted(records, texts.TEXT_NAMES)

    def predict_fn(self, input_data: Sequence[str], model: Model) -> Embeddings:
        """The vectors of texts and their neighbours, texts of about one length together."""
        assert isinstance(model, EmbeddingModel)
        vectors, cut = _vectors(model.network, model.encoder, input_data)
        return embedding.answered(input_data, vectors, cut, model.index, model.neighbours)

    def output_fn(self, prediction: Embeddings, accept: str) -> bytes:
        return prediction.encoded(codecs.negotiate(accept, self.response_media_types()))

    def evaluate(self, model: Model, path: Path) -> Evaluation:
        """How often the nearest text of the index has the label of a text at ``path``."""
        assert isinstance(model, EmbeddingModel)
        if model.index is None:
            raise InputError(
                "the model has no index, by which it could be measured: train with --neighbours 1 "
                "or more"
            )
        found = _filled(texts.read_any(path, TEST, model.metadata.hyperparameters["id_column"]))
        vectors, _ = _vectors(model.network, model.encoder, found.texts)
        return embedding.evaluated(model.index, vectors, found.labels, model.neighbours)

    def examples(self, path: Path, model: Model, draw: Draw) -> tuple[list[str], int]:
        found = texts.read_any(path, TEST, model.metadata.hyperparameters["id_column"]).texts
        return [found[index] for index in draw(len(found))], len(found)

    def preview(self, path: Path, model: Model, count: int, width: int) -> str:
        assert isinstance(model, EmbeddingModel)
        if model.index is None:
            return ""
        found = texts.read_any(path, TEST, model.metadata.hyperparameters["id_column"]).texts
        shown = [found[i] for i in np.linspace(0, len(found) - 1, count).astype(int)]
        half = max(20, (width - 10) // 2)
        lines = []
        for text, answer in zip(shown, self.predict_fn(shown, model).answers):
            best = (answer.nearest or [{"similarity": 0.0, "text": "(nothing is like it)"}])[0]
            near = f"{best['similarity']:.2f}  {textwrap.shorten(best['text'], half)}"
            lines.append(f"{textwrap.shorten(text, half):<{half}}  {near}")
        return "\n".join(lines)

    def disagreements(
        self, metadata: Metadata, outputs: tuple[tuple[int, ...], ...]
    ) -> Iterator[str]:
        if len(metadata.input.shape) != 2 or len(outputs) != 1 or len(outputs[0]) != 2:
            yield "the network does not give a vector for each text"


@dataclass(frozen=True)
class EmbeddingModel(Model):
    """A loaded model with what makes ids of its texts, and the texts to be found, if any."""

    encoder: AnyEncoder
    index: Index | None
    neighbours: int


@dataclass(frozen=True)
class _Asked:
    """Texts as ids, padded as ``encoder`` has it, for ``outputs``."""

    ids: Sequence[Array]
    sizes: Array

    def __len__(self) -> int:
        return len(self.ids)

    def lengths(self) -> Array:
        return self.sizes

    def take(self, indices: Array) -> tuple[Array, Array]:
        length = max(1, int(self.sizes[indices].max()))
        return pad_sequences([self.ids[index] for index in indices], length), indices


def _vectors(
    network: Network, encoder: AnyEncoder, given: Sequence[str]
) -> tuple[Array, list[bool]]:
    """The vectors (N, D) float32 of texts, and whether each was cut."""
    ids, cut = encoder.parts(given)
    sizes = encoder.padded(np.array([len(each) for each in ids], np.int64))
    found: Array = outputs(network, _Asked(ids, sizes))
    return found, cut


def _encoder(encoding: Mapping[str, Any], options: EmbeddingHyperparameters) -> AnyEncoder:
    of = PieceEncoder.of if options.network == "bert" else WordEncoder.of
    return of(encoding, options.max_length)


def _example(found: Sequence[str]) -> Example:
    """A request: the beginning of the first text."""
    body = codecs.encode_json({"instances": [found[0][: embedding.TOLD]]}).decode()
    return Example(content_type=codecs.JSON, body=body)


def _filled(found: Texts) -> Texts:
    """Without the empty texts, which ``note`` tells of: nothing is like them."""

    def kept(part: Sequence[str]) -> list[str]:
        return [each for each, text in zip(part, found.texts) if text.strip()]

    return replace(
        found,
        texts=kept(found.texts),
        labels=kept(found.labels),
        places=kept(found.places),
        ids=kept(found.ids),
    )


def _digest(found: Texts) -> str:
    whole = json.dumps([found.texts, found.labels, found.ids])
    return hashlib.sha256(whole.encode("utf-8", "replace")).hexdigest()


def _gathered(found: Texts, run: Run[Any]) -> Texts:
    """The texts of all hosts, where they differ."""
    if run.cluster.agrees(_digest(found), "the texts"):
        return found
    body = json.dumps([found.texts, found.labels, found.ids]).encode()
    parts = [json.loads(each) for each in run.cluster.send(body, "the texts of the other hosts")]
    joined = [[each for part in parts for each in part[place]] for place in range(3)]
    return replace(found, texts=joined[0], labels=joined[1], ids=joined[2], places=[])


def _told(found: Texts) -> tuple[list[str], list[str], list[str]]:
    """The ids, beginnings and labels of the index."""
    return found.ids, [text[: embedding.TOLD] for text in found.texts], found.labels


@hookimpl
def algoshelf_algorithms() -> Sequence[type[Algorithm[Any]]]:
    return [TextEmbedding]
