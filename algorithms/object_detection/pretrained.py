"""The features of a network, begun with weights that were trained before on other pictures."""

from __future__ import annotations

from pathlib import Path

from ...core import DataError, HybridBlock, mx
from ...core.runtime import params
from ...core.runtime.staging import digest_of
from ...core.weights import is_folder, read

FEATURES = "features."


def load(features: HybridBlock, path: Path) -> tuple[str, str]:
    """Give the initialized ``features`` their weights of ``path``, a folder of pretrained weights
    or a params file as Gluon saves it; what was done, in a sentence, and the file's SHA-256.

    Raises DataError where not all of them are there.
    """
    if is_folder(path):
        given = read(path)
        digest = given.digest
        found = {name: params.to_mxnet(each) for name, each in given.arrays().items()}
    else:
        digest = digest_of(path)
        try:
            found = params.load(path)
        except params.ParamsError as error:
            raise DataError(f"{path}: not a params file: {error}") from None
    found = {params.plain(name): array for name, array in found.items()}
    wanted = features._collect_params_with_prefix(FEATURES.rstrip("."))
    missing = [
        name
        for name, parameter in wanted.items()
        if name not in found or not _fits(parameter.shape, found[name].shape)
    ]
    if missing:
        raise DataError(
            f"{path}: has no matching weights for {len(missing)} of {len(wanted)} parameters of "
            f"the features, such as {missing[0]}: expected those of Gluon's mobilenet_v2_1_0"
        )
    for name, parameter in wanted.items():
        parameter.shape = found[name].shape
        parameter.set_data(found[name])
    return f"starting from {len(wanted)} arrays of {path.name}, and a new head", digest


def _fits(shape: tuple[int, ...] | None, there: tuple[int, ...]) -> bool:
    """Whether ``there`` is ``shape``, in which 0 is not known yet."""
    return shape is None or (
        len(shape) == len(there) and all(a in (0, b) for a, b in zip(shape, there))
    )


def settle(features: HybridBlock, frozen: int, pace: float) -> None:
    """Leave the first ``frozen`` layers of ``features`` as they are; the others learn at ``pace``
    times the learning rate, and all by the running statistics that they were given.
    """
    for place, layer in enumerate(features):
        for parameter in layer.collect_params().values():
            if place < frozen:
                parameter.grad_req = "null"
            parameter.lr_mult = pace
    features.apply(_use_running_statistics)


def _use_running_statistics(block: HybridBlock) -> None:
    if isinstance(block, mx.gluon.nn.BatchNorm):
        block._kwargs["use_global_stats"] = True
