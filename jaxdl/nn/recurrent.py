"""Recurrence over time: a cell of `jaxdl.nn.cells` applied to whole sequences, and its gradient.

The derivative of a step is written out (`Cell.pull_back`), from the gates as they were kept. The
gradient by the weights is summed up

- step by step, while the weights are small enough to stay in a core's cache; or else
- by one product over all steps, after the backward scan, for which the cotangents of the sums of
  each step must go through memory.

For the same reason the product of the inputs is taken in each step and not, as it might be, for all
steps before the scan. Milliseconds forward and backward on one core of a CPU with 1 MB of cache:

======================  =============  ============  ================  =================  =====
LSTM                    before, after  before, step  in steps, after   in steps, step     Flax
======================  =============  ============  ================  =================  =====
28 steps, 28 to 128     14.1           13.6          11.5              10.8 *             11.9
28 steps, 28 to 256     47.2           48.2          39.9              39.0 *             42.7
784 steps, 1 to 64      170            152           147               115 *              136
64 steps, 64 to 512     234            302           216 *             271                275
64 steps, 512 to 512    308            379           301 *             416                440
======================  =============  ============  ================  =================  =====

(The product of the inputs before the scan or in its steps, the gradient by the weights in each step
or after the scan; * is what is chosen. Batches of 64, of 32 for 512 units.)

All gates by one tanh, since sigmoid(x) = (1 + tanh(x / 2)) / 2, takes as long: 7.5 ms instead of
7.4 for 28 steps of 128 units, 157 instead of 159 for 64 steps of 512, on two cores.

Two steps of a scan cannot overlap, and a step's product is too small for two cores; so give each
core a part of the batch, as a device (`jaxdl.parallel`).
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxdl.nn.cells import Cell, Saved, State, Weights, summed_product

Mask = Bool[Array, "time batch 1"] | None
Kept = Float[Array, "batch units"] | None
Offset = Float[Array, "time batch columns"] | None

SMALL_WEIGHTS = 500_000
"""As many are small enough for a core's cache."""


def recur(
    cell: Cell,
    weights: Weights,
    inputs: Float[Array, "time batch inputs"],
    state: State | None = None,
    *,
    lengths: Int[Array, " batch"] | None = None,
    reverse: bool = False,
    kept: Kept = None,
) -> tuple[Float[Array, "time batch units"], State]:
    """Applies a cell to sequences, step by step.

    Args:
        cell: from `jaxdl.nn.cells.find_cell`.
        weights: of the cell.
        inputs: time first, for steps that are contiguous in memory.
        state: where to begin; zeros by default.
        lengths: of each sequence, the rest of which is padding: outputs there are 0, and the state
            stays what it was, so that each sequence gives what it gives alone.
        reverse: from the last step (of each sequence) to the first.
        kept: what dropout leaves of the hidden state wherever it is multiplied by a recurrent
            kernel, the same at all steps (Gal and Ghahramani 2016, arXiv:1512.05287, section 4.2):
            0, or 1 over the chance to be kept. It is taken for a constant.

    Returns:
        The hidden state after each step, and the state after the last one. They can be
        differentiated in reverse mode, and their gradient in either; forward mode alone
        (`jax.jvp`) raises a TypeError, but for a cell with layer normalization.

    >>> from jaxdl.nn.cells import find_cell
    >>> cell = find_cell("lstm")
    >>> weights = cell.init(jax.random.key(0), 3, 5)
    >>> outputs, final = recur(cell, weights, jnp.ones((7, 2, 3)), lengths=jnp.array([7, 4]))
    >>> outputs.shape, final.memory.shape
    ((7, 2, 5), (2, 5))
    """
    return recur_with_offset(
        cell, weights, inputs, None, state, lengths=lengths, reverse=reverse, kept=kept
    )[:2]


def recur_with_offset(
    cell: Cell,
    weights: Weights,
    inputs: Float[Array, "time batch inputs"],
    offset: Offset,
    state: State | None = None,
    *,
    lengths: Int[Array, " batch"] | None = None,
    reverse: bool = False,
    kept: Kept = None,
) -> tuple[Float[Array, "time batch units"], State, tuple[Array, ...]]:
    """`recur`, with what the gradient of each example follows from.

    Args:
        cell: one with a derivative written out, if there is an offset; like the others as there.
        weights: as there.
        inputs: as there.
        offset: zeros, which nothing is done with, or None: its cotangent is that of the sums in
            which the weights meet inputs and states (`Cell.drive` and `Cell.sums`).
        state: as there.
        lengths: as there.
        reverse: as there.
        kept: as there.

    Returns:
        As `recur`, and as constants what the weights met: the inputs, 0 in the padding, the hidden
        state before each step and, where the cell has one, the gate r.
    """
    time, batch, _ = inputs.shape
    if state is None:
        units = weights["recurrent_kernel"].shape[0]
        state = cell.zero_state(batch, units, jnp.result_type(inputs, *weights.values()))
    mask = None
    if lengths is not None:
        mask = (jnp.arange(time)[:, None] < lengths[None])[..., None]
        inputs = jnp.where(mask, inputs, 0)  # lest a NaN in the padding reach a gradient
    scan = _scan if cell.pull_back is None else _scan_with_own_gradient
    befores, final, saved = scan(cell, reverse, weights, inputs, offset, state, mask, kept)
    outputs = _after_each_step(befores.hidden, final.hidden, reverse=reverse)
    outputs = outputs if mask is None else jnp.where(mask, outputs, 0)
    met = (inputs, _fed(befores.hidden, kept), *_reset(cell, saved))
    return outputs, final, lax.stop_gradient(met)


def _scan(
    cell: Cell,
    reverse: bool,
    weights: Weights,
    inputs: Array,
    offset: Offset,
    state: State,
    mask: Mask,
    kept: Kept,
) -> tuple[State, State, Saved]:
    """The state before each step, the last one, and what each step saved."""

    def step(state: State, row):
        inputs, mask = row
        driven = cell.drive(weights, inputs)
        new, saved = cell.advance(weights, _fed(state.hidden, kept), state, driven)
        return _where(mask, new, state), (state, saved)

    final, (befores, saved) = lax.scan(step, state, (inputs, mask), reverse=reverse)
    return befores, final, saved


_scan_with_own_gradient = jax.custom_vjp(_scan, nondiff_argnums=(0, 1))


def _forward(cell: Cell, reverse: bool, weights, inputs, offset, state, mask, kept):
    befores, final, saved = _scan(cell, reverse, weights, inputs, offset, state, mask, kept)
    return (befores, final, saved), (weights, inputs, offset, mask, kept, befores, saved)


def _backward(cell: Cell, reverse: bool, of_forward, cotangents):
    pull_back = cell.pull_back
    assert pull_back is not None
    weights, inputs, offset, mask, kept, befores, saved = of_forward
    of_befores, of_final, _ = cotangents
    transposed = weights["recurrent_kernel"].T
    is_summed = offset is None and sum(of.size for of in weights.values()) <= SMALL_WEIGHTS

    def gradient_of(inputs: Array, fed: Array, saved: Saved, driven: Array) -> Weights:
        leading = tuple(range(driven.ndim - 1))
        of_inputs = {"kernel": summed_product(inputs, driven), "bias": driven.sum(axis=leading)}
        return of_inputs | cell.gradients(fed, driven, *_reset(cell, saved))

    def back(carry, row):
        given, gradient = carry
        of_step, before, inputs, saved, mask = row
        moved = _where(mask, given, jax.tree.map(jnp.zeros_like, given))
        fed = _fed(before.hidden, kept)
        pulled = pull_back(transposed, saved, fed, before, moved)
        handed = pulled.state._replace(hidden=pulled.state.hidden + _fed(pulled.fed, kept))
        handed = jax.tree.map(jnp.add, _where(mask, handed, given), of_step)
        if is_summed:
            of_weights = gradient_of(inputs, fed, saved, pulled.driven)
            gradient = jax.tree.map(_add, gradient, of_weights)
        return (handed, gradient), pulled.driven

    wide = jnp.promote_types(jnp.result_type(inputs, *weights.values()), jnp.float32)
    start = (of_final, {name: jnp.zeros(of.shape, wide) for name, of in weights.items()})
    rows = (of_befores, befores, inputs, saved, mask)
    (of_first, gradient), driven = lax.scan(back, start, rows, reverse=not reverse)
    if not is_summed:
        gradient = gradient_of(inputs, _fed(befores.hidden, kept), saved, driven)
    gradient = {name: gradient[name].astype(of.dtype) for name, of in weights.items()}
    of_inputs = jnp.einsum("sbn,mn->sbm", driven, weights["kernel"]).astype(inputs.dtype)
    return gradient, of_inputs, None if offset is None else driven, of_first, None, None


_scan_with_own_gradient.defvjp(_forward, _backward)


def _add(total: Array, more: Array) -> Array:
    return total + more.astype(total.dtype)


def _after_each_step(befores: Array, final: Array, *, reverse: bool) -> Array:
    if reverse:
        return jnp.concatenate([final[None], befores])[:-1]
    return jnp.concatenate([befores, final[None]])[1:]


def _fed(
    hidden: Float[Array, "*time batch units"], kept: Kept
) -> Float[Array, "*time batch units"]:
    """The hidden state of one step, or of all, as the recurrent products have it."""
    return hidden if kept is None else hidden * kept.reshape((1,) * (hidden.ndim - 2) + kept.shape)


def _where(mask: Bool[Array, "batch 1"] | None, new: State, old: State) -> State:
    return new if mask is None else jax.tree.map(lambda *of: jnp.where(mask, *of), new, old)


def _reset(cell: Cell, saved: Saved) -> Saved:
    return saved[:1] if cell.has_reset else ()
