"""Latent semantic analysis: vectors of words by the texts in which they stand.

S. Deerwester et al., "Indexing by latent semantic analysis", 1990. The singular vectors are found
by N. Halko et al., "Finding structure with randomness", arXiv:0909.4061, algorithm 4.4.
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Iterable, Mapping, Sequence

import numpy as np

from ...core import Array, ArtifactError
from ...core.data.dataset import chunks
from ...core.data.sequences import bucket_lengths
from ...core.data.tokens import tokens

PAD = "<pad>"  # which no text can contain: a token is a word or one sign
MORE, PASSES = 10, 5  # of algorithm 4.4
ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class WordEncoder:
    """Text to the ids of the different ``words`` that stand in its first ``max_length`` tokens."""

    words: Sequence[str]
    max_length: int

    @classmethod
    def learned(
        cls, texts: Iterable[str], *, max_length: int, min_count: int, max_size: int
    ) -> WordEncoder:
        """With the ``max_size`` words that stand in the most of ``texts``, ``min_count`` of them
        or more.
        """
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(set(itertools.islice(tokens(text), max_length)))
        known = [word for word, count in counts.items() if count >= min_count]
        known.sort(key=lambda word: (-counts[word], word))
        return cls([PAD, *known[:max_size]], max_length)

    @classmethod
    def of(cls, encoding: Mapping[str, Any], max_length: int) -> WordEncoder:
        """Of what ``encoding`` says; raises ArtifactError where it cannot be."""
        words = encoding.get("words")
        if (
            not isinstance(words, list)
            or words[:1] != [PAD]
            or not all(isinstance(word, str) for word in words)
            or len(set(words)) < len(words)
        ):
            raise ArtifactError(f"encoding: words: expected a list of different words, {PAD} first")
        return cls(words, max_length)

    @property
    def encoding(self) -> dict[str, Any]:
        """What ``of`` takes."""
        return {"words": list(self.words)}

    @cached_property
    def _ids(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words) if number}

    def parts(self, texts: Sequence[str]) -> tuple[list[Array], list[bool]]:
        """The ids of each text, (T,) int32, and whether it was cut."""
        found, cut = [], []
        for text in texts:
            read = list(itertools.islice(tokens(text), self.max_length + 1))
            cut.append(len(read) > self.max_length)
            known = {self._ids[word] for word in read[: self.max_length] if word in self._ids}
            found.append(np.array(sorted(known), np.int32))
        return found, cut

    def padded(self, lengths: Array) -> Array:
        """How long texts of ``lengths`` (N,) are when padded, (N,)."""
        return bucket_lengths(lengths)


def word_vectors(
    texts: Sequence[Array], words: int, dimensions: int, rng: np.random.Generator
) -> Array:
    """Vectors (words, D) of which the sum over a text's words is its place among the ``dimensions``
    directions in which ``texts`` (ids each) differ the most; D is less where there are fewer.

    A word counts by the logarithm of the part of the texts that have it.
    """
    counts = np.bincount(np.concatenate([*texts, np.zeros(0, np.int32)]), minlength=words)
    rarity = np.log((1 + len(texts)) / (1 + counts)) + 1
    rarity[0] = 0
    bags = _Bags.of(texts, rarity, words)
    rank = min(dimensions, len(texts), max(1, words - 1))
    vectors: Array = rarity[:, None] * bags.directions(rank, rng)
    return vectors


@dataclass(frozen=True)
class _Bags:
    """A sparse matrix of texts (N) and words (V), rows of length 1, and the same by its columns."""

    rows: _Sparse
    columns: _Sparse

    @classmethod
    def of(cls, texts: Sequence[Array], weights: Array, words: int) -> _Bags:
        sizes = np.array([len(text) for text in texts], np.int64)
        ids = np.concatenate([*texts, np.zeros(0, np.int32)]).astype(np.int64)
        row = np.repeat(np.arange(len(texts)), sizes)
        values = weights[ids]
        lengths = np.sqrt(np.bincount(row, values**2, minlength=len(texts)))
        values = values / np.maximum(lengths, 1e-12)[row]
        order = np.argsort(ids, kind="stable")
        return cls(
            _Sparse(sizes, ids, values),
            _Sparse(np.bincount(ids, minlength=words), row[order], values[order]),
        )

    def directions(self, rank: int, rng: np.random.Generator) -> Array:
        """The first ``rank`` right singular vectors (V, rank), each with its largest number above
        0.
        """
        width = min(rank + MORE, len(self.rows.sizes), len(self.columns.sizes))
        found = rng.standard_normal((len(self.columns.sizes), width))
        for _ in range(PASSES):
            held = np.linalg.qr(self.rows.times(found))[0]
            found = np.linalg.qr(self.columns.times(held))[0]
        _, _, turned = np.linalg.svd(self.rows.times(found), full_matrices=False)
        vectors: Array = (found @ turned.T)[:, :rank]
        largest = np.abs(vectors).argmax(axis=0)
        vectors *= np.sign(vectors[largest, np.arange(vectors.shape[1])])
        return vectors


@dataclass(frozen=True)
class _Sparse:
    """Rows of ``sizes`` (N,) numbers each, which stand one after another: ``values`` (K,) at the
    columns ``places`` (K,).
    """

    sizes: Array
    places: Array
    values: Array

    def times(self, dense: Array) -> Array:
        """The product (N, B) with ``dense`` (columns, B)."""
        ends = np.concatenate([[0], np.cumsum(self.sizes)])
        found = np.zeros((len(self.sizes), dense.shape[1]))
        for part in chunks(len(self.sizes), ROWS_AT_ONCE):
            first, last = ends[part.start], ends[part.stop]
            terms = dense[self.places[first:last]] * self.values[first:last, None]
            filled = np.flatnonzero(self.sizes[part])
            if len(filled):
                starts = ends[part.start + filled] - first
                found[part.start + filled] = np.add.reduceat(terms, starts, axis=0)
        return found
