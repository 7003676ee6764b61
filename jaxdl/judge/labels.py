"""The balance of the labels of samples: are all classes there, as often as they should be?"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxdl.errors import InputError


class LabelBalance(NamedTuple):
    """How often each class is there.

    Attributes:
        counts: of each class.
        shares: the same over their sum.
        entropy: of the shares in nats.
        evenness: the entropy over that of equal shares, from 0 (one class) to 1 (Pielou 1966,
            Journal of Theoretical Biology 13, pages 131 to 144).
    """

    counts: Int[np.ndarray, " classes"]
    shares: Float[np.ndarray, " classes"]
    entropy: float
    evenness: float


def label_balance(labels: Int[np.ndarray, " samples"], classes: int) -> LabelBalance:
    """The balance of labels from 0 to ``classes - 1``, two classes or more.

    Raises:
        InputError: there are no labels, some are out of range, or there is one class.

    >>> balance = label_balance(np.array([0, 1, 1, 0]), 4)
    >>> balance.shares.tolist(), round(balance.entropy, 4), balance.evenness
    ([0.5, 0.5, 0.0, 0.0], 0.6931, 0.5)
    """
    if classes < 2:
        raise InputError(f"the balance of {classes} class; give two or more")
    if not labels.size or labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"give labels, one or more, from 0 to {classes - 1}")
    counts = np.bincount(labels, minlength=classes)
    shares = counts / labels.size
    present = shares[shares > 0]
    entropy = float(np.sum(present * np.log(1 / present)))
    return LabelBalance(counts, shares, entropy, entropy / float(np.log(classes)))


def fit_to_counts(
    counts: Int[np.ndarray, " classes"], others: Int[np.ndarray, " classes"]
) -> tuple[float, float]:
    """The chi-square of two counts, that both are of the same unknown shares, and its p-value.

    The others, too, are counts of a sample, whose own scatter a test against known shares would
    take for a difference.

    >>> chi_square, p_value = fit_to_counts(np.array([40, 60]), np.array([60, 40]))
    >>> chi_square, round(p_value, 5)
    (8.0, 0.00468)
    """
    table = np.stack([counts, others])[:, (counts > 0) | (others > 0)]
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    chi_square = float(np.sum(np.square(table - expected) / expected))
    return chi_square, _tail(table.shape[1] - 1, chi_square)


def _tail(degrees: int, chi_square: float) -> float:
    from scipy.special import chdtrc  # here because it takes a quarter of a second

    return float(chdtrc(degrees, chi_square)) if degrees else 1.0
