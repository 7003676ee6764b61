"""The starts, as numbers of one program, and what variance each gives the weights of a layer."""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.nn.initializers import orthogonal
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from jaxdl import models
from jaxdl.models.deep_mlp import PLAIN, Layer, lsuv
from jaxdl.models.mean_field import moments
from jaxdl.types import Model, Number, Variables

CLASSES = 10
NORMAL, UNIFORM, ORTHOGONAL, CONSTANT = range(4)
"""Distributions of weights of mean square 1, which their standard deviation is multiplied with."""
ONE, FAN_IN, FAN_AVERAGE, LARGER_FAN = range(4)
"""What the variance is divided by. Orthogonal columns or rows of length 1 have the last."""


class Start(NamedTuple):
    """How kernels are drawn: numbers, so that another start is the same program.

    Attributes:
        distribution: of the weights.
        variance: of them, before it is divided.
        divisor: what by.
        is_lsuv: whether a batch then gives each kernel its scale (`jaxdl.models.deep_mlp.lsuv`).
    """

    distribution: Number
    variance: Number
    divisor: Number = ONE
    is_lsuv: bool | Array = False


STARTS = {
    "zero": Start(CONSTANT, 0.0),
    "constant 0.01": Start(CONSTANT, 0.01**2),
    "U(±0.01)": Start(UNIFORM, 0.01**2 / 3),
    "normal, sd 0.02": Start(NORMAL, 0.02**2),
    "U(±1/√n)": Start(UNIFORM, 1 / 3, FAN_IN),
    "Xavier uniform, fan-in": Start(UNIFORM, 1.0, FAN_IN),
    "Xavier normal, fan-in": Start(NORMAL, 1.0, FAN_IN),
    "Xavier uniform, fan-avg": Start(UNIFORM, 1.0, FAN_AVERAGE),
    "Xavier normal, fan-avg": Start(NORMAL, 1.0, FAN_AVERAGE),
    "orthogonal": Start(ORTHOGONAL, 1.0, LARGER_FAN),
    "He": Start(NORMAL, 2.0, FAN_IN),
    "LSUV": Start(ORTHOGONAL, 1.0, LARGER_FAN, is_lsuv=True),
    "U(±1)": Start(UNIFORM, 1 / 3),
}
"""A uniform U(-r, r) has the variance r^2 / 3."""
ALIKE = [name for name, start in STARTS.items() if start.distribution == CONSTANT]
"""Starts by which all units of a layer are the same."""
RANDOM = [name for name in STARTS if name not in ALIKE]


def stack(starts: list[Start]) -> Start:
    """Members of a sweep."""
    return jax.tree.map(lambda *of: jnp.array(of), *starts)


def draw_kernel(
    start: Start, key: Key[Array, ""], shape: tuple[int, int], dtype: type
) -> Float[Array, "inputs outputs"]:
    """A kernel; all but the orthogonal ones are made of the same normal numbers.

    A normal number's place in its distribution, ``erf(z / sqrt(2))``, is uniform from -1 to 1.
    """
    normal = jax.random.normal(key, shape, dtype)
    draws = (
        lambda: normal,
        lambda: np.sqrt(3) * lax.erf(normal / np.sqrt(2)),
        lambda: np.sqrt(max(shape)) * orthogonal()(key, shape, dtype),
        lambda: jnp.ones(shape, dtype),
    )
    divisor = jnp.array(divisors(*shape))[start.divisor]
    return jnp.sqrt(start.variance / divisor) * lax.switch(start.distribution, draws)


def divisors(fan_in: int, fan_out: int) -> tuple[float, ...]:
    """Of a kernel, in the order of their names."""
    return (1.0, fan_in, (fan_in + fan_out) / 2, max(fan_in, fan_out))


def gains(
    start: Start, activation: str, fans: list[int], square: float
) -> Float[np.ndarray, " depth"]:
    """``n Var(w)`` of each hidden layer: its inputs times the variance of its weights.

    Args:
        start: with numbers that are known.
        activation: of the layers.
        fans: the network's inputs, then the units of each hidden layer.
        square: the mean square of the network's inputs.
    """
    if start.is_lsuv:  # each pre-activation has the variance 1, whatever comes in
        return 1 / np.append(square, np.full(len(fans) - 2, moments(activation).square))
    kernels = itertools.pairwise(fans)
    return np.array([n * start.variance / divisors(n, m)[int(start.divisor)] for n, m in kernels])


def network(depth: int, width: int, start: Start, layer: Layer = PLAIN) -> Model:
    """A `jaxdl.models.deep_mlp` of kernels drawn so."""
    return models.deep_mlp(
        depth,
        width,
        classes=CLASSES,
        layer=layer,
        kernel_initializer=Partial(draw_kernel, start),
    )


def begin(
    layer: Layer, start: Start, drawn: Variables, inputs: Float[Array, "batch ..."]
) -> Variables:
    """What was drawn, or what a batch of inputs makes of it."""
    return lax.cond(start.is_lsuv, lambda: lsuv(layer, drawn, inputs), lambda: drawn)
