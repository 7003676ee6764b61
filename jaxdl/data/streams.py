"""Windows of a long sequence of tokens, to predict each next one: in a row, or anywhere.

A window's inputs are ``length`` tokens, its targets the same one place further on: the last of the
targets is read from behind the window.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Integer, Key

from jaxdl.errors import InputError
from jaxdl.types import Examples

KEY_OFFSET = 0x77696E
"""Folded into a window's key, so that its place and the model's dropout draw different numbers."""


def contiguous_streams(
    tokens: Integer[np.ndarray, " tokens"], batch_size: int, length: int
) -> Examples:
    """The tokens as ``batch_size`` streams side by side, cut into windows of ``length``.

    For training that carries a state from batch to batch: row ``t * batch_size + b`` is window
    ``t`` of stream ``b``, so that each row of a batch goes on where the same row of the batch
    before has ended. Stream ``b`` is the ``b``-th of ``batch_size`` equal parts of the sequence;
    less than ``batch_size * length`` tokens (and the last target) are left out at its end. The
    first token of each stream is given as its complement, ``~token``, which is below 0: there a
    state begins anew (`jaxdl.models.language_model`).

    Args:
        tokens: of the whole sequence.
        batch_size: the number of streams.
        length: of a window.

    Returns:
        Inputs and targets ``(windows, length)``, int32, on the device.

    Raises:
        InputError: a size is below 1, or there are too few tokens for a window of each stream.

    >>> contiguous_streams(np.arange(13), batch_size=2, length=3).inputs
    Array([[-1,  1,  2],
           [-7,  7,  8],
           [ 3,  4,  5],
           [ 9, 10, 11]], dtype=int32)
    """
    _check_positive("batch_size", batch_size)
    _check_positive("length", length)
    _check_enough(len(tokens), batch_size * length + 1, f"{batch_size} streams of windows", length)
    steps = (len(tokens) - 1) // (batch_size * length)

    def cut(sequence: np.ndarray) -> np.ndarray:
        streams = sequence[: steps * batch_size * length].reshape(batch_size, steps, length)
        return streams.swapaxes(0, 1).reshape(steps * batch_size, length)

    inputs = cut(tokens).astype(np.int32)
    inputs[:batch_size, 0] = ~inputs[:batch_size, 0]
    return _on_device(inputs, cut(tokens[1:]))


def windows(
    tokens: Integer[np.ndarray, " tokens"], length: int, stride: int | None = None
) -> Examples:
    """All windows of ``length`` whose starts are ``stride`` apart, from the first token on.

    They take ``5 * length / stride`` bytes for each token where tokens are uint8: a stride of 1 is
    for short sequences, `random_windows` for long ones.

    Args:
        tokens: of the whole sequence.
        length: of a window.
        stride: ``length`` by default, so that each token is in one window.

    Returns:
        Inputs ``(windows, length)`` of the type of ``tokens``, targets ``(windows, length)`` int32,
        on the device.

    Raises:
        InputError: a size is below 1, or there are too few tokens for a window.

    >>> windows(np.arange(6), length=3, stride=2)
    Examples(inputs=Array([[0, 1, 2],
           [2, 3, 4]], dtype=int32), targets=Array([[1, 2, 3],
           [3, 4, 5]], dtype=int32))
    """
    stride = length if stride is None else stride
    _check_positive("length", length)
    _check_positive("stride", stride)
    _check_enough(len(tokens), length + 1, "a window", length)
    both = np.lib.stride_tricks.sliding_window_view(tokens, length + 1)[::stride]
    return _on_device(both[:, :-1], both[:, 1:])


def random_windows(
    tokens: Integer[Array, " tokens"], keys: Key[Array, " batch"], length: int
) -> Examples:
    """A window of ``length`` from anywhere for each key; all places are equally likely.

    To be called inside a program that holds the tokens on the device.

    Args:
        tokens: of the whole sequence.
        keys: of the examples; each window is a function of its own key.
        length: of a window, static.

    Returns:
        Inputs ``(batch, length)`` of the type of ``tokens``, targets ``(batch, length)`` int32.

    Raises:
        InputError: ``length`` is below 1, or there are too few tokens for a window.
    """
    _check_positive("length", length)
    _check_enough(len(tokens), length + 1, "a window", length)

    def one_window(key: Array) -> Array:
        start = jax.random.randint(jax.random.fold_in(key, KEY_OFFSET), (), 0, len(tokens) - length)
        return lax.dynamic_slice(tokens, (start,), (length + 1,))

    both = jax.vmap(one_window)(keys)
    return Examples(both[:, :-1], both[:, 1:].astype(jnp.int32))


def _on_device(inputs: np.ndarray, targets: np.ndarray) -> Examples:
    return Examples(jnp.asarray(inputs), jnp.asarray(targets, jnp.int32))


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise InputError(f"{name} {value}: give 1 or more")


def _check_enough(count: int, needed: int, what: str, length: int) -> None:
    if count < needed:
        raise InputError(
            f"{count} tokens are too few for {what} of {length} with their targets, which take "
            f"{needed}: give a longer text, or a smaller length or batch size"
        )
