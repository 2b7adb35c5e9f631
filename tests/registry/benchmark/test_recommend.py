"""The cheapest instances for a load: the arithmetic, and what is measured on this machine."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from algoshelf.core.runtime.errors import InputError
from algoshelf.registry.benchmark import recommend
from algoshelf.registry.benchmark.recommend import Wanted
from algoshelf.registry.benchmark.serving import Capacity, Level

from tests.conftest import Algoshelf, InProcess

# 2 cores, 100 requests a second each while 99 of 100 answers come within 40 ms.
MEASURED = Capacity(
    "kmeans",
    "a processor",
    cores=2,
    workers=2,
    memory=300.0,
    levels=(Level(1, 80.0, 0.010, 0), Level(4, 200.0, 0.040, 0), Level(16, 240.0, 0.250, 0)),
)
PRICES = {"ml.m5.large": 0.1, "ml.m5.2xlarge": 0.3, "ml.c5.large": 0.09, "ml.g5.xlarge": 0.01,
          "ml.c7g.large": 0.01, "ml.t2.medium": 0.01}  # fmt: skip


@pytest.fixture(autouse=True)
def priced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """AWS's prices as they were refreshed."""
    path = tmp_path / "algoshelf" / "sagemaker-prices.json"
    path.parent.mkdir()
    rows = [["us-east-1", name, "endpoint", usd, "here"] for name, usd in PRICES.items()]
    source = {"what": "a table of this test", "date": "2099-01-01"}
    path.write_text(json.dumps({"sources": {"here": source}, "prices": rows}))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def best(latency: float, rps: float, headroom: float = 0.3, **changed: object) -> tuple[str, int]:
    measured = replace(MEASURED, **changed)  # type: ignore[arg-type]
    found = recommend.answer(measured, Wanted(latency, rps, headroom), "us-east-1")
    return found.choices[0].instance.name, found.choices[0].count


def test_the_cheapest_type_and_as_many_as_the_load_needs() -> None:
    # each large has 2 vCPUs × 100 requests/s, of which 140 are used
    assert best(0.1, 140) == ("ml.c5.large", 1)
    assert best(0.1, 141) == ("ml.c5.large", 2)
    assert best(0.1, 200, headroom=0) == ("ml.c5.large", 1)
    # 2xlarge: 8 × 100 × 0.7 = 560 for 0.3, where c5.large needs 4 × 0.09
    assert best(0.1, 560) == ("ml.m5.2xlarge", 1)


def test_a_shorter_latency_leaves_fewer_requests_and_a_longer_one_more() -> None:
    assert best(0.020, 57) == ("ml.c5.large", 2)  # 2 × 40 × 0.7 = 56 each
    assert best(0.3, 168) == ("ml.c5.large", 1)  # 240 × 0.7
    with pytest.raises(InputError, match=r"took up to 10[.]0 ms with 1 at once"):
        best(0.005, 1)


def test_memory_limits_the_workers_of_an_instance() -> None:
    # c5.large: 4 GiB less one hold one worker of 2 GiB, and so 100 requests a second
    assert best(0.1, 70, memory=2048.0) == ("ml.c5.large", 1)
    assert best(0.1, 71, memory=2048.0) == ("ml.m5.large", 1)
    with pytest.raises(InputError, match="its memory holds no worker"):
        best(0.1, 1, memory=2_000_000.0)


def test_what_was_not_measured_is_not_recommended_however_cheap() -> None:
    found = recommend.answer(MEASURED, Wanted(0.1, 1), "us-east-1")
    names = {each.instance.name for each in found.choices}
    assert names == {"ml.m5.large", "ml.m5.2xlarge", "ml.c5.large"}
    assert {text.partition(":")[0] for text in found.left_out} == {
        "GPUs", "arm64", "burstable", "price unknown",
    }  # fmt: skip
    with pytest.raises(InputError, match="cost --refresh --region eu-south-2"):
        recommend.answer(MEASURED, Wanted(0.1, 1), "eu-south-2")


def test_each_step_is_shown(in_process: InProcess, tmp_path: Path) -> None:
    file = tmp_path / "measured.json"
    file.write_text(json.dumps({"measured": asdict(MEASURED)}))
    words = ("sagemaker", "recommend", "models/iris", "--measured", file, "--latency", "100ms")
    shown = in_process(*words, "--rps", "300", "--region", "us-east-1")
    assert shown.code == 0, shown.stderr
    for step in (
        "200.0 requests/s with 4 at once, 99 % within 40.0 ms (asked: 100 ms)",
        "200.0 / 2 cores = 100.0 requests/s per core",
        "ml.c5.large: 2 workers on 2 vCPUs × 100.0 = 200.0 requests/s",
        "30% stay free: 200.0 × 0.7 = 140.0 requests/s each",
        "300 requests/s / 140.0 -> 3 × ml.c5.large",
        "3 × 0.09 USD an hour (a table of this test, 2099-01-01) in us-east-1 = 0.2700 USD an hour",
        "Assumed, not measured:",
        "deploy models/iris --image YOUR-IMAGE --instance ml.c5.large --count 3",
    ):
        assert step in shown.text
    file.write_text('{"measured": {"cores": 2}}')
    refused = in_process(*words, "--rps", "300")
    assert refused.code == 2
    assert "expected what `recommend --json` writes" in refused.stderr


def test_a_model_is_measured_here(algoshelf: Algoshelf, iris_model: Path, tmp_path: Path) -> None:
    words = ("sagemaker", "recommend", iris_model, "--latency", "5s", "--rps", "1", "--json")
    made = algoshelf(*words, "--seconds", "0.2", "--region", "us-east-1", XDG_CACHE_HOME=tmp_path)
    assert made.code == 0, made.stderr
    found = made.json
    assert found["measured"]["algorithm"] == "kmeans"
    assert all(level["rate"] > 0 for level in found["measured"]["levels"])
    assert 10 < found["measured"]["memory"] < 2_000
    assert found["recommended"]["instance"] == "ml.c5.large"
    assert found["recommended"]["count"] == 1
