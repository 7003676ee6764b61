"""The experiment's quick form, and its pieces against plain Python and NumPy."""

import json

import jax
import numpy as np
import pytest
from command_line import assert_refused, start
from jax.tree_util import Partial
from PIL import Image

from experiments import gradient_descent as experiment
from experiments.gradient_descent import cliff, conditioning, learning_rates, saddle, steps, tuning
from jaxdl.optim.classic import CLASSIC
from jaxdl.surfaces import SURFACES, quartic

OPTIMIZERS = ("GD", "AdaGrad", "Adam", "Lion")
"""Those of which there are claims, one of each colour: each is a program to compile."""


@pytest.fixture
def float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The folder of a quick run from the command line."""
    out = tmp_path_factory.mktemp("gradient_descent") / "run"
    start(experiment, f"--quick --optimizers {' '.join(OPTIMIZERS)}", out)
    return out


# --- the quick form ------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_claim_holds(quick):
    summary = json.loads((quick / "summary.json").read_text())
    assert len(summary["claims"]) == 8
    assert all(claim["holds"] for claim in summary["claims"])
    assert f"{summary['minimum']:.6f}" == "2.249965"
    assert set(summary["surfaces"]) == set(SURFACES)
    assert set(summary["surfaces"]["bowl"]) == set(OPTIMIZERS)
    # At rate 1, descent on the bowl is there in a step.
    assert summary["surfaces"]["bowl"]["GD"]["learning_rate"] == pytest.approx(1)
    assert summary["surfaces"]["bowl"]["GD"]["steps"] == 1


@pytest.mark.slow
def test_figures(quick):
    names = {"learning_rates", "conditioning", "saddle", "paths", "steps", "cliff"}
    drawn = {path.name for path in (quick / "figures").iterdir()}
    assert drawn == {"paths.gif", *(f"{name}.png" for name in names)}
    with Image.open(quick / "figures" / "paths.gif") as animation:
        assert getattr(animation, "n_frames", 1) > 10
        # The families keep their colours.
        colours = {colour for _, colour in animation.convert("RGB").getcolors(1 << 16) or []}
    assert {(0, 114, 178), (230, 159, 0), (0, 158, 115), (213, 94, 0)} <= colours


BAD = [
    ("--optimizers Adma", "Adma", "Adam"),
    ("--optimizers", "nothing given", "GD"),
    ("--optimizers GD GD", "--optimizers GD GD", "each one once"),
    ("--steps 0", "--steps 0", "1 or more"),
    ("--starts 3", "--starts 3", "4 or more"),
    ("--largest-condition 1e9", "1000000000", "100,000"),
    ("--seed -1", "--seed -1", "0 to 2147483646"),
    ("--resume", "--resume", "see --help"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, named, way_out)


# --- its pieces ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("start", "rate", "end"), [(6.0, 0.01, 2.249965), (3.0, 0.03, 2.25)])
def test_the_compiled_loop_is_the_plain_one(float64, start, rate, end):
    next_x, path = start, [start]
    for _ in range(10_000):
        current_x = next_x
        next_x = current_x - rate * (4 * current_x**3 - 9 * current_x**2)
        path.append(next_x)
        if abs(next_x - current_x) <= 1e-5:
            break
    descent = learning_rates.descend(Partial(quartic), start, rate, 1e-5, most_steps=10_000)
    steps = int(descent.steps)
    assert steps == len(path) - 1
    np.testing.assert_allclose(descent.path[: steps + 1], path, rtol=0, atol=1e-12)
    assert np.isnan(descent.path[steps + 1 :]).all()
    assert learning_rates.python_descent(start, rate, 1e-5) == path
    assert path[-1] == pytest.approx(end, abs=1e-5)


def test_a_descent_that_diverges_ends_at_the_most_steps_or_at_nan(float64):
    few = learning_rates.descend(Partial(quartic), 3.0, 0.3, 1e-5, most_steps=3)
    assert int(few.steps) == 3
    many = learning_rates.descend(Partial(quartic), 3.0, 0.3, 1e-5, most_steps=10_000)
    assert int(many.steps) < 20


def test_the_largest_rate_is_2_over_the_curvature(float64):
    measured = learning_rates.largest_rate(Partial(learning_rates.parabola, curvature=7.0), 0.0)
    assert float(measured) == pytest.approx(2 / 7, rel=1e-9)


def test_steps_of_momentum_are_those_of_a_numpy_loop(float64):
    condition, rate, momentum = 30.0, 0.08, 0.5
    point, velocity, steps = np.ones(2), np.zeros(2), 0
    while np.linalg.norm(point) > 1e-6 * np.sqrt(2):
        velocity = momentum * velocity + np.array([1, condition]) * point
        point, steps = point - rate * velocity, steps + 1
    numbers = map(np.float64, (condition, rate, momentum))
    assert int(conditioning.steps_to_minimum(*numbers)) == steps


def test_descents_are_those_of_a_numpy_loop(float64):
    """On Rosenbrock's valley, two rates and two starts; the other surfaces ride along.

    All is of the shape that it has in the quick form, for then the program is the same.
    """
    quick = experiment.QUICK
    rates, starts = tuning.rate_grid(quick.rates_per_decade), tuning.draw_starts(quick.starts, 0)
    seen = tuning.descents(CLASSIC["GD"], rates, starts, steps=quick.steps)
    place = list(SURFACES).index("rosenbrock")
    for (i, rate), j in [((2, 1e-4), 0), ((4, 1e-3), 3)]:
        assert rates[i] == pytest.approx(rate)
        (x, y), losses, longest = starts[place, j], [], 0.0
        for _ in range(quick.steps):
            losses.append((1 - x) ** 2 + 100 * (y - x * x) ** 2)
            move = -rate * np.array([-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)])
            x, y = np.array([x, y]) + move
            longest = max(longest, np.abs(move).max())
        np.testing.assert_allclose(seen.losses[place, i, j, :-1], losses, rtol=1e-9)
        assert float(seen.longest[place, i, j]) == pytest.approx(longest, rel=1e-9)
    np.testing.assert_array_equal(seen.paths[:, 0, 0], starts[:, 0])
    # What does not depend on the axes feels no turn.
    safe = rates < 0.01
    np.testing.assert_allclose(seen.losses[1, safe], seen.losses[2, safe], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize(
    ("losses", "expected"),
    [
        ([1.0, 0.5, 1e-5, 0.2, 1e-5, 1e-6], 4),
        ([1.0, 0.5, 0.4, 0.3, 0.2, 0.1], 6),
        ([1.0, 1e-5, 1e-5, np.nan, np.nan, np.nan], 6),
        ([1.0, 1e-5, 1e-5, 1e-5, 1e-5, 1e-5], 1),
    ],
)
def test_steps_until_a_loss_stays_near(losses, expected):
    assert tuning.steps_until_near(np.array(losses)[None, None, None])[0, 0, 0] == expected


def test_claims_fail_on_wrong_numbers(float64):
    plain = learning_rates.python_descent(6.0, 0.01, 1e-5)
    path = np.array(plain)
    assert learning_rates.loop_claim(path, plain).holds
    assert not learning_rates.loop_claim(
        path, learning_rates.python_descent(6.0, 0.011, 1e-5)
    ).holds
    assert not learning_rates.loop_claim(path + 1e-4, [x + 1e-4 for x in plain]).holds
    assert not learning_rates.inflection_claim(path).holds
    assert not learning_rates.rate_claim({"1/L": (1.0, 2.0)}).holds

    counted = conditioning.measure(100.0)
    assert conditioning.claim(counted).holds
    assert not conditioning.claim(counted._replace(momentum=counted.descent)).holds

    escapes = saddle.measure()
    assert saddle.claim(escapes).holds
    beside = escapes._replace(paths=escapes.paths[[1, 1, *range(2, 8)]])
    assert not saddle.claim(beside).holds


def some_tuned(steps_by_surface: dict[str, float], longest: float) -> tuning.Tuned:
    """Two starts, two rates: steps to the minimum, and the longest move in learning rates."""
    steps = np.full((len(SURFACES), 2), 5.0)
    for surface, count in steps_by_surface.items():
        steps[list(SURFACES).index(surface)] = count
    tried, paths = np.array([0.1, 1.0]), np.zeros((len(SURFACES), 2, 3, 2))
    moves = np.broadcast_to(longest * tried[:, None], (len(SURFACES), 2, 2)).copy()
    return tuning.Tuned(np.ones(8), steps, np.zeros_like(steps), paths[:, 0], tried, paths, moves)


def test_claims_of_the_tuned_fail_on_wrong_numbers():
    alike = {"ill-conditioned": 260.0, tuning.TURNED: 260.0}
    right = {
        "GD": some_tuned(alike, longest=20.0),
        "AdaGrad": some_tuned({tuning.TURNED: 200.0}, longest=1.0),
        "Adam": some_tuned({}, longest=7.26),
        "Lion": some_tuned({}, longest=1.0),
    }

    def holding(**wrong) -> list[bool]:
        tuned = {**right, **wrong}
        return [claim.holds for claim in (*tuning.claims(tuned), *cliff.claims(tuned))]

    assert holding() == [True, True, True]
    uncured = some_tuned({"ill-conditioned": 200.0, tuning.TURNED: 2000.0}, longest=1.0)
    assert holding(AdaGrad=uncured) == [False, True, True]
    turned_as_well = some_tuned({tuning.TURNED: 49.0}, longest=1.0)
    assert holding(AdaGrad=turned_as_well) == [False, True, True]
    feels_the_turn = some_tuned({**alike, tuning.TURNED: 262.0}, longest=20.0)
    assert holding(GD=feels_the_turn) == [False, True, True]
    assert holding(GD=some_tuned(alike, longest=9.9)) == [True, False, True]
    assert holding(Adam=some_tuned({}, longest=7.28)) == [True, True, False]
    assert holding(Lion=some_tuned({}, longest=1.001)) == [True, True, False]


# --- what the steps look like --------------------------------------------------------------------


def test_the_steps_of_a_path_are_measured(float64):
    """By hand, on ``f = x^2 / 2 + 2 y^2`` (H = diag(1, 4))."""
    path = np.array([[1.0, 2.0], [4.0, 6.0], [4.0, 1.0], [4.0, 1.0]])
    seen = steps.measure(Partial(quadratic), path)
    expected = {
        "loss": [8.5, 80.0, 10.0],
        "gradient_norm": [np.hypot(1, 8), np.hypot(4, 24), np.hypot(4, 4)],
        "step_length": [5.0, 5.0, 0.0],
        "step_cosine": [0.0, -0.8, 0.0],
        "distance_from_start": [5.0, np.hypot(3, 1), np.hypot(3, 1)],
        "curvature": [73 / 25, 4.0, 0.0],
        "step_slope": [1 * 3 + 8 * 4, -5 * 24, 0.0],
        "step_bend": [9 + 4 * 16, 100.0, 0.0],
    }
    assert seen.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(seen[name], values, rtol=1e-12, err_msg=name)


def quadratic(point):
    return point[0] ** 2 / 2 + 2 * point[1] ** 2


def test_a_page_for_each_surface_and_optimizer():
    path = np.zeros((len(SURFACES), 4, 2))
    tuned = tuning.Tuned(*(np.zeros(0),) * 3, path, *(np.zeros(0),) * 3)
    pages = dict(steps.watch({"GD": tuned, "Adam": tuned}))
    assert len(pages) == 2 * len(SURFACES)
    assert "ill-conditioned_turned_Adam" in pages
