"""Activations under the names by which the field knows them, each element on its own.

With ``x`` for the pre-activation:

==============  ==================================================  ===============
name            value                                               range
==============  ==================================================  ===============
``linear``      ``x``                                               all
``step``        1 where ``x >= 0``, else 0; its slope is 0          {0, 1}
``sign``        -1, 0 or 1; its slope is 0                          {-1, 0, 1}
``sigmoid``     ``1 / (1 + exp(-x))``                               (0, 1)
``tanh``        ``tanh(x)``                                         (-1, 1)
``relu``        ``max(0, x)``                                       from 0
``leaky_relu``  ``x``, below 0 a hundredth of it                    all
``elu``         ``x``, below 0 ``exp(x) - 1``                       above -1
``gelu``        ``x P(Z <= x)`` of a normal Z, its tanh form        from -0.170
                (Hendrycks and Gimpel 2016, arXiv:1606.08415)
``silu``        ``x sigmoid(x)``                                    from -0.278
``softplus``    ``log(1 + exp(x))``                                 above 0
==============  ==================================================  ===============
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxdl.errors import InputError, near_names

Activation = Callable[[Array], Array]


def _linear(values: Float[Array, "..."]) -> Float[Array, "..."]:
    return values


def _step(values: Float[Array, "..."]) -> Float[Array, "..."]:
    return (values >= 0).astype(values.dtype)


ACTIVATIONS: dict[str, Activation] = {
    "linear": _linear,
    "step": _step,
    "sign": jnp.sign,
    "sigmoid": jax.nn.sigmoid,
    "tanh": jax.nn.tanh,
    "relu": jax.nn.relu,
    "leaky_relu": jax.nn.leaky_relu,
    "elu": jax.nn.elu,
    "gelu": jax.nn.gelu,
    "silu": jax.nn.silu,
    "softplus": jax.nn.softplus,
}


def activation(name: str) -> Activation:
    """The activation of this name, ``(values) -> values`` of the same shape and dtype.

    Raises:
        InputError: there is none.

    >>> activation("step")(jnp.array([-1.0, 0.0, 2.0]))
    Array([0., 1., 1.], dtype=float32)
    """
    if name not in ACTIVATIONS:
        raise InputError(f"no activation {name!r}; {near_names(name, ACTIVATIONS)}")
    return ACTIVATIONS[name]
