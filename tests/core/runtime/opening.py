"""Run commands one after the other in this process: for each, how it ended and what it took.

    python opening.py MODEL PICTURES < commands

A command is a list in JSON, a line each; ``worker FOLDER`` is what a server's worker does that is
told to load a model of mnist-cnn, and it exits as if it were a command. For each there is a line on
stdout: its exit code, seconds of the processor, MiB of memory beyond what was held before, what it
said. MODEL is one that answers, PICTURES are to train on, so that what is imported once counts for
none.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import sys
from pathlib import Path

from algoshelf.core import mx
from algoshelf.core.runtime.bounds import Account, Bounds
from algoshelf.core.serving.wire import Message, Unpacker
from algoshelf.core.serving.worker import Worker
from algoshelf.registry.cli import main

MNIST = "algoshelf.algorithms.mnist_cnn:MnistCnn"


def memory() -> float:
    """The most MiB that this process has held since the last time."""
    text = Path("/proc/self/status").read_text()
    return int(text.split("VmHWM:")[1].split()[0]) / 1024


def seconds() -> float:
    spent = resource.getrusage(resource.RUSAGE_SELF)
    return spent.ru_utime + spent.ru_stime


def work(folder: str) -> None:
    worker = Worker(Bounds.of(2**20, 100, 60.0), Account())
    order = {"key": "m", "algorithm": MNIST, "folder": folder, "device": "cpu"}
    (answer,) = Unpacker().feed(worker.handle(Message({"do": "load", "model": order}, [])))
    if "error" in answer.header:
        print(*answer.header["error"])
        sys.exit(2)


def run(command: list[str]) -> tuple[int, float, float, str]:
    said = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    Path("/proc/self/clear_refs").write_text("5")
    before, started = memory(), seconds()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            work(command[1]) if command[0] == "worker" else main(command)
        except SystemExit as ended:
            code = int(ended.code or 0)
    took, held = seconds() - started, memory() - before
    assert isinstance(said.buffer, io.BytesIO)
    return code, took, held, said.buffer.getvalue().decode()[-500:]


mx.load()
model, sample = sys.argv[1:]
training = ["train", "image-classification", "--train", sample, "--model", __file__]
for warming in (
    ["predict", model],
    ["worker", model],
    ["export", model],
    ["serve", "--help"],
    training,
):
    run(warming)
for line in sys.stdin:
    print(json.dumps(run(json.loads(line))), flush=True)
