"""The tests' numbers are scipy's; where nothing has changed they say so, and else how much."""

from __future__ import annotations

import numpy as np
import pytest
from algoshelf.core.drift import distributions, two_samples

stats = pytest.importorskip("scipy.stats")
special = pytest.importorskip("scipy.special")


@pytest.mark.parametrize("degrees", [1, 2, 3, 9, 30, 200])
@pytest.mark.parametrize("x", [1e-6, 0.1, 1.0, 7.3, 40.0, 250.0, 700.0])
def test_chi_squared_is_scipys(x: float, degrees: int) -> None:
    expected = stats.chi2.sf(x, degrees)
    assert distributions.chi_squared_tail(x, degrees) == pytest.approx(
        expected, rel=1e-9, abs=1e-14
    )


def test_kolmogorovs_and_the_normal_distribution_are_scipys() -> None:
    for t in np.linspace(0.2, 6, 59):
        assert distributions.kolmogorov_tail(t) == pytest.approx(special.kolmogorov(t), rel=1e-9)
        assert distributions.normal_tail(t) == pytest.approx(stats.norm.sf(t), rel=1e-12)
    assert distributions.kolmogorov_tail(0.0) == 1.0


def test_fishers_tails_are_scipys() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        total = int(rng.integers(10, 3000))
        drawn, marked = (int(n) for n in rng.integers(1, total, 2))
        found = int(rng.hypergeometric(marked, total - marked, drawn))
        law = stats.hypergeom(total, marked, drawn)
        expected = min(1.0, 2 * min(law.cdf(found), law.sf(found - 1)))
        given = distributions.hypergeometric_two_sided(found, drawn, marked, total)
        assert given == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("sizes", "shift"), [((50, 80), 0.0), ((300, 500), 0.2), ((900, 90), 0.5)])
def test_kolmogorov_smirnov_is_scipys(sizes: tuple[int, int], shift: float) -> None:
    rng = np.random.default_rng(2)
    first, second = rng.normal(size=sizes[0]), rng.normal(shift, size=sizes[1])
    found = two_samples.kolmogorov_smirnov(first, second)
    exact = stats.ks_2samp(first, second, method="exact")
    assert found.effect == pytest.approx(exact.statistic, abs=1e-12)
    assert found.p == pytest.approx(exact.pvalue, rel=0.12)  # the limit, with Stephens' correction


def test_chi_squared_of_a_table_is_scipys() -> None:
    first, second = {"a": 30, "b": 50, "c": 20}, {"a": 50, "b": 40, "c": 30}
    expected = stats.chi2_contingency([[30, 50, 20], [50, 40, 30]], correction=False)
    found = two_samples.chi_squared(first, second)
    assert found.p == pytest.approx(expected[1], rel=1e-9)
    assert found.effect == pytest.approx(1 / 6)


def test_mann_whitney_is_scipys() -> None:
    rng = np.random.default_rng(3)
    first, second = rng.normal(size=200).round(1), rng.normal(0.3, size=300).round(1)
    area, p = two_samples.mann_whitney(first, second)
    expected = stats.mannwhitneyu(
        second, first, alternative="greater", method="asymptotic", use_continuity=False
    )
    assert area == pytest.approx(expected.statistic / 60_000)
    assert p == pytest.approx(expected.pvalue, rel=1e-9)


def test_energy_distance_is_scipys() -> None:
    rng = np.random.default_rng(4)
    first, second = rng.normal(size=(80, 1)), rng.normal(0.7, size=(120, 1))
    found = two_samples.energy(first, second, rng)
    between = np.abs(first - second.T).mean()
    biased = stats.energy_distance(first[:, 0], second[:, 0]) ** 2
    # scipy's counts each number's distance to itself, 0, among those within
    within = [np.abs(each - each.T).sum() for each in (first, second)]
    less = sum(w / (n * n * (n - 1)) for w, n in zip(within, (80, 120)))
    assert found.effect == pytest.approx(np.sqrt((biased - less) / (2 * between)), rel=1e-9)
    assert found.p == 1 / (1 + two_samples.PERMUTATIONS)


def test_holms_rule() -> None:
    assert distributions.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert distributions.holm([]) == []


@pytest.mark.parametrize("sizes", [(60, 80), (400, 50)])
def test_where_nothing_has_changed_few_p_values_are_small(sizes: tuple[int, int]) -> None:
    rng = np.random.default_rng(5)
    found: dict[str, list[float]] = {"ks": [], "chi": [], "energy": [], "classifier": []}
    for _ in range(60):
        a, b = (rng.normal(size=(n, 6)) for n in sizes)
        found["ks"].append(two_samples.kolmogorov_smirnov(a[:, 0], b[:, 0]).p)
        counts = [two_samples.counted([str(v) for v in (x[:, 0] > 0).tolist()]) for x in (a, b)]
        found["chi"].append(two_samples.chi_squared(*counts).p)
        rows = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b)]
        found["classifier"].append(two_samples.separability(*rows, rng)[0].p)
    for _ in range(8):
        a, b = (rng.normal(size=(n // 4, 6)) for n in sizes)
        found["energy"].append(two_samples.energy(a, b, rng).p)
    for name, values in found.items():
        assert np.mean(np.array(values) < 0.1) <= 0.3, name  # 0.1 is expected
        assert min(values) > 1e-5, name


def test_rare_categories_are_joined_and_new_ones_count() -> None:
    first = {"a": 500, **{f"rare {i}": 1 for i in range(20)}}
    second = {"a": 480, "new": 40}
    table = two_samples.joined(first, second)
    assert table == {"a": (500, 480), "new": (0, 40), two_samples.OTHERS: (20, 0)}
    assert two_samples.chi_squared(first, second).p < 1e-6
    assert two_samples.chi_squared({"a": 5}, {"a": 9}).p == 1.0
