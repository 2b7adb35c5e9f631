"""The machine and the package versions of a measurement."""

from __future__ import annotations

import os
import platform
import re
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from ..runtime import mx
from ..runtime.cores import cores
from ..runtime.devices import gpus


def environment() -> dict[str, Any]:
    """Processor, cores, threads of an operator, GPUs, Python and packages."""
    known = {
        "processor": processor(),
        "cores": cores(),
        "threads": mx.threads(),
        "gpus": [gpu.name for gpu in gpus()],
        "python": platform.python_version(),
        "mxnet": mx.load().__version__,
    }
    for name in ("numpy", "algoshelf"):
        try:
            known[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return known


def process_started() -> float:
    """When this process began, as time.monotonic tells it; now where there is no /proc."""
    try:
        after_name = Path("/proc/self/stat").read_text(encoding="utf-8").rpartition(")")[2]
    except OSError:
        return time.monotonic()
    ticks = int(after_name.split()[19])  # since the machine was started: proc(5), starttime
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    return time.monotonic() - age


def processor() -> str:
    """``AMD EPYC 7R13, family 25`` on Linux, else what Python knows."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    named = re.findall(r"^(?:model name|cpu family)\s*: (.*)$", text, re.MULTILINE)[:2]
    return ", family ".join(sorted(named, reverse=True)) or platform.machine()
