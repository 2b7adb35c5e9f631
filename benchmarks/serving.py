"""Serving: algoshelf's server beside AWS's toolkit and gunicorn, and whether its answers are right.

    python serving.py compare ALGORITHM [--mms-python PYTHON] [--flask-python PYTHON] [--resume]
    python serving.py answers ALGORITHM [--requests 1000000]
    python serving.py batching ALGORITHM
    python serving.py chaos ALGORITHM [--minutes 30]

ALGORITHM is a built-in one; without --model FOLDER (for chaos, two of them) a small model is
trained on its bundled sample. Client and server share the machine's cores. Every answer of every
measurement is compared with the one that the same handlers give in this process, to 1e-5 (boxes to
1e-3 of the picture).

compare   each side in turn, ROUNDS times, at 1, 4 and 32 connections, one example a request; what
          counts is the median of the ratios within a round. --mms-python is the interpreter of an
          environment with sagemaker-mxnet-inference and multi-model-server, --flask-python of one
          with flask and gunicorn; both with mxnet and algoshelf (see peers/). Two workers each.
          algoshelf answers by mxnet and, as algoshelf-onnx, by ONNX Runtime with the same model,
          exported. Each round is kept; --resume goes on behind those that the results have.
answers   64 clients, varied inputs of one to four examples.
batching  with batching and with --max-batch 1: latency of one connection, throughput of 64.
chaos     saturation by 16 clients while a worker is killed every 20 s and the model is swapped for
          another every 30 s; each answer must be that of one of the two.

OPTIONS after `--` go to `algoshelf serve`. Figures, and of chaos a plot, are kept under results/.
Needs gcc (the client is load.c) and the extras cpu, onnx, serve, text, vision and plot.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Callable, ContextManager, Iterator, Sequence

import servers
from command import ALGOSHELF
from environment import environment, results_file
from load_client import Load, Running, load
from workloads import WORKLOADS, Workload, judge

CONNECTIONS = (1, 4, 32)
INPUTS = 100
VARIED_INPUTS = 4_000
ANSWER_CLIENTS = 64
CHAOS_CLIENTS = 16
KILL_SECONDS, SWAP_SECONDS, SAMPLE_SECONDS = 20.0, 30.0, 5.0
AFTER_KILL_SECONDS = 2.0
NAME = "model"
FIGURES = ("rate", "p50_ms", "p99_ms")


def main() -> None:
    arguments = _parsed()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends the servers too
    work = WORKLOADS[arguments.algorithm]
    with tempfile.TemporaryDirectory(prefix="serving-") as folder:
        models = [Path(model) for model in arguments.model or ()]
        for seed in range(len(models) + 1, (2 if arguments.command == "chaos" else 1) + 1):
            models.append(work.train(Path(folder, f"model-{seed}"), seed))
        found = COMMANDS[arguments.command](work, models, arguments)
    document, path = keep(work, arguments, found), kept_in(work, arguments)
    if arguments.command == "chaos":
        plot(document, path.with_suffix(".png"))
    print(path)
    if document["wrong_answers"]:
        raise SystemExit(f"{document['wrong_answers']} answers are wrong")


def kept_in(work: Workload, arguments: argparse.Namespace) -> Path:
    return results_file(f"serving-{arguments.command}-{work.algorithm}")


def keep(work: Workload, arguments: argparse.Namespace, found: dict[str, Any]) -> dict[str, Any]:
    """Write what was ``found`` to the results; the whole document."""
    document = {
        "what": found.pop("what"),
        "environment": {**environment(), **_peer_versions(arguments)},
        "serve_options": arguments.options,
        **found,
    }
    kept_in(work, arguments).write_text(json.dumps(document, indent=1) + "\n")
    return document


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in COMMANDS:
        command = commands.add_parser(name)
        command.add_argument("algorithm", choices=WORKLOADS)
        command.add_argument("--model", action="append", metavar="FOLDER")
        command.add_argument("options", nargs="*", metavar="OPTIONS")
        if name in ("compare", "batching"):
            command.add_argument("--rounds", type=int, default=5)
            command.add_argument("--seconds", type=float, default=5, help="of each measurement")
        if name == "compare":
            command.add_argument("--mms-python", metavar="PYTHON")
            command.add_argument("--flask-python", metavar="PYTHON")
            command.add_argument("--resume", action="store_true")
        if name == "answers":
            command.add_argument("--requests", type=int, default=1_000_000)
        if name == "chaos":
            command.add_argument("--minutes", type=float, default=30)
    return parser.parse_args()


# compare


def compare(work: Workload, models: list[Path], arguments: argparse.Namespace) -> dict[str, Any]:
    model = models[0]
    with tempfile.TemporaryDirectory(prefix="exported-") as folder:
        exported = shutil.copytree(model, Path(folder, "model"))
        if not (exported / "model.onnx").exists():
            subprocess.run([ALGOSHELF, "export", str(exported)], check=True, capture_output=True)
        return _rounds(work, model, _sides(work, model, exported, arguments), arguments)


def _sides(
    work: Workload, model: Path, exported: Path, arguments: argparse.Namespace
) -> dict[str, Callable[[], ContextManager[servers.Server]]]:
    """How each server is started, by its name, algoshelf's own first."""

    def own(folder: Path, engine: str) -> Callable[[], ContextManager[servers.Server]]:
        options = ["--workers", str(servers.WORKERS), "--engine", engine, *arguments.options]
        return lambda: servers.own([str(folder)], options)

    sides = {"algoshelf": own(model, "mxnet"), "algoshelf-onnx": own(exported, "onnx")}
    if arguments.mms_python:
        sides["mms"] = lambda: servers.multi_model_server(arguments.mms_python, work, model)
    if arguments.flask_python:
        sides["flask"] = lambda: servers.flask(arguments.flask_python, work, model)
    return sides


def _rounds(
    work: Workload,
    model: Path,
    sides: dict[str, Callable[[], ContextManager[servers.Server]]],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    path = kept_in(work, arguments)
    before = json.loads(path.read_text()) if arguments.resume and path.exists() else {}
    rounds = before.get("rounds", [])
    measure = Measure(work, model, arguments.seconds, before)
    found: dict[str, Any] = {}
    while len(rounds) < arguments.rounds:
        turns = list(sides) if len(rounds) % 2 == 0 else list(reversed(sides))
        measured = {side: measure(sides[side], CONNECTIONS) for side in turns}
        rounds.append({side: measured[side] for side in sides})
        print(f"round {len(rounds)}: {json.dumps(_brief(rounds[-1]))}", file=sys.stderr)
        found = {
            "what": f"serving {work.algorithm}, {work.content_type} bodies of one example: "
            "requests/s (rate), latency in ms",
            "training": work.training,
            "peers": PEERS_NOTE[work.entry],
            "seconds": arguments.seconds,
            **_compared(rounds, ("algoshelf", "algoshelf-onnx"), [str(c) for c in CONNECTIONS]),
            **measure.verdict(),
            "rounds": rounds,
        }
        keep(work, arguments, dict(found))
    if not found:
        raise SystemExit(f"{path}: holds {len(rounds)} rounds: give more --rounds")
    return found


PEERS_NOTE = {
    "gluon": "the toolkit's default handlers, or numpy in Flask, around a hybridized SymbolBlock",
    "handlers": "algoshelf's own four handlers in both",
}


class Measure:
    """Measures a server that it starts and stops, and keeps account of the answers."""

    def __init__(
        self, work: Workload, model: Path, seconds: float, before: dict[str, Any] | None = None
    ):
        """``before`` is a verdict to go on behind."""
        bodies = work.bodies(INPUTS, most=1)
        self._work, self._seconds = work, seconds
        self._requests = work.requests(bodies)
        self._expected = work.expected(model, bodies)
        before = before or {}
        self._wrong: list[str] = before.get("examples_of_wrong", [])
        kinds = ("right_answers", "wrong_answers", "failed_requests")
        self._count = {kind: before.get(kind, 0) for kind in kinds}

    def __call__(
        self, start: Callable[[], ContextManager[servers.Server]], connections: tuple[int, ...]
    ) -> dict[str, dict[str, Any]]:
        found = {}
        with start() as server:
            servers.warm_up(server, self._requests)
            for count in connections:
                measured = load(
                    server.port, count, self._requests, seconds=self._seconds, warm_up=1.0
                )
                self._account(measured)
                found[str(count)] = measured.summary
        return found

    def _account(self, measured: Load) -> None:
        verdict = judge(self._work, measured.answers, self._expected)
        self._wrong += verdict.examples_of_wrong
        self._count["right_answers"] += verdict.right
        self._count["wrong_answers"] += verdict.wrong
        self._count["failed_requests"] += measured.figures["failed"]

    def verdict(self) -> dict[str, Any]:
        return {**self._count, "examples_of_wrong": self._wrong[:10]}


def _compared(
    rounds: list[dict[str, dict[str, dict[str, Any]]]], ours: Sequence[str], loads: list[str]
) -> dict[str, Any]:
    """Medians of each side, and of the ratios of ours to the others within a round."""
    medians = {
        side: {
            at: {f: round(statistics.median(r[side][at][f] for r in rounds), 3) for f in FIGURES}
            for at in loads
        }
        for side in rounds[0]
    }
    ratios = {
        f"{own} / {side}": {
            at: {
                f: round(statistics.median(r[own][at][f] / r[side][at][f] for r in rounds), 3)
                for f in FIGURES
            }
            for at in loads
        }
        for own in ours
        for side in rounds[0]
        if side not in ours
    }
    for title, table in (*medians.items(), *ratios.items()):
        for at, figures in table.items():
            shown = "  ".join(f"{name} {value:10.3f}" for name, value in figures.items())
            print(f"{title:<24} {at:>3} connections  {shown}")
    return {"medians": medians, "median_ratios": ratios}


def _brief(found: dict[str, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    return {
        side: {at: [round(figures[f], 2) for f in FIGURES] for at, figures in table.items()}
        for side, table in found.items()
    }


# answers


def answers(work: Workload, models: list[Path], arguments: argparse.Namespace) -> dict[str, Any]:
    bodies = work.bodies(VARIED_INPUTS, most=4)
    expected = work.expected(models[0], bodies)
    requests = work.requests(bodies)
    with servers.own([str(models[0])], arguments.options) as server:
        measured = load(server.port, ANSWER_CLIENTS, requests, count=arguments.requests)
    verdict = judge(work, measured.answers, expected)
    found = {
        "requests": arguments.requests,
        "right_answers": verdict.right,
        "wrong_answers": verdict.wrong,
        "largest_difference": verdict.largest,
        "distinct_answers": len(measured.answers),
        "failed_requests": measured.figures["failed"],
        "failures": measured.figures["failures"][:100],
        "examples_of_wrong": verdict.examples_of_wrong,
        **{name: measured.figures[name] for name in ("seconds", *FIGURES)},
    }
    print(json.dumps(found, indent=1))
    return {
        "what": f"{work.algorithm}: answers under {ANSWER_CLIENTS} clients, {VARIED_INPUTS:,} "
        "inputs, compared with those given in process",
        **found,
    }


# batching


def batching(work: Workload, models: list[Path], arguments: argparse.Namespace) -> dict[str, Any]:
    model = str(models[0])
    sides: dict[str, Callable[[], ContextManager[servers.Server]]] = {
        "on": lambda: servers.own([model], arguments.options),
        "off": lambda: servers.own([model], [*arguments.options, "--max-batch", "1"]),
    }
    measure = Measure(work, models[0], arguments.seconds)
    rounds = []
    for number in range(arguments.rounds):
        turns = list(sides) if number % 2 else list(reversed(sides))
        found = {side: measure(sides[side], (1, 64)) for side in turns}
        rounds.append(found)
        print(f"round {number + 1}: {json.dumps(_brief(found))}", file=sys.stderr)
    return {
        "what": f"serving {work.algorithm}, {work.content_type} bodies of one example, with "
        "batching on and off",
        **_compared(rounds, ["on"], ["1", "64"]),
        **measure.verdict(),
        "rounds": rounds,
    }


# chaos


def chaos(work: Workload, models: list[Path], arguments: argparse.Namespace) -> dict[str, Any]:
    bodies = work.bodies(INPUTS, most=4)
    expected = [work.expected(model, bodies) for model in models]
    requests = work.requests(bodies, f"/models/{NAME}/invoke")
    options = [
        "--multi-model",
        "--model-root",
        "/",
        "--workers",
        str(servers.WORKERS),
        *arguments.options,
    ]
    with servers.own([f"{NAME}={models[0]}"], options) as server:
        servers.warm_up(server, requests)
        trouble = Trouble(server, models)
        client = Running(server.port, CHAOS_CLIENTS, requests, seconds=arguments.minutes * 60)
        with contextlib.closing(trouble):
            trouble.run_while(client)
        measured = client.finish()
    verdict = judge(work, measured.answers, *expected)
    found = {
        "minutes": arguments.minutes,
        "right_answers": verdict.right,
        "answers_by_model": verdict.by_model,
        "wrong_answers": verdict.wrong,
        "failed_requests": measured.figures["failed"],
        **_attributed(measured.figures["failures"], trouble.kills),
        "kills": len(trouble.kills),
        "swaps": len(trouble.swaps),
        "failed_swaps": [swap for swap in trouble.swaps if swap["status"] != 200],
        **{name: measured.figures[name] for name in FIGURES},
        **trouble.memory(),
        "examples_of_wrong": verdict.examples_of_wrong,
    }
    print(json.dumps(found, indent=1))
    return {
        "what": f"{work.algorithm}: {CHAOS_CLIENTS} clients while a worker is killed every "
        f"{KILL_SECONDS:g} s and the model swapped every {SWAP_SECONDS:g} s",
        **found,
        "failures": measured.figures["failures"],
        "killed_at": trouble.kills,
        "swapped": trouble.swaps,
        "samples": trouble.samples,
        "answered_in_second": measured.figures["answered_in_second"],
    }


def _attributed(failures: list[tuple[float, str]], kills: list[dict[str, Any]]) -> dict[str, Any]:
    """How many failures followed each kill at once, how many none, and of which kinds they are."""
    after = [0] * len(kills)
    elsewhere = 0
    kinds: dict[str, int] = {}
    for at, kind in failures:
        kinds[kind] = kinds.get(kind, 0) + 1
        owners = [
            i for i, kill in enumerate(kills) if 0 <= at - kill["at"] + 0.1 <= AFTER_KILL_SECONDS
        ]
        if owners:
            after[owners[-1]] += 1
        else:
            elsewhere += 1
    return {
        "failures_by_kind": kinds,
        "failures_after_a_kill_median": statistics.median(after or [0]),
        "failures_after_a_kill_most": max(after, default=0),
        "failures_without_a_kill": elsewhere,
    }


class Trouble:
    """Kills workers, swaps models and looks at the memory while a client is at work.

    Its times are seconds since it began, which is when the client began.
    """

    def __init__(self, server: servers.Server, models: list[Path]):
        self.kills: list[dict[str, Any]] = []
        self.swaps: list[dict[str, Any]] = []
        self.samples: list[dict[str, float]] = []
        self._server, self._models = server, models
        self._choice = random.Random(0)
        self._swapper = ThreadPoolExecutor(1)
        self._swapping: Future[None] | None = None
        self._begun = time.monotonic()

    def close(self) -> None:
        self._swapper.shutdown()

    def run_while(self, client: Running) -> None:
        due = [(KILL_SECONDS, self._kill), (SWAP_SECONDS, self._swap), (SAMPLE_SECONDS, self._look)]
        next_at = [every for every, _ in due]
        self._begun = time.monotonic()
        while client.process.poll() is None:
            for i, (every, act) in enumerate(due):
                if self._now() >= next_at[i]:
                    next_at[i] += every
                    act()
            time.sleep(0.05)

    def memory(self) -> dict[str, Any]:
        """Medians of the memory of the first and the last fifth, and its peak, in MB."""
        rss = [sample["rss_mb"] for sample in self.samples]
        part = max(1, len(rss) // 5)
        return {
            "rss_mb_first_fifth": round(statistics.median(rss[:part]), 1),
            "rss_mb_last_fifth": round(statistics.median(rss[-part:]), 1),
            "rss_mb_peak": max(rss),
        }

    def _now(self) -> float:
        return time.monotonic() - self._begun

    def _kill(self) -> None:
        workers = _workers(self._server.pid)
        if workers:
            victim = self._choice.choice(workers)
            self.kills.append({"at": round(self._now(), 3), "pid": victim, "of": len(workers)})
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, 9)

    def _swap(self) -> None:
        if self._swapping is None or self._swapping.done():
            self._swapping = self._swapper.submit(self._put)

    def _put(self) -> None:
        target = self._models[(len(self.swaps) + 1) % len(self._models)]
        url = f"http://127.0.0.1:{self._server.port}/models/{NAME}"
        body = json.dumps({"url": str(target.resolve())}).encode()
        headers = {"Content-Type": "application/json"}
        asked = urllib.request.Request(url, body, headers, method="PUT")
        begun, said = self._now(), ""
        try:
            with urllib.request.urlopen(asked, timeout=60) as answer:
                status = answer.status
        except urllib.error.HTTPError as error:
            status, said = error.code, error.read(300).decode(errors="replace")
        except OSError as error:
            status, said = 0, str(error)
        self.swaps.append(
            {"at": round(begun, 3), "took": round(self._now() - begun, 3), "status": status}
            | ({"said": said} if said else {})
        )

    def _look(self) -> None:
        processes = [self._server.pid, *_descendants(self._server.pid)]
        rss = sum(_rss_mb(process) for process in processes)
        workers = len(_workers(self._server.pid))
        self.samples.append(
            {"at": round(self._now(), 2), "rss_mb": round(rss, 1), "workers": workers}
        )


def _workers(server: int) -> list[int]:
    """The server's own children, without multiprocessing's helper."""
    return [
        child
        for child in _children(server)
        if b"resource_tracker" not in _of(child, "cmdline") and _of(child, "cmdline")
    ]


def _descendants(process: int) -> Iterator[int]:
    for child in _children(process):
        yield child
        yield from _descendants(child)


def _children(process: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{process}/task").glob("*"):
        with contextlib.suppress(OSError):
            found += map(int, (task / "children").read_text().split())
    return found


def _rss_mb(process: int) -> float:
    pages = _of(process, "statm").split()
    return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20 if pages else 0.0


def _of(process: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{process}/{name}").read_bytes()
    except OSError:  # it has just ended
        return b""


def plot(document: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    above.plot(document["answered_in_second"][:-1], color="#4878a8", linewidth=0.6)
    for at, _ in document["failures"]:
        above.axvline(at, color="#c44", linewidth=0.4)
    above.set(
        ylabel="answers a second (red: a failure)",
        title=f"{document['what'].split(':')[0]}: a worker killed every {KILL_SECONDS:g} s, the "
        f"model swapped every {SWAP_SECONDS:g} s",
    )
    samples = document["samples"]
    below.plot([s["at"] for s in samples], [s["rss_mb"] for s in samples], color="#4878a8")
    below.set(xlabel="seconds", ylabel="resident memory, all processes, MB", ylim=(0, None))
    figure.savefig(path, dpi=120)


def _peer_versions(arguments: argparse.Namespace) -> dict[str, str]:
    found: dict[str, str] = {}
    peers = {
        "mms_python": ("multi-model-server", "sagemaker-inference", "sagemaker-mxnet-inference"),
        "flask_python": ("flask", "gunicorn"),
    }
    for option, packages in peers.items():
        python = getattr(arguments, option, None)
        if python:
            ask = (
                "import sys; from importlib.metadata import version; "
                "print(*map(version, sys.argv[1:]), sep='\\n')"
            )
            said = subprocess.run(
                [python, "-c", ask, *packages, "numpy"], check=True, capture_output=True, text=True
            ).stdout.split()
            peer = option.split("_")[0]
            found |= dict(zip((*packages, f"numpy ({peer})"), said))
    if getattr(arguments, "mms_python", None):
        java = subprocess.run(["java", "-version"], capture_output=True, text=True)
        found["java"] = java.stderr.splitlines()[0]
    return found


COMMANDS: dict[str, Callable[[Workload, list[Path], argparse.Namespace], dict[str, Any]]] = {
    "compare": compare,
    "answers": answers,
    "batching": batching,
    "chaos": chaos,
}

if __name__ == "__main__":
    main()
