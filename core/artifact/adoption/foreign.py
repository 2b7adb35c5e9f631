"""A model from elsewhere: its files, and what they hold."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Iterator, Mapping

from ...runtime import graph as graphs
from ...runtime import params
from ...runtime.archives import Bounds, unpack
from ...runtime.errors import DataError, InputError
from ...runtime.types import Array
from ..metadata import Example, InputSignature, name_faults
from . import upgrade
from .draft import Draft

RGB, BGR = "rgb", "bgr"
MAX_TEXT_BYTES = 16 * 2**20  # of a list of classes, and of the shapes in an archive
BOUNDS = Bounds(contents=2 * params.MAX_BYTES)
SHAPES = "model-shapes.json"
_EPOCH = re.compile(r"-(\d{4})\.params$")
# What SageMaker's algorithms call their parameters: model_algo-1, a number a host.
_BUILT_IN = re.compile(r"model_algo-\d{1,4}")


@dataclass(frozen=True)
class Files:
    """Where the files of a model lie; ``labels`` are how an error names them."""

    parameters: Path
    symbol: Path | None = None
    shapes: Path | None = None
    labels: Mapping[Path, str] = field(default_factory=dict)

    def label(self, path: Path) -> str:
        return self.labels.get(path, str(path))


@dataclass(frozen=True)
class Pixels:
    """How pictures become what a network was trained on, channel by channel.

    Values from 0 to ``largest``, less ``mean``, divided by ``std``; ``order`` of the channels. Each
    of ``mean`` and ``std`` is empty where there is none.
    """

    largest: float = 255.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    order: str = RGB

    def __str__(self) -> str:
        parts = [f"pixel values from 0 to {self.largest:g} in the order {self.order.upper()}"]
        if self.mean:
            parts.append(f"less {', '.join(f'{value:g}' for value in self.mean)}")
        if self.std:
            parts.append(f"divided by {', '.join(f'{value:g}' for value in self.std)}")
        return ", ".join(parts)


@dataclass(frozen=True)
class Foreign:
    """What is known of a model from elsewhere; what was not told or found is empty.

    ``draft`` is its graph, ``arrays`` its parameters by their plain names, ``shape`` that of one
    example, ``network`` the name of the network whose parameters these are. ``label`` is how an
    error names its parameters, ``origin`` the SHA-256 of each file, ``epoch`` that of its name.
    """

    arrays: Mapping[str, Array]
    draft: Draft | None = None
    classes: tuple[str, ...] = ()
    shape: tuple[int, ...] = ()
    network: str = ""
    pixels: Pixels | None = None
    label: str = "the parameters"
    symbol_label: str = "the network"
    origin: Mapping[str, str] = field(default_factory=dict)
    epoch: int | None = None


@dataclass(frozen=True)
class Adopted:
    """A model that an algorithm has taken: what its artifact is made of.

    ``graph`` is the file of its network, ``arrays`` are its parameters by their plain names;
    ``notes`` say what was assumed or left out.
    """

    graph: bytes
    arrays: Mapping[str, Array]
    signature: InputSignature
    example: Example
    encoding: Mapping[str, Any] = field(default_factory=dict)
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@contextmanager
def unpacked(archive: Path) -> Iterator[Files]:
    """The files in a ``model.tar.gz`` of SageMaker's own algorithms. Raises DataError."""
    with tempfile.TemporaryDirectory(prefix="algoshelf-") as scratch:
        names = unpack(archive, Path(scratch), _wanted, BOUNDS)
        labels = {Path(scratch, name): f"{archive}: {name}" for name in names}
        symbols = [path for path in labels if path.name.endswith("-symbol.json")]
        found = [path for path in labels if _is_parameters(path.name)]
        shapes = [path for path in labels if path.name == SHAPES]
        if len(found) != 1 or len(symbols) > 1 or len(shapes) > 1:
            raise DataError(
                f"{archive}: holds {len(symbols)} graphs (-symbol.json) and {len(found)} files of "
                "parameters (.params, model_algo-1): expected one of each, or parameters alone; "
                "unpack it, and give --symbol and --params"
            )
        yield Files(
            found[0], symbols[0] if symbols else None, shapes[0] if shapes else None, labels
        )


def _is_parameters(name: str) -> bool:
    return name.endswith(".params") or _BUILT_IN.fullmatch(name) is not None


def _wanted(name: str) -> int:
    """How many bytes an archive's file may have; 0 where it is of no use."""
    base = PurePosixPath(name).name
    if base.endswith("-symbol.json"):
        return graphs.MAX_BYTES
    if base == SHAPES:
        return MAX_TEXT_BYTES
    return params.MAX_BYTES if _is_parameters(base) else 0


def read(files: Files, *, layer: str = "", **known: Any) -> Foreign:
    """What ``files`` hold, and what else is ``known`` of the model, as Foreign has it.

    The output is that of ``layer``, if it is named. Raises DataError with all that is wrong with
    each of the files.
    """
    faults: list[str] = []
    origin: dict[str, str] = {}
    draft = held = None
    shape: tuple[int, ...] = ()
    if files.symbol is not None:
        label = files.label(files.symbol)
        try:
            content = limited(files.symbol, graphs.MAX_BYTES)
            origin[files.symbol.name] = hashlib.sha256(content).hexdigest()
            draft = upgrade.read(content)
            draft = draft.at(layer) if layer else draft
        except graphs.GraphError as error:
            faults += [f"{label}: {fault}" for fault in error.faults]
        except OSError as error:
            faults.append(f"{label}: {error.strerror}")
    try:
        held = params.read(files.parameters, named=False)
        origin[files.parameters.name] = held.digest
    except params.ParamsError as error:
        faults.append(f"{files.label(files.parameters)}: {error}")
    except OSError as error:
        faults.append(f"{files.label(files.parameters)}: {error.strerror}")
    if files.shapes is not None:
        try:
            shape = _shape(limited(files.shapes, MAX_TEXT_BYTES))
        except (ValueError, RecursionError, OSError):
            faults.append(
                f"{files.label(files.shapes)}: expected the name and the shape of one input"
            )
    if faults or held is None:
        raise DataError(*faults)
    epoch = _EPOCH.search(files.parameters.name)
    given = {key: value for key, value in known.items() if value}
    arrays = {params.plain(name): array for name, array in held.arrays.items()}
    if draft is not None and not shape:
        shape = _shape_of_input(draft, arrays)
    return Foreign(
        arrays,
        draft,
        label=files.label(files.parameters),
        symbol_label=files.label(files.symbol) if files.symbol else "the network",
        origin=origin,
        epoch=int(epoch[1]) if epoch else None,
        **{"shape": shape, **given},
    )


def _shape_of_input(draft: Draft, arrays: Mapping[str, Array]) -> tuple[int, ...]:
    """Of one example, where the graph says it of its one input; empty otherwise."""
    free = [name for name in draft.variables() if name not in arrays]
    sizes = draft.shapes.get(free[0], ())[1:] if len(free) == 1 else ()
    return sizes if all(sizes) else ()


def limited(path: Path, most: int) -> bytes:
    """What a file holds, or a byte more than ``most`` of it. Raises OSError."""
    with path.open("rb") as stream:
        return stream.read(most + 1)


def _shape(content: bytes) -> tuple[int, ...]:
    """Of one example, as the MXNet containers write it: [{"name": "data", "shape": [N, …]}]."""
    (found,) = json.loads(content)
    sizes = found["shape"] if isinstance(found, dict) and "shape" in found else None
    if not isinstance(sizes, list) or not all(type(s) is int and 0 < s < 2**31 for s in sizes):
        raise ValueError("no shape")
    return tuple(sizes[1:])


def read_classes(path: Path) -> tuple[str, ...]:
    """The names of classes, one a line. Raises InputError with all that is wrong with them."""
    try:
        content = limited(path, MAX_TEXT_BYTES)
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise InputError(f"{path}: line {line}: is not UTF-8") from None
    if len(content) > MAX_TEXT_BYTES:
        raise InputError(f"{path}: is larger than {MAX_TEXT_BYTES:,} bytes")
    names = text.replace("\r\n", "\n").rstrip("\n").split("\n")
    faults = [
        f"{path}: line {number}: is blank: expected the name of a class"
        for number, name in enumerate(names, 1)
        if not name.strip()
    ]
    faults = faults[:1] or [f"{path}: {fault}" for fault in name_faults({"classes": names})]
    if faults:
        raise InputError(*faults)
    return tuple(names)
