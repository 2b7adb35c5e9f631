"""--network bert, with weights of a few thousand numbers: train, resume, freeze, leave, answer."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from algoshelf.core import Artifact

from tests.conftest import Algoshelf, InProcess, made_once
from tests.support_bert import weights

WORDS = {"good": ("warm", "funny", "brilliant"), "bad": ("dull", "clumsy", "stale")}
QUICK = ("--network", "bert", "--epochs", 4, "--batch-size", 8, "--learning-rate", 0.02)
FILES = ("algorithm.json", "model-0000.params", "model-symbol.json")


def rows(path: Path, count: int = 60) -> Path:
    rng = np.random.default_rng(1)
    lines = []
    for number in range(count):
        label = list(WORDS)[number % 2]
        text = " ".join([*rng.choice(WORDS[label], 2 + number % 3), "film"])
        lines.append(json.dumps({"text": text, "label": label}))
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="session")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``rows.jsonl``, weights ``tiny`` that know its words, and a model ``m``."""

    def make(folder: Path) -> None:
        path = rows(folder / "rows.jsonl")
        texts = [json.loads(line)["text"] for line in path.read_text().splitlines()]
        weights(folder / "tiny", texts)
        trained = InProcess(folder)(
            *("train", "text-classification", "--train", path, "--model", "tiny"),
            *(*QUICK, "--output", "m"),
        )
        assert trained.code == 0, trained.stderr

    return made_once(tmp_path_factory, "tiny-bert", make)


@pytest.fixture
def command(given: Path) -> tuple[object, ...]:
    return (
        *("train", "text-classification", "--train", given / "rows.jsonl"),
        *("--model", given / "tiny", *QUICK),
    )


def accuracy(run: Algoshelf, model: Path, test: Path) -> float:
    result = run("evaluate", model, "--test", test, "--json")
    assert result.code == 0, result.stderr
    return float(result.json["metrics"]["accuracy"])


def test_it_learns_and_keeps_what_it_was_told(given: Path, in_process: InProcess) -> None:
    assert accuracy(in_process, given / "m", given / "rows.jsonl") > 0.9
    encoding = Artifact.open(given / "m").metadata.encoding
    assert encoding["classes"] == ["bad", "good"]
    assert encoding["pieces"][:2] == ["[PAD]", "[UNK]"]
    assert encoding["encoder"]["layers"] == 2


def test_the_vectors_of_pieces_stay_as_they_are_and_layers_learn(
    given: Path, in_process: InProcess
) -> None:
    from algoshelf.core.weights import read

    begun = read(given / "tiny").arrays()
    found = Artifact.open(given / "m").check(numbers=True).parameters.arrays
    by_name = {name.rpartition("bert_")[2]: array for name, array in found.items()}
    pieces = begun["embeddings.word_embeddings.weight"]
    assert any(np.array_equal(array, pieces) for array in by_name.values())
    for layer in (0, 1):
        first = begun[f"encoder.layer.{layer}.intermediate.dense.weight"]
        (now,) = (
            a
            for n, a in by_name.items()
            if n.endswith(f"transformer{layer}_positionwiseffn0_ffn_1_weight")
        )
        assert not np.array_equal(now, first)


@pytest.mark.parametrize("frozen", ["false", "true"])
def test_a_resumed_training_ends_with_the_same_bytes(
    frozen: str, command: tuple[object, ...], in_process: InProcess
) -> None:
    command = (*command, "--frozen", frozen)
    kept = ("--checkpoints", "c", "--checkpoint-every", "0.01s")
    assert in_process(*command, "--output", "whole").code == 0
    assert in_process(*command, "--output", "a", *kept).code == 0
    shutil.rmtree(max((in_process.folder / "c").glob("step-*")))
    resumed = in_process(*command, "--output", "b", *kept)
    assert "resuming after step" in resumed.stderr
    for name in FILES:
        whole = (in_process.folder / "whole" / name).read_bytes()
        assert (in_process.folder / "a" / name).read_bytes() == whole
        assert (in_process.folder / "b" / name).read_bytes() == whole


def test_frozen_only_the_output_layer_learns(
    given: Path, command: tuple[object, ...], in_process: InProcess
) -> None:
    learnt = ("--frozen", "true", "--epochs", 20, "--learning-rate", 0.05)
    command = (*command, *learnt, "--test", given / "rows.jsonl")
    result = in_process(*command, "--output", "f", "--json")
    assert result.code == 0, result.stderr
    assert "computes each example once" in result.stderr
    found = Artifact.open(in_process.folder / "f").check(numbers=True).parameters.arrays
    other = Artifact.open(given / "m").check(numbers=True).parameters.arrays
    assert found.keys() == other.keys()  # a model like any other
    # the whole network, of tokens, answers as the head did of what was computed once
    metrics = result.json["metrics"]
    assert metrics["test:accuracy"] > 0.8
    assert accuracy(in_process, in_process.folder / "f", given / "rows.jsonl") == pytest.approx(
        metrics["test:accuracy"]
    )


@pytest.mark.parametrize(
    ("how", "frozen"),
    [
        (("--devices", "cpu:2"), "false"),
        (("--hosts", "2"), "false"),
        (("--hosts", "2"), "true"),
    ],
)
def test_devices_and_hosts_learn_what_one_does(
    how: tuple[str, str],
    frozen: str,
    command: tuple[object, ...],
    algoshelf: Algoshelf,
    in_process: InProcess,
) -> None:
    command = (*command, "--frozen", frozen, "--dropout", 0, "--epochs", 2, "--json")
    alone, together = in_process(*command), algoshelf(*command, *how)
    assert alone.code == 0, alone.stderr
    assert together.code == 0, together.stderr
    losses = [result.json["metrics"]["train:loss"] for result in (alone, together)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


def test_a_model_is_a_beginning_for_another_class(given: Path, in_process: InProcess) -> None:
    path = rows(in_process.folder / "more.jsonl")
    with path.open("a") as stream:
        stream.writelines(f'{{"text": "film {n}", "label": "neither"}}\n' for n in range(20))
    result = in_process(
        *("train", "text-classification", "--train", path, "--model", given / "m", *QUICK),
        *("--output", "new", "--epochs", 1),
    )
    assert result.code == 0, result.stderr
    assert "starting from" in result.stderr
    encoding = Artifact.open(in_process.folder / "new").metadata.encoding
    assert encoding["classes"] == ["bad", "good", "neither"]
    assert encoding["pieces"] == Artifact.open(given / "m").metadata.encoding["pieces"]


def test_long_texts_are_cut_and_counted(
    given: Path, command: tuple[object, ...], in_process: InProcess
) -> None:
    path = rows(in_process.folder / "long.jsonl")
    with path.open("a") as stream:
        stream.writelines(f'{{"text": "{"film " * 100_000}", "label": "bad"}}\n' for _ in range(3))
    result = in_process(*command, "--train", path, "--epochs", 1, "--output", "long")
    assert result.code == 0, result.stderr
    assert "3 are cut to 40 tokens" in result.stderr
    assert Artifact.open(in_process.folder / "long").metadata.examples["train"]["cut"] == 3


TEXTS = [
    "",
    "warm film",
    "dull " * 5_000,
    "\U0001f600 \u05e9\u05dc\u05d5\u05dd <br> \u4f60\u597d",
    "x" * 300,
]
WITHOUT = 'raise ModuleNotFoundError("No module named {0!r}", name="{0}")\n'


def test_it_leaves_as_onnx_and_answers_where_neither_mxnet_nor_gluonnlp_is(
    given: Path, algoshelf: Algoshelf, in_process: InProcess
) -> None:
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    shutil.copytree(given / "m", algoshelf.folder / "m")
    made = in_process("export", "m")
    assert made.code == 0, made.stderr
    graph = onnx.load(str(algoshelf.folder / "m" / "model.onnx")).graph
    fixed = {tensor.name for tensor in graph.initializer}
    # of weights, nothing is turned or put side by side anew: it would be kept beside them
    moved = [node for node in graph.node if node.op_type in ("Transpose", "Concat")]
    assert moved
    assert not [node.name for node in moved if fixed.issuperset(node.input)]
    asked = algoshelf.folder / "texts.jsonl"
    asked.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    here = in_process("predict", "m", asked, "--engine", "mxnet")
    assert here.code == 0, here.stderr
    site = algoshelf.folder / "site"
    for name in ("mxnet", "gluonnlp"):
        (site / name).mkdir(parents=True)
        (site / name / "__init__.py").write_text(WITHOUT.format(name))
    there = algoshelf("predict", "m", asked, "--engine", "onnx", PYTHONPATH=str(site))
    assert there.code == 0, there.stderr
    answers = [
        [json.loads(line)["probabilities"]["good"] for line in result.text.splitlines()]
        for result in (here, there)
    ]
    assert len(answers[0]) == len(TEXTS)
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-5)


def test_what_does_not_fit_together_is_refused_before_anything_is_read(
    given: Path, in_process: InProcess
) -> None:
    def refused(*options: object) -> str:
        path = given / "rows.jsonl"
        result = in_process("train", "text-classification", "--train", path, *options)
        assert result.code == 2, result.stderr
        assert not (in_process.folder / "models").exists()
        return result.stderr

    assert "the network bert begins with what another training has learned" in refused(
        "--network", "bert"
    )
    assert "frozen: the network ngram has no pretrained weights to keep" in refused(
        "--network", "ngram", "--frozen", "true"
    )
    assert "its network reads texts otherwise than the network ngram" in refused(
        "--network", "ngram", "--model", given / "m"
    )
    broken = in_process.folder / "broken"
    weights(broken, ["film"])
    (broken / "config.json").unlink()
    assert "config.json: No such file" in refused("--network", "bert", "--model", broken)


def test_weights_that_are_not_of_their_config_are_refused(
    given: Path, in_process: InProcess
) -> None:
    other = in_process.folder / "other"
    weights(other, ["film"], model_type="roberta", vocab_size=7)
    result = in_process(
        *("train", "text-classification", "--train", given / "rows.jsonl"),
        *("--network", "bert", "--model", other),
    )
    assert result.code == 2
    assert "config.json: model_type is 'roberta', expected 'bert'" in result.stderr
