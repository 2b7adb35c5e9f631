"""mxnet, imported at its first use, with the repairs that its last release needs.

    from algoshelf.core import mx
    block = mx.gluon.nn.Dense(10)          # mxnet is imported here, not at the top

mxnet 1.9.1 is the last release. Every repair that it needs stands in this module, and each
has a test in ``tests/core/runtime/test_mx.py`` that fails on the day it is no longer needed.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import importlib.util
import os
import re
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from .cores import cores, free_cores
from .errors import InputError, MissingDependencyError

PYTHONS = "Python 3.8 to 3.12"
LAST_PYTHON = (3, 12)
INSTALL_HINT = (
    "training, and models without model.onnx, need mxnet, which is not installed: "
    "pip install 'algoshelf[cpu]', or 'algoshelf[gpu]' on a machine with an NVIDIA GPU"
)


def __getattr__(name: str) -> Any:
    if name.startswith("__"):  # import machinery and inspection must not import mxnet
        raise AttributeError(name)
    return getattr(load(), name)


def load() -> ModuleType:
    """Import mxnet with all repairs, once.

    Raises MissingDependencyError, which says what to install.
    """
    if is_loaded():
        return sys.modules["mxnet"]
    _set_threads()
    _restore_numpy_bool()
    _preload_nvidia_libraries()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some dozen deprecations of mxnet's own
            mxnet = importlib.import_module("mxnet")
    except ModuleNotFoundError as error:
        if error.name == "mxnet":
            raise MissingDependencyError(_install_hint()) from None
        if error.name == "distutils":
            raise MissingDependencyError(
                "mxnet needs distutils, which Python 3.12 no longer has: pip install setuptools"
            ) from None
        raise MissingDependencyError(f"mxnet cannot be imported: {error}") from error
    except OSError as error:  # a shared library of the GPU wheel is missing
        raise MissingDependencyError(
            f"mxnet's libraries cannot be loaded: {error}. The GPU wheel needs an NVIDIA driver "
            "and "
            "pip install 'algoshelf[gpu]'; on a machine without one, pip uninstall mxnet-cu112 "
            "and pip install 'algoshelf[cpu]'"
        ) from error
    _pool_in_plain_layout(mxnet)
    return mxnet


def _install_hint() -> str:
    if sys.version_info[:2] <= LAST_PYTHON:
        return INSTALL_HINT
    here = ".".join(map(str, sys.version_info[:2]))
    return f"{INSTALL_HINT}; there is none for Python {here}: use an environment of {PYTHONS}"


def is_loaded() -> bool:
    """Whether mxnet is imported, whole."""
    return hasattr(sys.modules.get("mxnet"), "gluon")


def is_installed() -> bool:
    """Whether mxnet is; it is not imported."""
    return importlib.util.find_spec("mxnet") is not None


def amp() -> ModuleType:
    """``mxnet.contrib.amp``, which mxnet does not import by itself."""
    load()
    return importlib.import_module("mxnet.contrib.amp")


def threads() -> int:
    """The number of threads that one operator runs on: OMP_NUM_THREADS, or every core allowed."""
    return int(os.environ.get("OMP_NUM_THREADS") or cores())


def _set_threads() -> None:
    """Use every core, and share them; what the user has set stands.

    mxnet takes every second core for a hyper-thread, and leaves half of the machine idle. Its
    OpenMP threads wait for one another by spinning 300,000 times: beside another busy process
    training ran 40 times slower. 10,000 times cost nothing on an idle machine, and make that 5
    (docs/decisions/0004-threads.md).

    Operators on the processor share 4 temporary workspaces, whatever their context, and those that
    hold the same one wait for one another: two contexts gained 1.2 over one, with 64 workspaces 1.7
    (docs/decisions/0008-training-speed.md).
    """
    setting = os.environ.get("OMP_NUM_THREADS") or str(cores())
    os.environ["OMP_NUM_THREADS"] = setting
    if not re.fullmatch(r"[1-9][0-9]{0,3}", setting):  # mxnet would abort
        raise InputError(
            f"OMP_NUM_THREADS: expected a whole number from 1 to 9999, got {setting!r}"
        )
    if sys.flags.optimize > 1:
        raise InputError("mxnet cannot be imported under python -OO (PYTHONOPTIMIZE=2)")
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    os.environ.setdefault("MXNET_CPU_TEMP_COPY", "64")


def settle_threads(asked: int | None = None, kept: int | None = None) -> str:
    """Settle on how many threads an operator runs, before mxnet is imported; what is to be said.

    ``asked`` for, or else as the user has set OMP_NUM_THREADS, or else as the run has begun that
    goes on (``kept``), or else a thread for each processor that other programs leave free
    (docs/decisions/0004-threads.md). Once mxnet is imported the number stays: raises InputError
    where another is asked for.
    """
    usable = cores()
    if is_loaded():
        if asked not in (None, threads()):
            raise InputError(
                f"--threads {asked}: mxnet is imported already, with {threads()} threads an "
                "operator: ask for them in a new process"
            )
        return ""
    if asked is not None:
        os.environ["OMP_NUM_THREADS"] = str(asked)
        return ""
    if "OMP_NUM_THREADS" in os.environ:
        return ""
    if kept is not None and kept <= usable:
        os.environ["OMP_NUM_THREADS"] = str(kept)
        return ", as before" if kept < usable else ""
    free = free_cores(usable)
    os.environ["OMP_NUM_THREADS"] = str(free)
    if free == usable:
        return ""
    return (
        f" (others keep {usable - free} of {usable} processors busy; --threads {usable} would use "
        "all)"
    )


def share_threads(replicas: int) -> None:
    """Divide the cores among ``replicas`` on the processor, unless the user has set threads.

    Without effect once mxnet is imported. Two replicas whose operators use two threads each, on two
    cores, ran at a quarter of the speed of one.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        os.environ["OMP_NUM_THREADS"] = str(max(1, cores() // replicas))


def _restore_numpy_bool() -> None:
    """numpy 1.24 removed the alias ``numpy.bool``, which mxnet uses at import and later."""
    import numpy

    if "bool" not in vars(numpy):
        numpy.bool = numpy.bool_  # type: ignore[attr-defined, unused-ignore]


def _pool_in_plain_layout(mxnet: ModuleType) -> None:
    """Hand every global pooling its input in plain layout; the results are the same numbers.

    The output of a global pooling is 1 x 1, of which oneDNN cannot tell the blocked layout
    aBcd16b from acdB16b. It takes the gradient for the latter, and from there on up to the next
    convolution batch normalization falls back to a reference implementation, 40 times slower:
    half of the time of a ResNet's step (docs/decisions/0008-training-speed.md). A reshape, which
    only knows plain layout, keeps the pooling out of it.
    """
    pooling = mxnet.gluon.nn.conv_layers._Pooling
    original = pooling.hybrid_forward

    def hybrid_forward(self: Any, operators: Any, x: Any) -> Any:
        if self._kwargs["global_pool"]:
            x = operators.reshape(x, shape=(-2,))
        return original(self, operators, x)

    pooling.hybrid_forward = hybrid_forward


def has_gpu_wheel() -> bool:
    """Whether mxnet's wheel for GPUs is installed; mxnet is not imported."""
    from importlib import metadata  # which imports email, zipfile and more

    try:
        metadata.distribution("mxnet-cu112")
    except metadata.PackageNotFoundError:
        return False
    return True


def _preload_nvidia_libraries() -> None:
    """Make the CUDA 11 libraries of the ``nvidia-*-cu11`` wheels known to the dynamic loader.

    It takes a library that is already loaded for the one of the same soname that libmxnet needs,
    so no LD_LIBRARY_PATH is. Exact sonames: those of CUDA 12 in the same folder never match.
    """
    if not has_gpu_wheel():
        return  # the CPU wheel, or an image that brings its own libraries
    for soname in _CUDA_LIBRARIES:
        for entry in sys.path:
            found = sorted(Path(entry or os.curdir, "nvidia").glob(f"*/lib/{soname}"))
            if found:
                with contextlib.suppress(OSError):  # the import of mxnet says which one is missing
                    ctypes.CDLL(str(found[0].resolve()))
                break


# Dependencies first.
_CUDA_LIBRARIES = (
    "libcudart.so.11.0",
    "libnvToolsExt.so.1",
    "libnvrtc.so.11.2",
    "libcublasLt.so.11",
    "libcublas.so.11",
    "libcufft.so.10",
    "libcurand.so.10",
    "libcusolver.so.11",
    "libnccl.so.2",
    "libcudnn.so.8",
)
