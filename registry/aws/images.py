"""The addresses of AWS's MXNet images, the last of which hold MXNet 1.9.0 and Python 3.8.

``images.csv`` has each region's registry, for training and inference alike, as the SageMaker SDK
2.257.7 has it in image_uri_config/mxnet.json for MXNet 1.9.0; read on 2026-11-27. AWS makes no
new images of MXNet, so a region that opens later has none.
"""

from __future__ import annotations

import csv
from functools import lru_cache
from pathlib import Path

from ...core.runtime.errors import InputError
from . import instances
from .account import NO_REGION

TABLE = Path(__file__).with_name("images.csv")
MXNET, PYTHON = "1.9.0", "py38"
INFERENCE = "inference"
REGISTRY = f"REGISTRY.dkr.ecr.{NO_REGION}.amazonaws.com"  # in a dry run that knows no region
# By how the names of their regions begin; all others are in the standard one, "aws".
PARTITIONS = {
    "cn-": "aws-cn",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
}


def image(region: str, instance: str, scope: str) -> str:
    """The URI of AWS's MXNet image for ``scope``, TRAINING or INFERENCE, on ``instance``.

    Raises InputError where AWS has none in the region, UnknownNameError.
    """
    registry = REGISTRY if region == NO_REGION else _registries().get(region)
    if registry is None:
        raise InputError(
            f"{region}: AWS has no image of MXNet in this region: choose another --region, or "
            "give an image of your own (--image; `algoshelf package --as container`)"
        )
    device = "gpu" if instances.find(instance).gpus else "cpu"
    return f"{registry}/mxnet-{scope}:{MXNET}-{device}-{PYTHON}"


def regions() -> list[str]:
    """Those that have the images."""
    return list(_registries())


def accounts(partition: str) -> list[str]:
    """The numbers of AWS's accounts that hold the images in the regions of ``partition``."""
    found = {
        registry.split(".")[0]
        for region, registry in _registries().items()
        if partition_of(region) == partition
    }
    return sorted(found)


def partition_of(region: str) -> str:
    """The partition of AWS that ``region`` is in."""
    return next((name for start, name in PARTITIONS.items() if region.startswith(start)), "aws")


@lru_cache(maxsize=1)
def _registries() -> dict[str, str]:
    with TABLE.open(encoding="utf-8", newline="") as stream:
        return {row["region"]: row["registry"] for row in csv.DictReader(stream)}
