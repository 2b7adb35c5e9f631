"""How many workers a server starts, on which devices, by the machine's memory and cores."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Sequence

from ..artifact.engines import AUTO, MXNET, ONNX, resolve
from ..runtime import mx
from ..runtime.cores import cores
from ..runtime.devices import gpus
from ..runtime.errors import ArtifactError, InputError

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
FORMS = "auto, cpu, gpu (all GPUs) or gpu:0,2 (by number)"
# Of a worker, before its models: the interpreter, the engine and its buffers (measured: 250 MB with
# mxnet, 85 MB with ONNX Runtime).
WORKER_BYTES = {MXNET: 300 * 2**20, ONNX: 100 * 2**20}
# Parameters on disk, and in memory with the layouts and the activations that come to them.
BYTES_PER_PARAMETER_BYTE = 4


def parse_size(text: str) -> int:
    """Bytes, from ``500``, ``64kB``, ``6MB`` or ``1GB``, in powers of 1024 as SageMaker counts.

    Raises ValueError.
    """
    found = re.fullmatch(r"(\d{1,15})\s*(k|m|g|)i?b?", text.strip().lower())
    if not found or int(found[1]) == 0:
        raise ValueError(f"not a size: {text!r}")
    return int(found[1]) << 10 * " kmg".index(found[2] or " ")


def devices(text: str, engine: str = AUTO) -> list[str]:
    """The devices of ``text``, one of FORMS, as workers take them; mxnet is not imported.

    Raises InputError for another form. Whether a GPU is there is found by the worker.
    """
    if text == "auto":
        found = gpus() if mx.has_gpu_wheel() and engine != ONNX else []
        return [f"gpu:{index}" for index in range(len(found))] or ["cpu"]
    if text == "cpu":
        return ["cpu"]
    if text == "gpu":
        return [f"gpu:{index}" for index in range(len(gpus()))] or ["gpu"]
    if re.fullmatch(r"gpu:\d+(,\d+)*", text):
        return [f"gpu:{number}" for number in text[len("gpu:") :].split(",")]
    raise InputError(f"--devices: expected {FORMS}, got {text!r}")


def free_bytes() -> int | None:
    """The memory that is left to this machine, or to its container; None where unknown."""
    found = []
    with contextlib.suppress(OSError, ValueError, AttributeError):
        text = Path("/proc/meminfo").read_text()
        line = re.search(r"MemAvailable:\s+(\d+) kB", text)
        found.append(int(line[1]) * 1024)  # type: ignore[index]
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        most, used = (int((group / f"memory.{kind}").read_text()) for kind in ("max", "current"))
        cached = re.search(r"^inactive_file (\d+)", (group / "memory.stat").read_text(), re.M)
        found.append(most - used + (int(cached[1]) if cached else 0))  # the cache is given back
    return min(found) if found else None


def model_bytes(folder: Path) -> int:
    """About how much memory the model in ``folder`` takes in each worker. Raises ArtifactError."""
    try:
        files = [path for path in folder.iterdir() if path.is_file()]
        return BYTES_PER_PARAMETER_BYTE * sum(path.stat().st_size for path in files)
    except OSError as error:
        raise ArtifactError(f"{error.filename}: cannot be read: {error.strerror}") from None


def fits(folder: Path, workers: int) -> bool:
    """Whether each of ``workers`` has memory for the model in ``folder``, as far as is known."""
    free = free_bytes()
    try:
        return free is None or workers * model_bytes(folder) <= free
    except ArtifactError:
        return True  # whoever opens it says what is wrong


def workers(
    asked: int | None, on: Sequence[str], folders: Sequence[Path], engine: str = AUTO
) -> int:
    """How many workers: what is ``asked``, else one a GPU or core, as far as memory goes.

    Raises InputError where not even one fits, and where a folder is no longer there.
    """
    count = asked or (cores() if on == ["cpu"] else len(on))
    free = free_bytes()
    if free is None:
        return count
    by = {resolve(engine, folder, on[0]) for folder in folders}
    each = WORKER_BYTES[ONNX if by == {ONNX} else MXNET] + sum(map(model_bytes, folders))
    fitting = free // each
    if fitting < (asked or 1):
        raise InputError(
            f"not enough memory: {asked or 1} workers need about {each / 2**20:,.0f} MiB each, and "
            f"{free / 2**20:,.0f} MiB are free" + (f": give --workers {fitting}" if fitting else "")
        )
    return min(count, fitting)
