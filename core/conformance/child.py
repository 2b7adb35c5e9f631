"""The part of the conformance checks that runs in a new process, with nothing imported yet."""

from __future__ import annotations

import base64
import os
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from ..algorithm.base import Algorithm
from ..inference.handlers import Handlers
from ..runtime.children import ask, name_of, named, ordered
from ..runtime.errors import PluginError
from .trial import Trial

TIMEOUT_SECONDS = 900
# A plugin's import is measured by the time that importing all of core takes.
START = (
    "import time; started = time.perf_counter(); from algoshelf.core import *; "
    "seconds = time.perf_counter() - started; "
    "from algoshelf.core.conformance import child; child.main(seconds)"
)


@dataclass(frozen=True)
class Fresh:
    """What a fresh process found: of each task its value, or the error that it ended with."""

    values: Mapping[str, Any]
    errors: Mapping[str, str]

    def value(self, task: str) -> Any:
        """Raises PluginError where the task failed."""
        if task in self.errors:
            raise PluginError(f"in a fresh process: {self.errors[task]}")
        return self.values[task]


def describe(cls: type[Algorithm[Any]]) -> Mapping[str, Any]:
    """The seconds that importing core and then the class took, and the modules that it brought."""
    found: Mapping[str, Any] = _fresh(cls).value("describe")
    return found


def use(
    cls: type[Algorithm[Any]], channels: Mapping[str, Path], trained: Path, output: Path | None
) -> Fresh:
    """``answer``: the answers of the artifact at ``trained``; ``train``: another, at ``output``, if
    there is to be one.
    """
    order = {
        "channels": {name: str(path) for name, path in channels.items()},
        "trained": str(trained),
        **({} if output is None else {"output": str(output)}),
    }
    return _fresh(cls, **order)


def _fresh(cls: type[Algorithm[Any]], **order: Any) -> Fresh:
    """Run ``main`` in a process of its own, whose hash seed orders sets otherwise than here."""
    seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    order["algorithm"] = name_of(cls)
    try:
        done = ask(
            ["-c", START], order, {"PYTHONHASHSEED": seed}, keep=True, timeout=TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise PluginError(f"a fresh process did not end within {TIMEOUT_SECONDS} s") from None
    if done.code or done.answer is None:
        said = done.said.splitlines() or ["nothing"]
        raise PluginError(f"a fresh process ended with code {done.code}: {said[-1]}")
    return Fresh(**done.answer)


def main(core_seconds: float) -> None:
    """Carry out the order."""
    order, answer = ordered()
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    before, started = set(sys.modules), time.perf_counter()
    try:
        algorithm = _imported(order["algorithm"])
    except Exception as error:
        errors = dict.fromkeys(("describe", "answer", "train"), _said(error))
    values["describe"] = {
        "core_seconds": core_seconds,
        "seconds": time.perf_counter() - started,
        "modules": sorted(set(sys.modules) - before),
    }
    tasks = ((_answer, "trained"), (_train, "output"))
    for task in [] if errors else [task for task, needed in tasks if needed in order]:
        name = task.__name__.strip("_")
        try:
            values[name] = task(algorithm, order)
        except Exception as error:
            errors[name] = _said(error)
    answer({"values": values, "errors": errors})


def _imported(name: str) -> Algorithm[Any]:
    """The algorithm, after all that ``algoshelf info`` asks of it."""
    algorithm: Algorithm[Any] = named(name)()
    algorithm.Hyperparameters.describe()
    algorithm.sample()
    return algorithm


def _said(error: Exception) -> str:
    """The first line of the error, and where it was raised."""
    where = traceback.extract_tb(error.__traceback__)[-1]
    text = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {text} ({Path(where.filename).name}, line {where.lineno})"


def _answer(algorithm: Algorithm[Any], order: Mapping[str, Any]) -> dict[str, str]:
    """The artifact's answers to its own example, by content type, in base64."""
    answers = Handlers.load(algorithm, order["trained"]).example_responses()
    return {name: base64.b64encode(body).decode() for name, body in answers.items()}


def _train(algorithm: Algorithm[Any], order: Mapping[str, Any]) -> str:
    channels = {name: Path(path) for name, path in order["channels"].items()}
    return str(Trial(algorithm, channels)(Path(order["output"])))
