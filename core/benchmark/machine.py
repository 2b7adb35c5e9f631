"""The machine and the package versions of a measurement."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from ..runtime import mx
from ..runtime.cores import cores
from ..runtime.devices import gpus

VECTORS = {"avx512f": "AVX-512", "avx2": "AVX2", "sve": "SVE", "asimd": "NEON"}
# Vendor, family and models of a design, as the Linux kernel has them (arch/x86/kernel/cpu/amd.c,
# intel-family.h, arm64's cputype.h); of Arm the implementer and the part.
AMD, INTEL, ARM = "AuthenticAMD", "GenuineIntel", "Arm"
DESIGNS = (
    (AMD, 0x17, (*range(0x30), *range(0x50, 0x60)), "Zen"),
    (AMD, 0x17, range(0x30, 0xB0), "Zen 2"),
    (AMD, 0x19, (*range(0x10), *range(0x20, 0x60)), "Zen 3"),
    (AMD, 0x19, (*range(0x10, 0x20), *range(0x60, 0xB0)), "Zen 4"),
    (AMD, 0x1A, (*range(0x30), *range(0x40, 0x50), *range(0x60, 0x80)), "Zen 5"),
    (INTEL, 6, (85,), "Skylake or Cascade Lake"),
    (INTEL, 6, (106,), "Ice Lake"),
    (INTEL, 6, (143,), "Sapphire Rapids"),
    (INTEL, 6, (207,), "Emerald Rapids"),
    (ARM, 0x41, (0xD0C,), "Neoverse N1"),
    (ARM, 0x41, (0xD40,), "Neoverse V1"),
    (ARM, 0x41, (0xD4F,), "Neoverse V2"),
)


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
    """``AMD EPYC, Zen 4 (family 25, model 17), AVX-512`` on Linux, else what Python knows.

    A virtual machine often hides the name of its processor; family and model still tell the design.
    """
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        text = ""
    return described(text) or platform.processor() or platform.machine()


def described(cpuinfo: str) -> str:
    """What /proc/cpuinfo says of its first processor, in a line; empty where that is nothing."""
    found: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        field, _, value = line.partition(":")
        found.setdefault(field.strip(), value.strip())
    if "cpu family" in found:
        vendor, name = found.get("vendor_id", ""), found.get("model name", "x86")
        family, model = int(found["cpu family"]), int(found.get("model", 0))
        numbers = f"family {family}, model {model}"
    elif "CPU part" in found:
        vendor, name = ARM, "Arm"
        family, model = int(found["CPU implementer"], 16), int(found["CPU part"], 16)
        numbers = f"implementer {family:#x}, part {model:#x}"
    else:
        return ""
    design = next(
        (
            of
            for by, line, models, of in DESIGNS
            if (by, line) == (vendor, family)
            if model in models
        ),
        "",
    )
    flags = found.get("flags", found.get("Features", "")).split()
    vectors = next((called for flag, called in VECTORS.items() if flag in flags), "")
    named = f"{name}, {design} ({numbers})" if design else f"{name}, {numbers}"
    return f"{named}, {vectors}" if vectors else named
