"""What several runs say together: means and shares, how far to trust them, which means differ."""

import itertools
from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Bool, Float, Int, Num


def mean_and_interval(
    values: Iterable[float] | Num[np.ndarray, " runs"], level: float = 0.95
) -> tuple[float, float]:
    """The mean of independent measurements and the half width of its confidence interval.

    Student's t interval, ``t * s / sqrt(n)`` with n - 1 degrees of freedom: right for normal
    measurements of unknown variance (Student, "The Probable Error of a Mean", 1908). The half
    width of a single value is NaN: nothing is known of its spread.

    >>> mean, half_width = mean_and_interval([0.97, 0.98, 0.99])
    >>> f"{mean:.4f} ± {half_width:.4f}"
    '0.9800 ± 0.0248'

    Raises:
        ValueError: there are no values.
    """
    # Imported here because it takes a quarter of a second (and scipy.stats one and a half).
    from scipy.special import stdtrit

    values = np.asarray(list(values), np.float64)
    if not values.size:
        raise ValueError("the mean of no values")
    if values.size == 1:
        return float(values[0]), float("nan")
    t = stdtrit(values.size - 1, (1 + level) / 2)
    return float(values.mean()), float(t * values.std(ddof=1) / np.sqrt(values.size))


def write_interval(values: Iterable[float] | Num[np.ndarray, " runs"], form: str = ".2f") -> str:
    """The mean and, of several measurements, half of its 95% interval, to be read.

    >>> write_interval([0.97, 0.98, 0.99], ".2%"), write_interval([0.98], "+.1f")
    ('98.00% ± 2.48%', '+1.0')
    """
    values = np.asarray(list(values), np.float64)
    mean, half_width = mean_and_interval(values)
    spread = f" ± {format(half_width, form.lstrip('+'))}" if len(values) > 1 else ""
    return format(mean, form) + spread


def geometric_interval(
    values: Iterable[float] | Num[np.ndarray, " runs"],
) -> tuple[float, float, float]:
    """The geometric mean of positive measurements, and the ends of its 95% confidence interval.

    Those of `mean_and_interval` for the logarithms: right where measurements scatter by factors,
    as errors and ratios do.

    >>> [round(of, 2) for of in geometric_interval([0.1, 0.1, 0.2])]
    [0.13, 0.05, 0.34]

    Raises:
        ValueError: there are no values.
    """
    mean, half_width = mean_and_interval(np.log(np.asarray(list(values), np.float64)))
    middle, low, high = np.exp([mean, mean - half_width, mean + half_width])
    return float(middle), float(low), float(high)


def write_geometric(values: Iterable[float] | Num[np.ndarray, " runs"], form: str = ".2g") -> str:
    """The geometric mean and its 95% interval, to be read.

    >>> write_geometric([0.1, 0.1, 0.2])
    '0.13 (0.047 to 0.34)'
    """
    middle, low, high = geometric_interval(values)
    return f"{middle:{form}} ({low:{form}} to {high:{form}})"


def geometric_mean(values: Num[np.ndarray, "..."]) -> float:
    """Of positive numbers.

    >>> geometric_mean(np.array([0.5, 2.0, 8.0]))
    2.0
    """
    return float(np.exp(np.log(values).mean()))


def root_mean_square(values: Num[np.ndarray, "..."]) -> float:
    """Of all values, errors say.

    >>> root_mean_square(np.array([1.0, -7.0]))
    5.0
    """
    return float(np.sqrt(np.mean(np.square(values))))


def lowest_mean(losses: Float[np.ndarray, "*cases rates runs"]) -> Int[np.ndarray, "*cases"]:
    """The place of the rate, or whatever else was tried, whose runs have the lowest mean loss.

    A run that failed, of loss NaN, is worse than any other.

    >>> lowest_mean(np.array([[1.0, np.nan], [3.0, 4.0], [3.0, 3.0]])).item()
    2
    """
    means = np.where(np.isnan(losses), np.inf, losses).mean(axis=-1)
    return np.asarray(means.argmin(axis=-1))


def off_by(ratios: Num[np.ndarray, "..."] | float) -> float:
    """How far the geometric mean of ratios is from 1, up or down, as a share.

    >>> off_by(np.array([0.5, 0.5])), off_by(2.0)
    (1.0, 1.0)
    """
    return float(np.expm1(abs(np.log(ratios).mean())))


def worst(misses: Mapping[str, float]) -> tuple[float, str]:
    """The greatest, and whose it is.

    >>> worst({"tanh": 0.01, "relu": 0.02})
    (0.02, 'relu')
    """
    where = max(misses, key=lambda name: misses[name])
    return misses[where], where


def is_above_zero(values: Iterable[float] | Num[np.ndarray, " runs"]) -> bool:
    """Whether the 95% interval of the mean lies above 0; of a single value nothing is known.

    >>> is_above_zero([0.2, 0.3, 0.4]), is_above_zero([-0.1, 0.3, 0.4]), is_above_zero([0.3])
    (True, False, False)
    """
    mean, half_width = mean_and_interval(values)
    return mean > half_width


def share_interval(happened: Bool[np.ndarray, " runs"], level: float = 0.95) -> tuple[float, float]:
    """The confidence interval of a probability, from whether something happened in each of n runs.

    Clopper and Pearson's exact one ("The Use of Confidence or Fiducial Limits Illustrated in the
    Case of the Binomial", 1934): never too short.

    >>> low, high = share_interval(np.zeros(12, bool))
    >>> f"{low:.3f} to {high:.3f}"
    '0.000 to 0.265'
    """
    # Imported here because it takes a quarter of a second.
    from scipy.special import betaincinv

    count, total, tail = int(np.sum(happened)), len(happened), (1 - level) / 2
    low = betaincinv(count, total - count + 1, tail) if count else 0.0
    high = betaincinv(count + 1, total - count, 1 - tail) if count < total else 1.0
    return float(low), float(high)


def write_share(happened: Bool[np.ndarray, " runs"], form: str = ".0%") -> str:
    """The share of runs in which something happened and its 95% interval, to be read.

    >>> write_share(np.arange(12) < 9)
    '75% (43% to 95%)'
    """
    low, high = share_interval(happened)
    return f"{np.mean(happened):{form}} ({low:{form}} to {high:{form}})"


def paired_p_value(first: Float[np.ndarray, " runs"], second: Float[np.ndarray, " runs"]) -> float:
    """How probable a mean difference at least so great is if there is none: the paired t-test.

    Two-sided, by ``t = mean(d) / (s / sqrt(n))`` of the differences ``d`` with n - 1 degrees of
    freedom (Student 1908): right for normal differences of measurements that belong together, such
    as runs of the same seeds. 1 where all differences are 0.

    >>> round(paired_p_value(np.array([0.97, 0.98, 0.99]), np.array([0.95, 0.97, 0.96])), 3)
    0.074

    Raises:
        ValueError: there are fewer than two pairs.
    """
    from scipy.special import stdtr  # see mean_and_interval

    if first.size < 2:
        raise ValueError(f"{first.size} pair: give two or more")
    differences = np.subtract(first, second, dtype=np.float64)
    error = differences.std(ddof=1) / np.sqrt(differences.size)
    if not error:
        return float(not differences.any())
    return float(2 * stdtr(differences.size - 1, -abs(differences.mean()) / error))


def holm(p_values: Float[np.ndarray, " tests"]) -> Float[np.ndarray, " tests"]:
    """The p-values of several tests, adjusted so that they can be read as those of one.

    The k-th smallest of m is multiplied by m - k + 1, and is no smaller than those before it (Holm,
    "A Simple Sequentially Rejective Multiple Test Procedure", 1979): to call a difference real
    where its adjusted value is below 0.05 calls any unreal one real in at most 5% of experiments,
    whatever the tests have to do with each other.

    >>> holm(np.array([0.01, 0.04, 0.03, 0.005])).tolist()
    [0.03, 0.06, 0.06, 0.02]
    """
    order = np.argsort(p_values, kind="stable")
    multiplied = p_values[order] * np.arange(p_values.size, 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(multiplied), 1)
    return adjusted


def compare_pairs(
    measured: Mapping[str, Float[np.ndarray, " runs"]],
) -> dict[tuple[str, str], float]:
    """For every two of ``measured``, the p-value that they are the same: paired, adjusted by Holm.

    Args:
        measured: values by name, all of the same runs (seeds) in the same order.

    Returns:
        The adjusted p-value of each pair of names, in the order of ``measured``.
    """
    pairs = list(itertools.combinations(measured, 2))
    p_values = [paired_p_value(measured[first], measured[second]) for first, second in pairs]
    return dict(zip(pairs, holm(np.array(p_values)).tolist(), strict=True))
