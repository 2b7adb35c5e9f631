"""Two classes as a third party tells them apart: figures, thresholds, weights, answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from algoshelf.core import (
    Array,
    ArrayDataset,
    ArtifactError,
    Classifier,
    ContentType,
    DataError,
    Dataset,
    HyperparameterError,
    ImbalanceHyperparameters,
    Model,
    TrainingHyperparameters,
    codecs,
    files,
    mx,
    supervised_channels,
    train,
)
from algoshelf.core.tasks import binary_figures as figures
from algoshelf.core.tasks.imbalance import weighted

from tests.core.tasks.test_regression import Log

NAMES = ("bad", "good")


class Options(ImbalanceHyperparameters, TrainingHyperparameters):
    epochs: int = 8
    batch_size: int = 32
    learning_rate: float = 0.05


class Loans(Classifier[Options]):
    """``bad`` (0) is the rarer of two classes that overlap."""

    name = "loans"
    task = "tabular-classification"
    summary = "Tells which loan goes bad."
    Hyperparameters = Options
    channels = supervised_channels("CSV: the class first, then two numbers")
    accepts = (ContentType(codecs.JSON, "two numbers a loan"),)
    classes = NAMES

    def dataset(
        self, path: Path, channel: str, hyperparameters: Any, encoding: Any = None
    ) -> Dataset:
        numbers, labels = files.read_labelled_csv(path, features=2, labels=len(self.classes))
        return ArrayDataset(numbers, labels, self.classes)

    def network(self, hyperparameters: Options, data: Dataset) -> Any:
        return mx.gluon.nn.Dense(len(self.classes))


def loans(folder: Path, count: int, seed: int, name: str, classes: int = 2) -> Path:
    """Every fifth is bad, and only somewhat lower."""
    rng = np.random.default_rng(seed)
    labels = np.minimum(rng.integers(0, 5, count), classes - 1)
    numbers = rng.normal(size=(count, 2)) + labels[:, None]
    np.savetxt(folder / name, np.column_stack([labels, numbers]), delimiter=",", fmt="%.5g")
    return folder / name


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("loans")
    sizes = {"train": 800, "validation": 400, "test": 1000}
    return {name: loans(folder, n, i, f"{name}.csv") for i, (name, n) in enumerate(sizes.items())}


def learned(
    data: dict[str, Path], folder: Path, **options: Any
) -> tuple[Model, dict[str, float], list[str]]:
    log = Log()
    given = Options.parse(options)
    _, metrics = train(Loans(), data, given, folder / "m", reporter=log)
    return Loans().model_fn(folder / "m"), metrics, log.messages


def test_the_figures_are_those_of_scikit_learn() -> None:
    """scikit-learn 1.9.1: roc_auc_score, average_precision_score, brier_score_loss, log_loss."""
    labels = np.array([0, 0, 1, 1, 0, 1, 0, 1, 1, 0])
    given = np.float32([0.1, 0.4, 0.35, 0.8, 0.4, 0.4, 0.2, 0.9, 0.6, 0.7])
    assert figures.roc_auc(given, labels) == pytest.approx(0.76)
    assert figures.average_precision(given, labels) == pytest.approx(0.7892857142857144)
    assert figures.brier(given, labels) == pytest.approx(0.18525, rel=1e-6)
    assert figures.log_loss(given, labels) == pytest.approx(0.5359570665940813, rel=1e-6)
    found = figures.evaluate_binary(given, labels, NAMES)
    assert found.metrics["roc_auc"] == pytest.approx(0.76)
    assert found.confusion == ((4, 1), (2, 3))
    assert "roc_auc" not in found.intervals  # of five examples of a class


def test_the_order_of_the_examples_changes_nothing() -> None:
    labels, given = drawn(np.random.default_rng(0), 500)
    order = np.random.default_rng(1).permutation(500)
    one, other = (
        figures.evaluate_binary(given[places], labels[places], NAMES)
        for places in (np.arange(500), order)
    )
    assert one.metrics == pytest.approx(other.metrics, rel=1e-12)
    assert [curve.points for curve in one.curves] == [
        pytest.approx(np.array(curve.points), rel=1e-12) for curve in other.curves
    ]


def drawn(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Labels, and probabilities that are right, of two decimals, so that many are equal."""
    scores = rng.normal(size=count)
    given = (1 / (1 + np.exp(1.2 - 1.5 * scores))).round(2)
    return (rng.random(count) < given).astype(np.int64), given.astype(np.float32)


@pytest.mark.parametrize("count", [60, 400])
def test_intervals_hold_the_truth_in_about_95_of_100_cases(count: int) -> None:
    rng = np.random.default_rng(0)
    true = figures.evaluate_binary(*drawn(rng, 200_000)[::-1], NAMES).metrics
    names = ["roc_auc", "average_precision", "f1", "accuracy"]
    names += ["brier", "cross_entropy"] if count >= 100 else []
    held = dict.fromkeys(names, 0)
    for _ in range(400):
        found = figures.evaluate_binary(*drawn(rng, count)[::-1], NAMES).intervals
        for name in names:
            low, high = found.get(name, (0.0, 1.0))
            held[name] += low <= true[name] <= high
    assert all(0.91 <= times / 400 <= 0.99 for times in held.values()), held


def test_one_class_alone_has_no_figure_by_rank() -> None:
    found = figures.evaluate_binary(np.float32([0.2, 0.7]), np.array([1, 1]), NAMES)
    assert "roc_auc" not in found.metrics
    assert found.curves == ()
    none = figures.evaluate_binary(np.float32([0.2, 0.7]), np.array([0, 0]), NAMES)
    assert {"roc_auc", "average_precision"}.isdisjoint(none.metrics)


@pytest.mark.parametrize("seed", range(20))
def test_a_threshold_is_the_best_of_all(seed: int) -> None:
    labels, given = drawn(np.random.default_rng(seed), 80)
    every = np.unique(np.append(np.linspace(0, 1.001, 999), given.astype(float)))

    def best(measure: Any) -> float:
        return float(max(measure(given >= each) for each in every))

    def f1(called: Array) -> float:
        return float(2 * (called & (labels == 1)).sum() / max(1, called.sum() + labels.sum()))

    def recall(called: Array) -> float:
        return float(called[labels == 1].mean())

    assert f1(given >= figures.choose_threshold(given, labels, figures.F1)) == best(f1)
    for wanted in (0.3, 0.8, 1.0):
        chosen = figures.choose_threshold(given, labels, figures.recall_of(wanted))
        assert recall(given >= chosen) >= wanted
        assert recall(given > given[given >= chosen].min()) < wanted


def test_a_threshold_by_cost_is_that_of_theory_unless_examples_say_otherwise() -> None:
    labels, given = drawn(np.random.default_rng(0), 2000)
    costs = figures.costs_of(1, 4)
    assert figures.choose_threshold(given, labels, costs) == 0.2
    shifted = given**2  # far too low
    chosen = figures.choose_threshold(shifted, labels, costs)
    assert chosen == pytest.approx(0.04, abs=0.03)
    called = shifted >= chosen
    assert called[labels == 1].mean() > (shifted >= 0.2)[labels == 1].mean()
    with pytest.raises(ValueError, match="no example is positive"):
        figures.choose_threshold(given, np.zeros(2000, int), costs)


def test_costs_choose_the_threshold_by_which_is_answered_and_measured(
    data: dict[str, Path], tmp_path: Path
) -> None:
    model, metrics, said = learned(data, tmp_path, cost_fp=1, cost_fn=5)
    decision = model.metadata.encoding["decision"]
    assert decision["positive"] == "bad"
    assert 0 < decision["threshold"] < 0.3
    assert any(line.startswith("an example is called bad from a probability of") for line in said)
    found = Loans().evaluate(model, data["test"])
    assert (found.positive, found.threshold) == ("bad", decision["threshold"])
    assert found.metrics["cost"] == pytest.approx(metrics["test:cost"])
    low, high = found.intervals["cost"]
    assert low < found.metrics["cost"] < high
    plain, _, _ = learned(data, tmp_path / "plain", positive="bad")
    missed = Loans().evaluate(plain, data["test"]).confusion
    assert missed is not None
    (_, at_half), (alarms, _) = missed
    assert found.metrics["cost"] < (5 * at_half + alarms) / 1000

    numbers, labels = files.read_labelled_csv(data["test"], features=2, labels=2)
    answers = Loans().predict_fn(numbers, model)
    named = [name for name, _ in answers.best()]
    probabilities = answers.values[:, 0].astype(np.float64)
    assert named == ["bad" if p >= decision["threshold"] else "good" for p in probabilities]
    assert any(name == "bad" and p < 0.5 for name, p in zip(named, probabilities))
    rows = json.loads(Loans().output_fn(answers[:50], codecs.JSON))["predictions"]
    assert [row["label"] for row in rows] == named[:50]
    assert [row["probability"] for row in rows] == [
        row["probabilities"][row["label"]] for row in rows
    ]
    right = np.mean([name == NAMES[label] for name, label in zip(named, labels)])
    assert found.metrics["accuracy"] == pytest.approx(right)


def test_a_wanted_recall_is_reached_on_the_validation_examples(
    data: dict[str, Path], tmp_path: Path
) -> None:
    model, _, _ = learned(data, tmp_path, min_recall=0.9)
    assert Loans().evaluate(model, data["validation"]).classes[0].recall >= 0.9
    unseen = Loans().evaluate(model, data["test"]).classes[0].recall
    assert unseen == pytest.approx(0.9, abs=0.07)


def test_balanced_weights_are_those_of_as_many_copies(
    data: dict[str, Path], tmp_path: Path
) -> None:
    model, _, said = learned(data, tmp_path, class_weights="balanced")
    assert "weights of the classes in the loss: bad 2.52, good 0.624" in said
    plain, _, _ = learned(data, tmp_path / "plain")
    recalls = [Loans().evaluate(each, data["test"]).classes[0].recall for each in (model, plain)]
    assert recalls[0] > recalls[1] + 0.2
    loss = weighted(mx.gluon.loss.SoftmaxCrossEntropyLoss(), np.float32([2, 1]), [mx.cpu()])
    outputs, classes = mx.nd.array([[1.0, 0.0]] * 3), mx.nd.array([0, 1, 0])
    found = loss(outputs, classes).asnumpy()
    assert found[0] == found[2]
    assert found[0] / found[1] == pytest.approx(
        2 * np.log1p(np.exp(-1)) / np.log1p(np.exp(1)), rel=1e-4
    )


def test_what_has_no_meaning_is_refused_by_name(data: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(HyperparameterError, match="cost_fp and cost_fn: give both"):
        Options.parse({"cost_fp": 1})
    with pytest.raises(HyperparameterError, match="threshold=f1, min_recall: each chooses"):
        Options.parse({"min_recall": 0.5, "threshold": "f1"})
    with pytest.raises(DataError, match=r"no class is called 'Bad'.*expected 'bad' or 'good'"):
        learned(data, tmp_path, positive="Bad")
    three = Loans()
    three.classes = ("bad", "fair", "good")
    path = loans(tmp_path, 200, 0, "three.csv", 3)
    with pytest.raises(DataError, match="min_recall: only of two classes"):
        train(three, {"train": path}, Options(min_recall=0.9), tmp_path / "three")
    good = path.with_name("good.csv")
    good.write_text("1,0.5,0.5\n1,0.2,0.1\n")
    with pytest.raises(DataError, match="none of the 2 validation examples is 'bad'"):
        learned({**data, "validation": good}, tmp_path / "good", positive="bad", threshold="f1")


@pytest.mark.parametrize(
    ("wrong", "fault"),
    [
        ({"positive": "nobody"}, "the name of one of them as positive"),
        ({"threshold": "0.5"}, "expected numbers for threshold"),
        ({"costs": [1]}, "two for costs"),
        ({"chosen": None}, "expected an object"),
    ],
)
def test_an_artifact_whose_decision_is_none_is_refused(
    wrong: dict[str, Any], fault: str, data: dict[str, Path], tmp_path: Path
) -> None:
    learned(data, tmp_path, threshold="f1", epochs=1)
    document = json.loads((tmp_path / "m" / "algorithm.json").read_text())
    document["encoding"]["decision"].update(wrong)
    (tmp_path / "m" / "algorithm.json").write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match=fault):
        Loans().model_fn(tmp_path / "m")
