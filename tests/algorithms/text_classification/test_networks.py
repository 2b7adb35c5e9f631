"""The networks: blind to padding and company, and able to learn."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.algorithms.text_classification import SAMPLE, TextClassification
from algoshelf.algorithms.text_classification.vocabulary import SPECIAL
from algoshelf.core import Artifact, Model, PayloadError, Reporter, codecs, train
from algoshelf.core.artifact.export import export
from algoshelf.core.inference.answers import example_inputs
from algoshelf.core.inference.handlers import Handlers

NETWORKS = ("textcnn", "bilstm", "ngram")
# What each reaches at least on the test part of the sample, whose classes are of one size, and how
QUICK: dict[str, tuple[float, dict[str, Any]]] = {
    "textcnn": (0.70, {"epochs": 3, "learning_rate": 0.003}),
    "bilstm": (0.70, {"epochs": 2, "learning_rate": 0.003, "hidden": 50}),
    "ngram": (0.80, {"epochs": 3}),
}


@pytest.fixture(scope="session", params=NETWORKS)
def trained(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, float]:
    """A network, its model trained for seconds on the bundled sample, and its test accuracy."""
    folder = tmp_path_factory.mktemp(request.param) / "m"
    options = {"network": request.param, **QUICK[request.param][1]}
    algorithm = TextClassification()
    hyperparameters = TextClassification.Hyperparameters.parse(options)
    metrics = train(algorithm, algorithm.sample(), hyperparameters, folder, reporter=Reporter())[1]
    return request.param, folder, metrics["test:accuracy"]


@pytest.fixture(scope="session")
def model(trained: tuple[str, Path, float]) -> Model:
    return TextClassification().model_fn(trained[1])


def test_each_network_learns(trained: tuple[str, Path, float]) -> None:
    assert trained[2] > QUICK[trained[0]][0]


def test_logits_do_not_depend_on_the_padding(model: Model) -> None:
    rng = np.random.default_rng(0)
    size = len(model.metadata.encoding["vocabulary"])
    for length in (0, 1, 2, 3, 5, 30):
        ids = rng.integers(1, size, length)
        logits = []
        for padded in (length, length + 1, length + 7, 100):
            if padded:
                x = np.zeros((1, padded), np.int32)
                x[0, :length] = ids
                logits.append(model.outputs(x)[0])
        for other in logits[1:]:
            np.testing.assert_allclose(other, logits[0], atol=1e-5)


TEXTS = [
    "",
    "good",
    " \n ",
    "A dull, lifeless film that isn't worth your time.",
    "Die schönste 映画 \U0001f600 e\u0301 \u202e\u0000\ufeff",
    "word " * 100_000,
    "x" * 300_000,
    "not good at all",
]


def test_each_network_leaves_as_onnx(
    trained: tuple[str, Path, float], model: Model, tmp_path: Path
) -> None:
    """Texts of any length, padded or not, in batches of any size."""
    pytest.importorskip("onnxruntime")
    artifact = Artifact.open(trained[1])
    inputs = example_inputs(Handlers(TextClassification(), model))
    made = export(artifact, model, inputs, tmp_path / "model.onnx")
    assert made.parity.difference <= 1e-4
    assert len({batch[1] for batch in made.parity.batches}) > 3


def test_a_text_is_answered_alone_as_in_any_company(model: Model) -> None:
    algorithm = TextClassification()
    with gzip.open(SAMPLE / "test.tsv.gz", "rt", encoding="utf-8") as stream:
        real = [line.split("\t")[0] for line in stream][1:301]
    texts = [*TEXTS, *real]
    together = algorithm.predict_fn(texts, model).values
    assert together.shape == (len(texts), 2)
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)
    for index in (*range(len(TEXTS)), 20, 100, 307):
        alone = algorithm.predict_fn([texts[index]], model).values[0]
        np.testing.assert_allclose(alone, together[index], atol=1e-5)
    backwards = algorithm.predict_fn(texts[::-1], model).values[::-1]
    np.testing.assert_allclose(backwards, together, atol=1e-5)


def test_the_artifact_keeps_vocabulary_and_signature(trained: tuple[str, Path, float]) -> None:
    document = json.loads((trained[1] / "algorithm.json").read_text())
    assert document["encoding"]["classes"] == ["negative", "positive"]
    assert document["encoding"]["vocabulary"][:2] == list(SPECIAL)
    assert document["input"] == {"name": "data", "shape": [0, 0], "dtype": "int32"}


def test_every_declared_content_type_asks_the_same(model: Model) -> None:
    texts = ["a warm, funny film", 'he said "no"', "schön", ""]
    bodies = {
        codecs.JSON: json.dumps({"instances": [texts[0], {"text": texts[1]}, *texts[2:]]}),
        codecs.JSONLINES: "\n".join([json.dumps({"source": t}) for t in texts[:3]] + ['""']),
        codecs.TEXT: "\n".join(texts) + "\n",
        codecs.CSV: '"a warm, funny film"\r\n"he said ""no"""\nschön\n""\n',
    }
    algorithm = TextClassification()
    assert set(bodies) == set(algorithm.accepted_media_types())
    for content_type, body in bodies.items():
        assert algorithm.input_fn(body.encode(), content_type) == texts
    answer = algorithm.output_fn(algorithm.predict_fn(texts, model), codecs.JSON)
    assert {row["label"] for row in json.loads(answer)["predictions"]} <= {"negative", "positive"}


@pytest.mark.parametrize(
    ("body", "content_type", "fault"),
    [
        ('[[{"text": "good"}]]', codecs.JSON, "example 1: expected a text, got a list of 1"),
        ('["good", 5]', codecs.JSON, "example 2: expected a text, got '5'"),
        ('{"what": "x"}\n', codecs.JSONLINES, "example 1: expected a text, or an object"),
        (
            "one, two\n",
            codecs.CSV,
            "example 1: expected a text, got 2 cells: put a text with commas",
        ),
        ("", codecs.TEXT, "the body is empty"),
    ],
)
def test_an_unfit_body_is_refused(body: str, content_type: str, fault: str) -> None:
    with pytest.raises(PayloadError, match=fault):
        TextClassification().input_fn(body.encode(), content_type)


def test_pretrained_vectors_are_what_training_begins_with(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("film good,1\nfilm bad,0\n" * 4)
    (tmp_path / "vectors.txt").write_text("good 1 2 3\nbad -1 -2 -3\n")
    algorithm = TextClassification()
    options = TextClassification.Hyperparameters.parse({"embedding": str(tmp_path / "vectors.txt")})
    data = algorithm.dataset(tmp_path / "rows.csv", "train", options)
    network = algorithm.network(options, data)
    network.initialize(algorithm.initializer(options))
    table = network.vectors.table.weight.data().asnumpy()
    words = data.encoding["vocabulary"]
    assert table.shape == (5, 3)
    np.testing.assert_array_equal(table[words.index("good")], [1, 2, 3])
    np.testing.assert_array_equal(table[words.index("bad")], [-1, -2, -3])
    assert table[words.index("film")].any()
