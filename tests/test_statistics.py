"""Shares and differences between runs against SciPy, Holm's adjustment against hand numbers."""

import numpy as np
import pytest
import scipy.stats

from jaxdl.statistics import (
    compare_pairs,
    geometric_interval,
    holm,
    is_above_zero,
    lowest_mean,
    paired_p_value,
    share_interval,
)


@pytest.mark.parametrize(("count", "total"), [(0, 12), (3, 12), (12, 12), (6, 6)])
def test_the_interval_of_a_share_is_scipys(count, total):
    happened = np.arange(total) < count
    expected = scipy.stats.binomtest(count, total).proportion_ci(method="exact")
    assert share_interval(happened) == pytest.approx(tuple(expected), abs=1e-12)


def test_above_zero_is_what_scipys_test_says():
    rng = np.random.default_rng(0)
    for mean in (-1.0, 0.2, 0.5, 0.8, 2.0):
        values = rng.normal(mean, size=6)
        expected = scipy.stats.ttest_1samp(values, 0, alternative="greater").pvalue < 0.025
        assert is_above_zero(values) == expected
    assert is_above_zero(np.full(3, 0.1))
    assert not is_above_zero(np.zeros(3))


@pytest.mark.parametrize(("count", "shift"), [(2, 0.0), (5, 0.3), (10, 0.02), (10, -2.0)])
def test_paired_p_value_is_that_of_scipy(count, shift):
    rng = np.random.default_rng(count)
    first = rng.normal(size=count)
    second = first + 0.1 * rng.normal(size=count) + shift
    expected = scipy.stats.ttest_rel(first, second).pvalue
    assert paired_p_value(first, second) == pytest.approx(expected, rel=1e-9)
    assert paired_p_value(second, first) == pytest.approx(expected, rel=1e-9)


def test_paired_p_value_without_spread():
    same = np.array([0.5, 0.75, 1.0])
    assert paired_p_value(same, same) == 1.0
    assert paired_p_value(same, same + 0.25) == 0.0


def test_paired_p_value_needs_pairs():
    with pytest.raises(ValueError, match="1 pair"):
        paired_p_value(np.zeros(1), np.zeros(1))


@pytest.mark.parametrize(
    ("p_values", "expected"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.02, 0.03, 0.02], [0.06, 0.06, 0.06]),
        ([0.2], [0.2]),
        ([], []),
    ],
)
def test_holm(p_values, expected):
    np.testing.assert_allclose(holm(np.array(p_values, np.float64)), expected, rtol=1e-12)


def test_holm_calls_nothing_real_too_often_where_nothing_is():
    """In at most 5% of experiments any of ten differences; 0.05 + 4 standard deviations here."""
    rng = np.random.default_rng(0)
    experiments = rng.uniform(size=(1000, 10))
    wrong = np.mean([holm(p_values).min() < 0.05 for p_values in experiments])
    assert 0.02 < wrong < 0.05 + 4 * np.sqrt(0.05 * 0.95 / 1000)


def test_compare_pairs():
    seeds = np.random.default_rng(1).normal(size=8)  # what the runs of a seed share
    noise = np.random.default_rng(2).normal(scale=0.1, size=(3, 8))
    measured = {"a": seeds + noise[0], "b": seeds + noise[1] + 1, "c": seeds + noise[2]}
    compared = compare_pairs(measured)
    assert list(compared) == [("a", "b"), ("a", "c"), ("b", "c")]
    plain = [scipy.stats.ttest_rel(measured[x], measured[y]).pvalue for x, y in compared]
    assert compared["a", "c"] == pytest.approx(max(plain))
    assert min(compared.values()) == pytest.approx(3 * min(plain))
    assert compared["a", "b"] < 0.05 < compared["a", "c"]


def test_compare_pairs_of_one_is_empty():
    assert compare_pairs({"a": np.zeros(3)}) == {}


def test_geometric_interval_against_scipy():
    values = np.array([0.2, 0.3, 0.9, 0.5])
    of_logarithms = scipy.stats.t.interval(
        0.95, 3, np.log(values).mean(), scipy.stats.sem(np.log(values))
    )
    expected = [scipy.stats.gmean(values), *np.exp(of_logarithms)]
    np.testing.assert_allclose(geometric_interval(values), expected, rtol=1e-12)


def test_the_lowest_mean_by_a_loop():
    """A rate one of whose runs has failed comes last, and the first counts where all have."""
    rng = np.random.default_rng(0)
    losses = rng.normal(size=(5, 4, 3))
    losses[0, losses[0].mean(axis=1).argmin(), 1] = np.nan
    losses[1] = np.nan
    losses[2, :, 0] = np.inf
    losses[2, 3, 0] = 9
    expected = []
    for rates in losses:
        found, least = 0, np.inf
        for place, runs in enumerate(rates):
            mean = sum(runs) / 3
            if mean < least:  # of NaN never
                found, least = place, mean
        expected.append(found)
    assert expected[1:3] == [0, 3]
    assert lowest_mean(losses).tolist() == expected
    assert [int(lowest_mean(rates)) for rates in losses] == expected
