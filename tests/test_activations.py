"""Curves against differences, output layers against solvers, and the claims on wrong numbers."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from command_line import assert_refused, start

from experiments import activations as experiment
from experiments.activations import curves, digits, outputs, softmax, units
from experiments.activations.curves import SHAPES, Curve, X
from experiments.activations.digits import LINEAR, NUMBER, SIGMOIDS, SOFTMAX, Read, Setting, Units
from experiments.activations.outputs import Fitted
from jaxdl import models
from jaxdl.models.deep_mlp import Layer
from jaxdl.types import Examples, Static

# --- the quick form ------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_claim_holds(tmp_path):
    start(experiment, "--quick", tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [claim["holds"] for claim in summary["claims"]] == [True] * 9
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"curves", "softmax", "units", "outputs"}


BAD = [
    ("--rates 0.1 0.5", "--rates 0.1 0.5", "give 1.0 as well"),
    ("--rates 0.5 0.1 1.0", "--rates 0.5 0.1 1.0", "larger than"),
    ("--rates 0 0.1 0.5 1.0", "--rates 0.0", "numbers above 0"),
    ("--seeds 1", "--seeds 1", "2 or more"),
    ("--epochs 0", "--epochs 0", "1 or more"),
    ("--seed -1", "--seed -1", "give 0 to"),
    ("--diagnostics", "--diagnostics", "leave it out"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, named, way_out)


# --- curves --------------------------------------------------------------------------------------

FORMULAS = {
    "linear": lambda x: x,
    "step": lambda x: np.heaviside(x, 1.0),
    "sign": np.sign,
    "sigmoid": scipy.special.expit,
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.maximum(x, x / 100),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "gelu": lambda x: x * scipy.special.ndtr(x),
    "silu": lambda x: x * scipy.special.expit(x),
    "softplus": lambda x: np.logaddexp(0, x),
}
"""GELU is the exact one: its tanh form is off by less than 0.001."""


@pytest.fixture(scope="module")
def shapes():
    with jax.enable_x64(True):
        return curves.measure()


@pytest.mark.parametrize("name", SHAPES)
def test_curves(name, shapes):
    """Values by other libraries; slopes of the table by differences of these."""
    tolerance = 1e-3 if name == "gelu" else 1e-12
    np.testing.assert_allclose(shapes[name].values, FORMULAS[name](X), atol=tolerance)
    differences = (FORMULAS[name](X + 1e-6) - FORMULAS[name](X - 1e-6)) / 2e-6
    tolerance = 2e-3 if name == "gelu" else 1e-7
    np.testing.assert_allclose(SHAPES[name].slope(X), differences, atol=tolerance)


def test_curves_claim_can_fail(shapes):
    assert curves.curves_claim(shapes).holds

    def with_changed(name, **changed):
        return curves.curves_claim(shapes | {name: shapes[name]._replace(**changed)})

    gelu, relu = shapes["gelu"], shapes["relu"]
    assert not with_changed("gelu", slopes=gelu.slopes + 1e-9).holds
    assert not with_changed("gelu", values=np.maximum(gelu.values, -0.1695)).holds
    assert not with_changed("relu", values=np.minimum(relu.values, 6)).holds
    assert not with_changed("sigmoid", **shapes["tanh"]._asdict()).holds


def test_ends_of_a_range():
    curve = Curve(np.array([1.0, 1, -2, 5]), np.array([0, -4.0, 3, 1]))
    assert (curve.low(), curve.high(), curve.steepest()) == (-2, np.inf, 4)
    assert curve.is_flat() == (True, False)


# --- softmax -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def said_and_overflow():
    with jax.enable_x64(True):
        return softmax.ask(0), softmax.overflow(0)


def test_naive_softmax_is_scipys():
    logits = np.random.default_rng(0).normal(size=(3, 4))
    expected = scipy.special.softmax(logits, axis=1)
    np.testing.assert_allclose(softmax.naive(jnp.float32(logits)), expected, rtol=1e-5)


def test_largest_numbers():
    """Of the formats, by NumPy or by their bits: 8 of the exponent and 8 of the significand."""
    largest = {name: np.log(np.finfo(name).max) for name in ("float32", "float64")}
    largest |= {"float16": np.log(65504), "bfloat16": np.log((2 - 2.0**-7) * 2.0**127)}
    assert pytest.approx(largest, abs=1e-4) == softmax.LARGEST


def test_claims_of_softmax_can_fail(said_and_overflow):
    said, overflow = said_and_overflow
    assert softmax.ratio_claim(said).holds
    for name in ("ratio", "shift", "slopes", "log_sum"):
        assert not softmax.ratio_claim(said._replace(**{name: 1e-9})).holds
    assert not softmax.ratio_claim(said._replace(steepest=0.26)).holds
    assert softmax.overflow_claim(overflow).holds
    assert not softmax.overflow_claim(overflow._replace(naive=overflow.stable)).holds
    assert not softmax.overflow_claim(overflow._replace(stable=overflow.naive)).holds
    assert not softmax.overflow_claim(overflow._replace(off=1e-5)).holds
    lower = overflow.largest | {"float32": 88.0}
    assert not softmax.overflow_claim(overflow._replace(largest=lower)).holds


# --- networks that read digits -------------------------------------------------------------------

RNG = np.random.default_rng(0)
DIGITS = Examples(jnp.float32(RNG.normal(size=(100, 6))), jnp.asarray(RNG.integers(0, 10, 100)))
RATE = 0.05


@pytest.mark.slow
def test_a_run_by_a_plain_loop():
    """Of ReLU and ten sigmoids, an epoch of two batches in NumPy."""
    heads = list(digits.HEADS)
    setting = Setting(digits.NAMES.index("relu"), heads.index(SIGMOIDS), RATE)
    key = jax.random.key(0)
    read = jax.jit(digits.train_one)(Static(1), DIGITS, DIGITS, key, setting)
    model = models.deep_mlp(digits.DEPTH, digits.WIDTH, classes=10, layer=Layer("relu"))
    begun = jax.tree.map(np.asarray, model.init(key, DIGITS.inputs[:1]).params)
    inputs, labels = np.asarray(DIGITS.inputs), np.eye(10)[np.asarray(DIGITS.targets)]
    kernels = [begun.first.kernel, begun.hidden.kernel[0], begun.last.kernel]
    biases = [np.zeros(digits.WIDTH), np.zeros(digits.WIDTH), np.zeros(10)]

    def propagate(inputs):
        values = [inputs]
        for kernel, bias in zip(kernels, biases, strict=True):
            values.append(
                (np.maximum(values[-1], 0) if len(values) > 1 else inputs) @ kernel + bias
            )
        return values

    losses = []
    for rows in (slice(0, 50), slice(50, 100)):
        values = propagate(inputs[rows])
        p = scipy.special.expit(values[-1])
        losses.append(-(labels[rows] * np.log(p) + (1 - labels[rows]) * np.log1p(-p)).sum(1).mean())
        error = (p - labels[rows]) / 50
        for layer in (2, 1, 0):
            outputs_before = np.maximum(values[layer], 0) if layer else values[0]
            slopes = outputs_before.T @ error, error.sum(0)
            error = (error @ kernels[layer].T) * (values[layer] > 0)
            kernels[layer] = kernels[layer] - RATE * slopes[0]
            biases[layer] = biases[layer] - RATE * slopes[1]
    assert read.loss == pytest.approx(np.mean(losses), rel=1e-5)
    *_, first, second, logits = propagate(inputs)
    shares = np.array([np.mean(first <= 0), np.mean(second <= 0)])
    np.testing.assert_allclose(read.end.flat, shares, atol=1e-3)
    p = scipy.special.expit(logits)
    right = (logits.argmax(1) == np.asarray(DIGITS.targets)).mean()
    assert read.accuracy == pytest.approx(right, abs=1e-6)
    assert read.off == pytest.approx(np.abs(p.sum(1) - 1).mean(), rel=1e-4)
    assert read.outside == 0
    changes = kernels[0] - begun.first.kernel, kernels[1] - begun.hidden.kernel[0]
    assert read.moved == pytest.approx(max(np.abs(of).max() for of in changes), rel=1e-3)


def test_flat_and_dead():
    """Of two units of ReLU the second is below 0 for all inputs."""
    model = models.deep_mlp(1, 2, classes=2, layer=Layer("relu"))
    variables = model.init(jax.random.key(0), jnp.zeros((1, 1)))
    first = variables.params.first._replace(kernel=jnp.ones((1, 2)), bias=jnp.array([0.0, -9]))
    variables = variables._replace(params=variables.params._replace(first=first))
    inputs = jnp.array([[-1.0], [1], [2], [3]])
    look = jax.jit(digits.look, static_argnums=0)
    found = look(Layer(jax.nn.relu), jnp.float32(1), variables, inputs)
    np.testing.assert_allclose(found.flat, [5 / 8])
    np.testing.assert_allclose(found.dead, [1 / 2])


def read(accuracy=0.9, flat=0.5, dead=0.0, moved=0.1, off=0.0, outside=0.0, start=0.5):
    """Three seeds that are alike."""
    layers = np.full((3, 2), dead)
    return Read(
        *(np.full(3, of) for of in (1.0, accuracy)),
        start=Units(np.full((3, 2), start), 0 * layers),
        end=Units(np.full((3, 2), flat), layers),
        moved=np.full(3, moved),
        off=np.full(3, off),
        outside=np.full(3, outside),
    )


def found():
    """As it is claimed."""
    of = {}
    for place, rate in enumerate((units.USUAL, units.LARGE, units.TOO_LARGE)):
        of |= {(name, rate): read(0.5, moved=0.0) for name in ("step", "sign")}
        of |= {
            (name, rate): read(flat=0.2 + 0.1 * place, start=0.1) for name in ("sigmoid", "tanh")
        }
        of["relu", rate] = read(dead=(0.01, 0.02, 0.7)[place])
    return of


def test_claims_of_units_can_fail():
    right = found()
    assert units.still_claim(right).holds
    assert units.dead_claim(right).holds
    assert units.saturated_claim(right).holds
    usual, large, too_large = units.USUAL, units.LARGE, units.TOO_LARGE
    assert not units.still_claim(right | {("sign", usual): read(0.5, moved=1e-9)}).holds
    assert not units.still_claim(right | {("sign", usual): read(0.95, moved=0.0)}).holds
    assert not units.still_claim(right | {("tanh", usual): read(moved=1e-3)}).holds
    assert not units.dead_claim(right | {("relu", usual): read(dead=0.1)}).holds
    assert not units.dead_claim(right | {("relu", too_large): read(dead=0.2)}).holds
    assert not units.saturated_claim(right | {("tanh", large): read(flat=0.15)}).holds
    assert not units.saturated_claim(right | {("sigmoid", usual): read(flat=0.05, start=0.1)}).holds
    assert not units.saturated_claim(right | {("relu", usual): read(start=0.4)}).holds


# --- output layers -------------------------------------------------------------------------------

HEADS = {
    SOFTMAX: read(0.9),
    SIGMOIDS: read(0.9, off=0.1),
    LINEAR: read(0.8, outside=0.3),
    NUMBER: read(0.5),
}


def test_claim_of_digits_can_fail():
    assert outputs.digits_claim(HEADS).holds
    for head, wrong in (
        (SOFTMAX, read(0.9, off=1e-3)),
        (SIGMOIDS, read(0.9, off=0.001)),
        (LINEAR, read(0.8, outside=0.05)),
        (NUMBER, read(0.85)),
    ):
        assert not outputs.digits_claim(HEADS | {head: wrong}).holds


def test_best_rates():
    """The lowest loss of each output layer; one that fails never is."""
    loss = np.array([[3.0, 1], [1, 1], [np.nan, 0], [5, 5]])
    runs = read()._replace(loss=loss, accuracy=np.arange(8).reshape(4, 2))
    runs = jax.tree.map(lambda of: np.resize(of, (4, 2)), runs)
    best = outputs.at_best_rates(("a", "b"), runs._replace(loss=loss), 2)
    assert {head: of.accuracy.tolist() for head, of in best.items()} == {"a": [2, 3], "b": [6, 7]}


def test_what_ranges_reach():
    targets = np.array([-2.0, 0.5, 3.0])
    assert outputs.reachable(targets, "sigmoid") == pytest.approx((4 + 0 + 4) / 3)
    assert outputs.reachable(targets, "ReLU") == pytest.approx(4 / 3)
    assert outputs.reachable(targets, "softmax") == pytest.approx((9 + 0.25 + 4) / 3)


SINE = np.asarray(outputs.make_sine().targets)[:, 0]


def fitted(values, slope=1.0):
    return Fitted(np.tile(values, (2, 1)), np.full(2, slope))


def test_claim_of_numbers_can_fail():
    right = {"linear": fitted(SINE)}
    right |= {name: fitted(np.clip(SINE, *ends)) for name, ends in outputs.ENDS.items()}
    assert outputs.numbers_claim(right, SINE).holds
    assert not outputs.numbers_claim(right | {"linear": fitted(0.8 * SINE)}, SINE).holds
    assert not outputs.numbers_claim(right | {"tanh": fitted(0 * SINE)}, SINE).holds
    # Better than what its range allows.
    assert not outputs.numbers_claim(right | {"tanh": fitted(SINE)}, SINE).holds


def test_claim_of_classes_can_fail():
    points = outputs.make_classes()
    labels, solved = np.asarray(points.targets)[:, 0], outputs.least_squares(points)
    right = dict(
        zip(
            outputs.OF_CLASSES,
            (fitted(labels), fitted(solved), fitted(np.ones_like(labels), 0.0)),
            strict=True,
        )
    )
    assert outputs.classes_claim(right, points).holds
    sigmoid, linear, of_one = right
    assert not outputs.classes_claim(right | {sigmoid: fitted(solved)}, points).holds
    assert not outputs.classes_claim(right | {linear: fitted(labels)}, points).holds
    moving = fitted(np.ones_like(labels), 1e-6)
    assert not outputs.classes_claim(right | {of_one: moving}, points).holds


def test_lines_by_solvers(monkeypatch):
    """By squared error least squares; softmax of one output has no slope."""
    monkeypatch.setattr(outputs, "STEPS", 2000)
    points = outputs.make_classes()
    keys = jax.random.split(jax.random.key(1), 2)
    by_name = outputs.fit_all((), outputs.OF_CLASSES, points, keys)
    assert outputs.classes_claim(by_name, points).holds
