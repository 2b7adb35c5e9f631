"""Channels: the named data inputs of a training job (train, validation, test), files or folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Mapping, Sequence

from ..data.files import absent, exists
from ..runtime.errors import DataError, did_you_mean

TRAIN, VALIDATION, TEST = "train", "validation", "test"
MODEL = "model"  # what a training begins with


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
        Channel(TRAIN, "Training examples.", formats, required=True),
        Channel(
            VALIDATION,
            "Validation examples, measured after each epoch to choose the best epoch. Default: a "
            "random part of the training examples, of each class where there are classes, which "
            "is then held out.",
            formats,
        ),
        Channel(
            TEST,
            "Test examples, measured once after the training. They influence nothing else.",
            formats,
        ),
    )


def model_channel() -> Channel:
    """The channel of a model to start from, for an algorithm that can."""
    return Channel(
        MODEL,
        "Model to start from instead of from random weights. Its words and classes stay known.",
        ("a model folder that algoshelf trained with this algorithm",),
    )


class CheckedChannels(Dict[str, Path]):
    """Paths by channel, as ``check_channels`` gives them: they are not checked a second time."""


def check_channels(
    channels: Sequence[Channel], given: Mapping[str, Path | None]
) -> CheckedChannels:
    """The ``given`` paths that are set, after a check that each exists and none is missing.

    Raises DataError naming every path that does not exist and every required channel that is
    absent.
    """
    if isinstance(given, CheckedChannels):
        return given
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
    return CheckedChannels(paths)
