"""The networks: token ids (N, T) int32, padded with 0, to logits (N, C).

Each masks the padding: a text gets the same answer at any T, beside any other text.
This module imports mxnet, so import it only inside functions that build a network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Sequence

import numpy as np

from ...core import HybridBlock, mx
from ...core.runtime.types import Array
from ...core.tasks.constants import Given
from .vocabulary import read_vectors

MAX_TOKENS = 2**24  # that float32 counts
SPREAD = 0.25  # of random word vectors, as in Kim's paper
# Of an n-gram's weight: begun at 1 it would be naive Bayes, which is far too sure; and how many
# times the learning rate it moves at, which is that of networks with a thousand steps to go.
INITIAL_WEIGHT, RATE = 0.1, 3.0
nn, rnn = mx.gluon.nn, mx.gluon.rnn


def _mask(ops: Any, tokens: Any) -> Any:
    """1 where there is a token, 0 where there is padding: (N, T) float32."""
    return ops.cast(tokens != 0, dtype="float32")


def word_vectors(path: str, vocabulary: Sequence[str], dimensions: int) -> WordVectors:
    """Vectors for ``vocabulary``: drawn at random, or those of the text file ``path``.

    Words that the file does not hold begin at random, spread as its vectors are.
    """
    if not path:
        return WordVectors(len(vocabulary), dimensions, mx.init.Uniform(SPREAD))
    vectors, found = read_vectors(Path(path), vocabulary)
    return WordVectors(len(vocabulary), vectors.shape[1], _Pretrained(vectors, found))


class _Pretrained(mx.init.Initializer):  # type: ignore[misc]
    """Rows ``found`` (V,) of ``vectors`` (V, D), the others random with the same deviation."""

    def __init__(self, vectors: Array, found: Array) -> None:
        super().__init__()
        self._vectors, self._found = vectors, found

    def _init_weight(self, _: str, array: Any) -> None:
        spread = self._vectors[self._found].std() * np.sqrt(3)
        table = mx.nd.random.uniform(-spread, spread, array.shape).asnumpy()
        table[self._found] = self._vectors[self._found]
        array[:] = table


class WordVectors(mx.gluon.HybridBlock):  # type: ignore[misc]
    """Vectors (N, T, D) of token ids (N, T), 0 for padding."""

    def __init__(self, words: int, dimensions: int, initializer: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dimensions = dimensions
        with self.name_scope():
            self.table = nn.Embedding(words, dimensions, weight_initializer=initializer)

    def hybrid_forward(self, ops: Any, tokens: Any) -> Any:
        return ops.broadcast_mul(self.table(tokens), _mask(ops, tokens).expand_dims(2))


class NgramBag(mx.gluon.HybridBlock):  # type: ignore[misc]
    """A sum of one weight for each n-gram and class, scaled by its log-count ratio.

    S. Wang and C. Manning, "Baselines and bigrams: simple, good sentiment and topic
    classification", ACL 2012. ``ratios`` (V, C) are those of ``log_count_ratios``.
    """

    def __init__(self, ratios: Array, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.weight = self.params.get(
                "weight", shape=ratios.shape, init=mx.init.Constant(INITIAL_WEIGHT), lr_mult=RATE
            )
            self.bias = self.params.get("bias", shape=(ratios.shape[1],), init="zeros", wd_mult=0)
            self.ratios = self.params.get(
                "ratios", shape=ratios.shape, init=Given(ratios), grad_req="null"
            )

    def hybrid_forward(self, ops: Any, tokens: Any, weight: Any, bias: Any, ratios: Any) -> Any:
        vocabulary, classes = self.weight.shape
        rows = ops.Embedding(tokens, weight * ratios, input_dim=vocabulary, output_dim=classes)
        counted = ops.broadcast_mul(rows, _mask(ops, tokens).expand_dims(2))
        return ops.broadcast_add(counted.sum(axis=1), bias)


class TextCnn(mx.gluon.HybridBlock):  # type: ignore[misc]
    """Convolutions over windows of words, the highest answer of each map, a linear layer.

    Y. Kim, "Convolutional neural networks for sentence classification", EMNLP 2014. To its logits
    a bag of words adds its own: what a word says by itself need not be learned as a feature.
    """

    def __init__(
        self,
        vectors: WordVectors,
        bag: NgramBag,
        classes: int,
        *,
        maps: int,
        windows: Sequence[int],
        dropout: float,
        embedding_dropout: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.windows = tuple(windows)
        with self.name_scope():
            self.vectors = vectors
            self.bag = bag
            self.vector_dropout = nn.Dropout(embedding_dropout)
            self.convolutions = nn.HybridSequential()
            for window in self.windows:
                self.convolutions.add(nn.Conv1D(maps, window, padding=window - 1))
            self.dropout = nn.Dropout(dropout)
            self.output = nn.Dense(classes)

    def hybrid_forward(self, ops: Any, tokens: Any) -> Any:
        mask = _mask(ops, tokens)
        first = ops.ones_like(ops.slice_axis(mask, axis=1, begin=0, end=1))
        vectors = self.vector_dropout(self.vectors(tokens)).transpose((0, 2, 1))
        features = []
        for window, convolution in zip(self.windows, self.convolutions):
            # Windows reach over both ends of the text by all but one word. Answer j is that of the
            # words up to j: it counts if the window has begun before the text is over.
            counts = mask
            if window > 1:
                counts = ops.concat(ops.repeat(first, repeats=window - 1, axis=1), mask, dim=1)
            answers = ops.relu(convolution(vectors))
            features.append(ops.broadcast_mul(answers, counts.expand_dims(1)).max(axis=2))
        logits = self.output(self.dropout(ops.concat(*features, dim=1)))
        return logits + self.bag(tokens)


class BiLstm(mx.gluon.HybridBlock):  # type: ignore[misc]
    """An LSTM from either end of the text, the mean and the highest of its states, a linear layer.

    The backward one reads each text reversed by itself, so that it does not begin in padding.
    """

    def __init__(
        self,
        vectors: WordVectors,
        classes: int,
        *,
        hidden: int,
        dropout: float,
        embedding_dropout: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.vectors = vectors
            self.vector_dropout = nn.Dropout(embedding_dropout)
            self.forwards = rnn.LSTM(hidden, input_size=vectors.dimensions)
            self.backwards = rnn.LSTM(hidden, input_size=vectors.dimensions)
            self.dropout = nn.Dropout(dropout)
            self.output = nn.Dense(classes)

    def hybrid_forward(self, ops: Any, tokens: Any) -> Any:
        mask = _mask(ops, tokens)
        lengths = ops.clip(mask.sum(axis=1), 1, MAX_TOKENS)
        vectors = self.vector_dropout(self.vectors(tokens))
        vectors = vectors.transpose((1, 0, 2))  # (T, N, D), as an LSTM reads
        turned = ops.SequenceReverse(vectors, lengths, use_sequence_length=True)
        states = ops.concat(self.forwards(vectors), self.backwards(turned), dim=2)
        counts = mask.transpose().expand_dims(2)
        total = ops.broadcast_mul(states, counts).sum(axis=0)
        mean = ops.broadcast_div(total, lengths.expand_dims(1))
        # states lie between -1 and 1, so that those of padding never are the highest
        highest = ops.broadcast_mul(states + 1, counts).max(axis=0) - 1
        return self.output(self.dropout(ops.concat(mean, highest, dim=1)))


class Bert(mx.gluon.HybridBlock):  # type: ignore[misc]
    """A linear layer over the mean vector of a pretrained BERT, ``encoder``."""

    def __init__(
        self, encoder: HybridBlock, units: int, classes: int, dropout: float, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        with self.name_scope():
            self.encoder = encoder
            self.head = nn.HybridSequential()
            self.head.add(nn.Dropout(dropout), nn.Dense(classes, in_units=units))

    def hybrid_forward(self, ops: Any, tokens: Any) -> Any:
        return self.head(self.encoder(tokens))
