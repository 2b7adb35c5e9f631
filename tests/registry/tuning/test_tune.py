from __future__ import annotations

import json
import math
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Sequence

import pytest
from algoshelf.algorithms.kmeans import KMeans
from algoshelf.core import InputError, Objective, Range
from algoshelf.registry.tuning.study import Outcome, Store, Trials
from algoshelf.registry.tuning.trial import GO_ON, PRUNE, TrialProcess
from algoshelf.registry.tuning.verdict import compare

from tests.conftest import ROOT, Algoshelf

ACCURACY = Objective("validation:accuracy", maximize=True)
RANGES = [
    Range("rate", "float", 1e-4, 1.0, log=True),
    Range("size", "int", 1, 8),
    Range("kind", "choice", choices=("a", "b", True)),
]


@pytest.fixture
def store(tmp_path: Path) -> Any:
    opened = Store(tmp_path / "tune.db")
    yield opened
    opened.close()


def trials(store: Store, name: str = "trials", **settings: Any) -> Trials:
    return Trials(store, name, ACCURACY, {"data": "d"}, RANGES, seed=3, **settings)


def worth(params: Any) -> float:
    """What would be learned with ``params``."""
    return -abs(math.log10(params["rate"]) + 2) + params["size"] / 8


def work(these: Trials, most: int) -> None:
    while True:
        claim = these.claim(most)
        if claim is None:
            return
        these.finish(claim.number, worth(claim.params), 0.1)


def done(these: Trials) -> list[dict[str, Any]]:
    return [dict(o.params) for o in these.outcomes() if o.state == "complete"]


def test_interrupted_trials_are_tried_anew_and_change_nothing_else(store: Store) -> None:
    whole = trials(store, "whole")
    work(whole, 9)
    broken = trials(store, "broken")
    work(broken, 5)
    claim = broken.claim(9)
    assert claim is not None
    broken.interrupt(claim.number)
    work(trials(store, "broken"), 9)
    assert done(broken) == done(whole)
    assert [o.number for o in broken.outcomes() if o.state == "interrupted"] == [claim.number]


def test_the_defaults_are_first_and_what_lies_outside_of_its_range_is_left_out(
    store: Store,
) -> None:
    these = trials(store)
    for _ in range(2):
        these.ask_for({"size": 4, "kind": "b"}, default=True)
    first, second = these.claim(9), these.claim(9)
    assert first is not None
    assert second is not None
    assert (first.params, first.default) == ({"size": 4, "kind": "b"}, True)
    assert (set(second.params), second.default) == ({"rate", "size", "kind"}, False)


OTHER = """
import sys
import threading
from pathlib import Path
from tests.registry.tuning.test_tune import Store, trials
these = trials(Store(Path(sys.argv[1])))
print(*[these.claim(5).number for _ in range(3)], flush=True)
sys.stdin.read()
"""


def test_processes_claim_no_more_together_than_asked_for_and_the_dead_let_go(store: Store) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", OTHER, str(store.path)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline().split() == ["0", "1", "2"]
    these = trials(store)
    claims = [these.claim(5) for _ in range(3)]
    assert [claim and claim.number for claim in claims] == [3, 4, None]
    other.kill()
    other.communicate()
    claims = [these.claim(5) for _ in range(4)]
    dead = these.outcomes()[:3]
    assert {outcome.state for outcome in dead} == {"interrupted"}
    assert [claim and claim.params for claim in claims] == [*(o.params for o in dead), None]


def test_a_trial_below_the_median_of_the_others_is_pruned(store: Store) -> None:
    these = trials(store, epochs=6)
    for _ in range(5):
        claim = these.claim(99)
        assert claim is not None
        assert not any(these.is_hopeless(claim.number, epoch, 0.8) for epoch in range(1, 7))
        these.finish(claim.number, 0.8, 0.1)
    claim = these.claim(99)
    assert claim is not None
    judged = [these.is_hopeless(claim.number, epoch, 0.5) for epoch in (1, 2, 3)]
    assert judged == [False, True, True]
    assert not these.is_hopeless(claim.number, 6, 0.5)


def test_equals_are_decided_for_the_defaults(store: Store) -> None:
    these = trials(store)
    for default in (False, True):
        these.ask_for({"rate": 0.1, "size": 1 + default, "kind": "a"}, default=default)
        claim = these.claim(9)
        assert claim is not None
        these.finish(claim.number, 0.9, 0.1)
    best = these.best()
    assert best is not None
    assert best.default


def test_another_tuning_in_the_storage_is_refused_with_each_difference(store: Store) -> None:
    trials(store)
    with pytest.raises(InputError, match="tuned with data d, now e: give another --storage"):
        Trials(store, "trials", ACCURACY, {"data": "e"}, RANGES)
    with pytest.raises(InputError, match="tuned with test not given, now t"):
        Trials(store, "trials", ACCURACY, {"data": "d", "test": "t"}, RANGES)
    with pytest.raises(InputError, match="tuned with data d, now not given"):
        Trials(store, "trials", ACCURACY, {}, RANGES)


def few(store: Store, name: str = "few") -> Trials:
    ranges = [Range("size", "int", 1, 3), Range("kind", "choice", choices=("a", "b"))]
    return Trials(store, name, ACCURACY, {}, ranges, seed=3)


@pytest.mark.parametrize("interrupted", range(6))
def test_each_of_few_values_is_tried_once_whoever_dies_over_it(
    store: Store, interrupted: int
) -> None:
    whole, broken = few(store, "whole"), few(store, "broken")
    for these in (whole, broken):
        while (claim := these.claim(99)) is not None:
            if these is broken and claim.number == interrupted:
                these.interrupt(claim.number)
            else:
                these.finish(claim.number, claim.params["size"], 0.1)
        assert these.is_exhausted
    assert done(broken) == done(whole)
    assert len({tuple(params.items()) for params in done(whole)}) == len(done(whole)) == 6


def test_a_draw_that_is_cut_off_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    these = few(store)
    work_of = these.study.enqueue_trial

    def cut_off(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(these.study, "enqueue_trial", cut_off)
    with pytest.raises(KeyboardInterrupt):
        these.claim(9)
    assert these.outcomes() == []
    monkeypatch.setattr(these.study, "enqueue_trial", work_of)
    first, second = these.claim(9), few(store, "undisturbed").claim(9)
    assert first == second


def outcome(number: int, value: float, *, default: bool = False) -> Outcome:
    return Outcome(number, "complete", {}, default, value, {}, "", 1.0)


def by_seed(values: Sequence[float]) -> dict[int, Outcome]:
    return {seed: outcome(seed, value) for seed, value in enumerate(values)}


@pytest.mark.parametrize(
    ("of_default", "of_best", "maximize", "finding", "keeps_default"),
    [
        ([0.80, 0.81, 0.79], [0.85, 0.86, 0.845], True, "better", False),
        ([0.80, 0.81, 0.79], [0.75, 0.76, 0.74], True, "worse", True),
        ([0.80, 0.81, 0.79], [0.75, 0.76, 0.74], False, "better", False),
        ([0.80, 0.81, 0.79], [0.82, 0.78, 0.83], True, "as good", False),
        ([0.80, 0.81, 0.79], [0.82, 0.70, 0.78], True, "as good", True),
        ([0.80], [0.9], True, "unknown", False),
        ([], [], True, "unknown", False),
    ],
)
def test_the_best_is_told_from_luck_by_other_seeds(
    of_default: list[float],
    of_best: list[float],
    maximize: bool,
    finding: str,
    keeps_default: bool,
) -> None:
    verdict = compare(
        Objective("m", maximize=maximize),
        outcome(4, 0.9),
        outcome(0, 0.8, default=True),
        by_seed(of_default),
        by_seed(of_best),
    )
    assert (verdict.finding, verdict.keeps_default) == (finding, keeps_default)


def test_what_fails_with_another_seed_is_worse_than_the_defaults() -> None:
    best = {**by_seed([0.9, 0.9]), 2: Outcome(2, "failed", {}, False, None, {}, "diverged", 1.0)}
    default = outcome(0, 0.8, default=True)
    verdict = compare(ACCURACY, outcome(4, 0.9), default, by_seed([0.8, 0.8, 0.8]), best)
    assert (verdict.finding, verdict.keeps_default) == ("worse", True)
    assert "failed with 1 of 3 other seeds (diverged)" in verdict.sentence


def test_the_interval_is_students(store: Store) -> None:
    of_best, of_default = by_seed((0.01, 0.02, 0.03, 0.04)), by_seed((0.0,) * 4)
    verdict = compare(ACCURACY, outcome(1, 1), outcome(0, 0, default=True), of_default, of_best)
    assert verdict.interval == pytest.approx((0.00446, 0.04554), abs=1e-5)


def test_a_training_is_pruned_between_two_epochs_and_leaves_no_model(tmp_path: Path) -> None:
    sample = ROOT / "algorithms" / "text_classification" / "sample"
    events: queue.Queue[tuple[Any, dict[str, Any]]] = queue.Queue()
    order = {
        "algorithm": "text-classification",
        "channels": {"train": str(sample / "train.tsv.gz")},
        "hyperparameters": {"network": "ngram", "epochs": 3},
        "seed": 1,
        "output": str(tmp_path / "m"),
        "reading": {},
    }
    process = TrialProcess("key", order, events)
    said = []
    for answer in (GO_ON, PRUNE):
        said.append(events.get(timeout=120))
        process.answer(answer)
    said.append(events.get(timeout=120))
    process.end()
    assert [(key, event.get("epoch")) for key, event in said[:2]] == [("key", 1), ("key", 2)]
    assert said[2] == ("key", {"pruned": True})
    assert list(tmp_path.iterdir()) == []


def test_what_a_training_leaves_behind_does_not_hold_the_tuning_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the workers of a DataLoader, which hold the pipe that is read to its end."""
    child = "import subprocess, time; subprocess.Popen(['sleep', '600']); print('{}', flush=True)"
    monkeypatch.setattr("algoshelf.registry.tuning.trial.START", child)
    events: queue.Queue[tuple[Any, dict[str, Any]]] = queue.Queue()
    process = TrialProcess("key", {"output": str(tmp_path / "m")}, events)
    assert events.get(timeout=60) == ("key", {})
    ended = threading.Thread(target=process.end)
    ended.start()
    ended.join(60)
    assert not ended.is_alive()


TUNE = ("tune", "kmeans", "--vary", "k=2..9", "--trials", 5, "--storage", "s.db", "--output", "o")


def finished(process: subprocess.Popen[str], count: int) -> set[str]:
    """The lines of ``count`` finished trials of ``process``."""
    assert process.stderr is not None
    found: set[str] = set()
    for line in process.stderr:
        if line.startswith("trial ") and "best" in line:
            found.add(line.split()[1].rstrip(":"))
        if len(found) == count:
            break
    return found


@pytest.mark.apart
def test_a_tuning_that_is_killed_and_shared_goes_on(algoshelf: Algoshelf) -> None:
    one = algoshelf.start(*TUNE, "--repeats", 0)
    before = finished(one, 1)
    other = algoshelf.start(*TUNE, "--repeats", 0)
    before |= finished(other, 1)
    other.send_signal(signal.SIGINT)
    one.kill()
    for process in (one, other):
        process.communicate(timeout=120)
    assert (one.returncode, other.returncode) == (-signal.SIGKILL, 130)
    assert (algoshelf.folder / "o" / "algorithm.json").exists()

    result = algoshelf(*TUNE, "--repeats", 2, "--parallel", 2, "--json")
    assert result.code == 0, result.stderr
    tried = result.json["trials"]
    states = [trial["state"] for trial in tried]
    assert states.count("complete") == 5
    assert set(states) <= {"complete", "interrupted"}
    for number in before:
        assert tried[int(number)]["state"] == "complete"
        assert f"trial {number}:" not in result.stderr
    for trial in tried:
        if trial["state"] == "interrupted":
            assert any(
                later["params"] == trial["params"] and later["state"] == "complete"
                for later in tried[trial["number"] + 1 :]
            )
    best, default = result.json["best"], result.json["default"]
    assert default["hyperparameters"]["k"] == 3
    assert best["value"] == min(trial["value"] for trial in tried if trial["value"] is not None)
    assert best["hyperparameters"]["k"] > 3
    assert sorted(result.json["repeats"]["best"]) == ["2", "3"]

    saved = json.loads((algoshelf.folder / "o" / "algorithm.json").read_text())
    assert saved["hyperparameters"] == result.json["chosen"]["hyperparameters"]
    assert algoshelf("predict", "o").code == 0
    page = (algoshelf.folder / "o-report" / "report.html").read_text()
    assert result.json["verdict"]["sentence"].split(":")[0] in page
    for told in ("Trials in their order", "With seeds that no trial had", "<h3>k</h3>"):
        assert told in page
    assert str(algoshelf.folder) not in page
    kept = {path.name for path in (algoshelf.folder / "s.db.models").iterdir()}
    assert kept == {str(best["trial"]), str(default["trial"])}


@pytest.mark.apart
def test_a_model_of_which_a_killed_process_has_told_nobody_is_not_kept(
    algoshelf: Algoshelf,
) -> None:
    few = (*TUNE, "--repeats", 0, "--json")
    assert algoshelf(*few, "--trials", 2).code == 0
    left = Store(algoshelf.folder / "s.db")
    (definition,) = (
        each.user_attrs["definition"]
        for each in left.storage.get_all_studies()
        if each.study_name == "trials"
    )
    k = [Range("k", "int", 2, 9)]
    claim = Trials(left, "trials", KMeans.objective, definition, k, seed=1).claim(5)
    assert claim is not None
    models = algoshelf.folder / "s.db.models"
    shutil.copytree(algoshelf.folder / "o", models / str(claim.number))
    left.close()
    result = algoshelf(*few)
    assert result.code == 0, result.stderr
    assert result.json["trials"][claim.number]["state"] == "interrupted"
    kept = {result.json[name]["trial"] for name in ("best", "default")}
    assert {path.name for path in models.iterdir()} == set(map(str, kept))


def test_what_is_left_of_the_ranges_is_tried_and_the_best_again(algoshelf: Algoshelf) -> None:
    """The defaults, k = 3, lie outside of the choices."""
    few = ("--vary", "k=4,5,8", "--trials", 9, "--repeats", 2, "--output", "o", "--json")
    result = algoshelf("tune", "kmeans", "--restarts", 1, *few)
    assert result.code == 0, result.stderr
    tried = [trial["params"]["k"] for trial in result.json["trials"] if not trial["default"]]
    assert sorted(tried) == [4, 5, 8]
    assert "nothing is left to try" in result.stderr
    best, repeats = result.json["best"], result.json["repeats"]["best"]
    assert best["hyperparameters"]["k"] == 8
    for again in repeats.values():
        assert again["value"] == pytest.approx(best["value"], rel=0.1)  # of k = 5 it is twice that


def test_data_that_is_mended_is_not_refused_for_what_it_was(algoshelf: Algoshelf) -> None:
    rows = algoshelf.folder / "rows.csv"
    rows.write_text("1,2\n3,x\n5,6\n7,8\n")
    tune = ("tune", "kmeans", "--train", rows, "--restarts", 1, "--repeats", 0, "--output", "o")
    spoilt = algoshelf(*tune, "--trials", 2, "--vary", "k=1,2")
    assert spoilt.code == 2
    assert "line 2, column 2: 'x' is not a number" in spoilt.stderr
    assert [path.name for path in algoshelf.folder.iterdir()] == ["rows.csv"]
    rows.write_text("1,2\n3,4\n5,6\n7,8\n")
    mended = algoshelf(*tune, "--trials", 1, "--vary", "k=1,2")
    assert mended.code == 0, mended.stderr
    assert "Too few trials were completed" in mended.text
    assert "flatters" not in (algoshelf.folder / "o-report" / "report.md").read_text()
    other = algoshelf(*tune, "--trials", 2, "--vary", "k=2,4")
    assert other.code == 2
    assert "tuned with range of k 1, 2, now 2, 4: give another --storage" in other.stderr


@pytest.mark.parametrize(
    ("name", "fault"),
    [("o", "contains other files than a model (notes.txt)"), ("o-report", "cannot be written")],
)
def test_where_nothing_can_be_written_nothing_is_trained(
    algoshelf: Algoshelf, name: str, fault: str
) -> None:
    if name == "o":
        (algoshelf.folder / "o").mkdir()
        (algoshelf.folder / "o" / "notes.txt").write_text("mine")
    else:
        (algoshelf.folder / "o-report").write_text("mine")
    result = algoshelf(*TUNE)
    assert result.code != 0
    assert fault in result.stderr
    assert "trial 0" not in result.stderr
    assert not (algoshelf.folder / "s.db").exists()


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--trials", "0"], "--trials: expected a whole number from 1 to 10000, got '0'"),
        (["--trails", "3"], "--trails: no such option (did you mean '--trials'?)"),
        (["--max-runtime", "soon"], "--max-runtime: expected a time"),
        (["--vary", "k=0..3"], "k: expected a whole number from 1"),
        (["--vary", "k=3..1"], "k: expected choices, or two bounds, got 3 to 1"),
        (["--vary", "k=1..x"], "--vary k=1..x: expected k=LOW..HIGH"),
        (["--vary", "k"], "--vary k: no default range"),
        (["--vary", "k=2,many"], "--k: expected a whole number"),
        (["--vary", "kk=1..3"], "kk: no such hyperparameter"),
        (["--vary", "k=1,2", "--vary", "k=3,4"], "--vary k: given twice"),
        (["--vary", "init", "--init", "random"], "--vary init: --init also fixes its value"),
        (
            ["--init", "random", "--restarts", "1", "--tolerance", "0"],
            "nothing is left to tune",
        ),
        (
            ["--storage", "models/kmeans-tuned/s.db"],
            "--storage: must not be inside the model folder",
        ),
        (["--train", "absent.csv"], "absent.csv: no such file"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_trained(
    algoshelf: Algoshelf, arguments: list[str], fault: str
) -> None:
    result = algoshelf("tune", "kmeans", *arguments)
    assert result.code == 2
    assert fault in result.stderr
    assert list(algoshelf.folder.iterdir()) == []


def test_a_storage_that_is_no_database_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_text("my notes " * 1000)
    with pytest.raises(InputError, match="not a storage of a tuning"):
        Store(path)
    assert path.read_text() == "my notes " * 1000
