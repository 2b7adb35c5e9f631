"""The instance types of Amazon SageMaker: their hardware, and which of them can run a model.

``instances.csv`` holds every type that botocore 1.44.5 (November 2026) lists for training jobs,
endpoints and batch transforms; vCPUs, memory and accelerators are those of EC2's
DescribeInstanceTypes, as moto 5.2.5 carries them, 4.2.14 for the P2, P3 and DL1 that EC2 has
dropped since, and AWS's announcement for P6e-GB200. Compute capabilities: https://developer.nvidia.com/cuda-gpus.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from ...core.runtime.devices import SUPPORTED_MAJOR, check_batch_splits
from ...core.runtime.errors import InputError, UnknownNameError, did_you_mean

TRAINING, ENDPOINT, TRANSFORM = USES = ("training", "endpoint", "transform")
TABLE = Path(__file__).with_name("instances.csv")
MAX_ALTERNATIVES = 5
CPU = "ml.m5.large"  # what an endpoint runs on unless it is told
# The SDK's image_uri_config (sagemaker 2.257) has images for Graviton of PyTorch, scikit-learn,
# TensorFlow and XGBoost, and none of MXNet.
AWS_IMAGE_ARCHITECTURE = "x86_64"
DROPPED = ("dl1", "p2", "p3")  # EC2 lists these families no longer, SageMaker still takes them


@dataclass(frozen=True)
class Instance:
    """One type; ``accelerators`` of the kind ``accelerator``, "" where there is none."""

    name: str
    vcpus: int
    memory: float  # GiB
    architecture: str
    accelerator: str
    accelerators: int
    accelerator_memory: float  # GiB of each
    compute_capability: tuple[int, int] | None  # of NVIDIA's
    uses: frozenset[str]

    @property
    def family(self) -> str:
        return self.name.split(".")[1]

    @property
    def gpus(self) -> int:
        """How many GPUs MXNet trains on; 0 where it trains on the processor."""
        return self.accelerators if self.compute_capability else 0

    @property
    def devices(self) -> int:
        """Over how many devices a batch is split on this host."""
        return self.gpus or 1

    @property
    def obstacle(self) -> str:
        """Why MXNet 1.9.1 cannot run here in any image, in a clause; "" where it can."""
        if self.compute_capability:
            major, minor = self.compute_capability
            if major not in SUPPORTED_MAJOR:
                return (
                    f"its {self.accelerator} has compute capability {major}.{minor}, and "
                    "mxnet-cu112 holds machine code for 5.0 to 8.9 only"
                )
        elif self.accelerators:
            return f"its {self.accelerator} is no GPU of NVIDIA, and MXNet has no code for it"
        return ""

    @property
    def needs_own_image(self) -> bool:
        """Whether AWS's MXNet image cannot run here, and one of one's own can."""
        return self.architecture != AWS_IMAGE_ARCHITECTURE

    @property
    def note(self) -> str:
        """What to know before choosing it; "" where there is nothing."""
        if self.family in DROPPED:
            return "EC2 lists this family no longer: AWS may have none left"
        if self.needs_own_image:
            return f"needs an image of your own that is built for {self.architecture}"
        return ""

    def check(self, use: str, *, gpu: bool = False, own_image: bool = False) -> None:
        """Raise InputError where it is not offered for ``use`` or cannot run the image.

        With ``gpu`` it must have a GPU. The image is AWS's of MXNet, or an ``own_image``, which is
        taken to be built for this type's processor.
        """
        faults = [self.obstacle] if self.obstacle else []
        if self.needs_own_image and not own_image:
            faults.append(
                f"its processor is {self.architecture}, and AWS's MXNet image is made for "
                f"{AWS_IMAGE_ARCHITECTURE} only: give --image, an image of your own for "
                f"{self.architecture}"
            )
        if use not in self.uses:
            offered = ", ".join(sorted(self.uses))
            faults.append(f"AWS does not offer it for {use} (only {offered})")
        if gpu and not self.accelerators:
            faults.append("it has no GPU")
        if faults:
            names = ", ".join(map(_described, self._alternatives(use, gpu=gpu)))
            raise InputError(*(f"{self.name}: {fault}; instead: {names}" for fault in faults))

    def _alternatives(self, use: str, *, gpu: bool) -> list[Instance]:
        """Of each family that runs MXNet and is offered for ``use`` the type most like this one."""
        wanted = bool(self.accelerators) or gpu
        fit = [
            instance
            for instance in known()
            if use in instance.uses
            and not instance.obstacle
            and not instance.note
            and bool(instance.gpus) == wanted
        ]
        same_class = [one for one in fit if one.family[0] == self.family[0]]
        nearest: dict[str, Instance] = {}
        for one in sorted(same_class if not wanted and same_class else fit, key=self._distance):
            nearest.setdefault(one.family, one)
        return list(nearest.values())[:MAX_ALTERNATIVES]

    def _distance(self, other: Instance) -> tuple[object, ...]:
        """How unlike ``other`` is: GPUs first, then vCPUs, then memory."""
        return (
            abs(other.gpus - self.accelerators),
            abs(other.vcpus - self.vcpus),
            abs(other.memory - self.memory),
            other.name,
        )


def _described(instance: Instance) -> str:
    if not instance.gpus:
        return instance.name
    return f"{instance.name} ({instance.gpus} × {instance.accelerator})"


def find(name: str) -> Instance:
    """The type ``name``, such as ``ml.m5.xlarge``. Raises UnknownNameError with near names."""
    table = _table()
    if name in table:
        return table[name]
    if f"ml.{name}" in table:
        raise UnknownNameError(f"no instance type {name!r}: on SageMaker it is 'ml.{name}'")
    shown = repr(name[:100])
    family = name.rpartition(".")[0]
    sizes = [one for one in table if one.rpartition(".")[0] == family]
    if sizes:
        raise UnknownNameError(f"no instance type {shown}; there are {', '.join(sizes)}")
    near = did_you_mean(name, table) or "; `algoshelf sagemaker cost` lists them"
    raise UnknownNameError(f"no instance type {shown} on SageMaker{near}")


def known() -> list[Instance]:
    """Every type, by family and size."""
    return list(_table().values())


def check_batch(batch_size: int, instance: Instance, hosts: int = 1) -> None:
    """Raise InputError where a batch of the whole job cannot be split over all devices evenly."""
    if hosts < 1:
        raise InputError(f"--hosts: expected 1 or more, got {hosts}")
    check_batch_splits(batch_size, instance.devices * hosts)


@lru_cache(maxsize=1)
def _table() -> dict[str, Instance]:
    with TABLE.open(encoding="utf-8", newline="") as stream:
        return {row["name"]: _instance(row) for row in csv.DictReader(stream)}


def _instance(row: dict[str, str]) -> Instance:
    major, _, minor = row["compute_capability"].partition(".")
    return Instance(
        name=row["name"],
        vcpus=int(row["vcpus"]),
        memory=float(row["memory_gib"]),
        architecture=row["architecture"],
        accelerator=row["accelerator"],
        accelerators=int(row["count"]),
        accelerator_memory=float(row["accelerator_gib"] or 0),
        compute_capability=(int(major), int(minor)) if major else None,
        uses=frozenset(row["uses"].split("+")),
    )
