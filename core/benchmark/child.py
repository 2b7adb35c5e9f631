"""The child process of one measured run: its order comes on stdin, its result goes back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Mapping

from ..data.reading import Reading
from ..runtime.children import named, ordered
from ..runtime.errors import AlgoshelfError, InputError
from .running import measured
from .training import Setting


def main() -> None:
    order, answer = ordered()
    try:
        found = _measured(order)
    except InputError as error:
        found = {"faults": error.faults}
    except AlgoshelfError as error:
        found = {"failure": str(error)}
    except Exception as error:  # the author's code may raise anything
        found = {"failure": f"{type(error).__name__}: {error}"}
    answer(found)


def _measured(order: Mapping[str, Any]) -> dict[str, Any]:
    algorithm = named(order["algorithm"])()
    setting = Setting(
        algorithm=algorithm,
        channels={name: Path(path) for name, path in order["channels"].items()},
        hyperparameters=algorithm.Hyperparameters.parse(order["hyperparameters"]),
        devices=order["devices"],
        target=order["target"],
        distribution=order["distribution"],
        reading=Reading.parse(order["reading"]),
    )
    outcome = measured(setting, order["seed"], order["started"], Path(order["model"]))
    assert outcome is not None  # there is one host
    return {"run": outcome.run.model_dump(mode="json"), "facts": outcome.facts}


if __name__ == "__main__":
    main()
    os._exit(0)  # what mxnet leaves to its exit handlers is of no use any more
