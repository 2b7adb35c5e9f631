"""Pretrained weights, from a model folder of algoshelf or a params file as Gluon saves it."""

from __future__ import annotations

from pathlib import Path
from typing import AbstractSet, Any, Iterator

from ...core import DataError, HybridBlock, mx
from ...core.artifact.metadata import PARAMETERS
from ...core.runtime import params
from ...core.runtime.staging import digest_of


def load(network: HybridBlock, path: Path, head: AbstractSet[str]) -> str:
    """Give ``network`` the weights at ``path``; what was done, in a sentence.

    All have to be there but those of the output layer, ``head``, which are taken where they fit.
    Raises DataError.
    """
    file = _file(path)
    try:
        found = {params.plain(name): array for name, array in params.load(file).items()}
    except params.ParamsError as error:
        raise DataError(f"{file}: not a params file: {error}") from None
    taken, anew = 0, False
    missing: list[str] = []
    for name, parameter in network._collect_params_with_prefix().items():
        array = next((found[key] for key in _names(name, parameter) if key in found), None)
        if array is not None and _fits(parameter.shape, array.shape):
            parameter.shape = array.shape
            parameter.set_data(array)
            taken += 1
        elif name in head:
            anew = True
        else:
            missing.append(name)
    if missing:
        raise DataError(
            f"{file}: has no matching weights for {len(missing)} parameters of the network, such "
            f"as {missing[0]}: give --network the name of the network that the weights belong to"
        )
    layer = "a new output layer" if anew else "its output layer"
    return f"starting from {taken} arrays of {path.name}, and {layer}"


def _file(path: Path) -> Path:
    return path / PARAMETERS if path.is_dir() else path


def digest(path: Path) -> str:
    """The SHA-256 of the weights at ``path``."""
    return digest_of(_file(path))


def _names(name: str, parameter: Any) -> Iterator[str]:
    """How ``parameter`` may be called: by its place, by its name, or in its features alone."""
    yield name
    yield parameter.name
    if name.startswith("features."):
        yield name[len("features.") :]


def _fits(shape: tuple[int, ...] | None, there: tuple[int, ...]) -> bool:
    """Whether ``there`` is ``shape``, in which 0 is not known yet."""
    return shape is None or (
        len(shape) == len(there) and all(a in (0, b) for a, b in zip(shape, there))
    )


def freeze(network: HybridBlock, head: AbstractSet[str]) -> None:
    """Leave all of ``network`` but its output layer as it is, running statistics too."""
    for name, parameter in network._collect_params_with_prefix().items():
        if name not in head:
            parameter.grad_req = "null"
    network.apply(_use_running_statistics)


def _use_running_statistics(block: Any) -> None:
    if isinstance(block, mx.gluon.nn.BatchNorm):
        block._kwargs["use_global_stats"] = True
