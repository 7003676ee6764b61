"""Recurrent models: the gradients of their examples against vmap, and the state they carry on."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from jaxdl import losses
from jaxdl.errors import InputError
from jaxdl.gradients import (
    FallbackWarning,
    clipped_gradient,
    mean_gradient,
    per_example_gradients,
    per_example_norms,
)
from jaxdl.models import language_model, sequence_classifier
from jaxdl.nn import CELLS, Recurrent, flax_model, recur
from jaxdl.nn.cells import find_cell
from jaxdl.nn.coverage import split_layers
from jaxdl.parallel import DATA_AXIS, make_mesh
from jaxdl.types import Batch

BATCH, TIME, CLASSES, TOKENS = 4, 5, 3, 7
KEYS = jax.random.split(jax.random.key(1), BATCH)


def size(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def assert_close(found, expected, tolerance):
    """Relative to the largest entry of each array."""
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.shape == other.shape
        scale = np.abs(other).max(initial=1e-30)
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * scale)


# --- the gradients of examples -------------------------------------------------------------------


def all_norms(observation):
    """Instruments that hide nothing: the norms themselves."""
    return {"layers": observation.layer_norms}


def check_gradients(loss_fn, params, batch, keys, tolerance, sizes=(None,)):
    """Norms by layer, and the mean of the clipped gradients."""

    @jax.jit
    def expected(params, batch, keys):
        singles = per_example_gradients(loss_fn, params, {}, batch, keys)
        squares = {
            name: sum((leaf**2).reshape(BATCH, -1).sum(axis=1) for leaf in of.values())
            for name, of in split_layers(singles).items()
        }
        norms = jnp.sqrt(sum(squares.values()))
        bound = jnp.median(norms)
        factors = jnp.minimum(1, bound / norms) * batch.weights / batch.weights.sum()
        clipped = jax.tree.map(lambda leaf: jnp.tensordot(factors, leaf, 1), singles)
        return bound, clipped, {name: jnp.sqrt(square) for name, square in squares.items()}

    @functools.partial(jax.jit, static_argnums=3)
    def found(params, batch, keys, size, bound):
        clip = clipped_gradient(loss_fn, bound, microbatch_size=size, instruments=all_norms)
        clipped, aux = clip(params, {}, batch, keys)
        return clipped, aux.metrics["layers"]

    bound, *others = expected(params, batch, keys)
    for size in sizes:
        assert_close(found(params, batch, keys, size, bound), tuple(others), tolerance)


def draw_params(model, inputs):
    """None of them 0; to draw them as they begin takes longer to compile."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), inputs[:1]).params
    leaves, treedef = jax.tree.flatten(shapes)
    rng = np.random.default_rng(0)
    drawn = [0.5 * rng.normal(size=leaf.shape) for leaf in leaves]
    return treedef.unflatten([jnp.asarray(leaf, float) for leaf in drawn])


def problem(model, inputs):
    """A loss, its parameters, a batch with a heavy example, and keys, in what is enabled."""
    weights = jnp.array([1, 2, 1, 1], float)
    batch = Batch(inputs, jnp.arange(BATCH) % CLASSES, weights)
    loss_fn = losses.classification_loss(model)
    return loss_fn, draw_params(model, inputs), batch, KEYS


def check_classifier(cell, units, tolerance, sizes=(None,), **options):
    """Of a layer of 12 units the norms come from Gram matrices, of one of 2 from gradients."""
    model = sequence_classifier(
        cell, units, classes=CLASSES, dropout_rate=0.3, recurrent_dropout_rate=0.3, **options
    )
    inputs = jnp.asarray(np.random.default_rng(2).normal(size=(BATCH, TIME, 3)), float)
    check_gradients(*problem(model, inputs), tolerance, sizes)


def test_examples_of_a_classifier():
    """No pass for each example is taken: a warning would be an error."""
    check_classifier("lstm", (12, 2), 1e-5)


def test_examples_of_a_classifier_in_microbatches_and_float64():
    with jax.enable_x64(True):
        check_classifier("gru", (3,), 1e-10, [2], is_bidirectional=True)


@pytest.mark.slow
@pytest.mark.parametrize("is_double", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_examples_of_a_classifier_in_every_way(cell, is_double):
    with jax.enable_x64(is_double):
        tolerance = 1e-10 if is_double else 1e-5
        check_classifier(cell, (12, 2), tolerance, [None, 2], is_bidirectional=True)


def test_layer_normalization_falls_back():
    with pytest.warns(FallbackWarning, match="recurrent/layer_0: no call of it is seen"):
        check_classifier("rnn", (6,), 1e-5, is_normalized=True)


class Unusual(nn.Module):
    """One layer used twice, on sequences of different lengths; the second goes on from the first.

    A length is how many first features are above 0.
    """

    cell: str

    @nn.compact
    def __call__(self, inputs, keys):
        steps, lengths = inputs.swapaxes(0, 1), (inputs[..., 0] > 0).sum(axis=1)
        twice = Recurrent(self.cell, 3, reverse=True, name="twice")
        values, state = twice(steps, None, lengths)
        again, final = twice(values, state, lengths)
        last = jnp.concatenate([again.mean(axis=0), *jax.tree.leaves(final)], axis=1)
        return nn.Dense(CLASSES, name="last")(last)


@pytest.mark.parametrize("cell", ["gru_before", pytest.param("lstm", marks=pytest.mark.slow)])
def test_examples_of_a_layer_used_twice_with_lengths(cell):
    inputs = jax.random.normal(jax.random.key(2), (BATCH, TIME, 3))
    lengths = jnp.array([5, 0, 1, 3])
    firsts = jnp.where(jnp.arange(TIME)[None] < lengths[:, None], 1.0, -1.0)
    model = flax_model(Unusual(cell))
    check_gradients(*problem(model, inputs.at[..., 0].set(firsts)), 1e-5)


def test_norms_do_not_see_what_lies_in_the_padding():
    """NaN there, as a user's file may have it."""
    inputs = jax.random.normal(jax.random.key(2), (BATCH, TIME, 3))
    padding = jnp.arange(TIME)[None] >= jnp.array([5, 0, 1, 3])[:, None]
    inputs = inputs.at[..., 0].set(jnp.where(padding, -1.0, 1.0))
    loss_fn, params, batch, keys = problem(flax_model(Unusual("gru")), inputs)
    marred = inputs.at[..., 1:].set(jnp.where(padding[..., None], jnp.nan, inputs[..., 1:]))
    norms = [
        per_example_norms(loss_fn, params, {}, batch._replace(inputs=of), keys)
        for of in (inputs, marred)
    ]
    assert np.isfinite(norms[0]).all()
    np.testing.assert_array_equal(*norms)


def next_token_loss(model):
    """The mean over an example's places of the cross entropy of the next token."""

    def mean_over_places(logits, targets):
        shares = jax.nn.log_softmax(logits)
        return -jnp.take_along_axis(shares, targets[..., None], axis=2)[..., 0].mean(axis=1)

    return losses.supervised_loss(model, mean_over_places)


def draw_tokens():
    """Inputs and targets: more places than there are tokens, so that some share one."""
    tokens = jax.random.randint(jax.random.key(3), (BATCH, 9), 0, TOKENS)
    return tokens[:, :-1], tokens[:, 1:]


def test_examples_of_a_language_model():
    options = {"dropout_rate": 0.3, "recurrent_dropout_rate": 0.3}
    model = language_model(TOKENS, cell="rnn", units=[6], embedding=4, **options)
    inputs, targets = draw_tokens()
    _, params, batch, keys = problem(model, inputs)
    check_gradients(next_token_loss(model), params, batch._replace(targets=targets), keys, 1e-5)


# --- sizes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "units", "options", "expected"),
    [
        ("lstm", [128], {}, 4 * 128 * (28 + 128 + 1) + 129 * 10),
        ("rnn", [128], {}, 128 * (28 + 128 + 1) + 129 * 10),
        ("gru", [128], {}, 3 * 128 * (28 + 128 + 1) + 128 + 129 * 10),
        ("gru_before", [128], {}, 3 * 128 * (28 + 128 + 1) + 129 * 10),
        (
            "lstm",
            [16, 8],
            {"is_bidirectional": True},
            2 * 4 * (16 * (28 + 16 + 1) + 8 * (32 + 8 + 1)) + 17 * 10,
        ),
        ("lstm", [16], {"is_normalized": True}, 4 * 16 * (28 + 16 + 3) + 2 * 16 + 17 * 10),
    ],
)
def test_sizes_of_classifiers(cell, units, options, expected):
    model = sequence_classifier(cell, units, classes=10, **options)
    params, state = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 28, 28)))
    assert size(params) == expected
    assert state == {}
    if (cell, options) == ("lstm", {}):
        assert expected == 81_674


def test_a_classifier_reads_images_row_by_row():
    """Pixels are scaled; the logits are of the last state."""
    model = sequence_classifier("gru", [6], classes=CLASSES)
    pixels = jax.random.randint(jax.random.key(0), (2, 4, 3, 1), 0, 256).astype(jnp.uint8)
    params = draw_params(model, pixels)
    rows = pixels[..., 0].swapaxes(0, 1) / 255
    _, final = recur(find_cell("gru"), params["recurrent"]["layer_0"], rows)
    expected = final.hidden @ params["dense"]["kernel"] + params["dense"]["bias"][None]
    np.testing.assert_allclose(model.apply(params, {}, pixels, None)[0], expected, rtol=1e-5)


def test_names_of_cells_are_checked():
    for make in (
        lambda: sequence_classifier("ltsm", [8], classes=2),
        lambda: language_model(5, cell="ltsm"),
    ):
        with pytest.raises(InputError, match="no cell 'ltsm'; did you mean lstm"):
            make()


# --- a state that is carried on ------------------------------------------------------------------


@pytest.fixture(scope="module")
def stateful():
    """Two layers of LSTM, their parameters, and the state in which they begin."""
    model = language_model(TOKENS, units=[6, 5], embedding=4, is_stateful=True)
    inputs, _ = draw_tokens()
    state = jax.jit(lambda: model.init(jax.random.key(0), inputs).model_state)()
    return model, draw_params(model, inputs), state


APPLY = jax.jit(lambda model, *arguments: model.apply(*arguments))


def mark(inputs, rows):
    """The first token as its complement."""
    return inputs.at[rows, 0].set(~inputs[rows, 0])


def test_windows_in_a_row_are_one_sequence(stateful):
    """But where a first token is marked, and in an evaluation, which begin anew."""
    model, params, state = stateful
    inputs, _ = draw_tokens()
    whole, _ = APPLY(model, params, state, inputs, None)
    first, middle = APPLY(model, params, state, inputs[:, :4], KEYS)
    second, last = APPLY(model, params, middle, inputs[:, 4:], KEYS)
    assert_close(jnp.hstack([first, second]), whole, 1e-5)
    anew, same = APPLY(model, params, last, inputs[:, 4:], None)
    assert_close(same, last, 0)
    assert_close(anew, APPLY(model, params, state, inputs[:, 4:], KEYS)[0], 1e-5)
    marked, _ = APPLY(model, params, middle, mark(inputs[:, 4:], np.array([1, 3])), KEYS)
    assert_close(marked[::2], second[::2], 1e-5)
    assert_close(marked[1::2], anew[1::2], 1e-5)
    assert not np.allclose(anew, second, atol=1e-2)


def test_the_gradient_ends_where_a_window_begins(stateful):
    model, params, state = stateful
    inputs, _ = draw_tokens()

    @jax.jit
    def run(params):
        def move(params):
            return model.apply(params, state, inputs[:, :4], KEYS)[1]

        def second(params, middle):
            return jnp.sin(model.apply(params, middle, inputs[:, 4:], KEYS)[0]).sum()

        found = jax.grad(lambda params: second(params, move(params)))(params)
        return found, jax.grad(second)(params, move(params))

    assert_close(*run(params), 1e-6)


def test_a_state_over_two_devices(stateful):
    """Each reads its own rows of the state and hands on all of them."""
    model, params, state = stateful
    inputs, targets = draw_tokens()

    def run(params, state, inputs, targets, keys):
        def gradient(state, window):
            batch = Batch(*window, jnp.ones(len(keys)))
            return mean_gradient(next_token_loss(model))(params, state, batch, keys)

        first, aux = gradient(state, (inputs[:, :4], targets[:, :4]))
        second, aux = gradient(aux.model_state, (inputs[:, 4:], targets[:, 4:]))
        return first, second, aux.model_state

    arguments = (params, state, inputs.at[1, 4].set(~inputs[1, 4]), targets, KEYS)
    of_batch = P(DATA_AXIS)
    specs = (P(), P(), of_batch, of_batch, of_batch)
    split = jax.shard_map(run, mesh=make_mesh(2), in_specs=specs, out_specs=P(), check_vma=False)
    assert_close(jax.jit(split)(*arguments), jax.jit(run)(*arguments), 1e-5)


def test_a_state_of_another_batch_is_refused(stateful):
    model, params, state = stateful
    inputs, _ = draw_tokens()
    with pytest.raises(InputError, match=f"a batch of {BATCH} is given one of {BATCH - 1}"):
        model.apply(params, state, inputs[:-1], KEYS[:-1])


def test_an_evaluation_needs_no_state(stateful):
    model, params, state = stateful
    inputs, _ = draw_tokens()
    expected, _ = APPLY(model, params, state, inputs, None)
    assert_close(APPLY(model, params, {}, inputs[:2], None)[0], expected[:2], 1e-6)


def test_a_mark_is_its_token():
    """To a model that begins anew with every window."""
    model = language_model(TOKENS, units=[6], embedding=4)
    inputs, _ = draw_tokens()
    params = draw_params(model, inputs)
    marked = mark(inputs, np.arange(BATCH))
    assert_close(APPLY(model, params, {}, marked, None), APPLY(model, params, {}, inputs, None), 0)


def test_examples_of_a_stateful_model_have_no_gradient(stateful):
    model, params, state = stateful
    inputs, targets = draw_tokens()
    batch = Batch(inputs, targets, jnp.ones(BATCH))
    with pytest.raises(InputError, match="no gradient of its own"):
        per_example_norms(next_token_loss(model), params, state, batch, KEYS)
