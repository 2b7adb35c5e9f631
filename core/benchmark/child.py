"""The child process of one measured run: its task comes on stdin, its result goes to a file."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any, Mapping

from ..algorithm.base import Algorithm
from ..data.reading import Reading
from ..runtime.errors import AlgoshelfError, InputError
from .running import measured
from .training import Setting


def main() -> None:
    job = json.load(sys.stdin)
    try:
        answer = _answer(job)
    except InputError as error:
        answer = {"faults": error.faults}
    except AlgoshelfError as error:
        answer = {"failure": str(error)}
    except Exception as error:  # the author's code may raise anything
        answer = {"failure": f"{type(error).__name__}: {error}"}
    unfinished = Path(f"{job['answer']}.part")
    unfinished.write_text(json.dumps(answer, allow_nan=False), encoding="utf-8")
    unfinished.replace(job["answer"])  # whole, or not at all


def _answer(job: Mapping[str, Any]) -> dict[str, Any]:
    algorithm: Algorithm[Any] = getattr(importlib.import_module(job["module"]), job["class"])()
    setting = Setting(
        algorithm=algorithm,
        channels={name: Path(path) for name, path in job["channels"].items()},
        hyperparameters=algorithm.Hyperparameters.parse(job["hyperparameters"]),
        devices=job["devices"],
        target=job["target"],
        distribution=job["distribution"],
        reading=Reading.parse(job["reading"]),
    )
    outcome = measured(setting, job["seed"], job["started"], Path(job["model"]))
    assert outcome is not None  # there is one host
    return {"run": outcome.run.model_dump(mode="json"), "facts": outcome.facts}


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # what mxnet leaves to its exit handlers is of no use any more
