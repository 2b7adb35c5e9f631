"""Devices: parse ``--devices``, find the GPUs that this mxnet supports, choose a KVStore."""

from __future__ import annotations

import contextlib
import ctypes
import re
from typing import NamedTuple, Sequence

from . import mx
from .errors import InputError
from .types import Array, Context, NDArray

FORMS = "auto, cpu, cpu:N (N replicas on the CPU), gpu (all GPUs) or gpu:0,2 (by number)"
# mxnet-cu112 1.9.1 holds machine code for these alone, and no PTX to compile anew: each serves its
# major version from its minor one up, and nothing serves Hopper (9.0) and later.
MACHINE_CODE = (50, 60, 70, 80, 86)
SUPPORTED_MAJOR = range(5, 9)
CUDA = (11, 0)  # the least that the driver has to run, by CUDA's compatibility of minor versions
STORES = ("device", "local", "nccl")
DISTRIBUTED_STORES = ("dist_sync", "dist_device_sync")
COMPRESSING_STORES = ("device", *DISTRIBUTED_STORES)
# Which store is chosen, where: what ``info`` and the log explain.
KVSTORES = {
    "device": "Several devices in one process: gradients are summed on the devices.",
    "nccl": "Several GPUs, where mxnet was built with NCCL: NVIDIA's library sums the gradients.",
    "dist_sync": "Several hosts with one CPU device each: parameter servers sum the gradients.",
    "dist_device_sync": "Several hosts with GPUs or several devices each: gradients are summed on "
    "the devices of each host, then by parameter servers.",
}
# https://docs.nvidia.com/cuda/cuda-driver-api/group__CUDA__TYPES.html, CUresult
_CUDA_ERRORS = {
    3: ": it is not initialized",
    100: ": there is no GPU, or this container was started without one",
    802: ": the system is not ready yet (NVSwitch's fabric manager)",
    803: ": the driver and its libraries are of different versions: restart, or install anew",
    804: ": the libraries of forward compatibility do not go with this GPU",
    999: ": unknown; `nvidia-smi` may say more",
}
_CUDA_MAJOR, _CUDA_MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR


class Gpu(NamedTuple):
    """A GPU as the driver names it, with its compute capability."""

    name: str
    major: int
    minor: int


def parse_devices(text: str) -> list[Context]:
    """The mxnet contexts of ``text``, one of FORMS.

    ``cpu:N`` is N replicas on the processor: a way to exercise what several GPUs do. Raises
    InputError for another form, and for GPUs that are not there or cannot run this mxnet.
    """
    kind, _, rest = text.partition(":")
    if text == "auto":
        usable = [index for index, gpu in enumerate(gpus()) if is_supported(gpu)]
        return [mx.gpu(index) for index in usable if has_cuda()] or [mx.cpu()]
    if kind == "cpu" and re.fullmatch(r"([1-9]\d?)?", rest) and text != "cpu:":
        replicas = int(rest or 1)
        mx.share_threads(replicas)
        return [mx.cpu(index) for index in range(replicas)]
    if kind == "gpu" and re.fullmatch(r"(\d+(,\d+)*)?", rest) and text != "gpu:":
        return _gpu_contexts([int(number) for number in rest.split(",") if number])
    raise InputError(f"--devices: expected {FORMS}, got {text!r}")


def _gpu_contexts(numbers: list[int]) -> list[Context]:
    there = gpus()
    if not there:
        raise InputError("--devices: this machine has no usable NVIDIA GPU (nvidia-smi lists them)")
    if not has_cuda():
        raise InputError(
            "--devices: the installed mxnet is built for CPUs only; pip install 'algoshelf[gpu]' "
            "for GPUs"
        )
    numbers = numbers or list(range(len(there)))
    faults = [
        f"--devices: there is no GPU {number}, only 0 to {len(there) - 1}"
        for number in numbers
        if number >= len(there)
    ]
    faults += [
        f"--devices: GPU {number} ({there[number].name}) has compute capability "
        f"{there[number].major}.{there[number].minor}; mxnet 1.9.1 runs on 5.0 to 8.9 "
        "(up to A100, A10G and L4)"
        for number in numbers
        if number < len(there) and not is_supported(there[number])
    ]
    if len(set(numbers)) < len(numbers):
        faults.append("--devices: a GPU is named twice")
    if faults:
        raise InputError(*faults)
    return [mx.gpu(number) for number in numbers]


def check_batch_splits(batch_size: int, devices: int) -> None:
    """Raise InputError, with the nearest that do, where a batch does not split over ``devices``."""
    if batch_size % devices:
        below = batch_size // devices * devices
        nearest = " or ".join(str(size) for size in (below, below + devices) if size)
        raise InputError(
            f"a batch of {batch_size} cannot be split evenly over {devices} devices: "
            f"give --batch-size {nearest}"
        )


def has_cuda() -> bool:
    """Whether this mxnet is built for GPUs."""
    return bool(mx.runtime.Features().is_enabled("CUDA"))


def machine_code(gpu: Gpu) -> int | None:
    """Which of MACHINE_CODE the GPU runs, such as 86; None where it can run none."""
    own = gpu.major * 10 + gpu.minor
    return max((code for code in MACHINE_CODE if own // 10 * 10 <= code <= own), default=None)


def is_supported(gpu: Gpu) -> bool:
    """Whether mxnet-cu112 1.9.1 has machine code for it."""
    return machine_code(gpu) is not None


class Driver(NamedTuple):
    """NVIDIA's driver: ``cuda`` is the newest version of CUDA that it runs, such as (12, 4).

    ``fault`` says why it shows no GPU, "" where it shows some; ``gpus`` are those it shows.
    """

    cuda: tuple[int, int] = (0, 0)
    fault: str = ""
    gpus: Sequence[Gpu] = ()


def gpus() -> list[Gpu]:
    """The GPUs that NVIDIA's driver shows, without importing mxnet; none without a driver."""
    return list(driver().gpus)


def driver() -> Driver:
    """NVIDIA's driver, asked without mxnet and without its toolkit."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError as error:
        return Driver(fault=f"no NVIDIA driver: {error}")
    version, count = ctypes.c_int(0), ctypes.c_int(0)
    with contextlib.suppress(AttributeError):
        cuda.cuDriverGetVersion(ctypes.byref(version))
    newest = (version.value // 1000, version.value % 1000 // 10)
    failed = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
    if failed:
        why = _CUDA_ERRORS.get(failed, "")
        return Driver(newest, f"NVIDIA's driver answers with error {failed}{why}")
    found = []
    for index in range(count.value):
        device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        name = ctypes.create_string_buffer(256)
        failed = (
            cuda.cuDeviceGet(ctypes.byref(device), index)
            or cuda.cuDeviceGetName(name, len(name), device)
            or cuda.cuDeviceGetAttribute(ctypes.byref(major), _CUDA_MAJOR, device)
            or cuda.cuDeviceGetAttribute(ctypes.byref(minor), _CUDA_MINOR, device)
        )
        if not failed:
            found.append(Gpu(name.value.decode(errors="replace"), major.value, minor.value))
    return Driver(newest, "" if found else "NVIDIA's driver shows no GPU", found)


def choose_distributed(devices: list[Context], asked: str) -> tuple[str, str]:
    """The KVStore that sums gradients over hosts, and why. Raises InputError for another one."""
    if asked not in ("auto", *DISTRIBUTED_STORES):
        raise InputError(
            f"--kvstore: with several hosts expected auto, {', '.join(DISTRIBUTED_STORES)}; "
            f"got {asked!r}"
        )
    if asked != "auto":
        return asked, f"KVStore {asked}, as given by --kvstore"
    several = devices[0].device_type == "gpu" or len(devices) > 1
    return _chosen("dist_device_sync" if several else "dist_sync")


def _chosen(store: str) -> tuple[str, str]:
    return store, f"KVStore {store}: {KVSTORES[store][:1].lower()}{KVSTORES[store][1:-1]}"


def choose_kvstore(devices: list[Context], asked: str) -> tuple[str | None, str]:
    """The KVStore that sums gradients over ``devices``, and why, in a sentence.

    None where there is one device and nothing to sum. Raises InputError for a store that is
    not there or does not fit.
    """
    on_gpus = devices[0].device_type == "gpu"
    has_nccl = mx.runtime.Features().is_enabled("NCCL")
    if asked not in ("auto", *STORES):
        raise InputError(f"--kvstore: expected auto, {', '.join(STORES)}; got {asked!r}")
    if asked == "nccl" and not (on_gpus and has_nccl):
        raise InputError("--kvstore nccl: needs GPUs, and an mxnet that was built with NCCL")
    if len(devices) == 1:
        return None, "no KVStore: a single device has no gradients to sum"
    if asked != "auto":
        return asked, f"KVStore {asked}, as given by --kvstore"
    return _chosen("nccl" if on_gpus and has_nccl else "device")


def on_device(batch: Array, device: Context) -> NDArray:
    """``batch`` on ``device``, without waiting; it may be taken over, and is not to be used again.

    ``mx.nd.array`` copies, and before it does it waits for what the device has yet to do.
    """
    whole = batch.flags.owndata and batch.flags.c_contiguous
    array = mx.nd.from_numpy(batch if whole else batch.copy(order="C"))
    return array.as_in_context(device)
