"""onnx and onnxruntime, imported at their first use, and sessions of the latter."""

from __future__ import annotations

import importlib
import importlib.util
import os
from types import ModuleType
from typing import Any

from . import mx
from .errors import MissingDependencyError

# onnxruntime 1.32 keeps an ID and a database for telemetry in ~/.cache/Microsoft, unless it is told
# not to before it is imported; disable_telemetry_events() comes too late.
NO_TELEMETRY = "ORT_DISABLE_TELEMETRY"
INSTALL_HINT = "ONNX needs {}, which is not installed: pip install 'algoshelf[onnx]'"


def library(name: str) -> ModuleType:
    """``onnx`` or ``onnxruntime``. Raises MissingDependencyError, which says what to install."""
    os.environ.setdefault(NO_TELEMETRY, "1")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise MissingDependencyError(INSTALL_HINT.format(name)) from None
    except ImportError as error:
        raise MissingDependencyError(f"{name} does not import: {error}") from error


def is_installed() -> bool:
    """Whether onnxruntime is; it is not imported."""
    return importlib.util.find_spec("onnxruntime") is not None


def session(content: bytes) -> Any:
    """A session for the bytes of an ONNX file, on the processor, with ``mx.threads()`` threads.

    Raises MissingDependencyError, and of onnxruntime's own kinds where it does not take the file.
    """
    runtime = library("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = mx.threads()
    # It would keep a plan of the memory for each shape that it is ever given, of which batches and
    # lengths make many, and is not quicker by it (docs/decisions/0020-engines.md).
    options.enable_mem_pattern = False
    options.log_severity_level = 3  # errors
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def first_line(error: Exception) -> str:
    """What an error of onnxruntime's says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:500]
