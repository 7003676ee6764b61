"""The cells of recurrent networks: one step as a pure function, and its derivative.

With inputs ``x``, kernel ``W`` and bias ``b``, what drives a step is ``a = x W + b``; it does not
depend on the state. ``h`` is the
hidden state before the step, ``h'`` after it, ``U`` the recurrent kernel; products of gates are
elementwise. Columns of ``W``, ``U`` and ``b`` lie gate by gate, in the order given:

==================  ===============  ===========================================================
cell                gates            step
==================  ===============  ===========================================================
``rnn``             one              ``h' = tanh(a + h U)`` (Elman 1990)
``lstm``            i, f, g, o       ``i, f, o = sigmoid(a + h U)``, ``g = tanh(a + h U)``,
                                     ``c' = f c + i g``, ``h' = o tanh(c')``
                                     (Hochreiter and Schmidhuber 1997; Gers et al. 2000)
``gru``             r, z, n          ``r, z = sigmoid(a + h U)``, ``n = tanh(a + r (h U + d))``,
                                     ``h' = (1 - z) n + z h`` (cuDNN's, PyTorch's and Keras' form)
``gru_before``      r, z, n          the same with ``n = tanh(a + (r h) U)``: reset before the
                                     product (Cho et al. 2014, arXiv:1406.1078, equations 5 to 8)
==================  ===============  ===========================================================

Weights of other frameworks: PyTorch's ``weight_ih_l0`` is ``W`` transposed, ``weight_hh_l0`` is
``U`` transposed, gates in the same order; ``b = bias_ih_l0 + bias_hh_l0``, but for the gate n of a
GRU, where ``b`` has ``bias_ih_l0`` and ``d`` has ``bias_hh_l0``. Keras keeps ``W`` and ``U`` as
they are here; its LSTM has the same order of gates, its GRU has z, r, h and the two rows of its
bias are PyTorch's two biases. For Flax see `jaxdl.nn.flax_cells`.

With layer normalization (Ba et al. 2016, arXiv:1607.06450, section 3.1 and supplement) ``x W`` and
``h U`` are normalized before they are added, and the LSTM's ``c'`` before its tanh; each gate by
itself, where the paper takes all gates of an LSTM together.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from jaxdl.errors import InputError, near_names
from jaxdl.nn.initializers import initializer

Weights = dict[str, Array]
Saved = tuple[Array, ...]

NORM_EPSILON = 1e-5


class State(NamedTuple):
    """What a cell hands on from step to step, leading axes ``(batch, units)``.

    Attributes:
        hidden: ``h``, which is its output too.
        memory: ``c`` of an LSTM; None for the others.
    """

    hidden: Array
    memory: Array | None = None


class Pulled(NamedTuple):
    """The cotangents that a step hands back.

    Attributes:
        driven: of ``a``.
        fed: of the hidden state as the products had it.
        state: of the state before the step, but for what went through ``fed``.
    """

    driven: Array
    fed: Array
    state: State


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A cell; hashable, and static in a compiled program.

    Its weights are a dict: ``kernel`` ``(inputs, gates * units)``, ``recurrent_kernel`` ``(units,
    gates * units)``, ``bias`` ``(gates * units,)``, ``recurrent_bias`` ``(units,)`` (``d`` of a
    ``gru``), and with layer normalization ``input_scale`` and ``recurrent_scale`` ``(gates *
    units,)`` and for an LSTM ``memory_scale`` and ``memory_bias`` ``(units,)``.

    Attributes:
        name: as `find_cell` takes it.
        gates: how many blocks of columns the kernels have.
        has_memory: whether its state has a ``memory``.
        has_recurrent_bias: whether it has ``d``.
        has_reset: whether it has a gate r.
        is_normalized: whether it has layer normalization.
        advance: ``(weights, fed, state, driven) -> (state, saved)``, where ``fed`` is the hidden
            state, or what dropout leaves of it, and ``saved`` is what ``pull_back`` needs.
        pull_back: ``(transposed, saved, fed, before, cotangents) -> Pulled``, the derivative
            written out, with the recurrent kernel transposed, since that is done once for all
            steps; None where a program is to be differentiated by JAX.
        sums: ``(weights, fed, reset)``, of any leading axes, to all that is added to ``a`` inside
            a step: linear in the weights. ``reset`` is the gate r, first of what is saved, where
            the cell has one.
        gradients: ``(fed, driven, reset)``, the cotangents of the sums in ``driven``, to those of
            the weights in ``sums``. It is written out since JAX's own transposes each of them.
    """

    name: str
    gates: int
    has_memory: bool = False
    has_recurrent_bias: bool = False
    has_reset: bool = False
    is_normalized: bool = False
    advance: Callable[[Weights, Array, State, Array], tuple[State, Saved]]
    pull_back: Callable[[Array, Saved, Array, State, State], Pulled] | None
    sums: Callable[..., Array]
    gradients: Callable[..., Weights]

    def init(self, key: Key[Array, ""], inputs: int, units: int, **how) -> Weights:
        """Draws the weights; arguments are those of `initializers`."""
        draws = self.initializers(inputs, units, **how)
        keys = jax.random.split(key, len(draws))
        return {name: draw(key) for (name, draw), key in zip(draws.items(), keys, strict=True)}

    def initializers(
        self,
        inputs: int,
        units: int,
        *,
        kernel_initializer: str = "glorot_uniform",
        recurrent_initializer: str = "orthogonal",
        forget_bias: float = 1.0,
    ) -> dict[str, Callable[[Key[Array, ""]], Array]]:
        """What draws each weight from a key, in float32.

        Args:
            inputs: features of an input.
            units: of the state.
            kernel_initializer: of ``W`` as a whole, by name (`jaxdl.nn.initializer`).
            recurrent_initializer: of the block of each gate in ``U``, by name.
            forget_bias: where the bias of an LSTM's gate f starts (Jozefowicz et al. 2015, section
                2.2: at 1 it remembers until it learns to forget); all other biases start at 0.

        Raises:
            InputError: a size below 1, or no initializer of this name.
        """
        if min(inputs, units) < 1:
            raise InputError(f"{inputs} inputs and {units} units; choose 1 or more of each")
        kernel, block = initializer(kernel_initializer), initializer(recurrent_initializer)
        columns = self.gates * units

        def recurrent_kernel(key: Key[Array, ""]) -> Array:
            keys = jax.random.split(key, self.gates)
            return jnp.concatenate([block(key, (units, units)) for key in keys], axis=1)

        def bias(key: Key[Array, ""]) -> Array:
            zeros = jnp.zeros(columns)
            return zeros.at[units : 2 * units].set(forget_bias) if self.has_memory else zeros

        draws = {
            "kernel": lambda key: kernel(key, (inputs, columns)),
            "recurrent_kernel": recurrent_kernel,
            "bias": bias,
        }
        if self.has_recurrent_bias:
            draws["recurrent_bias"] = lambda key: jnp.zeros(units)
        if self.is_normalized:
            draws["input_scale"] = draws["recurrent_scale"] = lambda key: jnp.ones(columns)
        if self.is_normalized and self.has_memory:
            draws["memory_scale"] = lambda key: jnp.ones(units)
            draws["memory_bias"] = lambda key: jnp.zeros(units)
        return draws

    def zero_state(self, batch: int, units: int, dtype=jnp.float32) -> State:
        """Where a sequence begins."""
        shape = (batch, units)  # two arrays: one in two places could not be donated
        return State(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype) if self.has_memory else None)

    def drive(
        self, weights: Weights, inputs: Float[Array, "*n inputs"]
    ) -> Float[Array, "*n columns"]:
        """``a = x W + b``, of any leading axes."""
        driven = inputs @ weights["kernel"]
        if self.is_normalized:
            driven = _normalized(driven, weights["input_scale"], self.gates)
        return driven + jnp.expand_dims(weights["bias"], [*range(driven.ndim - 1)])

    def apply(self, weights: Weights, state: State, inputs: Float[Array, "batch inputs"]) -> State:
        """One step; its output is the new state's ``hidden``.

        >>> cell = find_cell("gru")
        >>> weights = cell.init(jax.random.key(0), 3, 5)
        >>> cell.apply(weights, cell.zero_state(2, 5), jnp.ones((2, 3))).hidden.shape
        (2, 5)
        """
        return self.advance(weights, state.hidden, state, self.drive(weights, inputs))[0]


def find_cell(name: str, *, is_normalized: bool = False) -> Cell:
    """The cell of this name; the same object each time.

    Raises:
        InputError: there is none.
    """
    if name not in CELLS:
        raise InputError(f"no cell {name!r}; {near_names(name, CELLS)}")
    return (_NORMALIZED_CELLS if is_normalized else CELLS)[name]


# --- vanilla -------------------------------------------------------------------------------------


def _advance_rnn(weights: Weights, fed: Array, state: State, driven: Array):
    hidden = jnp.tanh(driven + _product(weights, fed))
    return State(hidden), (hidden,)


def _pull_back_rnn(transposed: Array, saved: Saved, fed: Array, before: State, given: State):
    (hidden,) = saved
    driven = given.hidden * (1 - jnp.square(hidden))
    fed = driven @ transposed
    return Pulled(driven, fed, State(jnp.zeros_like(fed)))


def _sums_of_one_product(weights: Weights, fed: Array) -> Array:
    return fed @ weights["recurrent_kernel"]


def _gradients_of_one_product(fed: Array, driven: Array) -> Weights:
    return {"recurrent_kernel": summed_product(fed, driven)}


# --- LSTM ----------------------------------------------------------------------------------------


def _advance_lstm(weights: Weights, fed: Array, state: State, driven: Array):
    assert state.memory is not None
    sums = jnp.split(driven + _product(weights, fed), 4, axis=1)
    i, f, o = (jax.nn.sigmoid(sums[gate]) for gate in (0, 1, 3))
    g = jnp.tanh(sums[2])
    memory = f * state.memory + i * g
    shown = memory
    if "memory_scale" in weights:
        shown = _normalized(memory, weights["memory_scale"]) + weights["memory_bias"][None]
    shown = jnp.tanh(shown)
    return State(o * shown, memory), (i, f, g, o, shown)


def _pull_back_lstm(transposed: Array, saved: Saved, fed: Array, before: State, given: State):
    assert before.memory is not None
    assert given.memory is not None
    i, f, g, o, shown = saved
    memory = given.memory + given.hidden * o * (1 - jnp.square(shown))
    driven = jnp.concatenate(
        [
            memory * g * i * (1 - i),
            memory * before.memory * f * (1 - f),
            memory * i * (1 - jnp.square(g)),
            given.hidden * shown * o * (1 - o),
        ],
        axis=1,
    )
    fed = driven @ transposed
    return Pulled(driven, fed, State(jnp.zeros_like(fed), memory * f))


# --- GRU -----------------------------------------------------------------------------------------


def _advance_gru(weights: Weights, fed: Array, state: State, driven: Array):
    units = fed.shape[1]
    product = _product(weights, fed)
    reset, update = _reset_and_update(driven[:, : 2 * units] + product[:, : 2 * units])
    inner = product[:, 2 * units :] + weights["recurrent_bias"][None]
    new = jnp.tanh(driven[:, 2 * units :] + reset * inner)
    return State(new + update * (state.hidden - new)), (reset, update, new, inner)


def _pull_back_gru(transposed: Array, saved: Saved, fed: Array, before: State, given: State):
    reset, update, new, inner = saved
    new_cotangent = given.hidden * (1 - update) * (1 - jnp.square(new))
    gates = jnp.concatenate(
        [
            new_cotangent * inner * (reset * (1 - reset)),
            given.hidden * (before.hidden - new) * (update * (1 - update)),
        ],
        axis=1,
    )
    products = jnp.concatenate([gates, new_cotangent * reset], axis=1)
    fed = products @ transposed
    driven = jnp.concatenate([gates, new_cotangent], axis=1)
    return Pulled(driven, fed, State(given.hidden * update))


def _sums_of_gru(weights: Weights, fed: Array, reset: Array) -> Array:
    gates, new = jnp.split(fed @ weights["recurrent_kernel"], [2 * fed.shape[-1]], axis=-1)
    bias = weights["recurrent_bias"]
    new = new + bias.reshape((1,) * (new.ndim - 1) + bias.shape)
    return jnp.concatenate([gates, reset * new], axis=-1)


def _gradients_of_gru(fed: Array, driven: Array, reset: Array) -> Weights:
    gates, new = jnp.split(driven, [2 * fed.shape[-1]], axis=-1)
    products = jnp.concatenate([gates, reset * new], axis=-1)
    bias = (reset * new).sum(axis=tuple(range(new.ndim - 1)))
    return {"recurrent_kernel": summed_product(fed, products), "recurrent_bias": bias}


def _advance_gru_before(weights: Weights, fed: Array, state: State, driven: Array):
    units = fed.shape[1]
    gates, candidate = slice(2 * units), slice(2 * units, None)
    reset, update = _reset_and_update(driven[:, gates] + _product(weights, fed, gates))
    new = jnp.tanh(driven[:, candidate] + _product(weights, reset * fed, candidate))
    return State(new + update * (state.hidden - new)), (reset, update, new)


def _pull_back_gru_before(transposed: Array, saved: Saved, fed: Array, before: State, given: State):
    units = fed.shape[1]
    reset, update, new = saved
    new_cotangent = given.hidden * (1 - update) * (1 - jnp.square(new))
    kept = new_cotangent @ transposed[2 * units :]
    gates = jnp.concatenate(
        [
            kept * fed * (reset * (1 - reset)),
            given.hidden * (before.hidden - new) * (update * (1 - update)),
        ],
        axis=1,
    )
    fed = kept * reset + gates @ transposed[: 2 * units]
    driven = jnp.concatenate([gates, new_cotangent], axis=1)
    return Pulled(driven, fed, State(given.hidden * update))


def _sums_of_gru_before(weights: Weights, fed: Array, reset: Array) -> Array:
    gates, new = jnp.split(weights["recurrent_kernel"], [2 * fed.shape[-1]], axis=1)
    return jnp.concatenate([fed @ gates, (reset * fed) @ new], axis=-1)


def _gradients_of_gru_before(fed: Array, driven: Array, reset: Array) -> Weights:
    gates, new = jnp.split(driven, [2 * fed.shape[-1]], axis=-1)
    blocks = [summed_product(fed, gates), summed_product(reset * fed, new)]
    return {"recurrent_kernel": jnp.concatenate(blocks, axis=1)}


def _reset_and_update(gates: Array) -> tuple[Array, Array]:
    reset, update = jnp.split(jax.nn.sigmoid(gates), 2, axis=1)
    return reset, update


# --- pieces --------------------------------------------------------------------------------------


def _product(weights: Weights, fed: Array, columns: slice = slice(None)) -> Array:
    """``h U``, or some columns of it, normalized where the cell is."""
    product = fed @ weights["recurrent_kernel"][:, columns]
    if "recurrent_scale" not in weights:
        return product
    return _normalized(
        product, weights["recurrent_scale"][columns], product.shape[1] // fed.shape[1]
    )


def _normalized(values: Array, scale: Array, gates: int = 1) -> Array:
    """Each gate's block of the last axis with mean 0 and variance 1, times the scale."""
    blocks = values.reshape(*values.shape[:-1], gates, values.shape[-1] // gates)
    deviations = blocks - blocks.mean(axis=-1, keepdims=True)
    variances = jnp.square(deviations).mean(axis=-1, keepdims=True)
    blocks = deviations * lax.rsqrt(variances + NORM_EPSILON)
    return blocks.reshape(values.shape) * jnp.expand_dims(scale, [*range(values.ndim - 1)])


def summed_product(
    inputs: Float[Array, "*n inputs"], cotangents: Float[Array, "*n columns"]
) -> Float[Array, "inputs columns"]:
    """The gradient by a kernel, summed over all leading axes."""
    leading = tuple(range(inputs.ndim - 1))
    return lax.dot_general(inputs, cotangents, ((leading, leading), ((), ())))


# --- all of them ---------------------------------------------------------------------------------

CELLS = {
    "rnn": Cell(
        name="rnn",
        gates=1,
        advance=_advance_rnn,
        pull_back=_pull_back_rnn,
        sums=_sums_of_one_product,
        gradients=_gradients_of_one_product,
    ),
    "lstm": Cell(
        name="lstm",
        gates=4,
        has_memory=True,
        advance=_advance_lstm,
        pull_back=_pull_back_lstm,
        sums=_sums_of_one_product,
        gradients=_gradients_of_one_product,
    ),
    "gru": Cell(
        name="gru",
        gates=3,
        has_recurrent_bias=True,
        has_reset=True,
        advance=_advance_gru,
        pull_back=_pull_back_gru,
        sums=_sums_of_gru,
        gradients=_gradients_of_gru,
    ),
    "gru_before": Cell(
        name="gru_before",
        gates=3,
        has_reset=True,
        advance=_advance_gru_before,
        pull_back=_pull_back_gru_before,
        sums=_sums_of_gru_before,
        gradients=_gradients_of_gru_before,
    ),
}

_NORMALIZED_CELLS = {
    name: replace(cell, is_normalized=True, pull_back=None) for name, cell in CELLS.items()
}
