"""Series of values in time, many at once: what forecasting learns from and is asked about."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Mapping, Sequence

import numpy as np

from ..runtime.types import Array
from .dataset import Dataset, Subset
from .frequencies import Frequency

UNKNOWN = 0  # the number of a category that the training did not have


@dataclass(frozen=True)
class Series:
    """One series: ``target`` (T,) float64, a value each step from ``start`` on, NaN where it is
    missing; T may be 0 in a request.

    ``start`` is None where times are not known, only their order. ``categories`` are names, such as
    a shop and a product. ``features`` (F, T) float32 are what is known of each step besides, such
    as a price, NaN where it is missing; in a request (F, T + horizon), for the future too.
    """

    name: str
    start: np.datetime64 | None
    target: Array
    categories: tuple[str, ...] = ()
    features: Array = field(default_factory=lambda: np.zeros((0, 0), np.float32))

    def __len__(self) -> int:
        return len(self.target)


@dataclass(frozen=True)
class ManySeries:
    """Series of one frequency, as a Dataset: an example is a series. What is learned from them, or
    forecast, are windows (``core/data/windows.py``).

    ``encoding``: ``frequency``, as ``str(Frequency)`` writes it; ``categories``, the names of each
    category, ``[["Berlin", …], ["beer", …]]``, numbered from 1; ``features``, the names of the
    features (of DeepAR's ``dynamic_feat`` "1", "2", …). ``note`` and ``counts`` say what was left
    out or mended on reading (gaps, duplicates).
    """

    series: Sequence[Series]
    encoding: Mapping[str, Any]
    note: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def frequency(self) -> Frequency:
        return Frequency.parse(self.encoding["frequency"])

    def __len__(self) -> int:
        return len(self.series)

    @cached_property
    def lengths_in_time(self) -> Array:
        """How many steps each series has, (N,) int64."""
        return np.array([len(each) for each in self.series], np.int64)

    @cached_property
    def numbers(self) -> Array:
        """Of each series the numbers of its categories, (N, C) int64, UNKNOWN for a new name."""
        return np.array(
            [numbers_of(each.categories, self.encoding) for each in self.series], np.int64
        ).reshape(len(self), len(self.encoding["categories"]))

    def take(self, indices: Array) -> tuple[Array, Array]:
        """How long each is, (B, 1) float32, twice: nothing is learned of whole series."""
        lengths = self.lengths_in_time[indices, None].astype(np.float32)
        return lengths, lengths

    def labels(self) -> Array:
        """How long each series is, (N,)."""
        return self.lengths_in_time.astype(np.float32)

    def digest(self) -> str:
        digest = hashlib.sha256(repr(sorted(self.encoding.items())).encode())
        for each in self.series:
            digest.update(repr((each.name, str(each.start), each.categories, len(each))).encode())
            digest.update(np.ascontiguousarray(each.target, np.float64).tobytes())
            digest.update(np.ascontiguousarray(each.features, np.float32).tobytes())
        return digest.hexdigest()

    def at(self, indices: Array) -> ManySeries:
        """The series at ``indices``."""
        return replace(self, series=[self.series[index] for index in indices.tolist()])


def numbers_of(categories: Sequence[str], encoding: Mapping[str, Any]) -> list[int]:
    """The numbers of ``categories`` by the names in ``encoding``; UNKNOWN for a new name."""
    return [
        names.index(name) + 1 if name in names else UNKNOWN
        for name, names in zip(categories, encoding["categories"])
    ]


def series_of(dataset: Dataset) -> ManySeries:
    """``dataset``, which may be a part of some series, as series of its own."""
    if isinstance(dataset, Subset):
        return series_of(dataset.whole).at(dataset.indices)
    assert isinstance(dataset, ManySeries)
    return dataset
