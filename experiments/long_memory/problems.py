"""The three problems as they are learnt: draws, model, loss, and what a guess has."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxdl import losses, models
from jaxdl.data import memory_problems
from jaxdl.nn import find_cell
from jaxdl.types import Examples, LossFn, Model

ADDING, COPYING, PARITY = "adding", "copying", "parity"
SYMBOLS = 5
"""To be copied: half of the published 10, which take no cell as few updates as there are here."""


class Problem(NamedTuple):
    """A problem whose sequences are so long.

    Attributes:
        name: of it.
        length: as the problem counts it.
    """

    name: str
    length: int

    def draw(self, key: Array, count: int) -> Examples:
        """So many sequences."""
        return _PARTS[self.name].draw(key, count, self.length)

    def loss_fn(self, model: Model) -> LossFn:
        """Of a model of `model`."""
        return losses.supervised_loss(model, _PARTS[self.name].example_loss)

    def model(self, cell: str, units: int) -> Model:
        """One recurrent layer, read at its last state, or at each step where copying."""
        return _PARTS[self.name].model(cell, [units])

    def baseline(self) -> float:
        """The loss of a guess that remembers nothing."""
        return _PARTS[self.name].baseline(self.length)

    def unit(self) -> str:
        """What the loss is in."""
        return "mean squared error" if self.name == ADDING else "cross-entropy (nats)"


def cross_entropy_of_steps(
    logits: Float[Array, "batch time tokens"], targets: Int[Array, "batch time"]
) -> Float[Array, " batch"]:
    """In nats, the mean of the steps."""
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, targets), axis=1)


def units_of(cell: str, units: int) -> int:
    """So many that the cell has as many recurrent weights as an LSTM of ``units``.

    >>> units_of("rnn", 32), units_of("lstm", 32), units_of("gru", 32)
    (64, 32, 37)
    """
    return round(units * (find_cell("lstm").gates / find_cell(cell).gates) ** 0.5)


class _Parts(NamedTuple):
    """What `Problem` is made of."""

    draw: Callable[[Array, int, int], Examples]
    model: Callable[[str, list[int]], Model]
    example_loss: Callable[[Array, Array], Array]
    baseline: Callable[[int], float]


def _copier(cell: str, units: list[int]) -> Model:
    tokens = memory_problems.DELIMITER + 1
    return models.language_model(tokens, cell=cell, units=units, embedding=tokens)


_PARTS = {
    ADDING: _Parts(
        memory_problems.adding_problem,
        partial(models.sequence_classifier, classes=1),
        losses.squared_error,
        lambda length: memory_problems.ADDING_BASELINE,
    ),
    COPYING: _Parts(
        partial(memory_problems.copying_problem, symbols=SYMBOLS),
        _copier,
        cross_entropy_of_steps,
        partial(memory_problems.copying_baseline, symbols=SYMBOLS),
    ),
    PARITY: _Parts(
        memory_problems.parity_problem,
        partial(models.sequence_classifier, classes=2),
        losses.softmax_cross_entropy,
        lambda length: memory_problems.PARITY_BASELINE,
    ),
}
PROBLEMS = tuple(_PARTS)
