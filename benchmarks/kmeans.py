"""Time of k-means on MNIST's 60,000 x 784 training images: algoshelf, scikit-learn, faiss.

    python kmeans.py MNIST --k 256 --peers PYTHON

Each side is a process of its own, run in turn, ROUNDS times; what counts is the median of the
ratios within a round. Same data (intensities from 0 to 1), same start (rows drawn at random),
20 Lloyd iterations without tolerance; measured from the rows in memory to the centroids and their
inertia, after a warm-up. The inertia that is compared is computed anew from each side's centroids,
in float64. PYTHON is the interpreter of an environment with scikit-learn and faiss-cpu. Keeps
figures and a plot under results/.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable

import numpy as np

ROUNDS = 5
ITERATIONS = 20
SEED = 0


def images(folder: Path) -> np.ndarray:
    """The training images (60000, 784) float32 in [0, 1]."""
    content = gzip.decompress((folder / "train-images-idx3-ubyte.gz").read_bytes())
    return np.frombuffer(content, np.uint8, offset=16).reshape(-1, 784).astype(np.float32) / 255


def start(x: np.ndarray, k: int) -> np.ndarray:
    return x[np.random.default_rng(SEED).choice(len(x), k, replace=False)].copy()


def algoshelf(x: np.ndarray, k: int, first: np.ndarray, iterations: int) -> np.ndarray:
    """What ``algoshelf train kmeans`` does between reading the rows and writing the model."""
    from algoshelf.algorithms.kmeans import KMeans, lloyd
    from algoshelf.algorithms.kmeans import sharding as shards
    from algoshelf.core import Reporter, Run, mx
    from algoshelf.core.data.rows import Rows

    options = KMeans.Hyperparameters(k=k, restarts=1, max_iterations=iterations, tolerance=0)
    with tempfile.TemporaryDirectory() as folder:
        run = Run(KMeans(), options, {}, 1, [mx.cpu()], Path(folder), reporter=Reporter())
        rows = Rows(x.shape, "", values=x)
        laid = shards.ShardedRows(run, rows, k)
        laid.centre()
        found = lloyd.Fit(run, laid, lambda _: first - rows.origin).run_all()
    return found.centroids + rows.origin


def sklearn(x: np.ndarray, k: int, first: np.ndarray, iterations: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    options = {"n_init": 1, "max_iter": iterations, "tol": 0, "algorithm": "lloyd"}
    return KMeans(k, init=first, **options).fit(x).cluster_centers_


def faiss(x: np.ndarray, k: int, first: np.ndarray, iterations: int) -> np.ndarray:
    import faiss

    limits = {"max_points_per_centroid": len(x), "min_points_per_centroid": 1}
    fit = faiss.Kmeans(x.shape[1], k, niter=iterations, **limits)
    fit.train(x, init_centroids=first)
    return fit.centroids


SIDES: dict[str, Callable[..., np.ndarray]] = {
    "algoshelf": algoshelf,
    "sklearn": sklearn,
    "faiss": faiss,
}


def measure(side: str, folder: Path, k: int) -> dict[str, float]:
    x = images(folder)
    first = start(x, k)
    SIDES[side](x[:10_000].copy(), k, first, 2)
    own = x.copy()
    begun = time.perf_counter()
    centroids = SIDES[side](own, k, first, ITERATIONS)
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "inertia": inertia(x, centroids)}


def inertia(x: np.ndarray, centroids: np.ndarray) -> float:
    total = 0.0
    c = centroids.astype(np.float64)
    for part in np.array_split(x.astype(np.float64), 20):
        apart = (part**2).sum(1)[:, None] - 2 * part @ c.T + (c**2).sum(1)
        total += apart.min(axis=1).sum()
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("mnist", type=Path, help="the folder with MNIST's training images")
    parser.add_argument("--k", type=int, default=256)
    parser.add_argument("--peers", help="the interpreter that has scikit-learn and faiss-cpu")
    parser.add_argument("--side", choices=SIDES, help="measure one side and print its figures")
    arguments = parser.parse_args()
    if arguments.side:
        print(json.dumps(measure(arguments.side, arguments.mnist, arguments.k)))
        return
    peers = ["sklearn", "faiss"] if arguments.peers else []
    rounds = []
    for number in range(ROUNDS):
        found = {
            side: in_process(arguments.peers if side in peers else sys.executable, side, arguments)
            for side in ["algoshelf", *peers]
        }
        rounds.append(found)
        print(f"round {number + 1}: {found}", file=sys.stderr)
    keep(rounds, arguments)


def in_process(python: str, side: str, arguments: argparse.Namespace) -> dict[str, float]:
    from algoshelf.core.runtime.cores import cores  # not at the top: peers do without algoshelf

    threads = {"OMP_NUM_THREADS": str(cores())}
    command = [python, __file__, str(arguments.mnist), "--k", str(arguments.k), "--side", side]
    environment = {**os.environ, **threads}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def keep(rounds: list[dict[str, dict[str, float]]], arguments: argparse.Namespace) -> None:
    from environment import environment, results_file

    versions = environment()
    peers = [side for side in rounds[0] if side != "algoshelf"]
    if peers:
        ask = "import faiss, sklearn; print(sklearn.__version__, faiss.__version__)"
        done = subprocess.run(
            [arguments.peers, "-c", ask], check=True, stdout=subprocess.PIPE, text=True
        )
        versions.update(zip(("scikit-learn", "faiss"), done.stdout.split()))
    ratios = {
        peer: [r["algoshelf"]["seconds"] / r[peer]["seconds"] for r in rounds] for peer in peers
    }
    off = {
        peer: max(abs(r["algoshelf"]["inertia"] / r[peer]["inertia"] - 1) for r in rounds)
        for peer in peers
    }
    document: dict[str, Any] = {
        "what": f"seconds of {ITERATIONS} Lloyd iterations, k = {arguments.k}, MNIST 60,000 x 784",
        "environment": versions,
        "median_ratios": {
            f"algoshelf / {peer}": round(statistics.median(v), 3) for peer, v in ratios.items()
        },
        "ratios": {f"algoshelf / {peer}": [round(x, 3) for x in v] for peer, v in ratios.items()},
        "inertia_off": {f"algoshelf / {peer} - 1": value for peer, value in off.items()},
        "rounds": rounds,
    }
    path = results_file(f"kmeans_k{arguments.k}")
    path.write_text(json.dumps(document, indent=2) + "\n")
    plot(rounds, arguments.k, path.with_suffix(".png"))
    print(json.dumps({name: document[name] for name in ("median_ratios", "inertia_off")}, indent=2))
    print(path)


def plot(rounds: list[dict[str, dict[str, float]]], k: int, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.5), layout="constrained")
    axes = figure.subplots()
    sides = list(rounds[0])
    medians = [statistics.median(r[side]["seconds"] for r in rounds) for side in sides]
    axes.barh(sides, medians, color="#8fb3d9")
    for side in sides:
        axes.plot([r[side]["seconds"] for r in rounds], [side] * len(rounds), "k.", markersize=5)
    axes.invert_yaxis()
    axes.set(
        xlabel="seconds (bar: median, dots: rounds)",
        title=f"20 Lloyd iterations on MNIST, k = {k}",
    )
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
