"""Where a measurement was made: part of its file's name, and of its content."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

from algoshelf.core.benchmark.machine import processor
from algoshelf.core.runtime.cores import cores

RESULTS = Path(__file__).parent / "results"


def environment() -> dict[str, Any]:
    """Processor, cores, Python and packages."""
    return {
        "processor": processor(),
        "cores": cores(),
        "python": platform.python_version(),
        "mxnet": version("mxnet"),
        "numpy": version("numpy"),
        "algoshelf": version("algoshelf"),
    }


def results_file(name: str, suffix: str = ".json") -> Path:
    """``results/NAME-2cores-py3.11-mxnet1.9.1.json``."""
    here = environment()
    python = ".".join(here["python"].split(".")[:2])
    RESULTS.mkdir(exist_ok=True)
    return RESULTS / f"{name}-{here['cores']}cores-py{python}-mxnet{here['mxnet']}{suffix}"
