"""What ``algoshelf weights list`` and ``info`` show of the table and of the user's own weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator

from ...core.runtime.errors import DataError
from ...core.weights import About, is_folder, read
from ..discovery import AnyAlgorithm, catalog
from . import cache, choosing

HERE, ABSENT, OTHER, DAMAGED = "yes", "no", "of another version", "damaged"


def rows() -> list[dict[str, Any]]:
    """The table, and then what the user has added; in JSON types."""
    return [*_stated(), *_own()]


def of(algorithm: AnyAlgorithm) -> list[dict[str, Any]]:
    """Those of the table that ``algorithm`` can begin with."""
    names = {name for name, _ in choosing.for_algorithm(algorithm)}
    return [row for row in _stated() if row["name"] in names]


def folder() -> Path:
    """Where they are kept."""
    return cache.place("x").parent


def _stated() -> Iterator[dict[str, Any]]:
    for name, stated in catalog().weights.items():
        row = stated.row
        yield {
            **_about(row.about()),
            "size": row.package.size,
            "distribution": stated.distribution,
            "state": _state(name, row.source),
            "algorithms": _algorithms(row.network),
        }


def _own() -> Iterator[dict[str, Any]]:
    for path in choosing.added():
        try:
            found = read(path, digests=False)
        except DataError:
            about = _about(About(name=path.name, network=""))
            yield {**about, "size": 0, "distribution": "", "state": DAMAGED, "algorithms": []}
            continue
        yield {
            **_about(found.about),
            "size": found.size,
            "distribution": "",
            "state": HERE,
            "algorithms": _algorithms(found.about.network),
        }


def _about(about: About) -> dict[str, Any]:
    return about.model_dump(mode="json", exclude={"layout", "files"})


def _algorithms(network: str) -> list[str]:
    return [
        entry.algorithm.name
        for entry in catalog()
        if entry.algorithm.begins_with(network) is not None
    ]


def _state(name: str, source: str) -> str:
    """Whether the weights are in the cache, by what is written beside them and by their sizes."""
    path = cache.place(name)
    if not is_folder(path):
        return ABSENT
    try:
        return HERE if read(path, digests=False).about.source == source else OTHER
    except DataError:
        return DAMAGED
