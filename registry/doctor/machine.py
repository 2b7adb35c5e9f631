"""A machine: what algoshelf runs on, and what it lacks."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Iterator

from ...core.runtime import cores, devices, mx, ort
from ...core.runtime.devices import Driver, Gpu
from ..discovery import catalog
from ..lacking import install_command, lacking, unmet
from . import ABSENT, FAILED, OK, UNKNOWN, WARNING, Check

ROOT = Path("/")  # holds proc and sys
DISTRIBUTION = "algoshelf"
# What each extra is for that no algorithm asks for.
PURPOSES = {
    "serve": "`algoshelf serve`",
    "onnx": "`algoshelf export`, and answers without mxnet",
    "tune": "`algoshelf tune`",
    "sagemaker": "`algoshelf sagemaker` and `algoshelf benchmark --instances`",
    "tables": "Parquet and Excel",
    "plot": "the charts of `algoshelf tune` and `algoshelf benchmark`",
    "tensorboard": "event files for TensorBoard",
}
BY_MXNET = "`train`, `tune`, `evaluate`, `adopt`, `export`, `benchmark` and `check`"
WITHOUT_MXNET = "models that were exported are answered by ONNX Runtime"
INSTALL = "pip install 'algoshelf[cpu]', or 'algoshelf[gpu]' on a machine with an NVIDIA GPU"
LEAST_FREE = 2 * 10**9  # bytes; a model and its checkpoints, and what mxnet unpacks
SELF_TEST_SECONDS = 600
SMI = ("nvidia-smi", "--query-gpu=name,compute_cap", "--format=csv,noheader")


@dataclass(frozen=True)
class Mxnet:
    """What a process that imports mxnet says; ``fault`` is why it could not, "" where it could."""

    version: str = ""
    has_cuda: bool = False
    fault: str = ""


def checks(folder: Path) -> Iterator[Check]:
    """All but the self-test; ``folder`` is where models will lie."""
    loaded = probe() if mx.is_installed() else Mxnet(fault="not installed")
    driver = devices.driver()
    yield python()
    yield from plugins()
    yield numpy()
    yield mxnet(loaded)
    yield processors(ROOT)
    yield from gpus(driver, loaded)
    yield from extras()
    yield disk(folder)


def python() -> Check:
    """The interpreter: mxnet's last release has wheels for some of them alone."""
    version = platform.python_version()
    text = f"{version} on {platform.system()}, {platform.machine()}"
    if sys.version_info[:2] > mx.LAST_PYTHON:
        fix = f"to train, make an environment of {mx.PYTHONS}"
        return Check("Python", ABSENT, f"{text}: newer than mxnet; {WITHOUT_MXNET}", fix)
    return Check("Python", OK, text)


def plugins() -> Iterator[Check]:
    """algoshelf and its algorithms; those that are broken."""
    found = catalog()
    names = ", ".join(sorted(entry.algorithm.name for entry in found))
    version = metadata.version(DISTRIBUTION)
    yield Check("algoshelf", OK, f"{version}, with {names}")
    for problem in found.problems:
        yield Check("plugin", FAILED, str(problem), "mend or uninstall the plugin")


def numpy() -> Check:
    """mxnet imports with numpy before 2 alone."""
    version = metadata.version("numpy")
    if mx.is_installed() and int(version.split(".")[0]) >= 2:
        return Check(
            "numpy", FAILED, f"{version}: mxnet needs one before 2", "pip install 'numpy<2'"
        )
    return Check("numpy", OK, version)


def mxnet(loaded: Mxnet) -> Check:
    """Whether it is there, and imports."""
    if mx.is_installed():
        if loaded.fault:
            return Check("mxnet", FAILED, loaded.fault, f"install it anew: {INSTALL}")
        built = "for GPUs" if loaded.has_cuda else "for processors"
        return Check("mxnet", OK, f"{loaded.version}, built {built}")
    text = f"not installed: {BY_MXNET} need it"
    if not ort.is_installed():
        fix = f"{INSTALL}; or 'algoshelf[onnx]' for models that were exported"
        return Check("mxnet", FAILED, f"{text}, and without onnxruntime nothing answers", fix)
    fix = INSTALL if sys.version_info[:2] <= mx.LAST_PYTHON else f"an environment of {mx.PYTHONS}"
    return Check("mxnet", ABSENT, f"{text}; {WITHOUT_MXNET}", fix)


def processors(root: Path) -> Check:
    """Those that this process may use, and the threads that an operator will run on."""
    there = os.cpu_count() or 1
    usable, quota = cores.cores(root), cores.quota(root)
    threads = int(os.environ.get("OMP_NUM_THREADS") or usable)
    limit = "no quota" if quota is None else f"a quota of {quota:g} (cgroup)"
    text = f"{usable} of {there}, {limit}; {threads} threads an operator"
    if threads > usable:
        fix = "unset OMP_NUM_THREADS"
        return Check("processors", WARNING, f"{text}: more threads than processors", fix)
    if quota is not None and quota < 1:
        fix = "allow the container a whole processor or more"
        return Check("processors", WARNING, f"{text}: it stands still in part of each period", fix)
    return Check("processors", OK, text)


def gpus(driver: Driver, loaded: Mxnet) -> Iterator[Check]:
    """Each GPU that the driver shows, and whether the mxnet that is installed can run on it."""
    if not driver.gpus:
        yield _no_gpu(driver)
        return
    if driver.cuda < devices.CUDA:
        needed = ".".join(map(str, devices.CUDA))
        has = ".".join(map(str, driver.cuda))
        text = f"runs CUDA up to {has}, and mxnet-cu112 needs {needed} or later"
        yield Check("NVIDIA driver", FAILED, text, "install a newer driver")
    for number, gpu in enumerate(driver.gpus):
        yield _gpu(number, gpu, loaded)


def _no_gpu(driver: Driver) -> Check:
    listed = _listed_by_smi()
    if listed:
        text = f"nvidia-smi lists {listed}, but {driver.fault}"
        fix = "in a container: start it with --gpus all; else install the driver's libcuda.so.1"
        return Check("GPUs", WARNING, text, fix)
    if mx.has_gpu_wheel():
        fix = "pip uninstall mxnet-cu112 && pip install 'algoshelf[cpu]', or install the driver"
        return Check("GPUs", FAILED, f"mxnet is that for GPUs, but {driver.fault}", fix)
    return Check("GPUs", OK, f"none was seen ({driver.fault}): the processors compute")


def _gpu(number: int, gpu: Gpu, loaded: Mxnet) -> Check:
    name = f"GPU {number}"
    text = f"{gpu.name}, compute capability {gpu.major}.{gpu.minor} (sm_{gpu.major}{gpu.minor})"
    code = devices.machine_code(gpu)
    if code is None:
        has = ", ".join(f"sm_{each}" for each in devices.MACHINE_CODE)
        text += f": no kernels: mxnet-cu112 1.9.1 holds machine code for {has}, and no PTX"
        fix = "use --devices cpu here, or a GPU up to 8.9, such as V100, T4, A100, A10G or L4"
        return Check(name, WARNING, text, fix)
    text += f": runs the kernels for sm_{code}"
    if loaded.fault:
        return Check(name, ABSENT, f"{text}, once mxnet is there", INSTALL)
    if not loaded.has_cuda:
        fix = "pip uninstall mxnet && pip install 'algoshelf[gpu]'"
        return Check(name, WARNING, f"{text}, but mxnet is built for processors alone", fix)
    return Check(name, OK, text)


def _listed_by_smi() -> str:
    """The GPUs that NVIDIA's own tool lists; "" where it lists none, or is not there."""
    if shutil.which(SMI[0]) is None:
        return ""
    try:
        done = subprocess.run(SMI, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "; ".join(done.stdout.splitlines()) if done.returncode == 0 else ""


def extras() -> Iterator[Check]:
    """What algorithms need to be trained, then what commands need."""
    for entry in catalog():
        missing = lacking(entry)
        name = entry.algorithm.name
        if missing and mx.is_installed():
            text = f"cannot be trained: lacks {', '.join(missing)}"
            yield Check(name, ABSENT, text, install_command(entry))
    for extra, purpose in PURPOSES.items():
        missing = unmet(DISTRIBUTION, [extra])
        if missing:
            text = f"{purpose}: lacks {', '.join(missing)}"
            yield Check(f"[{extra}]", ABSENT, text, f"pip install 'algoshelf[{extra}]'")
        else:
            yield Check(f"[{extra}]", OK, purpose)


def disk(folder: Path) -> Check:
    """Where models will lie, and where what is for a moment does."""
    places = {folder: "here", Path(tempfile.gettempdir()): "for temporary files"}
    found, poor = [], []
    for place, what in places.items():
        free = shutil.disk_usage(place).free
        found.append(f"{free / 1e9:,.1f} GB free {what} ({place})")
        if free < LEAST_FREE:
            poor.append(str(place))
        if not os.access(place, os.W_OK):
            fix = "change to a folder that you may write to, or set TMPDIR"
            return Check("disk", FAILED, f"{place}: may not be written to", fix)
    if poor:
        fix = f"free some of {' and '.join(poor)}, or set TMPDIR to another place"
        return Check("disk", WARNING, "; ".join(found), fix)
    return Check("disk", OK, "; ".join(found))


def probe() -> Mxnet:
    """What a process that imports mxnet says; whatever its libraries do there ends that alone."""
    done = _child("probe", timeout=SELF_TEST_SECONDS)
    if done.returncode:
        return Mxnet(fault=f"it does not import: {_ending(done)}")
    return Mxnet(**json.loads(done.stdout.splitlines()[-1]))


def self_test(loaded: Mxnet | None = None) -> tuple[Check, list[dict[str, Any]]]:
    """Compare the GPUs, or else two contexts of the processor, with the processor."""
    if not mx.is_installed():
        return Check("self-test", ABSENT, "needs mxnet", INSTALL), []
    usable = [n for n, gpu in enumerate(devices.gpus()) if devices.is_supported(gpu)]
    on_gpus = bool(usable) and (loaded or probe()).has_cuda
    other = f"gpu:{','.join(map(str, usable))}" if on_gpus else "cpu:1,0"
    done = _child("compare", "cpu:0,1", other, timeout=SELF_TEST_SECONDS)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    failed = [each for each in found if each["status"] == "failed"]
    passed = sum(each["status"] == "passed" for each in found)
    what = other if on_gpus else "no GPU was seen: cpu(1)"
    text = f"{what} against cpu(0): {passed} of {len(found) - _skipped(found)} comparisons agree"
    if done.returncode:
        after = f" after {found[-1]['name']}" if found else ""
        return Check("self-test", FAILED, f"ended{after}: {_ending(done)}", INSTALL), found
    if failed:
        names = ", ".join(each["name"] for each in failed)
        fix = "a fault of the device, its driver or CUDA's libraries: use --devices cpu, report it"
        return Check("self-test", FAILED, f"{text}; not: {names}", fix), found
    if not passed:
        return Check("self-test", UNKNOWN, "no algorithm could be tried", ""), found
    return Check("self-test", OK, text), found


def _skipped(found: list[dict[str, Any]]) -> int:
    return sum(each["status"] == "skipped" for each in found)


def _child(*arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "algoshelf.registry.doctor.selftest", *arguments]
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        told = error.stdout.decode(errors="replace") if isinstance(error.stdout, bytes) else ""
        return subprocess.CompletedProcess(command, 1, told, f"no answer in {timeout:g} s")


def _ending(done: subprocess.CompletedProcess[str]) -> str:
    """How a process ended: its signal, or the last that it said."""
    if done.returncode < 0:
        return f"by {signal.Signals(-done.returncode).name}"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1][:400] if lines else f"with code {done.returncode}"
