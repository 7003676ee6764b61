"""Deep networks of equal layers as one scan, and the signals that go through them both ways.

A program of fifty layers is as large as one of two, so that depth costs no compiling, and what is
seen of a layer (its outputs, its gradients) is an array with an axis of layers.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.nn.initializers import Initializer
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from jaxdl import nn
from jaxdl.errors import InputError
from jaxdl.models.dense_norms import NORMS, Dense, Norm, find_norm
from jaxdl.pixels import scale_pixels
from jaxdl.types import Keys, Model, ModelState, Static, Variables, as_pytree

Activation = str | Callable[[Array], Array]
"""Of each element; by name (`jaxdl.nn.activation`), or a function."""


class Layer(NamedTuple):
    """What each hidden layer does; hashable, where activation and norm are given by name.

    ``h + f(norm(W h + b))`` if residual, else without the first term; the first hidden layer, whose
    inputs are of another width, is never residual.

    Attributes:
        activation: f.
        normalization: by name, of `jaxdl.models.dense_norms.NORMS`, or one like them. Numbers may
            be bound to functions (`jax.tree_util.Partial`): which of several it is, say
            (`jaxdl.nn.one_of` of activations, `jaxdl.models.dense_norms.one_norm_of`).
        is_residual: whether the layer's input is added to its output (He et al. 2016,
            arXiv:1512.03385).
    """

    activation: Activation = "relu"
    normalization: str | Norm = "none"
    is_residual: bool = False


PLAIN = Layer()


class DeepParams(NamedTuple):
    """Parameters of a network: ``hidden`` has an axis of all hidden layers but the first."""

    first: Dense
    hidden: Dense
    last: Dense


class Plan(NamedTuple):
    """What is static in a network."""

    depth: int
    width: int
    classes: int
    is_stateful: bool


class Signals(NamedTuple):
    """What goes through a network, an axis of hidden layers in front.

    Attributes:
        before: the activation: ``(depth, batch, width)``; normalized where there is a norm.
        outputs: of the layers, alike.
        gradients: of the sum of the losses by the outputs, alike.
        kernel_norms: of the gradient of the mean loss by each layer's kernel, ``(depth,)``.
    """

    before: Float[Array, "depth batch width"]
    outputs: Float[Array, "depth batch width"]
    gradients: Float[Array, "depth batch width"]
    kernel_norms: Float[Array, " depth"]


def deep_mlp(
    depth: int,
    width: int,
    *,
    classes: int,
    layer: Layer = PLAIN,
    kernel_initializer: str | Initializer = "he_normal",
) -> Model:
    """A perceptron of ``depth`` equal hidden layers, inputs ``(batch, ...)`` to logits.

    The inputs are flattened; uint8 is taken for pixels and scaled. Biases start at zero. With batch
    norm the model state holds each layer's running averages.

    Args:
        depth: hidden layers, 1 or more.
        width: units of each.
        classes: how many outputs.
        layer: what each hidden layer does.
        kernel_initializer: by name (`jaxdl.nn.initializer`), or a function
            ``(key, shape, dtype) -> Array``, to which numbers may be bound
            (`jax.tree_util.Partial`): leaves, so that changing one recompiles nothing.

    Raises:
        InputError: no hidden layer, or no activation, norm or initializer of this name.

    >>> model = deep_mlp(50, 64, classes=10)
    >>> params, _ = model.init(jax.random.key(0), jnp.zeros((1, 784)))
    >>> params.hidden.kernel.shape
    (49, 64, 64)
    """
    if depth < 1:
        raise InputError(f"a depth of {depth}: give 1 hidden layer or more")
    norm, activation = find_norm(layer.normalization), find_activation(layer.activation)
    if isinstance(kernel_initializer, str):
        kernel_initializer = nn.initializer(kernel_initializer)
    plan = Static(Plan(depth, width, classes, norm.is_stateful))
    drawn_by, done_by = as_pytree(((kernel_initializer, norm.init), (activation, norm.apply)))
    return Model(
        Partial(_init, plan, *drawn_by), Partial(_apply, Static(layer.is_residual), *done_by)
    )


def find_activation(activation: Activation) -> Callable[[Array], Array]:
    """The activation of this name (`jaxdl.nn.activation`); one that is no name is given back.

    Raises:
        InputError: there is none.
    """
    return nn.activation(activation) if isinstance(activation, str) else activation


def lsuv(layer: Layer, variables: Variables, inputs: Float[Array, "batch ..."]) -> Variables:
    """Layer-sequential unit variance: what each kernel makes of a batch gets the variance 1.

    From the first layer to the last, each kernel is divided by the standard deviation of its
    outputs, over the batch and all units (Mishkin and Matas 2016, arXiv:1511.06422, algorithm 1,
    whose loop ends after one round: biases are 0 and the batch stays the same). The paper draws
    orthogonal kernels first.

    Args:
        layer: as given to `deep_mlp`, without batch norm, which would undo it.
        variables: of the model that it gave, at its start.
        inputs: a batch.
    """

    def rescale(values: Array, dense: Dense) -> Dense:
        return dense._replace(kernel=dense.kernel / jnp.std(values @ dense.kernel))

    def go_on(layer: Layer, values: Array, dense: Dense) -> tuple[Array, Dense]:
        dense = rescale(values, dense)
        return _hidden_layer(layer, True, values, dense, None, None)[0], dense

    params = variables.params
    values = scale_pixels(inputs).reshape(len(inputs), -1)
    values, first = go_on(layer._replace(is_residual=False), values, params.first)
    values, hidden = lax.scan(partial(go_on, layer), values, params.hidden)
    last = rescale(values, params.last)
    return variables._replace(params=DeepParams(first, hidden, last))


def signals(
    layer: Layer,
    variables: Variables,
    inputs: Float[Array, "batch ..."],
    loss: Callable[[Float[Array, "batch classes"]], Float[Array, " batch"]],
    *,
    trains: bool = True,
) -> Signals:
    """What goes forward and back through a network.

    Args:
        layer: as given to `deep_mlp`.
        variables: of the model that it gave.
        inputs: a batch.
        loss: of the logits.
        trains: whether batch norm is by the batch, or by the running averages.
    """
    params, model_state = variables
    depth = 1 + len(params.hidden.kernel)
    offsets = jnp.zeros((depth, len(inputs), params.last.kernel.shape[0]))

    def total(params: DeepParams, offsets: Array) -> tuple[Array, _Seen]:
        logits, (seen, _) = _forward(layer, params, model_state, inputs, trains, offsets)
        return jnp.sum(loss(logits)), seen

    of_both = jax.grad(total, argnums=(0, 1), has_aux=True)
    (of_params, of_outputs), seen = of_both(params, offsets)
    first, hidden = of_params.first.kernel, of_params.hidden.kernel
    squares = jnp.r_[jnp.sum(jnp.square(first)), jnp.sum(jnp.square(hidden), axis=(1, 2))]
    return Signals(seen.before, seen.outputs, of_outputs, jnp.sqrt(squares) / len(inputs))


def hidden_outputs(
    layer: Layer, variables: Variables, inputs: Float[Array, "batch ..."], *, trains: bool = True
) -> Float[Array, "depth batch width"]:
    """The outputs of the hidden layers, as `signals` has them, without going back."""
    _, (seen, _) = _forward(layer, *variables, inputs, trains)
    return seen.outputs


# --- init and apply ------------------------------------------------------------------------------


@jax.jit
def _init(
    plan: Static[Plan],
    initializer: Initializer,
    init_learned: Callable[[Array], Any],
    key: Key[Array, ""],
    inputs: Array,
) -> Variables:
    depth, width, classes, is_stateful = plan.value

    def dense(key: Key[Array, ""], inputs: int, outputs: int) -> Dense:
        return Dense(initializer(key, (inputs, outputs), float), jnp.zeros(outputs))

    def hidden(key: Key[Array, ""], inputs: int = width) -> tuple[Dense, nn.Moments]:
        made = dense(key, inputs, width)
        return made._replace(learned=init_learned(made.kernel)), nn.init_moments(width)

    keys = jax.random.split(key, depth + 1)
    first, of_first = hidden(keys[0], inputs.size // len(inputs))
    behind, of_behind = jax.vmap(hidden)(keys[2:])
    params = DeepParams(first, behind, dense(keys[1], width, classes))
    return Variables(params, {"first": of_first, "hidden": of_behind} if is_stateful else {})


def _apply(
    is_residual: Static[bool],
    activation: Callable[[Array], Array],
    apply_norm: Callable[..., tuple[Array, Any]],
    params: DeepParams,
    model_state: ModelState,
    inputs: Array,
    keys: Keys,
) -> tuple[Float[Array, "batch classes"], ModelState]:
    layer = Layer(activation, NORMS["none"]._replace(apply=apply_norm), is_residual.value)
    trains = keys is not None
    logits, (_, model_state) = _forward(layer, params, model_state, inputs, trains)
    return logits, model_state


class _Seen(NamedTuple):
    """Of a layer."""

    before: Array
    outputs: Array


def _forward(
    layer: Layer,
    params: DeepParams,
    model_state: ModelState,
    inputs: Array,
    trains: bool,
    offsets: Array | None = None,
) -> tuple[Float[Array, "batch classes"], tuple[_Seen, ModelState]]:
    """Logits, what was seen of each hidden layer, and the new state.

    Args:
        layer: what each does.
        params: of the network.
        model_state: its.
        inputs: a batch.
        trains: whether batch norm is by the batch.
        offsets: added to the outputs of the layers, ``(depth, batch, width)``, or None.
    """

    def step(values: Array, part):
        return _hidden_layer(layer, trains, values, *part)

    of_first, of_hidden = (None, None) if offsets is None else (offsets[0], offsets[1:])
    values = scale_pixels(inputs).reshape(len(inputs), -1)
    first = params.first, model_state.get("first"), of_first
    values, one = _hidden_layer(layer._replace(is_residual=False), trains, values, *first)
    hidden = params.hidden, model_state.get("hidden"), of_hidden
    values, many = lax.scan(step, values, hidden)
    logits = values @ params.last.kernel + params.last.bias[None]
    seen = jax.tree.map(lambda one, many: jnp.concatenate([one[None], many]), one[0], many[0])
    if model_state:
        model_state = {"first": one[1], "hidden": many[1]}
    return logits, (seen, model_state)


def _hidden_layer(
    layer: Layer, trains: bool, values: Array, dense: Dense, running, offset: Array | None
) -> tuple[Array, tuple[_Seen, Any]]:
    """The outputs; what was seen, and the running averages of batch norm."""
    norm, activation = find_norm(layer.normalization), find_activation(layer.activation)
    before, running = norm.apply(values, dense, running, trains=trains)
    outputs = activation(before)
    if layer.is_residual:
        outputs = values + outputs
    if offset is not None:
        outputs = outputs + offset
    return outputs, (_Seen(before, outputs), running)
