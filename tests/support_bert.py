"""A BERT of a few thousand numbers, as published weights are: for tests that need no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Sequence

import numpy as np
from algoshelf.core.data.wordpiece import SPECIAL, words
from algoshelf.core.weights import About, write

CONFIG: dict[str, Any] = {
    "model_type": "bert", "hidden_act": "gelu", "num_hidden_layers": 2, "hidden_size": 16,
    "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 40,
}  # fmt: skip


def vocabulary(texts: Sequence[str]) -> list[str]:
    """Pieces that make every word of ``texts``: its frequent words, and letters."""
    found = [word for text in texts for word in words(text)]
    letters = sorted({letter for word in found for letter in word})
    frequent = sorted({word for word in found if len(word) > 1 and found.count(word) > 2})
    return [*SPECIAL, *letters, *(f"##{letter}" for letter in letters), *frequent]


def arrays(config: dict[str, Any], seed: int = 0) -> dict[str, np.ndarray]:
    """Random numbers by the names of Hugging Face."""
    rng = np.random.default_rng(seed)
    units, hidden = config["hidden_size"], config["intermediate_size"]
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (config["vocab_size"], units),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], units),
        "embeddings.token_type_embeddings.weight": (2, units),
        "embeddings.LayerNorm.weight": (units,),
        "embeddings.LayerNorm.bias": (units,),
        "pooler.dense.weight": (units, units),  # which is not read
    }
    for layer in range(config["num_hidden_layers"]):
        for part, (out, into) in {
            "attention.self.query": (units, units),
            "attention.self.key": (units, units),
            "attention.self.value": (units, units),
            "attention.output.dense": (units, units),
            "attention.output.LayerNorm": (units, 0),
            "intermediate.dense": (hidden, units),
            "output.dense": (units, hidden),
            "output.LayerNorm": (units, 0),
        }.items():
            shapes[f"encoder.layer.{layer}.{part}.weight"] = (out, into) if into else (out,)
            shapes[f"encoder.layer.{layer}.{part}.bias"] = (out,)
    return {
        name: (("LayerNorm.weight" in name) + rng.normal(0, 0.3, shape)).astype(np.float32)
        for name, shape in shapes.items()
    }


def weights(folder: Path, texts: Sequence[str], **changed: Any) -> Path:
    """A folder of such weights that know the words of ``texts``."""
    pieces = vocabulary(texts)
    config = {**CONFIG, "vocab_size": len(pieces), **changed}
    folder.mkdir()
    files = {
        "vocab.txt": "\n".join([*pieces, ""]).encode(),
        "config.json": json.dumps(config).encode(),
    }
    write(folder, About(name="tiny-bert", network="bert"), arrays(config), files)
    return folder
