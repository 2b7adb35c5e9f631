"""Texts as numbers: tokens, the vocabulary, word vectors, and the dataset of token ids."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Iterable, Mapping, Sequence, Union

import numpy as np

from ...core import ArtifactError, DataError
from ...core.data.opening import open_bytes
from ...core.data.sequences import bucket_lengths, pad_sequences
from ...core.data.tokens import tokens as tokens
from ...core.runtime.gluon import gluonnlp
from ...core.runtime.types import Array
from ...core.tasks.pieces import Awaited, PieceEncoder

PADDING, UNKNOWN = 0, 1
SPECIAL = ("<pad>", "<unk>")  # which no text can contain: a token is a word or one sign


@dataclass(frozen=True)
class Encoder:
    """Text to token ids. Of a text, the first ``max_length`` tokens count.

    ``tokens`` has the token of each id. With ``bigrams`` the ids are those of the set of words and
    pairs of neighbours ("not good") that stand in the text, and what is unknown is left out;
    without, a sequence of words.
    """

    tokens: Sequence[str]
    bigrams: bool
    max_length: int

    @classmethod
    def of(
        cls, texts: Iterable[str], *, bigrams: bool, max_length: int, min_count: int, max_size: int
    ) -> Encoder:
        """With a vocabulary of the at most ``max_size`` tokens seen ``min_count`` times or more."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(_tokens_and_bigrams(text, bigrams, max_length))
        return cls(_vocabulary(counts, max_size, min_count), bigrams, max_length)

    @classmethod
    def from_words(cls, words: Any, *, bigrams: bool, max_length: int) -> Encoder:
        """With the vocabulary ``words``, as ``words()`` gave it. Raises ArtifactError."""
        if (
            not isinstance(words, list)
            or tuple(words[:2]) != SPECIAL
            or not all(isinstance(word, str) for word in words)
            or len(set(words)) < len(words)
        ):
            raise ArtifactError(
                "encoding: vocabulary: expected a list of different tokens, "
                f"{' and '.join(SPECIAL)} first"
            )
        return cls(words, bigrams, max_length)

    def extended(self, words: Sequence[str]) -> Encoder:
        """With ``words`` besides, those that are tokens."""
        known = set(self.words())
        more = (word for word in words if word not in known and [*tokens(word)] == [word])
        return self.from_words(
            [*self.words(), *dict.fromkeys(more)], bigrams=self.bigrams, max_length=self.max_length
        )

    def words(self) -> list[str]:
        """The vocabulary: the token of each id."""
        return list(self.tokens)

    @property
    def encoding(self) -> dict[str, Any]:
        """What ``from_words`` takes."""
        return {"vocabulary": self.words()}

    def encode(self, texts: Sequence[str]) -> tuple[list[Array], int]:
        """The ids of each text, and how many of the texts were cut: that is not counted here."""
        return [self(text) for text in texts], 0

    def padded(self, lengths: Array) -> Array:
        """How long texts of ``lengths`` (N,) are when padded, (N,)."""
        return bucket_lengths(lengths)

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {token: number for number, token in enumerate(self.tokens)}

    def __call__(self, text: str) -> Array:
        """The ids of a text, (T,) int32; none for a text without tokens."""
        known = self._ids
        units = _tokens_and_bigrams(text, self.bigrams, self.max_length)
        if self.bigrams:
            ids = sorted({known[unit] for unit in units if unit in known})
        else:
            ids = [known.get(unit, UNKNOWN) for unit in units]
        return np.array(ids, np.int32)


def text_of(vocabulary: Sequence[str], ids: Array) -> str:
    """A text that has about these ids."""
    found = (vocabulary[number] for number in ids if number > UNKNOWN)
    return " ".join(word for word in found if " " not in word)


def _vocabulary(counts: Counter[str], max_size: int, min_count: int) -> list[str]:
    """The tokens of GluonNLP's vocabulary: the special ones first, then by count and alphabet."""
    padding, unknown = SPECIAL
    vocabulary = gluonnlp().Vocab(
        counts,
        max_size=max_size,
        min_freq=min_count,
        unknown_token=unknown,
        padding_token=padding,
        bos_token=None,
        eos_token=None,
        token_to_idx={padding: PADDING, unknown: UNKNOWN},
    )
    return list(vocabulary.idx_to_token)


def _tokens_and_bigrams(text: str, bigrams: bool, max_length: int) -> list[str]:
    words = list(itertools.islice(tokens(text), max_length))
    if bigrams:
        words += [f"{one} {other}" for one, other in zip(words, words[1:])]
    return words


AnyEncoder = Union[Encoder, PieceEncoder, Awaited]


@dataclass(frozen=True)
class TextDataset:
    """Texts as token ids, with labels ``y`` (N,) int32 that number ``classes``."""

    ids: Sequence[Array]
    y: Array
    classes: tuple[str, ...]
    encoder: AnyEncoder
    note: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def encoding(self) -> Mapping[str, Any]:
        return {"classes": list(self.classes), **self.encoder.encoding}

    @cached_property
    def _lengths(self) -> Array:
        return self.encoder.padded(np.array([len(sequence) for sequence in self.ids], np.int64))

    def __len__(self) -> int:
        return len(self.y)

    def lengths(self) -> Array:
        """How long each text is when padded, (N,)."""
        return self._lengths

    def take(self, indices: Array) -> tuple[Array, Array]:
        """Token ids (B, T) int32, padded with 0, and labels (B,)."""
        length = int(self._lengths[indices].max())
        return pad_sequences([self.ids[index] for index in indices], length), self.y[indices]

    def labels(self) -> Array:
        return self.y

    def digest(self) -> str:
        names = next(iter(self.encoder.encoding.values()))
        digest = hashlib.sha256(repr((self.classes, names)).encode())
        digest.update(np.array([len(sequence) for sequence in self.ids], np.int64).tobytes())
        for sequence in self.ids:
            digest.update(sequence.tobytes())
        digest.update(self.y.tobytes())
        return digest.hexdigest()


def most_frequent_words(path: Path, count: int) -> list[str]:
    """The words of the first ``count`` lines of a file of word vectors, the most frequent ones."""
    with open_bytes(path) as stream:
        lines = itertools.islice(stream, count)
        return [line.split(b" ", 1)[0].decode("utf-8", "replace") for line in lines]


def read_vectors(path: Path, words: Sequence[str]) -> tuple[Array, Array]:
    """The vectors of ``words`` in a text file of GloVe's or fastText's, a word a line.

    Returns them, (V, D) float32, and which words have one, (V,) bool; the file is read as a
    stream, and nothing else of it is kept. Raises DataError for a malformed line.
    """
    index = {word.encode("utf-8", "replace"): number for number, word in enumerate(words)}
    found = np.zeros(len(words), bool)
    vectors = np.zeros((0, 0), np.float32)
    dimensions = 0
    with open_bytes(path) as stream:
        for number, line in enumerate(stream, 1):
            cells = line.rstrip().split(b" ")
            if number == 1 and len(cells) == 2 and all(cell.isdigit() for cell in cells):
                continue  # fastText says first how many words and dimensions there are
            if not dimensions:
                dimensions = len(cells) - 1
                if dimensions < 1:
                    raise DataError(
                        f"{path}: line {number}: expected a word and its numbers, "
                        "separated by blanks, as in the text files of GloVe and fastText"
                    )
                vectors = np.zeros((len(words), dimensions), np.float32)
            if len(cells) <= dimensions:
                raise DataError(
                    f"{path}: line {number}: {len(cells) - 1} numbers, "
                    f"where the first line has {dimensions}"
                )
            place = index.get(b" ".join(cells[:-dimensions]))
            if place is None or found[place]:
                continue
            vectors[place] = _numbers(cells[-dimensions:], f"{path}: line {number}")
            found[place] = True
    if not found.any():
        raise DataError(f"{path}: contains no word of the training texts")
    return vectors, found


def _numbers(cells: Sequence[bytes], place: str) -> Array:
    try:
        numbers = np.array([float(cell) for cell in cells], np.float32)
    except ValueError as error:
        raise DataError(f"{place}: {error}") from None
    if not np.isfinite(numbers).all():
        raise DataError(f"{place}: a number is not finite")
    return numbers
