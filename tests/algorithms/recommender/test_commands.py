"""recommender through the command line: train, evaluate, ask, resume, hosts and devices."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.core.runtime import params

from tests.conftest import Algoshelf, InProcess

SAMPLE = Path(__file__).parents[3] / "algorithms" / "recommender" / "sample"
SIDES = ("--users", SAMPLE / "users.csv", "--items", SAMPLE / "items.csv")
DATA = ("--train", SAMPLE / "train.csv", "--test", SAMPLE / "test.csv", *SIDES)
QUICK = (
    "--epochs", 3, "--batch-size", 64, "--factors", 8, "--learning-rate", 0.01,
    "--regularization", 0.05,
)  # fmt: skip


@pytest.fixture(scope="session", params=["explicit", "implicit"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    asked = ("--feedback", request.param, "--network", "fm", *QUICK)
    result = InProcess(folder)("train", "recommender", *DATA, *asked)
    assert result.code == 0, result.stderr
    assert "'user' is the user, 'item' is the item, 'rating' is the rating" in result.stderr
    assert "users: 240 users: age (3 values)" in result.stderr
    return folder / "models" / "recommender"


def asked(in_process: InProcess, model: Path, *questions: object, more: Any = ()) -> list[Any]:
    (in_process.folder / "ask.json").write_text(json.dumps({"instances": questions}))
    result = in_process("predict", model, "ask.json", *more)
    assert result.code == 0, result.stderr
    return [json.loads(line) for line in result.text.splitlines()]


def seen_by(user: str) -> set[str]:
    lines = (SAMPLE / "train.csv").read_text().splitlines()[1:]
    return {line.split(",")[1] for line in lines if line.startswith(f"{user},")}


def test_it_beats_what_needs_no_network(model: Path, in_process: InProcess) -> None:
    test = ("--test", SAMPLE / "test.csv", "--json")
    found = in_process("evaluate", model, *test, "--plot", "drawn.png").json
    assert (in_process.folder / "drawn.png").read_bytes().startswith(b"\x89PNG")
    trained = json.loads((model / "algorithm.json").read_text())["metrics"]
    assert found["metrics"]["error"] == pytest.approx(trained["test:error"], abs=1e-6)
    first = found["baselines"][0]
    assert first["name"] in ("mean rating", "popularity")
    assert found["metrics"]["error"] < first["metrics"]["error"]
    shown = in_process("evaluate", model, *test[:2]).text
    assert "this model" in shown
    assert first["name"] in shown


def test_the_best_items_of_a_user_are_those_it_has_not_seen(
    model: Path, in_process: InProcess
) -> None:
    user = "user-007"
    best, every = asked(in_process, model, {"user": user, "top": 5}, {"user": user, "top": 1000})
    assert len(best["items"]) == 5
    assert best["items"] == every["items"][:5]
    names = [each["item"] for each in every["items"]]
    assert len(names) == len(set(names)) == 120 - len(seen_by(user))
    assert not seen_by(user) & set(names)
    scores = [each["score"] for each in every["items"]]
    assert scores == sorted(scores, reverse=True)
    pairs = asked(in_process, model, *({"user": user, "item": name} for name in names[:20]))
    assert [pair["score"] for pair in pairs] == pytest.approx(scores[:20], abs=1e-4)


def test_what_the_training_did_not_have_is_said(model: Path, in_process: InProcess) -> None:
    answers = asked(
        in_process,
        model,
        {"user": "nobody", "item": "synthetic-001"},
        {"user": "user-001", "item": "nothing"},
        {"user": "nobody", "top": 3},
        {"item": "nothing", "similar": 3},
        {"user": "user-001", "item": "synthetic-001"},
    )
    assert [answer["known"] for answer in answers] == [False, False, False, False, True]
    assert [answer.get("unknown") for answer in answers] == [
        ["user"], ["item"], ["user"], ["item"], None
    ]  # fmt: skip
    assert len(answers[2]["items"]) == 3
    assert answers[3]["items"] == []


def test_similar_items_are_others_and_share_the_genre_more_often(
    model: Path, in_process: InProcess
) -> None:
    rows = (SAMPLE / "items.csv").read_text().splitlines()[1:]
    genres = dict(row.split(",") for row in rows)
    answers = asked(in_process, model, *({"item": name, "similar": 5} for name in genres))
    hits = []
    for name, answer in zip(genres, answers):
        found = [each["item"] for each in answer["items"]]
        assert len(found) == 5
        assert name not in found
        hits += [genres[other] == genres[name] for other in found]
    chance = sum((list(genres.values()).count(g) / len(genres)) ** 2 for g in set(genres.values()))
    assert np.mean(hits) > 1.3 * chance


def test_questions_of_every_kind_and_type_have_one_answer_each(
    model: Path, in_process: InProcess
) -> None:
    folder = in_process.folder
    (folder / "pairs.csv").write_text("user-001,synthetic-003\nuser-002,synthetic-004\nuser-003\n")
    (folder / "one.json").write_text('{"user": "user-003", "top": 10}')
    (folder / "lines.jsonl").write_text(
        '{"user": "user-001", "item": "synthetic-003"}\n["user-002", "synthetic-004"]\n'
    )
    result = in_process("predict", model, "pairs.csv", "one.json", "lines.jsonl")
    assert result.code == 0, result.stderr
    answers = [json.loads(line) for line in result.text.splitlines()]
    assert answers[:2] == answers[4:]
    assert answers[2] == answers[3]
    cells = in_process("predict", model, "pairs.csv", "--accept", "text/csv").text.splitlines()
    assert cells[0] == f"{answers[0]['score']},true"
    assert cells[2].split(",")[::2][-1] == "true"
    assert len(cells[2].split(",")) == 21


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('[{"user": "a"}, {"users": "a", "item": "b"}]', "example 2: expected {"),
        ('[{"user": "a", "top": 0}]', "example 1: top: expected a whole number from 1 to 1000"),
        ('[{"user": "a", "top": 1001}]', "top: expected a whole number from 1 to 1000, got '1001'"),
        ('[{"user": "a", "top": true}]', "got 'True'"),
        ('[{"item": "a", "similar": "5"}]', "similar: expected a whole number"),
        ('[{"user": "", "item": "b"}]', "user: expected 1 to 1000 characters, got 0"),
        ('[{"user": 1.5, "item": "b"}]', "user: expected a string or a whole number, got '1.5'"),
        ('[{"user": "a", "item": "b", "top": 3}]', "got 'user', 'item', 'top'"),
        ('[["a", "b", "c"]]', "example 1: expected a user and an item, got 3 values"),
        ("[3]", "got '3'"),
        ("{}", "got an empty object"),
    ],
)
def test_a_malformed_question_is_refused_by_its_place(
    body: str, said: str, model: Path, in_process: InProcess
) -> None:
    (in_process.folder / "ask.json").write_text(body)
    result = in_process("predict", model, "ask.json")
    assert result.code == 2
    assert said in result.stderr


def test_without_mxnet_the_answers_are_the_same(model: Path, algoshelf: Algoshelf) -> None:
    exported = algoshelf("export", model, "--output", algoshelf.folder / "model.onnx")
    assert exported.code == 0, exported.stderr
    copy = algoshelf.folder / "copy"
    copy.mkdir()
    for file in model.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    (copy / "model.onnx").write_bytes((algoshelf.folder / "model.onnx").read_bytes())
    (algoshelf.folder / "ask.json").write_text(
        json.dumps(
            [
                {"user": "user-001", "item": "synthetic-003"},
                {"user": "user-001", "top": 20},
                {"item": "synthetic-003", "similar": 20},
                {"user": "nobody", "top": 3},
            ]
        )
    )
    (algoshelf.folder / "site" / "mxnet").mkdir(parents=True)
    (algoshelf.folder / "site" / "mxnet" / "__init__.py").write_text("raise ImportError('none')\n")
    without = {"PYTHONPATH": str(algoshelf.folder / "site")}
    by_mxnet = algoshelf("predict", copy, "ask.json", "--engine", "mxnet")
    by_onnx = algoshelf("predict", copy, "ask.json", "--engine", "onnx", **without)
    assert by_onnx.code == 0, by_onnx.stderr
    for one, other in zip(by_mxnet.text.splitlines(), by_onnx.text.splitlines()):
        assert_close(json.loads(one), json.loads(other))
    evaluated = algoshelf("evaluate", copy, "--engine", "onnx", "--json", **without)
    assert evaluated.code == 0, evaluated.stderr
    again = algoshelf("evaluate", copy, "--engine", "mxnet", "--json").json["metrics"]
    assert evaluated.json["metrics"] == pytest.approx(again, abs=2e-3)


def assert_close(one: Any, other: Any) -> None:
    if "items" in one:
        assert [each["item"] for each in one["items"]] == [each["item"] for each in other["items"]]
        scores = [[each["score"] for each in answer["items"]] for answer in (one, other)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-4)
    else:
        assert one["score"] == pytest.approx(other["score"], abs=1e-4)
    assert one["known"] is other["known"]


@pytest.mark.parametrize(
    ("network", "feedback"),
    [
        ("mf", "explicit"),
        ("history", "implicit"),
        pytest.param("mf", "implicit", marks=pytest.mark.apart),
        pytest.param("fm", "explicit", marks=pytest.mark.apart),
        pytest.param("neumf", "implicit", marks=pytest.mark.apart),
        pytest.param("history", "explicit", marks=pytest.mark.apart),
    ],
)
def test_devices_and_hosts_learn_what_one_learns(
    network: str, feedback: str, algoshelf: Algoshelf, in_process: InProcess
) -> None:
    settings = ("--network", network, "--feedback", feedback, "--history", 20, *DATA, *QUICK)
    found = {}
    for how in ((), ("--devices", "cpu:2"), ("--devices", "cpu:4"), ("--hosts", 2)):
        output = "-".join(("m", *map(str, how)))
        run = algoshelf if "--hosts" in how else in_process
        result = run("train", "recommender", *settings, *how, "--output", output)
        assert result.code == 0, result.stderr
        found[how] = params.read(algoshelf.folder / output / "model-0000.params").arrays
    one = found.pop(())
    for how, other in found.items():
        for name, values in one.items():
            apart = np.abs(values.astype(np.float64) - other[name]).max()
            assert apart < 1e-4, (how, name)


@pytest.mark.parametrize(
    "feedback", ["explicit", pytest.param("implicit", marks=pytest.mark.apart)]
)
def test_a_killed_training_goes_on_to_the_same_bytes(
    feedback: str, algoshelf: Algoshelf, in_process: InProcess
) -> None:
    settings = ("train", "recommender", "--feedback", feedback, *DATA, *QUICK, "--epochs", 6)
    assert in_process(*settings, "--output", "whole").code == 0
    kept = ("--output", "part", "--checkpoints", "kept")
    process = algoshelf.start(*settings, *kept, "--checkpoint-every", "0.01s")
    folder, patience = algoshelf.folder / "kept", time.monotonic() + 200
    while len(list(folder.glob("step-*"))) < 2:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < patience
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert not (algoshelf.folder / "part").exists()
    resumed = in_process(*settings, *kept)
    assert resumed.code == 0, resumed.stderr
    assert "resuming after step" in resumed.stderr
    for name in ("algorithm.json", "model-0000.params", "model-symbol.json"):
        whole = (algoshelf.folder / "whole" / name).read_bytes()
        assert (algoshelf.folder / "part" / name).read_bytes() == whole, name
