"""text-classification by the command line: train, evaluate, predict, resume, hosts, devices."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.conftest import ROOT, Algoshelf, InProcess

QUICK = ("--network", "ngram", "--epochs", 2)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    result = InProcess(folder)("train", "text-classification", *QUICK)
    assert result.code == 0, result.stderr
    assert "train: 6,680 examples (TSV with a header: 'text' is the text" in result.stderr
    assert "positive (" in result.text
    return folder / "models" / "text-classification"


def test_another_process_evaluates_what_was_trained(model: Path, algoshelf: Algoshelf) -> None:
    trained = json.loads((model / "algorithm.json").read_text())["metrics"]
    evaluated = algoshelf("evaluate", model, "--json").json
    assert evaluated["metrics"]["accuracy"] == pytest.approx(trained["test:accuracy"], abs=1e-9)
    assert evaluated["metrics"]["accuracy"] > 0.8


def test_the_name_of_before_does_all_that_the_name_does(model: Path, in_process: InProcess) -> None:
    folder = in_process.folder
    (folder / "rows.tsv").write_text("good film\tyes\nbad film\tno\n" * 20)
    words = ("--train", "rows.tsv", *QUICK)
    trained = in_process("train", "text-sentiment", *words, "--json")
    assert trained.code == 0, trained.stderr
    assert trained.json["algorithm"] == "text-classification"
    assert trained.json["model"] == "models/text-sentiment"  # where its user looks for it
    assert in_process("info", "text-sentiment", "--json").json["aliases"] == ["text-sentiment"]
    old = folder / "models" / "text-sentiment" / "algorithm.json"
    metadata = json.loads(old.read_text())
    old.write_text(json.dumps({**metadata, "algorithm": "text-sentiment"}))  # as it wrote it
    (folder / "ask.txt").write_text("a good film\n")
    for asked in (
        ("predict", "models/text-sentiment", "ask.txt"),
        ("evaluate", "models/text-sentiment", "--test", "rows.tsv"),
        ("train", "text-classification", *words, "--model", "models/text-sentiment"),
        ("package", "models/text-sentiment", "--as", "model", "--output", "packed"),
        ("package", "text-sentiment", "--as", "script", "--output", "script"),
    ):
        done = in_process(*asked)
        assert done.code == 0, done.stderr


def test_what_was_measured_under_the_name_of_before_is_compared_with_what_is_now(
    in_process: InProcess,
) -> None:
    (kept,) = ROOT.glob("benchmarks/results/benchmark-text-sentiment-*/results.jsonl")
    assert '"algorithm":"text-sentiment"' in kept.read_text()
    now = kept.read_text().replace(
        '"algorithm":"text-sentiment"', '"algorithm":"text-classification"'
    )
    (in_process.folder / "now.jsonl").write_text(now)
    compared = in_process("benchmark", "compare", kept, "now.jsonl", "--json")
    assert compared.code == 0, compared.stderr
    settings = {
        each["setting"].split(",")[0]
        for pair in compared.json["compared"]
        for each in pair["comparisons"]
    }
    assert settings == {"text-classification"}


def test_files_of_each_kind_are_answered(model: Path, in_process: InProcess) -> None:
    files = {
        "a.txt": "A wonderful, moving film.\n\nDull and boring, a waste of time.\n",
        "b.csv": '"A wonderful, moving film."\n""\n"Dull and boring, a waste of time."\n',
        "c.json": '["A wonderful, moving film.", "", "Dull and boring, a waste of time."]',
        "d.jsonl": '"A wonderful, moving film."\n""\n{"text": "Dull and boring, a waste of time."}',
    }
    for name, content in files.items():
        (in_process.folder / name).write_text(content)
    result = in_process("predict", model, *files)
    assert result.code == 0, result.stderr
    answers = [json.loads(line) for line in result.text.splitlines()]
    assert answers == answers[:3] * 4
    assert [answers[0]["label"], answers[2]["label"]] == ["positive", "negative"]
    assert in_process("predict", model).json["label"] in ("positive", "negative")


def test_labels_of_any_name_and_number(in_process: InProcess) -> None:
    topics = {
        "Spiel & Sport": "ball goal",
        "政治": "vote law",
        "\U0001f3b5": "song band",
        "-1": "x",
    }
    rows = [f"{words} {n}\t{name}\n" for n in range(20) for name, words in topics.items()]
    (in_process.folder / "rows.tsv").write_text("".join(rows), encoding="utf-8")
    trained = in_process(
        "train", "text-classification", "--train", "rows.tsv", *QUICK, "--batch-size", 8, "--json"
    )
    assert trained.code == 0, trained.stderr
    (in_process.folder / "ask.txt").write_text("a law\nthe goal\n", encoding="utf-8")
    answers = in_process("predict", "models/text-classification", "ask.txt").text.splitlines()
    assert [json.loads(a)["label"] for a in answers] == ["政治", "Spiel & Sport"]


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts of very different lengths, whose class is the word that they begin with."""
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    lines = [f"{'good' if n % 2 else 'bad'} {'word ' * (n % 37)}{n},{n % 2}\n" for n in range(400)]
    path.write_text("".join(lines))
    return path


def test_numbers_on_a_scale_are_no_classes(in_process: InProcess) -> None:
    lines = [f"a text of {n},{(n * 37 % 101) / 103:.3f}\n" for n in range(1, 41)]
    (in_process.folder / "scores.csv").write_text("text,score\n" + "".join(lines))
    refused = in_process("train", "text-classification", "--train", "scores.csv", *QUICK)
    assert refused.code == 2
    assert (
        "scores.csv: the labels look like numbers on a scale ('0.359', '0.718', …): 40 different "
        "ones in 40 examples; text-classification tells classes apart: write one of a few names "
        "for each, such as low and high, or give another column of labels (CSV with a header: "
        "'text' is the text, 'score' the label)"
    ) in refused.stderr


SETTINGS = (
    "--network", "textcnn", "--epochs", 3, "--maps", 8, "--dimensions", 8, "--learning-rate", 0.01
)  # fmt: skip


def test_a_resumed_training_ends_with_the_same_bytes(rows: Path, in_process: InProcess) -> None:
    command = ("train", "text-classification", "--train", rows, *SETTINGS)
    kept = ("--checkpoints", "c", "--checkpoint-every", "0.01s")
    assert in_process(*command, "--output", "whole").code == 0
    assert in_process(*command, "--output", "a", *kept).code == 0
    newest = max((in_process.folder / "c").glob("step-*"))
    shutil.rmtree(newest)
    resumed = in_process(*command, "--output", "b", *kept)
    assert "resuming after step" in resumed.stderr
    again = in_process(*command, "--output", "c2", *kept)
    assert again.code == 0, again.stderr
    for name in ("algorithm.json", "model-0000.params", "model-symbol.json"):
        whole = (in_process.folder / "whole" / name).read_bytes()
        assert (in_process.folder / "a" / name).read_bytes() == whole
        assert (in_process.folder / "b" / name).read_bytes() == whole
        assert (in_process.folder / "c2" / name).read_bytes() == whole


@pytest.mark.parametrize("how", [("--devices", "cpu:2"), ("--hosts", "2")])
def test_devices_and_hosts_train_together(
    how: tuple[str, str], rows: Path, algoshelf: Algoshelf
) -> None:
    result = algoshelf("train", "text-classification", "--train", rows, *SETTINGS, *how, "--json")
    assert result.code == 0, result.stderr
    assert result.json["metrics"]["train:loss"] < 0.69


WITHOUT = 'raise ModuleNotFoundError("No module named \'gluonnlp\'", name="gluonnlp")\n'


def test_without_gluonnlp_the_catalog_is_open_and_train_says_what_to_install(
    algoshelf: Algoshelf,
) -> None:
    (algoshelf.folder / "site").mkdir()
    (algoshelf.folder / "site" / "gluonnlp.py").write_text(WITHOUT)
    path = str(algoshelf.folder / "site")
    assert "text-classification" in algoshelf("list", PYTHONPATH=path).text
    assert "--embedding" in algoshelf("info", "text-classification", PYTHONPATH=path).text
    result = algoshelf("train", "text-classification", PYTHONPATH=path)
    assert result.code == 1
    assert "pip install 'algoshelf[text]'" in result.stderr
    assert not (algoshelf.folder / "models").exists()


def test_what_does_not_fit_together_is_refused(in_process: InProcess) -> None:
    result = in_process(
        "train", "text-classification", "--network", "ngram", "--embedding", "v.txt"
    )
    assert result.code == 2
    assert "ngram uses no word vectors" in result.stderr
    result = in_process("train", "text-classification", "--embedding", "nowhere.txt")
    assert result.code == 2
    assert "nowhere.txt: cannot be read" in result.stderr
