"""The conformance checks: their names, what each depends on, and what it found."""

from __future__ import annotations

import dataclasses
import inspect
import sys
import tempfile
import time
import traceback
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Callable, Iterable, Mapping

from typing_extensions import Literal

from ..algorithm import declaration
from ..algorithm.base import Algorithm
from ..artifact.folder import Artifact
from ..artifact.model import Model
from ..inference.handlers import Handlers
from ..runtime.errors import UnknownNameError, did_you_mean
from ..training.provenance import sources
from . import child
from .trial import Trial


class Skip(Exception):  # noqa: N818 - it is no fault
    """Raised by a check that has nothing to look at here; the message says why."""


RAISED = (Exception, SystemExit)  # whatever a plugin raises is its fault, not the battery's


@dataclass(frozen=True)
class Fault:
    """What is wrong, and what to change."""

    wrong: str
    change: str


@dataclass(frozen=True)
class Finding:
    """What a check found: ``holds`` is what it is about, ``reason`` why it was skipped."""

    name: str
    holds: str
    status: Literal["passed", "failed", "skipped"]
    seconds: float = 0.0
    faults: tuple[Fault, ...] = ()
    reason: str = ""

    @property
    def ok(self) -> bool:
        return self.status == "passed"

    @property
    def advice(self) -> str:
        """Each fault with its cure, or why the check was skipped; empty where it passed."""
        return "\n".join(f"{f.wrong}\n  -> {f.change}" for f in self.faults) or self.reason

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**dataclasses.asdict(self), "ok": self.ok}


@dataclass(frozen=True)
class Check:
    """``needs`` names the checks without which it has nothing to look at; ``otherwise`` is what to
    change where the plugin raises something that no one foresaw.
    """

    name: str
    holds: str
    needs: tuple[str, ...]
    otherwise: str
    look: Callable[[Battery], Iterable[Fault]]


CHECKS: dict[str, Check] = {}


def check(
    *needs: str, otherwise: str
) -> Callable[[Callable[[Battery], Iterable[Fault]]], Callable[[Battery], Iterable[Fault]]]:
    """Adds a function to CHECKS: its name and its docstring are the check's."""

    def add(look: Callable[[Battery], Iterable[Fault]]) -> Callable[[Battery], Iterable[Fault]]:
        name = look.__name__.replace("_", "-")
        holds = " ".join((look.__doc__ or "").split())
        CHECKS[name] = Check(name, holds, needs, otherwise, look)
        return look

    return add


class Battery:
    """One algorithm under check, and what its checks share; a context manager that tidies up.

    ``reserved`` are the names that its flags may not have, see ``declaration.faults``. Where a
    ``model`` is given, an artifact's folder, its answers are checked and nothing is trained.
    """

    def __init__(
        self,
        algorithm: Any,
        channels: Mapping[str, str | Path] | None = None,
        reserved: Mapping[str, str] = declaration.OF_JOBS,
        model: Path | None = None,
    ) -> None:
        self.reserved = reserved
        self.given_model = model
        cls: Any = algorithm if inspect.isclass(algorithm) else type(algorithm)
        self.cls: type[Algorithm[Any]] = cls
        self._given = {name: Path(path).absolute() for name, path in (channels or {}).items()}
        self._findings: dict[str, Finding] = {}
        self._scratch = tempfile.TemporaryDirectory(prefix="algoshelf-check-")
        self.folder = Path(self._scratch.name)
        self.decisions = 0  # that the uninterrupted training asked for

    def __enter__(self) -> Battery:
        return self

    def __exit__(self, *_: object) -> None:
        self._scratch.cleanup()

    def run(self, name: str) -> Finding:
        """The finding of the check ``name``, after those that it needs; each runs once."""
        if name not in CHECKS:
            near = did_you_mean(name, CHECKS) or f"; there are {', '.join(CHECKS)}"
            raise UnknownNameError(f"no check {name!r}{near}")
        if name not in self._findings:
            self._findings[name] = self._look(CHECKS[name])
        return self._findings[name]

    def require(self, name: str) -> None:
        """Raise Skip unless the check ``name`` passes."""
        before = self.run(name)
        if not before.ok:
            raise Skip(before.reason if before.status == "skipped" else f"because {name} failed")

    def _look(self, check: Check) -> Finding:
        try:
            for needed in check.needs:
                self.require(needed)
        except Skip as skip:
            return Finding(check.name, check.holds, "skipped", reason=str(skip))
        started = time.monotonic()
        faults: list[Fault] = []
        with redirect_stdout(sys.stderr):  # a result goes to stdout, not what plugins print
            try:
                faults.extend(check.look(self))
            except Skip as skip:
                return Finding(check.name, check.holds, "skipped", reason=str(skip))
            except RAISED as error:
                faults.append(Fault(self.shown(error), check.otherwise))
        seconds = round(time.monotonic() - started, 3)
        status: Literal["passed", "failed"] = "failed" if faults else "passed"
        unique = tuple(dict.fromkeys(faults))
        return Finding(check.name, check.holds, status, seconds, unique)

    def shown(self, error: BaseException) -> str:
        """The error, and the line of the plugin that it passed through last."""
        try:
            text = f"{type(error).__name__}: {error}"
        except Exception:
            text = type(error).__name__
        return f"{text.strip()}{self._place(error)}"

    def _place(self, error: BaseException) -> str:
        try:
            own = {str(path) for path in sources(self.cls)}
        except (OSError, TypeError):
            return ""  # a class without a file
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename in own]
        return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""

    @cached_property
    def algorithm(self) -> Algorithm[Any]:
        return self.cls()

    @cached_property
    def channels(self) -> dict[str, Path]:
        """What to train on: what was given, or the bundled sample."""
        return self._given or dict(self.algorithm.sample())

    @cached_property
    def trial(self) -> Trial:
        return Trial(self.algorithm, self.channels)

    @cached_property
    def trained(self) -> Path:
        """The folder of the artifact that is given, or that the check ``training`` leaves."""
        return self.given_model or self.folder / "trained"

    @cached_property
    def artifact(self) -> Artifact:
        return Artifact.open(self.trained)

    @cached_property
    def described(self) -> Mapping[str, Any]:
        """How a fresh process finds the class, before it is used."""
        return child.describe(self.cls)

    @cached_property
    def fresh(self) -> child.Fresh:
        """What a fresh process makes of the artifact, and of the same training."""
        trains = self.given_model is None
        output = self.folder / "fresh" if trains else None
        return child.use(self.cls, self.channels, self.trained, output)

    @cached_property
    def handlers(self) -> Handlers:
        return Handlers.load(self.algorithm, self.trained)

    @property
    def model(self) -> Model:
        return self.handlers.model
