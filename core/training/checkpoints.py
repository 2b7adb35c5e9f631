"""Checkpoints: where a run stands, written so that no moment of interruption can spoil it.

    DIR/step-000004320/state.json         position, metrics, what the run is, digests of the others
                       network.params     every parameter, running statistics of every replica
                       optimizer.params   the optimizer's memory
                       best.params        the network at its best so far, where it is kept

A checkpoint is written aside, synced, and renamed into its place; the newest ``KEEP`` stay. Nothing
in it is pickled.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Mapping

from .. import mx
from ..errors import InputError, OutputError
from ..types import NDArray
from .reporting import Reporter

KEEP = 2
STATE = "state.json"
_NAME = re.compile(r"step-(\d{9})")


class CheckpointError(InputError):
    code = "unfit_checkpoint"


@dataclass
class Checkpoint:
    """``identity`` says what the run is, ``position`` where it stands; both are JSON objects.

    ``arrays`` holds files of named arrays: ``{"network": {"conv0_weight": …}}``.
    """

    step: int
    identity: Mapping[str, Any]
    position: Mapping[str, Any]
    arrays: Mapping[str, Mapping[str, NDArray]] = field(default_factory=dict)


class Checkpoints:
    """The checkpoints of one run, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        """Make the folder, so that a disk that cannot be written is found before training."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            probe = self.folder / f".probe-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise OutputError(f"{self.folder}: cannot be written: {error.strerror}") from None

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write ``checkpoint`` whole or not at all, then forget all but the newest ``KEEP``."""
        target = self.folder / f"step-{checkpoint.step:09}"
        stage = self.folder / f".{target.name}-{os.getpid()}"
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(parents=True)
        digests = {}
        for name, arrays in checkpoint.arrays.items():
            path = stage / f"{name}.params"
            mx.nd.save(str(path), dict(arrays))
            digests[path.name] = _digest(path)
            _sync(path)
        state = {
            "step": checkpoint.step,
            "identity": checkpoint.identity,
            "position": checkpoint.position,
            "sha256": digests,
        }
        (stage / STATE).write_text(json.dumps(state, indent=2, sort_keys=True))
        _sync(stage / STATE)
        _sync(stage)
        shutil.rmtree(target, ignore_errors=True)  # of a run that stood here before
        stage.rename(target)
        _sync(self.folder)
        self._tidy()
        return target

    def latest(self, identity: Mapping[str, Any], reporter: Reporter) -> Checkpoint | None:
        """The newest checkpoint that is whole; None where there is none.

        A damaged one is told to ``reporter`` and passed over for the one before. Raises
        CheckpointError, with each difference, where it belongs to a run of another ``identity``.
        """
        for folder in sorted(self._all(), reverse=True):
            try:
                checkpoint = _read(folder)
            except (OSError, ValueError, KeyError, mx.base.MXNetError) as error:
                reporter.message(f"{folder}: damaged ({error}); taking the one before")
                continue
            _check_identity(folder, checkpoint.identity, identity)
            return checkpoint
        return None

    def _all(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return [path for path in self.folder.iterdir() if _NAME.fullmatch(path.name)]

    def _tidy(self) -> None:
        for folder in sorted(self._all(), reverse=True)[KEEP:]:
            shutil.rmtree(folder, ignore_errors=True)
        for leftover in self.folder.glob(".step-*"):  # of a process that was killed while writing
            shutil.rmtree(leftover, ignore_errors=True)


def _read(folder: Path) -> Checkpoint:
    state = json.loads((folder / STATE).read_bytes())
    arrays = {}
    for name, digest in state["sha256"].items():
        path = folder / name
        if _digest(path) != digest:
            raise ValueError(f"{name} is not what was written")
        arrays[path.stem] = mx.nd.load(str(path))
    return Checkpoint(state["step"], state["identity"], state["position"], arrays)


def _check_identity(folder: Path, there: Mapping[str, Any], here: Mapping[str, Any]) -> None:
    differences = [
        f"{key}: {_short(there.get(key))} there, {_short(here.get(key))} here"
        for key in sorted({*there, *here})
        if there.get(key) != here.get(key)
    ]
    if differences:
        raise CheckpointError(
            f"{folder}: belongs to another run; give the same settings, or another --checkpoints",
            *differences,
        )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 20 else text[:12] + "…"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _sync(path: Path) -> None:
    """Have the disk hold what was written, before anything relies on it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
