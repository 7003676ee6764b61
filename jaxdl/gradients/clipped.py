"""Each example's gradient clipped, then averaged, with noise if asked for: DP-SGD's gradient.

The examples' gradients are never formed: their norms come from one backward pass, and the mean of
the clipped ones from one more product per layer (book-keeping, Bu et al. 2023, arXiv:2210.00038),
in all what an ordinary backward pass takes and the norms. What no tap covers takes a backward pass
for each example, and a second one of the reweighted losses.
"""

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Key

from jaxdl.errors import InputError
from jaxdl.gradients.examples import in_microbatches, total_norm
from jaxdl.gradients.mean import example_shares, weighted_mean
from jaxdl.gradients.seen import Seen, see
from jaxdl.nn.coverage import split_layers
from jaxdl.parallel import device_index, sum_over_devices
from jaxdl.precision import wide_dtype
from jaxdl.types import (
    Batch,
    GradientAux,
    GradientFn,
    Instruments,
    Keys,
    LossFn,
    ModelState,
    Number,
    Observation,
    Params,
    Static,
    as_pytree,
)

ByExample = Float[Array, " batch"]

_NOISE = 0x6E6F  # folded into a step's key, lest the noise and an example draw the same


def clipped_gradient(
    loss_fn: LossFn,
    max_norm: Number,
    *,
    noise_multiplier: Number | None = None,
    expected_examples: Number | None = None,
    microbatch_size: int | None = None,
    instruments: Instruments | None = None,
) -> GradientFn:
    """Clips each example's whole gradient to a norm, then averages.

    DP-SGD's gradient (Abadi et al. 2016, arXiv:1607.00133, algorithm 1):
    ``(sum_i w_i g_i min(1, C / |g_i|) + s C z) / n`` with ``z`` standard normal in each entry. Edge
    cases are in `jaxdl.gradients`; no example adds more than ``w_i C`` to the sum, whatever it is.

    The metrics are those of `mean_gradient`, over the examples whose norm is finite (NaN if there
    is none), and as weighted means over all examples ``example_norm`` (before clipping; 0 where it
    is not finite), ``clipped_examples`` (1 where the gradient was clipped) and
    ``unclippable_examples`` (1 where the norm is not finite, so that the example counts as 0).

    Args:
        loss_fn: as usual.
        max_norm: ``C``.
        noise_multiplier: ``s``, or None for no noise. The noise follows from the step's keys, so
            they must be given.
        expected_examples: ``n``; by default the sum of the weights. Where the batch is drawn at
            random its size is private, and ``n`` is the expected one.
        microbatch_size: how many examples to take at a time, for less memory; static.
        instruments: as for `observed_gradient`, such as `jaxdl.diagnostics.norm_instruments`. The
            gradient that they see is the clipped one, without noise. What they show is not private.

    Raises:
        InputError: as `per_example_gradients`; a number that cannot be (a norm below 0, an infinite
            one with noise); or noise without keys.
    """
    _check(max_norm, noise_multiplier, expected_examples)
    return Partial(
        _clipped_gradient,
        Static(microbatch_size),
        as_pytree(loss_fn),
        None if instruments is None else as_pytree(instruments),
        *as_pytree((_Whole(max_norm), noise_multiplier, expected_examples)),
    )


def layer_clipped_gradient(
    loss_fn: LossFn,
    max_norms: Mapping[str, Number] | Number,
    *,
    noise_multiplier: Number | None = None,
    expected_examples: Number | None = None,
    microbatch_size: int | None = None,
    instruments: Instruments | None = None,
) -> GradientFn:
    """The same, but the gradient of each layer is clipped by itself.

    No example adds more than ``C = sqrt(sum_l C_l^2)`` to the sum, the norm that noise is for.

    Args:
        loss_fn: as usual.
        max_norms: ``C_l`` for each layer by name (`per_example_layer_norms`), or one for all.
        noise_multiplier: as in `clipped_gradient`, like all that follows.
        expected_examples: as there.
        microbatch_size: as there.
        instruments: as there.

    Raises:
        InputError: as there; or a norm for a layer that is not there, or none for one that is.
    """
    bounds = _ByLayer(dict(max_norms) if isinstance(max_norms, Mapping) else max_norms)
    for max_norm in max_norms.values() if isinstance(max_norms, Mapping) else (max_norms,):
        _check(max_norm, noise_multiplier, expected_examples)
    return Partial(
        _clipped_gradient,
        Static(microbatch_size),
        as_pytree(loss_fn),
        None if instruments is None else as_pytree(instruments),
        *as_pytree((bounds, noise_multiplier, expected_examples)),
    )


def _check(
    max_norm: Number, noise_multiplier: Number | None, expected_examples: Number | None
) -> None:
    """Checks the numbers, but for those that are traced and cannot be looked at."""

    def is_wrong(value: Number | None, allowed: Callable[[Any], Any]) -> bool:
        if value is None or isinstance(value, Tracer):
            return False
        is_number = np.ndim(value) == 0 and np.issubdtype(np.asarray(value).dtype, np.number)
        return not is_number or not allowed(value)

    if is_wrong(max_norm, lambda norm: norm >= 0):
        raise InputError(f"max_norm {max_norm}: give a norm, 0 or more")
    if is_wrong(noise_multiplier, lambda noise: 0 <= noise < np.inf):
        raise InputError(f"noise_multiplier {noise_multiplier}: give a finite number, 0 or more")
    if is_wrong(expected_examples, lambda count: 0 < count < np.inf):
        raise InputError(f"expected_examples {expected_examples}: give a finite number above 0")
    if noise_multiplier is not None and is_wrong(max_norm, lambda norm: norm < np.inf):
        raise InputError(f"max_norm {max_norm}: noise needs one that is finite")


class _Clipping(NamedTuple):
    """What each example's gradient is multiplied by, layer by layer."""

    weights: dict[str, ByExample]
    is_clipped: Bool[Array, " batch"]


class _Whole(NamedTuple):
    """One bound for the whole gradient."""

    max_norm: Number

    def sensitivity(self, params: Params) -> Number:
        return self.max_norm

    def clip(self, seen: Seen) -> _Clipping:
        is_clipped, weights = _clip(seen.norms, self.max_norm)
        weights = jnp.where(jnp.isfinite(seen.norms), weights, 0)
        return _Clipping(dict.fromkeys(seen.squared_norms, weights), is_clipped)


class _ByLayer(NamedTuple):
    """A bound for each layer, by name, or one for each of them."""

    max_norms: dict[str, Number] | Number

    def sensitivity(self, params: Params) -> Number:
        return jnp.sqrt(
            sum(jnp.square(bound) for bound in self._bounds(split_layers(params)).values())
        )

    def clip(self, seen: Seen) -> _Clipping:
        norms = seen.layer_norms
        bounds = self._bounds(norms)
        clips = {name: _clip(norms[name], bounds[name]) for name in norms}
        is_finite = jnp.isfinite(seen.norms)
        return _Clipping(
            {name: jnp.where(is_finite, weights, 0) for name, (_, weights) in clips.items()},
            functools.reduce(jnp.logical_or, [is_clipped for is_clipped, _ in clips.values()]),
        )

    def _bounds(self, layers: Collection[str]) -> dict[str, Number]:
        if not isinstance(self.max_norms, dict):
            return dict.fromkeys(layers, self.max_norms)
        if set(self.max_norms) != set(layers):
            raise InputError(
                f"clip norms for the layers {', '.join(sorted(self.max_norms))}; there are "
                f"{', '.join(sorted(layers))}"
            )
        return self.max_norms


def _clip(norms: ByExample, max_norm: Number) -> tuple[Bool[Array, " batch"], ByExample]:
    is_above = norms > max_norm
    return is_above, jnp.where(is_above, max_norm / jnp.where(is_above, norms, 1), 1)


def _clipped_gradient(
    size: Static[int | None],
    loss_fn: LossFn,
    instruments: Instruments | None,
    bounds: _Whole | _ByLayer,
    noise_multiplier: Number | None,
    expected_examples: Number | None,
    params: Params,
    model_state: ModelState,
    batch: Batch,
    keys: Keys,
) -> tuple[Params, GradientAux]:
    if noise_multiplier is not None and keys is None:
        raise InputError("noise needs the step's keys: it follows from them")
    examples = sum_over_devices(batch.weights.sum())
    total = examples if expected_examples is None else expected_examples

    def clipped(batch: Batch, keys: Keys):
        shares = example_shares(params, batch.weights, total)
        seen = see(loss_fn, params, model_state, batch, keys, shares)
        clipping = bounds.clip(seen)
        is_finite = jnp.isfinite(seen.norms)
        told = {
            "example_norm": jnp.where(is_finite, seen.norms, 0),
            "clipped_examples": jnp.where(clipping.is_clipped, 1.0, 0.0),
            "unclippable_examples": jnp.where(is_finite, 0.0, 1.0),
        }
        rows = (told, seen.aux.metrics, seen.losses, seen.layer_norms)
        return seen.weighted_sum(clipping.weights), rows

    gradient, rows = in_microbatches(clipped, size.value, batch, keys)
    told, metrics, losses, norms = rows
    counted = jnp.where(told["unclippable_examples"] == 0, batch.weights, 0)
    shown = {}
    if instruments is not None:
        whole = sum_over_devices(gradient)
        shown = instruments(Observation(batch, losses, whole, norms, total_norm(norms)))
    if noise_multiplier is not None and keys is not None:
        scale = noise_multiplier * bounds.sensitivity(params) / total
        gradient = jax.tree.map(jnp.add, gradient, _noise(keys, scale, gradient))
    seen = {
        **weighted_mean(metrics, counted, sum_over_devices(counted.sum())),
        **weighted_mean(told, batch.weights, examples),
        "examples": examples,
    }
    return sum_over_devices(gradient), GradientAux(model_state, {**seen, **shown})


def _noise(keys: Key[Array, " batch"], scale: Number, like: Params) -> Params:
    """Normal noise of the first device alone, since the devices' gradients are summed."""
    leaves, treedef = jax.tree.flatten(like)
    drawn = jax.random.split(jax.random.fold_in(keys[0], _NOISE), len(leaves))
    is_first = jnp.where(jnp.equal(device_index(), 0), 1.0, 0.0)
    return treedef.unflatten(
        (is_first * scale * jax.random.normal(key, leaf.shape, wide_dtype(leaf))).astype(leaf.dtype)
        for key, leaf in zip(drawn, leaves, strict=True)
    )
