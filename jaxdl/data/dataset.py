"""A data set on the device, and how a validation split is drawn from its training examples."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Int32, UInt8

from jaxdl.data.sources import Source
from jaxdl.errors import InputError
from jaxdl.pixels import scale_pixels
from jaxdl.types import Examples, Number


class Splits(NamedTuple):
    """A data set on the host: images as published, targets from 0."""

    train_inputs: UInt8[np.ndarray, "train height width 1"]
    train_targets: Int32[np.ndarray, " train"]
    test_inputs: UInt8[np.ndarray, "test height width 1"]
    test_targets: Int32[np.ndarray, " test"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set on the device.

    Images stay uint8 ``(n, 28, 28, 1)``, a quarter of the memory of floats; the program scales
    them (`jaxdl.pixels.scale_pixels`). Targets are int32 ``(n,)``.

    Attributes:
        name: as `jaxdl.data.load` takes it.
        train: the examples to train on.
        test: the examples to test on, once.
        classes: the name of each target.
        source: who made it, and where it is from.
        licence: under which it is given.
        sha256: of the arrays' contents, the same by whatever way they were read.
    """

    name: str
    train: Examples
    test: Examples
    classes: tuple[str, ...]
    source: str
    licence: str
    sha256: str


def put_on_device(source: Source, splits: Splits) -> Dataset:
    """The data set ``source``, its arrays on the default device."""
    return Dataset(
        name=source.name,
        train=Examples(jnp.asarray(splits.train_inputs), jnp.asarray(splits.train_targets)),
        test=Examples(jnp.asarray(splits.test_inputs), jnp.asarray(splits.test_targets)),
        classes=source.classes,
        source=source.source,
        licence=source.licence,
        sha256=source.sha256,
    )


def standardize_pixels(dataset: Dataset) -> Dataset:
    """The same images as floats, those to train on with pixels of mean 0 and variance 1.

    >>> from jaxdl.data import load
    >>> inputs = standardize_pixels(load("mnist_5k")).train.inputs
    >>> abs(float(inputs.mean())) < 1e-5, round(float(inputs.var()), 4)
    (True, 1.0)
    """
    pixels = scale_pixels(dataset.train.inputs)
    mean, deviation = jnp.mean(pixels), jnp.std(pixels)

    def standardize(examples: Examples) -> Examples:
        return examples._replace(inputs=(scale_pixels(examples.inputs) - mean) / deviation)

    return replace(dataset, train=standardize(dataset.train), test=standardize(dataset.test))


def halve_pixels(dataset: Dataset) -> Dataset:
    """The same images at half their side, floats from 0 to 1: means of 2 x 2 pixels.

    >>> from jaxdl.data import load
    >>> halve_pixels(load("mnist_5k")).train.inputs.shape
    (4000, 14, 14, 1)
    """

    def halve(examples: Examples) -> Examples:
        count, height, width, channels = examples.inputs.shape
        squares = (count, height // 2, 2, width // 2, 2, channels)
        pixels = scale_pixels(examples.inputs).reshape(squares)
        return examples._replace(inputs=pixels.mean((2, 4)))

    return replace(dataset, train=halve(dataset.train), test=halve(dataset.test))


def split_validation(
    examples: Examples, fraction: float, seed: int = 0
) -> tuple[Examples, Examples]:
    """Parts ``examples`` into those to train on and those to validate on.

    Of each class, ``fraction`` of the examples (rounded, halves up) is drawn by ``seed``, the same
    on every machine. Both parts keep the order of ``examples``. Draw from ``dataset.train``.

    Args:
        examples: with integer targets ``(n,)``.
        fraction: of the examples that go to the validation split, between 0 and 1.
        seed: of the draw.

    Returns:
        The training and the validation examples.

    Raises:
        InputError: ``fraction`` is not between 0 and 1, or leaves a class without an example in
            one of the two.

    >>> examples = Examples(jnp.arange(10), jnp.array([0] * 6 + [1] * 4))
    >>> train, validation = split_validation(examples, 0.5)
    >>> jnp.bincount(train.targets), jnp.bincount(validation.targets)
    (Array([3, 2], dtype=int32), Array([3, 2], dtype=int32))
    """
    if not 0 < fraction < 1:
        raise InputError(f"validation fraction {fraction}: give one between 0 and 1, 0.1 say")
    targets = np.asarray(examples.targets)
    chosen = draw_stratified(targets, fraction, seed)
    for part in (chosen, ~chosen):
        missing = np.setdiff1d(targets, targets[part])
        if missing.size:
            raise InputError(
                f"validation fraction {fraction} of {targets.size} examples leaves class "
                f"{missing[0]} without an example to {'validate' if part is chosen else 'train'} "
                "on; choose another fraction or more examples"
            )
    return _take(examples, ~chosen), _take(examples, chosen)


def repeat_first(
    examples: Examples, order: Int[Array, " examples"], count: Number, length: int
) -> Examples:
    """The first ``count`` of the examples in an order, over and over, ``length`` in all.

    Since ``count`` may be traced, runs that learn from few examples and from many are one program,
    and an epoch has as many updates for either.

    >>> examples = Examples(jnp.array([10, 11, 12, 13]), jnp.arange(4))
    >>> repeat_first(examples, jnp.array([3, 1, 0, 2]), count=2, length=5).inputs
    Array([13, 11, 13, 11, 13], dtype=int32)
    """
    chosen = order[jnp.arange(length) % jnp.asarray(count, order.dtype)]
    return Examples(examples.inputs[chosen], examples.targets[chosen])


def draw_stratified(
    targets: Int[np.ndarray, " examples"], fraction: float, seed: int
) -> Bool[np.ndarray, " examples"]:
    """Draws ``fraction`` (rounded, halves up) of the examples of each class."""
    order = shuffled(targets.size, seed)
    chosen = np.zeros(targets.size, bool)
    for target in np.unique(targets):
        members = order[targets[order] == target]
        chosen[members[: int(fraction * members.size + 0.5)]] = True
    return chosen


def shuffled(count: int, seed: int) -> Int[np.ndarray, " {count}"]:
    """The integers below ``count`` in an order drawn by ``seed``.

    NumPy keeps the stream of a bit generator from version to version, that of
    ``Generator.permutation`` it does not (NEP 19): hence the sort.
    """
    return np.argsort(np.random.PCG64(seed).random_raw(count), kind="stable")


def _take(examples: Examples, chosen: Bool[np.ndarray, " examples"]) -> Examples:
    indices = np.flatnonzero(chosen)
    return Examples(examples.inputs[indices], examples.targets[indices])
