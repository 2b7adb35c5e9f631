"""`algoshelf benchmark` of one algorithm, and the same again: python twice.py ALGORITHM OPTION …

results/benchmark-ALGORITHM-…/ gets the report of the first and, as again.jsonl, the records of the
second, so that `algoshelf benchmark compare` can be asked whether it sees a difference where there
is none. One thread an operator: of the settings compared, each device has a core of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from command import algoshelf
from environment import environment, results_file


def main(name: str, options: list[str]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as scratch:
        first, again = Path(scratch, "first"), Path(scratch, "again")
        for folder in (first, again):
            algoshelf("benchmark", name, *options, "--output", folder)
        (again / "results.jsonl").rename(first / "again.jsonl")
        where = json.dumps(environment(), indent=2)
        (first / "environment.json").write_text(where + "\n", encoding="utf-8")
        kept = results_file(f"benchmark-{name}", "")
        shutil.rmtree(kept, ignore_errors=True)
        shutil.copytree(first, kept)
    print(kept)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
