"""Tune, kill it and go on: python tuning.py CASE [--data FOLDER] [--trials N].

CASE is sst2-ngram, or mnist-cnn with four epochs for every trial. Two processes tune in one
storage; when a quarter of the trials is finished one of them is killed (SIGKILL), when half is, the
other; a third goes on to the end. What was finished before each kill must be there unchanged, and
no trial may have run twice to its end. The result, and how the best and the defaults do on the test
channel, are kept under results/.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from command import ALGOSHELF, algoshelf
from environment import environment, results_file

DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
ROOT = Path(__file__).resolve().parents[1]


def main(case: str, data: Path, trials: int) -> None:
    sst2, sample = data / "sst2", ROOT / "algorithms" / "mnist_cnn" / "sample"
    command, test = {
        "sst2-ngram": (
            [
                *("text-classification", "--network", "ngram"),
                *("--train", sst2 / "train.tsv", "--validation", sst2 / "dev.tsv"),
                *("--test", sst2 / "test.tsv"),
            ],
            sst2 / "test.tsv",
        ),
        "mnist-cnn": (
            ["mnist-cnn", "--epochs", 4, "--train", sample, "--test", sample],
            sample,
        ),
    }[case]
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch, "tuned")
        storage = Path(f"{output}.db")
        words = ["tune", *command, "--trials", trials, "--output", output]
        start = time.monotonic()
        kills = killed(words, storage, [trials // 4, trials // 2])
        done = algoshelf(*words)
        seconds = time.monotonic() - start
        after = finished(storage)
        for kill in kills:
            assert kill.items() <= after.items(), "a finished trial changed"
        counts = done["counts"]
        ended = [trial for trial in done["trials"] if trial["state"] in ("complete", "pruned")]
        params = [json.dumps(trial["params"], sort_keys=True) for trial in ended]
        assert len(set(params)) == len(params), "a finished trial ran again"
        models = {"best": done["best"]["trial"], "default": done["default"]["trial"]}
        tested = {
            arm: algoshelf("evaluate", f"{storage}.models/{number}", "--test", test)["metrics"]
            for arm, number in models.items()
        }
        page = Path(f"{output}-report", "report.html").read_text()
    document: dict[str, Any] = {
        "what": f"algoshelf tune {' '.join(map(str, command))} --trials {trials}, in two processes "
        "of one storage, each killed, and a third that goes on",
        "seconds": round(seconds, 1),
        "finished_at_each_kill": [len(kill) for kill in kills],
        "interrupted_and_tried_anew": counts.get("interrupted", 0),
        "test": tested,
        **{key: value for key, value in done.items() if key not in ("model", "report", "storage")},
        "environment": environment(),
    }
    for text, suffix in ((page, ".html"), (json.dumps(document, indent=2) + "\n", ".json")):
        for folder, name in ((data.resolve(), "DATA"), (ROOT, "ALGOSHELF")):
            text = text.replace(str(folder), name)
        path = results_file(f"tuning-{case}", suffix)
        path.write_text(text)
    print(f"{path}: {done['verdict']['sentence']} {counts}, test {tested}")


def killed(words: list[Any], storage: Path, at: list[int]) -> list[dict[int, str]]:
    """What was finished when each of two processes was killed."""
    program = [ALGOSHELF, *map(str, words)]
    processes = [subprocess.Popen(program) for _ in at]
    kills = []
    try:
        for process, count in zip(processes, at):
            while len(finished(storage)) < count:
                if process.poll() is not None:
                    sys.exit("it ended before it could be killed")
                time.sleep(0.2)
            kills.append(finished(storage))
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return kills


def finished(storage: Path) -> dict[int, str]:
    """The number and the moment of each trial that came to its end, pruned or not."""
    query = (
        "SELECT number, datetime_complete FROM trials JOIN studies USING (study_id) "
        "WHERE state IN ('COMPLETE', 'PRUNED') AND study_name = 'trials'"
    )
    if not storage.exists():
        return {}
    try:
        with contextlib.closing(sqlite3.connect(storage, timeout=60)) as connection:
            return {number: str(moment) for number, moment in connection.execute(query)}
    except sqlite3.OperationalError:  # its tables are not made yet
        return {}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", choices=["sst2-ngram", "mnist-cnn"])
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--trials", type=int, default=20)
    given = parser.parse_args()
    main(given.case, given.data, given.trials)
