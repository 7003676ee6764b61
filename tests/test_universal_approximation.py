"""Fits and training by hand, pieces by trying them all, and claims on wrong numbers."""

import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy
from command_line import assert_refused, start

from experiments import universal_approximation as experiment
from experiments.universal_approximation import features, pieces, sawtooth, targets
from experiments.universal_approximation.features import SMOOTH, Measured, Member, Network
from experiments.universal_approximation.sawtooth import DEEP, SHALLOW, Found, Trained
from experiments.universal_approximation.targets import TARGETS, Target
from jaxdl.types import Examples, Static, Variables


@pytest.mark.slow
def test_every_claim_holds(tmp_path):
    start(experiment, "--quick", tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [claim["holds"] for claim in summary["claims"]] == [True] * 6
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"errors", "fits", "sawtooth"}


BAD = [
    ("--widths 32 16", "--widths 32 16", "larger than"),
    ("--widths 16 32", "--widths 16 32", "give 32 and 64"),
    ("--trained-widths 8", "--trained-widths 8", "give 32"),
    ("--doublings 1 2", "--doublings 1 2", "give 1 and 5"),
    ("--doublings 1 5 6", "--doublings 6", "5 at most"),
    ("--seeds 1", "--seeds 1", "2 or more"),
    ("--epochs 0", "--epochs 0", "1 or more"),
    ("--diagnostics", "--diagnostics", "leave it out"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, named, way_out)


# --- targets -------------------------------------------------------------------------------------


def test_points_share_the_interval_and_the_disc():
    line, disc = targets.points_of(1), targets.points_of(2)
    np.testing.assert_allclose(np.diff(line[:, 0]), 2 / targets.POINTS, rtol=1e-9)
    assert not line[:, 1].any()
    np.testing.assert_allclose(line.mean(), 0, atol=1e-12)
    # As of a disc: a quarter of all in each quadrant, and mean squares of 1/4 along each axis.
    np.testing.assert_allclose(np.square(disc).mean(axis=0), 1 / 4, atol=1e-3)
    for signs in itertools.product((-1, 1), repeat=2):
        assert abs(np.mean((disc * signs > 0).all(axis=1)) - 1 / 4) < 2e-3


def test_norms_by_the_fourier_transform():
    """Of the bump by quadrature; the waves are sums of cosines, whose frequencies are seen."""
    width = targets.WIDTH

    def transform(w):
        def integrand(r):
            return r * scipy.special.j0(w * r) * np.exp(-(r**2) / (2 * width**2)) / (2 * np.pi)

        return scipy.integrate.quad(integrand, 0, 12 * width)[0]

    norm = scipy.integrate.quad(lambda w: 2 * np.pi * w * w * transform(w), 0, 12 / width)[0]
    np.testing.assert_allclose(TARGETS["bump"].norm, norm, rtol=1e-6)
    x, y = points = targets.points_of(2).T
    across = (np.cos(np.pi * (x - y)) - np.cos(np.pi * (x + y))) / 2
    np.testing.assert_allclose(TARGETS["product"].function(points.T), across, atol=1e-12)
    np.testing.assert_allclose(TARGETS["product"].norm, np.hypot(np.pi, np.pi), rtol=1e-12)
    np.testing.assert_allclose(TARGETS["sine"].norm, np.pi)


def test_barrons_bound_by_hand():
    """(2 C)^2 / n with n pairs of units; one unit is no pair."""
    np.testing.assert_allclose(targets.barron_bound(3.0, np.array([1, 2, 9])), [np.inf, 36, 9])


@pytest.mark.parametrize(
    ("name", "units", "bound", "variance"),
    [("sine", 32, 2.47, 0.5), ("product", 512, 0.308, 0.298)],
)
def test_barrons_bound_is_passed_by_a_constant(name, units, bound, variance):
    """The numbers of the header, so loose that no claim can be made of them."""
    target = TARGETS[name]
    np.testing.assert_allclose(
        targets.barron_bound(target.norm, np.array([units])), bound, rtol=2e-3
    )
    values = target.function(targets.points_of(target.dimensions))
    np.testing.assert_allclose(np.var(values), variance, rtol=2e-3)


@pytest.mark.parametrize("power", [2, 5])
def test_gaps_by_drawing(power):
    """But for the factor ``power!``."""
    for units in (3, 8):
        places = np.random.default_rng(0).uniform(size=(100_000, units))
        gaps = np.diff(np.sort(places), axis=1, prepend=0.0, append=1.0)
        expected = scipy.special.factorial(power) * targets.gaps_to_the(np.array(units), power)
        np.testing.assert_allclose(np.mean(np.sum(gaps**power, axis=1)), expected, rtol=0.03)


# --- hidden units --------------------------------------------------------------------------------

RNG = np.random.default_rng(0)


def network(units=3, dimensions=2):
    directions = RNG.normal(size=(2, units)) * ([[1], [1]] if dimensions == 2 else [[1], [0]])
    return Network(directions, RNG.normal(size=units), RNG.normal(size=(units + 3, 1)))


def test_a_network_by_a_loop():
    of, points = network(), RNG.normal(size=(5, 2))
    constant, slope_x, slope_y, *outputs = of.outputs[:, 0]
    expected = []
    for x, y in points:
        value = constant + slope_x * x + slope_y * y
        for (u, v), offset, output in zip(of.directions.T, of.offsets, outputs, strict=True):
            value += output * max(u * x + v * y + offset, 0)
        expected.append(value)
    np.testing.assert_allclose(features.predict(of, points)[:, 0], expected, rtol=1e-12)
    model = features.network_model(3, jnp.asarray(False))
    params = jax.tree.map(jnp.float32, of._asdict())
    found, _ = model.apply(params, {}, jnp.float32(points), None)
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-4)


def test_drawn_units():
    """Directions of length 1, along the line where the target is of one number; bends inside."""
    keys = jax.random.split(jax.random.key(0), 2)
    flat, round_ = (
        features.draw_network(key, jnp.asarray(is_flat), 1000)
        for key, is_flat in zip(keys, (True, False), strict=True)
    )
    np.testing.assert_allclose(np.linalg.norm(round_.directions, axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(np.abs(flat.directions[0]), 1, rtol=1e-6)
    assert abs(np.mean(np.sign(flat.directions[0]))) < 0.1
    assert not flat.directions[1].any()
    for of in (flat, round_):
        assert scipy.stats.kstest(np.asarray(of.offsets), "uniform", args=(-1, 2)).pvalue > 0.01
    angles = np.arctan2(*np.asarray(round_.directions))
    assert scipy.stats.kstest(angles, "uniform", args=(-np.pi, 2 * np.pi)).pvalue > 0.01


def test_the_best_outputs():
    """As NumPy's by singular values, to 1e-9; of what the units can make no error is left."""
    of = Network(*map(np.asarray, features.draw_network(jax.random.key(0), jnp.asarray(False), 12)))
    of = of._replace(outputs=RNG.normal(size=(15, 1)))
    target, points = TARGETS["product"], targets.points_of(2)
    rows = [np.ones(len(points)), *points.T, *np.maximum(points @ of.directions + of.offsets, 0).T]
    _, (squares,), *_ = np.linalg.lstsq(np.stack(rows, axis=1), target.function(points))
    made = Target(lambda at: features.predict(of, at)[:, 0], 2, np.inf, TARGETS["bump"].theory)
    found = features.errors_of(of, target, made, made._replace(least=0.5))
    np.testing.assert_allclose(found, [squares / len(points), 0, 0.5], rtol=1e-9, atol=1e-20)


def test_training_by_hand(monkeypatch):
    """Adam with a cosine (Kingma and Ba 2015) on all points at once, each gradient by hand."""
    units, steps, rate = 3, 4, 0.01
    monkeypatch.setattr(features, "BATCH", 7)
    points = np.stack([np.linspace(-1, 1, 7), np.zeros(7)], axis=1)
    values = 1 + np.sin(points[:, :1])
    member = Member(Examples(jnp.float32(points), jnp.float32(values)), jnp.asarray(True))
    key = jax.random.key(3)
    found = features.train_one(Static((units, steps)), key, member)
    drawn = features.draw_network(jax.random.split(key)[0], jnp.asarray(True), units)
    params = [np.asarray(of, np.float64) for of in drawn]
    moments = [(np.zeros_like(of), np.zeros_like(of)) for of in params]
    for step in range(steps):
        directions, offsets, outputs = params
        sums = points @ directions + offsets
        columns = np.hstack([np.ones((7, 1)), points, np.maximum(sums, 0)])
        by_value = 2 * (columns @ outputs - values) / 7
        by_sum = by_value @ outputs[3:].T * (sums > 0)
        gradients = [points.T @ by_sum, by_sum.sum(axis=0), columns.T @ by_value]
        slower = rate * (1 + np.cos(np.pi * step / steps)) / 2
        for place, gradient in enumerate(gradients):
            first, second = moments[place]
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            moments[place] = first, second
            root = np.sqrt(second / (1 - 0.999 ** (step + 1)))
            params[place] = params[place] - slower * first / (1 - 0.9 ** (step + 1)) / (root + 1e-8)
    for leaf, expected in zip(found, params, strict=True):
        np.testing.assert_allclose(leaf, expected, atol=2e-5)
    assert not found.directions[1].any()


# --- pieces --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_pieces_on_a_fine_grid(seed):
    """A bend is where slopes change, once or in two intervals that meet in it."""
    rng, widths = np.random.default_rng(seed), (1, 5, 4, 1)
    params = {
        f"Dense_{place}": {
            "kernel": rng.normal(size=(inputs, outputs)),
            "bias": rng.normal(size=outputs) / 2,
        }
        for place, (inputs, outputs) in enumerate(itertools.pairwise(widths))
    }
    points = np.linspace(-3, 3, 100_001)
    values = points[:, None]
    for place in range(3):
        layer = params[f"Dense_{place}"]
        values = (np.maximum(values, 0) if place else values) @ layer["kernel"] + layer["bias"]
    bends = np.abs(np.diff(values[:, 0], 2)) > 1e-9
    begins = bends[1:] & ~bends[:-1]
    found = pieces.count_pieces(params, -3, 3)
    assert found == 1 + begins.sum() > 3


def by_all_ways(points, values, count):
    """The least error of ``count`` lines, over all ways to part the points."""
    least = np.inf
    for ends in itertools.combinations(range(1, len(points)), count - 1):
        squares = 0.0
        for low, high in itertools.pairwise((0, *ends, len(points))):
            x, y = points[low:high], values[low:high]
            line = np.polyval(np.polyfit(x, y, min(1, len(x) - 1)), x)
            squares += np.sum(np.square(line - y))
        least = min(least, squares / len(points))
    return least


def test_the_best_pieces_by_trying_all():
    points, values = np.sort(RNG.uniform(size=9)), RNG.normal(size=9)
    expected = [by_all_ways(points, values, count) for count in (1, 2, 3, 4)]
    np.testing.assert_allclose(pieces.best_errors(points, values, 4), expected, rtol=1e-8)


def test_the_formula_for_many_pieces():
    """Within what a few more would make of it: it holds in the limit."""
    points = targets.points_of(1, 600)
    best = pieces.best_errors(points[:, 0], targets.sine(points), 24)[-1]
    formula = pieces.best_knots_error(np.pi**2 * targets.sine(points), np.array([24.0]))
    np.testing.assert_allclose(formula, best, rtol=0.08)


# --- the sawtooth --------------------------------------------------------------------------------


def test_the_sawtooth():
    points = np.linspace(0, 1, 101)
    expected = (scipy.signal.sawtooth(2 * np.pi * 4 * points, width=0.5) + 1) / 2
    np.testing.assert_allclose(sawtooth.sawtooth(points, 3), expected, atol=1e-12)


def test_the_construction(monkeypatch):
    params = sawtooth.construct(3)
    points = np.linspace(0, 1, 101)
    outputs = pieces.sums_of(pieces.layers_of(params), points)[:, 0]
    np.testing.assert_allclose(outputs, sawtooth.sawtooth(points, 3), atol=1e-12)
    assert sawtooth.is_exact(3)
    assert pieces.count_pieces(params) == 8
    wrong = jax.tree.map(lambda leaf: leaf * (1 + 2**-20), params)
    monkeypatch.setattr(sawtooth, "construct", lambda doublings: wrong)
    assert not sawtooth.is_exact(3)


def test_starts():
    """As many parameters, deep or shallow, and the first layer's bends inside."""
    inputs = jnp.zeros((1, 1))
    for widths in (DEEP, SHALLOW):
        params, _ = jax.eval_shape(sawtooth.sawtooth_model(widths).init, jax.random.key(0), inputs)
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 313
    params, _ = jax.jit(sawtooth.sawtooth_model((500,)).init)(jax.random.key(0), inputs)
    bends = -params["Dense_0"]["bias"] / params["Dense_0"]["kernel"][0]
    assert scipy.stats.kstest(np.asarray(bends), "uniform").pvalue > 0.01


def test_from_a_solution_training_stays(monkeypatch):
    model = sawtooth.sawtooth_model((2, 2))
    model = model._replace(init=lambda key, inputs: Variables(sawtooth.construct(2), {}))
    monkeypatch.setattr(sawtooth, "sawtooth_model", lambda widths: model)
    found = sawtooth.train_all((2, 2), (2, 3), seeds=2, steps=1, seed=0)
    np.testing.assert_array_equal(found.errors[0], 0)
    np.testing.assert_array_equal(found.pieces[0], 4)
    # Two sawtooths that are on their own: the mean square of their difference is 1/6.
    np.testing.assert_allclose(found.errors[1], 1 / 6, rtol=0.05)


# --- claims --------------------------------------------------------------------------------------

WIDTHS, SEEDS = (32, 64, 128), np.array([[0.9], [1.0], [1.1]])


def measured(trained=0.1, **wrong):
    """Errors as theory has them; a wrong target's fall by another power besides."""
    units = np.array(WIDTHS, float)
    drawn = {
        name: 1e-2
        * SEEDS
        * target.theory(units)
        / target.theory(units)[0]
        * units ** wrong.get(name, 0)
        for name, target in TARGETS.items()
    }
    learnt = {name: trained * errors[:, [0]] for name, errors in drawn.items()}
    return Measured(WIDTHS, drawn, (32,), learnt)


def test_slopes_by_hand():
    errors = np.array([[5.0, 1, 1 / 8, 1 / 64], [5.0, 1, 1 / 2, 1 / 4]])
    np.testing.assert_allclose(features.slopes((1, 32, 64, 128), errors), [-3, -1], rtol=1e-9)


def test_claims_about_units_can_fail():
    assert all(claim.holds for claim in features.claims(measured()))
    for name in TARGETS:
        assert not features.slope_claim(measured(**{name: 0.5})).holds
        assert not features.slope_claim(measured(**{name: -0.5})).holds
    good = measured()
    spread = {**good.drawn, "sine": good.drawn["sine"] * [[1, 1, 1], [1, 1, 3], [1, 1, 1 / 3]]}
    assert not features.slope_claim(good._replace(drawn=spread)).holds
    assert not features.learning_claim(measured(trained=0.95)).holds
    for name in SMOOTH:
        worse = {**good.trained, name: 12 * good.trained[name]}
        assert not features.learning_claim(good._replace(trained=worse)).holds
    near = {**good.trained, "step": np.array([[3e-4], [3e-4], [3e-4]])}
    assert not features.step_claim(good._replace(trained=near)).holds


def found(**wrong):
    def trained(*shares):
        errors = np.array([np.where(np.arange(20) < 20 * share, 1e-4, 1e-2) for share in shares])
        return Trained(errors, np.full(errors.shape, 9))

    right = {
        "exact": [True] * 10,
        "made": [2**k for k in range(1, 11)],
        "doublings": (1, 5),
        "floor": np.append(np.linspace(1, 0.1, 31), [0.0, 0.0]) / 12,
        "deep": trained(1, 0),
        "shallow": trained(0.9, 0),
    }
    shares = {name: trained(*of) for name, of in wrong.items() if name in ("deep", "shallow")}
    return Found(**{**right, **wrong, **shares})


def test_claims_about_sawtooths_can_fail():
    assert all(claim.holds for claim in sawtooth.claims(found()))
    assert not sawtooth.construction_claim(found(exact=[True] * 9 + [False])).holds
    assert not sawtooth.construction_claim(found(made=[2] * 10)).holds
    floor = found().floor
    for place, value in ((10, 0.4 / 12), (30, 1e-5), (31, 1e-4)):
        other = floor.copy()
        other[place] = value
        assert not sawtooth.floor_claim(found(floor=other)).holds
    for name, shares in itertools.product(("deep", "shallow"), ((0.6, 0), (1, 0.1))):
        assert not sawtooth.training_claim(found(**{name: shares})).holds
