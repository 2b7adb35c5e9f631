"""Training beside other work: images a second of mnist-cnn, by how its threads are arranged.

    python threads.py [--rounds N] [--seconds S]

Each arrangement is a process of its own, run in turn; within it as many busy processes as in
NEIGHBOURS run beside the training, one after the other. ``auto``, the default, looks at its start
how many processors are free, so it is a process for each number of neighbours, which are there
before it. What counts is the median over the rounds, and its part of the best arrangement's on one
device beside as many. ``bytes`` is a digest of the parameters after WARM_UP steps from one seed:
arrangements that agree in it add up in the same order. Keeps the figures under results/ after each
round.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any, Iterator, Mapping, NamedTuple, Sequence

import numpy as np
from algoshelf.core.runtime.cores import cores

NEIGHBOURS = (0, 1, 2, 6)
WARM_UP = 6
BATCH = 128
BUSY = [sys.executable, "-S", "-c", "while True: pass"]


AUTO, REPLICAS = "auto", "a replica a core"


class Arrangement(NamedTuple):
    """``--devices``, and what the environment says of threads."""

    devices: str
    environment: Mapping[str, str]


ARRANGEMENTS = {
    AUTO: Arrangement("cpu", {}),
    "a thread a core": Arrangement("cpu", {"OMP_NUM_THREADS": f"{cores()}"}),
    "a thread a core, passive": Arrangement(
        "cpu", {"OMP_NUM_THREADS": f"{cores()}", "OMP_WAIT_POLICY": "PASSIVE"}
    ),
    "one thread": Arrangement("cpu", {"OMP_NUM_THREADS": "1"}),
    REPLICAS: Arrangement(f"cpu:{cores()}", {"OMP_NUM_THREADS": "1"}),
}


def measure(devices: str, seconds: float, beside: Sequence[int]) -> dict[str, Any]:
    """Images a second beside each number of neighbours, and the digest; see ``neighbours``."""
    from algoshelf.algorithms.mnist_cnn import MnistCnn
    from algoshelf.core import mx
    from algoshelf.core.runtime.devices import choose_kvstore, parse_devices
    from algoshelf.core.training.engine import Engine
    from training_speed import digits, mnist_cnn

    mx.settle_threads()
    contexts = parse_devices(devices)
    mx.random.seed(1)
    np.random.seed(1)
    network = mnist_cnn()
    network.initialize(mx.init.Xavier(), ctx=contexts)
    network.infer_shape(mx.nd.zeros((1, 1, 28, 28)))
    for parameter in network.collect_params().values():
        parameter._finish_deferred_init()
    loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()
    store = choose_kvstore(contexts, "auto")[0]
    engine = Engine(network, loss, MnistCnn.Hyperparameters.parse({}), contexts, store)
    x, y = digits()

    def step(number: int) -> list[Any]:
        part = slice(number % 50 * BATCH, (number % 50 + 1) * BATCH)
        return engine.step(engine.split(x[part].copy()), engine.split(y[part].copy()), 0.01)

    for number in range(WARM_UP):
        settle(step(number))
    digest = hashlib.sha256()
    for parameter in network.collect_params().values():
        digest.update(parameter.data(contexts[0]).asnumpy().tobytes())
    found: dict[str, Any] = {"bytes": digest.hexdigest()[:16], "threads": mx.threads()}
    for count in beside:
        with neighbours(count if len(beside) > 1 else 0):
            begun, steps = time.perf_counter(), 0
            pending: list[list[Any]] = []
            while time.perf_counter() - begun < seconds:
                pending.append(step(steps))
                steps += 1
                if len(pending) > 4:
                    settle(pending.pop(0))
            for losses in pending:
                settle(losses)
            found[str(count)] = steps * BATCH / (time.perf_counter() - begun)
    return found


@contextlib.contextmanager
def neighbours(count: int) -> Iterator[None]:
    """So many processes that only count."""
    busy = [subprocess.Popen(BUSY) for _ in range(count)]
    try:
        time.sleep(0.3)
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def settle(losses: list[Any]) -> None:
    for loss in losses:
        loss.asnumpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--arrangement", choices=ARRANGEMENTS, help="measure one, and print it")
    parser.add_argument(
        "--beside", type=int, nargs=1, help="with --arrangement: so many neighbours are there"
    )
    arguments = parser.parse_args()
    if arguments.arrangement:
        devices = ARRANGEMENTS[arguments.arrangement].devices
        print(json.dumps(measure(devices, arguments.seconds, arguments.beside or NEIGHBOURS)))
        return
    rounds: list[dict[str, dict[str, Any]]] = []
    for _ in range(arguments.rounds):
        found = {name: in_process(name, arguments.seconds) for name in ARRANGEMENTS if name != AUTO}
        rounds.append({AUTO: by_itself(arguments.seconds), **found})
        print(rounds[-1], file=sys.stderr)
        keep(rounds)


def by_itself(seconds: float) -> dict[str, Any]:
    """What AUTO settles on and reaches, started beside each number of NEIGHBOURS."""
    found: dict[str, Any] = {"bytes": {}, "threads": {}}
    for count in NEIGHBOURS:
        with neighbours(count):
            one = in_process(AUTO, seconds, count)
        found[str(count)] = one[str(count)]
        for key in ("bytes", "threads"):
            found[key][str(count)] = one[key]
    return found


def in_process(name: str, seconds: float, beside: int | None = None) -> dict[str, Any]:
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    command = [sys.executable, "-W", "ignore", __file__, "--arrangement", name]
    command += [] if beside is None else ["--beside", str(beside)]
    done = subprocess.run(
        [*command, "--seconds", str(seconds)],
        env={**plain, **ARRANGEMENTS[name].environment}, check=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def keep(rounds: list[dict[str, dict[str, Any]]]) -> None:
    from environment import environment, results_file

    medians = {
        name: {
            str(count): round(statistics.median(found[name][str(count)] for found in rounds))
            for count in NEIGHBOURS
        }
        for name in ARRANGEMENTS
    }
    one_device = [each for name, each in medians.items() if name != REPLICAS]
    best = {count: max(each[count] for each in one_device) for count in map(str, NEIGHBOURS)}
    document = {
        "what": f"images a second, mnist-cnn, batch {BATCH}, by the number of busy neighbours",
        "environment": environment(),
        "medians": medians,
        "threads_that_auto_took": [found[AUTO]["threads"] for found in rounds],
        "part_of_the_best": {
            name: {count: round(value / best[count], 2) for count, value in each.items()}
            for name, each in medians.items()
        },
        "bytes": {
            name: sorted({found[name]["bytes"] for found in rounds})
            for name in ARRANGEMENTS
            if name != AUTO
        },
        "rounds": rounds,
    }
    path = results_file("threads-mnist-cnn")
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps({k: document[k] for k in ("medians", "part_of_the_best")}, indent=2))
    print(path)


if __name__ == "__main__":
    main()
