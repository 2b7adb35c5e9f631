"""One trial of a tuning: a training in a process of its own, which reports each epoch.

An order comes as a line of JSON on stdin, and an answer to each epoch as a line, ``on`` or
``prune``. What happens goes out as lines of JSON; the parent's end, however sudden, ends the child.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Mapping

from ...core.data.reading import Reading
from ...core.runtime.children import importing, ordered
from ...core.runtime.errors import AlgoshelfError, InputError
from ...core.runtime.staging import leave
from ...core.training import Reporter, RunOptions, train
from ..discovery import catalog

START = "from algoshelf.registry.tuning import trial; trial.main()"
GO_ON, PRUNE = "on", "prune"


class TrialProcess:
    """A child that carries out ``order``; its events are put into ``events`` as (key, event).

    An event is ``{"epoch": 1, "value": 0.8}``, and at last one of ``{"metrics": …}``,
    ``{"pruned": true}`` and ``{"error": …}``.
    """

    def __init__(
        self, key: object, order: Mapping[str, Any], events: queue.Queue[tuple[Any, dict[str, Any]]]
    ) -> None:
        self.output = Path(order["output"])
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        self._process = subprocess.Popen(
            [sys.executable, "-c", START],
            env={**os.environ, **importing()},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            start_new_session=True,  # Ctrl-C is for the parent, which ends its children
        )
        self.answer(json.dumps(order))
        self._reader = threading.Thread(target=self._read, args=(key, events), daemon=True)
        self._reader.start()

    def answer(self, line: str) -> None:
        """Send ``line``; a child that is gone is reported by its last event."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def end(self) -> None:
        """Kill the child, if it still runs, and all that it has started; wait for it."""
        with contextlib.suppress(ProcessLookupError):  # they would hold its end of the pipe
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()

    def _read(self, key: object, events: queue.Queue[tuple[Any, dict[str, Any]]]) -> None:
        assert self._process.stdout is not None
        last: dict[str, Any] = {}
        for line in self._process.stdout:
            last = json.loads(line)
            events.put((key, last))
        if "epoch" in last or not last:
            code = self._process.wait()
            self._stderr.seek(0)
            said = self._stderr.read().decode(errors="replace").strip().splitlines() or [""]
            events.put((key, {"error": f"its process ended with code {code}: {said[-1]}".strip()}))


class _Pruned(Exception):  # noqa: N818 - it is no fault
    """The parent has seen enough of this training."""


class _Telling(Reporter):
    """Tells the parent the objective after each epoch, and waits for its answer."""

    def __init__(self, tell: Any, answers: queue.Queue[str], objective: str) -> None:
        self.tell, self.answers, self.objective = tell, answers, objective

    def metrics(self, values: Mapping[str, float], *, epoch: int, step: int) -> None:
        if self.objective in values:
            self.tell({"epoch": epoch, "value": values[self.objective]})
            if self.answers.get() == PRUNE:
                raise _Pruned


def main() -> None:
    """Carry out the order."""
    order, tell = ordered()
    answers: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(answers,), daemon=True).start()
    try:
        entry = catalog().get(order["algorithm"])
        algorithm = entry.algorithm
        _, metrics = train(
            algorithm,
            {name: Path(path) for name, path in order["channels"].items()},
            algorithm.Hyperparameters.parse(order["hyperparameters"]),
            Path(order["output"]),
            seed=order["seed"],
            options=RunOptions(reading=Reading.parse(order["reading"])),
            reporter=_Telling(tell, answers, algorithm.objective.metric),
            distribution=f"{entry.distribution} {entry.version}",
        )
    except _Pruned:
        tell({"pruned": True})
    except InputError as error:
        tell({"error": str(error), "input": True})
    except AlgoshelfError as error:
        tell({"error": str(error)})
    except Exception as error:
        tell({"error": f"{type(error).__name__}: {error}"})
    else:
        tell({"metrics": metrics})
    os._exit(0)  # at once: mxnet's own exit takes its time


def _listen(answers: queue.Queue[str]) -> None:
    for line in sys.stdin:
        answers.put(line.strip())
    leave(1)  # the parent is gone, and with it whoever would use this training
