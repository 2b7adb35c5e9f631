"""BERT: the numbers that its formulas give with published weights, padded or not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from algoshelf.core import mx
from algoshelf.core.tasks import bert

from tests.support_bert import CONFIG, arrays

SIZED = {**CONFIG, "vocab_size": 50}


def encoder(given: dict[str, np.ndarray], config: dict[str, Any] = SIZED) -> Any:
    sizes = bert.Sizes.published(config)
    made = bert.text_encoder(sizes, dropout=0.1)
    made.initialize()
    bert.load(made, sizes, given)
    return made


def by_the_formulas(w: dict[str, np.ndarray], ids: list[int]) -> np.ndarray:
    """The mean vector of one text, (units,), in numpy alone."""

    def linear(x: np.ndarray, name: str) -> np.ndarray:
        return np.asarray(x @ w[f"{name}.weight"].T + w[f"{name}.bias"])

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        return np.asarray(centred / scale * w[f"{name}.weight"] + w[f"{name}.bias"])

    x = w["embeddings.word_embeddings.weight"][ids].astype(np.float64)
    x = x + w["embeddings.token_type_embeddings.weight"][0]
    x = norm(x + w["embeddings.position_embeddings.weight"][: len(ids)], "embeddings.LayerNorm")
    heads, error = SIZED["num_attention_heads"], np.vectorize(math.erf)
    for layer in range(SIZED["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        q, k, v = (
            linear(x, f"{name}.attention.self.{part}").reshape(len(ids), heads, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = np.exp(q @ k.swapaxes(1, 2) / math.sqrt(q.shape[-1]))
        seen = (scores / scores.sum(axis=-1, keepdims=True) @ v).swapaxes(0, 1)
        seen = linear(seen.reshape(len(ids), -1), f"{name}.attention.output.dense")
        x = norm(x + seen, f"{name}.attention.output.LayerNorm")
        wide = linear(x, f"{name}.intermediate.dense")
        wide = wide / 2 * (1 + error(wide / math.sqrt(2)))
        x = norm(x + linear(wide, f"{name}.output.dense"), f"{name}.output.LayerNorm")
    return np.asarray(x.mean(axis=0))


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_a_text_has_the_vector_that_the_formulas_give(prefix: str) -> None:
    given = arrays(SIZED)
    made = encoder({prefix + name: values for name, values in given.items()})
    rng = np.random.default_rng(1)
    texts = [rng.integers(1, 50, length).tolist() for length in (2, 3, 9, 40)]
    x = np.zeros((len(texts), 40), np.int32)
    for row, ids in zip(x, texts):
        row[: len(ids)] = ids
    for name in ("eager", "hybridized"):
        if name == "hybridized":
            made.hybridize()
        found = made(mx.nd.array(x, dtype="int32")).asnumpy()
        for vector, ids in zip(found, texts):
            np.testing.assert_allclose(vector, by_the_formulas(given, ids), atol=2e-6)


def test_a_text_of_nothing_has_a_finite_vector() -> None:
    found = encoder(arrays(SIZED))(mx.nd.zeros((2, 5), dtype="int32")).asnumpy()
    assert np.isfinite(found).all()


def test_what_does_not_fit_is_named_all_at_once() -> None:
    given = arrays(SIZED)
    del given["encoder.layer.1.output.dense.bias"]
    given["embeddings.LayerNorm.bias"] = np.zeros(7, np.float32)
    with pytest.raises(ValueError, match=r"output\.dense\.bias is missing") as error:
        encoder(given)
    assert "embeddings.LayerNorm.bias has the shape (7,), expected (16,)" in str(error.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"model_type": "roberta"}, "model_type is 'roberta', expected 'bert'"),
        ({"hidden_act": "relu"}, "hidden_act is 'relu', expected 'gelu'"),
        ({"hidden_size": 17}, "hidden_size: expected a multiple of num_attention_heads"),
        ({"num_hidden_layers": True}, "num_hidden_layers: expected a whole number from 1 to 48"),
        ({"vocab_size": 10**9}, "vocab_size: expected a whole number from 1 to 1,000,000"),
    ],
)
def test_another_network_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        bert.Sizes.published({**SIZED, **changed})
    with pytest.raises(ValueError, match="expected an object"):
        bert.Sizes.published([])
