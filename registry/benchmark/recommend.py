"""Which type and how many instances answer so many requests a second, at the least price.

From what one machine measures: requests a second per core, memory per worker
(``serving.capacity``). That a vCPU at AWS answers as many as a core here, and that
requests grow with the vCPUs, is assumed, and said so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Sequence

from ...core.runtime.errors import InputError
from ..aws import instances, prices
from ..aws.instances import ENDPOINT, Instance
from ..aws.prices import Price
from .serving import Capacity, Level

HEADROOM = 0.3  # of the capacity, which stays free for peaks
SYSTEM_MEMORY = 1.0  # GiB of an instance that are left to AWS's own programs: assumed
HOURS_A_MONTH = 730
BURSTABLE = ("t2", "t3", "t3a", "t4g")
ASSUMED = (
    "one vCPU there answers as many requests a second as one core here; requests grow with vCPUs",
    f"{SYSTEM_MEMORY:g} GiB of an instance are taken by AWS's own programs",
    "the latency is that of the server: AWS's own and the network's come on top",
    "the server is algoshelf's, as in an image of your own (`package --as container`); AWS's MXNet "
    "image was 1.3 to 5.4 times slower where both were measured (README.md, Serving)",
)


@dataclass(frozen=True)
class Wanted:
    """The load: ``latency`` in seconds, of the 99th percentile; ``rps`` requests a second."""

    latency: float
    rps: float
    headroom: float = HEADROOM


@dataclass(frozen=True)
class Choice:
    """``count`` instances of a type, each with ``workers`` and ``rate`` requests a second."""

    instance: Instance
    price: Price
    workers: int
    rate: float
    count: int

    @property
    def usd(self) -> float:
        """An hour, of all of them."""
        return self.price.usd * self.count

    def load(self, rps: float) -> float:
        """The part of the capacity that ``rps`` takes."""
        return rps / (self.rate * self.count)

    def summary(self, wanted: Wanted) -> dict[str, Any]:
        """For a table, or JSON."""
        return {
            "instance": self.instance.name,
            "count": self.count,
            "vcpus": self.instance.vcpus,
            "memory_gib": self.instance.memory,
            "workers": self.workers,
            "requests_per_second_each": round(self.rate, 1),
            "load": round(self.load(wanted.rps), 3),
            "price_per_hour_each": self.price.usd,
            "price_per_hour": round(self.usd, 6),
            "price_per_month": round(self.usd * HOURS_A_MONTH, 2),
            "price_source": self.price.source,
            "price_date": self.price.date or None,
        }


@dataclass(frozen=True)
class Answer:
    """The cheapest first; ``left_out`` says of what was not considered how many, and why."""

    level: Level
    choices: Sequence[Choice]
    left_out: dict[str, int]


def answer(measured: Capacity, wanted: Wanted, region: str) -> Answer:
    """What answers ``wanted``. Raises InputError where nothing measured here is fast enough, or no
    price is known.
    """
    level = fastest(measured, wanted.latency)
    left_out: dict[str, int] = {}
    choices = []
    for instance in instances.known():
        price = prices.find(instance.name, ENDPOINT, region)
        reason = _unfit(instance, price)
        if reason is None and price is not None:
            workers = _workers(instance, measured)
            if workers:
                rate = workers * level.rate / measured.cores
                needed = math.ceil(wanted.rps / (rate * (1 - wanted.headroom)) - 1e-9)
                choices.append(Choice(instance, price, workers, rate, max(1, needed)))
                continue
            reason = "its memory holds no worker"
        if reason:
            left_out[reason] = left_out.get(reason, 0) + 1
    if not choices:
        told = "; ".join(f"{count}: {reason}" for reason, count in left_out.items())
        raise InputError(
            f"{region}: no instance type can be recommended ({told}): `algoshelf sagemaker cost "
            f"--refresh --region {region}` reads AWS's prices"
        )
    choices.sort(key=lambda each: (each.usd, each.count, each.instance.name))
    return Answer(level, choices, left_out)


def fastest(measured: Capacity, latency: float) -> Level:
    """The highest rate at which 99 of 100 answers came within ``latency`` seconds."""
    fit = [each for each in measured.levels if each.p99 <= latency and not each.failed]
    if not fit:
        best = min(measured.levels, key=lambda each: each.p99)
        raise InputError(
            f"--latency {latency * 1000:g}ms: here, 99 of 100 answers took up to "
            f"{best.p99 * 1000:.1f} ms with {best.connections} at once; more instances do not make "
            "one answer faster: allow more, or make the model smaller"
        )
    return max(fit, key=lambda each: each.rate)


def steps(measured: Capacity, wanted: Wanted, found: Answer, region: str) -> list[str]:
    """How the first of ``found`` was worked out, a line each."""
    level, best = found.level, found.choices[0]
    core = level.rate / measured.cores
    memory = "memory was not measured"
    if measured.memory:
        memory = f"{measured.memory:,.0f} MiB of memory for each of {measured.workers} workers"
    return [
        f"measured on {measured.processor}, {measured.cores} cores, client and server together: "
        f"{level.rate:,.1f} requests/s with {level.connections} at once, 99 % within "
        f"{level.p99 * 1000:.1f} ms (asked: {wanted.latency * 1000:g} ms); {memory}",
        f"{level.rate:,.1f} / {measured.cores} cores = {core:,.1f} requests/s per core",
        f"{best.instance.name}: {best.workers} workers on {best.instance.vcpus} vCPUs × "
        f"{core:,.1f} = {best.rate:,.1f} requests/s",
        f"{wanted.headroom:.0%} stay free: {best.rate:,.1f} × {1 - wanted.headroom:g} = "
        f"{best.rate * (1 - wanted.headroom):,.1f} requests/s each",
        f"{wanted.rps:g} requests/s / {best.rate * (1 - wanted.headroom):,.1f} -> {best.count} × "
        f"{best.instance.name}",
        f"{best.count} × {best.price} in {region} = {best.usd:,.4f} USD an hour, "
        f"{best.usd * HOURS_A_MONTH:,.2f} USD a month of {HOURS_A_MONTH} h",
    ]


def _unfit(instance: Instance, price: Price | None) -> str | None:
    """Why it is not considered; "" for what AWS does not offer for endpoints, None if it is."""
    if ENDPOINT not in instance.uses or instance.obstacle:
        return ""
    if instance.accelerators:
        return "GPUs: measured on a processor, which says nothing of them"
    if instance.needs_own_image:
        return "arm64: not measured"
    if instance.family in BURSTABLE:
        return "burstable: does not keep its speed under load"
    return None if price is not None else "price unknown"


def _workers(instance: Instance, measured: Capacity) -> int:
    """How many fit, at most one for each vCPU."""
    if not measured.memory:
        return instance.vcpus
    free = (instance.memory - SYSTEM_MEMORY) * 1024
    return max(0, min(instance.vcpus, int(free / measured.memory)))
