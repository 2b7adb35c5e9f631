"""Pretrained weights, from a model folder of algoshelf or a params file as Gluon saves it."""

from __future__ import annotations

from pathlib import Path
from typing import AbstractSet, Any, Iterator, Mapping

from ...core import Array, DataError, HybridBlock, mx
from ...core.artifact.metadata import PARAMETERS
from ...core.runtime import params
from ...core.runtime.staging import digest_of
from ...core.weights import folder as pretrained
from . import networks


def load(network: HybridBlock, path: Path, head: AbstractSet[str]) -> str:
    """Give ``network`` the weights at ``path``; what was done, in a sentence.

    All have to be there but those of the output layer, ``head``, which are taken where they fit.
    Raises DataError.
    """
    file = _file(path)
    if pretrained.is_folder(path):
        pretrained.read(path)  # compares them with their digests
    try:
        found = {params.plain(name): array for name, array in params.load(file).items()}
    except params.ParamsError as error:
        raise DataError(f"{file}: not a params file: {error}") from None
    missing = _assign(network, found)
    _check(missing - head, str(file))
    taken = len(network._collect_params_with_prefix()) - len(missing)
    layer = "a new output layer" if missing else "its output layer"
    return f"starting from {taken} arrays of {path.name}, and {layer}"


def whole(name: str, arrays: Mapping[str, Array], label: str) -> HybridBlock:
    """The network ``name`` with all its weights from ``arrays``, and as many classes as they have.

    Raises DataError that begins with ``label``.
    """
    head = networks.output_layer(name, 2)
    trial = networks.build(name, 2)
    sizes = {
        arrays[key].shape[0]
        for place, parameter in trial._collect_params_with_prefix().items()
        if place in head
        for key in _names(place, parameter, trial.prefix)
        if key in arrays
    }
    if len(sizes) != 1:
        raise DataError(
            f"{label}: holds no output layer of the network {name} ({', '.join(sorted(head))}): "
            "give --network the name of the network that the weights belong to; weights without "
            "one are a beginning for `algoshelf train` (--model)"
        )
    network = networks.build(name, sizes.pop())
    network.initialize()
    given = {key: params.to_mxnet(array) for key, array in arrays.items()}
    _check(_assign(network, given), label)
    for parameter in network.collect_params().values():
        parameter._finish_deferred_init()  # Gluon waits for an input, which tells no more
    return network


def _assign(network: HybridBlock, found: Mapping[str, Any]) -> set[str]:
    """Give an initialized ``network`` what fits of ``found``; the places that nothing fits."""
    missing = set()
    for name, parameter in network._collect_params_with_prefix().items():
        keys = _names(name, parameter, network.prefix)
        array = next((found[key] for key in keys if key in found), None)
        if array is not None and _fits(parameter.shape, array.shape):
            parameter.shape = array.shape
            parameter.set_data(array)
        else:
            missing.add(name)
    return missing


def _check(missing: AbstractSet[str], label: str) -> None:
    if missing:
        raise DataError(
            f"{label}: has no matching weights for {len(missing)} parameters of the network, such "
            f"as {min(missing)}: give --network the name of the network that the weights belong to"
        )


def _file(path: Path) -> Path:
    return path / PARAMETERS if path.is_dir() else path


def digest(path: Path) -> str:
    """The SHA-256 of the weights at ``path``."""
    return digest_of(_file(path))


def _names(name: str, parameter: Any, prefix: str) -> Iterator[str]:
    """How ``parameter`` may be called: by its place, by its name, that without the ``prefix`` of
    the network, as Gluon once saved it, in its features alone, or as PyTorch calls it: the places
    in torchvision's ResNets are those of GluonCV's ``v1b``.
    """
    yield name
    yield parameter.name
    if prefix and parameter.name.startswith(prefix):
        yield parameter.name[len(prefix) :]
    if name.startswith("features."):
        yield name[len("features.") :]
    for own, torch in ((".gamma", ".weight"), (".beta", ".bias")):
        if name.endswith(own):
            yield name[: -len(own)] + torch


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
