"""text-embedding beside PyTorch: python embedding_parity.py --data FOLDER --torch PYTHON.

The vectors of 90 test sentences of SST-2 and 10 odd texts by all-minilm-l6-v2, from mxnet and from
ONNX Runtime, are compared with those of the same weights in PyTorch, whose network is written here
anew and whose token ids are those of the library tokenizers, 256 at most. Besides, what a
sentence takes of a processor, and the search for the 5 nearest among 100,000 vectors. Keeps the
figures under results/.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

WEIGHTS, MOST = "all-minilm-l6-v2", 256
ODD = [
    "", "\U0001f600 emoji \U0001f468\u200d\U0001f469\u200d\U0001f467 family",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd", "<p>HTML &amp; <b>bold</b></p>",
    "na\u00efve cafe\u0301 \u00c5ngstr\u00f6m", "\u4f60\u597d\uff0c\u4e16\u754c",
    "Der schnelle braune Fuchs", "word " * 20_000, "x" * 100_000, "\u0391\u03a3 \u0130I \ufb01",
]  # fmt: skip
TIMED, VECTORS, QUESTIONS, ROUNDS = 400, 100_000, 20, 5


def main(data: Path, torch: str) -> None:
    from algoshelf.algorithms.text_embedding import TextEmbedding
    from algoshelf.core.tasks.nearest import nearest
    from algoshelf.registry.weights.choosing import found
    from command import algoshelf
    from environment import environment, results_file

    lines = (data / "sst2" / "test.tsv").read_text(encoding="utf-8").splitlines()
    sentences = [line.split("\t")[0] for line in lines]
    texts = [*sentences[:90], *ODD]
    algorithm, weights = TextEmbedding(), found(WEIGHTS, print)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        np.savez(folder / "arrays.npz", **weights.arrays())
        (folder / "texts.json").write_text(json.dumps(texts))
        vocabulary = str(weights.file("vocab.txt"))
        subprocess.run([torch, __file__, "--side", scratch, vocabulary], check=True)
        reference = np.load(folder / "vectors.npy")
        model = folder / "model"
        algoshelf("train", "text-embedding", "--weights", WEIGHTS, "--neighbours", 0,
                  "--output", model)  # fmt: skip
        algoshelf("export", model)
        for engine in ("mxnet", "onnx"):
            loaded = algorithm.model_fn(model, engine)
            ours = algorithm.predict_fn(texts, loaded).vectors
            begun = time.process_time()
            algorithm.predict_fn(sentences[-TIMED:], loaded)
            spent = time.process_time() - begun
            figures[engine] = {
                "largest_difference": float(np.abs(ours - reference).max()),
                "smallest_cosine": float((ours * reference).sum(axis=1).min()),
                "texts_a_second_of_a_processor": TIMED / spent,
            }
    rng = np.random.default_rng(1)
    index = rng.standard_normal((VECTORS, 384), np.float32)
    asked = rng.standard_normal((QUESTIONS, 384), np.float32)
    spent = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        for question in asked:
            nearest(question[None], index, 5)
        spent.append((time.process_time() - begun) / QUESTIONS)
    document = {
        "what": f"text-embedding --weights {WEIGHTS}: 100 texts beside PyTorch",
        "texts": len(texts),
        "engines": figures,
        "search": {"vectors": VECTORS, "numbers": 384, "processor_ms": 1000 * min(spent)},
        "environment": environment(),
    }
    path = results_file("embedding_parity")
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(f"{path}: {figures} {document['search']}")


def side(folder: Path, vocabulary: str) -> None:
    """The vectors of PyTorch, (N, 384), of ``texts.json`` and ``arrays.npz`` in ``folder``."""
    import torch
    from tokenizers import BertWordPieceTokenizer

    held = {name: torch.tensor(each) for name, each in np.load(folder / "arrays.npz").items()}
    reader = BertWordPieceTokenizer(vocabulary, lowercase=True)
    reader.enable_truncation(MOST)

    def dense(x: Any, name: str) -> Any:
        return torch.nn.functional.linear(x, held[f"{name}.weight"], held[f"{name}.bias"])

    def norm(x: Any, name: str) -> Any:
        scale, shift = held[f"{name}.weight"], held[f"{name}.bias"]
        return torch.nn.functional.layer_norm(x, scale.shape, scale, shift, 1e-12)

    def vector(text: str) -> Any:
        ids = torch.tensor(reader.encode(text).ids)
        parts = [held[f"embeddings.{n}_embeddings.weight"] for n in
                 ("word", "position", "token_type")]  # fmt: skip
        x = norm(parts[0][ids] + parts[1][: len(ids)] + parts[2][0], "embeddings.LayerNorm")
        for number in range(6):
            layer = f"encoder.layer.{number}"
            heads = [
                dense(x, f"{layer}.attention.self.{n}").reshape(len(ids), 12, 32).transpose(0, 1)
                for n in ("query", "key", "value")
            ]
            seen = torch.softmax(heads[0] @ heads[1].transpose(1, 2) / 32**0.5, -1) @ heads[2]
            seen = seen.transpose(0, 1).reshape(len(ids), 384)
            x = norm(x + dense(seen, f"{layer}.attention.output.dense"),
                     f"{layer}.attention.output.LayerNorm")  # fmt: skip
            inner = torch.nn.functional.gelu(dense(x, f"{layer}.intermediate.dense"))
            x = norm(x + dense(inner, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
        mean = x.mean(0)
        return (mean / mean.norm()).numpy()

    texts = json.loads((folder / "texts.json").read_text())
    with torch.no_grad():
        np.save(folder / "vectors.npy", np.stack([vector(text) for text in texts]))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--side"]:
        side(Path(sys.argv[2]), sys.argv[3])
    else:
        parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
        parser.add_argument("--data", type=Path, required=True)
        parser.add_argument("--torch", required=True, help="Python with torch and tokenizers")
        given = parser.parse_args()
        main(given.data, given.torch)
