"""Norms and clipped means from one backward pass, against each example's gradient by vmap."""

import re
import subprocess
import sys
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from example_nets import BATCH, COVERED, NETS, Centred, problem
from jax.tree_util import Partial

from jaxdl import losses, models
from jaxdl.errors import InputError
from jaxdl.gradients import (
    FallbackWarning,
    clipped_gradient,
    layer_clipped_gradient,
    mean_gradient,
    observed_gradient,
    per_example_gradients,
    per_example_layer_norms,
    per_example_norms,
)
from jaxdl.nn import flax_model
from jaxdl.nn.coverage import find_coverage, join_layers, split_layers
from jaxdl.parallel import make_mesh
from jaxdl.types import Batch, Model

NORMS, LAYER_NORMS = jax.jit(per_example_norms), jax.jit(per_example_layer_norms)
TOLERANCE = {jnp.float32: 1e-5, jnp.float64: 1e-10}


def all_norms(observation):
    """Instruments that hide nothing: the norms themselves."""
    return {f"norm_of_{name}": norms for name, norms in observation.layer_norms.items()}


def reference(loss_fn, params, batch, keys):
    """The norms of each layer ``(batch,)`` and each example's gradient, the slow way."""
    singles = jax.jit(per_example_gradients)(loss_fn, params, {}, batch, keys)
    counts = np.asarray(batch.weights) != 0
    norms = {
        name: counts
        * np.sqrt(
            sum((np.asarray(g, np.float64) ** 2).reshape(BATCH, -1).sum(1) for g in of.values())
        )
        for name, of in split_layers(singles).items()
    }
    return norms, singles


def weighted_mean(weights, batch, singles):
    factors = np.asarray(weights) * np.asarray(batch.weights) / np.asarray(batch.weights).sum()
    return jax.tree.map(
        lambda leaf: np.tensordot(factors, np.asarray(leaf, np.float64), 1), singles
    )


def assert_close(found, expected, tolerance):
    """Relative to the largest entry of each array."""
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        scale = max(np.abs(other).max(), 1e-30)
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * scale)


def check(name, dtype, microbatch_sizes, *, train):
    tolerance = TOLERANCE[dtype]
    loss_fn, params, batch, keys = problem(name, dtype, train=train)
    norms, singles = reference(loss_fn, params, batch, keys)
    total = np.sqrt(sum(of**2 for of in norms.values()))
    bound = float(np.median(total))
    factors = np.minimum(1, bound / np.maximum(total, 1e-30))
    clipped = weighted_mean(factors, batch, singles)
    by_layer = {layer: float(np.median(of)) for layer, of in norms.items()}
    mean = weighted_mean(np.ones(BATCH), batch, singles)

    def of(make, *arguments, size=None):
        return make(loss_fn, *arguments, microbatch_size=size)(params, {}, batch, keys)

    @jax.jit
    def ours():
        pieces = [
            (
                per_example_layer_norms(loss_fn, params, {}, batch, keys, microbatch_size=size),
                of(clipped_gradient, bound, size=size)[0],
            )
            for size in microbatch_sizes
        ]
        return pieces, of(observed_gradient, all_norms), of(layer_clipped_gradient, by_layer)[0]

    expected_by_layer = {
        layer: weighted_mean(
            np.minimum(1, by_layer[layer] / np.maximum(norms[layer], 1e-30)), batch, of
        )
        for layer, of in split_layers(singles).items()
    }
    pieces, (gradient, aux), clipped_by_layer = ours()
    observed = {name: aux.metrics[f"norm_of_{name}"] for name in norms}
    for layer_norms, gradient_of_clipped in [*pieces, (observed, clipped)]:
        assert layer_norms.keys() == norms.keys()
        for layer, expected in norms.items():
            np.testing.assert_allclose(layer_norms[layer], expected, rtol=tolerance, err_msg=layer)
        assert_close(gradient_of_clipped, clipped, tolerance)
    assert_close(gradient, mean, tolerance)
    assert_close(split_layers(clipped_by_layer), expected_by_layer, tolerance)


@pytest.mark.parametrize("name", COVERED)
def test_equal_to_vmap(name):
    """Dropout and padding on; whatever the layer, no pass for each example is taken."""
    check(name, jnp.float32, [None], train=True)


def test_equal_to_vmap_in_microbatches_and_float64():
    with jax.enable_x64(True):
        check("mlp", jnp.float64, [1, 3], train=True)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", COVERED)
def test_equal_to_vmap_in_every_way(name, dtype):
    with jax.enable_x64(dtype is jnp.float64):
        check(name, dtype, [None, 1, 3], train=True)


@pytest.mark.parametrize("name", ["partly_unknown", "wrapped", "derived", "plain"])
def test_what_no_tap_covers_falls_back_and_says_so(name):
    with pytest.warns(FallbackWarning, match="for each example") as caught:
        check(name, jnp.float32, [3], train=True)
    said = str(caught[0].message)
    if name == "plain":
        assert "params: its model is none of Flax" in said or "never calls" in said
    elif name == "wrapped":
        assert {"normed", "mapped", "rematerialized"} <= set(
            re.findall(r"(\w+): no call of it", said)
        )
        assert "last:" not in said
    elif name == "derived":
        named = set(re.findall(r"(\w+): no call of it", said))
        assert named == {"hooked", "twice", "quantized", "conditioned", "noisy"}
    else:
        assert "tied: its parameters reach the loss on another way" in said
        assert "SimpleCell_0/h: no call of it is seen" in said


def test_the_warning_names_the_line_of_the_user(tmp_path):
    """In a process of its own, without the checks of shapes, whose frames come between."""
    script = tmp_path / "script.py"
    script.write_text(
        "import jax, jax.numpy as jnp\n"
        "from jaxdl import losses, types\n"
        "from jaxdl.gradients import per_example_norms\n"
        "model = types.Model(None, lambda params, state, x, keys: (x @ params, state))\n"
        "loss_fn = losses.classification_loss(model)\n"
        "batch = types.Batch(jnp.ones((2, 3)), jnp.zeros(2, int), jnp.ones(2))\n"
        "f = jax.jit(lambda params: per_example_norms(loss_fn, params, {}, batch, None))\n"
        "f(jnp.ones((3, 2)))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert f"{script}:7: FallbackWarning: a backward pass for each example" in done.stderr


def test_a_penalty_is_on_another_way():
    """Each example's loss has the penalty in it, and so has its gradient."""
    loss_fn, params, batch, keys = problem("mlp")
    loss_fn = losses.with_penalty(loss_fn, lambda params: losses.l2(params, 0.01))
    _, singles = reference(loss_fn, params, batch, keys)
    with pytest.warns(FallbackWarning, match="Dense_0: its parameters reach"):
        found = LAYER_NORMS(loss_fn, params, {}, batch, keys)
    expected = np.sqrt(
        (np.asarray(singles["Dense_0"]["kernel"]) ** 2).sum((1, 2))
        + (np.asarray(singles["Dense_0"]["bias"]) ** 2).sum(1)
    )
    np.testing.assert_allclose(found["Dense_0"], expected * (batch.weights != 0), rtol=1e-5)


def called_twice(*, is_handed_on):
    once, params, batch, keys = problem("mlp")

    def twice(params, model_state, batch, keys):
        first, aux = once(params, model_state, batch, keys)
        state = aux.model_state if is_handed_on else model_state
        second, aux = once(params, state, batch._replace(inputs=batch.inputs**2), keys)
        return first + second, aux

    return Partial(twice), params, batch, keys


def test_two_calls_of_the_model_in_one_loss():
    """The state of the first is handed on to the second: the uses of both are seen."""
    loss_fn, params, batch, keys = called_twice(is_handed_on=True)
    norms, _ = reference(loss_fn, params, batch, keys)
    found = LAYER_NORMS(loss_fn, params, {}, batch, keys)
    for layer, expected in norms.items():
        np.testing.assert_allclose(found[layer], expected, rtol=1e-5)


def test_two_calls_that_do_not_hand_on_their_state_fall_back():
    loss_fn, params, batch, keys = called_twice(is_handed_on=False)
    norms, _ = reference(loss_fn, params, batch, keys)
    with pytest.warns(FallbackWarning, match="without handing on"):
        found = LAYER_NORMS(loss_fn, params, {}, batch, keys)
    for layer, expected in norms.items():
        np.testing.assert_allclose(found[layer], expected, rtol=1e-5)


def test_the_axis_of_examples_is_found_where_another_is_as_long():
    """Nine positions and nine examples: which is which shows when the batch grows."""
    loss_fn, params, batch, keys = problem("shared")
    nine = jax.random.randint(jax.random.key(4), (9, 9), 0, 7)
    batch = Batch(nine, jnp.arange(9) % 3, jnp.ones(9))
    keys = jax.random.split(jax.random.key(5), 9)
    singles = jax.jit(per_example_gradients)(loss_fn, params, {}, batch, keys)
    expected = np.sqrt(
        sum((np.asarray(g) ** 2).reshape(9, -1).sum(1) for g in jax.tree.leaves(singles))
    )
    found = NORMS(loss_fn, params, {}, batch, keys)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("spread", [0.0, 1e-4, 1e-2])
def test_inputs_alike_at_all_positions(spread):
    """Gram matrices show but rounding of gradients that nearly cancel: they are formed instead.

    What remains is the rounding of inputs and cotangents, times their lengths, as by vmap.
    """
    model = flax_model(Centred())
    images = 1 + spread * jax.random.normal(jax.random.key(3), (BATCH, 12, 12, 2))
    params, _ = model.init(jax.random.key(0), images[:1])
    loss_fn = losses.classification_loss(model)
    batch = Batch(images, jnp.arange(BATCH) % 3, jnp.ones(BATCH))
    found = LAYER_NORMS(loss_fn, params, {}, batch, None)
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), (params, batch))
        wide = (wide[0], batch._replace(inputs=wide[1].inputs, weights=wide[1].weights))
        expected, _ = reference(loss_fn, *wide, None)
    for layer in ("conv", "dense", "embed", "last"):
        np.testing.assert_allclose(found[layer], expected[layer], rtol=1e-4, atol=3e-7)
    bound = 1e-5
    one_by_one = jax.jit(
        jax.vmap(clipped_gradient(loss_fn, bound, expected_examples=1.0), (None, None, 0, None))
    )
    gradients, _ = one_by_one(params, {}, jax.tree.map(lambda leaf: leaf[:, None], batch), None)
    norms = jax.vmap(lambda tree: jnp.sqrt(sum(jnp.sum(of**2) for of in jax.tree.leaves(tree))))
    assert norms(gradients).max() <= bound * (1 + 1e-4)


def test_a_loss_that_maps_the_model_falls_back():
    once, params, batch, keys = problem("mlp", train=False)

    def mapped(params, model_state, batch, keys):
        def one(example):
            found, aux = once(params, model_state, jax.tree.map(lambda of: of[None], example), None)
            return found[0], aux

        found, aux = jax.vmap(one)(batch)
        return found, aux._replace(metrics={})

    norms, _ = reference(Partial(mapped), params, batch, keys)
    with pytest.warns(FallbackWarning, match="no axis"):
        found = LAYER_NORMS(Partial(mapped), params, {}, batch, keys)
    for layer, expected in norms.items():
        np.testing.assert_allclose(found[layer], expected, rtol=1e-5)


def test_coverage_names_the_layers():
    loss_fn, params, batch, keys = problem("shared")
    coverage = find_coverage(loss_fn, params, {}, batch, keys)
    assert coverage.uncovered == {}
    assert len(coverage.axes) == 7  # embed and dense twice, two norms, last


def test_layers_split_and_join():
    _, params, _, _ = problem("shared")
    layers = split_layers(params)
    assert set(layers) == {"embed", "dense", "norm", "group_norm", "last"}
    again = join_layers(layers, params)
    assert jax.tree.structure(again) == jax.tree.structure(params)


# --- edge cases, as the table in jaxdl.gradients has them ----------------------------------------


@pytest.fixture(scope="module")
def small():
    """The MLP's problem, weights all 1, and its examples' gradients."""
    loss_fn, params, batch, keys = problem("mlp")
    batch = batch._replace(weights=jnp.ones(BATCH))
    norms, singles = reference(loss_fn, params, batch, keys)
    return loss_fn, params, batch, keys, np.sqrt(sum(of**2 for of in norms.values())), singles


CLIPPED_AT = jax.jit(
    lambda loss_fn, bound, params, batch, keys: clipped_gradient(loss_fn, bound)(
        params, {}, batch, keys
    )
)


def clipped_at(bound, small, **changes):
    loss_fn, params, batch, keys, *_ = small
    return CLIPPED_AT(loss_fn, jnp.float32(bound), params, batch._replace(**changes), keys)


def norm_of(tree):
    return float(
        np.sqrt(sum((np.asarray(leaf, np.float64) ** 2).sum() for leaf in jax.tree.leaves(tree)))
    )


def test_clip_0_gives_0(small):
    gradient, aux = clipped_at(0.0, small)
    assert norm_of(gradient) == 0
    assert aux.metrics["clipped_examples"] == 1


def test_an_infinite_clip_gives_the_mean_gradient(small):
    loss_fn, params, batch, keys, *_ = small
    mean, _ = jax.jit(mean_gradient(loss_fn))(params, {}, batch, keys)
    gradient, aux = clipped_at(np.inf, small)
    assert_close(gradient, mean, 1e-6)
    assert aux.metrics["clipped_examples"] == 0


def test_a_gradient_of_0_stays_0(small):
    """No norm is divided by."""
    _, params, batch, keys, *_ = small
    model = COVERED["mlp"][0]()
    zero = losses.supervised_loss(model, lambda outputs, targets: 0 * outputs.sum(axis=1))
    gradient, _ = jax.jit(clipped_gradient(zero, 1.0))(params, {}, batch, keys)
    assert norm_of(gradient) == 0
    assert not np.asarray(NORMS(zero, params, {}, batch, keys)).any()


def test_a_batch_of_one(small):
    loss_fn, params, batch, keys, norms, singles = small
    one = jax.tree.map(lambda leaf: leaf[:1], batch)
    gradient, _ = jax.jit(clipped_gradient(loss_fn, norms[0] / 2))(params, {}, one, keys[:1])
    assert_close(gradient, jax.tree.map(lambda leaf: np.asarray(leaf[0]) / 2, singles), 1e-5)


def test_a_negative_clip_norm_is_refused(small):
    loss_fn, *_ = small
    for make, norm in (
        (clipped_gradient, -1.0),
        (clipped_gradient, np.nan),
        (layer_clipped_gradient, {"Dense_0": 1.0, "Dense_1": -1.0}),
    ):
        with pytest.raises(InputError, match="0 or more"):
            make(loss_fn, norm)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_norm": jnp.ones(2)}, "max_norm .* 0 or more"),
        ({"max_norm": np.inf}, "noise needs one that is finite"),
        ({"noise_multiplier": -1}, "noise_multiplier -1"),
        ({"noise_multiplier": np.nan}, "noise_multiplier nan"),
        ({"expected_examples": 0}, "expected_examples 0"),
    ],
)
def test_numbers_that_cannot_be_are_refused(changes, message):
    numbers = {"max_norm": 1.0, "noise_multiplier": 1.0} | changes
    with pytest.raises(InputError, match=message):
        clipped_gradient(losses.classification_loss(COVERED["mlp"][0]()), **numbers)


def test_metrics_are_of_the_examples_that_count(small):
    """One with a NaN does not, and where none counts the loss is NaN, lest a run go on."""
    loss_fn, params, batch, keys, norms, _ = small
    spoiled = batch.inputs.at[1].set(jnp.nan)
    _, aux = clipped_at(norms[0], small, inputs=spoiled)
    expected = loss_fn(params, {}, batch, keys)[0][jnp.array([0, 2, 3, 4, 5])].mean()
    np.testing.assert_allclose(aux.metrics["loss"], expected, rtol=1e-6)
    np.testing.assert_allclose(aux.metrics["unclippable_examples"], 1 / BATCH, rtol=1e-6)
    _, aux = clipped_at(norms[0], small, inputs=jnp.full_like(batch.inputs, jnp.nan))
    assert np.isnan(aux.metrics["loss"])


def test_a_weight_too_small_to_tell_counts_as_0(small):
    _, _, batch, _, norms, _ = small
    weights = batch.weights.at[1].set(1e-22)
    gradient, _ = clipped_at(norms.min() / 2, small, weights=weights)
    without, _ = clipped_at(norms.min() / 2, small, weights=batch.weights.at[1].set(0))
    assert_close(gradient, without, 1e-6)
    assert np.isfinite(norm_of(gradient))


def test_microbatches_of_bfloat16_are_summed_in_float32():
    """A thousand gradients of -2, which in bfloat16 would stop adding up at 256 of them."""
    loss_fn = Partial(_minus_two)
    batch = Batch(jnp.ones((1024, 1)), jnp.zeros(1024), jnp.ones(1024))
    params = {"w": jnp.zeros((), jnp.bfloat16)}
    for size in (None, 1):
        gradient_fn = clipped_gradient(loss_fn, np.inf, microbatch_size=size)
        with pytest.warns(FallbackWarning):
            gradient, _ = jax.jit(gradient_fn)(params, {}, batch, None)
        np.testing.assert_allclose(np.float32(gradient["w"]), -2, rtol=1e-2)


def _minus_two(params, model_state, batch, keys):
    found = -2 * params["w"] * batch.inputs[:, 0].astype(jnp.bfloat16)
    return found, losses.LossAux(model_state, {})


def test_weights_of_float32_cost_no_digits_of_float64():
    """As `jaxdl.train.fit` makes them."""
    with jax.enable_x64(True):
        loss_fn, params, batch, keys = problem("mlp", jnp.float64)
        batch = batch._replace(weights=jnp.array([1, 1, 0, 1, 1, 1], jnp.float32))
        norms, singles = reference(loss_fn, params, batch, keys)
        gradient, aux = jax.jit(observed_gradient(loss_fn, all_norms))(params, {}, batch, keys)
        for layer, expected in norms.items():
            np.testing.assert_allclose(aux.metrics[f"norm_of_{layer}"], expected, rtol=1e-10)
        assert_close(gradient, weighted_mean(np.ones(BATCH), batch, singles), 1e-10)


def direction(params, model_state, inputs, keys):
    """Has no gradient at 0."""
    hidden = inputs.reshape(len(inputs), -1)[:, :4] @ params["w"]
    return hidden / jnp.linalg.norm(hidden, axis=1, keepdims=True), model_state


@pytest.mark.filterwarnings("ignore::jaxdl.gradients.FallbackWarning")
@pytest.mark.parametrize("bound", [1e-3, 0.0])
def test_padding_of_a_model_that_has_no_gradient_at_0(bound):
    _, _, batch, keys = problem("plain")  # one of its examples has weight 0
    loss_fn = losses.classification_loss(Model(Partial(_no_init), Partial(direction)))
    params = {"w": jax.random.normal(jax.random.key(2), (4, 3))}
    norms, singles = reference(loss_fn, params, batch, keys)
    gradient, _ = jax.jit(clipped_gradient(loss_fn, bound))(params, {}, batch, keys)
    factors = np.minimum(1, bound / np.maximum(norms["params"], 1e-30))
    assert_close(gradient, weighted_mean(factors, batch, singles), 1e-5)


def _no_init(key, inputs):
    raise NotImplementedError


@pytest.mark.filterwarnings("ignore::jaxdl.gradients.FallbackWarning")
@pytest.mark.parametrize("name", ["mlp", "plain"])
def test_a_gradient_has_the_dtype_of_its_parameter(name):
    loss_fn, params, batch, keys = problem(name, jnp.bfloat16)
    for make in (
        partial(observed_gradient, instruments=all_norms),
        partial(clipped_gradient, max_norm=1.0, noise_multiplier=1.0),
    ):
        gradient, _ = jax.eval_shape(make(loss_fn), params, {}, batch, keys)
        assert {leaf.dtype for leaf in jax.tree.leaves(gradient)} == {jnp.dtype(jnp.bfloat16)}


def test_instruments_on_clipped_gradients(small):
    loss_fn, params, batch, keys, norms, _ = small
    gradient_fn = jax.jit(clipped_gradient(loss_fn, norms[0], instruments=norms_and_gradient))
    gradient, aux = gradient_fn(params, {}, batch, keys)
    np.testing.assert_allclose(aux.metrics["norms"], norms, rtol=1e-5)
    assert_close(aux.metrics["gradient"], gradient, 1e-6)


def norms_and_gradient(observation):
    return {"norms": observation.norms, "gradient": observation.gradient}


@pytest.mark.parametrize("name", [name for name, (_, kind) in NETS.items() if kind == "images"])
@pytest.mark.filterwarnings("ignore::jaxdl.gradients.FallbackWarning")
def test_a_nan_in_one_example_stays_there(name):
    """Its norm is not finite, the others' are as they were, and clipping leaves it out."""
    loss_fn, params, batch, keys = problem(name)
    batch = batch._replace(weights=jnp.ones(BATCH))
    sick = batch._replace(inputs=batch.inputs.at[1].set(jnp.nan))
    without = batch._replace(weights=batch.weights.at[1].set(0))

    @jax.jit
    def both(params, batch):
        norms = per_example_norms(loss_fn, params, {}, batch, keys)
        clip = clipped_gradient(loss_fn, 0.5, expected_examples=BATCH)
        return norms, *clip(params, {}, batch, keys)

    healthy_norms, _, _ = both(params, batch)
    norms, gradient, aux = both(params, sick)
    _, expected, _ = both(params, without)
    others = np.arange(BATCH) != 1
    assert not np.isfinite(norms[1])
    np.testing.assert_allclose(norms[others], healthy_norms[others], rtol=1e-5)
    assert_close(gradient, expected, 1e-5)
    np.testing.assert_allclose(aux.metrics["unclippable_examples"], 1 / BATCH)


def test_no_example_adds_more_than_the_clip_norm(small):
    """A canary of any size, or none at all, moves the sum by at most the bound."""
    bound = 0.3
    loss_fn, params, batch, keys, *_ = small
    clip = clipped_gradient(loss_fn, bound, expected_examples=1.0)
    run = jax.jit(lambda batch: clip(params, {}, batch, keys)[0])
    for canary in (0.0, 1.0, 1e6, 1e18, 1e30, np.inf, np.nan):
        inputs = batch.inputs.at[0].set(canary)
        with_it = run(batch._replace(inputs=inputs))
        without = run(batch._replace(inputs=inputs, weights=batch.weights.at[0].set(0)))
        moved = norm_of(jax.tree.map(jnp.subtract, with_it, without))
        assert moved <= bound * (1 + 1e-4), canary


def test_expected_examples_divide(small):
    loss_fn, params, batch, keys, *_ = small
    mean, _ = jax.jit(clipped_gradient(loss_fn, 1.0))(params, {}, batch, keys)
    half, _ = jax.jit(clipped_gradient(loss_fn, 1.0, expected_examples=2 * BATCH))(
        params, {}, batch, keys
    )
    assert_close(jax.tree.map(lambda leaf: 2 * leaf, half), mean, 1e-6)


# --- noise, devices, compilation -----------------------------------------------------------------


def test_noise_has_the_deviation_it_should():
    """Over the entries of many draws; without dropout all else is the same in each of them."""
    model = models.mlp([16], classes=3)
    _, _, batch, _ = problem("mlp")
    params, _ = model.init(jax.random.key(0), batch.inputs[:1])
    loss_fn = losses.classification_loss(model)

    @jax.jit
    def noise(key):
        keys = jax.random.split(key, BATCH)
        clean, _ = clipped_gradient(loss_fn, 0.5)(params, {}, batch, keys)
        noisy, _ = clipped_gradient(loss_fn, 0.5, noise_multiplier=2.0)(params, {}, batch, keys)
        return jax.tree.map(jnp.subtract, noisy, clean)

    draws = jax.vmap(noise)(jax.random.split(jax.random.key(0), 20))
    entries = jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(draws)])
    expected = 2.0 * 0.5 / float(batch.weights.sum())
    assert abs(float(entries.std()) / expected - 1) < 4 / np.sqrt(2 * entries.size)
    assert abs(float(entries.mean())) < 4 * expected / np.sqrt(entries.size)


def test_noise_needs_keys(small):
    loss_fn, params, batch, *_ = small
    with pytest.raises(InputError, match="noise needs the step's keys"):
        clipped_gradient(loss_fn, 1.0, noise_multiplier=1.0)(params, {}, batch, None)


def test_layers_are_named_in_full(small):
    loss_fn, params, batch, keys, *_ = small
    with pytest.raises(InputError, match="clip norms for the layers Dense_9; there are Dense_0"):
        layer_clipped_gradient(loss_fn, {"Dense_9": 1.0})(params, {}, batch, keys)


def test_eight_devices_give_what_one_gives(small):
    loss_fn, params, batch, _, *_ = small
    wide = Batch(*(jnp.concatenate([leaf, leaf, leaf, leaf]) for leaf in batch))
    keys = jax.random.split(jax.random.key(7), 4 * BATCH)
    mesh, spread = make_mesh(8), jax.sharding.PartitionSpec("data")
    clip = clipped_gradient(loss_fn, 0.5, noise_multiplier=0.7)

    def whole(batch, keys):
        clipped, aux = clip(params, {}, batch, keys)
        norms = observed_gradient(loss_fn, lambda seen: {})(params, {}, batch, keys)[0]
        return clipped, aux.metrics, norms

    one = jax.jit(whole)(wide, keys)
    eight = jax.jit(
        jax.shard_map(
            whole,
            mesh=mesh,
            in_specs=spread,
            out_specs=jax.sharding.PartitionSpec(),
            check_vma=False,
        )
    )(wide, keys)
    assert_close(eight, one, 1e-5)


def test_a_model_with_batch_statistics_is_refused():
    class Net(nn.Module):
        @nn.compact
        def __call__(self, inputs, train: bool):
            flat = inputs.reshape(len(inputs), -1)
            return nn.Dense(3)(nn.BatchNorm(use_running_average=not train)(flat))

    model = flax_model(Net())
    _, _, batch, keys = problem("mlp")
    params, state = model.init(jax.random.key(0), batch.inputs)
    loss_fn = losses.classification_loss(model)
    for function in (observed_gradient(loss_fn, all_norms), clipped_gradient(loss_fn, 1.0)):
        with pytest.raises(InputError, match="take a group or layer norm"):
            function(params, state, batch, keys)
    with pytest.raises(InputError, match="take a group or layer norm"):
        per_example_norms(loss_fn, params, state, batch, keys)


def test_another_bound_compiles_nothing(small):
    before = CLIPPED_AT._cache_size()
    clipped_at(0.11, small)
    clipped_at(0.22, small)
    assert CLIPPED_AT._cache_size() <= max(before, 1)


def test_a_microbatch_that_does_not_divide_is_refused(small):
    loss_fn, params, batch, keys, *_ = small
    with pytest.raises(InputError, match="4 does not divide a batch of 6"):
        per_example_norms(loss_fn, params, {}, batch, keys, microbatch_size=4)
