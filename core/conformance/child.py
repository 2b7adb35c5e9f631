"""The part of the conformance checks that runs in a new process, with nothing imported yet."""

from __future__ import annotations

import base64
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Mapping

from ..algorithm.base import Algorithm
from ..inference.answers import own_answers
from ..runtime.errors import PluginError
from .trial import Trial

TIMEOUT_SECONDS = 900
# The time of core's own import is what a plugin's import is measured by.
START = (
    "import time; started = time.perf_counter(); import algoshelf.core; "
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
    cls: type[Algorithm[Any]], channels: Mapping[str, Path], trained: Path, output: Path
) -> Fresh:
    """``answer``: the answers of the artifact at ``trained``; ``train``: another, at ``output``."""
    order = {
        "channels": {name: str(path) for name, path in channels.items()},
        "trained": str(trained),
        "output": str(output),
    }
    return _fresh(cls, **order)


def _fresh(cls: type[Algorithm[Any]], **order: Any) -> Fresh:
    """Run ``main`` in a process of its own, whose hash seed orders sets otherwise than here."""
    if "<locals>" in cls.__qualname__ or cls.__module__ == "__main__":
        raise PluginError(
            f"{cls.__module__}.{cls.__qualname__} cannot be imported by another process: define "
            "the class at the top of a module that can"
        )
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
        "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1",
    }
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch, "result.json")
        order.update(module=cls.__module__, name=cls.__qualname__, result=str(result))
        try:
            done = subprocess.run(
                [sys.executable, "-c", START, json.dumps(order)],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise PluginError(f"a fresh process did not end within {TIMEOUT_SECONDS} s") from None
        if done.returncode or not result.exists():
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
            raise PluginError(f"a fresh process ended with code {done.returncode}: {said[-1]}")
        found = json.loads(result.read_bytes())
        return Fresh(found["values"], found["errors"])


def main(core_seconds: float) -> None:
    """Carry out the order on the command line."""
    order = json.loads(sys.argv[1])
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    before, started = set(sys.modules), time.perf_counter()
    try:
        algorithm = _imported(order)
    except Exception as error:
        errors = dict.fromkeys(("describe", "answer", "train"), _said(error))
    values["describe"] = {
        "core_seconds": core_seconds,
        "seconds": time.perf_counter() - started,
        "modules": sorted(set(sys.modules) - before),
    }
    for task in (_answer, _train) if "trained" in order and not errors else ():
        name = task.__name__.strip("_")
        try:
            values[name] = task(algorithm, order)
        except Exception as error:
            errors[name] = _said(error)
    Path(order["result"]).write_text(json.dumps({"values": values, "errors": errors}))


def _imported(order: Mapping[str, Any]) -> Algorithm[Any]:
    """The algorithm, after all that ``algoshelf info`` asks of it."""
    found: Any = importlib.import_module(order["module"])
    for name in order["name"].split("."):
        found = getattr(found, name)
    algorithm: Algorithm[Any] = found()
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
    answers = own_answers(algorithm, algorithm.model_fn(order["trained"]))
    return {name: base64.b64encode(body).decode() for name, body in answers.items()}


def _train(algorithm: Algorithm[Any], order: Mapping[str, Any]) -> str:
    channels = {name: Path(path) for name, path in order["channels"].items()}
    return str(Trial(algorithm, channels)(Path(order["output"])))
