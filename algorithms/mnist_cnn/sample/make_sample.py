"""Make the bundled sample from MNIST's four official files: python make_sample.py MNIST_FOLDER."""

from __future__ import annotations

import gzip
import struct
import sys
from pathlib import Path

import numpy as np

PER_DIGIT = {"train": 800, "t10k": 200}
SEED = 20


def main(source: Path) -> None:
    rng = np.random.default_rng(SEED)
    for part, count in PER_DIGIT.items():
        images = _read(source / f"{part}-images-idx3-ubyte.gz", 16).reshape(-1, 28, 28)
        labels = _read(source / f"{part}-labels-idx1-ubyte.gz", 8)
        members = [np.flatnonzero(labels == digit) for digit in range(10)]
        chosen = np.sort(np.concatenate([rng.choice(of, count, replace=False) for of in members]))
        header = struct.pack(">4I", 0x0803, len(chosen), 28, 28)
        _write(f"{part}-images-idx3-ubyte.gz", header + images[chosen].tobytes())
        header = struct.pack(">2I", 0x0801, len(chosen))
        _write(f"{part}-labels-idx1-ubyte.gz", header + labels[chosen].tobytes())


def _read(path: Path, header: int) -> np.ndarray:
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)


def _write(name: str, content: bytes) -> None:
    (Path(__file__).parent / name).write_bytes(gzip.compress(content, 9, mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
