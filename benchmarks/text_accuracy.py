"""text-classification on SST-2 and MR: python text_accuracy.py CASE [--data FOLDER] [--glove FILE].

CASE is one of sst2-textcnn, sst2-textcnn-glove, sst2-ngram, sst2-bilstm-glove, mr-textcnn,
sst2-bert, sst2-bert-frozen, mr-bert, or all. On SST-2 it trains with seeds 1 to 5 (bert: 1 to 3)
through the command line, validates on dev, and evaluates on the 1,821 official test sentences. On
MR it trains on nine tenths, and tests on the tenth, ten times (bert: the first three of the ten).
Accuracy, time and commands are kept under results/ after each run, and --resume goes on behind
them. Some minutes a case on two cores; bert takes about ten minutes of a processor a run.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any, Iterator, Sequence

import numpy as np
from command import algoshelf, processor_seconds
from environment import environment, results_file

SEEDS = (1, 2, 3, 4, 5)
FOLDS = 10
OF_BERT = 3  # of the seeds and folds: each takes minutes
MINILM = ("--weights", "all-minilm-l6-v2", "--network", "bert")
DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CASES = {
    "sst2-textcnn": ("--network", "textcnn"),
    "sst2-textcnn-glove": ("--network", "textcnn", "--embedding", "GLOVE"),
    "sst2-ngram": ("--network", "ngram"),
    "sst2-bilstm-glove": ("--network", "bilstm", "--embedding", "GLOVE"),
    "mr-textcnn": ("--network", "textcnn"),
    "sst2-bert": MINILM,
    "sst2-bert-frozen": (*MINILM, "--frozen", "true"),
    "mr-bert": MINILM,
}


def main(case: str, data: Path, glove: Path, resume: bool) -> None:
    options = [str(glove) if word == "GLOVE" else word for word in CASES[case]]
    path = results_file(f"text_accuracy-{case}")
    kept = json.loads(path.read_text()) if resume and path.exists() else {"runs": []}
    runs = [{**run, "hyperparameters": kept["hyperparameters"]} for run in kept["runs"]]
    done = {run["seed"] for run in runs}
    with tempfile.TemporaryDirectory() as scratch:
        parts = sst2(data) if case.startswith("sst2") else mr(data, Path(scratch))
        for seed, channels, test in itertools.islice(parts, OF_BERT if "bert" in case else None):
            if seed in done:
                continue
            words = [*channels, *options, "--seed", seed]
            runs.append(one_run(words, Path(scratch, f"model{seed}"), test))
            print(json.dumps(runs[-1]), file=sys.stderr)
            path.write_text(json.dumps(document(case, runs), indent=2) + "\n")
    print(f"{path}: {document(case, runs)['mean_test_accuracy']}")


def one_run(words: Sequence[object], model: Path, test: Path) -> dict[str, Any]:
    """What came of a training with these ``words``, measured on ``test``."""
    start, processor = time.monotonic(), processor_seconds()
    trained = algoshelf("train", "text-classification", *words, "--output", model)
    seconds, processor = time.monotonic() - start, processor_seconds() - processor
    evaluated = algoshelf("evaluate", model, "--test", test)
    return {
        "seed": trained["seed"],
        "test_accuracy": evaluated["metrics"]["accuracy"],
        "validation_accuracy": trained["metrics"]["validation:accuracy"],
        "train_seconds": round(seconds, 1),
        "processor_seconds": round(processor, 1),
        "hyperparameters": {
            name: "GLOVE" if name == "embedding" and value else value
            for name, value in trained["hyperparameters"].items()
        },
    }


def document(case: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What is kept of the ``runs``, so many as there are by now."""
    return {
        "what": "algoshelf train text-classification " + " ".join(CASES[case]) + " --seed S",
        "data": "SST-2: 6,920 sentences to train on, 872 to validate, 1,821 to test"
        if case.startswith("sst2")
        else "MR: 10,662 sentences; of nine tenths a tenth is held out, the last tenth is tested; "
        "the seed is the number of the fold",
        "mean_test_accuracy": round(mean(run["test_accuracy"] for run in runs), 4),
        "hyperparameters": runs[-1]["hyperparameters"],
        "environment": environment(),
        "runs": [
            {name: value for name, value in run.items() if name != "hyperparameters"}
            for run in runs
        ],
    }


def sst2(data: Path) -> Iterator[tuple[int, list[object], Path]]:
    """The seed, the channels to train with, and the test file of each run."""
    folder = data / "sst2"
    channels = ["--train", folder / "train.tsv", "--validation", folder / "dev.tsv"]
    for seed in SEEDS:
        yield seed, channels, folder / "test.tsv"


def mr(data: Path, scratch: Path) -> Iterator[tuple[int, list[object], Path]]:
    """The same for each of ten parts of MR, which one fixed draw divides."""
    rows = [
        f"{line.strip()}\t{label}\n"
        for label in ("neg", "pos")
        for line in (data / "rt-polarity" / f"rt-polarity.{label}").read_text("utf-8").split("\n")
        if line.strip()
    ]
    order = np.random.default_rng(0).permutation(len(rows))
    for fold in range(FOLDS):
        train, test = scratch / f"train{fold}.tsv", scratch / f"test{fold}.tsv"
        train.write_text("".join(rows[i] for i in np.delete(order, np.s_[fold::FOLDS])))
        test.write_text("".join(rows[i] for i in order[fold::FOLDS]))
        yield fold + 1, ["--train", train], test


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=[*CASES, "all"])
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--glove", type=Path, default=Path("glove.6B.50d.txt"))
    parser.add_argument(
        "--resume", action="store_true", help="keep the runs that the results have already"
    )
    given = parser.parse_args()
    for name in CASES if given.case == "all" else [given.case]:
        main(name, given.data, given.glove, given.resume)
