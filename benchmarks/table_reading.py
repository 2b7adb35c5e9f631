"""Seconds of a processor to read a table, beside pandas: python table_reading.py --pandas PYTHON.

100,000 rows of 40 columns and a target: 28 of numbers, two of them with gaps, 6 of whole numbers, 6
of words. Ours reads it, tells what each column holds, and gives the encoded rows that training
takes. pandas is asked for three things: ``read_csv`` alone; ``read_csv`` with numbers that are
exact to the bit, as ours are; and that with words as codes and numbers standardized, as ours does.
Each is a process of its own, run in turn, ROUNDS times; imports are not counted. PYTHON is the
interpreter of an environment that holds pandas.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROWS, ROUNDS = 100_000, 5
NUMBERS, WHOLE, WORDS = 28, 6, 6
EXACT = {"float_precision": "round_trip"}
SIDES = ("algoshelf", "read_csv", "read_csv, exact", "read_csv, exact, encoded")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pandas", required=True, help="an interpreter that has pandas")
    parser.add_argument("--side", choices=SIDES, help="measure one side alone")
    parser.add_argument("--table", type=Path)
    given = parser.parse_args()
    if given.side:
        act = ours if given.side == SIDES[0] else pandas
        print(act(given.table, given.side))
        return
    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as scratch:
        table = Path(scratch, "table.csv")
        write(table)
        for _ in range(ROUNDS):
            rounds.append({side: measured(side, table, given.pandas) for side in SIDES})
            print(json.dumps(rounds[-1]), file=sys.stderr, flush=True)
    keep(rounds)


def write(path: Path) -> None:
    rng = np.random.default_rng(0)
    columns: dict[str, list[str]] = {}
    for i in range(NUMBERS):
        values = rng.normal(size=ROWS) * 10 ** (i % 5)
        columns[f"number{i}"] = [f"{value:.6g}" for value in values]
    for i in (3, 7):
        for row in rng.integers(0, ROWS, ROWS // 20).tolist():
            columns[f"number{i}"][row] = ""
    for i in range(WHOLE):
        columns[f"whole{i}"] = [str(value) for value in rng.integers(0, 1000, ROWS).tolist()]
    for i in range(WORDS):
        columns[f"words{i}"] = [f"category {code}" for code in rng.integers(0, 3 + i, ROWS)]
    columns["target"] = [("no", "yes")[code] for code in rng.integers(0, 2, ROWS)]
    with path.open("w") as stream:
        print(",".join(columns), file=stream)
        stream.writelines(",".join(row) + "\n" for row in zip(*columns.values()))


def ours(table: Path, _: str) -> float:
    from algoshelf.core.data.schema import Schema, read_table

    start = time.process_time()
    found = read_table(table)
    rows = Schema.infer(found).dataset(found)
    rows.take(np.arange(len(rows)))
    return time.process_time() - start


def pandas(table: Path, side: str) -> float:
    import pandas

    start = time.process_time()
    frame = pandas.read_csv(table, **(EXACT if "exact" in side else {}))
    if "encoded" in side:
        columns = []
        for _, column in frame.items():
            if pandas.api.types.is_numeric_dtype(column):
                columns.append((column - column.mean()) / column.std())
            else:
                columns.append(pandas.Series(pandas.factorize(column)[0]))
        pandas.concat(columns, axis=1).to_numpy(np.float32)
    return time.process_time() - start


def measured(side: str, table: Path, python: str) -> float:
    interpreter = sys.executable if side == SIDES[0] else python
    command = [interpreter, __file__, "--pandas", python, "--side", side, "--table", str(table)]
    done = subprocess.run(command, check=True, capture_output=True)
    return round(float(done.stdout.split()[-1]), 3)


def keep(rounds: list[dict[str, float]]) -> None:
    from environment import environment, results_file

    first, *others = SIDES
    ratios = {
        f"algoshelf / pandas, {side}": [round(each[first] / each[side], 3) for each in rounds]
        for side in others
    }
    document = {
        "what": f"Reading {ROWS:,} rows of {NUMBERS + WHOLE + WORDS} columns: processor seconds",
        "median_ratios": {name: statistics.median(each) for name, each in ratios.items()},
        "ratios": ratios,
        "rounds": rounds,
        "environment": environment(),
    }
    path = results_file("table_reading")
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(f"{path}: {document['median_ratios']}")


if __name__ == "__main__":
    main()
