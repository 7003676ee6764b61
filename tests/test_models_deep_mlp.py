"""Deep networks against a loop in NumPy, Flax's batch norm, and finite differences."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdl import nn
from jaxdl.errors import InputError
from jaxdl.models import deep_mlp
from jaxdl.models.deep_mlp import Layer, lsuv
from jaxdl.models.deep_mlp import signals as eager_signals
from jaxdl.models.dense_norms import NORMS, one_norm_of
from jaxdl.types import Variables

signals = jax.jit(eager_signals, static_argnums=(0, 3))

DEPTH, WIDTH, CLASSES, BATCH = 4, 6, 3, 5
INPUTS = np.random.default_rng(0).normal(size=(BATCH, 7))
INPUTS_32 = jnp.float32(INPUTS)
LAYERS = [
    Layer("tanh"),
    Layer("tanh", is_residual=True),
    Layer("sigmoid", "layer"),
    Layer("relu", "batch"),
    Layer("tanh", "batch", is_residual=True),
    Layer("tanh", "renorm"),
    Layer("tanh", "rms"),
    Layer("relu", "weight"),
]


STATEFUL = ("batch", "renorm")
WEIGHTS = np.float32(np.random.default_rng(1).normal(size=CLASSES))


def loss(logits):
    return logits**2 @ WEIGHTS


@functools.cache
def made(layer):
    model = deep_mlp(DEPTH, WIDTH, classes=CLASSES, layer=layer)
    variables = model.init(jax.random.key(0), jnp.float32(INPUTS[:1]))
    # Biases, scales and shifts that are told apart.
    spread = jax.tree.map(
        lambda leaf: (
            leaf + 0.1 * np.sin(np.arange(leaf.size, dtype=np.float32)).reshape(leaf.shape)
        ),
        variables.params,
    )
    return model, variables._replace(params=spread)


def by_loop(layer, params, offsets=None, running=None):
    """Logits, outputs of the layers and their batch moments, in float64."""
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    activation = {
        "tanh": np.tanh,
        "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
        "relu": lambda x: np.maximum(x, 0),
    }[layer.activation]
    hidden = [jax.tree.map(lambda leaf, k=k: leaf[k], params.hidden) for k in range(DEPTH - 1)]
    values, outputs, moments = INPUTS, [], []
    for place, dense in enumerate([params.first, *hidden]):
        kernel = dense.kernel
        if layer.normalization == "weight":
            kernel = dense.learned * kernel / np.linalg.norm(kernel, axis=0)
        before = values @ kernel + dense.bias
        if layer.normalization not in ("none", "weight"):
            axis = 0 if layer.normalization in STATEFUL else 1
            mean, variance = before.mean(axis, keepdims=True), before.var(axis, keepdims=True)
            moments.append((mean, variance))
            if layer.normalization == "rms":
                mean, variance = 0.0, np.square(before).mean(axis, keepdims=True)
            if running is not None:
                mean, variance = running[place]
            deviation = np.sqrt(variance + 1e-5)
            before = (before - mean) / deviation
            if layer.normalization == "renorm" and running is None:
                # By the averages of no batch, 0 and 1, within the limits.
                before = before * np.clip(deviation, 1 / 3, 3) + np.clip(mean, -5, 5)
            before = before * dense.learned.scale + dense.learned.shift
        now = activation(before)
        if layer.is_residual and place:
            now = now + values
        if offsets is not None:
            now = now + offsets[place]
        values = now
        outputs.append(values)
    return values @ params.last.kernel + params.last.bias, np.array(outputs), moments


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_forward(layer):
    model, variables = made(layer)
    keys = jax.random.split(jax.random.key(1), BATCH)
    logits, state = jax.jit(model.apply)(*variables, jnp.float32(INPUTS), keys)
    expected, outputs, moments = by_loop(layer, variables.params)
    np.testing.assert_allclose(logits, expected, atol=2e-5)
    seen = signals(layer, variables, jnp.float32(INPUTS), loss)
    np.testing.assert_allclose(seen.outputs, outputs, atol=2e-5)
    if layer.normalization not in STATEFUL:
        assert state == {}
        return
    running = [(0.1 * mean, 0.9 + 0.1 * variance) for mean, variance in moments]
    evaluated, unmoved = jax.jit(model.apply)(variables.params, state, jnp.float32(INPUTS), None)
    jax.tree.map(np.testing.assert_array_equal, unmoved, state)
    expected = by_loop(layer, variables.params, running=running)[0]
    np.testing.assert_allclose(evaluated, expected, atol=2e-5)


@pytest.mark.parametrize("layer", LAYERS[1:4], ids=str)
def test_gradients_by_the_outputs(layer):
    _, variables = made(layer)
    seen = signals(layer, variables, jnp.float32(INPUTS), loss)

    def total(offsets):
        return loss(by_loop(layer, variables.params, offsets)[0]).sum()

    for place in np.ndindex(DEPTH, 2, 2):
        offsets = np.zeros((DEPTH, BATCH, WIDTH))
        offsets[place] = 1e-5
        slope = (total(offsets) - total(-offsets)) / 2e-5
        np.testing.assert_allclose(seen.gradients[place], slope, rtol=2e-3, atol=2e-4)


def test_one_norm_of_several():
    """Is that norm, in training, in evaluation and in what is seen; one program for all of them."""
    names = tuple(NORMS)
    keys = jax.random.split(jax.random.key(1), BATCH)

    @jax.jit
    @chex.assert_max_traces(1)
    def chosen(index, params, state):
        layer = Layer("tanh", one_norm_of(names, index))
        model = deep_mlp(DEPTH, WIDTH, classes=CLASSES, layer=layer)
        logits, moved = model.apply(params, state, INPUTS_32, keys)
        evaluated, _ = model.apply(params, moved, INPUTS_32, None)
        seen = eager_signals(layer, Variables(params, state), INPUTS_32, loss)
        return logits, evaluated, seen, moved

    layer = Layer("tanh", one_norm_of(names, 0))
    model = deep_mlp(DEPTH, WIDTH, classes=CLASSES, layer=layer)
    drawn = model.init(jax.random.key(0), INPUTS_32[:1])
    for index, name in enumerate(names):
        layer = Layer("tanh", name)
        own, variables = made(layer)
        params = variables.params
        among_all = drawn.params._replace(
            first=with_learned(drawn.params.first, params.first),
            hidden=with_learned(drawn.params.hidden, params.hidden),
            last=params.last,
        )
        logits, evaluated, seen, moved = chosen(index, among_all, drawn.model_state)
        expected, state = jax.jit(own.apply)(*variables, INPUTS_32, keys)
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            evaluated, own.apply(params, state, INPUTS_32, None)[0], rtol=1e-4, atol=1e-5
        )
        np.testing.assert_allclose(
            seen.gradients,
            signals(layer, variables, INPUTS_32, loss).gradients,
            rtol=1e-3,
            atol=1e-5,
        )
        if name in STATEFUL:
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), moved, state)


def with_learned(among_all, own):
    """A layer's own parameters, and what it has learned among what others have."""
    kinds = [type(learned) for learned in among_all.learned]
    assert len(kinds) == len(set(kinds)) == 3  # nothing, scales and shifts, lengths
    learned = [
        own.learned if type(other) is type(own.learned) else other for other in among_all.learned
    ]
    return own._replace(learned=tuple(learned))


def test_an_activation_of_several():
    """Its number is a leaf of the model."""
    functions = [nn.activation(name) for name in ("tanh", "relu")]
    layer = Layer(nn.one_of(functions, jnp.int32(1)))
    model = deep_mlp(2, WIDTH, classes=CLASSES, layer=layer)
    plain = deep_mlp(2, WIDTH, classes=CLASSES, layer=Layer("relu"))
    variables = model.init(jax.random.key(0), INPUTS_32[:1])
    expected, _ = plain.apply(*variables, INPUTS_32, None)
    np.testing.assert_allclose(model.apply(*variables, INPUTS_32, None)[0], expected, rtol=1e-6)
    assert jax.tree.leaves(model.apply) == [jnp.int32(1)]


def test_norms_of_the_kernels_gradients():
    layer = LAYERS[0]
    model, variables = made(layer)
    seen = signals(layer, variables, jnp.float32(INPUTS), loss)
    gradient = jax.grad(
        lambda params: jnp.mean(loss(model.apply(params, {}, jnp.float32(INPUTS), None)[0]))
    )
    gradient = jax.jit(gradient)(variables.params)
    kernels = [gradient.first.kernel, *gradient.hidden.kernel]
    expected = [np.linalg.norm(np.asarray(kernel)) for kernel in kernels]
    np.testing.assert_allclose(seen.kernel_norms, expected, rtol=1e-5)


def test_one_hidden_layer_and_bound_numbers():
    """A scale that is bound to the initializer is a leaf of the model."""

    def uniform(radius, key, shape, dtype):
        return jax.random.uniform(key, shape, dtype, -radius, radius)

    bound = jax.tree_util.Partial(uniform, jnp.float32(1e-3))
    model = deep_mlp(1, WIDTH, classes=CLASSES, kernel_initializer=bound)
    params, _ = model.init(jax.random.key(0), jnp.ones((2, 7)))
    assert params.hidden.kernel.shape == (0, WIDTH, WIDTH)
    assert 0 < jnp.abs(params.first.kernel).max() < 1e-3
    logits, _ = model.apply(params, {}, jnp.ones((2, 7)), None)
    assert logits.shape == (2, CLASSES)
    assert jax.tree.leaves(model.init) == [jnp.float32(1e-3)]


@pytest.mark.parametrize("layer", LAYERS[:3], ids=str)
def test_lsuv(layer):
    """What each kernel makes of the batch, by the loop: of variance 1; directions stay."""
    _, variables = made(layer)
    params = jax.jit(lsuv, static_argnums=0)(layer, variables, jnp.float32(INPUTS)).params
    outputs = by_loop(layer, params)[1]
    assert len(outputs) == DEPTH
    kernels = [params.first.kernel, *params.hidden.kernel, params.last.kernel]
    for values, kernel in zip([INPUTS, *outputs], kernels, strict=True):
        np.testing.assert_allclose(np.std(values @ np.asarray(kernel)), 1, rtol=1e-4)
    ratios = params.hidden.kernel / variables.params.hidden.kernel
    np.testing.assert_allclose(ratios, np.broadcast_to(ratios[:, :1, :1], ratios.shape), rtol=1e-4)
    np.testing.assert_array_equal(params.hidden.bias, variables.params.hidden.bias)


def test_float64():
    with jax.enable_x64(True):
        model = deep_mlp(2, WIDTH, classes=CLASSES, layer=Layer("tanh", "batch"))
        variables = model.init(jax.random.key(0), jnp.asarray(INPUTS))
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float64)}
        logits, _ = model.apply(*variables, jnp.asarray(INPUTS), None)
        assert logits.dtype == np.float64


@pytest.mark.parametrize(
    ("depth", "layer", "named"),
    [
        (0, Layer(), "depth of 0"),
        (2, Layer("rellu"), "relu"),
        (2, Layer(normalization="bacth"), "batch"),
    ],
)
def test_bad_input(depth, layer, named):
    with pytest.raises(InputError, match=named):
        deep_mlp(depth, WIDTH, classes=CLASSES, layer=layer)


def test_pixels():
    """Are scaled, as in every model."""
    model, pixels = deep_mlp(2, 8, classes=2), np.full((2, 3, 3, 1), 255, np.uint8)
    variables = model.init(jax.random.key(0), jnp.asarray(pixels))
    logits = model.apply(*variables, jnp.asarray(pixels), None)[0]
    ones = model.apply(*variables, jnp.ones((2, 9)), None)[0]
    np.testing.assert_allclose(logits, ones, rtol=1e-6)
