"""Adopting: a model from elsewhere becomes an artifact, which has answered once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..algorithm.base import Algorithm
from ..artifact import adoption
from ..artifact.adoption import Foreign
from ..artifact.folder import Artifact
from ..artifact.metadata import Metadata
from ..artifact.target import staged
from ..runtime import mx
from ..runtime.errors import InputError, NetworkError, PayloadError
from .answers import preferred_type
from .handlers import Handlers


@dataclass(frozen=True)
class Made:
    """An artifact that was written; ``notes`` say what was assumed or left out."""

    metadata: Metadata
    notes: tuple[str, ...]


def adopt(
    algorithm: Algorithm[Any], foreign: Foreign, target: Path, distribution: str = ""
) -> Made:
    """Write ``foreign`` as an artifact of ``algorithm``'s into the folder ``target``.

    It is written once it loads, and answers its own example if mxnet is there. Raises InputError
    and OutputError.
    """
    adopted = algorithm.adopt(foreign)
    try:
        metadata = Metadata(
            algorithm=algorithm.name,
            algorithm_version=algorithm.version,
            hyperparameters=dict(adopted.hyperparameters),
            seed=0,
            input=adopted.signature,
            example=adopted.example,
            encoding=dict(adopted.encoding),
            distribution=distribution,
            epoch=foreign.epoch,
            origin=dict(foreign.origin),
        )
    except ValueError as error:
        raise InputError(f"{foreign.label}: {error}") from None
    with staged(target) as stage:
        adoption.write(stage, adopted, metadata)
        algorithm.check(Artifact.open(stage))
        notes = [*adopted.notes]
        if not mx.is_installed():
            notes.append("mxnet is not installed, so the model has not answered yet")
        else:
            _answer(algorithm, stage, foreign.label)
    return Made(metadata, tuple(notes))


def _answer(algorithm: Algorithm[Any], folder: Path, label: str) -> None:
    """Raises InputError where the model in ``folder`` does not answer its own example."""
    kind = preferred_type(algorithm.response_media_types())
    try:
        Handlers.load(algorithm, folder).example_response(kind)
    except (PayloadError, NetworkError) as error:
        raise InputError(f"{label}: the network does not answer: {error}") from None
