"""The part of the battery that runs in a fresh process, where nothing is imported yet."""

from __future__ import annotations

import base64
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Mapping

from ..algorithm import Algorithm
from ..errors import PluginError

TIMEOUT_SECONDS = 900
# The time of core's own import is what a plugin's import is measured by.
START = (
    "import time; started = time.perf_counter(); "
    "from algoshelf.core.conformance import child; child.main(time.perf_counter() - started)"
)


def fresh(task: str, cls: type[Algorithm[Any]], **details: Any) -> Any:
    """What ``task`` returns about ``cls`` in a process of its own, in JSON types.

    Another hash seed than this process's orders sets otherwise. Raises PluginError with what the
    process said where it failed.
    """
    if "<locals>" in cls.__qualname__ or cls.__module__ == "__main__":
        raise PluginError(
            f"{cls.__module__}.{cls.__qualname__} cannot be imported by another process: define "
            "the class at the top of a module that can"
        )
    with tempfile.TemporaryDirectory() as scratch:
        result = Path(scratch) / "result.json"
        order = {
            "task": task, "module": cls.__module__, "name": cls.__qualname__,
            "result": str(result), **details,
        }  # fmt: skip
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path),
            "PYTHONHASHSEED": "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1",
        }
        try:
            done = subprocess.run(
                [sys.executable, "-c", START, json.dumps(order)],
                env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                timeout=TIMEOUT_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise PluginError(f"a fresh process did not end within {TIMEOUT_SECONDS} s") from None
        if done.returncode or not result.exists():
            said = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
            raise PluginError(f"a fresh process ended with exit code {done.returncode}: {said[-1]}")
        return json.loads(result.read_bytes())


def main(core_seconds: float) -> None:
    """Carry out the order on the command line."""
    order = json.loads(sys.argv[1])
    before, started = set(sys.modules), time.perf_counter()
    found: Any = importlib.import_module(order["module"])
    for name in order["name"].split("."):
        found = getattr(found, name)
    algorithm: Algorithm[Any] = found()
    result: Any = TASKS[order["task"]](algorithm, order)
    if order["task"] == "describe":
        result = {
            "core_seconds": core_seconds,
            "seconds": time.perf_counter() - started,
            "modules": sorted(set(sys.modules) - before),
        }
    Path(order["result"]).write_text(json.dumps(result))


def _describe(algorithm: Algorithm[Any], order: Mapping[str, Any]) -> None:
    """What ``algoshelf info`` asks of an algorithm."""
    algorithm.Hyperparameters.describe()
    algorithm.sample()


def _answer(algorithm: Algorithm[Any], order: Mapping[str, Any]) -> dict[str, str]:
    """The artifact's answers to its own example, by content type, in base64."""
    from .answers import own_answers

    model = algorithm.model_fn(order["folder"])
    return {
        name: base64.b64encode(body).decode()
        for name, body in own_answers(algorithm, model).items()
    }


def _train(algorithm: Algorithm[Any], order: Mapping[str, Any]) -> None:
    from .trial import Trial

    channels = {name: Path(path) for name, path in order["channels"].items()}
    Trial(algorithm, channels)(Path(order["output"]))


TASKS = {"describe": _describe, "answer": _answer, "train": _train}
