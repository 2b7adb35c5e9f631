"""Make the bundled sample from CIFAR-10's binary files: python make_sample.py CIFAR10_FOLDER."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np

PER_CLASS = {"data_batch_1.bin": 100, "test_batch.bin": 30}
SEED = 21


def main(source: Path) -> None:
    rng = np.random.default_rng(SEED)
    for name, count in PER_CLASS.items():
        rows = np.fromfile(source / name, np.uint8).reshape(-1, 1 + 3 * 32 * 32)
        members = [np.flatnonzero(rows[:, 0] == label) for label in range(10)]
        chosen = np.sort(np.concatenate([rng.choice(of, count, replace=False) for of in members]))
        content = gzip.compress(rows[chosen].tobytes(), 9, mtime=0)
        (Path(__file__).parent / f"{name}.gz").write_bytes(content)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
