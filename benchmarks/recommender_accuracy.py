"""recommender on MovieLens-100k: python recommender_accuracy.py CASE --movielens FOLDER.

CASE is ratings (RMSE on the official split u1) or choices (the last item of each user, by time,
among 99 that it never rated: the protocol of X. He et al., "Neural collaborative filtering", WWW
2017). Our networks are trained with seeds 1 to 5 through the command line, each on the same
channels; by a part of train that is held out the epoch is chosen, and the test is asked once, of
the model that is kept. What needs no network (biases; popularity, the neighbours of items) stands
beside them, as `evaluate` measures it. FOLDER holds u.data, u1.base, u1.test, u.user and items.tsv.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any, Sequence

from command import algoshelf
from environment import environment, results_file

SEEDS = (1, 2, 3, 4, 5)
CASES = {
    "ratings": {
        "history": "--network history --history 50 --factors 32 --spread 0.1 "
        "--weight-decay 0.0005 --learning-rate 0.01 --batch-size 2048 --epochs 6 --holdout 0.02",
        "mf": "--network mf --factors 50 --spread 0.1 --weight-decay 0.0002 "
        "--learning-rate 0.01 --batch-size 2048 --epochs 12 --holdout 0.02",
    },
    "choices": {
        "history": "--network history --history 50 --factors 64 --dropout 0.5 "
        "--learning-rate 0.003 --batch-size 512 --epochs 3 --spread 0.05 --weight-decay 0",
        "mf": "--network mf --factors 64 --negatives 4 --regularization 0.01 "
        "--learning-rate 0.005 --batch-size 2048 --epochs 5 --spread 0.05 --weight-decay 0",
    },
}
SHOWN = {"ratings": ("rmse", "mae"), "choices": ("hit_rate", "ndcg")}
DATA = {
    "ratings": "MovieLens-100k, u1: 80,000 ratings to learn from, 20,000 to test",
    "choices": "MovieLens-100k: the last item of each of 943 users among 99 never rated",
}
Lines = Sequence[str]


def main(case: str, folder: Path, jobs: int) -> None:
    networks: dict[str, Any] = {}
    baselines: dict[str, Any] = {}
    path = results_file(f"recommender_accuracy-{case}")
    with tempfile.TemporaryDirectory() as scratch:
        channels, test = laid(case, folder, Path(scratch))
        for name, options in CASES[case].items():
            words = (*options.split(), *(channels if name == "history" else channels[:4]))

            def measured(seed: int, name: str = name, words: Any = words) -> dict[str, Any]:
                found = _run(words, seed, Path(scratch, f"{name}{seed}"), test, SHOWN[case])
                print(name, json.dumps(found), file=sys.stderr)
                return found

            with ThreadPoolExecutor(jobs) as pool:
                runs = list(pool.map(measured, SEEDS))
            for run in runs:
                baselines = run.pop("baselines")
            means = {each: round(mean(run[each] for run in runs), 4) for each in SHOWN[case]}
            networks[name] = {
                "what": f"algoshelf train recommender {options} --seed S", "mean": means,
                "runs": runs,
            }  # fmt: skip
            document = {
                "what": case, "data": DATA[case], "networks": networks, "baselines": baselines,
                "environment": environment(),
            }  # fmt: skip
            path.write_text(json.dumps(document, indent=2) + "\n")
            print(f"{path}: {name}: {means}")


def _run(
    words: Sequence[object], seed: int, model: Path, test: Path, shown: Sequence[str]
) -> dict[str, Any]:
    start = time.monotonic()
    trained = algoshelf("train", "recommender", *words, "--seed", seed, "--output", model)
    seconds = time.monotonic() - start
    evaluated = algoshelf("evaluate", model, "--test", test)
    return {
        "seed": seed,
        **{name: evaluated["metrics"][name] for name in shown},
        "intervals": {name: evaluated["intervals"][name] for name in shown},
        "validation": {name: trained["metrics"][f"validation:{name}"] for name in shown},
        "train_seconds": round(seconds, 1),
        "baselines": {
            each["name"]: {name: each["metrics"][name] for name in shown}
            for each in evaluated["baselines"]
        },
    }


def laid(case: str, folder: Path, scratch: Path) -> tuple[list[object], Path]:
    """The channels as files with headings, and the test file."""
    if case == "ratings":
        train, test = (_lines(folder / f"u1.{part}") for part in ("base", "test"))
    else:
        train, test = last_of_each_user(_lines(folder / "u.data"))
    files = [_written(scratch / f"{name}.tsv", "user\titem\trating\ttime", rows)
             for name, rows in (("train", train), ("test", test))]  # fmt: skip
    channels: list[object] = ["--train", files[0]]
    if case == "choices":
        return [*channels, "--feedback", "implicit"], files[1]
    users = ["\t".join(line.split("|")[:4]) for line in _lines(folder / "u.user")]
    items = [_item(line) for line in _lines(folder / "items.tsv")[1:]]
    channels += ["--feedback", "explicit"]
    channels += ["--users", _written(scratch / "users.tsv", "user\tage\tsex\toccupation", users)]
    channels += ["--items", _written(scratch / "items.tsv", "item\tyear\tgenres", items)]
    return channels, files[1]


def last_of_each_user(rows: Lines) -> tuple[list[str], list[str]]:
    """All but the last of each user by time, of equal times the last in the file; and those."""
    last: dict[str, tuple[int, int]] = {}
    for place, row in enumerate(rows):
        user, _, _, when = row.split("\t")
        last[user] = max(last.get(user, (-1, -1)), (int(when), place))
    held = {place for _, place in last.values()}
    return (
        [row for place, row in enumerate(rows) if place not in held],
        [rows[place] for place in sorted(held)],
    )


def _item(line: str) -> str:
    """The number, the year where it is known, and the genres with | between them."""
    number, _, year, genres = line.split("\t")
    return f"{number}\t{year if year.strip().isdigit() else ''}\t{'|'.join(genres.split())}"


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


def _written(path: Path, heading: str, rows: Lines) -> Path:
    path.write_text("\n".join([heading, *rows]) + "\n", "utf-8")
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--movielens", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    given = parser.parse_args()
    main(given.case, given.movielens, given.jobs)
