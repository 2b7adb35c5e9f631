"""Metrics for TensorBoard (extra ``tensorboard``): ALGOSHELF_TENSORBOARD=DIR algoshelf train …

A plugin like anyone's: it shows that the hook ``algoshelf_reporter`` is enough.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Mapping

from ..core import MissingDependencyError, Reporter, hookimpl

VARIABLE = "ALGOSHELF_TENSORBOARD"


class TensorBoardReporter(Reporter):
    """Writes each metric as a scalar, by step, into event files in ``folder``."""

    def __init__(self, folder: Path, algorithm: str, hyperparameters: Mapping[str, Any]) -> None:
        try:
            from tensorboardX import SummaryWriter
        except ModuleNotFoundError:
            raise MissingDependencyError(
                f"{VARIABLE} needs tensorboardX: pip install 'algoshelf[tensorboard]'"
            ) from None
        self.writer = SummaryWriter(str(folder))
        settings = "\n".join(f"    {name}: {value}" for name, value in hyperparameters.items())
        self.writer.add_text(algorithm, settings)

    def metrics(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name.replace(":", "/"), value, step)
        self.writer.flush()

    def end(self) -> None:
        self.writer.close()


@hookimpl
def algoshelf_reporter(
    algorithm: str, hyperparameters: Mapping[str, Any], output: Path
) -> Reporter | None:
    folder = os.environ.get(VARIABLE)
    return TensorBoardReporter(Path(folder), algorithm, hyperparameters) if folder else None
