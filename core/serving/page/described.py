"""What the page is told of the models: which widget asks each, in what form, and its example."""

from __future__ import annotations

import json
from typing import Any, Callable, Mapping

from ... import payload
from ...algorithm import widgets
from ...algorithm.base import Algorithm
from ...artifact.metadata import Metadata
from ..management import described
from ..pool import Pool
from ..served import Served

MAX_EXAMPLE_CHARACTERS = 2**16
MAX_COLUMNS = 200  # that a table of cells is of use for
PICTURES = (payload.PNG, payload.JPEG, payload.WEBP)

Module = Callable[[Algorithm[Any]], str]


class Descriptions:
    """What ``/page/models`` answers; what does not change about a model is found out once."""

    def __init__(self, pool: Pool, module: Module) -> None:
        self._pool = pool
        self._module = module  # gives the path of an algorithm's own widget
        self._fixed: dict[str, dict[str, Any]] = {}  # by the key of a version of a model

    def document(self) -> dict[str, Any]:
        """The answer."""
        options, served = self._pool.options, list(self._pool.models.values())
        self._fixed = {
            each.key: self._fixed.get(each.key) or self._described(each) for each in served
        }
        return {
            "unready": self._pool.unready(),
            "manages": options.manages,
            "timeout": options.timeout,
            "max_payload": options.max_payload,
            "loading": sorted(
                {each.name for each in self._pool.coming.values()} - self._pool.models.keys()
            ),
            "models": [
                {
                    **self._fixed[each.key],
                    "state": described(each)["state"],
                    "path": "invocations" if len(served) == 1 else f"models/{each.name}/invoke",
                }
                for each in served
            ],
        }

    def _described(self, served: Served) -> dict[str, Any]:
        algorithm, metadata = served.algorithm, served.metadata
        told = described(served)
        del told["classes"]  # their names come with the answers
        example = metadata.example.model_dump()
        return {
            **told,
            "task": algorithm.task,
            "summary": algorithm.summary,
            "widget": widget_of(algorithm, metadata),
            "module": self._module(algorithm).lstrip("/"),
            "forms": {each.name: each.description for each in algorithm.accepts},
            "example": example if len(example["body"]) <= MAX_EXAMPLE_CHARACTERS else None,
            "shape": list(metadata.input.shape),
            "columns": _columns(metadata),
            "named": metadata.headings is not None,
        }


def widget_of(algorithm: Algorithm[Any], metadata: Metadata) -> str:
    """The widget that the algorithm declares, or else the one that suits what it accepts."""
    if algorithm.widget:
        return widgets.BODY if widgets.is_own(algorithm.widget) else algorithm.widget
    accepted = algorithm.accepted_media_types()
    if any(name in accepted for name in PICTURES):
        return widgets.PICTURE
    if algorithm.text_headings or payload.TEXT in accepted:
        return widgets.TEXT
    tabular = payload.CSV in accepted or (
        payload.JSON in accepted and len(metadata.input.shape) == 2
    )
    if tabular and 0 < len(_columns(metadata)) <= MAX_COLUMNS:
        return widgets.ROWS
    return widgets.BODY


def _columns(metadata: Metadata) -> list[str]:
    """The names of the columns of a row: headings, or else numbers from 1; none where they are
    not known, or too many for a table.
    """
    if metadata.headings is not None:
        names = list(metadata.headings.columns)
    else:
        shape = metadata.input.shape
        count = shape[1] if len(shape) == 2 else 0
        count = count or _width(metadata.example.model_dump())
        names = list(map(str, range(1, count + 1))) if count <= MAX_COLUMNS else []
    return names if len(names) <= MAX_COLUMNS else []


def _width(example: Mapping[str, str]) -> int:
    """How many cells the first row of an example has; 0 where that is not to be seen."""
    kind, body = payload.media_type(example["content_type"]), example["body"]
    if len(body) > MAX_EXAMPLE_CHARACTERS:
        return 0
    if kind == payload.CSV:
        return body.strip("\n").split("\n")[0].count(",") + 1
    if kind != payload.JSON:
        return 0
    try:
        rows = json.loads(body)
    except (ValueError, RecursionError):
        return 0
    rows = rows.get("instances") if isinstance(rows, dict) else rows
    row = rows[0] if isinstance(rows, list) and rows else None
    row = row.get("features") if isinstance(row, dict) else row
    return len(row) if isinstance(row, list) else 0
