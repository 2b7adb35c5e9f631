"""Texts as the ids of the word pieces that a pretrained BERT knows."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any, Mapping, Sequence

import numpy as np

from ..data.wordpiece import SPECIAL, WordPiece, vocabulary_faults
from ..runtime.errors import ArtifactError, DataError
from ..runtime.types import Array
from ..weights import Pretrained
from .bert import Sizes

STEP = 4  # texts are padded to a multiple of it
MAX_CONFIG_BYTES, MAX_VOCABULARY_BYTES = 2**20, 2**26


class PieceEncoder:
    """Text to the ids of ``pieces``, for a BERT of ``sizes``; of a text at most ``max_length``, and
    as many as there are positions.
    """

    def __init__(self, pieces: Sequence[str], sizes: Sizes, max_length: int) -> None:
        self.pieces = pieces
        self.sizes = sizes
        self.max_length = min(max_length, sizes.positions)

    @classmethod
    def of(cls, encoding: Mapping[str, Any], max_length: int) -> PieceEncoder:
        """Of what ``encoding`` says; raises ArtifactError where it cannot be."""
        pieces = encoding.get("pieces")
        faults = [f"pieces: {fault}" for fault in vocabulary_faults(pieces)]
        try:
            sizes = Sizes.read(encoding.get("encoder"))
        except ValueError as error:
            faults.append(f"encoder: {error}")
        else:
            if not faults and len(pieces or ()) != sizes.vocabulary:
                faults.append(f"pieces: expected {sizes.vocabulary:,}, as encoder says")
        if faults:
            raise ArtifactError(*(f"encoding: {fault}" for fault in faults))
        return cls(pieces or [], sizes, max_length)

    @property
    def encoding(self) -> dict[str, Any]:
        """What ``of`` takes."""
        return {"pieces": list(self.pieces), "encoder": self.sizes.document()}

    @cached_property
    def _parted(self) -> WordPiece:
        return WordPiece(self.pieces, self.max_length)

    def encode(self, texts: Sequence[str]) -> tuple[list[Array], int]:
        """The ids of each text, (T,) int32, and how many of the texts were cut."""
        ids, cut = self.parts(texts)
        return ids, sum(cut)

    def parts(self, texts: Sequence[str]) -> tuple[list[Array], list[bool]]:
        """The ids of each text, (T,) int32, and whether it was cut."""
        found = [self._parted(text) for text in texts]
        return [np.array(ids, np.int32) for ids, _ in found], [cut for _, cut in found]

    def padded(self, lengths: Array) -> Array:
        """How long texts of ``lengths`` (N,) are when padded, (N,)."""
        rounded: Array = np.minimum(-(-lengths // STEP) * STEP, self.max_length)
        return rounded


class Awaited:
    """In place of the encoder that the model tells which a run starts from, before it is read."""

    encoding: Mapping[str, Any] = {"pieces": [], "encoder": None}
    max_length = 0

    def encode(self, texts: Sequence[str]) -> tuple[list[Array], int]:
        return [np.zeros(0, np.int32) for _ in texts], 0

    def padded(self, lengths: Array) -> Array:
        return lengths


def completed(encodings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The ``encodings``, where one is awaited with the encoder that another has."""
    known = next((each["encoder"] for each in encodings if each.get("encoder")), None)
    return [{**each, "encoder": each.get("encoder") or known} for each in encodings]


def text_of(pieces: Sequence[str], ids: Array) -> str:
    """A text that has about these ids."""
    return " ".join(pieces[i] for i in ids if pieces[i] not in SPECIAL).replace(" ##", "")


def published(given: Pretrained) -> dict[str, Any]:
    """What the files of published weights say, for ``PieceEncoder.of``. Raises DataError."""
    config, vocabulary = given.file("config.json"), given.file("vocab.txt")
    faults = []
    pieces: list[str] = []
    sizes = None
    try:
        sizes = Sizes.published(json.loads(_read(config, MAX_CONFIG_BYTES)))
    except (ValueError, RecursionError) as error:
        faults.append(f"{config}: {error}")
    try:
        text = _read(vocabulary, MAX_VOCABULARY_BYTES).decode()
        pieces = text.replace("\r\n", "\n").rstrip("\n").split("\n")
        faults += [f"{vocabulary}: {fault}" for fault in vocabulary_faults(pieces)]
        if any(piece != piece.lower() for piece in pieces if piece not in SPECIAL):
            faults.append(f"{vocabulary}: holds upper-case pieces: only uncased BERTs are read")
    except ValueError as error:
        faults.append(f"{vocabulary}: {error}")
    if sizes and not faults and len(pieces) != sizes.vocabulary:
        faults.append(f"{vocabulary}: holds {len(pieces):,} pieces, {config} {sizes.vocabulary:,}")
    if faults or sizes is None:
        raise DataError(*faults)
    return {"pieces": pieces, "encoder": sizes.document()}


def _read(path: Path, most: int) -> bytes:
    """What ``path`` holds. Raises DataError; ValueError where it is too large."""
    try:
        with path.open("rb") as stream:
            content = stream.read(most + 1)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    if len(content) > most:
        raise ValueError(f"is larger than {most:,} bytes")
    return content
