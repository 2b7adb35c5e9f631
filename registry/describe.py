"""Describe an algorithm in JSON types, for ``list`` and ``info``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..core.algorithm.search_space import tunable
from ..core.runtime.devices import KVSTORES
from ..core.training.reporting import metric_definitions
from .discovery import Entry
from .lacking import lacking
from .weights import listing


def summarize(entry: Entry) -> dict[str, Any]:
    """A row of ``algoshelf list``."""
    algorithm = entry.algorithm
    return {
        "name": algorithm.name,
        "task": algorithm.task,
        "summary": algorithm.summary,
        "version": algorithm.version,
        "distribution": f"{entry.distribution} {entry.version}",
        "lacks": lacking(entry),
    }


def describe(entry: Entry) -> dict[str, Any]:
    """All that ``algoshelf info`` shows."""
    algorithm = entry.algorithm
    return {
        **summarize(entry),
        "aliases": list(algorithm.aliases),
        "hyperparameters": [asdict(info) for info in algorithm.Hyperparameters.describe()],
        "tunable": [asdict(each) for each in tunable(algorithm.Hyperparameters)],
        "channels": [asdict(channel) for channel in algorithm.channels],
        "accepts": [asdict(content_type) for content_type in algorithm.accepts],
        "answers": [asdict(content_type) for content_type in algorithm.response_types],
        "metrics": dict(algorithm.metrics),
        "metric_definitions": metric_definitions(algorithm.metrics),
        "kvstores": dict(KVSTORES),
        "objective": asdict(algorithm.objective),
        "published": [asdict(result) for result in algorithm.published],
        "sample": sorted(algorithm.sample()),
        "weights": listing.of(algorithm),
    }
