"""Packages that answer by ONNX Runtime, on a Python of today without mxnet.

An image of one's own, a function of AWS Lambda, and the archive of a model for such an image. Each
holds the artifact with its model.onnx, which is exported on the way where it is missing.
"""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Iterator

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ...core.artifact import export as onnx
from ...core.artifact.engines import MXNET
from ...core.artifact.engines import ONNX as ENGINE
from ...core.artifact.folder import Artifact
from ...core.artifact.metadata import METADATA, ONNX, PARAMETERS, SYMBOL
from ...core.inference.answers import example_inputs
from ...core.inference.handlers import Handlers
from ...core.runtime.errors import InputError, MissingDependencyError
from ..discovery import Entry
from . import locks, writing
from .contents import (
    OF_ONNX,
    OWN,
    Files,
    check_python,
    distribution_of,
    importable,
    installable,
    is_own,
    read,
    size_of,
)
from .kinds import MAX_MODEL_BYTES, MODEL_ARCHIVE, filled
from .requirements import COMMAND_LINE, WHEELS, required
from .wheel import wheel

SCAFFOLD = "onnx"
FUNCTION, FUNCTION_ARCHIVE = "lambda_function.py", "function.zip"
# onnxruntime ends the process on Lambda's arm64, whose /sys does not list the processors:
# microsoft/onnxruntime #10038, open.
LAMBDA_MACHINE = "x86_64"
MAX_FUNCTION_BYTES = 250 * 2**20  # unpacked: "Lambda quotas" in AWS's developer guide
MODEL = "model"
SERVE = "serve"
TRAINING = ("mxnet", "gluoncv", "gluonnlp")  # what a plugin requires of these, it trains with
INSTALLERS = frozenset(["RECORD", "INSTALLER", "REQUESTED"])


def container(entry: Entry, artifact: Artifact, target: Path) -> Files:
    """Write what a slim image that answers for ``artifact`` is built from; its files.

    It installs what pip finds today, by version and hash, on x86_64 and aarch64. Raises
    AlgoshelfError, ArtifactError, InputError, OutputError or PluginError, and then leaves nothing.
    """
    writing.check_free(target)
    files = _within(MODEL, _model(entry, artifact))
    lines = []
    for name, content in installable(entry).items():
        distribution = metadata.distribution(name)
        check_python(content, [distribution], OF_ONNX)
        file, body = wheel(distribution, content)
        files[f"{WHEELS}/{file}"] = body
        lines.append(f"./{WHEELS}/{file} --hash=sha256:{hashlib.sha256(body).hexdigest()}")
    lines += locks.locked(_roots(entry, frozenset(["serve"])))
    files["requirements.txt"] = "".join(f"{line}\n" for line in lines).encode()
    for name in ("Dockerfile", SERVE):
        files[name] = filled(f"{SCAFFOLD}/{name}", entry).encode()
    writing.write_folder(target, files, executable=frozenset([SERVE]))
    return files


def function(entry: Entry, artifact: Artifact, target: Path) -> Files:
    """Write the zip archive of a function of AWS Lambda that answers for ``artifact``; its files.

    Raises as ``container`` does, and InputError where it is larger than Lambda takes.
    """
    writing.check_free(target)
    own: Files = {FUNCTION: filled(f"{SCAFFOLD}/{FUNCTION}", entry).encode()}
    with function_files(entry, artifact, own) as files:
        writing.write_function(target, FUNCTION_ARCHIVE, files)
        return {name: read(content) for name, content in files.items()}


@contextmanager
def function_files(entry: Entry, artifact: Artifact, own: Files) -> Iterator[Files]:
    """The files of a function of AWS Lambda that has ``artifact`` and what answers for it, and its
    ``own`` files; some are there within the context only. Raises as ``function`` does.
    """
    files = importable(entry, OF_ONNX)
    files.update(_within(MODEL, _model(entry, artifact)))
    files.update(own)
    roots = [
        root
        for root in _roots(entry, frozenset())
        if canonicalize_name(root.name) not in COMMAND_LINE
    ]
    lines = locks.locked(roots, [LAMBDA_MACHINE])
    with tempfile.TemporaryDirectory(prefix="algoshelf-") as scratch:
        packages = Path(scratch, "packages")
        locks.installed(lines, LAMBDA_MACHINE, packages)
        for path in sorted(packages.rglob("*")):
            name = path.relative_to(packages).as_posix()
            if path.is_file() and path.name not in INSTALLERS and not name.startswith("bin/"):
                files[name] = path
        _check_function(artifact, files)
        yield files


def model(entry: Entry, artifact: Artifact, target: Path) -> Files:
    """Write ``model.tar.gz``, the ``artifact`` with its model.onnx; the image has the code.

    Raises as ``container`` does.
    """
    writing.check_free(target)
    files = _model(entry, artifact)
    writing.write_archive(target, MODEL_ARCHIVE, files)
    return files


def bare(artifact: Artifact, target: Path) -> Files:
    """Write ``model.tar.gz``, the ``artifact`` as it is, for an image that has the code."""
    files = {name: artifact.folder / name for name in (METADATA, PARAMETERS, SYMBOL, ONNX)}
    files = {name: path for name, path in files.items() if path.is_file()}
    _check_size(artifact, dict(files))
    writing.write_archive(target, MODEL_ARCHIVE, dict(files))
    return dict(files)


def _model(entry: Entry, artifact: Artifact) -> Files:
    """The artifact's files, of which model.onnx has answered its example."""
    algorithm, folder = entry.algorithm, artifact.folder
    algorithm.check(algorithm.artifact(folder))
    lacking = onnx.missing()
    if lacking:
        raise MissingDependencyError(lacking)
    files: Files = {name: folder / name for name in (METADATA, PARAMETERS, SYMBOL)}
    if (folder / ONNX).is_file():
        Handlers.load(algorithm, folder, engine=ENGINE).example_response("*/*")
        files[ONNX] = folder / ONNX
    else:
        files[ONNX] = _exported(entry, artifact)
    _check_size(artifact, files)
    return files


def _exported(entry: Entry, artifact: Artifact) -> bytes:
    """The bytes of model.onnx, once ONNX Runtime answers as mxnet does."""
    handlers = Handlers.load(entry.algorithm, artifact.folder, engine=MXNET)
    with tempfile.TemporaryDirectory(prefix="algoshelf-") as scratch:
        target = Path(scratch, ONNX)
        onnx.export(artifact, handlers.model, example_inputs(handlers), target)
        return target.read_bytes()


def _roots(entry: Entry, extras: frozenset[str]) -> list[Requirement]:
    """What answering needs: algoshelf's requirements with ``extras``, onnxruntime, the plugin's."""
    own = metadata.distribution(OWN)
    found: dict[str, Requirement] = {}
    for machine in locks.MACHINES:
        environment = locks.environment(machine)
        for each in required(own, extras, environment):
            found[str(each)] = each
        for each in required(own, frozenset(["onnx"]), environment):
            if canonicalize_name(each.name) == "onnxruntime":
                found[str(each)] = each
        if is_own(entry):
            continue
        for each in required(
            distribution_of(entry), frozenset(entry.algorithm.extras), environment
        ):
            name = canonicalize_name(each.name)
            if name != OWN and not name.startswith(TRAINING):
                found[str(each)] = each
    return list(found.values())


def _within(folder: str, files: Files) -> Files:
    return {f"{folder}/{name}": content for name, content in files.items()}


def _check_size(artifact: Artifact, files: Files) -> None:
    size = sum(map(size_of, files.values()))
    if size > MAX_MODEL_BYTES:
        raise InputError(f"{artifact.folder}: has {size:,} bytes, more than {MAX_MODEL_BYTES:,}")


def _check_function(artifact: Artifact, files: Files) -> None:
    size = sum(map(size_of, files.values()))
    if size > MAX_FUNCTION_BYTES:
        model = sum(size_of(files[name]) for name in files if name.startswith(f"{MODEL}/"))
        raise InputError(
            f"{artifact.folder}: the function would have {size:,} bytes, of which the model takes "
            f"{model:,}; Lambda takes {MAX_FUNCTION_BYTES:,} at most: package it --as container"
        )
