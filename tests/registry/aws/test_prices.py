"""What an hour costs: the bundled table, AWS's list through botocore's stubber, the command."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from algoshelf.core.runtime.errors import InputError, OutputError
from algoshelf.registry.aws import instances, prices
from algoshelf.registry.aws.instances import ENDPOINT, TRAINING, TRANSFORM
from botocore.exceptions import ClientError
from botocore.session import get_session
from botocore.stub import Stubber

from tests.conftest import ROOT, Algoshelf, InProcess

FILTERS = [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": "eu-west-1"}]
REQUEST = {"ServiceCode": "AmazonSageMaker", "Filters": FILTERS, "FormatVersion": "aws_v1"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own table, in a cache folder of the test's."""
    monkeypatch.delenv("AWS_DEFAULT_REGION", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "algoshelf" / "sagemaker-prices.json"


@pytest.fixture(scope="module")
def client() -> Any:
    session = get_session()
    return session.create_client(
        "pricing",
        region_name=prices.API_REGION,
        aws_access_key_id="a",
        aws_secret_access_key="b",
    )


def product(usage: str, usd: str, *, unit: str = "Hrs", currency: str = "USD") -> str:
    """A product as AWS's price list gives it."""
    dimension = {"unit": unit, "pricePerUnit": {currency: usd}, "description": "…"}
    return json.dumps(
        {
            "product": {
                "productFamily": "ML Instance",
                "attributes": {"regionCode": "eu-west-1", "usagetype": usage},
                "sku": "JDZQJFUVUR8SUWHS",
            },
            "serviceCode": "AmazonSageMaker",
            "terms": {"OnDemand": {"A.B": {"priceDimensions": {"A.B.C": dimension}}}},
        }
    )


def refreshed(client: Any, *pages: list[str]) -> int:
    with Stubber(client) as stub:
        for number, page in enumerate(pages):
            token = {"NextToken": str(number)} if number else {}
            answer: dict[str, Any] = {"FormatVersion": "aws_v1", "PriceList": page}
            if number + 1 < len(pages):
                answer["NextToken"] = str(number + 1)
            stub.add_response("get_products", answer, {**REQUEST, **token})
        count = prices.refresh(client, "eu-west-1")
        stub.assert_no_pending_responses()
    return count


def test_the_bundled_figures_are_of_types_that_exist_and_name_their_source() -> None:
    document = json.loads(prices.BUNDLED.read_bytes())
    assert {row[4] for row in document["prices"]} == set(document["sources"])
    assert all(source["url"].startswith("https://") for source in document["sources"].values())
    for region in prices.regions():
        for name, uses in prices.of_region(region).items():
            assert set(uses) <= instances.find(name).uses, name
            assert all(price.source for price in uses.values())


def test_a_price_is_known_with_its_source_and_date_or_not_at_all() -> None:
    price = prices.find("ml.g5.xlarge", TRAINING, "us-east-1")
    assert price is not None
    assert (price.usd, price.date) == (1.408, "2026-09-25")
    assert "AWS Price List" in price.source
    assert price.worst_case(1800, hosts=4) == pytest.approx(2.816)
    assert prices.find("ml.g5.xlarge", TRANSFORM, "us-east-1") is None
    assert prices.find("ml.g5.xlarge", TRAINING, "sa-east-1") is None


def test_refresh_reads_every_page_and_only_prices_an_hour_of_the_three_uses(client: Any) -> None:
    first = [
        product("EUW1-Train:ml.m5.xlarge", "0.2570000000"),
        product("EUW1-TrainingPlanUpfrontFee:ml.m5.xlarge", "13.57", unit="Quantity"),
        product("EUW1-Cluster:ml.m5.xlarge", "0.9"),
        product("EUW1-AsyncInf:ml.m5.xlarge", "0.8"),
        product("EUW1-Studio:VolumeUsage.gp3", "0.1", unit="GB-Mo"),
    ]
    second = [
        product("EUW1-Host:ml.m5.xlarge", "0.2580000000"),
        product("EUW1-Tsform:ml.m5.xlarge", "0.2590000000"),
        product("EUW1-Host:ml.t3.medium", "0.0000000000"),
        product("CNN1-Host:ml.m5.large", "1.1", currency="CNY"),
        json.dumps({"product": {"attributes": {}}, "terms": {}}),
    ]
    assert refreshed(client, first, second) == 3
    table = prices.of_region("eu-west-1")
    assert {use: price.usd for use, price in table["ml.m5.xlarge"].items()} == {
        TRAINING: 0.257,
        ENDPOINT: 0.258,
        TRANSFORM: 0.259,
    }
    assert set(table) == {"ml.m5.xlarge"}  # the newer table of a region counts as a whole
    assert table["ml.m5.xlarge"][TRAINING].source == prices.PRICE_LIST
    assert prices.find("ml.g5.xlarge", TRAINING, "us-east-1") is not None  # others stay


def test_an_older_cached_table_gives_way_to_the_bundled_one(client: Any, cache: Path) -> None:
    refreshed(client, [product("EUW1-Train:ml.m5.xlarge", "9.99")])
    today = prices.find("ml.m5.xlarge", TRAINING, "eu-west-1")
    assert today is not None
    cache.write_text(cache.read_text().replace(today.date, "2020-01-01"))
    older = prices.find("ml.m5.xlarge", TRAINING, "eu-west-1")
    assert older is not None
    assert older.usd == 0.257


def test_a_list_without_prices_and_a_refusal_leave_the_cache_as_it_was(
    client: Any, cache: Path
) -> None:
    refreshed(client, [product("EUW1-Train:ml.m5.xlarge", "0.257")])
    before = cache.read_bytes()
    with pytest.raises(InputError, match="no prices of SageMaker"):
        refreshed(client, [product("EUW1-Studio:VolumeUsage.gp3", "0.1", unit="GB-Mo")])
    with Stubber(client) as stub:
        stub.add_client_error("get_products", "AccessDeniedException", http_status_code=400)
        with pytest.raises(ClientError):
            prices.refresh(client, "eu-west-1")
    assert cache.read_bytes() == before
    assert [path.name for path in cache.parent.iterdir()] == [cache.name]


def test_a_cache_that_cannot_be_written_is_an_error_of_output(client: Any, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder belongs")
    with pytest.raises(OutputError, match="cannot be written"):
        refreshed(client, [product("EUW1-Train:ml.m5.xlarge", "0.257")])


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{}",
        '{"sources": {}, "prices": [["r", "n", "training", 1, "missing"]]}',
        '{"sources": {"s": {"what": "x", "date": ""}}, "prices": [["r", "n", "u", -1, "s"]]}',
        '{"sources": {"s": {"what": "x", "date": ""}}, "prices": [["r", "n", "u", NaN, "s"]]}',
        '{"sources": {"s": {"what": "x", "date": "soon"}}, "prices": [["r", "n", "u", 1, "s"]]}',
        '{"sources": {"s": {"what": 1, "date": ""}}, "prices": [["r", "n", "u", 1, "s"]]}',
        "[" * 100_000,
        " " * (prices.MAX_BYTES + 1),
    ],
    ids=lambda body: f"{body[:60]!r}",
)
def test_a_damaged_cache_is_named_and_refresh_mends_it(client: Any, cache: Path, body: str) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text(body)
    with pytest.raises(InputError, match="this table of prices is damaged") as caught:
        prices.find("ml.m5.xlarge", TRAINING, "us-east-1")
    assert str(cache) in str(caught.value)
    refreshed(client, [product("EUW1-Train:ml.m5.xlarge", "0.3")])
    mended = prices.find("ml.m5.xlarge", TRAINING, "eu-west-1")
    assert mended is not None
    assert mended.usd == 0.3


def test_cost_tells_prices_the_worst_case_and_what_cannot_run(algoshelf: Algoshelf) -> None:
    asked = ("sagemaker", "cost", "ml.g5.xlarge", "ml.p5.48xlarge", "--hosts", 2, "--max-run")
    done = algoshelf(*asked, "30m", "--region", "us-east-1")
    assert done.code == 0, done.stderr
    assert "at most, 2 × 0.5 h" in done.text
    assert "1.4080" in done.text
    assert "1.41" in done.text
    assert "H100 has compute capability 9.0" in done.stderr
    assert "publishes no price" in done.stderr
    found = algoshelf(*asked, "30m", "--json", PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rpartition("|")[2].strip().split(".")[0] for line in found.stderr.split("\n")}
    assert "click" in imported
    assert not imported & {"boto3", "botocore", "sagemaker", "mxnet"}
    cheap, refused = found.json["instances"]
    assert (found.json["region"], found.json["currency"]) == ("us-east-1", "USD")
    assert cheap["prices"]["training"]["usd_per_hour"] == 1.408
    assert cheap["prices"]["training"]["worst_case_usd"] == 1.408
    assert cheap["prices"]["transform"] is None
    assert cheap["refused"] is None
    assert refused["prices"]["endpoint"] is None
    assert "9.0" in refused["refused"]


def test_cost_without_a_name_shows_all_of_known_price(in_process: InProcess) -> None:
    done = in_process("sagemaker", "cost", "--json", AWS_DEFAULT_REGION="us-west-2")
    names = [row["name"] for row in done.json["instances"]]
    assert done.json["region"] == "us-west-2"
    assert "ml.g6e.48xlarge" in names
    none = in_process("sagemaker", "cost", "--region", "sa-east-1")
    assert none.code == 0
    assert none.text == ""
    assert "no price is known" in none.stderr
    assert "us-east-1" in none.stderr


def test_refreshing_without_credentials_says_what_to_do(
    algoshelf: Algoshelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    done = algoshelf(
        "sagemaker", "cost", "--refresh", "--region", "eu-west-1",
        HOME=str(tmp_path), AWS_EC2_METADATA_DISABLED="true",
    )  # fmt: skip
    assert done.code == 1
    assert "sign in" in done.stderr


USES = {"train": TRAINING, "tune": TRAINING, "benchmark": TRAINING, "deploy": ENDPOINT,
        "transform": TRANSFORM}  # fmt: skip


def named_in_the_documents() -> list[tuple[str, str]]:
    """Each instance type with what README and docs use it for; "" where no command of ours does."""
    found = set()
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        text = path.read_text().replace("\\\n", " ")
        for line in text.splitlines():
            command = re.search(r"algoshelf (?:sagemaker )?([a-z]+)", line)
            use = USES.get(command[1], "") if command else ""
            found |= {(name, use) for name in re.findall(r"\bml\.[a-z0-9-]+\.[a-z0-9]+", line)}
    return sorted(found)


@pytest.mark.parametrize(("name", "use"), named_in_the_documents())
def test_no_price_of_a_type_in_the_documents_is_unknown(name: str, use: str) -> None:
    known = prices.of_region("us-east-1").get(name, {})
    assert known if not use else use in known
    for price in known.values():
        assert price.source


def test_the_documents_name_types_for_each_use() -> None:
    assert {use for _, use in named_in_the_documents()} >= {"", TRAINING, ENDPOINT}
