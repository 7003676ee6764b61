"""One network by hand, Euler's theorem, and the claims on wrong numbers."""

import functools
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import assert_refused, start

from experiments import vanishing_gradients as experiment
from experiments.vanishing_gradients import law, training
from experiments.vanishing_gradients.law import BATCH_NORM, BOTH, CURES, GAINS, Found, Seen
from experiments.vanishing_gradients.networks import ACTIVATIONS
from experiments.vanishing_gradients.training import (
    CASES,
    CLIPPED,
    FREE,
    PLAIN,
    RATES,
    RELU,
    Learned,
)
from jaxdl.models.deep_mlp import DeepParams, Layer, signals
from jaxdl.models.dense_norms import Dense
from jaxdl.models.mean_field import Expected, expected_signals
from jaxdl.types import Examples, Variables

# --- the quick form ------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_claim_holds(tmp_path):
    start(experiment, "--quick", tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [claim["holds"] for claim in summary["claims"]] == [True] * 6
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"depth", "cures", "factors", "moved"}


BAD = [
    ("--depths 10", "--depths 10", "2 or more"),
    ("--depths 20 10", "--depths 20 10", "larger than"),
    ("--depths 1 10", "--depths 1 10", "2 or more"),
    ("--trained relu", "--trained", "'sigmoid'"),
    ("--trained rellu", "rellu", "choose from"),
    ("--epochs 0", "--epochs 0", "1 or more"),
    ("--seeds 1", "--seeds 1", "2 or more"),
    ("--diagnostics", "--diagnostics", "leave it out"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, named, way_out)


# --- the law of a layer --------------------------------------------------------------------------

RNG = np.random.default_rng(0)
BATCH, DEPTH, WIDTH = 4, 4, 6
DIGITS = Examples(jnp.float32(RNG.normal(size=(BATCH, 5))), jnp.array([0, 9, 2, 2]))
KERNELS = [np.float32(RNG.normal(size=(5, WIDTH)))]
KERNELS += [np.float32(RNG.normal(size=(WIDTH, WIDTH))) for _ in range(DEPTH - 1)]
LAST = np.float32(RNG.normal(size=(WIDTH, 10)))
VARIABLES = Variables(
    DeepParams(
        Dense(jnp.array(KERNELS[0]), jnp.zeros(WIDTH)),
        Dense(jnp.array(KERNELS[1:]), jnp.zeros((DEPTH - 1, WIDTH))),
        Dense(jnp.array(LAST), jnp.zeros(10)),
    ),
    {},
)


@pytest.mark.parametrize("is_residual", [False, True])
def test_a_network_by_hand(is_residual):
    """Gradients by the chain rule, example by example, and slopes where ReLU is above 0."""
    layer = Layer("relu", is_residual=is_residual)
    seen = jax.jit(law.look_at, static_argnums=0)(layer, VARIABLES, DIGITS)
    squares, slopes = np.zeros(DEPTH), np.zeros(DEPTH)
    for inputs, target in zip(np.asarray(DIGITS.inputs), DIGITS.targets, strict=True):
        values, active = inputs, []
        for place, kernel in enumerate(KERNELS):
            active.append(values @ kernel > 0)
            values = (values @ kernel) * active[-1] + (values if is_residual and place else 0)
        by_logits = np.exp(values @ LAST) / np.exp(values @ LAST).sum() - np.eye(10)[target]
        gradient = LAST @ by_logits
        for place in reversed(range(DEPTH)):
            squares[place] += np.mean(gradient**2) / BATCH
            slopes[place] += np.mean(active[place]) / BATCH
            through = KERNELS[place] @ (gradient * active[place])
            gradient = through + gradient if is_residual and place else through
    np.testing.assert_allclose(seen.gradients, squares, rtol=1e-4)
    np.testing.assert_allclose(seen.slopes, slopes, rtol=1e-5)


def test_euler():
    """In a residual network of ReLU outputs times gradients are the same in all layers."""
    layer = Layer("relu", is_residual=True)
    seen = jax.jit(signals, static_argnums=(0, 3))(
        layer, VARIABLES, DIGITS.inputs, lambda logits: jnp.sum(jnp.sin(logits), axis=1)
    )
    products = np.sum(seen.outputs * seen.gradients, axis=2)
    np.testing.assert_allclose(products, np.tile(products[:1], (DEPTH, 1)), rtol=1e-3)


def test_found():
    """Factors of a geometric sequence, and products of slopes without the first layer's."""
    gradients = np.array([[[8.0, 4, 2], [2, 2, 2]]])
    slopes = np.array([[[9.0, 0.5, 2], [9, 0.25, 0.25]]])
    expected = [Expected(np.ones(3), np.ones(3), np.array([4.0, 1.0]))]
    found = Found([3.0], Seen(gradients, slopes), expected)
    np.testing.assert_allclose(found.factors(), [[2, 1]])
    np.testing.assert_allclose(found.products(), [[3, 0.75]])
    np.testing.assert_allclose(found.foretold(), [2])
    np.testing.assert_allclose(found.kept(), gradients / 2)


# --- claims about the start ----------------------------------------------------------------------


@functools.cache
def foretell(layer, depth, gain):
    return expected_signals(layer, [gain] * depth)


def as_foretold(layer, depth, gains, factor=1.0, slope=1.0):
    """Two seeds of networks that do what theory says, but for these factors a layer."""
    expected = [foretell(layer, depth, gain) for gain in gains]
    layers = np.arange(depth)
    gradients = np.array([of.gradients * factor ** (depth - 1.0 - layers) for of in expected])
    rates = np.array([of.gradients[0] ** (1 / (depth - 1)) for of in expected])
    slopes = slope * np.repeat((rates / gains)[:, None], depth, axis=1)
    return Found(gains, Seen(*(np.stack([of, of], axis=1) for of in (gradients, slopes))), expected)


def plain(**wrong):
    """Of each activation at two depths; the last of ReLU at the greater one is what is wrong."""
    return {
        (name, depth): as_foretold(
            Layer(name), depth, GAINS, **(wrong if (name, depth) == ("relu", 12) else {})
        )
        for name, depth in itertools.product(ACTIVATIONS, (6, 12))
    }


def test_plain_claims_can_fail(monkeypatch):
    assert law.product_claim(plain()).holds
    assert law.depth_claim(plain()).holds
    assert not law.product_claim(plain(slope=1.06)).holds
    assert not law.product_claim(plain(factor=1.06, slope=1.06)).holds
    assert not law.depth_claim(plain(factor=1.06)).holds
    begun_low = {**ACTIVATIONS, "tanh": 0.5}
    monkeypatch.setattr(law, "ACTIVATIONS", begun_low)  # as foretold, and it vanishes
    assert not law.depth_claim(plain()).holds


def cured(**wrong):
    """Of each activation and cure, of 30 layers, but for what is ``wrong`` of one."""
    return {
        (name, cure): as_foretold(
            CURES[cure]._replace(activation=name), 30, [1.0], wrong.get(f"{name} {cure}", 1.0)
        )
        for name, cure in itertools.product(ACTIVATIONS, CURES)
    }


def test_cures_claims_can_fail():
    right = cured()
    assert law.cures_claim(right).holds
    assert law.growth_claim(right).holds
    assert not law.cures_claim(cured(**{"sigmoid layer norm": 1.06})).holds
    as_batch = {("sigmoid", "layer norm"): right["sigmoid", BATCH_NORM]}
    assert not law.cures_claim({**right, **as_batch}).holds
    assert not law.growth_claim(cured(**{f"relu {BATCH_NORM}": 1.06})).holds
    assert not law.growth_claim(cured(**{f"sigmoid {BATCH_NORM}": 0.95})).holds
    assert not law.growth_claim(cured(**{f"relu {BOTH}": 1.2})).holds


def test_homogeneous_claim_can_fail():
    """Of independent slopes 1.5 a layer; the outputs grow by more."""
    assert not law.homogeneous_claim(cured()).holds
    outputs = foretell(Layer("relu", is_residual=True), 30, 1.0).outputs
    growth = (outputs[10] / outputs[0]) ** 0.1 / 1.5
    assert 1.3 < growth < 1.5
    assert law.homogeneous_claim(cured(**{"relu residual": growth})).holds


# --- claims about training -----------------------------------------------------------------------


def test_relative_change():
    """By the norms of differences and of what was; the last layer and biases do not count."""
    rng = np.random.default_rng(0)

    def params(scale):
        def dense(*shape):
            return Dense(jnp.float32(scale * rng.normal(size=shape)), jnp.zeros(shape[-1]))

        return DeepParams(dense(5, 4), dense(2, 4, 4), dense(4, 3))

    before, after = params(1.0), params(2.0)
    old = [before.first.kernel, *before.hidden.kernel]
    new = [after.first.kernel, *after.hidden.kernel]
    expected = [
        np.linalg.norm(np.asarray(b) - np.asarray(a)) / np.linalg.norm(np.asarray(a))
        for a, b in zip(old, new, strict=True)
    ]
    np.testing.assert_allclose(training.relative_change(before, after), expected, rtol=1e-5)


def learned(accuracy, moved: np.ndarray | float = 0.1, loss=(1.0, 2.0, 3.0)):
    """Three seeds that differ little at each rate; ``accuracy`` of the first rate or of each."""
    spread = np.array([-0.01, 0.0, 0.01])
    accuracies = np.broadcast_to(accuracy, len(RATES))[:, None] + spread
    losses = np.broadcast_to(np.array(loss)[:, None], accuracies.shape)
    shape = (*accuracies.shape, training.DEPTH)
    return Learned(losses, accuracies, np.broadcast_to(np.asarray(moved), shape))


def test_the_best_rate():
    assert training.best(learned(0.5)) == 0
    assert training.best(learned(0.5, loss=(np.nan, 2.0, 3.0))) == 1
    assert training.best(learned(0.5, loss=(np.nan, np.nan, 3.0))) == 2


STILL = np.geomspace(1e-6, 0.1, training.DEPTH)


def test_moved_claim_can_fail():
    right = {name: learned(0.9, np.linspace(0.1, 0.5, training.DEPTH)) for name in CASES}
    right[PLAIN] = learned(0.1, STILL)
    assert training.moved_claim(right).holds
    assert not training.moved_claim({**right, PLAIN: learned(0.3, STILL)}).holds
    assert not training.moved_claim({**right, PLAIN: learned(0.1, STILL**0.5)}).holds
    assert not training.moved_claim({**right, RELU: learned(0.9, STILL)}).holds
    assert not training.moved_claim({**right, "sigmoid, residual": learned(0.4)}).holds


def test_clipping_claim_can_fail():
    right = {RELU: learned(0.9), FREE: learned(0.1), CLIPPED: learned(0.8)}
    assert training.clipping_claim(right).holds
    for place in range(len(RATES)):
        one = learned(0.1)
        one.accuracy[place, 1] = 0.8  # a single run of those of a rate
        assert not training.clipping_claim({**right, FREE: one}).holds
    assert not training.clipping_claim({**right, RELU: learned((0.1, 0.9, 0.9))}).holds
    assert not training.clipping_claim({**right, CLIPPED: learned(0.45)}).holds
