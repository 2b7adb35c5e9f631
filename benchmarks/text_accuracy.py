"""text-classification on SST-2 and MR: python text_accuracy.py CASE [--data FOLDER] [--glove FILE].

CASE is one of sst2-textcnn, sst2-textcnn-glove, sst2-ngram, sst2-bilstm-glove, mr-textcnn,
sst2-bert, sst2-bert-frozen, mr-bert, or all. On SST-2 it trains with seeds 1 to 5 (bert: 1 to 3)
through the command line, validates on dev, and evaluates on the 1,821 official test sentences. On
MR it trains on nine tenths, and tests on the tenth, ten times (bert: the first three of the ten).
Accuracy, time and commands are kept under results/. Some minutes a case on two cores, bert half an
hour.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean
from typing import Any, Iterator

import numpy as np
from command import algoshelf
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


def main(case: str, data: Path, glove: Path) -> None:
    options = [str(glove) if word == "GLOVE" else word for word in CASES[case]]
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        parts = sst2(data) if case.startswith("sst2") else mr(data, Path(scratch))
        for seed, channels, test in itertools.islice(parts, OF_BERT if "bert" in case else None):
            model = Path(scratch, f"model{seed}")
            start, processor = time.monotonic(), processor_seconds()
            trained = algoshelf(
                "train",
                "text-classification",
                *channels,
                *options,
                "--seed",
                seed,
                "--output",
                model,
            )
            seconds, processor = time.monotonic() - start, processor_seconds() - processor
            evaluated = algoshelf("evaluate", model, "--test", test)
            runs.append(
                {
                    "seed": seed,
                    "test_accuracy": evaluated["metrics"]["accuracy"],
                    "validation_accuracy": trained["metrics"]["validation:accuracy"],
                    "train_seconds": round(seconds, 1),
                    "processor_seconds": round(processor, 1),
                }
            )
            print(json.dumps(runs[-1]), file=sys.stderr)
    accuracies = [run["test_accuracy"] for run in runs]
    document = {
        "what": "algoshelf train text-classification " + " ".join(CASES[case]) + " --seed S",
        "data": "SST-2: 6,920 sentences to train on, 872 to validate, 1,821 to test"
        if case.startswith("sst2")
        else "MR: 10,662 sentences; of nine tenths a tenth is held out, the last tenth is tested; "
        "the seed is the number of the fold",
        "mean_test_accuracy": round(mean(accuracies), 4),
        "hyperparameters": {
            name: "GLOVE" if name == "embedding" and value else value
            for name, value in trained["hyperparameters"].items()
        },
        "environment": environment(),
        "runs": runs,
    }
    path = results_file(f"text_accuracy-{case}")
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(f"{path}: {document['mean_test_accuracy']}")


def processor_seconds() -> float:
    """Those of all commands so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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
    given = parser.parse_args()
    for name in CASES if given.case == "all" else [given.case]:
        main(name, given.data, given.glove)
