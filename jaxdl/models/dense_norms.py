"""Dense layers with a norm between kernel and activation, each norm by its name.

All norms are those of `jaxdl.nn`. What differs between them is what they learn and whether running
averages are kept; `one_norm_of` makes of several norms one that a number chooses, so that networks
with each of them are one program.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jax.tree_util import Partial
from jaxtyping import Array, Float

from jaxdl import nn
from jaxdl.errors import InputError, near_names
from jaxdl.types import Number, Static


class Dense(NamedTuple):
    """A layer's parameters; those of the hidden layers behind the first have an axis of layers."""

    kernel: Float[Array, "*layers inputs outputs"]
    bias: Float[Array, "*layers outputs"]
    learned: Any = ()
    """Of its norm: `jaxdl.nn.ScaleAndShift`, or the lengths of weight norm."""


class Norm(NamedTuple):
    """How a hidden layer comes to its pre-activations.

    Attributes:
        init: ``(kernel) -> learned``: what it learns besides the kernel and the bias, at first.
        apply: ``(inputs, dense, running, *, trains) -> (before, running)``, of the layer's inputs
            ``(batch, inputs)``, its `Dense`, the running averages, and whether they are moved.
        is_stateful: whether there are running averages; else ``running`` is None.
    """

    init: Callable[[Array], Any]
    apply: Callable[..., tuple[Array, Any]]
    is_stateful: bool = False


def find_norm(norm: str | Norm) -> Norm:
    """The norm of this name, of `NORMS`; one that is no name is given back.

    Raises:
        InputError: there is none.
    """
    if isinstance(norm, Norm):
        return norm
    if norm not in NORMS:
        raise InputError(f"no norm {norm!r}; {near_names(norm, NORMS)}")
    return NORMS[norm]


def one_norm_of(norms: Sequence[str | Norm], index: Number) -> Norm:
    """The norm of this number, which may be traced: one program for networks of all of them.

    Those that begin alike share what they learn, since only one is there: a tuple, with an entry
    for each ``init`` among them.

    Raises:
        InputError: there is no norm of a name.

    >>> from jaxdl.models.deep_mlp import Layer, deep_mlp
    >>> norm = one_norm_of(["batch", "layer"], jnp.array(1))
    >>> model = deep_mlp(3, 8, classes=2, layer=Layer("tanh", norm))
    """
    found = [find_norm(norm) for norm in norms]
    inits = tuple(dict.fromkeys(norm.init for norm in found))
    branches = tuple((inits.index(norm.init), norm.apply) for norm in found)
    apply = Partial(_apply_one, Static(branches), jnp.asarray(index, jnp.int32))
    return Norm(Partial(_init_each, Static(inits)), apply, is_stateful=True)


# --- each of them ------------------------------------------------------------------------------


def _linear(inputs: Array, dense: Dense) -> Array:
    return inputs @ dense.kernel + dense.bias[None]


def _no_norm(inputs: Array, dense: Dense, running, *, trains: bool) -> tuple[Array, Any]:
    return _linear(inputs, dense), running


def _batch_norm(inputs: Array, dense: Dense, running, *, trains: bool) -> tuple[Array, Any]:
    values = _linear(inputs, dense)
    if trains:
        return nn.batch_norm_in_training(values, dense.learned, running)
    return nn.batch_norm_in_evaluation(values, dense.learned, running), running


def _batch_renorm(inputs: Array, dense: Dense, running, *, trains: bool) -> tuple[Array, Any]:
    if trains:
        return nn.batch_renorm(_linear(inputs, dense), dense.learned, running)
    return _batch_norm(inputs, dense, running, trains=False)


def _layer_norm(inputs: Array, dense: Dense, running, *, trains: bool) -> tuple[Array, Any]:
    return nn.layer_norm(_linear(inputs, dense), dense.learned), running


def _rms_norm(inputs: Array, dense: Dense, running, *, trains: bool) -> tuple[Array, Any]:
    scaled = nn.rms_norm(_linear(inputs, dense), dense.learned.scale)
    return scaled + dense.learned.shift[None], running


def _weight_norm(inputs: Array, dense: Dense, running, *, trains: bool) -> tuple[Array, Any]:
    kernel = nn.weight_norm(dense.kernel, dense.learned)
    return _linear(inputs, dense._replace(kernel=kernel)), running


def _nothing(kernel: Array) -> tuple[()]:
    return ()


def _unit(kernel: Array) -> nn.ScaleAndShift:
    return nn.init_scale_and_shift(kernel.shape[-1])


def _lengths(kernel: Array) -> Array:
    return jnp.linalg.norm(kernel, axis=0)


NORMS = {
    "none": Norm(_nothing, _no_norm),
    "batch": Norm(_unit, _batch_norm, is_stateful=True),
    "renorm": Norm(_unit, _batch_renorm, is_stateful=True),
    "layer": Norm(_unit, _layer_norm),
    "rms": Norm(_unit, _rms_norm),
    "weight": Norm(_lengths, _weight_norm),
}
"""By name. All are those of `jaxdl.nn`; weight norm starts as the network without a norm does."""


def _init_each(inits: Static[tuple[Callable, ...]], kernel: Array) -> tuple:
    return tuple(init(kernel) for init in inits.value)


def _apply_one(
    norms: Static[tuple[tuple[int, Callable], ...]],
    index,
    inputs: Array,
    dense: Dense,
    running,
    *,
    trains: bool,
) -> tuple[Array, Any]:
    def branch(place: int, apply: Callable, inputs: Array, dense: Dense, running):
        own = dense._replace(learned=dense.learned[place])
        return apply(inputs, own, running, trains=trains)

    branches = [partial(branch, *norm) for norm in norms.value]
    return lax.switch(index, branches, inputs, dense, running)
