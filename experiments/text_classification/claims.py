"""What is claimed of the models."""

import numpy as np
from jaxtyping import Int

from experiments.text_classification.readings import (
    AVERAGE,
    COUNTS,
    LSTM,
    SCIKIT_LEARN,
    TF_IDF,
    Readings,
    difference,
    guess,
)
from jaxdl.claims import Claim

POINT = 0.01
"""Of accuracy."""


def same_claim(readings: Readings, truths: Int[np.ndarray, " test"]) -> Claim:
    """Our regression beside scikit-learn's, of the same vectors and the same penalty."""
    ours, theirs = readings[TF_IDF], readings[SCIKIT_LEARN]
    apart = np.abs(ours.accuracy(truths) - theirs.accuracy(truths))
    alike = np.mean(ours.classes == theirs.classes)
    return Claim(
        "softmax regression on TF-IDF gets within a point of what scikit-learn's "
        "LogisticRegression gets, with every seed",
        bool(apart.max() <= POINT),
        f"at most {100 * apart.max():.2f} points apart, expected at most {100 * POINT:g}; "
        f"{alike:.2%} of the documents are taken for the same class",
    )


def guess_claim(readings: Readings, truths: Int[np.ndarray, " test"]) -> Claim:
    """Every model against the most frequent class."""
    worst = {name: reading.accuracy(truths).min() for name, reading in readings.items()}
    name = min(worst, key=worst.__getitem__)
    return Claim(
        "every model with every seed reads better than a guess",
        bool(worst[name] > guess(truths)),
        f"{worst[name]:.1%} at the least ({name}), expected above {guess(truths):.1%}",
    )


def better_claim(readings: Readings, truths: Int[np.ndarray, " test"]) -> Claim:
    """TF-IDF against counts."""
    mean, half_width = difference(readings[TF_IDF], readings[COUNTS], truths)
    return Claim(
        "the same regression reads better on TF-IDF than on counts",
        mean - half_width > 0,
        f"by {100 * mean:.1f} ± {100 * half_width:.1f} points, expected above 0",
    )


def average_claim(readings: Readings, truths: Int[np.ndarray, " test"]) -> Claim:
    """The average of learned word vectors against TF-IDF."""
    mean, half_width = difference(readings[AVERAGE], readings[TF_IDF], truths)
    return Claim(
        "the average of word vectors, learned from the classes alone, reads no worse than TF-IDF",
        mean + half_width >= 0,
        f"better by {100 * mean:.1f} ± {100 * half_width:.1f} points, expected an interval that "
        "is not below 0",
    )


def lstm_claim(readings: Readings, truths: Int[np.ndarray, " test"]) -> Claim:
    """The one model that knows the order of the words against TF-IDF."""
    mean, half_width = difference(readings[TF_IDF], readings[LSTM], truths)
    return Claim(
        "of so few documents the LSTM, which alone knows the order of their words, reads worse "
        "than the regression on TF-IDF",
        mean - half_width > 0,
        f"by {100 * mean:.1f} ± {100 * half_width:.1f} points, expected above 0",
    )
