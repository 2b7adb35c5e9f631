"""Checkpoints: the state of a run, written whole, from which only the same run goes on.

    DIR/step-000004320/state.json         position, metrics, what the run is, digests of the others
                       network.params     every parameter, running statistics of every replica
                       optimizer.params   the optimizer's memory
                       best.params        the network at its best so far, where it is kept

A checkpoint is written aside, synced, and renamed into its place; the newest ``KEEP`` stay. Nothing
in it is pickled.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Mapping

import numpy as np

from ..runtime import mx, params, staging
from ..runtime.errors import InputError, OutputError
from ..runtime.staging import digest_of, sync
from ..runtime.types import NDArray
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

    def to_bytes(self) -> bytes:
        """All of it, for another host."""
        state = {"step": self.step, "identity": self.identity, "position": self.position}
        parts: dict[str, Any] = {"": np.frombuffer(json.dumps(state).encode(), np.uint8)}
        for file, arrays in self.arrays.items():
            parts.update((f"{file}/{name}", array.asnumpy()) for name, array in arrays.items())
        stream = io.BytesIO()
        np.savez(stream, **parts)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, body: bytes) -> Checkpoint:
        """What ``to_bytes`` gave."""
        with np.load(io.BytesIO(body), allow_pickle=False) as parts:
            state = json.loads(parts[""].tobytes())
            arrays: dict[str, dict[str, NDArray]] = {}
            for key in filter(None, parts.files):
                file, name = key.split("/", 1)
                value = parts[key]
                arrays.setdefault(file, {})[name] = mx.nd.array(value, dtype=value.dtype)
        return cls(state["step"], state["identity"], state["position"], arrays)


class Checkpoints:
    """The checkpoints of one run, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: IO[str] | None = None

    def prepare(self) -> None:
        """Make the folder and keep others out, so that what is wrong is found before training."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self.folder / ".lock").open("w")
        except OSError as error:
            raise OutputError(staging.unwritable(self.folder, error)) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise OutputError(
                f"{self.folder}: another training keeps its checkpoints there: choose another"
            ) from None

    def close(self) -> None:
        """Let others in."""
        if self._lock is not None:
            self._lock.close()

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write ``checkpoint`` whole or not at all, then forget all but the newest ``KEEP``."""
        target = self.folder / f"step-{checkpoint.step:09}"
        try:
            with staging.stage(self.folder, target.name) as stage:
                self._write(checkpoint, stage)
                staging.take_place(stage, target)  # of a run that stood here before, or this one
            sync(self.folder)
        except (OSError, mx.base.MXNetError, ValueError) as error:
            reason = str(error).strip().splitlines()[-1]
            raise OutputError(f"{target}: cannot be written: {reason}") from None
        self._tidy(target)
        return target

    def _write(self, checkpoint: Checkpoint, stage: Path) -> None:
        digests = {}
        for name, arrays in checkpoint.arrays.items():
            path = stage / f"{name}.params"
            mx.nd.save(str(path), dict(arrays))
            written = params.read(path, numbers=False)
            if written.headers.keys() != arrays.keys():  # which a full disk does not tell
                raise ValueError(f"{path.name} was not written whole")
            digests[path.name] = written.digest
            sync(path)
        state = {
            "step": checkpoint.step,
            "identity": checkpoint.identity,
            "position": checkpoint.position,
            "sha256": digests,
        }
        (stage / STATE).write_text(json.dumps(state, indent=2, sort_keys=True))
        sync(stage / STATE)
        sync(stage)

    def latest(self, identity: Mapping[str, Any], reporter: Reporter) -> Checkpoint | None:
        """The newest checkpoint that is whole; None where there is none.

        A damaged one is told to ``reporter`` and passed over for the one before. Raises
        CheckpointError, with each difference, where it belongs to a run of another ``identity``.
        """
        for folder in sorted(self._all(), reverse=True):
            try:
                checkpoint = _read(folder)
            except (OSError, ValueError, LookupError, TypeError, mx.base.MXNetError) as error:
                reporter.message(f"{folder}: damaged ({error}); taking the one before")
                folder.rename(folder.with_name(f"damaged-{folder.name}-{staging.unique()}"))
                continue
            _check_identity(folder, checkpoint.identity, identity)
            return checkpoint
        return None

    def _all(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        found = (path for path in self.folder.iterdir() if _NAME.fullmatch(path.name))
        return [path for path in found if path.is_dir()]

    def _tidy(self, newest: Path) -> None:
        others = sorted((path for path in self._all() if path != newest), reverse=True)
        for folder in others[KEEP - 1 :]:
            shutil.rmtree(folder, ignore_errors=True)
        staging.sweep(self.folder)  # of a process that was killed while writing


def threads_of(folder: Path) -> int | None:
    """How many threads an operator had in the newest checkpoint in ``folder``; None without one."""
    for each in sorted(Checkpoints(folder)._all(), reverse=True):
        with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
            return int(json.loads((each / STATE).read_bytes())["identity"]["threads"])
    return None


def _read(folder: Path) -> Checkpoint:
    state = json.loads((folder / STATE).read_bytes())
    arrays = {}
    for name, digest in state["sha256"].items():
        if not re.fullmatch(r"\w+\.params", name):
            raise ValueError(f"{name!r} is not a valid file name")
        path = folder / name
        if digest_of(path) != digest:
            raise ValueError(f"{name} was changed after it was written")
        arrays[path.stem] = params.load(path)
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
