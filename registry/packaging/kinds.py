"""The three kinds of packages; each is checked as a whole before anything is written."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from ...core.artifact.folder import Artifact
from ...core.artifact.metadata import METADATA, PARAMETERS, SYMBOL
from ...core.runtime.errors import InputError, PluginError
from ...core.weights import ABOUT, PACKED, Pretrained
from ..discovery import Entry
from . import requirements, writing
from .contents import Files, importable, installable, size_of
from .requirements import SCAFFOLD, WHEELS
from .wheel import wheel

ENTRY_POINT = "entry_point.py"
INFERENCE = "inference.py"  # the module that AWS's serving toolkit imports unless told otherwise
MODEL_ARCHIVE = "model.tar.gz"
SOURCE_ARCHIVE = "sourcedir.tar.gz"  # as AWS's training toolkit names it
STARTERS = frozenset(["serve", "train"])  # the names by which SageMaker starts an image
TOOLS = ["pip", "setuptools"]  # of a new environment, whose own are as old as its Python
# The line of the Dockerfile after which weights are copied, too.
INSTALLED = "COPY --from=build /opt/algoshelf /opt/algoshelf"
COPIED = f"COPY {PACKED} /opt/algoshelf/{PACKED}"
MAX_MODEL_BYTES = 5 * 2**30  # S3 takes so much in one upload


def script(
    entry: Entry, target: Path, *, offline: bool = False, weights: Pretrained | None = None
) -> Files:
    """Write the ``source_dir`` that trains and serves ``entry`` in AWS's MXNet image; its files.

    It begins with ``weights``, where they are given. Raises InputError, OutputError or PluginError,
    and then leaves nothing.
    """
    writing.check_free(target)
    files = {**_source(entry, ENTRY_POINT, offline), **_packed(weights)}
    writing.write_folder(target, files)
    return files


def script_archive(entry: Entry, target: Path, *, offline: bool = False) -> Path:
    """Write what ``script`` writes as one archive in the folder ``target``, for a training job."""
    writing.write_archive(target, SOURCE_ARCHIVE, _source(entry, ENTRY_POINT, offline))
    return target / SOURCE_ARCHIVE


def model(entry: Entry, artifact: Artifact, target: Path, *, offline: bool = False) -> Files:
    """Write ``model.tar.gz``, the ``artifact`` with the code that answers for it; its files.

    Raises ArtifactError, InputError, OutputError or PluginError, and then leaves nothing.
    """
    writing.check_free(target)
    entry.algorithm.check(entry.algorithm.artifact(artifact.folder))
    files: Files = {name: artifact.folder / name for name in (METADATA, PARAMETERS, SYMBOL)}
    size = sum(size_of(content) for content in files.values())
    if size > MAX_MODEL_BYTES:
        raise InputError(f"{artifact.folder}: has {size:,} bytes, more than {MAX_MODEL_BYTES:,}")
    code = _source(entry, INFERENCE, offline)
    files.update({f"code/{path}": content for path, content in code.items()})
    writing.write_archive(target, MODEL_ARCHIVE, files)
    return files


def container(
    entry: Entry, target: Path, *, lock: bool = False, weights: Pretrained | None = None
) -> Files:
    """Write what an image of one's own is built from, for CPUs and for GPUs; its files.

    With ``lock`` it installs the versions of today alone, by their hashes; it begins with
    ``weights``, where they are given. Raises AlgoshelfError, InputError, OutputError or
    PluginError, and then leaves nothing.
    """
    writing.check_free(target)
    files: Files = _packed(weights)
    installed = []
    for name, content in installable(entry).items():
        file, body = wheel(metadata.distribution(name), content)
        files[f"{WHEELS}/{file}"] = body
        installed.append(f"./{WHEELS}/{file}")
    extras = entry.algorithm.extras
    own, others = installed[0], installed[1:]
    for device, suffix in (("cpu", ""), ("gpu", ".gpu")):
        mine = [device, "serve", *(extras if not others else ())]
        theirs = [f"{path}[{','.join(extras)}]" if extras else path for path in others]
        lines = [f"{own}[{','.join(mine)}]", *theirs]
        lines += TOOLS
        if lock:
            lines = requirements.locked(lines, files)
        files[f"requirements-{device}.txt"] = requirements.text(lines)
        dockerfile = filled("Dockerfile", entry).replace(
            "requirements-DEVICE", f"requirements-{device}"
        )
        if weights is not None:
            dockerfile = dockerfile.replace(INSTALLED, f"{INSTALLED}\n{COPIED}", 1)
        files[f"Dockerfile{suffix}"] = dockerfile.encode()
    for name in STARTERS:
        files[name] = filled(name, entry).encode()
    writing.write_folder(target, files, executable=STARTERS)
    return files


def _packed(weights: Pretrained | None) -> Files:
    """The files of ``weights`` as ``core/container/job.py`` finds them."""
    names = [] if weights is None else [ABOUT, *weights.about.files]
    return {f"{PACKED}/{name}": weights.folder / name for name in names if weights is not None}


def _source(entry: Entry, entry_point: str, offline: bool) -> Files:
    """What ``entry`` needs to train and to answer, and the module that AWS's toolkits call."""
    files = importable(entry)
    taken = sorted({entry_point, "requirements.txt"} & files.keys())
    if taken:
        raise PluginError(
            f"{entry.distribution}: its {taken[0]} has the name of a file that packaging adds: "
            "rename it"
        )
    lines = requirements.missing(entry)
    files[entry_point] = filled(ENTRY_POINT, entry).encode()
    files["requirements.txt"] = requirements.text(lines, offline=offline)
    if offline:
        files.update(requirements.wheels(lines))
    return files


def filled(name: str | Path, entry: Entry) -> str:
    """The file ``name`` of the scaffold, or one elsewhere, of this algorithm."""
    cls = type(entry.algorithm)
    if "." in cls.__qualname__:
        raise PluginError(
            f"{cls.__module__}.{cls.__qualname__}: cannot be imported by its name: define the "
            "class at the top of its module"
        )
    names = {
        "algorithm_name": entry.algorithm.name,
        "algorithm_module": cls.__module__,
        "AlgorithmClass": cls.__name__,
        "DISTRIBUTION": f"{entry.distribution} {entry.version}",
    }
    text = (SCAFFOLD / name).read_text(encoding="utf-8")
    pattern = "|".join(rf"\b{name}\b" for name in names)
    return re.sub(pattern, lambda found: names[found[0]], text)
