"""What rows and classes cost as they grow: python growth.py [--works NAME …].

Each point is a process of the command line on data that is drawn at random, of ten times as many
rows or classes as the one before; its seconds of a processor, start and end included, and the peak
of its memory are kept under results/, with a plot. One thread an operator. Points that are kept
already are not measured again: the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable

import numpy as np
from command import ALGOSHELF
from environment import environment, results_file

COLUMNS, CENTRES, PART = 8, 20, 2**18
ROWS_BY_CLASS, SEED = 40_000, 1
KMEANS = ("--k", CENTRES, "--restarts", 1, "--max-iterations", 10, "--tolerance", 0, "--seed", SEED)
TABULAR = (
    *("--label-column", "label", "--epochs", 1, "--members", 1, "--hidden", 32, "--layers", 1),
    *("--seed", SEED),
)


def drawn(rows: int, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows (N, COLUMNS) float32 around ``groups`` centres, and the group of each, (N,)."""
    rng = np.random.default_rng(SEED)
    centres = rng.normal(size=(groups, COLUMNS)).astype(np.float32)
    group = np.arange(rows) % groups
    return centres[group] + rng.standard_normal((rows, COLUMNS), np.float32) / 4, group


def npy(folder: Path, rows: int, groups: int) -> Path:
    path = folder / f"{rows}.npy"
    array = np.lib.format.open_memmap(path, "w+", np.float32, (rows, COLUMNS))
    for at in range(0, rows, PART):
        array[at : at + PART] = drawn(min(PART, rows - at), groups)[0]
    array.flush()
    return path


def table(folder: Path, rows: int, groups: int, *, labelled: bool = True) -> Path:
    path = folder / f"{rows}-{groups}-{labelled}.csv"
    with path.open("w") as stream:
        if labelled:
            stream.write(",".join(f"x{i}" for i in range(COLUMNS)) + ",label\n")
        for at in range(0, rows, PART):
            x, group = drawn(min(PART, rows - at), groups)
            for numbers, one in zip(np.round(x, 4).tolist(), group.tolist()):
                line = ",".join(map(str, numbers))
                stream.write(f"{line},class {one:05d}\n" if labelled else f"{line}\n")
    return path


def train_kmeans(folder: Path, rows: int) -> list[object]:
    return ["train", "kmeans", "--train", npy(folder, rows, CENTRES), *KMEANS]


def transform(folder: Path, rows: int) -> list[object]:
    words = ["train", "kmeans", "--train", npy(folder, 10_000, CENTRES), *KMEANS]
    run([*words, "--output", folder / "k"])
    path = table(folder, rows, CENTRES, labelled=False)
    return ["transform", folder / "k", path]


def train_tabular(folder: Path, rows: int, classes: int = CENTRES) -> list[object]:
    return ["train", "tabular", "--train", table(folder, rows, classes), *TABULAR]


def train_classes(folder: Path, classes: int) -> list[object]:
    return train_tabular(folder, ROWS_BY_CLASS, classes)


def evaluate_classes(folder: Path, classes: int) -> list[object]:
    words = train_classes(folder, classes)
    run([*words, "--output", folder / "t"])
    return ["evaluate", folder / "t", "--test", words[3], "--plot", folder / "plot.png"]


# What is run, and for which sizes.
ROWS = (10_000, 100_000, 1_000_000)
WORKS: dict[str, tuple[Callable[[Path, int], list[object]], tuple[int, ...]]] = {
    "k-means, train": (train_kmeans, (*ROWS, 10_000_000)),
    "k-means, transform": (transform, ROWS),
    "tabular, train": (train_tabular, ROWS),
    "classes, train": (train_classes, (10, 100, 1_000, 10_000)),
    "classes, evaluate": (evaluate_classes, (10, 100, 1_000, 10_000)),
}


def run(words: list[object]) -> dict[str, Any]:
    """Run a command: what it has taken, told by a small process between, whose only child it is."""
    code = (
        "import json, resource, subprocess, sys\n"
        "code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "print(json.dumps([code, used.ru_utime + used.ru_stime, used.ru_maxrss]))\n"
    )
    command = [sys.executable, "-c", code, ALGOSHELF, *map(str, words)]
    done = subprocess.run(command, capture_output=True, check=True)
    status, seconds, kilobytes = json.loads(done.stdout)
    if status:
        sys.exit(done.stderr.decode())
    return {"processor_seconds": round(seconds, 2), "peak_mib": round(kilobytes / 1024)}


def measure(name: str, size: int, scratch: str | None) -> dict[str, Any]:
    make, _ = WORKS[name]
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        words = make(Path(folder), size)
        if words[0] != "evaluate":
            words += ["--output", Path(folder, "out")]
        shown = [str(word).replace(f"{folder}/", "") for word in words]
        held = run(words)
    return {"command": " ".join(["algoshelf", *shown]), **held}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--works", nargs="+", choices=WORKS, default=list(WORKS))
    parser.add_argument("--most", type=int, default=10_000_000, help="the largest size")
    parser.add_argument("--scratch", metavar="FOLDER", help="for data of up to 400 MB")
    given = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    path = results_file("growth")
    document = json.loads(path.read_text()) if path.exists() else {"works": {}}
    for name in given.works:
        of_work = document["works"].setdefault(name, {})
        for size in WORKS[name][1]:
            if size <= given.most and str(size) not in of_work:
                of_work[str(size)] = measure(name, size, given.scratch)
                document.update(
                    what=f"{COLUMNS} columns; classes: of {ROWS_BY_CLASS:,} rows",
                    environment=environment(),
                )
                path.write_text(json.dumps(document, indent=2) + "\n")
                print(name, size, of_work[str(size)], file=sys.stderr, flush=True)
    plot(document["works"], path.with_suffix(".png"))
    print(path)


def plot(works: dict[str, dict[str, dict[str, Any]]], path: Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots(2, 2, sharex="col")
    for name, points in filter(lambda work: work[1], works.items()):
        column = int(name.startswith("classes"))
        sizes = [int(size) for size in points]
        for row, figure_of in enumerate(("processor_seconds", "peak_mib")):
            values = [point[figure_of] for point in points.values()]
            axes[row][column].plot(sizes, values, "o-", markersize=4, label=name)
    for row, told in enumerate(("seconds of a processor", "peak of memory, MiB")):
        for column, of in enumerate(("rows", f"classes (of {ROWS_BY_CLASS:,} rows)")):
            each = axes[row][column]
            each.set(xscale="log", yscale="log", ylabel=told, xlabel=of if row else "")
            least, most = each.get_ylim()
            each.set_ylim(10 ** math.floor(math.log10(least)), 10 ** math.ceil(math.log10(most)))
            each.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            each.yaxis.set_minor_formatter(NullFormatter())
            each.grid(visible=True, color="0.9")
            each.legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
