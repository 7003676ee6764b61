"""Cells against their equations as loops in NumPy, and against those of other frameworks."""

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl.errors import InputError
from jaxdl.nn import CELLS, State, find_cell, from_flax, recur, to_flax

TIME, BATCH, INPUTS, UNITS = 5, 4, 3, 6
LENGTHS = np.array([5, 0, 1, 3])
KINDS = [(name, is_normalized) for name in CELLS for is_normalized in (False, True)]
GATES = {"rnn": 1, "lstm": 4, "gru": 3, "gru_before": 3}


def draw_weights(name, is_normalized=False):
    """Those that the docstring of `Cell` names, none of them 0 or 1."""
    rng = np.random.default_rng(0)
    columns = GATES[name] * UNITS
    shapes = {
        "kernel": (INPUTS, columns),
        "recurrent_kernel": (UNITS, columns),
        "bias": (columns,),
        **({"recurrent_bias": (UNITS,)} if name == "gru" else {}),
        **(dict.fromkeys(["input_scale", "recurrent_scale"], (columns,)) if is_normalized else {}),
    }
    if is_normalized and name == "lstm":
        shapes |= dict.fromkeys(["memory_scale", "memory_bias"], (UNITS,))
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def draw_state(name):
    rng = np.random.default_rng(1)
    hidden, memory = rng.normal(size=(2, BATCH, UNITS))
    return State(hidden, memory if name == "lstm" else None)


def draw_inputs():
    return np.random.default_rng(2).normal(size=(TIME, BATCH, INPUTS))


def draw_kept():
    return np.random.default_rng(3).integers(0, 2, (BATCH, UNITS)) / 0.5


def as_type(dtype, tree):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), tree)


def assert_close(found, expected, tolerance):
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.shape == other.shape
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


# --- the equations -------------------------------------------------------------------------------


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def blocks(array, name):
    return np.split(array, GATES[name], axis=-1)


def normalized(values):
    """Ba et al. 2016, equation 3, of one gate."""
    centred = values - values.mean(axis=-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)


def step(name, weights, fed, state, inputs):
    """One step of a batch, gate by gate; ``fed`` is the state as products have it."""
    is_normalized = "input_scale" in weights
    kernels, recurrent, biases = (
        blocks(weights[of], name) for of in ("kernel", "recurrent_kernel", "bias")
    )

    def driven(gate):
        value = inputs @ kernels[gate]
        if is_normalized:
            value = normalized(value) * blocks(weights["input_scale"], name)[gate]
        return value + biases[gate]

    def product(gate, hidden):
        value = hidden @ recurrent[gate]
        if is_normalized:
            value = normalized(value) * blocks(weights["recurrent_scale"], name)[gate]
        return value

    def both(gate):
        return driven(gate) + product(gate, fed)

    if name == "rnn":
        return State(np.tanh(both(0)))
    if name == "lstm":
        i, f, o = (sigmoid(both(gate)) for gate in (0, 1, 3))
        memory = shown = f * state.memory + i * np.tanh(both(2))
        if is_normalized:
            shown = normalized(memory) * weights["memory_scale"] + weights["memory_bias"]
        return State(o * np.tanh(shown), memory)
    r, z = sigmoid(both(0)), sigmoid(both(1))
    if name == "gru":
        new = np.tanh(driven(2) + r * (product(2, fed) + weights["recurrent_bias"]))
    else:
        new = np.tanh(driven(2) + product(2, r * fed))
    return State((1 - z) * new + z * state.hidden)


def loop(name, weights, inputs, state, lengths, kept, *, reverse):
    """Each sequence by itself, for as long as it is, outputs 0 behind it."""
    outputs = np.zeros((TIME, BATCH, UNITS))
    finals = []
    for b in range(BATCH):
        row = State(*(None if of is None else of[b : b + 1] for of in state))
        steps = range(lengths[b])
        for t in reversed(steps) if reverse else steps:
            row = step(name, weights, row.hidden * kept[b], row, inputs[t, b : b + 1])
            outputs[t, b] = row.hidden
        finals.append(row)
    return outputs, jax.tree.map(lambda *rows: np.concatenate(rows), *finals)


@pytest.mark.parametrize(("name", "is_normalized"), KINDS)
def test_equations(name, is_normalized):
    """A step, sequences from zero, and padded ones backwards with all that `recur` takes."""
    weights, inputs = draw_weights(name, is_normalized), draw_inputs()
    state, kept = draw_state(name), draw_kept()
    zeros = jax.tree.map(np.zeros_like, state)
    whole, ones = np.full(BATCH, TIME), np.ones_like(kept)
    expected = (
        step(name, weights, state.hidden, state, inputs[0]),
        loop(name, weights, inputs, zeros, whole, ones, reverse=False),
        loop(name, weights, inputs, state, LENGTHS, kept, reverse=True),
    )

    @jax.jit
    def run(weights, inputs, state, kept):
        cell = find_cell(name, is_normalized=is_normalized)
        options = {"lengths": jnp.asarray(LENGTHS), "kept": kept, "reverse": True}
        return (
            cell.apply(weights, state, inputs[0]),
            recur(cell, weights, inputs),
            recur(cell, weights, inputs, state, **options),
        )

    arguments = (weights, inputs, state, kept)
    assert_close(run(*as_type(jnp.float32, arguments)), expected, 1e-5)
    with jax.enable_x64(True):
        found = run(*as_type(jnp.float64, arguments))
    assert all(leaf.dtype == np.float64 for leaf in jax.tree.leaves(found))
    assert_close(found, expected, 1e-12)


# --- PyTorch and Keras, from their documentation -------------------------------------------------


def torch_weights(gates):
    """As ``torch.nn.LSTM`` and its like name them, gates one below the other."""
    rng = np.random.default_rng(4)
    rows = gates * UNITS
    shapes = {
        "weight_ih_l0": (rows, INPUTS),
        "weight_hh_l0": (rows, UNITS),
        "bias_ih_l0": (rows,),
        "bias_hh_l0": (rows,),
    }
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def torch_rnn(weights, x, h):
    """``h_t = tanh(x_t W_ih^T + b_ih + h_(t-1) W_hh^T + b_hh)``."""
    w_ih, w_hh, b_ih, b_hh = weights.values()
    return State(np.tanh(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh))


def torch_lstm(weights, x, h, c):
    """``(W_ii|W_if|W_ig|W_io)``; ``c_t = f_t c_(t-1) + i_t g_t``, ``h_t = o_t tanh(c_t)``."""
    w_ih, w_hh, b_ih, b_hh = weights.values()
    i, f, g, o = np.split(x @ w_ih.T + b_ih + h @ w_hh.T + b_hh, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return State(sigmoid(o) * np.tanh(c), c)


def torch_gru(weights, x, h):
    """``(W_ir|W_iz|W_in)``; ``n_t = tanh(W_in x_t + b_in + r_t (W_hn h_(t-1) + b_hn))``."""
    w_ih, w_hh, b_ih, b_hh = weights.values()
    of_x, of_h = np.split(x @ w_ih.T + b_ih, 3, axis=1), np.split(h @ w_hh.T + b_hh, 3, axis=1)
    r, z = (sigmoid(of_x[gate] + of_h[gate]) for gate in (0, 1))
    n = np.tanh(of_x[2] + r * of_h[2])
    return State((1 - z) * n + z * h)


def from_torch(name, weights):
    """As the docstring of `jaxdl.nn.cells` says."""
    b_ih, b_hh = weights["bias_ih_l0"], weights["bias_hh_l0"]
    ours = {
        "kernel": weights["weight_ih_l0"].T,
        "recurrent_kernel": weights["weight_hh_l0"].T,
        "bias": b_ih + b_hh,
    }
    if name == "gru":
        ours["bias"] = np.concatenate([(b_ih + b_hh)[: 2 * UNITS], b_ih[2 * UNITS :]])
        ours["recurrent_bias"] = b_hh[2 * UNITS :]
    return ours


@pytest.mark.parametrize(("name", "theirs"), [("rnn", torch_rnn), ("gru", torch_gru)])
def test_weights_of_pytorch(name, theirs):
    weights, state, inputs = torch_weights(GATES[name]), draw_state(name), draw_inputs()[0]
    check_step(name, from_torch(name, weights), state, theirs(weights, inputs, state.hidden))


def test_lstm_weights_of_pytorch():
    weights, state, inputs = torch_weights(4), draw_state("lstm"), draw_inputs()[0]
    check_step("lstm", from_torch("lstm", weights), state, torch_lstm(weights, inputs, *state))


def test_lstm_weights_of_keras():
    """``z = x kernel + h recurrent_kernel + bias``, in which lie i, f, c and o side by side."""
    weights, state, inputs = draw_weights("lstm"), draw_state("lstm"), draw_inputs()[0]
    kernel, recurrent_kernel, bias = weights.values()
    z = inputs @ kernel + state.hidden @ recurrent_kernel + bias
    z0, z1, z2, z3 = np.split(z, 4, axis=1)
    c = sigmoid(z1) * state.memory + sigmoid(z0) * np.tanh(z2)
    check_step("lstm", weights, state, State(sigmoid(z3) * np.tanh(c), c))


def test_gru_weights_of_keras():
    """With ``reset_after``: gates z, r, h, and a bias of two rows, of inputs and of states."""
    weights, state, inputs = draw_weights("gru"), draw_state("gru"), draw_inputs()[0]
    rng, h = np.random.default_rng(5), state.hidden
    kernel, recurrent_kernel = weights["kernel"], weights["recurrent_kernel"]
    input_bias, recurrent_bias = rng.normal(size=(2, 3 * UNITS))
    x_z, x_r, x_h = np.split(inputs @ kernel + input_bias, 3, axis=1)
    h_z, h_r, h_h = np.split(h @ recurrent_kernel + recurrent_bias, 3, axis=1)
    z, r = sigmoid(x_z + h_z), sigmoid(x_r + h_r)
    expected = State(z * h + (1 - z) * np.tanh(x_h + r * h_h))

    def reordered(array):
        z, r, h = np.split(array, 3, axis=-1)
        return np.concatenate([r, z, h], axis=-1)

    torch = {
        "weight_ih_l0": reordered(kernel).T,
        "weight_hh_l0": reordered(recurrent_kernel).T,
        "bias_ih_l0": reordered(input_bias),
        "bias_hh_l0": reordered(recurrent_bias),
    }
    check_step("gru", from_torch("gru", torch), state, expected)


def check_step(name, weights, state, expected):
    with jax.enable_x64(True):
        arguments = as_type(jnp.float64, (weights, state, draw_inputs()[0]))
        assert_close(jax.jit(find_cell(name).apply)(*arguments), expected, 1e-12)


# --- Flax ----------------------------------------------------------------------------------------

FLAX = {
    "rnn": flax.linen.SimpleCell,
    "lstm": flax.linen.OptimizedLSTMCell,
    "gru": flax.linen.GRUCell,
}


@pytest.mark.parametrize("name", FLAX)
def test_flax(name):
    """Outputs and final states, and the gradient by weights, inputs and initial states."""
    layer = flax.linen.RNN(FLAX[name](UNITS), time_major=True, return_carry=True)
    arguments = as_type(jnp.float32, (draw_weights(name), draw_inputs(), draw_state(name)))

    def ours(weights, inputs, state):
        return recur(find_cell(name), weights, inputs, state)

    def theirs(weights, inputs, state):
        carry = (state.memory, state.hidden) if name == "lstm" else state.hidden
        params = {"cell": to_flax(name, weights)}
        carry, outputs = layer.apply({"params": params}, inputs, initial_carry=carry)
        return outputs, State(*carry[::-1]) if name == "lstm" else State(carry)

    @jax.jit
    def run(arguments):
        def both(function):
            found, pull = jax.vjp(function, *arguments)
            return found, pull(jax.tree.map(jnp.cos, found))

        return both(ours), both(theirs)

    assert_close(*run(arguments), 1e-5)


@pytest.mark.parametrize(("name", "layer"), [*FLAX.items(), ("lstm", flax.linen.LSTMCell)])
def test_weights_to_flax_and_back(name, layer):
    """The names and shapes are those that Flax gives, and the numbers are the same to the bit."""
    weights = as_type(jnp.float32, draw_weights(name))
    params = to_flax(name, weights)

    def init():
        carry = layer(UNITS).initialize_carry(jax.random.key(0), (BATCH, INPUTS))
        return layer(UNITS).init(jax.random.key(0), carry, jnp.ones((BATCH, INPUTS)))["params"]

    of_flax = jax.eval_shape(init)
    assert jax.tree.structure(params) == jax.tree.structure(of_flax)
    shapes = [[leaf.shape for leaf in jax.tree.leaves(of)] for of in (params, of_flax)]
    assert shapes[0] == shapes[1]
    again = from_flax(name, params)
    assert again.keys() == weights.keys()
    for of in weights:
        np.testing.assert_array_equal(again[of], weights[of])


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (lambda w, p: to_flax("gru_before", w), "Flax has no cell like 'gru_before'; it has rnn"),
        (lambda w, p: from_flax("gruu", p), "no cell 'gruu'; did you mean gru"),
        (lambda w, p: to_flax("lstm", w), "'lstm' are bias, kernel, recurrent_kernel; given are"),
        (lambda w, p: to_flax("gru", w | {"input_scale": w["bias"]}), "input_scale"),
        (lambda w, p: to_flax("gru", {}), "given are none"),
        (lambda w, p: to_flax("gru", w | {"bias": w["bias"][1:]}), r"not fit .* bias \(17,\)"),
        (
            lambda w, p: to_flax("gru", w | {"recurrent_kernel": w["bias"]}),
            r"not fit each other: kernel \(3, 18\), recurrent_kernel \(18,\)",
        ),
        (lambda w, p: from_flax("gru", {"cell": p}), "cell/hn/bias"),
        (lambda w, p: from_flax("rnn", p), "'rnn' are h/kernel, i/bias, i/kernel; given are"),
        (
            lambda w, p: from_flax("gru", p | {"hz": {"kernel": w["kernel"]}}),
            r"not fit .* hz/kernel \(3, 18\)",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(convert, message):
    weights = as_type(jnp.float32, draw_weights("gru"))
    with pytest.raises(InputError, match=message):
        convert(weights, to_flax("gru", weights))


# --- drawing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "is_normalized"), KINDS)
def test_drawn_weights(name, is_normalized):
    """Orthogonal gate by gate, the forget gate open, scales 1, all the rest 0."""
    weights = find_cell(name, is_normalized=is_normalized).init(jax.random.key(0), INPUTS, UNITS)
    expected = draw_weights(name, is_normalized)
    assert {of: leaf.shape for of, leaf in weights.items()} == {
        of: leaf.shape for of, leaf in expected.items()
    }
    limit = np.sqrt(6 / (INPUTS + GATES[name] * UNITS))
    assert 0.8 * limit < np.abs(weights.pop("kernel")).max() <= limit
    drawn = blocks(np.asarray(weights.pop("recurrent_kernel")), name)
    for block in drawn:
        np.testing.assert_allclose(block.T @ block, np.eye(UNITS), atol=1e-6)
    assert len({block.tobytes() for block in drawn}) == len(drawn)
    bias = np.zeros(GATES[name] * UNITS)
    if name == "lstm":
        bias[UNITS : 2 * UNITS] = 1
    np.testing.assert_array_equal(weights.pop("bias"), bias)
    for of, leaf in weights.items():
        np.testing.assert_array_equal(leaf, 1 if of.endswith("scale") else 0)


def test_how_weights_are_drawn():
    how = {"kernel_initializer": "ones", "recurrent_initializer": "zeros", "forget_bias": 2.0}
    weights = find_cell("lstm").init(jax.random.key(0), INPUTS, UNITS, **how)
    assert (weights["kernel"] == 1).all()
    assert not weights["recurrent_kernel"].any()
    assert weights["bias"].sum() == 2 * UNITS


def test_names_and_sizes_are_checked():
    assert find_cell("gru") is find_cell("gru")
    assert hash(find_cell("lstm", is_normalized=True)) != hash(find_cell("lstm"))
    with pytest.raises(InputError, match="no cell 'ltsm'; did you mean lstm"):
        find_cell("ltsm")
    with pytest.raises(InputError, match="0 inputs and 6 units; choose 1 or more of each"):
        find_cell("rnn").init(jax.random.key(0), 0, 6)
    with pytest.raises(InputError, match="no initializer 'orthogonl'"):
        find_cell("rnn").init(jax.random.key(0), 3, 6, recurrent_initializer="orthogonl")
