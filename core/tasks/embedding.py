"""Embedding: a vector of length 1 for each text, and which texts of an index are nearest to it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

import numpy as np

from .. import payload
from ..algorithm.base import ContentType
from ..algorithm.evaluation import Baseline, Evaluation
from ..artifact.model import Model
from ..runtime.errors import ArtifactError, DataError, UnfitPayloadError
from ..runtime.faults import MAX_FAULTS
from ..runtime.types import Array
from .intervals import wilson_interval
from .nearest import nearest
from .texts import extract_texts

MOST = 1000  # neighbours in one answer
TOLD = 200  # characters of a text of the index that are kept, to be told in answers
VECTORS = "index"  # under which the artifact keeps them
IDS, TEXTS, LABELS = "ids", "texts", "labels"  # of the index, in the artifact's encoding
MAX_KEPT = 40 * 2**20  # bytes of these together, of which an artifact takes no more than 64 MiB

ACCEPTED = (
    ContentType(
        payload.JSON,
        "Texts, plain or as objects, which may say how many of the nearest texts are wanted (top) "
        "and that the vector is not (embedding).",
        '{"instances": ["a warm film", {"text": "dull", "top": 3, "embedding": false}]}',
    ),
    ContentType(payload.JSONLINES, "One text per line, as in JSON.", '{"source": "a warm film"}'),
    ContentType(payload.TEXT, "One text per line.", "a warm film"),
    ContentType(payload.CSV, "One text per line, in a single column.", '"a warm film"'),
)
ANSWERED = (
    ContentType(
        payload.JSON,
        "For each text its vector, of length 1, and the nearest texts of the index, the most alike "
        "first, with the cosine of the angle between the vectors.",
        '{"predictions": [{"nearest": [{"id": "7", "text": "a warm one", "similarity": 0.83}], '
        '"embedding": [0.03, …]}]}',
    ),
    ContentType(
        payload.JSONLINES,
        "One answer per line, as in JSON.",
        '{"nearest": [{"id": "7", "text": "…", "similarity": 0.83}], "embedding": [0.03, …]}',
    ),
    ContentType(payload.CSV, "One vector per line.", "0.03,-0.11,…"),
    ContentType(payload.NPY, "The vectors: an array (N, D) float32."),
)
METRICS = {
    "train:similarity": "Mean cosine of the texts of the index and their nearest others.",
    "train:accuracy": "Of labelled texts of the index, the part whose nearest other has their "
    "label.",
    "test:accuracy": "Of labelled test texts, the part whose nearest text of the index has their "
    "label.",
    "test:precision": "Of the texts of the index that are nearest to a test text, as many as an "
    "answer gives, the part that has its label.",
}


class Wanted(str):
    """A text to ask about, with how many neighbours are wanted (None: as many as usual), and
    whether its vector is.
    """

    top: int | None
    embedding: bool

    @classmethod
    def of(cls, text: str, top: int | None, embedding: bool) -> Wanted:
        found = cls(text)
        found.top, found.embedding = top, embedding
        return found


def wanted(records: Sequence[Any], keys: Sequence[str]) -> list[Wanted]:
    """What the records of a request ask for: texts, as ``texts.extract_texts`` finds them.

    Raises UnfitPayloadError, with all faults.
    """
    faults = []
    options: list[tuple[int | None, bool]] = []
    for number, record in enumerate(records, 1):
        given = record if isinstance(record, dict) else {}
        top, embedding = given.get("top"), given.get("embedding", True)
        if top is not None and (
            isinstance(top, bool) or not isinstance(top, int) or not 0 <= top <= MOST
        ):
            faults.append(
                f"example {number}: top: expected a whole number from 0 to {MOST}, got "
                f"{str(top)[:40]!r}"
            )
        if not isinstance(embedding, bool):
            faults.append(f"example {number}: embedding: expected true or false")
        options.append((top, embedding))
    if faults:
        raise UnfitPayloadError(*faults[:MAX_FAULTS])
    texts = extract_texts(records, keys)
    return [Wanted.of(text, *each) for text, each in zip(texts, options)]


@dataclass(frozen=True)
class Index:
    """Texts to be found: their vectors (M, D) float32 of length 1, their ids, the beginning of
    each, and their labels, "" where there is none.
    """

    vectors: Array
    ids: Sequence[str]
    texts: Sequence[str]
    labels: Sequence[str]

    def __len__(self) -> int:
        return len(self.vectors)

    @classmethod
    def read(cls, model: Model, kept: Mapping[str, Array]) -> Index | None:
        """That of an artifact, by its encoding and what it has ``kept``; None where it has none.

        Raises ArtifactError.
        """
        encoding, vectors = model.metadata.encoding, kept.get(VECTORS)
        if vectors is None and not any(key in encoding for key in (IDS, TEXTS, LABELS)):
            return None
        size = model.fit.outputs[0][-1]
        count = len(encoding.get(IDS) or ())
        faults = [
            f"encoding: {key}: expected a list of {count:,} texts"
            for key in (IDS, TEXTS, LABELS)
            if not isinstance(encoding.get(key), list)
            or len(encoding[key]) != count
            or not all(isinstance(each, str) for each in encoding[key])
        ]
        if vectors is None or vectors.shape != (count, size) or vectors.dtype != np.float32:
            faults.append(f"the index: expected vectors ({count}, {size}) float32")
        if faults or vectors is None:
            raise ArtifactError(*faults)
        return cls(vectors, *(encoding[key] for key in (IDS, TEXTS, LABELS)))

    def encoding(self) -> dict[str, list[str]]:
        """What ``read`` takes, beside the vectors."""
        return {IDS: list(self.ids), TEXTS: list(self.texts), LABELS: list(self.labels)}

    def neighbour(self, place: int, similarity: float) -> dict[str, Any]:
        """One text of the index, as an answer has it."""
        found: dict[str, Any] = {"id": self.ids[place], "text": self.texts[place]}
        if self.labels[place]:
            found["label"] = self.labels[place]
        return {**found, "similarity": similarity}


def check_size(ids: Sequence[str], texts: Sequence[str], labels: Sequence[str]) -> None:
    """Raises DataError where an artifact would not take the index of so many texts."""
    size = sum(
        len(each.encode("utf-8", "replace")) + 8 for part in (ids, texts, labels) for each in part
    )
    if size > MAX_KEPT:
        raise DataError(
            f"{len(ids):,} texts, with the first {TOLD} characters of each, their ids and labels, "
            f"take {size:,} bytes in the model, of which it takes {MAX_KEPT:,}: give fewer, or "
            "--neighbours 0 for vectors alone"
        )


class Answer(NamedTuple):
    """What is said of one text; ``nearest`` is None where there is no index or none are wanted,
    ``embedding`` where it is not wanted. ``cut`` tells that the text was not read to its end.
    """

    nearest: list[dict[str, Any]] | None
    embedding: list[float] | None
    cut: bool

    def to_json(self) -> dict[str, Any]:
        found = {key: value for key, value in self._asdict().items() if value is not None}
        return found if self.cut else {key: found[key] for key in found if key != "cut"}


@dataclass(frozen=True)
class Embeddings:
    """Answers: the ``vectors`` (N, D) float32 of texts, and what is to be said of each."""

    vectors: Array
    answers: Sequence[Answer]

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, part: slice) -> Embeddings:
        return replace(self, vectors=self.vectors[part], answers=self.answers[part])

    def encoded(self, content_type: str) -> bytes:
        """In one of ANSWERED."""
        if content_type == payload.NPY:
            return payload.encode_npy(self.vectors)
        if content_type == payload.CSV:
            return payload.encode_csv(self.vectors)
        return payload.encode_answers([each.to_json() for each in self.answers], content_type)


def answered(
    asked: Sequence[str], vectors: Array, cut: Sequence[bool], index: Index | None, usual: int
) -> Embeddings:
    """The answers to ``asked`` texts of ``vectors`` (N, D), with ``usual`` neighbours unless more
    or fewer are wanted. An empty text has no neighbours, nor has one of which nothing is known,
    whose vector is 0.
    """
    counts = [usual if (top := getattr(each, "top", None)) is None else int(top) for each in asked]
    found: list[list[dict[str, Any]] | None] = [None] * len(asked)
    if index is not None and any(counts):
        places, similarities = nearest(vectors, index.vectors, max(counts))
        told = payload.plain(similarities)
        for number, count in enumerate(counts):
            known = count if vectors[number].any() and asked[number].strip() else 0
            pairs = zip(places[number, :known].tolist(), told[number])
            found[number] = [index.neighbour(*pair) for pair in pairs] if count else None
    rows = payload.plain(vectors)
    shown = (row if getattr(each, "embedding", True) else None for each, row in zip(asked, rows))
    return Embeddings(vectors, [Answer(*each) for each in zip(found, shown, cut)])


def alike(index: Index, chosen: Array) -> Iterator[tuple[str, float]]:
    """Figures of the index, by name: of the texts ``chosen`` (N,) by their places, each against
    all others.
    """
    if len(index) < 2:
        return
    places, similarities = nearest(index.vectors[chosen], index.vectors, 2)
    itself = places[:, :1] == chosen[:, None]  # unless another is as near
    other = np.where(itself[:, 0], places[:, 1], places[:, 0])
    yield "similarity", float(np.where(itself[:, 0], similarities[:, 1], similarities[:, 0]).mean())
    labels = np.array(index.labels, object)
    labelled = labels[chosen] != ""
    if labelled.any():
        yield "accuracy", float((labels[other] == labels[chosen])[labelled].mean())


def evaluated(index: Index, vectors: Array, labels: Sequence[str], count: int) -> Evaluation:
    """How well the nearest texts of ``index`` tell the ``labels`` (N) of texts of ``vectors``
    (N, D), ``count`` neighbours each.

    Raises DataError where there are no labels to compare.
    """
    known = np.array(index.labels, object)
    true = np.array(labels, object)
    missing = [name for name, each in (("index", known), ("texts", true)) if not (each != "").any()]
    if missing:
        raise DataError(
            f"nothing is to be measured: the {' and the '.join(missing)} have no labels: give "
            "texts with a column called label, in training and here"
        )
    chosen = np.flatnonzero(true != "")
    places, _ = nearest(vectors[chosen], index.vectors, max(1, count))
    same = known[places] == true[chosen, None]
    same[~vectors[chosen].any(axis=1)] = False  # of which nothing is known
    hits = int(same[:, 0].sum())
    names, counts = np.unique(known[known != ""].astype(str), return_counts=True)
    usual = float((true[chosen] == names[counts.argmax()]).mean())
    return Evaluation(
        examples=len(chosen),
        metrics={"accuracy": hits / len(chosen), "precision": float(same.mean())},
        intervals={"accuracy": wilson_interval(hits, len(chosen))},
        baselines=(Baseline("most frequent label", {"accuracy": usual}),),
    )
