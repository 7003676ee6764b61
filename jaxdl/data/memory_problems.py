"""Sequences to be remembered: the copying, adding and parity problems, of any length.

Each is drawn anew from a key, so that a run need not see a sequence twice, and what is to be told
at the end was said long before. A guess that remembers nothing has a known loss: the baseline.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key

from jaxdl.errors import InputError
from jaxdl.types import Examples

SYMBOLS = 8
"""Kinds of symbols to be copied: tokens 0 to 7."""
BLANK, DELIMITER = SYMBOLS, SYMBOLS + 1
"""The other two tokens of the copying problem."""
ADDING_BASELINE = 1 / 6
"""The mean squared error of the constant guess 1, the variance of a sum of two uniform numbers."""
PARITY_BASELINE = math.log(2)
"""The cross-entropy of a guess at one of two classes that are equally frequent, in nats."""


def copying_problem(key: Key[Array, ""], count: int, length: int, symbols: int = 10) -> Examples:
    """Symbols, which are to be told again after ``length`` steps (Arjovsky et al. 2016).

    The inputs are tokens: ``symbols`` of `SYMBOLS` kinds, drawn evenly; ``length - 1`` blanks; the
    delimiter, at which to begin; blanks. The targets are blanks, and at the last ``symbols`` steps
    the symbols in their order. (arXiv:1511.06464, section 4.1; after Hochreiter and Schmidhuber
    1997.)

    Args:
        key: of the draw.
        count: of sequences.
        length: T, between the last symbol and where the first one is due.
        symbols: how many; 10 as published.

    Returns:
        Inputs and targets ``(count, length + 2 * symbols)``, int32.

    Raises:
        InputError: a size is below 1.

    >>> inputs, targets = copying_problem(jax.random.key(0), 1, length=4, symbols=2)
    >>> inputs
    Array([[5, 0, 8, 8, 8, 9, 8, 8]], dtype=int32)
    >>> targets
    Array([[8, 8, 8, 8, 8, 8, 5, 0]], dtype=int32)
    """
    _check(count, length, symbols)
    shown = jax.random.randint(key, (count, symbols), 0, SYMBOLS)
    blanks = jnp.full((count, length + symbols), BLANK)
    inputs = jnp.concatenate([shown, blanks.at[:, length - 1].set(DELIMITER)], axis=1)
    return Examples(inputs, jnp.concatenate([blanks, shown], axis=1))


def copying_baseline(length: int, symbols: int = 10) -> float:
    """The cross-entropy of a memoryless guess, in nats, the mean over all steps.

    It tells the blanks surely and of a symbol nothing: ``symbols log(8) / (length + 2 symbols)``.

    >>> round(copying_baseline(500), 4)
    0.04
    """
    return symbols * math.log(SYMBOLS) / (length + 2 * symbols)


def adding_problem(key: Key[Array, ""], count: int, length: int) -> Examples:
    """Numbers, two of which are marked: their sum is to be told at the end.

    A step of the inputs is a number, drawn evenly from 0 to 1, and a mark: 1 at one step of the
    first half and at one of the second half, else 0. A target is the sum of the two marked numbers.
    (Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997, section 5.4, in the form of
    Arjovsky et al. 2016, arXiv:1511.06464, section 4.2.)

    Args:
        key: of the draw.
        count: of sequences.
        length: T, their steps.

    Returns:
        Inputs ``(count, length, 2)`` and targets ``(count, 1)``.

    Raises:
        InputError: the count is below 1, or the length below 2.

    >>> inputs, targets = adding_problem(jax.random.key(0), 1, length=4)
    >>> bool(jnp.allclose(jnp.sum(inputs[..., 0] * inputs[..., 1], axis=1), targets[:, 0]))
    True
    """
    _check(count, length, least=2)
    half = length // 2
    # One draw for all, because each takes seconds to compile.
    drawn = jax.random.uniform(key, (count, length + 2))
    numbers, places = drawn[:, :length], drawn[:, length:]
    first = jnp.floor(places[:, :1] * half)
    second = half + jnp.floor(places[:, 1:] * (length - half))
    steps = jnp.arange(length)[None]
    marks = ((steps == first) | (steps == second)).astype(numbers.dtype)
    targets = jnp.sum(numbers * marks, axis=1, keepdims=True)
    return Examples(jnp.stack([numbers, marks], axis=2), targets)


def parity_problem(key: Key[Array, ""], count: int, length: int) -> Examples:
    """Signs: whether an odd number of them is positive is to be told at the end.

    Every one of them counts, from the first to the last (Bengio, Simard and Frasconi, "Learning
    Long-Term Dependencies with Gradient Descent is Difficult", 1994, section V).

    Args:
        key: of the draw.
        count: of sequences.
        length: T, their steps.

    Returns:
        Inputs ``(count, length, 1)``, 1 or -1, and classes ``(count,)``, 1 for an odd number.

    Raises:
        InputError: a size is below 1.

    >>> inputs, classes = parity_problem(jax.random.key(0), 1, length=4)
    >>> inputs[0, :, 0], classes
    (Array([-1., -1.,  1.,  1.], dtype=float32), Array([0], dtype=int32))
    """
    _check(count, length)
    bits = jax.random.bernoulli(key, shape=(count, length)).astype(jnp.int32)
    signs = (2 * bits[..., None] - 1).astype(jnp.float32)
    return Examples(signs, jnp.sum(bits, axis=1) % 2)


def _check(count: int, length: int, symbols: int = 1, *, least: int = 1) -> None:
    for name, value, bound in (
        ("count", count, 1),
        ("length", length, least),
        ("symbols", symbols, 1),
    ):
        if value < bound:
            raise InputError(f"{name} {value}: give {bound} or more")
