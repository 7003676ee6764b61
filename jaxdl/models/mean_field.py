"""What theory expects of the signals in a wide `jaxdl.models.deep_mlp` of random kernels.

A pre-activation is the sum of ``n`` independent terms, so in a wide layer it is normal, of variance

    q = n Var(w) E h^2

with h the layer's inputs (Glorot and Bengio 2010, "Understanding the difficulty of training deep
feedforward neural networks", equation 5; He et al. 2015, arXiv:1502.01852, equation 7). The layer
hands on ``f(sqrt(q) z)`` with z standard normal, whose mean square is the next layer's ``E h^2``
(Poole et al. 2016, arXiv:1606.05340): of ReLU ``q / 2``. On its way back through the layer a
squared gradient is multiplied by

    chi = n Var(w) E f'(sqrt(q) z)^2

(Schoenholz et al. 2017, arXiv:1611.01232), if it does not depend on these derivatives. How kernels
are distributed does not matter, but for their variance. What norms and residual connections change:

=====================  =================================  ==========================================
layer                  pre-activation                     factor of the squared gradient
=====================  =================================  ==========================================
plain                  of variance q                      chi
layer norm             of variance 1                      ``E f'(z)^2 / E h^2``
batch norm             of variance 1                      ``E f'(z)^2 / Var h``, over the batch
residual               as before                          as before, and 1 more
=====================  =================================  ==========================================

After batch norm ``Var h`` is ``Var f(z)``, which is never above ``E f'(z)^2`` (Poincaré's
inequality for a normal z): without residual connections gradients always grow (Yang et al. 2019,
arXiv:1902.08129), for ReLU by ``pi / (pi - 1)`` a layer. With them ``Var h`` grows as the layers
that were added up, and the factor falls to 1 (De and Smith 2020, arXiv:2002.10444).

A plain residual network of ReLU is where gradients do depend on the slopes. It is homogeneous, so
the product of a layer's outputs and the gradient by them is the same in all layers (Euler), and the
part of the gradient along the outputs grows as the square of these: more than by 1 + chi.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxdl.errors import InputError
from jaxdl.models.deep_mlp import Activation, Layer, find_activation

NORMS = ("none", "layer", "batch")
"""Those that there is a theory of, by name."""

# Midpoints, so that 0, where some activations bend or jump, is between two of them.
_STEP = 0.01
_POINTS = np.arange(-8, 8, _STEP) + _STEP / 2
_DENSITY = _STEP * np.exp(-np.square(_POINTS) / 2) / np.sqrt(2 * np.pi)


class Moments(NamedTuple):
    """Of an activation f of normal pre-activations.

    Attributes:
        mean: ``E f``.
        square: ``E f^2``.
        squared_slope: ``E f'^2``.
    """

    mean: float
    square: float
    squared_slope: float


class Expected(NamedTuple):
    """Of each layer.

    Attributes:
        before: the mean square of its pre-activations, behind the norm where there is one.
        outputs: the mean square of its outputs.
        factors: of the squared gradient, from the outputs of a layer to those of the one before;
            the first is of the second layer.
    """

    before: Float[np.ndarray, " depth"]
    outputs: Float[np.ndarray, " depth"]
    factors: Float[np.ndarray, " depth-1"]

    @property
    def gradients(self) -> Float[np.ndarray, " depth"]:
        """The mean square of the gradient by the outputs of each layer, in those of the last."""
        return np.append(np.cumprod(self.factors[::-1])[::-1], 1.0)


def moments(activation: Activation, variance: float = 1.0) -> Moments:
    """The moments of an activation, to about 1e-6, of pre-activations of mean 0.

    >>> np.round(moments("relu", 2.0), 4).tolist()
    [0.5642, 1.0, 0.5]
    """
    with jax.enable_x64(True):  # in float32 the signals of a deep network may come to nothing
        points = jnp.asarray(np.sqrt(variance) * _POINTS)
        values, slopes = map(np.asarray, _values_and_slopes(activation, points))
    seen = (values, np.square(values), np.square(slopes))
    return Moments(*(float(_DENSITY @ of) for of in seen))


def expected_signals(
    layer: Layer, gains: Sequence[float] | Float[np.ndarray, " depth"], square: float = 1.0
) -> Expected:
    """What `jaxdl.models.deep_mlp.signals` finds on the average over kernels, if layers are wide.

    Args:
        layer: what each hidden layer does; its norm by name, of those in the table above.
        gains: of each, inputs times variance of the weights.
        square: the mean square of the network's inputs.

    Raises:
        InputError: there is no theory of the norm here.

    >>> expected_signals(Layer("relu"), gains=[1.0] * 4).before.round(6).tolist()
    [1.0, 0.5, 0.25, 0.125]
    """
    norm = layer.normalization
    if not isinstance(norm, str) or norm not in NORMS:
        raise InputError(f"the norm {norm!r} has no theory here: give {' or '.join(NORMS)}")
    mean, seen = 0.0, []
    for place, gain in enumerate(gains):
        before = gain * square if norm == "none" else 1.0
        of = moments(layer.activation, before)
        is_residual = layer.is_residual and place > 0
        # One over what a norm divides squares by. Without a norm layers may be all but constant.
        scale = gain if norm == "none" else 1 / (square if norm == "layer" else square - mean**2)
        factor = scale * of.squared_slope + is_residual
        if is_residual:
            # What is added is of weights of its own: E h f is E h E f.
            mean, square = mean + of.mean, square + 2 * mean * of.mean + of.square
        else:
            mean, square = of.mean, of.square
        seen.append((before, square, factor))
    before, outputs, factors = np.array(seen).T
    return Expected(before, outputs, factors[1:])


@partial(jax.jit, static_argnames="activation")
def _values_and_slopes(
    activation: Activation, points: Float[Array, " points"]
) -> tuple[Array, Array]:
    return jax.jvp(find_activation(activation), (points,), (jnp.ones_like(points),))
