"""Sequences of ids of unlike lengths: padded, and of few lengths."""

from __future__ import annotations

from typing import Sequence

import numpy as np

from ..runtime.types import Array

PADDING = 0
BUCKETS = 8
BUCKET_GROWTH = 1.3
SHORTEST_BUCKET = 8


def pad_sequences(sequences: Sequence[Array], length: int) -> Array:
    """Sequences of ids of at most ``length`` as one array (N, length) int32, filled up with 0."""
    batch: Array = np.full((len(sequences), length), PADDING, np.int32)
    for row, sequence in zip(batch, sequences):
        row[: len(sequence)] = sequence
    return batch


def bucket_lengths(lengths: Array) -> Array:
    """Lengths (N,) rounded up to a few, BUCKETS and the shortest, each BUCKET_GROWTH times as far
    from the one before as that is from its own: GluonNLP's ``ExpWidthBucket``, which needs mxnet.
    """
    longest = max(SHORTEST_BUCKET, int(lengths.max(initial=1)))
    more = BUCKET_GROWTH - 1
    width = (longest - SHORTEST_BUCKET) * more / (BUCKET_GROWTH**BUCKETS - 1)
    ends = (BUCKET_GROWTH ** (i + 1) - 1 for i in range(BUCKETS))
    keys = np.array(
        [SHORTEST_BUCKET, *(round(SHORTEST_BUCKET + width * end / more) for end in ends)]
    )
    keys[-1] = max(keys[-1], longest)
    keys = np.unique(keys)
    rounded: Array = keys[np.searchsorted(keys, lengths)]
    return rounded
