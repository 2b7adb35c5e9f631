"""Where a measurement was made: part of its file's name, and of its content."""

from __future__ import annotations

import platform
import re
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from algoshelf.core.benchmark.machine import processor
from algoshelf.core.runtime.cores import cores

RESULTS = Path(__file__).parent / "results"
# Where only the family is known, as in what was measured before processor() said the model.
FAMILIES = {"25": "Zen 3 or Zen 4", "26": "Zen 5"}


def environment() -> dict[str, Any]:
    """Processor, cores, Python and packages, and the date (UTC)."""
    return {
        "processor": processor(),
        "cores": cores(),
        "python": platform.python_version(),
        "mxnet": version("mxnet"),
        "numpy": version("numpy"),
        "algoshelf": version("algoshelf"),
        "date": datetime.now(timezone.utc).date().isoformat(),
    }


def design(described: str) -> str:
    """``AMD Zen 4``, of what ``processor()`` says."""
    vendor = re.match(r"\w*", described)
    named = re.search(r", ([^,]+) \(", described)
    family = re.search(r"AMD.*, family (\d+)$", described)
    if named and vendor:
        return f"{vendor[0]} {named[1]}"
    if family and family[1] in FAMILIES:
        return f"AMD {FAMILIES[family[1]]}"
    return described


def where(known: dict[str, Any]) -> str:
    """``amd-zen4-2cores-py3.11-mxnet1.9.1``, of what ``environment()`` says."""
    words = re.sub(r"(zen) (\d)", r"\1\2", design(known["processor"]).lower())
    place = re.sub(r"[^a-z0-9]+", "-", words).strip("-")
    python = ".".join(known["python"].split(".")[:2])
    return f"{place}-{known['cores']}cores-py{python}-mxnet{known['mxnet']}"


def results_file(name: str, suffix: str = ".json") -> Path:
    """``results/NAME-amd-zen4-2cores-py3.11-mxnet1.9.1.json``."""
    RESULTS.mkdir(exist_ok=True)
    return RESULTS / f"{name}-{where(environment())}{suffix}"
