"""Distances against closed forms, SciPy and scikit-learn; neighbours and kernels against loops."""

import itertools
import math

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from jaxdl import judge
from jaxdl.errors import InputError
from jaxdl.judge import Moments, neighbours

RNG = np.random.default_rng(0)


# --- the Frechet distance ------------------------------------------------------------------------


def random_covariance(size, rank, scale=1.0):
    factor = scale * RNG.normal(size=(size, rank))
    return factor @ factor.T


def by_scipy(first, second):
    root = scipy.linalg.sqrtm(first.covariance @ second.covariance)
    spread = np.trace(first.covariance + second.covariance - 2 * root.real)
    return np.sum((first.mean - second.mean) ** 2) + spread


def test_moments_are_numpys():
    features = RNG.normal(size=(50, 4)).astype(np.float32)
    found = judge.moments(features)
    assert found.mean.dtype == found.covariance.dtype == np.float64
    np.testing.assert_allclose(found.mean, features.astype(float).mean(axis=0), rtol=1e-12)
    expected = np.cov(features.astype(float), rowvar=False)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-12, atol=1e-15)
    with pytest.raises(InputError, match="1 example"):
        judge.moments(features[:1])


def test_moments_leave_features_as_they_are():
    features = RNG.normal(size=(5, 2))
    before = features.copy()
    judge.moments(features)
    np.testing.assert_array_equal(features, before)


def test_frechet_distance_of_diagonal_covariances():
    """``sum (m1 - m2)^2 + (s1 - s2)^2`` of the standard deviations."""
    (m1, m2), (s1, s2) = RNG.normal(size=(2, 7)), RNG.uniform(0, 3, size=(2, 7))
    s1[0] = s2[1] = 0
    found = judge.frechet_distance(Moments(m1, np.diag(s1**2)), Moments(m2, np.diag(s2**2)))
    assert found == pytest.approx(np.sum((m1 - m2) ** 2 + (s1 - s2) ** 2), rel=1e-12)


@pytest.mark.parametrize("size", [1, 5, 40])
def test_frechet_distance_is_scipys(size):
    means = RNG.normal(size=(2, size))
    first = Moments(means[0], random_covariance(size, 2 * size))
    second = Moments(means[1], random_covariance(size, 2 * size, scale=0.1))
    expected = by_scipy(first, second)
    assert judge.frechet_distance(first, second) == pytest.approx(expected, rel=1e-9)
    assert judge.frechet_distance(second, first) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("rank", "other_rank"), [(3, 20), (3, 3), (0, 5), (1, 1)])
def test_frechet_distance_without_full_rank(rank, other_rank):
    """In the axes of the first root, where the square root of small numbers is no matter."""
    size = 10
    first = Moments(np.zeros(size), random_covariance(size, rank))
    second = Moments(np.ones(size), random_covariance(size, other_rank))
    root = scipy.linalg.svd(first.covariance)
    root = root[0] @ np.diag(np.sqrt(root[1])) @ root[0].T
    inner = np.linalg.eigvalsh(root @ second.covariance @ root)
    inner = inner[inner > 1e-9]
    assert len(inner) <= min(rank, other_rank)
    spread = np.trace(first.covariance + second.covariance) - 2 * np.sqrt(inner).sum()
    assert judge.frechet_distance(first, second) == pytest.approx(size + spread, rel=1e-6)


@pytest.mark.parametrize("rank", [2, 30])
def test_frechet_distance_of_equals_is_0(rank):
    same = Moments(RNG.normal(size=20), random_covariance(20, rank, scale=100))
    assert judge.frechet_distance(same, same) <= 1e-13 * np.trace(same.covariance) * 20
    assert judge.frechet_distance(same, same) >= 0


def test_frechet_distance_of_other_features():
    one, other = Moments(np.zeros(1), np.eye(1)), Moments(np.zeros(2), np.eye(2))
    with pytest.raises(InputError, match="1 numbers against 2"):
        judge.frechet_distance(one, other)


# --- the kernel distance -------------------------------------------------------------------------


def mmd_by_loops(samples, real):
    def kernel(x, y):
        return (sum(a * b for a, b in zip(x, y, strict=True)) / len(x) + 1) ** 3

    def within(points):
        pairs = list(itertools.permutations(points, 2))
        return sum(kernel(x, y) for x, y in pairs) / len(pairs)

    across = [kernel(x, y) for x in samples for y in real]
    return within(samples) + within(real) - 2 * sum(across) / len(across)


def test_squared_mmd_is_that_of_loops():
    samples, real = RNG.normal(size=(7, 3)), RNG.normal(size=(9, 3)) + 0.5
    expected = mmd_by_loops(samples.tolist(), real.tolist())
    assert judge.squared_mmd(samples, real) == pytest.approx(expected, rel=1e-12)
    assert judge.squared_mmd(real, samples) == pytest.approx(expected, rel=1e-12)


def test_squared_mmd_is_computed_in_float64():
    samples = (100 + RNG.normal(size=(20, 3))).astype(np.float32)
    real = (100 + RNG.normal(size=(20, 3))).astype(np.float32)
    expected = mmd_by_loops(samples.astype(float).tolist(), real.astype(float).tolist())
    assert judge.squared_mmd(samples, real) == pytest.approx(expected, rel=1e-6)


def test_kernel_distance_is_unbiased_and_its_interval_covers():
    """Of 200 pairs of sets that are alike 95% of intervals hold 0, within four deviations."""
    found = []
    for _ in range(200):
        samples, real = RNG.normal(size=(60, 2)), RNG.normal(size=(45, 2))
        found.append(judge.kernel_distance(samples, real))
    means, half_widths = np.array(found).T
    assert abs(means.mean()) < 4 * means.std() / np.sqrt(200)
    covered = np.mean(np.abs(means) <= half_widths)
    assert abs(covered - 0.95) < 4 * np.sqrt(0.05 * 0.95 / 200)


def test_kernel_distance_is_that_of_the_populations():
    """Mean 1 against 0 in one dimension: E(xx' + 1)^3 by the moments of normal numbers."""
    samples, real = 1 + RNG.normal(size=(20_000, 1)), RNG.normal(size=(20_000, 1))

    def expected_kernel(a, b):
        """Of independent normal numbers about ``a`` and ``b``: sum over powers of binomials."""
        of_a, of_b = (np.array([1, m, 1 + m**2, 3 * m + m**3]) for m in (a, b))
        return sum(math.comb(3, k) * of_a[k] * of_b[k] for k in range(4))

    expected = expected_kernel(1, 1) + expected_kernel(0, 0) - 2 * expected_kernel(1, 0)
    mean, half_width = judge.kernel_distance(samples, real)
    assert expected == 22
    assert abs(mean - expected) < 2 * half_width < 4


def test_every_example_is_in_one_subset(monkeypatch):
    seen = []

    def one(samples, real):
        seen.append((samples[:, 0], real[:, 0]))
        return 0.0

    monkeypatch.setattr("jaxdl.judge.kernel.squared_mmd", one)
    numbers = np.arange(2500.0)[:, None]
    judge.kernel_distance(numbers, numbers[:77])
    samples, real = (np.concatenate(part) for part in zip(*seen, strict=True))
    assert sorted(samples) == list(range(2500))
    assert sorted(real) == list(range(77))
    assert len(seen) == 10
    assert not np.all(np.diff(samples) > 0)  # shuffled
    seen.clear()
    judge.kernel_distance(np.zeros((12_500, 1)), numbers)
    assert len(seen) == 13
    assert max(len(part) for part, _ in seen) <= 1000


def test_kernel_distance_needs_examples():
    with pytest.raises(InputError, match="19 examples; give 20 or more"):
        judge.kernel_distance(np.zeros((19, 1)), np.zeros((30, 1)))


# --- neighbours ----------------------------------------------------------------------------------


@pytest.fixture
def small_blocks(monkeypatch):
    """So that a few points make many blocks, the last ones smaller."""
    monkeypatch.setattr(neighbours, "BLOCK_ROWS", 7)
    monkeypatch.setattr(neighbours, "BLOCK_COLUMNS", 9)


@pytest.mark.parametrize("k", [1, 2, 12, 40])
@pytest.mark.usefixtures("small_blocks")
def test_nearest_distances_are_scikit_learns(k):
    points, others = RNG.normal(size=(23, 5)), RNG.normal(size=(40, 5))
    expected, _ = NearestNeighbors(algorithm="kd_tree").fit(others).kneighbors(points, k)
    np.testing.assert_allclose(judge.nearest_distances(points, others, k), expected, rtol=1e-9)
    with pytest.raises(InputError, match="41 nearest of 40"):
        judge.nearest_distances(points, others, 41)


def test_small_distances_are_exact_enough():
    """Of float32 images far from 0, each with a copy at a distance of about 1e-4 of its norm."""
    points = RNG.uniform(size=(20, 784)).astype(np.float32)
    copies = points + 1e-4 * RNG.normal(size=points.shape).astype(np.float32)
    exact = np.linalg.norm(points.astype(float) - copies.astype(float), axis=1)
    found = judge.nearest_distances(copies, points)[:, 0]
    np.testing.assert_allclose(found, exact, rtol=1e-7)
    assert judge.nearest_distances(points, points).max() < 1e-6


def precision_recall_by_loops(samples, real, k):
    def radius(i, points):
        return sorted(math.dist(points[i], other) for other in points)[k]  # [0] is itself

    def covered(point, points):
        return any(math.dist(point, c) <= radius(i, points) for i, c in enumerate(points))

    precise = [covered(point, real) for point in samples]
    recalled = [covered(point, samples) for point in real]
    return sum(precise) / len(precise), sum(recalled) / len(recalled)


def density_coverage_by_loops(samples, real, k):
    radii = [sorted(math.dist(point, other) for other in real)[k] for point in real]
    balls = list(zip(real, radii, strict=True))
    inside = sum(math.dist(centre, point) <= r for centre, r in balls for point in samples)
    covered = sum(any(math.dist(centre, point) <= r for point in samples) for centre, r in balls)
    return inside / (k * len(samples)), covered / len(real)


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.usefixtures("small_blocks")
def test_neighbour_scores_are_those_of_loops(k):
    samples, real = RNG.normal(size=(33, 2)) + 0.7, RNG.normal(size=(41, 2))
    found = judge.precision_recall(samples, real, k)
    assert found == pytest.approx(precision_recall_by_loops(samples, real, k), rel=1e-12)
    assert 0 < found[0] != found[1] < 1
    found = judge.density_coverage(samples, real, k)
    assert found == pytest.approx(density_coverage_by_loops(samples, real, k), rel=1e-12)
    assert 0 < found[1] < 1


def test_neighbour_scores_by_hand():
    """On a line; balls with k = 2: [-2, 2], [0, 2], [0, 4] and [6, 14], edges included."""
    real = np.array([[0.0], [1.0], [2.0], [10.0]])
    real_radii = [2, 1, 2, 9]
    np.testing.assert_array_equal(judge.nearest_distances(real, real, 3)[:, 2], real_radii)
    samples = np.array([[-2.0], [4.5], [3.0], [100.0], [101.0]])
    # In the balls [-2, 2], [0, 2], [0, 4], [1, 19]: -2 in the first alone, 4.5 in the last, 3 in
    # the last two, the others in none.
    density, coverage = judge.density_coverage(samples, real, 2)
    assert density == 4 / (2 * 5)
    assert coverage == 3 / 4
    precision, recall = judge.precision_recall(samples, real, 2)
    assert precision == 3 / 5
    # Radii of samples with k = 2: 6.5, 6.5, 5, 97, 95.5: balls from -8.5 to 11 cover all but none.
    assert recall == 1
    assert judge.precision_recall(samples[3:], real, 1) == (0.0, 0.0)


def test_expected_density_and_coverage_of_equal_distributions():
    """1, and Naeem's formula, which the docstring gives; the mean of 40 draws."""
    k, n = 5, 60
    draws = [
        judge.density_coverage(RNG.normal(size=(n, 2)), RNG.normal(size=(n, 2)), k)
        for _ in range(40)
    ]
    density, coverage = np.mean(draws, axis=0)
    missed = math.prod((n - i) / (2 * n - i) for i in range(1, k + 1))
    error = np.std(draws, axis=0) / np.sqrt(40)
    assert abs(density - 1) < 4 * error[0]
    assert abs(coverage - (1 - missed)) < 4 * error[1]


@pytest.mark.parametrize("score", [judge.precision_recall, judge.density_coverage])
def test_neighbour_scores_need_more_points_than_neighbours(score):
    with pytest.raises(InputError, match="give more points or a smaller k"):
        score(np.zeros((9, 1)), np.zeros((3, 1)), 3)


# --- copies --------------------------------------------------------------------------------------

TRAIN, HELD_OUT, FRESH = (RNG.normal(size=(count, 10)) for count in (400, 300, 200))
OF_HELD_OUT = judge.held_out_distances(HELD_OUT, TRAIN)


def copying_of(samples):
    return judge.copying(judge.training_distances(samples, TRAIN, HELD_OUT), OF_HELD_OUT)


def test_distances_to_training_examples_are_scipys():
    found = judge.training_distances(FRESH, TRAIN, HELD_OUT)
    expected = cdist(FRESH, TRAIN).min(axis=1)
    np.testing.assert_allclose(found.distance, expected, rtol=1e-9)
    np.testing.assert_allclose(found.ratio, expected / cdist(FRESH, HELD_OUT).min(axis=1))
    others = cdist(HELD_OUT, HELD_OUT) + np.diag(np.full(len(HELD_OUT), np.inf))
    expected = cdist(HELD_OUT, TRAIN).min(axis=1)
    np.testing.assert_allclose(OF_HELD_OUT.distance, expected, rtol=1e-9)
    np.testing.assert_allclose(OF_HELD_OUT.ratio, expected / others.min(axis=1), rtol=1e-7)


def test_copies_are_seen():
    found = copying_of(TRAIN[:200] + 0.01 * RNG.normal(size=(200, 10)))
    for nearness in found:
        assert nearness.share == 1
        assert nearness.interval[0] > 0.98
        assert nearness.p_value < 1e-50
        assert nearness.median < 0.1 * nearness.held_out_median


def test_one_copy_in_ten_is_seen_though_the_median_is_not_moved():
    samples = FRESH.copy()
    samples[::10] = TRAIN[:20]
    found = copying_of(samples)
    for nearness in found:
        assert nearness.share == pytest.approx(0.1, abs=0.04)
        assert nearness.interval[0] > 0.05
        assert nearness.median == pytest.approx(nearness.held_out_median, rel=0.1)


def test_new_examples_are_no_copies():
    found = copying_of(FRESH)
    for nearness in found:
        low, high = nearness.interval
        assert low <= 0.01 <= high
        assert 0.001 < nearness.p_value < 0.999


def test_nor_are_copies_of_held_out_examples():
    assert copying_of(HELD_OUT[:100]).ratio.share == 0


def test_plain_samples_are_near_to_all_and_no_copies():
    """New examples shrunk towards the mean, as blurred images are."""
    found = copying_of(0.3 * FRESH)
    assert found.distance.p_value < 1e-20
    assert found.distance.share > 0.2
    low, high = found.ratio.interval
    assert low <= 0.01 <= high


def test_the_test_is_scipys():
    """By its definition: in how many pairs the sample is nearer, ties one half."""
    samples = judge.training_distances(FRESH, TRAIN, HELD_OUT)
    found = judge.copying(samples, OF_HELD_OUT)
    pairs = samples.distance[:, None] - OF_HELD_OUT.distance
    statistic = np.mean(pairs > 0)
    n, m = pairs.shape
    z = (statistic * n * m - n * m / 2 + 0.5) / np.sqrt(n * m * (n + m + 1) / 12)
    assert found.distance.p_value == pytest.approx(scipy.stats.norm.cdf(z), rel=1e-6)
    assert found.distance.share == np.mean(
        samples.distance < np.quantile(OF_HELD_OUT.distance, 0.01)
    )


# --- labels --------------------------------------------------------------------------------------


def test_label_balance_by_hand():
    balance = judge.label_balance(np.array([2, 0, 2, 2, 0, 1, 2, 2]), 4)
    assert balance.counts.tolist() == [2, 1, 5, 0]
    assert balance.shares.tolist() == [0.25, 0.125, 0.625, 0]
    expected = -(0.25 * math.log(0.25) + 0.125 * math.log(0.125) + 0.625 * math.log(0.625))
    assert balance.entropy == pytest.approx(expected, rel=1e-12)
    assert balance.evenness == pytest.approx(expected / math.log(4), rel=1e-12)


def test_label_balance_at_its_ends():
    even = judge.label_balance(np.arange(30) % 10, 10)
    assert even.entropy == pytest.approx(math.log(10), rel=1e-12)
    assert even.evenness == pytest.approx(1, rel=1e-12)
    one = judge.label_balance(np.full(5, 3), 10)
    assert one.entropy == one.evenness == 0


@pytest.mark.parametrize(("labels", "classes"), [([], 3), ([3], 3), ([-1], 3), ([0], 1)])
def test_bad_labels(labels, classes):
    with pytest.raises(InputError):
        judge.label_balance(np.array(labels, np.int64), classes)


def test_chi_square_is_scipys():
    counts, others = np.array([12, 30, 8]), np.array([20, 30, 40])
    expected = scipy.stats.chi2_contingency([counts, others])
    assert judge.fit_to_counts(counts, others) == pytest.approx(tuple(expected)[:2], rel=1e-9)
    assert judge.fit_to_counts(others, counts) == pytest.approx(tuple(expected)[:2], rel=1e-9)


def test_chi_square_of_classes_that_are_not_there():
    two = judge.fit_to_counts(np.array([5, 9]), np.array([7, 2]))
    assert judge.fit_to_counts(np.array([5, 0, 9]), np.array([7, 0, 2])) == two
    assert judge.fit_to_counts(np.array([5, 0]), np.array([7, 0])) == (0.0, 1.0)
