"""Starts against the library's initializers, fans against counting, claims on wrong numbers."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import assert_refused, start

from experiments import initialization as experiment
from experiments.initialization import convolutions, training, variances
from experiments.initialization.convolutions import CONVOLUTIONS, SIDE, Convolution, Factors
from experiments.initialization.starts import (
    ALIKE,
    RANDOM,
    STARTS,
    draw_kernel,
    gains,
    stack,
)
from experiments.initialization.training import Learned, Outcome
from experiments.initialization.variances import Found, Seen
from jaxdl import nn
from jaxdl.models.deep_mlp import DeepParams, Layer
from jaxdl.models.dense_norms import Dense
from jaxdl.models.mean_field import expected_signals, moments

# --- the quick form ------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_claim_holds(tmp_path):
    start(experiment, "--quick", tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [claim["holds"] for claim in summary["claims"]] == [True] * 6
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"variances", "densities", "convolutions", "training", "foretold"}


BAD = [
    ("--activations gelu", "gelu", "choose from sigmoid"),
    ("--depths 1 5", "--depths 1 5", "2 or more"),
    ("--depths 5 5", "--depths 5 5", "larger than"),
    ("--depths 20 5", "--depths 20 5", "larger than"),
    ("--epochs 0", "--epochs 0", "1 or more"),
    ("--seeds 1", "--seeds 1", "2 or more"),
    ("--dataset mnits", "mnits", "did you mean mnist"),
    ("--diagnostics", "--diagnostics", "leave it out"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, named, way_out)


# --- starts --------------------------------------------------------------------------------------

INPUTS, OUTPUTS = 300, 200


@pytest.fixture(scope="module")
def kernels():
    """Of each start, float64, by one program."""
    draw = jax.jit(
        lambda starts: jax.lax.map(
            lambda of: draw_kernel(of, jax.random.key(0), (INPUTS, OUTPUTS), jnp.float32), starts
        )
    )
    drawn = np.asarray(draw(stack(list(STARTS.values()))), np.float64)
    return dict(zip(STARTS, drawn, strict=True))


LIBRARY = {
    "U(±1/√n)": "pytorch_uniform",
    "Xavier uniform, fan-in": "lecun_uniform",
    "Xavier normal, fan-in": "lecun_normal",
    "Xavier uniform, fan-avg": "glorot_uniform",
    "Xavier normal, fan-avg": "glorot_normal",
    "He": "he_normal",
    "normal, sd 0.02": "normal",
}


@pytest.mark.parametrize("name", LIBRARY)
def test_variance_is_that_of_the_library(name, kernels):
    theirs = nn.initializer(LIBRARY[name])(jax.random.key(1), (INPUTS, OUTPUTS), jnp.float32)
    np.testing.assert_allclose(kernels[name].var(), np.var(theirs), rtol=0.03)
    assert abs(kernels[name].mean()) < 4 * kernels[name].std() / np.sqrt(INPUTS * OUTPUTS)


@pytest.mark.parametrize(
    ("name", "most"), [("U(±0.01)", 0.01), ("U(±1)", 1), ("U(±1/√n)", 1 / np.sqrt(INPUTS))]
)
def test_uniform(name, most, kernels):
    """As many in each tenth of the range, and none beyond."""
    counts, _ = np.histogram(kernels[name] / (most * (1 + 1e-6)), bins=10, range=(-1, 1))
    assert counts.sum() == INPUTS * OUTPUTS
    np.testing.assert_allclose(counts, INPUTS * OUTPUTS / 10, rtol=0.05)


def test_orthogonal_and_constant(kernels):
    for name in ("orthogonal", "LSUV"):
        gram = kernels[name].T @ kernels[name]
        np.testing.assert_allclose(gram, np.eye(OUTPUTS), atol=1e-5)
    np.testing.assert_array_equal(kernels["zero"], 0)
    np.testing.assert_allclose(kernels["constant 0.01"], 0.01, rtol=1e-6)
    assert np.ptp(kernels["constant 0.01"]) == 0
    assert ALIKE == ["zero", "constant 0.01"]


def test_gains(kernels):
    """Inputs times the variance of the weights that are drawn, by layer."""
    for name in RANDOM:
        if name != "LSUV":
            first, second = gains(STARTS[name], "tanh", [INPUTS, OUTPUTS, OUTPUTS], 1.0)
            np.testing.assert_allclose(first, INPUTS * kernels[name].var(), rtol=0.03)
            in_square = {"He": 2, "U(±1/√n)": 1 / 3, "U(±1)": OUTPUTS / 3}
            if name in in_square:
                np.testing.assert_allclose(second, in_square[name])
    # Of mean square 4 a variance of 1 is made, then of the mean square of ReLU, 1 / 2.
    found = gains(STARTS["LSUV"], "relu", [5, 7, 7, 7], square=4.0)
    np.testing.assert_allclose(found, [0.25, 2, 2], rtol=1e-6)


# --- convolutions --------------------------------------------------------------------------------


@pytest.mark.parametrize("convolution", CONVOLUTIONS, ids=str)
def test_fan_out_is_in_how_many_outputs_a_pixel_is(convolution):
    size, _, features, stride = convolution
    counts = np.zeros((SIDE, SIDE))
    for row in range(0, SIDE - size + 1, stride):
        for column in range(0, SIDE - size + 1, stride):
            counts[row : row + size, column : column + size] += features
    inside = slice(size - 1, SIDE - size)
    np.testing.assert_allclose(counts[inside, inside].mean(), convolution.fan_out / stride**2)


def test_factors():
    """Against a loop over the places of the window, and its own kernel's variance."""
    convolution = Convolution(3, 2, 4, stride=2)
    rng = np.random.default_rng(0)
    inputs, gradient = convolutions.normal_signals(convolution)
    key = jax.random.key(int(rng.integers(100)))
    found = convolutions.factors(convolution, key, inputs, gradient)
    kernel = np.asarray(nn.initializer("lecun_uniform")(key, (3, 3, 2, 4), jnp.float32))
    outputs, back = np.zeros(gradient.shape), np.zeros(inputs.shape)
    for row, column in np.ndindex(gradient.shape[1:3]):
        window = np.s_[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        outputs[:, row, column] = np.einsum("nhwc,hwcf->nf", inputs[window], kernel)
        back[window] += np.einsum("nf,hwcf->nhwc", gradient[:, row, column], kernel)
    forwards = np.mean(outputs**2) / np.mean(inputs**2)
    backwards = np.mean(back[:, 2:-3, 2:-3] ** 2) / np.mean(gradient**2)
    np.testing.assert_allclose(found.forwards[0], forwards, rtol=1e-5)
    np.testing.assert_allclose(found.back[0], backwards, rtol=1e-5)


def test_convolution_claim_can_fail():
    def found(wrong=1.0, stride_counts=True):
        made = {}
        for convolution in CONVOLUTIONS:
            expected = convolutions.expected_factors(convolution)
            factor = 1.0 if stride_counts else convolution.stride**2
            forwards, back = (np.stack([of, of]) for of in expected)
            made[convolution] = Factors(wrong * forwards, factor * back)
        return made

    assert convolutions.claim(found()).holds
    assert not convolutions.claim(found(wrong=1.06)).holds
    assert not convolutions.claim(found(stride_counts=False)).holds


# --- claims about signals ------------------------------------------------------------------------

DEPTH, SEEDS = 6, 3


def signals_found(activation, forwards=1.0, back=1.0, share=1.0):
    """Every start's networks as foretold, but for these factors a layer."""
    before, expected = [], []
    for name in RANDOM:
        of = expected_signals(Layer(activation), gains(STARTS[name], activation, [64] * 7, 1.0))
        layers = [forwards * of.before[0]]
        for gain in of.before[1:] / of.outputs[:-1]:
            layers.append(forwards * gain * moments(activation, layers[-1]).square)
        before.append([layers] * SEEDS)
        expected.append(of)
    kept = np.array([of.gradients for of in expected]) * back ** np.arange(DEPTH - 1.0, -1, -1)
    before, gradients = np.array(before), np.repeat(kept[:, None], SEEDS, axis=1)
    return Found(Seen(before, share * before / 2, gradients, np.zeros(0)), expected)


@pytest.mark.parametrize(
    ("numbers", "holds"),
    [
        ({}, [True, True, True]),
        ({"forwards": 1.06}, [False, True, False]),
        ({"back": 0.94}, [True, False, True]),
        ({"share": 1.04}, [True, True, False]),
    ],
)
def test_variance_claims_can_fail(numbers, holds):
    claims = variances.claims(
        {"tanh": signals_found("tanh"), "relu": signals_found("relu", **numbers)}
    )
    assert [claim.holds for claim in claims] == holds


def test_the_law_is_asked_of_each_layer():
    """The variance of a bounded activation settles, so that the last layer tells of no other."""
    for forwards, holds in ((1.0, True), (2.0, False)):
        found = {"tanh": signals_found("tanh", forwards=forwards)}
        assert [claim.holds for claim in variances.claims(found)] == [holds, True]


# --- claims about training -----------------------------------------------------------------------


def test_largest_difference():
    """Of weights from one input to two units; biases and the last layer do not count."""
    same = np.tile(np.arange(3.0)[:, None], (1, 4))
    hidden = np.tile(np.arange(4.0)[:, None], (2, 1, 4))
    last = Dense(jnp.ones((4, 2)).at[0, 0].set(9.0), jnp.zeros(2))

    def difference(first, hidden):
        params = DeepParams(
            Dense(jnp.asarray(first), jnp.zeros(4)),
            Dense(jnp.asarray(hidden), jnp.zeros((2, 4))),
            last,
        )
        return float(training.largest_difference(params))

    assert difference(same, hidden) == 0
    other = hidden.copy()
    other[1, 2, 3] += 0.25
    assert difference(same, other) == 0.25
    same[1, 0] -= 0.5
    assert difference(same, hidden) == 0.5


def learned(accuracy, difference, loss=None):
    """Of all starts, two rates, three seeds."""
    shape = (len(STARTS), 2, SEEDS)
    loss = np.broadcast_to(1.0, shape) if loss is None else loss
    return Learned(
        loss, np.broadcast_to(accuracy, shape), np.broadcast_to(difference, shape).copy()
    )


def test_the_rate_of_the_lowest_loss_counts():
    loss = np.ones((len(STARTS), 2, SEEDS))
    loss[:, 0, 1] = np.nan  # a run that failed is the worst
    loss[0, 1] = 5
    loss[0, 0] = [1, 2, 3]
    found = learned(np.array([0.1, 0.9])[:, None], 0.0, loss)
    best = training.best_accuracy(found)
    np.testing.assert_array_equal(best[0], 0.1)
    np.testing.assert_array_equal(best[1:], 0.9)


def test_alike_claim_can_fail():
    differences = np.array([0.0 if name in ALIKE else 0.3 for name in STARTS])[:, None, None]
    right = {("relu", 5): learned(0.2, differences)}
    assert training.alike_claim(right).holds
    for place, value in ((0, 1e-30), (1, 1e-7), (4, 0.0)):
        wrong = differences.copy()
        wrong[place] = value
        assert not training.alike_claim({**right, ("relu", 20): learned(0.2, wrong)}).holds


def outcome(change, accuracy):
    return Outcome("relu", 50, "He", change, np.array([accuracy - 0.02, accuracy + 0.02]))


def test_foretold_claim_can_fail():
    right = [outcome(0.0, 0.9), outcome(-3.9, 0.4), outcome(-5, 0.2), outcome(-6.1, 0.1)]
    assert training.foretold_claim(right).holds
    assert training.foretold_claim([*right, outcome(9.0, 0.1)]).holds
    assert not training.foretold_claim([*right, outcome(3.9, 0.2)]).holds
    assert not training.foretold_claim([*right, outcome(-7.0, 0.5)]).holds
    assert not training.foretold_claim([*right, outcome(7.0, 0.5)]).holds
    for some in (right[:3], right[3:], right[2:3]):  # none is lost, none kept, neither
        claim = training.foretold_claim(some)
        assert not claim.holds
        assert "there are none" in claim.numbers


def test_change_foretold():
    """ReLU halves from Xavier's start, layer by layer; He's start makes up for it."""
    change = training.change_foretold("relu", 5, "Xavier normal, fan-avg", 784)
    np.testing.assert_allclose(change, -4 * np.log10(2), rtol=1e-5)
    assert abs(training.change_foretold("relu", 5, "He", 784)) < 1e-5
