"""One backward pass in which every example's gradient is seen."""

import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxdl.errors import InputError
from jaxdl.gradients.mean import masked_dot
from jaxdl.nn.coverage import (
    Coverage,
    find_coverage,
    join_layers,
    split_layers,
    tapped_loss,
)
from jaxdl.nn.example_gradients import layer_gradients, sum_of_squares
from jaxdl.nn.taps import Taps
from jaxdl.types import Batch, Keys, LossAux, LossFn, ModelState, Params

FALLBACK_MICROBATCH = 16

Layers = dict[str, dict[str, Array]]
ByExample = Float[Array, " batch"]


class FallbackWarning(UserWarning):
    """Some parameters' gradients take a backward pass for each example."""


class Seen(NamedTuple):
    """What the backward pass of ``sum_i s_i l_i`` tells of the examples' gradients ``grad l_i``.

    Attributes:
        losses: ``l_i``, ``(batch,)``.
        aux: of the loss function.
        squared_norms: of ``grad l_i``, ``(batch,)``, by layer; 0 where the scale is 0.
        weighted_sum: ``sum_i c_i s_i grad l_i`` for weights ``c_i`` ``(batch,)`` by layer, or all
            1 if None is given. An example of weight 0 does not count, be it NaN.
    """

    losses: ByExample
    aux: LossAux
    squared_norms: dict[str, ByExample]
    weighted_sum: Callable[[dict[str, ByExample] | None], Params]

    @property
    def layer_norms(self) -> dict[str, ByExample]:
        """The norm of each example's gradient, by layer."""
        return {name: jnp.sqrt(square) for name, square in self.squared_norms.items()}

    @property
    def norms(self) -> ByExample:
        """The norm of each example's whole gradient."""
        return jnp.sqrt(sum(self.squared_norms.values()))


def see(
    loss_fn: LossFn,
    params: Params,
    model_state: ModelState,
    batch: Batch,
    keys: Keys,
    scales: ByExample,
) -> Seen:
    """Goes forward and backward once; and once for each example if not all layers are covered.

    Args:
        loss_fn: as usual, like those that say no more here.
        params: to differentiate by.
        model_state: without arrays.
        batch: its weights are not looked at.
        keys: one for each example, or None.
        scales: ``s_i``.

    Raises:
        InputError: see `refuse_state`.
    """
    refuse_state(model_state)
    coverage = find_coverage(loss_fn, params, model_state, batch, keys)
    _tell(coverage)
    layers = split_layers(params)
    others = {name: layers[name] for name in coverage.uncovered}

    def scaled(others: Layers, offsets: tuple[Array, ...]):
        taps = Taps(offsets, coverage.paths)
        joined = join_layers({**layers, **others}, params)
        losses, aux, seen = tapped_loss(loss_fn, joined, model_state, batch, keys, taps)
        return masked_dot(scales, losses), (losses, aux, seen.uses)

    (direct, cotangents), (losses, aux, uses) = jax.grad(scaled, (0, 1), has_aux=True)(
        others, coverage.offsets()
    )
    covered = {
        name: layer_gradients(layers[name], of_layer)
        for name, of_layer in coverage.tapped(uses, cotangents).items()
    }
    squares = {name: _unscaled(of.squared_norms, scales) for name, of in covered.items()}

    def losses_of(others: Layers, batch: Batch, keys: Keys) -> ByExample:
        joined = join_layers({**layers, **others}, params)
        return loss_fn(joined, model_state, batch, keys)[0]

    if others:
        squares |= _squares_by_example(losses_of, others, batch, keys, scales)

    def weighted_sum(weights: dict[str, ByExample] | None) -> Params:
        if weights is None:
            seen = {name: of.weighted_sum(None) for name, of in covered.items()}
            return _as(params, join_layers({**seen, **direct}, params))
        # An array that stands for several layers stays one.
        counted = {id(of): jnp.where(scales == 0, 0, of) for of in weights.values()}
        weights = {name: counted[id(of)] for name, of in weights.items()}
        seen = {name: of.weighted_sum(weights[name]) for name, of in covered.items()}
        rest = _second_pass(losses_of, others, batch, keys, scales, weights)
        return _as(params, join_layers({**seen, **rest}, params))

    return Seen(losses, aux, {name: squares[name] for name in layers}, weighted_sum)


def refuse_state(model_state: ModelState) -> None:
    """Raises an `InputError` where no example has a gradient of its own."""
    if jax.tree.leaves(model_state):
        raise InputError(
            "an example has no gradient of its own in a model whose state each batch moves "
            "(batch norm, a state that is carried on); take a group or layer norm, or a model that "
            "is not stateful"
        )


def _squares_by_example(
    losses_of: Callable[[Layers, Batch, Keys], ByExample],
    layers: Layers,
    batch: Batch,
    keys: Keys,
    scales: ByExample,
) -> dict[str, ByExample]:
    """The squared norms by the gradient of each example, a few at a time."""

    def squares(example) -> dict[str, Array]:
        single = jax.tree.map(lambda leaf: leaf[None], example)
        gradients = jax.grad(lambda layers: losses_of(layers, *single)[0])(layers)
        rows = jax.tree.map(lambda leaf: leaf[None], gradients)
        return {name: sum_of_squares(of_layer)[0] for name, of_layer in rows.items()}

    size = min(FALLBACK_MICROBATCH, len(scales))
    found = lax.map(squares, (batch, keys), batch_size=size)
    return {name: jnp.where(scales == 0, 0, square) for name, square in found.items()}


def _second_pass(
    losses_of: Callable[[Layers, Batch, Keys], ByExample],
    layers: Layers,
    batch: Batch,
    keys: Keys,
    scales: ByExample,
    weights: dict[str, ByExample],
) -> Layers:
    """The gradient of the reweighted losses, at once for all layers of the same weights."""
    gradients, alike = {}, {}
    for name in layers:
        alike.setdefault(id(weights[name]), []).append(name)
    for names in alike.values():
        weight = weights[names[0]]
        hidden = _hide(batch, keys, weight)

        def total(some: Layers, hidden=hidden, weight=weight) -> Array:
            return masked_dot(weight * scales, losses_of({**layers, **some}, *hidden))

        found = jax.grad(total)({name: layers[name] for name in names})
        nothing = jax.tree.map(jnp.zeros_like, found)
        gradients |= jax.tree.map(partial(jnp.where, jnp.any(weight != 0)), found, nothing)
    return gradients


def _unscaled(squares: ByExample, scales: ByExample) -> ByExample:
    """A weight of which the square is 0 in this precision leaves nothing that could be told."""
    square = jnp.square(scales.astype(squares.dtype))
    known = jnp.where(square < _LEAST_SQUARE, jnp.nan, squares / jnp.where(square == 0, 1, square))
    return jnp.where(scales == 0, 0, known)


_LEAST_SQUARE = 1e-30


def _hide(batch: Batch, keys: Keys, weights: ByExample) -> tuple[Batch, Keys]:
    """The first example that counts in place of each of weight 0, since a NaN there would spread.

    Not zeros, at which a model may have no gradient.
    """
    counts = weights != 0
    rows = jnp.where(counts, jnp.arange(counts.size), jnp.argmax(counts))
    return jax.tree.map(lambda leaf: leaf[rows], (batch, keys))


def _as(params: Params, gradient: Params) -> Params:
    """In the dtypes of the parameters, as every gradient is."""
    return jax.tree.map(lambda like, leaf: leaf.astype(like.dtype), params, gradient)


def _tell(coverage: Coverage) -> None:
    if coverage.uncovered:
        reasons = "; ".join(f"{name}: {why}" for name, why in coverage.uncovered.items())
        warnings.warn(
            f"a backward pass for each example, since no tap covers some parameters ({reasons})",
            FallbackWarning,
            stacklevel=_level_of_caller(),
        )


_LIBRARIES = (str(Path(__file__).parents[1]), str(Path(jax.__file__).parent))


def _level_of_caller() -> int:
    """How far up the stack of `_tell` the nearest line is that is neither jaxdl's nor JAX's."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_LIBRARIES):
        frame, level = frame.f_back, level + 1
    return level
