"""Which engine computes a model: mxnet, or ONNX Runtime by what ``algoshelf export`` wrote.

An engine is chosen for a model folder before anything of it is loaded, and neither is imported
for that.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..runtime import mx, ort
from ..runtime.devices import gpus, parse_devices
from ..runtime.errors import ArtifactError, InputError, MissingDependencyError, did_you_mean

FILE = "model.onnx"
AUTO, MXNET, ONNX = "auto", "mxnet", "onnx"
ENGINES = (AUTO, MXNET, ONNX)
VARIABLE = "ALGOSHELF_ENGINE"  # of the environment, what --engine is where it is not given
_PROCESSOR = re.compile(r"auto|cpu(?::([1-9]\d?))?")


def resolve(engine: str, folder: Path, devices: str = "auto") -> str:
    """MXNET or ONNX: what answers for the model in ``folder`` where ``engine``, one of ENGINES, and
    ``devices`` (see ``parse_devices``) are asked for.

    ``auto`` is ONNX Runtime where it is installed and the folder holds model.onnx, unless mxnet
    computes on a GPU; else mxnet. Raises InputError for another name and for devices that the
    engine has not, ArtifactError where there is no file for it, and MissingDependencyError.
    """
    if engine not in ENGINES:
        expected = did_you_mean(engine, ENGINES) or f"; expected {', '.join(ENGINES)}"
        raise InputError(f"--engine: there is no engine {engine!r}{expected}")
    if engine == MXNET:
        return MXNET
    exported = (folder / FILE).is_file()
    on_processor = _PROCESSOR.fullmatch(devices) is not None
    if engine == AUTO:
        gpu = not on_processor or (devices == "auto" and mx.has_gpu_wheel() and bool(gpus()))
        if exported and ort.is_installed() and not gpu:
            return ONNX
        if gpu or mx.is_installed():
            return MXNET
    if not on_processor:
        raise InputError(
            f"--devices {devices}: ONNX Runtime answers on the processor alone: give --devices "
            "cpu, or --engine mxnet"
        )
    if not exported:
        raise _not_exported(engine, folder)
    ort.library("onnxruntime")
    return ONNX


def _not_exported(engine: str, folder: Path) -> Exception:
    """The error that says how to come by model.onnx."""
    how = (
        f"`algoshelf export {folder}` writes it, on a machine with mxnet ({mx.PYTHONS}: "
        "pip install 'algoshelf[cpu,onnx]')"
    )
    if engine == ONNX:
        return ArtifactError(f"{folder / FILE}: missing, and --engine onnx needs it: {how}")
    return MissingDependencyError(
        f"{folder}: holds no {FILE}, by which it could be answered without mxnet, and mxnet is not "
        f"installed here: {how}"
    )


def told(engine: str, folder: Path) -> str:
    """Which engine answers, MXNET or ONNX, as a sentence for the log."""
    return f"onnxruntime answers, by {folder / FILE}" if engine == ONNX else "mxnet answers"


def places(engine: str, folder: Path, devices: str = "auto") -> list[Any]:
    """Where the model in ``folder`` is computed: for each replica what ``Artifact.load`` takes.

    Contexts of mxnet's, or ONNX. Raises as ``resolve`` and ``parse_devices`` do.
    """
    if resolve(engine, folder, devices) == MXNET:
        return list(parse_devices(devices))
    found = _PROCESSOR.fullmatch(devices)
    replicas = int((found and found[1]) or 1)
    mx.share_threads(replicas)
    return [ONNX] * replicas
