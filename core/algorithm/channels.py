"""Channels: the named inputs of a training job (SageMaker's word), each a folder or a file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Mapping, Sequence

from ..data.files import absent, exists
from ..runtime.errors import DataError, did_you_mean

TRAIN, VALIDATION, TEST = "train", "validation", "test"


@dataclass(frozen=True)
class Channel:
    """A named input: what it is for, and the file formats that are read from it."""

    name: str
    description: str
    formats: tuple[str, ...]
    required: bool = False


def supervised_channels(*formats: str) -> tuple[Channel, ...]:
    """The three channels of supervised learning, each read in the same ``formats``."""
    return (
        Channel(TRAIN, "examples to learn from", formats, required=True),
        Channel(
            VALIDATION,
            "examples to choose by; without it, a stratified part of train is held out",
            formats,
        ),
        Channel(TEST, "examples for the final figure, which touch nothing else", formats),
    )


def check_channels(
    channels: Sequence[Channel], given: Mapping[str, Path | None]
) -> dict[str, Path]:
    """The ``given`` paths that are set, after a check that each exists and none is missing.

    Raises DataError naming every path that does not exist and every required channel that is
    absent.
    """
    paths = {name: path for name, path in given.items() if path is not None}
    known = {channel.name for channel in channels}
    faults = [
        f"no channel {name!r}{did_you_mean(name, known) or f'; there are {sorted(known)}'}"
        for name in sorted(paths.keys() - known)
    ]
    faults += [
        f"the channel {channel.name!r} is required: {channel.description}"
        for channel in channels
        if channel.required and channel.name not in paths
    ]
    faults += [
        f"{absent(path)} (channel {name!r})" for name, path in paths.items() if not exists(path)
    ]
    if faults:
        raise DataError(*faults)
    return paths
