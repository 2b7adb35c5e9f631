"""BERT: token ids of texts to a vector each, by GluonNLP's network and weights as published.

J. Devlin et al., "BERT: pre-training of deep bidirectional transformers", arXiv:1810.04805. The
mean of a text's vectors is that of N. Reimers and I. Gurevych, "Sentence-BERT", arXiv:1908.10084.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Iterator, Mapping

import numpy as np

from ..runtime import mx
from ..runtime.gluon import gluonnlp
from ..runtime.types import Array, HybridBlock

# Sizes beyond these are of no BERT, and their network would fill the memory.
LARGEST = {
    "layers": 48,
    "units": 4096,
    "heads": 64,
    "hidden": 16_384,
    "positions": 8192,
    "vocabulary": 1_000_000,
}
# What config.json calls them.
PUBLISHED = {
    "layers": "num_hidden_layers",
    "units": "hidden_size",
    "heads": "num_attention_heads",
    "hidden": "intermediate_size",
    "positions": "max_position_embeddings",
    "vocabulary": "vocab_size",
}
# What else it may say, and what this network does.
FIXED = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
_LAYER = re.compile(r"encoder\.transformer_cells\.(\d+)\.(.+)\.(weight|bias|gamma|beta)")
_IN_LAYER = {
    "attention_cell.proj_query": "attention.self.query",
    "attention_cell.proj_key": "attention.self.key",
    "attention_cell.proj_value": "attention.self.value",
    "proj": "attention.output.dense",
    "layer_norm": "attention.output.LayerNorm",
    "ffn.ffn_1": "intermediate.dense",
    "ffn.ffn_2": "output.dense",
    "ffn.layer_norm": "output.LayerNorm",
}
_ENDS = {"gamma": "weight", "beta": "bias", "weight": "weight", "bias": "bias"}
_WORDS, _POSITIONS, _NORM = (f"embeddings.{n}" for n in (
    "word_embeddings.weight", "position_embeddings.weight", "LayerNorm"
))  # fmt: skip
_TYPES = "embeddings.token_type_embeddings.weight"


@dataclass(frozen=True)
class Sizes:
    """Of a BERT: its layers, the units of a token's vector, heads of attention, units between two
    vectors, and how many positions and pieces of words it knows.
    """

    layers: int
    units: int
    heads: int
    hidden: int
    positions: int
    vocabulary: int

    @classmethod
    def read(cls, document: Any, names: Mapping[str, str] | None = None) -> Sizes:
        """Those of ``document``, in which they have ``names``, by default their own.

        Raises ValueError with all that is wrong.
        """
        if not isinstance(document, dict):
            raise ValueError("expected an object with the sizes of a BERT")
        names = names or {name: name for name in LARGEST}
        faults = [
            f"{names[name]}: expected a whole number from 1 to {most:,}, got "
            f"{document.get(names[name])!r}"
            for name, most in LARGEST.items()
            if not _is_size(document.get(names[name]), most)
        ]
        if not faults and document[names["units"]] % document[names["heads"]]:
            faults.append(f"{names['units']}: expected a multiple of {names['heads']}")
        if faults:
            raise ValueError("; ".join(faults))
        return cls(**{name: document[names[name]] for name in LARGEST})

    @classmethod
    def published(cls, config: Any) -> Sizes:
        """Those of a ``config.json``. Raises ValueError where it is of another network."""
        sizes = cls.read(config, PUBLISHED)
        other = [
            f"{key} is {config[key]!r}, expected {value!r}"
            for key, value in FIXED.items()
            if config.get(key, value) != value
        ]
        if other:
            raise ValueError("; ".join(other))
        return sizes

    def document(self) -> dict[str, int]:
        """In JSON types, as ``read`` takes them."""
        return asdict(self)


def _is_size(value: Any, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


def text_encoder(sizes: Sizes, dropout: float) -> HybridBlock:
    """Token ids (N, T) int32, padded with 0, to the mean vector of each text, (N, units) float32.

    Padding is masked: a text has the same vector at any T, beside any other text. T is at most
    ``sizes.positions``.
    """
    model = gluonnlp().model.bert

    class TextEncoder(mx.gluon.HybridBlock):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(prefix="bert_")
            with self.name_scope():
                encoder = model.BERTEncoder(
                    num_layers=sizes.layers,
                    units=sizes.units,
                    hidden_size=sizes.hidden,
                    max_length=sizes.positions,
                    num_heads=sizes.heads,
                    dropout=dropout,
                    prefix="encoder_",
                )
                self.bert = model.BERTModel(
                    encoder,
                    vocab_size=sizes.vocabulary,
                    units=sizes.units,
                    embed_size=sizes.units,
                    use_pooler=False,
                    use_decoder=False,
                    use_classifier=False,
                    use_token_type_embed=False,
                    prefix="",
                )

        def hybrid_forward(self, F: Any, tokens: Any) -> Any:  # noqa: N803
            # A row of padding alone has one token, so that no number is divided by 0.
            lengths = F.clip(F.cast(tokens != 0, dtype="float32").sum(axis=1), 1, sizes.positions)
            vectors = self.bert(tokens, None, lengths)  # (N, T, units), 0 for padding
            return F.broadcast_div(vectors.sum(axis=1), lengths.expand_dims(1))

    encoder = TextEncoder()
    encoder.infer_shape(mx.nd.zeros((1, 1), dtype="int32"))  # so that no layer waits for an input
    return encoder


def load(encoder: HybridBlock, sizes: Sizes, arrays: Mapping[str, Array]) -> None:
    """Give the initialized ``encoder`` of ``sizes`` the weights ``arrays``, by the names that
    Hugging Face's files have.

    All texts are of one type: its vector goes into those of the positions. Raises ValueError where
    an array is missing, or has another shape than the sizes say.
    """
    prefix = "bert." if f"bert.{_WORDS}" in arrays else ""
    given = {name[len(prefix) :]: array for name, array in arrays.items()}
    wanted = dict(_published_names(encoder))
    faults = [*_faults(wanted, given, sizes)]
    if faults:
        more = f"; and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ValueError("; ".join(faults[:5]) + more)
    for name, parameter in wanted.items():
        value = np.asarray(given[name], np.float32)
        if name == _POSITIONS:
            value = value + np.asarray(given[_TYPES], np.float32)[0]
        parameter.set_data(mx.nd.array(value))


def _faults(wanted: Mapping[str, Any], given: Mapping[str, Array], sizes: Sizes) -> Iterator[str]:
    shapes = {name: tuple(parameter.shape) for name, parameter in wanted.items()}
    for name, shape in {**shapes, _TYPES: (None, sizes.units)}.items():
        found = given.get(name)
        if found is None:
            yield f"{name} is missing"
        elif len(found.shape) != len(shape) or any(
            size not in (None, there) for size, there in zip(shape, found.shape)
        ):
            yield f"{name} has the shape {tuple(found.shape)}, expected {shape}"


def _published_names(encoder: HybridBlock) -> Iterator[tuple[str, Any]]:
    """The name that each parameter of an ``encoder`` has in published files, and the parameter."""
    for place, parameter in encoder._collect_params_with_prefix("").items():
        name = place[len("bert.") :]
        layer = _LAYER.fullmatch(name)
        if layer:
            number, part, end = layer.groups()
            yield f"encoder.layer.{number}.{_IN_LAYER[part]}.{_ENDS[end]}", parameter
        elif name.startswith("encoder.layer_norm."):
            yield f"{_NORM}.{_ENDS[name.rpartition('.')[2]]}", parameter
        else:
            yield (_POSITIONS if name == "encoder.position_weight" else _WORDS), parameter


def set_rates(encoder: HybridBlock, layers: int, decay: float) -> None:
    """Let each layer learn at ``decay`` times the rate of the one above it; the vectors of pieces
    and positions stay as they are.

    J. Howard and S. Ruder, "Universal language model fine-tuning", arXiv:1801.06146.
    """
    for name, parameter in _published_names(encoder):
        if name in (_WORDS, _POSITIONS):
            parameter.grad_req = "null"
        else:
            layer = int(name.split(".")[2]) if name.startswith("encoder.") else -1
            parameter.lr_mult = decay ** (layers - 1 - layer)
        if not name.endswith(".weight") or "LayerNorm" in name:
            parameter.wd_mult = 0.0


def freeze(encoder: HybridBlock) -> None:
    """Leave all of ``encoder`` as it is."""
    for parameter in encoder.collect_params().values():
        parameter.grad_req = "null"
