"""What is claimed of samples by their scores: that they are no noise, no copies, and like real."""

import numpy as np

from jaxdl import judge
from jaxdl.claims import Claim
from jaxdl.statistics import write_interval

AS_REAL = 1.5
"""Of real training images' Frechet distance, what the samples' may be."""
COVERAGE = 0.9
CLASSIFICATION = 0.971
"""The least accuracy of a network trained on samples: that which Bie, Kamath and Zhang (2023,
arXiv:2302.02936) have without privacy, whose samples are labelled by what was asked for."""
COPIED = 0.01
"""Of real test images, the share that would be taken for copies."""

Bounds = dict[str, judge.Scores]


def nearer_than_noise(scores: list[judge.Scores], bounds: Bounds, nearer: float) -> Claim:
    """That they are at most ``nearer`` times as far from test images as noise is."""
    distances = of_seeds(scores, "frechet_distance")
    floor, noise = (bounds[of]["frechet_distance"] for of in ("real train", "noise"))
    return Claim(
        "the samples are nearer to test images than noise is",
        bool(distances.mean() < nearer * noise),
        f"Frechet distance {write_interval(distances)}, of real training images {floor:.2f}, of "
        f"noise {noise:.2f}; expected below {nearer:.0%} of the last",
    )


def no_copies(scores: list[judge.Scores]) -> Claim:
    """That no more of them are next to a training image than of test images."""
    found = [
        f"{of['copied_share']:.1%} ({of['copied_low']:.1%} to {of['copied_high']:.1%})"
        for of in scores
    ]
    nearer = [f"{of['nearer_share']:.1%} (p {of['nearer_p_value']:.2g})" for of in scores]
    return Claim(
        "they are no copies",
        all(of["copied_low"] <= COPIED for of in scores),
        f"share that is as near to a training image, against test images, as {COPIED:.0%} of test "
        f"images are, and its interval: {', '.join(found)}; expected to hold {COPIED:.0%} or less; "
        f"nearer to a training image than 99% of test images: {', '.join(nearer)}",
    )


def like_real(scores: list[judge.Scores], bounds: Bounds) -> list[Claim]:
    """What is to hold of samples of a generator that has seen all of MNIST."""
    real = bounds["real train"]
    distances, covered, accuracies = (
        of_seeds(scores, name)
        for name in ("frechet_distance", "coverage", "classification_accuracy")
    )
    return [
        Claim(
            f"they are at most {AS_REAL:g} times as far from test images as training images are",
            bool(distances.mean() <= AS_REAL * real["frechet_distance"]),
            f"Frechet distance {write_interval(distances)}, of real training images "
            f"{real['frechet_distance']:.2f}",
        ),
        Claim(
            f"they cover {COVERAGE:.0%} of the test images",
            bool(covered.mean() >= COVERAGE),
            f"{write_interval(covered, '.3f')}, real training images {real['coverage']:.3f}",
        ),
        Claim(
            f"a network trained on them and the judge's labels reads {CLASSIFICATION:.1%} of the "
            "test images",
            bool(accuracies.mean() >= CLASSIFICATION),
            f"{write_interval(accuracies, '.2%')}, on real training images "
            f"{real['classification_accuracy']:.2%}",
        ),
    ]


def of_seeds(scores: list[judge.Scores], name: str) -> np.ndarray:
    """One score of each seed."""
    return np.array([of[name] for of in scores])
