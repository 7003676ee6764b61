"""Recurrence: its own derivative against JAX's, padding, and layers against cells by hand."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.errors import InputError
from jaxdl.nn import (
    CELLS,
    Recurrent,
    RecurrentLayers,
    dropout,
    find_cell,
    recur,
    recurrent,
)

TIME, BATCH, INPUTS, UNITS = 5, 4, 3, 6
LENGTHS = jnp.array([5, 0, 1, 3])
KEYS = jax.random.split(jax.random.key(7), BATCH)


def normal(seed, like):
    """Random numbers in the place of all others, in float32 or in what is enabled."""
    leaves, treedef = jax.tree.flatten(like)
    rng = np.random.default_rng(seed)
    return treedef.unflatten([jnp.asarray(rng.normal(size=of.shape), float) for of in leaves])


def draw(name, seed=0):
    """Weights, inputs and states of a cell."""
    cell = find_cell(name)
    weights = jax.eval_shape(lambda key: cell.init(key, INPUTS, UNITS), jax.random.key(0))
    inputs = np.empty((TIME, BATCH, INPUTS))
    return normal(seed, (weights, inputs, cell.zero_state(BATCH, UNITS)))


def draw_kept():
    return jnp.asarray(np.random.default_rng(1).integers(0, 2, (BATCH, UNITS)) / 0.5, float)


def plain(cell):
    """The same cell, differentiated by JAX."""
    return dataclasses.replace(cell, pull_back=None)


def loss(cell, weights, inputs, state, **options):
    """One in which all outputs and all that is in the final state have a part."""
    return sum(
        jnp.sum(jnp.sin(3 * of))
        for of in jax.tree.leaves(recur(cell, weights, inputs, state, **options))
    )


def assert_close(found, expected, tolerance):
    """Relative to the largest entry of each array."""
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.shape == other.shape
        scale = np.abs(other).max(initial=1e-30)
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * scale)


# --- the derivative ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CELLS)
def test_own_derivative_is_that_of_jax(name, monkeypatch):
    """By weights, inputs and initial states, in both directions and both ways of summing."""
    cell = find_cell(name)

    @jax.jit
    def run(arguments, kept):
        def gradient(cell, *, reverse):
            function = functools.partial(loss, cell, lengths=LENGTHS, kept=kept, reverse=reverse)
            return jax.grad(function, argnums=(0, 1, 2))(*arguments)

        expected = [gradient(plain(cell), reverse=reverse) for reverse in (False, True)]
        summed_in_steps = gradient(cell, reverse=False)
        monkeypatch.setattr(recurrent, "SMALL_WEIGHTS", 0)
        return [summed_in_steps, gradient(cell, reverse=True)], expected

    with jax.enable_x64(True):
        found, expected = run(draw(name), draw_kept())
    assert_close(found, expected, 1e-12)


@pytest.mark.parametrize("name", ["lstm", "gru_before"])
def test_own_derivative_by_finite_differences(name):
    @jax.jit
    def run(arguments, along, kept):
        def along_line(step):
            moved = jax.tree.map(lambda of, by: of + step * by, arguments, along)
            return loss(find_cell(name), *moved, lengths=LENGTHS, kept=kept)

        return jax.grad(along_line)(0.0), (along_line(1e-5) - along_line(-1e-5)) / 2e-5

    with jax.enable_x64(True):
        slope, difference = run(draw(name), draw(name, seed=2), draw_kept())
    np.testing.assert_allclose(slope, difference, rtol=1e-7)


def test_transformations():
    """Several weights at once, and the derivative of the derivative."""
    cell, arguments = find_cell("gru"), draw("gru")
    several = draw("gru", seed=2)[0]
    stacked = jax.tree.map(lambda *of: jnp.stack(of), arguments[0], several)

    def gradient(cell, weights):
        return jax.grad(functools.partial(loss, cell, lengths=LENGTHS))(weights, *arguments[1:])

    @jax.jit
    def run(weights, stacked):
        together = jax.vmap(functools.partial(gradient, cell))(stacked)
        curvatures = [
            jax.jvp(functools.partial(gradient, of), (weights,), (several,))[1]
            for of in (cell, plain(cell))
        ]
        return gradient(cell, weights), together, curvatures

    first, together, curvatures = run(arguments[0], stacked)
    assert_close(jax.tree.map(lambda of: of[0], together), first, 1e-5)
    assert not np.allclose(together["bias"][1], first["bias"])
    assert_close(*curvatures, 1e-5)


# --- padding -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lstm", "gru_before"])
def test_padded_sequences_are_as_alone(name):
    """Whatever is in the padding: not even a NaN is seen."""
    weights, inputs, state = draw(name)
    padding = (jnp.arange(TIME)[:, None] >= LENGTHS[None])[..., None]

    def of_one(tree, b):
        return jax.tree.map(lambda of: of[b : b + 1], tree)

    @jax.jit
    def run(weights, inputs, state):
        found, expected = [], []
        for reverse in (False, True):
            run_one = functools.partial(recur, find_cell(name), weights, reverse=reverse)
            outputs, final = run_one(inputs, state, lengths=LENGTHS)
            found.extend((outputs[:, b : b + 1], of_one(final, b)) for b in range(BATCH))
            for b, length in enumerate([5, 1, 1, 3]):
                alone, last = run_one(inputs[:length, b : b + 1], of_one(state, b))
                expected.append((jnp.pad(alone, ((0, TIME - length), (0, 0), (0, 0))), last))
            expected[-3] = (jnp.zeros((TIME, 1, UNITS)), of_one(state, 1))
        return found, expected

    found, expected = run(weights, jnp.where(padding, jnp.nan, inputs), state)
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, 1e-6)


def test_a_batch_without_steps():
    weights, inputs, state = draw("gru")
    for reverse in (False, True):
        outputs, final = recur(find_cell("gru"), weights, inputs[:0], state, reverse=reverse)
        assert outputs.shape == (0, BATCH, UNITS)
        assert_close(final, state, 0)


# --- layers --------------------------------------------------------------------------------------

SIZES = (UNITS, 5)


def draw_layers(layers):
    """Parameters, inputs and states."""
    inputs = np.empty((TIME, BATCH, INPUTS))
    params = jax.eval_shape(layers.init, jax.random.key(0), inputs, None)["params"]
    cell = find_cell(layers.cell)
    directions = 1 + layers.is_bidirectional
    states = [cell.zero_state(BATCH, units) for units in layers.units for _ in range(directions)]
    return normal(0, (params, inputs, states))


def test_one_layer_is_a_cell():
    """Without a state it begins at 0."""
    layer, cell = Recurrent("rnn", UNITS, reverse=True), find_cell("rnn")
    weights, inputs, state = draw("rnn")
    params = jax.eval_shape(layer.init, jax.random.key(0), inputs)["params"]
    assert jax.tree.map(jnp.shape, weights) == jax.tree.map(jnp.shape, params)
    found = layer.apply({"params": weights}, inputs, None, LENGTHS)
    zeros = jax.tree.map(jnp.zeros_like, state)
    expected = recur(cell, weights, inputs, zeros, lengths=LENGTHS, reverse=True)
    assert_close(found, expected, 1e-6)


@pytest.mark.parametrize("is_bidirectional", [False, True])
def test_layers_are_cells_one_after_the_other(is_bidirectional):
    """Directions side by side, dropout between layers, and a final state for each cell."""
    layers = RecurrentLayers("lstm", SIZES, is_bidirectional, first_draw=4)
    params, inputs, states = draw_layers(layers)
    kernel = params["layer_1"]["kernel"]
    assert kernel.shape == (UNITS * (1 + is_bidirectional), 4 * SIZES[1])

    def by_hand(params, inputs, states):
        names = ["", "_reversed"] if is_bidirectional else [""]
        values, finals, states = inputs, [], iter(states)
        for layer in range(2):
            if layer:
                values = dropout(values, 0.5, KEYS, layer=6, batch_axis=1)
            outputs = []
            for name in names:
                weights, cell = params[f"layer_{layer}{name}"], find_cell("lstm")
                options = {"lengths": LENGTHS, "reverse": bool(name)}
                of_one, final = recur(cell, weights, values, next(states), **options)
                outputs.append(of_one)
                finals.append(final)
            values = jnp.concatenate(outputs, axis=-1)
        return values, finals

    @jax.jit
    def run(*arguments):
        params, inputs, states = arguments
        found = layers.apply({"params": params}, inputs, KEYS, states, LENGTHS, 0.5)
        return found, by_hand(*arguments)

    assert_close(*run(params, inputs, states), 1e-6)


def test_draws_belong_to_the_example():
    """A rate of 0 and an evaluation drop nothing; alone an example has the same draws."""
    layers = RecurrentLayers("rnn", SIZES)
    params, inputs, _ = draw_layers(layers)

    @jax.jit
    def run(inputs, keys, rates):
        return layers.apply({"params": params}, inputs, keys, None, None, *rates)

    nothing = run(inputs, KEYS, (None, None))
    assert_close(run(inputs, KEYS, (0.0, 0.0)), nothing, 1e-6)
    assert_close(run(inputs, None, (0.5, 0.5)), nothing, 1e-6)
    outputs, finals = run(inputs, KEYS, (0.5, 0.5))
    for rates in ((0.5, 0.0), (0.0, 0.5)):
        only_one, _ = run(inputs, KEYS, rates)
        assert not np.allclose(only_one, outputs)
        assert not np.allclose(only_one, nothing[0])
    alone, own_finals = run(inputs[:, 2:3], KEYS[2:3], (0.5, 0.5))
    assert_close(alone, outputs[:, 2:3], 1e-5)
    assert_close(own_finals, jax.tree.map(lambda of: of[2:3], finals), 1e-5)


def test_recurrent_dropout_is_the_same_at_all_steps():
    """Seen in ``h' = tanh(1 + kept h)``: what is dropped stays at tanh(1)."""
    units = 400
    layers = RecurrentLayers("rnn", (units, units), is_bidirectional=True)
    inputs = jnp.zeros((TIME, 2, INPUTS))
    params = jax.eval_shape(layers.init, jax.random.key(0), inputs, None)["params"]
    values = {"kernel": 0.0, "recurrent_kernel": jnp.eye(units), "bias": 1.0}
    params = {
        name: {of: jnp.broadcast_to(values[of], leaf.shape) for of, leaf in layer.items()}
        for name, layer in params.items()
    }
    run = jax.jit(functools.partial(layers.apply, {"params": params}))
    _, finals = run(inputs, KEYS[:2], None, None, None, 0.75)
    kept = whole = np.tanh(1.0)
    for _ in range(TIME - 1):
        kept, whole = np.tanh(1 + 4 * kept), np.tanh(1 + whole)
    masks = []
    for final in finals:
        is_kept = np.asarray(final.hidden) > whole
        expected = np.where(is_kept, kept, np.tanh(1.0))
        np.testing.assert_allclose(final.hidden, expected, rtol=1e-5)
        assert 0.2 < is_kept.mean() < 0.3
        masks.extend(is_kept)
    assert len({mask.tobytes() for mask in masks}) == 8


# --- numbers of fewer bits, and what a program does with a state ---------------------------------


@pytest.mark.parametrize("small", [0, 500_000])
def test_narrow_weights_are_summed_in_float32(small, monkeypatch):
    """Over 600 steps, in the scan or after it: within the rounding of bfloat16 products."""
    monkeypatch.setattr(recurrent, "SMALL_WEIGHTS", small)
    cell = find_cell("lstm")
    weights = cell.init(jax.random.key(0), INPUTS, UNITS)
    inputs = jax.random.normal(jax.random.key(1), (600, BATCH, INPUTS))

    def gradient(dtype):
        def loss(weights):
            outputs, _ = recur(cell, weights, inputs.astype(dtype))
            return jnp.sum(outputs.astype(jnp.float32))

        return jax.jit(jax.grad(loss))(jax.tree.map(lambda of: of.astype(dtype), weights))

    narrow, wide = gradient(jnp.bfloat16), gradient(jnp.float32)
    for name, expected in wide.items():
        assert narrow[name].dtype == jnp.bfloat16
        off = np.linalg.norm(np.asarray(narrow[name], np.float32) - expected)
        assert off < 0.02 * np.linalg.norm(expected)


@pytest.mark.parametrize("name", CELLS)
def test_weights_narrower_than_inputs(name):
    """What runs forward has a gradient, in the weights' dtype."""
    cell = find_cell(name)
    weights, inputs, _ = draw(name)
    weights = jax.tree.map(lambda of: of.astype(jnp.bfloat16), weights)
    gradient = jax.grad(lambda weights: jnp.sum(recur(cell, weights, inputs)[0]))(weights)
    assert {of.dtype for of in gradient.values()} == {jnp.dtype(jnp.bfloat16)}


def test_a_state_can_be_donated():
    cell = find_cell("lstm")
    weights, inputs, _ = draw("lstm")
    step = jax.jit(lambda state, row: cell.apply(weights, state, row), donate_argnums=0)
    assert step(cell.zero_state(BATCH, UNITS), inputs[0]).hidden.shape == (BATCH, UNITS)


def test_layers_without_units_are_refused():
    with pytest.raises(InputError, match="one or more"):
        RecurrentLayers("lstm", ()).init(jax.random.key(0), jnp.zeros((2, 1, 3)), None)
