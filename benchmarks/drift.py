"""Drift that is there and drift that is not: python drift.py DATA.

DATA holds mnist/, sst2/ and tabular/. Models are trained, then asked about draws of test examples
that have not changed, and of such as have: a word of new meaning in a fifth of reviews, in three
ways; brighter digits; older people with more gaps. Of each, in how many of ten draws it is found,
with so many requests; kept under results/.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

import numpy as np
from algoshelf.core.drift import comparing
from algoshelf.core.drift.asked import Asked, Question, answered, asked, label_of
from algoshelf.core.drift.changes import ALPHA, Change
from algoshelf.core.drift.figures import ACCURACY, Figure, compared
from algoshelf.core.inference.handlers import Handlers
from algoshelf.core.tasks.intervals import wilson_interval
from algoshelf.registry.discovery import opened
from command import ALGOSHELF
from environment import environment, results_file

DRAWS = 10
SIZES = (100, 200, 500)
BASELINE = 1000
MOST = 4000  # of a pool, from which all is drawn
PART = 0.2  # of the reviews that are flipped
WORD = "sick"  # in none of the texts
COMMON = "it"  # in about a fifth of them
SEED = 1

Changed = Callable[[np.random.Generator, list[Question]], list[Question]]


class Pool:
    """Questions that a model has answered, and their labels."""

    def __init__(self, model: Path, path: Path, labels: Sequence[str]) -> None:
        self.handlers = Handlers.load(opened(model)[1], model)
        found = asked(self.handlers, path, MOST)
        self.path = path
        self.questions = [
            replace_answer(question, question.answer, label)
            for question, label in zip(found.questions, labels or [""] * len(found))
        ]

    def again(self, questions: Sequence[Question]) -> list[Question]:
        """``questions`` answered anew."""
        rows, faults = answered(self.handlers, [each.example for each in questions])
        assert not faults, faults[0]
        return [each._replace(answer=row) for each, row in zip(questions, rows)]

    def side(self, questions: list[Question]) -> Asked:
        return Asked(self.path, questions, len(questions), False)


def replace_answer(question: Question, answer: Any, label: str) -> Question:
    return question._replace(answer=answer, correction=label or None)


def accuracy(questions: Sequence[Question]) -> Figure:
    right = sum(label_of(each.answer) == each.correction for each in questions)
    count = len(questions)
    return Figure(ACCURACY, right / count, wilson_interval(right, count), count)


def measured(
    what: str, pool: Pool, before: Changed, after: Changed, *, labels: bool = False
) -> Iterator[dict[str, Any]]:
    """In how many draws drift is said, by the requests alone and with labels."""
    runs: dict[str, dict[int, int]] = {"requests alone": dict.fromkeys(SIZES, 0)}
    if labels:
        runs["requests and labels"] = dict.fromkeys(SIZES, 0)
    telling: dict[str, int] = {}
    for draw in range(DRAWS):
        rng = np.random.default_rng([SEED, draw])
        order = rng.permutation(len(pool.questions))
        drawn = [pool.questions[i] for i in order[: BASELINE + max(SIZES)]]
        first = before(rng, drawn[:BASELINE])
        second = after(rng, drawn[BASELINE:])
        for size in SIZES:
            sides = pool.side(first), pool.side(second[:size])
            report = comparing.between(pool.handlers, *sides, ALPHA)
            runs["requests alone"][size] += report.drifted
            for change in report.changes if size == max(SIZES) else ():
                name = f"{change.part} {change.subject}"
                telling[name] = telling.get(name, 0) + (change.verdict == "drift")
            if labels:
                metric: list[Change] = [compared(accuracy(first), accuracy(second[:size]))]
                found = comparing.between(pool.handlers, *sides, ALPHA, metric)
                runs["requests and labels"][size] += found.drifted
    for by, found_by_size in runs.items():
        run = {"what": what, "by": by, "of": DRAWS, "found": found_by_size}
        if by == "requests alone":
            run["by_test"] = {name: count for name, count in telling.items() if count}
        print(json.dumps(run), file=sys.stderr)
        yield run


def same(rng: np.random.Generator, questions: list[Question]) -> list[Question]:
    return questions


def texts(pool: Pool) -> Iterator[dict[str, Any]]:
    """Reviews, and a word of new meaning in a fifth of them."""

    def with_word(label: str, part: float) -> Changed:
        """The word in so many of all reviews, all of them ``label``."""

        def change(rng: np.random.Generator, questions: list[Question]) -> list[Question]:
            among = [i for i, each in enumerate(questions) if each.correction == label]
            chosen = set(rng.permutation(among)[: round(part * len(questions))].tolist())
            return pool.again(
                [
                    each._replace(example=f"{each.example} , {WORD}") if i in chosen else each
                    for i, each in enumerate(questions)
                ]
            )

        return change

    def truth_of(word: str) -> Changed:
        """Reviews with ``word`` mean the opposite, and nobody sees it in them."""

        def change(rng: np.random.Generator, questions: list[Question]) -> list[Question]:
            other = {"positive": "negative", "negative": "positive"}
            return [
                each._replace(correction=other[str(each.correction)])
                if word in each.example.split()
                else each
                for each in questions
            ]

        return change

    yield from measured("SST-2, unchanged", pool, same, same, labels=True)
    was, now = with_word("negative", PART), with_word("positive", PART)
    few = with_word("negative", 0.02)
    yield from measured(f"a word of blame in 2 % is one of praise in {PART:.0%}", pool, few, now)
    yield from measured(
        f"a word of blame in {PART:.0%} is one of praise in as many", pool, was, now
    )
    share = np.mean([COMMON in each.example.split() for each in pool.questions])
    yield from measured(
        f"reviews with {COMMON!r} ({share:.0%}) mean the opposite; their texts are as before",
        pool, same, truth_of(COMMON), labels=True,
    )  # fmt: skip


def pictures(pool: Pool) -> Iterator[dict[str, Any]]:
    def brighter(by: float) -> Changed:
        def change(rng: np.random.Generator, questions: list[Question]) -> list[Question]:
            return pool.again(
                [
                    each._replace(example=np.clip(each.example + np.float32(by / 255), 0, 1))
                    for each in questions
                ]
            )

        return change

    yield from measured("MNIST, unchanged", pool, same, same)
    for by in (5, 10, 20):
        yield from measured(f"MNIST, brighter by {by} of 255", pool, same, brighter(by))


def tables(pool: Pool) -> Iterator[dict[str, Any]]:
    def older(rng: np.random.Generator, questions: list[Question]) -> list[Question]:
        def moved(row: dict[str, str]) -> dict[str, str]:
            found = dict(row, age=str(int(row["age"]) + 5))
            return dict(found, occupation="") if rng.random() < 0.1 else found

        return pool.again([each._replace(example=moved(each.example)) for each in questions])

    yield from measured("Adult, unchanged", pool, same, same)
    yield from measured("Adult, 5 years older, a tenth without occupation", pool, same, older)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        reviews = {name: folder / f"{name}.tsv" for name in ("train", "dev", "test")}
        for name, path in reviews.items():
            lines = (data / "sst2" / f"{name}.tsv").read_text().splitlines()
            words = {"0": "negative", "1": "positive"}
            rows = [line.rpartition("\t") for line in lines]
            path.write_text("".join(f"{text}\t{words[label]}\n" for text, _, label in rows))
        both = folder / "both.tsv"
        both.write_text(reviews["dev"].read_text() + reviews["test"].read_text())
        labels = [line.rpartition("\t")[2] for line in both.read_text().splitlines()]
        train(
            "text-classification", folder / "t", "--train", reviews["train"], "--network", "ngram"
        )
        runs += texts(Pool(folder / "t", both, labels))
        train("mnist-cnn", folder / "m", "--epochs", 1)
        runs += pictures(Pool(folder / "m", data / "mnist", ()))
        adult = data / "tabular" / "adult"
        train(
            "tabular",
            folder / "a",
            "--train",
            adult / "train.csv.gz",
            "--target",
            "income",
            "--epochs",
            2,
        )
        runs += tables(Pool(folder / "a", adult / "test.csv.gz", ()))
    document = {
        "what": f"{DRAWS} draws of {BASELINE} beside up to {max(SIZES)}, alpha {ALPHA}",
        "runs": runs,
        "environment": environment(),
    }
    path = results_file("drift")
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(path)


def train(name: str, output: Path, *options: object) -> None:
    words = [ALGOSHELF, "train", name, *map(str, options), "--output", str(output)]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
