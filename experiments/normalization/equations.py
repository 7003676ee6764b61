"""The norms by their equations against Flax's layers, and what the scale of weights is to them."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdl import nn
from jaxdl.claims import Claim
from jaxdl.nn import Moments, ScaleAndShift
from jaxdl.nn.normalization import EPSILON

FEATURES = 6
SHAPES = {"dense": (12, FEATURES), "maps": (5, 4, 3, FEATURES)}
"""Of values: ``(N, features)``, and ``(N, H, W, features)``."""
MOMENTUM = 0.7
EXACT = 1e-12
"""How far two ways to the same numbers in float64 may be apart, relative to the largest."""
SCALE = 10.0
"""By which weights are multiplied."""

Pair = tuple[Any, Any]
"""Of arrays."""


def apart(pair: Pair) -> float:
    """The largest difference, relative to the largest number."""
    first, second = map(np.asarray, pair)
    return float(np.abs(first - second).max() / np.abs(first).max())


# --- against Flax --------------------------------------------------------------------------------


def compare(seed: int) -> dict[str, float]:
    """How far ours and Flax's are apart, by what is compared; in float64."""
    rng = np.random.default_rng(seed)
    learned = ScaleAndShift(*jnp.asarray(rng.normal(size=(2, FEATURES))))
    running = Moments(*jnp.asarray(rng.uniform(0.5, 2, size=(2, FEATURES))))
    both_of_all = {
        name: (jnp.asarray(rng.normal(3, 2, size=shape)), jnp.asarray(rng.normal(size=shape)))
        for name, shape in SHAPES.items()
    }
    kernel = jnp.asarray(rng.normal(size=(FEATURES, FEATURES)))

    @jax.jit
    def pairs() -> dict[str, Pair]:
        found = {"weight norm": of_weights(kernel, learned.scale)}
        for name, (values, slopes) in both_of_all.items():
            of_shape = of_values(values, learned, running) | of_gradients(values, learned, slopes)
            found |= {f"{what} ({name})": pair for what, pair in of_shape.items()}
        return found

    return {what: apart(pair) for what, pair in pairs().items()}


def of_values(
    values: Float[Array, "batch *space features"], learned: ScaleAndShift, running: Moments
) -> dict[str, Pair]:
    """Ours and Flax's: all but weight norm, and instance norm of maps alone."""
    settings = {"epsilon": EPSILON, "use_fast_variance": False}
    params = {"scale": learned.scale, "bias": learned.shift}
    stats = {"mean": running.mean, "var": running.variance}
    layer = flax.linen.BatchNorm(momentum=MOMENTUM, **settings)
    variables = {"params": params, "batch_stats": stats}
    outputs, changed = layer.apply(
        variables, values, use_running_average=False, mutable=["batch_stats"]
    )
    expected: dict[str, Array] = dict(changed)["batch_stats"]
    ours, moved = nn.batch_norm_in_training(values, learned, running, momentum=MOMENTUM)

    def by_flax(layer: flax.linen.Module, **params: Array) -> Any:
        return layer.apply({"params": params}, values)

    pairs = {
        "batch norm in training": (ours, outputs),
        "running averages": (jnp.stack(moved), jnp.stack([expected["mean"], expected["var"]])),
        "batch norm in evaluation": (
            nn.batch_norm_in_evaluation(values, learned, running),
            layer.apply(variables, values, use_running_average=True),
        ),
        "layer norm": (
            nn.layer_norm(values, learned),
            by_flax(flax.linen.LayerNorm(**settings), **params),
        ),
        "group norm": (
            nn.group_norm(values, learned, groups=2),
            by_flax(flax.linen.GroupNorm(2, **settings), **params),
        ),
        "RMS norm": (
            nn.rms_norm(values, learned.scale),
            by_flax(flax.linen.RMSNorm(epsilon=EPSILON), scale=learned.scale),
        ),
    }
    if values.ndim == 4:
        instance_norm = flax.linen.InstanceNorm(**settings)
        pairs["instance norm"] = nn.instance_norm(values, learned), by_flax(instance_norm, **params)
    return pairs


def of_weights(kernel: Float[Array, "inputs features"], lengths: Float[Array, " features"]) -> Pair:
    """Weight norm, ours and Flax's: what a layer makes of unit vectors."""
    layer = flax.linen.WeightNorm(
        flax.linen.Dense(FEATURES, use_bias=False, param_dtype=kernel.dtype), epsilon=0.0
    )
    params = {"layer_instance": {"kernel": kernel}, "layer_instance/kernel/scale": lengths}
    return nn.weight_norm(kernel, lengths), layer.apply({"params": params}, jnp.eye(FEATURES))


def of_gradients(
    values: Float[Array, "batch *space features"],
    learned: ScaleAndShift,
    slopes: Float[Array, "batch *space features"],
) -> dict[str, Pair]:
    """Of ``sum(slopes * outputs)`` by values, scale and shift: `jax.grad` and the paper's formulas.

    Ioffe and Szegedy 2015, section 3, over all axes but that of features.
    """

    def total(values: Array, learned: ScaleAndShift) -> Array:
        outputs, _ = nn.batch_norm_in_training(values, learned, nn.init_moments(FEATURES))
        return jnp.sum(slopes * outputs)

    ours, by_learned = jax.grad(total, argnums=(0, 1))(values, learned)
    x, dy = (of.reshape(-1, FEATURES) for of in (values, slopes))
    mean, variance = x.mean(axis=0, keepdims=True), x.var(axis=0, keepdims=True)
    deviation = jnp.sqrt(variance + EPSILON)
    normalized = (x - mean) / deviation
    by_normalized = dy * learned.scale[None]
    by_variance = jnp.sum(by_normalized * (x - mean), axis=0, keepdims=True) / -2 / deviation**3
    by_mean = -jnp.sum(by_normalized, axis=0, keepdims=True) / deviation
    by_mean += by_variance * jnp.mean(-2 * (x - mean), axis=0, keepdims=True)
    by_x = by_normalized / deviation + by_variance * 2 * (x - mean) / len(x) + by_mean / len(x)
    return {
        "gradient by values": (ours.reshape(-1, FEATURES), by_x),
        "gradient by scale": (by_learned.scale, (dy * normalized).sum(axis=0)),
        "gradient by shift": (by_learned.shift, dy.sum(axis=0)),
    }


def equations_claim(off: dict[str, float]) -> Claim:
    """The same numbers."""
    worst = max(off, key=lambda what: off[what])
    return Claim(
        "batch norm over N or over N, H, W, and its kin, by their equations are Flax's layers",
        off[worst] < EXACT,
        f"{len(off)} comparisons in float64, among them running averages, evaluation and "
        f"gradients by the paper's formulas: off by {off[worst]:.0e} of the largest number at most "
        f"({worst}), expected below {EXACT:.0e}",
    )


# --- the scale of weights ------------------------------------------------------------------------


def _none(inputs: Array, kernel: Array) -> Array:
    return inputs @ kernel


def _batch(inputs: Array, kernel: Array) -> Array:
    unit, moments = nn.init_scale_and_shift(FEATURES), nn.init_moments(FEATURES)
    return nn.batch_norm_in_training(inputs @ kernel, unit, moments, epsilon=0)[0]


def _layer(inputs: Array, kernel: Array) -> Array:
    return nn.layer_norm(inputs @ kernel, nn.init_scale_and_shift(FEATURES), epsilon=0)


def _rms(inputs: Array, kernel: Array) -> Array:
    return nn.rms_norm(inputs @ kernel, jnp.ones(FEATURES), epsilon=0)


def _weight(inputs: Array, kernel: Array) -> Array:
    return inputs @ nn.weight_norm(kernel, jnp.ones(FEATURES))


LAYERS = {
    "no norm": _none,
    "batch norm": _batch,
    "layer norm": _layer,
    "RMS norm": _rms,
    "weight norm": _weight,
}
"""Without epsilon, beside which weights have a scale."""


class Scaled(NamedTuple):
    """What becomes of a layer whose weights are multiplied by `SCALE`.

    Attributes:
        outputs: how far they are from what they were, as `apart` has it.
        gradient: the norm of the kernel's gradient over what it was.
        outputs_of_one: as ``outputs``, where the weights of one unit alone are multiplied.
    """

    outputs: float
    gradient: float
    outputs_of_one: float


def scale_weights(seed: int) -> dict[str, Scaled]:
    """Of each of `LAYERS`; in float64."""
    rng = np.random.default_rng([seed, 1])
    inputs, slopes = (jnp.asarray(rng.normal(size=SHAPES["dense"])) for _ in range(2))
    kernel = jnp.asarray(rng.normal(size=(FEATURES, FEATURES)))
    of_one = jnp.ones(FEATURES).at[0].set(SCALE)

    @jax.jit
    def scaled(kernels: Float[Array, "3 inputs features"]) -> dict[str, tuple[Array, Array]]:
        """Outputs and the norms of gradients, of each layer at each kernel."""

        def outputs_and_norm(layer: Callable, kernel: Array) -> tuple[Array, Array]:
            outputs, backward = jax.vjp(partial(layer, inputs), kernel)
            return outputs, jnp.linalg.norm(backward(slopes)[0])

        return {
            name: jax.vmap(partial(outputs_and_norm, layer))(kernels)
            for name, layer in LAYERS.items()
        }

    found = scaled(jnp.stack([kernel, SCALE * kernel, of_one[None] * kernel]))

    def one(outputs: Array, norms: Array) -> Scaled:
        of_all, of_one = (apart((outputs[0], outputs[k])) for k in (1, 2))
        return Scaled(of_all, float(norms[1] / norms[0]), of_one)

    return {name: one(*found[name]) for name in LAYERS}


def scale_claim(found: dict[str, Scaled]) -> Claim:
    """Ioffe and Szegedy 2015, section 3.3."""
    plain, *normed = found.values()
    return Claim(
        "behind a norm the scale of the weights is nothing, and larger ones have smaller gradients",
        abs(plain.gradient - 1) < EXACT
        and plain.outputs > 1
        and all(of.outputs < EXACT and abs(of.gradient * SCALE - 1) < EXACT for of in normed)
        and all(
            (of.outputs_of_one < EXACT) == (name in ("batch norm", "weight norm"))
            for name, of in found.items()
        ),
        f"weights times {SCALE:g}: outputs change by "
        + ", ".join(f"{of.outputs:.0e} with {name}" for name, of in found.items())
        + "; gradients are those before times "
        + ", ".join(f"{of.gradient:.3g}" for of in found.values())
        + f", expected 1 and then {1 / SCALE:g}; those of one unit alone, outputs by "
        + ", ".join(f"{of.outputs_of_one:.0e}" for of in found.values())
        + ", expected 0 with batch and weight norm alone",
    )
