"""Make the bundled sample: python make_sample.py FOLDER.

FOLDER holds Adult as train.csv.gz and test.csv.gz: rows of UCI's adult.data and adult.test under a
line of headings, without blanks and the dots behind the test's labels.
"""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import numpy as np

ROWS = {"train": 10_000, "test": 4_000}
SEED = 20
# What OpenML calls the column; it is taken for the target without being told.
TARGET, NAMED = "income", "class"


def main(folder: Path) -> None:
    rng = np.random.default_rng(SEED)
    for part, count in ROWS.items():
        text = gzip.decompress((folder / f"{part}.csv.gz").read_bytes()).decode()
        headings, *rows = text.splitlines()
        columns = [NAMED if name == TARGET else name for name in headings.split(",")]
        chosen = np.sort(rng.choice(len(rows), count, replace=False))
        lines = [",".join(columns), *(rows[i] for i in chosen)]
        content = ("\n".join(lines) + "\n").encode()
        path = Path(__file__).parent / f"{part}.csv.gz"
        path.write_bytes(gzip.compress(content, 9, mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
