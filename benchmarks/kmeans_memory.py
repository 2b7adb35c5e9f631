"""k-means on rows that memory does not hold: python kmeans_memory.py [SCRATCH].

Mini-batch k-means through the command line on npy files of 256, 1,024 and 2,048 MiB, with
--memory-mb 128; peak memory of the process and time are kept under results/. The rows are drawn
around 20 centres.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from command import ALGOSHELF
from environment import environment, results_file

COLUMNS, CENTRES, PART = 64, 20, 2**18
SIZES_MB = (256, 1024, 2048)
OPTIONS = [
    "--k",
    "20",
    "--batch-size",
    "20000",
    "--restarts",
    "1",
    "--max-iterations",
    "1",
    "--memory-mb",
    "128",
    "--seed",
    "1",
    "--json",
]


def main(scratch: Path) -> None:
    runs = []
    for size in SIZES_MB:
        path = scratch / "rows.npy"
        write(path, size * 2**20 // (4 * COLUMNS))
        start = time.monotonic()
        process = subprocess.Popen(
            [
                ALGOSHELF,
                "train",
                "kmeans",
                "--train",
                str(path),
                "--output",
                str(scratch / "model"),
                *OPTIONS,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        peak = peak_memory(process)
        if process.returncode:
            sys.exit("the training failed")
        runs.append(
            {
                "rows_mb": size,
                "peak_memory_mb": peak,
                "seconds": round(time.monotonic() - start, 1),
            }
        )
        print(json.dumps(runs[-1]), file=sys.stderr)
        path.unlink()
    document = {
        "command": "algoshelf train kmeans --train ROWS.npy " + " ".join(OPTIONS),
        "data": f"{COLUMNS} columns of float32, drawn around {CENTRES} centres",
        "runs": runs,
        "environment": environment(),
    }
    path = results_file("kmeans_memory")
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(path)


def peak_memory(process: subprocess.Popen[bytes]) -> int:
    """The most MiB that a process has held until its end; ru_maxrss begins with its parent's."""
    peak = 0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        peak = int(found[1]) // 1024 if found else peak
        time.sleep(0.05)
    return peak


def write(path: Path, rows: int) -> None:
    """Draw an npy file (rows, COLUMNS) float32, part by part."""
    rng = np.random.default_rng(0)
    centres = rng.normal(0, 10, (CENTRES, COLUMNS)).astype(np.float32)
    array = np.lib.format.open_memmap(path, "w+", np.float32, (rows, COLUMNS))
    for at in range(0, rows, PART):
        count = min(PART, rows - at)
        noise = rng.standard_normal((count, COLUMNS), np.float32)
        array[at : at + count] = centres[rng.integers(0, CENTRES, count)] + noise
    array.flush()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as folder:
        main(Path(folder))
