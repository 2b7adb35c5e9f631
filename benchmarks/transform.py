"""Batch transform against a bare predict loop over the same file, its memory, and kill -9.

    python transform.py [--rows 1000000] [--rounds 3] [--cases kmeans text mnist]

Each side is a process of its own, run in turn; timed from the loading of the model to the last
byte, without imports. The bare loop reads CHUNK lines, calls input_fn, predict_fn and output_fn,
writes, and has no errors, no journal and no order to care for. Cases: Iris' rows drawn anew
(k-means, CSV), the sample's reviews (text-classification ngram, text), its digits' pixels
(mnist-cnn, CSV). Peak memory is that of the process for a hundredth, a tenth and all of the rows.
At last the command is killed by SIGKILL KILLS times at random, and what it ends with compared byte
for byte.
Keeps the figures under results/.
"""

from __future__ import annotations

import argparse
import filecmp
import gzip
import json
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Iterator

import numpy as np
from command import ALGOSHELF
from environment import environment, results_file

ROOT = Path(__file__).parents[1] / "algorithms"
CHUNK = 65_536
CHUNK_BYTES = 64 * 2**20
KILLS = 5
TRAINING = {
    "kmeans": ("kmeans", "--k", "3"),
    "text": ("text-classification", "--network", "ngram", "--epochs", "1"),
    "mnist": ("mnist-cnn", "--epochs", "1"),
}
SUFFIX = {"kmeans": ".csv", "text": ".txt", "mnist": ".csv"}


def lines(case: str) -> list[bytes]:
    """Lines to draw from."""
    if case == "kmeans":
        return (ROOT / "kmeans/sample/iris.csv").read_bytes().splitlines()[1:]
    if case == "text":
        table = gzip.decompress((ROOT / "text_classification/sample/train.tsv.gz").read_bytes())
        return [line.split(b"\t")[0] for line in table.splitlines()[1:]]
    content = gzip.decompress((ROOT / "mnist_cnn/sample/train-images-idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(content, np.uint8, offset=16).reshape(-1, 784)
    return [",".join(map(str, image)).encode() for image in images.tolist()]


def make(path: Path, case: str, rows: int) -> Path:
    rng = random.Random(0)
    there = lines(case)
    with path.open("wb") as stream:
        for _ in range(0, rows, 1000):
            stream.write(b"".join(line + b"\n" for line in rng.choices(there, k=min(1000, rows))))
    return path


def chunks(path: Path) -> Iterator[bytes]:
    """As many whole lines as CHUNK and CHUNK_BYTES allow."""
    with path.open("rb", buffering=2**20) as stream:
        held: list[bytes] = []
        size = 0
        for line in stream:
            held.append(line)
            size += len(line)
            if len(held) == CHUNK or size >= CHUNK_BYTES:
                yield b"".join(held)
                held, size = [], 0
        if held:
            yield b"".join(held)


def bare(algorithm: Any, model: Path, path: Path, output: Path) -> None:
    from algoshelf.core import codecs
    from algoshelf.core.inference.handlers import Handlers

    kind = codecs.content_type_of(path)
    handlers = Handlers.load(algorithm, model)
    with (output / "bare.out").open("wb") as stream:
        for body in chunks(path):
            stream.write(handlers.invoke(body, kind, codecs.JSONLINES))


def transformed(algorithm: Any, model: Path, path: Path, output: Path) -> None:
    from algoshelf.core.transform.run import transform

    transform(algorithm, model, str(path), output)


SIDES = {"bare": bare, "transform": transformed}


def measure(side: str, model: Path, path: Path) -> dict[str, float]:
    from algoshelf.core import Artifact, mx
    from algoshelf.registry.discovery import catalog

    mx.load()
    algorithm = catalog().get(Artifact.open(model).metadata.algorithm).algorithm
    with tempfile.TemporaryDirectory(dir=path.parent) as output:
        begun = time.perf_counter()
        SIDES[side](algorithm, model, path, Path(output))
        seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": round(seconds, 3), "peak_mb": round(peak, 1)}


def in_process(side: str, model: Path, path: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--side", side, str(model), str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def killed(model: Path, path: Path, folder: Path, seconds: float) -> dict[str, Any]:
    """Whether what was killed again and again ends as what was not."""
    whole, pieces = folder / "whole", folder / "pieces"
    subprocess.run([ALGOSHELF, "transform", model, path, whole], check=True, capture_output=True)
    command = [ALGOSHELF, "transform", str(model), str(path), str(pieces)]
    rng = random.Random(1)
    after = []
    for _ in range(KILLS):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait = 3 + rng.random() * seconds / 4
        try:
            process.wait(wait)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            after.append(round(wait, 2))
    subprocess.run(command, check=True, capture_output=True)
    name = f"{path.name}.out"
    same = filecmp.cmp(whole / name, pieces / name, shallow=False)
    return {"killed_after_seconds": after, "identical": same}


def study(case: str, rows: int, rounds: int, folder: Path) -> dict[str, Any]:
    model = folder / f"{case}-model"
    subprocess.run(
        [ALGOSHELF, "train", *TRAINING[case], "--output", model], check=True, capture_output=True
    )
    path = make(folder / f"{case}{SUFFIX[case]}", case, rows)
    found = []
    for number in range(rounds):
        sides = list(SIDES) if number % 2 else list(reversed(SIDES))
        found.append({side: in_process(side, model, path) for side in sides})
        print(f"{case}, round {number + 1}: {found[-1]}", file=sys.stderr)
    memory = {rows: max(each["transform"]["peak_mb"] for each in found)}
    for part in (rows // 10, rows // 100):
        less = make(folder / f"{case}-{part}{SUFFIX[case]}", case, part)
        memory[part] = in_process("transform", model, less)["peak_mb"]
    seconds = statistics.median(each["transform"]["seconds"] for each in found)
    result = {
        "rows": rows,
        "bytes": path.stat().st_size,
        "rate_to_bare": round(
            statistics.median(r["bare"]["seconds"] / r["transform"]["seconds"] for r in found), 3
        ),
        "rows_a_second": round(rows / seconds),
        "peak_mb_by_rows": dict(sorted(memory.items())),
        "kill_9": killed(model, path, folder / f"{case}-killed", seconds),
        "rounds": found,
    }
    print(f"{case}: {result}", file=sys.stderr)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cases", nargs="+", choices=TRAINING, default=list(TRAINING))
    parser.add_argument("--side", nargs=3, metavar=("SIDE", "MODEL", "FILE"), help="measure one")
    arguments = parser.parse_args()
    if arguments.side:
        side, model, path = arguments.side
        print(json.dumps(measure(side, Path(model), Path(path))))
        return
    for case in arguments.cases:
        with tempfile.TemporaryDirectory() as folder:
            found = study(case, arguments.rows, arguments.rounds, Path(folder))
        path = results_file(f"transform-{case}")
        document = {
            "what": "seconds and MiB of algoshelf transform and of a bare predict loop",
            "environment": environment(),
            **found,
        }
        path.write_text(json.dumps(document, indent=2) + "\n")
        print(path)


if __name__ == "__main__":
    main()
