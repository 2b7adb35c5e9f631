"""The progress of a training under the cell of a notebook that began it.

IPython is asked only where it runs already: nothing has to be installed for it.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Mapping

from ..pages import notebook
from ..runtime.printable import figure
from .reporting import MEASURED, Reporter

REDRAWN = 0.2  # seconds between two pictures of the bar
EPOCHS = 12  # the last ones, which are shown


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return hasattr(shell, "kernel")


class NotebookReporter(Reporter):
    """A bar while it lasts, then what was said, and the metrics of each epoch."""

    def __init__(self) -> None:
        self.steps = self.done = 0
        self.said: list[str] = []
        self.names: list[str] = []
        self.epochs: list[tuple[int, Mapping[str, float]]] = []
        self._drawn = 0.0
        self._display: Any = None

    def message(self, text: str) -> None:
        self.said.append(text)
        self._draw()

    def begin(self, steps: int) -> None:
        self.steps = steps

    def step(self, step: int) -> None:
        self.done = step
        if time.monotonic() - self._drawn >= REDRAWN:
            self._draw()

    def metrics(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        told = {name: value for name, value in values.items() if name not in MEASURED}
        self.names += [name for name in told if name not in self.names]
        if self.epochs and self.epochs[-1][0] == epoch:
            _, before = self.epochs.pop()
            told = {**before, **told}
        self.epochs.append((epoch, told))
        self._draw()

    def end(self) -> None:
        self.steps = 0
        self._draw()

    def _repr_html_(self) -> str:
        parts = []
        if self.steps:
            label = f"{self.done:,} of {self.steps:,} steps"
            parts.append(
                f'<p><progress value="{self.done}" max="{self.steps}" style="width: 20em">'
                f"</progress> {label}</p>"
            )
        if self.epochs:
            cells = [
                [f"{epoch}", *(figure(told[n]) if n in told else "" for n in self.names)]
                for epoch, told in self.epochs[-EPOCHS:]
            ]
            parts.append(notebook.rows(("epoch", *self.names), cells))
        parts += [notebook.said(text) for text in self.said]
        return notebook.shown(parts)

    def _draw(self) -> None:
        from IPython import display

        shown: Any = display  # has no types
        content = shown.HTML(self._repr_html_())
        self._drawn = time.monotonic()
        if self._display is None:
            self._display = shown.display(content, display_id=True)
        else:
            self._display.update(content)
