"""The whole chain on this machine: a gateway, the very handler that Lambda calls, and `algoshelf
serve` as the endpoint. Corrections are appended to a file.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any, Callable, Iterator, Mapping

from ...core.runtime import children
from ...core.runtime.errors import AlgoshelfError, OutputError
from ...core.runtime.staging import unwritable
from ...core.serving import admission, server
from ..aws import local as aws
from . import app, corrections, gateway, site

SERVE = (sys.executable, "-m", "algoshelf.registry.cli", "serve")
READY = "ready at "
STOP_SECONDS = 30

Say = Callable[[str], None]


class Lines:
    """Keeps corrections as lines of a file, each whole on the disk before it is acknowledged.

    Raises OutputError where that cannot be.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
        except OSError as error:
            raise OutputError(unwritable(path, error)) from None

    def __call__(self, correction: Mapping[str, Any]) -> None:
        line = corrections.line(correction)
        with self._lock:
            end = self._file.seek(0, os.SEEK_END)
            try:
                if self._file.write(line) != len(line):
                    raise OSError(f"{self.path}: half a line was written")
                os.fsync(self._file.fileno())
            except OSError:
                self._file.truncate(end)
                raise

    def close(self) -> None:
        self._file.close()


def run(
    model: Path,
    name: str,
    example: str,
    *,
    host: str,
    port: int,
    kept: Path,
    password: str,
    options: list[str],
    say: Say,
) -> None:
    """Answer until SIGTERM or Ctrl-C, and leave no process behind.

    ``name`` is how the model is called, ``options`` are given to `algoshelf serve`, and ``kept`` is
    the file of corrections. Raises AlgoshelfError where something does not start.
    """
    with contextlib.ExitStack() as held:
        listening = server.listen(host, port)
        held.callback(listening.close)
        keep = Lines(kept)
        held.callback(keep.close)
        url = held.enter_context(_serving(model, options, say))
        client = aws.runtime(url, gateway.THREADS, **app.CLIENT)
        handler = app.App(
            site.files(name, example), name, app.Endpoint(client, name), keep, password
        )
        address = f"http://{host}:{listening.getsockname()[1]}"

        def tell() -> None:
            say(f"the endpoint: algoshelf serve, at {url}")
            say(f"corrections are kept in {kept}")
            say(f"open {address}/ in a browser; Ctrl-C ends it")

        gateway.run(listening, handler, admission.allowed_hosts("", host), tell)


@contextlib.contextmanager
def _serving(model: Path, options: list[str], say: Say) -> Iterator[str]:
    """`algoshelf serve` as a process of its own; the address at which it answers."""
    command = [*SERVE, str(model), "--port", "0", "--no-page", *options]
    process = children.start(command, children.importing(), stderr=subprocess.PIPE)
    assert process.stderr is not None
    try:
        url = _ready(process, process.stderr)
        reader = threading.Thread(target=_pass_on, args=(process, process.stderr, say), daemon=True)
        reader.start()
        yield url
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _ready(process: subprocess.Popen[bytes], lines: IO[bytes]) -> str:
    """Wait until it is ready; its address. Raises AlgoshelfError with what it says instead."""
    said = []
    for raw in lines:
        line = raw.decode("utf-8", "replace").rstrip()
        said.append(line)
        if line.startswith(READY):
            return line[len(READY) :].split(": ")[0]
    reason = "\n".join(said[-10:]) or "without a word"
    raise AlgoshelfError(f"algoshelf serve ended with code {process.wait()}: {reason}")


def _pass_on(process: subprocess.Popen[bytes], lines: IO[bytes], say: Say) -> None:
    """Say what it says, and that it has ended where nobody has ended it."""
    for raw in lines:
        text = raw.decode("utf-8", "replace").rstrip()
        if text and not text.lstrip().startswith(("curl ", "stopping:")):
            say(f"serve: {text}")
    code = process.wait()
    if code > 0 or code == -9:
        say(f"algoshelf serve has ended with code {code}: questions are told so from here on")
