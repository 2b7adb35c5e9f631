"""text-embedding by the command line: an index, who is nearest in it, odd texts, old models."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.algorithms import text_embedding
from algoshelf.algorithms.text_embedding import TextEmbedding
from algoshelf.core import ArtifactError, UnfitPayloadError

from tests.conftest import Algoshelf, InProcess, Result, made_once
from tests.support_bert import weights

TOPICS = {"food": "bread soup cheese apple", "sky": "cloud star moon comet"}
ODD = {
    "long": "bread " * 20_000,
    "one word": "b" * 100_000,
    "emoji": "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f600\ufe0f",
    "right to left": "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd",
    "another language": "\u4f60\u597d\uff0c\u4e16\u754c",
    "HTML": "<p>soup &amp; <b>bread</b></p>",
    "empty": "",
    "blank": " \n\t\u3000",
}


def rows(path: Path) -> Path:
    rng = np.random.default_rng(1)
    lines = ["key,text,label"]
    for number in range(40):
        label = list(TOPICS)[number % 2]
        words = rng.choice(TOPICS[label].split(), 3, replace=False)
        lines.append(f"{label}-{number},the {' '.join(words)},{label}")
    path.write_text("\n".join([*lines, "nothing,,food", ""]))
    return path


@pytest.fixture(scope="session")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``rows.csv``, a model ``lsa`` of it, and one of weights ``tiny``, ``bert``."""

    def make(folder: Path) -> None:
        weights(folder / "tiny", [*TOPICS.values(), "the " * 3])
        rows(folder / "rows.csv")
        data = ("train", "text-embedding", "--train", "rows.csv", "--test", "rows.csv")
        for name, options in {
            "lsa": ("--dimensions", 4),
            "bert": ("--network", "bert", "--model", "tiny", "--max-length", 20),
        }.items():
            trained = InProcess(folder)(*data, *options, "--output", name)
            assert trained.code == 0, trained.stderr
            assert "1 text is empty (the first: rows.csv: line 42)" in trained.stderr

    return made_once(tmp_path_factory, "embedding", make)


def ask(run: Algoshelf, model: Path, instances: list[Any], *options: object) -> Result:
    (run.folder / "ask.json").write_text(json.dumps({"instances": instances}))
    result = run("predict", model, "ask.json", *options)
    assert result.code == 0, result.stderr
    return result


def answers(run: Algoshelf, model: Path, instances: list[Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ask(run, model, instances).text.splitlines()]


def test_the_nearest_texts_are_those_of_the_same_words(given: Path, in_process: InProcess) -> None:
    soup, three, none, alone = answers(
        in_process,
        given / "lsa",
        ["soup and bread", {"text": "moon", "top": 3, "embedding": False}, {"text": "zzz"},
         {"source": "moon", "top": 0}],
    )  # fmt: skip
    assert len(soup["embedding"]) == 4
    assert np.linalg.norm(soup["embedding"]) == pytest.approx(1, abs=1e-6)
    assert [each["label"] for each in soup["nearest"]] == ["food"] * 5
    assert [sorted(each) for each in soup["nearest"]] == [["id", "label", "similarity", "text"]] * 5
    similarities = [each["similarity"] for each in soup["nearest"]]
    assert similarities == sorted(similarities, reverse=True)
    assert list(three) == ["nearest"]
    assert [each["id"].split("-")[0] for each in three["nearest"]] == ["sky"] * 3
    assert none == {"embedding": [0.0] * 4, "nearest": []}  # of no word of it is anything known
    assert list(alone) == ["embedding"]


def test_figures_are_those_of_the_nearest_labels(given: Path, in_process: InProcess) -> None:
    result = in_process("evaluate", given / "lsa", "--test", given / "rows.csv", "--json")
    assert result.code == 0, result.stderr
    assert result.json["metrics"]["accuracy"] == 1.0
    assert result.json["examples"] == 40  # without the empty text
    trained = json.loads((given / "lsa" / "algorithm.json").read_text())["metrics"]
    assert trained["test:accuracy"] == result.json["metrics"]["accuracy"]
    assert trained["train:accuracy"] == 1.0
    (baseline,) = result.json["baselines"]
    assert baseline["metrics"]["accuracy"] == 0.5


@pytest.mark.parametrize("name", ["lsa", "bert"])
def test_odd_texts_have_the_vector_that_they_have_alone(
    name: str, given: Path, in_process: InProcess
) -> None:
    together = answers(in_process, given / name, list(ODD.values()))
    for (kind, text), answer in zip(ODD.items(), together):
        assert np.isfinite(answer["embedding"]).all(), kind
        length = np.linalg.norm(answer["embedding"])
        assert length == pytest.approx(1, abs=1e-5) or (name == "lsa" and length == 0)
        if kind in ("long", "empty"):
            assert answer.get("cut", False) == (kind == "long")
        assert answer["nearest"] == [] or text.strip()
        (alone,) = answers(in_process, given / name, [text])
        np.testing.assert_allclose(alone["embedding"], answer["embedding"], atol=2e-6, err_msg=kind)
    assert together[-1]["nearest"] == together[-2]["nearest"] == []


def test_vectors_are_answered_as_tables_and_arrays(given: Path, in_process: InProcess) -> None:
    algorithm = TextEmbedding()
    model = algorithm.model_fn(given / "bert")
    found = algorithm.predict_fn(["soup", "the moon"], model)
    array = np.load(io.BytesIO(algorithm.output_fn(found, "application/x-npy")))
    assert array.shape == (2, 16)
    assert array.dtype == np.float32
    lines = algorithm.output_fn(found, "text/csv").decode().splitlines()
    np.testing.assert_array_equal(np.array([line.split(",") for line in lines], np.float32), array)
    told = algorithm.input_fn(b'{"instances": [{"text": "soup"}]}', "application/json")
    assert told == ["soup"]


def test_a_long_index_is_resumed_to_the_same_bytes(
    given: Path, in_process: InProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_embedding, "ROUND", 8)
    command = (
        *("train", "text-embedding", "--train", given / "rows.csv", "--network", "bert"),
        *("--model", given / "tiny", "--checkpoints", "c", "--checkpoint-every", "0.001s"),
    )
    assert in_process(*command, "--output", "a").code == 0
    shutil.rmtree(max((in_process.folder / "c").glob("step-*")))
    resumed = in_process(*command, "--output", "b")
    assert "resuming after step 32" in resumed.stderr
    for name in ("algorithm.json", "model-0000.params", "model-symbol.json"):
        first, second = (in_process.folder / folder / name for folder in ("a", "b"))
        assert first.read_bytes() == second.read_bytes()


def test_hosts_share_the_work(given: Path, algoshelf: Algoshelf) -> None:
    command = (
        *("train", "text-embedding", "--train", given / "rows.csv", "--network", "bert"),
        *("--model", given / "tiny", "--max-length", 20, "--hosts", 2, "--output", "m"),
    )
    trained = algoshelf(*command)
    assert trained.code == 0, trained.stderr
    there, here = (
        TextEmbedding().model_fn(path) for path in (algoshelf.folder / "m", given / "bert")
    )
    assert there.index.ids == here.index.ids  # type: ignore[attr-defined]
    np.testing.assert_allclose(there.index.vectors, here.index.vectors, atol=1e-5)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["lsa", "bert"])
def test_other_texts_are_indexed_by_an_earlier_model(
    name: str, given: Path, in_process: InProcess
) -> None:
    (in_process.folder / "other.txt").write_text("a comet\nan apple\n")
    trained = in_process(
        *("train", "text-embedding", "--train", "other.txt", "--model", given / name),
        *("--network", name, "--max-length", 20, "--output", "m"),
    )
    assert trained.code == 0, trained.stderr
    before, now = (answers(in_process, m, ["moon"])[0] for m in (given / name, Path("m")))
    np.testing.assert_allclose(before["embedding"], now["embedding"], atol=1e-6)
    assert sorted(each["id"] for each in now["nearest"]) == ["1", "2"]
    other = {"lsa": "bert", "bert": "lsa"}[name]
    refused = in_process(
        *("train", "text-embedding", "--train", "other.txt", "--model", given / name),
        *("--network", other, "--output", "n"),
    )
    assert refused.code == 2
    assert f"is of the network {name}: give --network {name}" in refused.stderr


def test_what_cannot_be_is_refused_by_name(given: Path, in_process: InProcess) -> None:
    def refused(*words: object) -> str:
        result = in_process(*words, "--output", "x") if words[0] == "train" else in_process(*words)
        assert result.code == 2, result.stderr
        assert not (in_process.folder / "x").exists()
        return result.stderr

    train = ("train", "text-embedding", "--train")
    for name, content in {
        "blank.txt": " \n\n", "empty.jsonl": '{"text": ""}\n', "a.jsonl": '{"words": "a"}\n',
        "n.txt": "a\nb\n",
    }.items():  # fmt: skip
        (in_process.folder / name).write_text(content)
    assert "blank.txt: holds no texts" in refused(*train, "blank.txt")
    assert "empty.jsonl: every text is empty" in refused(*train, "empty.jsonl")
    assert "no text is found among 'words': name it by --text-column" in refused(*train, "a.jsonl")
    assert "--id-column 'nr': no such heading; there are 'key', 'text', 'label'" in refused(
        *train, given / "rows.csv", "--id-column", "nr"
    )
    assert "give a smaller --min-count" in refused(*train, "n.txt", "--min-count", 3)
    assert "give --weights a name" in refused(*train, "n.txt", "--network", "bert")
    assert "the texts have no labels" in refused("evaluate", given / "lsa", "--test", "n.txt")
    bare = in_process(*train, "n.txt", "--neighbours", 0, "--output", "bare")
    assert bare.code == 0, bare.stderr
    assert "the model has no index" in refused("evaluate", "bare", "--test", given / "rows.csv")
    assert list(answers(in_process, Path("bare"), ["a"])[0]) == ["embedding"]


def test_faults_of_a_request_come_at_once() -> None:
    body = b'[{"text": "a", "top": -1}, {"text": "b", "embedding": 3}, {"text": "c", "top": true}]'
    with pytest.raises(UnfitPayloadError) as refused:
        TextEmbedding().input_fn(body, "application/json")
    assert [fault.split(":")[0] for fault in refused.value.faults] == [
        "example 1", "example 2", "example 3",
    ]  # fmt: skip


def test_an_index_that_is_not_whole_is_refused(given: Path, tmp_path: Path) -> None:
    shutil.copytree(given / "lsa", tmp_path / "m")
    path = tmp_path / "m" / "algorithm.json"
    document = json.loads(path.read_text())
    document["encoding"]["labels"].pop()
    path.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match="encoding: labels: expected a list of 40 texts"):
        TextEmbedding().model_fn(tmp_path / "m")


def test_the_review_app_of_classes_refuses_vectors(
    given: Path, in_process: InProcess, tmp_path: Path
) -> None:
    refused = in_process("web", given / "lsa", "--output", tmp_path / "app")
    assert refused.code == 2
    assert "the review app shows the class of a text" in refused.stderr
    assert not (tmp_path / "app").exists()
