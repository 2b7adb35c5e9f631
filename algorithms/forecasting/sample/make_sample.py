"""Make the bundled sample: npm pack vega-datasets@2.11.0, unpack it, python make_sample.py FILE.

FILE is package/data/unemployment-across-industries.json.
"""

from __future__ import annotations

import csv
import hashlib
import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
SHA256 = "c12e32b5b8bf66d5ce40081a22b5557b2a8649dbdcbe03028b3df65cd66257a1"
# What is learned from ends in 2006; the year that is forecast was before the crisis of 2008.
FIRST_OF_TEST, FIRST_FORECAST, LAST = 2004, 2007, 2007


def main() -> None:
    content = Path(sys.argv[1]).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256:
        sys.exit(f"{sys.argv[1]}: sha256 is {found}, expected {SHA256}")
    rows = [
        (each["series"], each["year"], each["month"], each["count"])
        for each in json.loads(content)
        if each["year"] <= LAST
    ]
    _write("train", [row for row in rows if row[1] < FIRST_FORECAST])
    _write("test", [row for row in rows if row[1] >= FIRST_OF_TEST])


def _write(name: str, rows: list[tuple[str, int, int, int]]) -> None:
    with (HERE / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("industry", "month", "unemployed"))
        for series, year, month, count in rows:
            writer.writerow((series, f"{year}-{month:02}", count))


if __name__ == "__main__":
    main()
