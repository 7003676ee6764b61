"""What the models make of the test documents, and how their accuracies compare."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int

from jaxdl.statistics import mean_and_interval, share_interval

AnyArray = Array | np.ndarray
"""On the device within a program, on the host behind it."""

COUNTS, TF_IDF, SCIKIT_LEARN = "counts", "TF-IDF", "TF-IDF, scikit-learn"
AVERAGE, LSTM = "embedding average", "LSTM"
"""The models."""


class Reading(NamedTuple):
    """What a model, trained by each seed, makes of the documents.

    Attributes:
        validation_accuracy: of each seed, on its own validation documents.
        classes: that it takes the test documents for.
    """

    validation_accuracy: Float[np.ndarray, " seeds"]
    classes: Int[np.ndarray, "seeds test"]

    def accuracy(self, truths: Int[np.ndarray, " test"]) -> Float[np.ndarray, " seeds"]:
        """The share of the test documents that each seed gets right."""
        return np.mean(self.classes == truths, axis=1)

    def rightness(self, truths: Int[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
        """The share of the seeds that get each test document right."""
        return np.mean(self.classes == truths, axis=0)


Readings = Mapping[str, Reading]
"""Those of each model by its name."""


def best(readings: Readings) -> str:
    """The model of the highest mean validation accuracy: the test documents choose nothing."""
    return max(readings, key=lambda name: readings[name].validation_accuracy.mean())


def difference(
    first: Reading, second: Reading, truths: Int[np.ndarray, " test"]
) -> tuple[float, float]:
    """By how much the first is more often right, and the half width of its 95% interval.

    The interval is over test documents, each of which both have read with all their seeds: it says
    how far the difference might be another on other documents. It is wider than that over seeds.
    """
    return mean_and_interval(first.rightness(truths) - second.rightness(truths))


def guess(truths: Int[np.ndarray, " test"]) -> float:
    """The accuracy of taking every document for one of the most frequent class."""
    return float(np.bincount(truths).max() / truths.size)


def summarize(readings: Readings, truths: Int[np.ndarray, " test"]) -> dict[str, dict[str, Any]]:
    """For ``summary.json``: an entry for each model."""
    summary = {}
    for name, reading in readings.items():
        of_seeds = reading.accuracy(truths)
        accuracy, half_width = mean_and_interval(of_seeds)
        summary[name] = {
            "test_accuracy": accuracy,
            "test_accuracy_interval": half_width,
            "test_accuracy_of_seeds": of_seeds,
            "test_accuracy_of_other_documents": share_interval(reading.classes[0] == truths),
            "validation_accuracy": reading.validation_accuracy.mean(),
            "validation_accuracy_of_seeds": reading.validation_accuracy,
        }
    return summary


def report(readings: Readings, truths: Int[np.ndarray, " test"]) -> None:
    """Prints the table of the models."""
    seeds = len(next(iter(readings.values())).classes)
    print(f"{truths.size} test documents, a guess gets {guess(truths):.1%}; {seeds} seeds")
    width = max(map(len, readings))
    for name, reading in readings.items():
        accuracy, half_width = mean_and_interval(reading.accuracy(truths))
        low, high = share_interval(reading.classes[0] == truths)
        print(
            f"    {name:{width}}  {accuracy:.1%} ± {half_width:.1%}  "
            f"(on other documents {low:.0%} to {high:.0%})  "
            f"validation {reading.validation_accuracy.mean():.1%}"
        )
