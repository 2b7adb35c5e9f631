"""Child processes: how they are started, told what to do, and asked what came of it.

    done = children.ask(["-m", "algoshelf.core.benchmark.child"], {"seed": 3})      # the parent
    order, answer = children.ordered()                                              # the child
    answer({"metrics": …})

An order is a JSON object on the child's stdin, an answer a line of JSON on what was its stdout;
whatever else the child prints, by a plugin or by mxnet, goes to stderr.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import signal
import subprocess
import sys
from tempfile import TemporaryFile
from typing import IO, Any, Callable, Mapping, NamedTuple, Sequence, Union

from .errors import PluginError

Stream = Union[int, IO[bytes], None]


class Done(NamedTuple):
    """How a child ended: its exit code, its answer (None: it gave none), and its stderr if kept."""

    code: int
    answer: Any
    said: str


def start(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    stdin: Stream = subprocess.DEVNULL,
    stdout: Stream = None,
    stderr: Stream = None,
) -> subprocess.Popen[bytes]:
    """A process that ends with this one; ``environment`` is what it has besides this one's.

    A terminal's Ctrl-C does not reach it: whoever looks on decides what it means.
    """
    return subprocess.Popen(
        command,
        env={**os.environ, **(environment or {})},
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        preexec_fn=die_with_parent,
    )


def ask(
    program: Sequence[str],
    order: Mapping[str, Any],
    environment: Mapping[str, str] | None = None,
    *,
    keep: bool = False,
    timeout: float | None = None,
) -> Done:
    """Have ``python *program`` carry out ``order``, and wait for it.

    Its stderr is this process's, or with ``keep`` it is given back. Files stand in for pipes, which
    what the child left behind would hold open. Raises subprocess.TimeoutExpired after ``timeout``
    seconds; the child is gone by then.
    """
    with contextlib.ExitStack() as held:
        given, answered, said = (held.enter_context(TemporaryFile()) for _ in range(3))
        given.write(json.dumps(order).encode() + b"\n")
        given.seek(0)
        process = start(
            [sys.executable, *program],
            {**importing(), **(environment or {})},
            stdin=given,
            stdout=answered,
            stderr=said if keep else None,
        )
        try:
            code = process.wait(timeout)
        finally:  # interrupted, or too late
            process.kill()
            process.wait()
        answered.seek(0)
        said.seek(0)
        try:
            answer = json.loads(answered.read().splitlines()[-1])
        except (IndexError, ValueError):  # none, or half of one
            answer = None
        return Done(code, answer, said.read().decode(errors="replace").strip())


def ordered() -> tuple[Any, Callable[[Any], None]]:
    """In a child: its order, and by what it answers."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(value: Any) -> None:
        print(json.dumps(value, allow_nan=False), file=answers, flush=True)

    return json.loads(sys.stdin.readline()), answer


def importing() -> dict[str, str]:
    """The environment in which a child imports from where this process does."""
    return {"PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path)}


def name_of(cls: type) -> str:
    """``module:Class``, by which another process finds ``cls``. Raises PluginError."""
    if "<locals>" in cls.__qualname__ or cls.__module__ == "__main__":
        raise PluginError(
            f"{cls.__module__}.{cls.__qualname__} cannot be imported by another process: define "
            "the class at the top of a module that can"
        )
    return f"{cls.__module__}:{cls.__qualname__}"


def named(name: str) -> Any:
    """The class that ``name_of`` gave this name."""
    module, _, path = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


def die_with_parent() -> None:
    """Have this process killed when the one that started it ends."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
