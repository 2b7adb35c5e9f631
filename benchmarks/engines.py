"""The same models answered by mxnet and by ONNX Runtime, in turn, on the same machine.

    python engines.py [--rounds 5] [--seconds 5] [--algorithm NAME ...]

Trains a small model on each sample (ResNet-20 on JPEG) and exports it. In each round, of each
engine in turn: the time from the start of `algoshelf predict` to its end, that from the start of
`algoshelf serve` with one worker to its first answer, what the worker then holds, and the requests
a second of `algoshelf serve` at 1, 4 and 32 connections. Every answer is compared with mxnet's.
Modules are compiled beforehand, as pip leaves them. The result is kept under results/.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import servers
from command import ALGOSHELF
from environment import environment, results_file
from load_client import load
from serving import _rss_mb, _workers
from workloads import WORKLOADS, Workload, judge

ENGINES = ("mxnet", "onnx")
CONNECTIONS = (1, 4, 32)
ALGORITHMS = ("mnist-cnn", "image-classification", "text-classification")
BODIES = 200
FIGURES = ("predict_s", "first_answer_s", "worker_mb", *(f"rate_{c}" for c in CONNECTIONS))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5, help="of each number of connections")
    parser.add_argument("--algorithm", action="append", choices=WORKLOADS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="engines-") as folder:
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ["PYTHONPYCACHEPREFIX"] = str(Path(folder, "bytecode"))
        models = {
            name: measured(WORKLOADS[name], Path(folder), options)
            for name in options.algorithm or ALGORITHMS
        }
    document = {
        "what": "onnx / mxnet, median and range of the ratios within a round",
        "environment": {**environment(), "onnxruntime": _onnxruntime()},
        "seconds": options.seconds,
        "models": models,
    }
    path = results_file("engines")
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(path)
    wrong = sum(found["wrong_answers"] for found in models.values())
    if wrong:
        raise SystemExit(f"{wrong} answers are wrong")


def _onnxruntime() -> str:
    from importlib.metadata import version

    return version("onnxruntime")


def measured(work: Workload, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of one model, in ``rounds``, and the ratios of onnx to mxnet."""
    model = work.train(folder / work.algorithm)
    subprocess.run([ALGOSHELF, "export", str(model)], check=True, stdout=subprocess.DEVNULL)
    bodies = work.bodies(BODIES, 1)
    expected = work.expected(model, bodies)
    requests = work.requests(bodies)
    for engine in ENGINES:
        _cold(model, engine, requests)  # compiles what is imported
    rounds, answers = [], []
    for number in range(options.rounds):
        found = {}
        for engine in ENGINES if number % 2 == 0 else ENGINES[::-1]:
            found[engine] = {**_cold(model, engine, requests)}
            with servers.own(
                [str(model)], ["--workers", str(servers.WORKERS), "--engine", engine]
            ) as server:
                servers.warm_up(server, requests)
                for count in CONNECTIONS:
                    done = load(server.port, count, requests, seconds=options.seconds)
                    found[engine][f"rate_{count}"] = done.figures["rate"]
                    answers += done.answers
        rounds.append(found)
        print(f"{work.algorithm}, round {number + 1}: {json.dumps(found)}", file=sys.stderr)
    ratios = {
        figure: [found["onnx"][figure] / found["mxnet"][figure] for found in rounds]
        for figure in FIGURES
    }
    verdict = judge(work, answers, expected)
    return {
        "ratios": {
            figure: {"median": statistics.median(each), "least": min(each), "most": max(each)}
            for figure, each in ratios.items()
        },
        "right_answers": verdict.right,
        "wrong_answers": verdict.wrong,
        "rounds": rounds,
    }


def _cold(model: Path, engine: str, requests: list[bytes]) -> dict[str, float]:
    """Seconds from nothing to an answer, and what a worker holds after a few, in MiB."""
    command = [ALGOSHELF, "predict", str(model), "--engine", engine]
    started = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    predicted = time.monotonic() - started
    started = time.monotonic()
    with servers.own([str(model)], ["--workers", "1", "--engine", engine]) as server:
        load(server.port, 1, requests, count=1)
        answered = time.monotonic() - started
        load(server.port, 4, requests, count=len(requests))
        (worker,) = _workers(server.pid)
        held = _rss_mb(worker)
    return {
        "predict_s": round(predicted, 3),
        "first_answer_s": round(answered, 3),
        "worker_mb": round(held, 1),
    }


if __name__ == "__main__":
    main()
