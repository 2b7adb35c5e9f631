"""20 million ratings for recommender: python recommender_reading.py [--rows N] [--seconds S].

A table of the shape of MovieLens-20M (138,493 users, 26,744 items, ratings from 0.5 to 5, times;
drawn at random, since the set itself may not be handed on) is written; reading it in a process of
its own is timed; then `algoshelf train recommender` runs for S seconds. Kept are seconds of a
processor and the peak of memory. Needs the extra cpu and 600 MB of disk.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from environment import environment, results_file

ROWS, USERS, ITEMS = 20_000_263, 138_493, 26_744
AT_ONCE = 500_000
FIRST, LAST = 789_652_009, 1_427_784_002  # seconds, as in MovieLens-20M


def write(path: Path, rows: int) -> None:
    rng = np.random.default_rng(1)
    users = np.sort((rng.random(rows) ** 1.6 * USERS).astype(np.int64)) + 1  # grouped, as they come
    with path.open("w") as stream:
        stream.write("userId,movieId,rating,timestamp\n")
        for start in range(0, rows, AT_ONCE):
            some = users[start : start + AT_ONCE].tolist()
            items = (rng.random(len(some)) ** 3 * ITEMS).astype(np.int64) * 5 + 1
            ratings = rng.integers(1, 11, len(some)) / 2
            times = rng.integers(FIRST, LAST, len(some))
            columns = (some, items.tolist(), ratings.tolist(), times.tolist())
            stream.write("".join(f"{u},{i},{r},{t}\n" for u, i, r, t in zip(*columns)))


def spent() -> dict[str, Any]:
    """What this process and its children have taken."""
    own, of_children = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    seconds = sum(each.ru_utime + each.ru_stime for each in (own, of_children))
    return {
        "processor_seconds": round(seconds, 1),
        "peak_mb": round(max(own.ru_maxrss, of_children.ru_maxrss) / 1024),
    }


def read(path: Path) -> dict[str, Any]:
    from algoshelf.core.data import interaction_tables as data

    before, start = spent()["processor_seconds"], time.monotonic()
    found = data.read(path, {}, explicit=True)
    seconds = time.monotonic() - start
    after = spent()
    return {
        "rows": len(found), "users": len(found.users), "items": len(found.items),
        "seconds": round(seconds, 1),
        "processor_seconds": round(after["processor_seconds"] - before, 1),
        "peak_mb": after["peak_mb"],
    }  # fmt: skip


def train(path: Path, seconds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        command = [
            str(Path(sys.executable).parent / "algoshelf"), "train", "recommender", "--train",
            str(path), "--batch-size", "8192", "--factors", "32", "--epochs", "1", "--max-runtime",
            f"{seconds}s", "--holdout", "0.001", "--output", f"{scratch}/m",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    (line,) = (each for each in done.stderr.splitlines() if each.startswith("epoch="))
    words = dict(word.split("=") for word in line.split())
    return {
        "what": "algoshelf " + " ".join(command[1:3] + command[5:-2]),
        "steps": int(words["step"]),
        "rows_per_second": round(float(words["train:throughput"])),
        "validation_rmse": round(float(words["validation:rmse"]), 4),
        **spent(),
    }


def in_child(side: str, path: Path, seconds: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--side", side, "--table", str(path)]
    command += ["--seconds", str(seconds)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    print(side, found, file=sys.stderr, flush=True)
    return found


def main(rows: int, seconds: int) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "ratings.csv")
        write(path, rows)
        document = {
            "what": "reading and training on ratings of MovieLens-20M's shape, drawn at random",
            "megabytes": round(path.stat().st_size / 1e6),
            "reading": in_child("read", path, seconds),
            "training": in_child("train", path, seconds),
            "environment": environment(),
        }
    file = results_file("recommender_reading")
    file.write_text(json.dumps(document, indent=2) + "\n")
    print(file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--side", choices=["read", "train"], help=argparse.SUPPRESS)
    parser.add_argument("--table", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        side = read(given.table) if given.side == "read" else train(given.table, given.seconds)
        print(json.dumps(side))
    else:
        main(given.rows, given.seconds)
