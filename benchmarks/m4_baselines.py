"""Are the figures of `evaluate` those of the M4 competition? python m4_baselines.py FOLDER [--mstl]

The baselines that `evaluate` shows beside a forecaster, on the 414 hourly series of M4 and their
official test of 48 hours, beside what the competition's organisers published of them. FOLDER holds
Hourly-train.csv.gz and Hourly-test.csv.gz. Theta is measured where statsforecast is installed, and
with --mstl its MSTL too, which takes some eight minutes of a processor.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import sys
import time
from pathlib import Path

import numpy as np
from algoshelf.core.data.series import ManySeries, Series
from algoshelf.core.data.windows import Layout, Windows, last_windows
from algoshelf.core.runtime.types import Array
from algoshelf.core.tasks import forecast_baselines, forecast_figures
from environment import environment, results_file

HORIZON = 48
# sMAPE, MASE and OWA of hourly series: S. Makridakis et al., "The M4 Competition", International
# Journal of Forecasting 36, 2020, and its repository github.com/Mcompetitions/M4-methods.
PUBLISHED = {
    "naive": (43.003, 11.608, 3.593),
    "seasonal naive": (13.912, 1.193, 0.628),
    "Naive2": (18.383, 2.395, 1.000),
    "theta (statsforecast)": (18.138, 2.455, 1.006),
}
MSTL = "MSTL-ETS (statsforecast)"  # of which the competition has none
SEASONS = (24, 168)  # of an hourly series: days and weeks
SHOWN = ("smape", "mase", "owa")
APART = 0.001  # of a figure: as many places were published; theta is another program
APART_OF_THETA = 0.01


def hourly(folder: Path) -> Windows:
    """The last 48 hours of each series."""
    parts = []
    for name in ("train", "test"):
        with gzip.open(folder / f"Hourly-{name}.csv.gz", "rt") as lines:
            _, *rows = csv.reader(lines)
        parts.append({row[0]: [float(cell) for cell in row[1:] if cell] for row in rows})
    series = [
        Series(name, None, np.array([*row, *parts[1][name]])) for name, row in parts[0].items()
    ]
    whole = ManySeries(series, {"frequency": "H", "categories": [], "features": []})
    return last_windows(whole, Layout(HORIZON, HORIZON))


def mstl(history: Array, horizon: int, season: int) -> tuple[Array, Array]:
    """Several seasons by loess, exponential smoothing of the rest: K. Bandara, R. J. Hyndman,
    C. Bergmeir, "MSTL: a seasonal-trend decomposition algorithm", arXiv:2107.13462. Without a
    deviation: 0.
    """
    from statsforecast import models

    several = models.MSTL(season_length=list(SEASONS))
    told = several.forecast(history.astype(np.float64), horizon)
    return told["mean"], np.zeros(horizon)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mstl", action="store_true", help="measure statsforecast's MSTL too")
    options = parser.parse_args()
    windows = hourly(options.folder)
    begin = time.process_time()
    histories = [windows.history(row) for row in range(len(windows))]
    method = mstl if options.mstl else forecast_baselines.naive
    measured = forecast_figures.evaluate_windows(
        forecast_baselines.forecasts(method, histories, HORIZON, SEASONS[0]), windows
    )
    found = {each.name: each.metrics for each in measured.baselines}
    faults = [
        f"{name}: {metric} is {found[name][metric]:.4f}, published {expected}"
        for name in found
        for metric, expected in zip(SHOWN, PUBLISHED[name])
        if abs(found[name][metric] - expected)
        > (APART_OF_THETA if name.startswith("theta") else APART)
    ]
    if faults:
        sys.exit("\n".join(faults))
    if options.mstl:
        found[MSTL] = {metric: measured.metrics[metric] for metric in SHOWN}
    document = {
        "data": f"M4, {len(windows)} hourly series, {HORIZON} hours ahead",
        "methods": {
            name: {
                **{metric: round(value, 4) for metric, value in metrics.items()},
                **({"published": dict(zip(SHOWN, PUBLISHED[name]))} if name in PUBLISHED else {}),
            }
            for name, metrics in found.items()
        },
        "processor_seconds": round(time.process_time() - begin, 1),
        "environment": environment(),
    }
    path = results_file("m4_baselines")
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(path)


if __name__ == "__main__":
    main()
