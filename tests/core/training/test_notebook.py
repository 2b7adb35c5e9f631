"""A training in a notebook: its progress, and that an interrupt of the kernel leaves a model.

In a real kernel, which Jupyter's own client starts, asks and interrupts.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
from algoshelf.core.artifact.folder import Artifact

manager = pytest.importorskip(
    "jupyter_client.manager", reason="Jupyter is not installed: pip install 'algoshelf[notebooks]'"
)
pytest.importorskip("ipykernel", reason="ipykernel is not installed")

SETUP = """
from pathlib import Path
from algoshelf.core import train
from algoshelf.registry import catalog

def learn(name, output, **given):
    algorithm = catalog().get(name).algorithm
    options = algorithm.Hyperparameters.parse({k: str(v) for k, v in given.items()})
    return train(algorithm, algorithm.sample(), options, Path(output))
"""
LONG = "learn('tabular', 'm', epochs=5000, batch_size=512)[0]"


class Kernel:
    """A kernel, and what it shows."""

    def __init__(self, folder: Path) -> None:
        self.manager, self.client = manager.start_new_kernel(cwd=str(folder))
        self.shown: list[str] = []

    def send(self, code: str) -> str:
        return str(self.client.execute(code))

    def heard(self) -> dict[str, Any]:
        """The next message; HTML in it is kept."""
        message: dict[str, Any] = self.client.get_iopub_msg(timeout=120)
        html = message["content"].get("data", {}).get("text/html")
        if html:
            self.shown.append(html)
        return message

    def until_shown(self, pattern: str) -> None:
        while not any(re.search(pattern, html) for html in self.shown):
            assert self.heard()["header"]["msg_type"] != "error"

    def end(self, sent: str) -> dict[str, Any] | None:
        """Wait for the end of the cell; the error that it ended with."""
        error = None
        while True:
            message = self.heard()
            if message["parent_header"].get("msg_id") != sent:
                continue
            if message["header"]["msg_type"] == "error":
                error = message["content"]
            if message["content"].get("execution_state") == "idle":
                return error

    def interrupt(self) -> None:
        self.manager.interrupt_kernel()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def kernel(folder: Path) -> Iterator[Kernel]:
    found = Kernel(folder)
    assert found.end(found.send(SETUP)) is None
    yield found
    found.client.stop_channels()
    found.manager.shutdown_kernel(now=True)


def test_an_interrupt_leaves_a_usable_model(kernel: Kernel, folder: Path) -> None:
    sent = kernel.send(LONG)
    kernel.until_shown("<progress")
    kernel.until_shown("<td[^>]*>2</td>")  # a second epoch has been validated
    kernel.interrupt()
    assert kernel.end(sent) is None
    assert "stopping early: it was interrupted" in kernel.shown[-2]
    assert "tabular" in kernel.shown[-1]  # what the cell returns: the artifact
    artifact = Artifact.open(folder / "m")
    assert artifact.metadata.epoch is not None
    assert artifact.metadata.epoch >= 1
    sent = kernel.send("print(catalog().get('tabular').algorithm.model_fn('m').metadata.algorithm)")
    assert kernel.end(sent) is None


def test_after_it_the_kernel_is_interrupted_as_ever(kernel: Kernel) -> None:
    sent = kernel.send("print('begun'); import time; time.sleep(600)")
    while kernel.heard()["content"].get("text") != "begun\n":
        pass
    kernel.interrupt()
    error = kernel.end(sent)
    assert error is not None
    assert error["ename"] == "KeyboardInterrupt"


def test_a_second_interrupt_ends_the_cell_and_leaves_nothing(kernel: Kernel, folder: Path) -> None:
    """Its validation and its test take longer than the time between the two."""
    kernel.shown.clear()
    sent = kernel.send("learn('mnist-cnn', 'n', epochs=50, batch_size=50)")
    kernel.until_shown("<progress")
    kernel.interrupt()
    time.sleep(0.1)  # Python takes two at once for one
    kernel.interrupt()
    error = kernel.end(sent)
    assert error is not None
    assert error["ename"] == "KeyboardInterrupt"
    assert not (folder / "n").exists()
    assert "<progress" not in kernel.shown[-1]
