"""All scores of a set of samples by their names, and their bounds, side by side in a table."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, UInt8

from jaxdl.data import Dataset
from jaxdl.data.dataset import shuffled
from jaxdl.errors import InputError
from jaxdl.judge.frechet import Moments, frechet_distance, moments
from jaxdl.judge.kernel import kernel_distance
from jaxdl.judge.labels import fit_to_counts, label_balance
from jaxdl.judge.neighbours import (
    TrainingDistances,
    copying,
    density_coverage,
    held_out_distances,
    precision_recall,
    training_distances,
)
from jaxdl.judge.network import Images, Judge, check_images, observe

Scores = dict[str, float]

ROWS = {
    "images": "{images:,.0f}",
    "Frechet distance": "{frechet_distance:.2f}",
    "kernel distance": "{kernel_distance:.4f} ± {kernel_distance_interval:.4f}",
    "precision": "{precision:.3f}",
    "recall": "{recall:.3f}",
    "density": "{density:.3f}",
    "coverage": "{coverage:.3f}",
    "labels: entropy over log(classes)": "{label_evenness:.4f}",
    "labels: p if shares are those of test": "{label_p_value:.2g}",
    "accuracy of a network trained on them": "{classification_accuracy:.2%}",
    "distance to nearest train image": "{train_distance:.2f} (test {train_distance_of_test:.2f})",
    "nearer than 99% of test": "{nearer_share:.1%} (p {nearer_p_value:.2g})",
    "copies": "{copied_share:.1%} ({copied_low:.1%} to {copied_high:.1%})",
}
"""The rows of `table` and how they are written."""


class Reference(NamedTuple):
    """What samples are held against: real test examples, and the training examples for copies.

    Attributes:
        train: images.
        train_pixels: the same as rows of pixels from 0 to 1.
        test_pixels: of the test images.
        features: of the test images, as the judge sees them.
        moments: of these.
        label_counts: of the test images, as the judge reads them.
        distances: of the test images to the training images.
    """

    train: UInt8[np.ndarray, "train height width channels"]
    train_pixels: Float[np.ndarray, "train pixels"]
    test_pixels: Float[np.ndarray, "test pixels"]
    features: Float[np.ndarray, "test features"]
    moments: Moments
    label_counts: Int[np.ndarray, " classes"]
    distances: TrainingDistances


def make_reference(judge: Judge, dataset: Dataset) -> Reference:
    """What all samples of a data set are held against; once for any number of them.

    Raises:
        InputError: the judge was trained on images of another shape.
    """
    train, test = (np.asarray(part.inputs) for part in (dataset.train, dataset.test))
    check_images(train, judge.image_shape)
    features, read = observe(judge, test)
    train_pixels, test_pixels = _as_rows(train), _as_rows(test)
    return Reference(
        train=train,
        train_pixels=train_pixels,
        test_pixels=test_pixels,
        features=features,
        moments=moments(features),
        label_counts=label_balance(read.argmax(axis=1), len(judge.classes)).counts,
        distances=held_out_distances(test_pixels, train_pixels),
    )


def score(judge: Judge, images: Images, reference: Reference, *, seed: int = 0) -> Scores:
    """All scores of images against real test examples.

    The Frechet distance and, a little, all that count neighbours depend on the number of images:
    compare sets of as many.

    Args:
        judge: that sees and reads the images.
        images: what is judged.
        reference: from `make_reference`, of the same judge.
        seed: of the subsets of the kernel distance.

    Returns:
        How many ``images``, and the ``judge_accuracy``.

        Of the judge's features: ``frechet_distance``; ``kernel_distance`` and
        ``kernel_distance_interval``, half its width; ``precision``, ``recall``, ``density``,
        ``coverage``.

        Of the labels that it reads: ``label_entropy`` in nats and ``label_evenness``, the same over
        its largest; ``label_chi_square`` and ``label_p_value`` against those that it reads in test
        images; ``label_share_0`` and up.

        Of pixels (`jaxdl.judge.Copying`): ``train_distance`` and ``train_distance_of_test``,
        medians; ``nearer_share``, ``nearer_low``, ``nearer_high`` and ``nearer_p_value`` of these
        distances; ``copied_share``, ``copied_low``, ``copied_high`` and ``copied_p_value`` of their
        ratio to the distances to test images.

    Raises:
        InputError: see `check_images` and `kernel_distance`: there are fewer than 20 images.
    """
    features, read = observe(judge, images)
    labels = read.argmax(axis=1)
    return {
        "images": float(len(labels)),
        "judge_accuracy": judge.accuracy,
        **_feature_scores(features, reference, seed),
        **_label_scores(labels, reference),
        **_copying_scores(_as_rows(np.asarray(images)), reference),
    }


def bounds(judge: Judge, reference: Reference, count: int, *, seed: int = 0) -> dict[str, Scores]:
    """What `score` says of the best and of the worst.

    ``"real train"``: ``count`` real training images, which the samples of a perfect model would
    equal, but for chance, and all of which are copies. Since the judge was trained on these very
    images, they may look to it a little unlike test images. ``"noise"``: the same images, the
    pixels of each shuffled.

    Raises:
        InputError: there are fewer training images than ``count``, or ``count`` is below 20.
    """
    real = draw_real(reference, count, seed=seed)
    noise = shuffle_pixels(real, seed=seed)
    return {
        "real train": score(judge, real, reference, seed=seed),
        "noise": score(judge, noise, reference, seed=seed),
    }


def draw_real(
    reference: Reference, count: int, *, seed: int = 0
) -> UInt8[np.ndarray, "count height width channels"]:
    """``count`` different training images.

    Raises:
        InputError: there are not so many.
    """
    if not 1 <= count <= len(reference.train):
        raise InputError(
            f"bounds of {count} images: there are {len(reference.train)} real ones to train on; "
            "judge as many samples or fewer"
        )
    return reference.train[shuffled(len(reference.train), seed)[:count]]


def shuffle_pixels(
    images: UInt8[np.ndarray, "images height width channels"], *, seed: int = 0
) -> UInt8[np.ndarray, "images height width channels"]:
    """Noise with the grey values of each image: its pixels in an order of its own."""
    rows = images.reshape(len(images), -1)
    return np.random.default_rng(seed).permuted(rows, axis=1).reshape(images.shape)


def table(judge: Judge, columns: Mapping[str, Scores]) -> str:
    """Scores side by side, below a line on the judge.

    Args:
        judge: whose scores they are.
        columns: by heading: samples first, then their `bounds`. What is written of
            ``classification_accuracy`` is `classification_accuracy_score`, where it was added.

    Returns:
        A line for each of `ROWS` that some column has, without an end of line after the last.
    """
    cells = [["", *columns]]
    for title, form in ROWS.items():
        row = [_written(form, scores) for scores in columns.values()]
        if any(row):
            cells.append([title, *row])
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join([title.ljust(widths[0]), *map(str.rjust, row, widths[1:])])
        for title, *row in cells
    ]
    seen = f"{judge.accuracy:.2%} of {judge.dataset}'s test images"
    return "\n".join([f"judged by a network that reads {seen}", *lines])


def _written(form: str, scores: Scores) -> str:
    try:
        return form.format_map(scores)
    except KeyError:
        return ""


def _feature_scores(
    features: Float[np.ndarray, "images features"], reference: Reference, seed: int
) -> Scores:
    distance, half_width = kernel_distance(features, reference.features, seed=seed)
    precision, recall = precision_recall(features, reference.features)
    density, coverage = density_coverage(features, reference.features)
    return {
        "frechet_distance": frechet_distance(moments(features), reference.moments),
        "kernel_distance": distance,
        "kernel_distance_interval": half_width,
        "precision": precision,
        "recall": recall,
        "density": density,
        "coverage": coverage,
    }


def _label_scores(labels: Int[np.ndarray, " images"], reference: Reference) -> Scores:
    balance = label_balance(labels, len(reference.label_counts))
    chi_square, p_value = fit_to_counts(balance.counts, reference.label_counts)
    return {
        "label_entropy": balance.entropy,
        "label_evenness": balance.evenness,
        "label_chi_square": chi_square,
        "label_p_value": p_value,
        **{f"label_share_{label}": float(share) for label, share in enumerate(balance.shares)},
    }


def _copying_scores(pixels: Float[np.ndarray, "images pixels"], reference: Reference) -> Scores:
    distances = training_distances(pixels, reference.train_pixels, reference.test_pixels)
    found = copying(distances, reference.distances)
    scores = {
        "train_distance": found.distance.median,
        "train_distance_of_test": found.distance.held_out_median,
    }
    for name, nearness in (("nearer", found.distance), ("copied", found.ratio)):
        low, high = nearness.interval
        scores |= {
            f"{name}_share": nearness.share,
            f"{name}_low": low,
            f"{name}_high": high,
            f"{name}_p_value": nearness.p_value,
        }
    return scores


def _as_rows(images: Images) -> Float[np.ndarray, "images pixels"]:
    """Pixels from 0 to 1, in float32; NumPy's, since there may be more than a device holds."""
    rows = np.asarray(images).reshape(len(images), -1)
    return rows.astype(np.float32) / np.float32(255 if rows.dtype == np.uint8 else 1)
