"""What the two players of a generative adversarial network want, of the discriminator's scores.

By the first two forms a score is a logit: the discriminator takes a sample for real with
probability ``sigmoid(score)``. By all of them the more real a sample looks the higher its score.
With ``r`` for the score of a real sample and ``g`` for that of a generated one, all minimized:

====================  ==============================================  ============================
objective             loss of the discriminator                       loss of the generator
====================  ==============================================  ============================
``minimax``           ``-log sigmoid(r) - log(1 - sigmoid(g))``       ``log(1 - sigmoid(g))``
                      (Goodfellow et al. 2014, arXiv:1406.2661,
                      equation 1)
``non_saturating``    the same                                        ``-log sigmoid(g)`` (there,
                                                                      section 3)
``least_squares``     ``(r - 1)^2 / 2 + g^2 / 2``                     ``(g - 1)^2 / 2`` (Mao et al.
                                                                      2017, arXiv:1611.04076,
                                                                      equation 9)
``wasserstein``       ``g - r`` (Arjovsky et al. 2017,                ``-g``
                      arXiv:1701.07875)
``hinge``             ``max(0, 1 - r) + max(0, 1 + g)`` (Lim and Ye   ``-g``
                      2017, arXiv:1705.02894)
====================  ==============================================  ============================

The Wasserstein form needs a discriminator of bounded slope: with `gradient_penalty`, say.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float, Int, Key

from jaxdl.errors import InputError, near_names
from jaxdl.types import Number, as_pytree

Scores = Float[Array, " batch"]
Samples = Float[Array, "batch ..."]
Score = Callable[[Samples], Scores]
Penalty = Callable[[Score, Samples, Samples, Key[Array, " batch"]], Scores]
"""Of the discriminator's score, real and generated samples, and a key for each pair of them."""

PENALTY_KEY = 0x70656E
"""Folded into an example's key, so that what a penalty draws is no other draw of the example."""


class Objective(NamedTuple):
    """A game: each player's loss, of each example or pair of examples.

    Attributes:
        discriminator: ``(real scores, generated scores) -> losses``.
        generator: ``(generated scores) -> losses``.
        penalty: added to the discriminator's loss; None for none.
    """

    discriminator: Callable[[Scores, Scores], Scores]
    generator: Callable[[Scores], Scores]
    penalty: Penalty | None = None


def make_objective(
    name: str, *, label_smoothing: Number = 0.0, penalty: Penalty | None = None
) -> Objective:
    """The objective of this name.

    Args:
        name: a key of `OBJECTIVES`.
        label_smoothing: real samples are to be taken for real with this probability less than 1
            (one-sided label smoothing, Salimans et al. 2016, arXiv:1606.03498, section 3.4); for
            the first three objectives. A leaf, so that changing it recompiles nothing.
        penalty: `gradient_penalty` or `r1_penalty`, or a function like them.

    Raises:
        InputError: there is none of this name, or it knows no labels to smooth.

    >>> objective = make_objective("hinge")
    >>> objective.discriminator(jnp.array([0.5, 2.0]), jnp.array([-3.0, 0.0]))
    Array([0.5, 1. ], dtype=float32)
    """
    if name not in OBJECTIVES:
        raise InputError(f"no objective {name!r}; {near_names(name, OBJECTIVES)}")
    discriminator, generator = OBJECTIVES[name]
    if discriminator in (_discriminator_by_entropy, _discriminator_by_squares):
        discriminator = Partial(discriminator, smoothing=label_smoothing)
    elif not isinstance(label_smoothing, Array) and label_smoothing != 0:
        raise InputError(f"label smoothing {label_smoothing}: the objective {name} has no labels")
    return Objective(as_pytree(discriminator), Partial(generator), as_pytree(penalty))


def choose_objective(number: Int[Array, ""], objectives: Sequence[Objective]) -> Objective:
    """The objective of this number, which may be traced: games for several are one program then.

    Args:
        number: from 0 on; one too large is the last.
        objectives: to choose from, all with a penalty (of strength 0, say) or all without.

    Raises:
        InputError: some have a penalty and some have none.

    >>> forms = [make_objective("minimax"), make_objective("hinge")]
    >>> choose_objective(jnp.int32(1), forms).generator(jnp.array([2.0]))
    Array([-2.], dtype=float32)
    """
    *losses, penalties = zip(*objectives, strict=True)
    penalized = [penalty is not None for penalty in penalties]
    if any(penalized) and not all(penalized):
        raise InputError("objectives with and without a penalty: give the others one of strength 0")
    penalty = Partial(_chosen_penalty, number, penalties) if all(penalized) else None
    discriminator, generator = (Partial(_chosen_losses, number, of) for of in losses)
    return Objective(discriminator, generator, penalty)


def gradient_penalty(strength: Number = 10.0) -> Penalty:
    """``strength (|grad D(x)| - 1)^2`` at a random place between a real sample and a generated one.

    Gulrajani et al. 2017, arXiv:1704.00028, algorithm 1. The score of an example must not depend
    on the others (no batch norm). ``strength`` is a leaf.
    """
    return Partial(_gradient_penalty, as_pytree(strength))


def r1_penalty(strength: Number = 1.0) -> Penalty:
    """``strength / 2 |grad D(x)|^2`` at the real samples (Mescheder et al. 2018, arXiv:1801.04406).

    The score of an example must not depend on the others (no batch norm). ``strength`` is a leaf.
    """
    return Partial(_r1_penalty, as_pytree(strength))


def input_gradients(score: Score, samples: Samples) -> Samples:
    """The gradient of each sample's score by the sample."""
    return jax.grad(lambda samples: jnp.sum(score(samples)))(samples)


def _gradient_penalty(
    strength, score: Score, real: Samples, generated: Samples, keys: Key[Array, " batch"]
) -> Scores:
    def share(key: Key[Array, ""]) -> Array:
        return jax.random.uniform(jax.random.fold_in(key, PENALTY_KEY))

    shares = jax.vmap(share)(keys).reshape(-1, *[1] * (real.ndim - 1))
    gradients = input_gradients(score, shares * real + (1 - shares) * generated)
    return strength * jnp.square(_norms(gradients) - 1)


def _r1_penalty(
    strength, score: Score, real: Samples, generated: Samples, keys: Key[Array, " batch"]
) -> Scores:
    return strength / 2 * jnp.square(_norms(input_gradients(score, real)))


def _norms(gradients: Samples) -> Scores:
    squares = jnp.sum(jnp.square(gradients), axis=tuple(range(1, gradients.ndim)))
    positive = squares > 0  # the root has no slope at 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, squares, 1)), 0)


# --- one of several ------------------------------------------------------------------------------


def _chosen_losses(number, losses, *scores: Scores) -> Scores:
    return lax.switch(number, losses, *scores)


def _chosen_penalty(number, penalties, score: Score, *of_pairs) -> Scores:
    return lax.switch(number, [partial(penalty, score) for penalty in penalties], *of_pairs)


# --- the losses ----------------------------------------------------------------------------------


def _discriminator_by_entropy(real: Scores, generated: Scores, smoothing: Number) -> Scores:
    of_real = (1 - smoothing) * jax.nn.softplus(-real) + smoothing * jax.nn.softplus(real)
    return of_real + jax.nn.softplus(generated)


def _discriminator_by_squares(real: Scores, generated: Scores, smoothing: Number) -> Scores:
    return jnp.square(real - (1 - smoothing)) / 2 + jnp.square(generated) / 2


def _critic(real: Scores, generated: Scores) -> Scores:
    return generated - real


def _discriminator_by_hinge(real: Scores, generated: Scores) -> Scores:
    return jax.nn.relu(1 - real) + jax.nn.relu(1 + generated)


def _to_be_caught_less(generated: Scores) -> Scores:
    return -jax.nn.softplus(generated)


def _to_be_taken_for_real(generated: Scores) -> Scores:
    return jax.nn.softplus(-generated)


def _to_be_scored_1(generated: Scores) -> Scores:
    return jnp.square(generated - 1) / 2


def _to_be_scored_high(generated: Scores) -> Scores:
    return -generated


OBJECTIVES = {
    "minimax": (_discriminator_by_entropy, _to_be_caught_less),
    "non_saturating": (_discriminator_by_entropy, _to_be_taken_for_real),
    "least_squares": (_discriminator_by_squares, _to_be_scored_1),
    "wasserstein": (_critic, _to_be_scored_high),
    "hinge": (_discriminator_by_hinge, _to_be_scored_high),
}
