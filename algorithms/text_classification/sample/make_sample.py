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
# Of each kind so many negative texts and as many positive ones, in training and in test.
KINDS = {
    "movieReviewSnippets": (2000, 500),
    "amazonReviewSnippets": (700, 175),
    "tweets": (640, 160),
}
CLEAR = 1.0  # mean ratings run from -4 to 4; nearer to 0 people do not agree
SEED = 20


def main(archive: Path) -> None:
    content = archive.read_bytes()
    if hashlib.sha256(content).hexdigest() != SHA256:
        sys.exit(f"{archive}: not the source distribution of vaderSentiment 3.3.2")
    rng = np.random.default_rng(SEED)
    parts: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
    with tarfile.open(fileobj=io.BytesIO(_member(content, INNER))) as inner:
        for kind, (train, test) in KINDS.items():
            stream = inner.extractfile(f"hutto_ICWSM_2014/{kind}_GroundTruth.txt")
            lines = stream.read().decode("utf-8").splitlines()
            rated = [line.split("\t")[1:] for line in lines]
            for label, sign in (("negative", -1), ("positive", 1)):
                clear = [text for rating, text in rated if sign * float(rating) >= CLEAR]
                texts = list(dict.fromkeys(text.strip() for text in clear))
                chosen = rng.choice(len(texts), train + test, replace=False)
                parts["train"] += [(texts[i], label) for i in chosen[:train]]
                parts["test"] += [(texts[i], label) for i in chosen[train:]]
    for name, pairs in parts.items():
        order = rng.permutation(len(pairs))
        lines = ["text\tlabel", *("\t".join(pairs[i]) for i in order)]
        text = "\n".join(lines) + "\n"
        path = Path(__file__).parent / f"{name}.tsv.gz"
        path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


def _member(archive: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return tar.extractfile(name).read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
