"""Prices of instances per hour: a bundled table, or your own from AWS's price list.

``prices.json`` holds published figures, each with its source and date. A price that no source gives
is unknown, and None: nothing is guessed. ``refresh`` reads AWS's own list into the user's cache
folder; of each region the newer table counts, as a whole.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Dict, Iterator, List, Mapping, Tuple

from pydantic import BaseModel, Field
from typing_extensions import Annotated

from ...core.runtime.errors import InputError
from ..files import cache_folder, write_text
from .account import NO_REGION
from .instances import ENDPOINT, TRAINING, TRANSFORM

BUNDLED = Path(__file__).with_name("prices.json")
CACHED = "sagemaker-prices.json"
MAX_BYTES = 16 * 2**20
MAX_PAGES = 1_000
API_REGION = "us-east-1"  # the price list is served in a few regions, and says the same in each
SERVICE = "AmazonSageMaker"
PRICE_LIST = "AWS Price List API"
PAGE = "https://aws.amazon.com/sagemaker/pricing"
SPOT = (
    "spot: AWS says up to 90 % less, publishes no price for it, and may bill as much as without; "
    "https://docs.aws.amazon.com/sagemaker/latest/dg/model-managed-spot-training.html"
)
# As in USE1-Train:ml.m5.xlarge. A warm pool, a training plan's fee (USE1-TrainingPlanUpfrontFee:…),
# HyperPod and Studio have usage types of their own, and often other prices.
USAGE_TYPE = re.compile(r"(?:[A-Z]+[0-9]*-)?(Train|Host|Tsform):(ml\.[a-z0-9.-]+)")
USES_BY_TYPE = {"Train": TRAINING, "Host": ENDPOINT, "Tsform": TRANSFORM}


@dataclass(frozen=True)
class Price:
    """USD for an hour of one instance, who says so, and when: a day or month, "" where unsaid."""

    usd: float
    source: str
    date: str

    def __str__(self) -> str:
        told = ", ".join(part for part in (self.source, self.date) if part)
        return f"{self.usd:g} USD an hour ({told})"

    def worst_case(self, seconds: float, hosts: int = 1) -> float:
        """USD if ``hosts`` run for ``seconds``; storage and traffic come on top."""
        return self.usd * seconds / 3600 * hosts


def unknown(instance: str, region: str) -> str:
    """A sentence for where the price of ``instance`` is unknown."""
    if region == NO_REGION:
        return f"The price of {instance} depends on the region: give --region."
    return (
        f"The price of {instance} in {region} is unknown: see {PAGE}, or ask AWS by "
        f"`algoshelf sagemaker cost --refresh --region {region}`."
    )


class Source(BaseModel):
    """Where figures come from; other fields say where they were found, for who checks them."""

    what: str
    date: str = Field(pattern=r"^([0-9]{4}-[0-9]{2}(-[0-9]{2})?)?$")


class Table(BaseModel):
    """A file of prices: region, type, uses joined by ``+``, USD an hour, and the source's name."""

    # pydantic evaluates them, and Python 3.8 knows no dict[str, …]
    sources: Dict[str, Source]
    prices: List[Tuple[str, str, str, Annotated[float, Field(gt=0, lt=1e6)], str]]


Region = Mapping[str, Mapping[str, Price]]  # by the type's name, then by its use


def find(name: str, use: str, region: str) -> Price | None:
    """The price of the type ``name`` for ``use``; None where no source gives it.

    Raises InputError for a cached table that is damaged.
    """
    return of_region(region).get(name, {}).get(use)


def of_region(region: str) -> Region:
    """Every price that is known for ``region``. Raises InputError for a damaged cached table."""
    bundled, cached = _read(BUNDLED).get(region, {}), _cached().get(region, {})
    return cached if _newest(cached) >= _newest(bundled) else bundled


def regions() -> list[str]:
    """The regions of which any price is known."""
    return sorted({*_read(BUNDLED), *_cached()})


def refresh(client: Any, region: str) -> int:
    """Read the prices of ``region`` from AWS's price list into the user's cache: how many.

    ``client`` is boto3's for ``pricing`` in API_REGION; its errors pass. Raises InputError where
    the list has nothing for the region and OutputError where the cache cannot be written; the
    cache is then as it was.
    """
    today = datetime.now(timezone.utc).date().isoformat()
    found: dict[str, dict[str, Price]] = {}
    for document in _products(client, region):
        for name, use, usd in _hourly(document):
            found.setdefault(name, {})[use] = Price(usd, PRICE_LIST, today)
    if not found:
        raise InputError(f"{region}: AWS's price list has no prices of SageMaker for this region")
    try:
        kept = dict(_cached())
    except InputError:  # damaged: this mends it
        kept = {}
    _write(cache_path(), {**kept, region: found})
    return sum(map(len, found.values()))


def cache_path() -> Path:
    """Where the user's own table is."""
    return cache_folder() / CACHED


def _products(client: Any, region: str) -> Iterator[str]:
    """The JSON document of each product, from every page."""
    pages = client.get_paginator("get_products").paginate(
        ServiceCode=SERVICE,
        Filters=[{"Type": "TERM_MATCH", "Field": "regionCode", "Value": region}],
        FormatVersion="aws_v1",
    )
    for number, page in enumerate(pages):
        if number == MAX_PAGES:
            raise InputError(f"{region}: AWS's price list has more than {MAX_PAGES} pages")
        yield from page["PriceList"]


def _hourly(document: str) -> Iterator[tuple[str, str, float]]:
    """The type, use and USD an hour, where ``document`` is the price of one of the three uses."""
    product = json.loads(document)
    usage = USAGE_TYPE.fullmatch(product["product"]["attributes"].get("usagetype", ""))
    if usage is None:
        return
    prices = [
        float(dimension["pricePerUnit"]["USD"])
        for term in product.get("terms", {}).get("OnDemand", {}).values()
        for dimension in term["priceDimensions"].values()
        if dimension["unit"].lower() in ("hrs", "hours") and "USD" in dimension["pricePerUnit"]
    ]
    if prices and max(prices) > 0:
        yield usage[2], USES_BY_TYPE[usage[1]], max(prices)


def _newest(prices: Region) -> str:
    """The newest date of a table, "" where it has none."""
    return max(
        (price.date or "" for uses in prices.values() for price in uses.values()), default=""
    )


def _cached() -> Mapping[str, Region]:
    path = cache_path()
    try:
        return _read(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path}: this table of prices is damaged ({type(error).__name__}): delete it, or "
            "`algoshelf sagemaker cost --refresh`"
        ) from None


def _read(path: Path) -> Mapping[str, Region]:
    """The table in ``path``, as ``_write`` leaves it."""
    with path.open("rb") as stream:
        body = stream.read(MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    table = Table.model_validate_json(body)
    found: dict[str, dict[str, dict[str, Price]]] = {}
    for region, name, uses, usd, source in table.prices:
        price = Price(usd, table.sources[source].what, table.sources[source].date)
        for use in uses.split("+"):
            found.setdefault(region, {}).setdefault(name, {})[use] = price
    return found


def _write(path: Path, table: Mapping[str, Region]) -> None:
    """Write ``table`` whole or not at all."""
    sources: dict[str, dict[str, str]] = {}
    rows = []
    for region, prices in table.items():
        for name, uses in prices.items():
            for use, price in uses.items():
                key = f"{price.source} {price.date}"
                sources[key] = {"what": price.source, "date": price.date}
                rows.append([region, name, use, price.usd, key])
    write_text(path, json.dumps({"sources": sources, "prices": rows}))
