"""Make the bundled sample: python make_sample.py vaderSentiment-3.3.2.tar.gz.

The archive is the source distribution on PyPI: pip download --no-binary :all: --no-deps
vaderSentiment==3.3.2.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import sys
import tarfile
from pathlib import Path

import numpy as np

SHA256 = "5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9"
INNER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
KINDS = {
    "film": "movieReviewSnippets",
    "product": "amazonReviewSnippets",
    "editorial": "nytEditorialSnippets",
    "tweet": "tweets",
}
TRAIN, TEST = 250, 60  # of each kind
SEED = 20


def main(archive: Path) -> None:
    content = archive.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        sys.exit(f"{archive}: not the source distribution of vaderSentiment 3.3.2")
    rng = np.random.default_rng(SEED)
    parts: dict[str, list[tuple[str, str, str]]] = {"train": [], "test": []}
    with tarfile.open(fileobj=io.BytesIO(_member(content, INNER))) as inner:
        for label, kind in KINDS.items():
            stream = inner.extractfile(f"hutto_ICWSM_2014/{kind}_GroundTruth.txt")
            lines = stream.read().decode("utf-8").splitlines()
            texts = list(dict.fromkeys(line.split("\t")[2].strip() for line in lines))
            chosen = rng.choice(len(texts), TRAIN + TEST, replace=False)
            rows = [(f"{label}-{n}", texts[i], label) for n, i in enumerate(chosen, 1)]
            parts["train"] += rows[:TRAIN]
            parts["test"] += rows[TRAIN:]
    for name, rows in parts.items():
        order = rng.permutation(len(rows))
        lines = ["id\ttext\tlabel", *("\t".join(rows[i]) for i in order)]
        text = "\n".join(lines) + "\n"
        path = Path(__file__).parent / f"{name}.tsv.gz"
        path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def _member(archive: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return tar.extractfile(name).read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
