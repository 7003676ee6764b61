"""The gradient by distance against Jacobians, and the claims against wrong numbers."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import assert_refused, start

from experiments import gradient_through_time as experiment
from experiments.gradient_through_time import cures, distances, law, training
from experiments.gradient_through_time.networks import (
    CLIPPED,
    EXPLODING,
    GRU,
    LSTM,
    NETWORKS,
    NORMALIZED,
    ORTHOGONAL,
    VANISHING,
)
from jaxdl import models
from jaxdl.data.memory_problems import ADDING_BASELINE, adding_problem
from jaxdl.nn import find_cell

# --- the quick form ------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_claim_holds(tmp_path):
    start(experiment, "--quick", tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert len(summary["claims"]) == 5
    assert all(claim["holds"] for claim in summary["claims"])
    assert list(summary["networks"]) == list(NETWORKS)
    drawn = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"law.png", "cures.png"}


BAD = [
    ("--draws 1", "--draws 1", "2 or more"),
    ("--steps 25", "--steps 25", "multiple of 10"),
    ("--steps -10", "--steps -10", "0 or more"),
    ("--gains 1 0", "--gains 1", "above 0"),
    ("--length 1", "--length 1", "2 or more"),
    ("--seed -1", "--seed -1", "2147483645"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, named, way_out)


# --- the gradient by distance --------------------------------------------------------------------

TIME, BATCH, UNITS = 3, 2, 3


def tiny(name: str, *, is_normalized: bool):
    """A cell, weights that are not those of a start, inputs, and a loss of the last states."""
    cell = find_cell(name, is_normalized=is_normalized)
    weights = cell.init(jax.random.key(0), 2, UNITS)
    weights["bias"] = 0.3 * jax.random.normal(jax.random.key(1), weights["bias"].shape)
    inputs = jax.random.normal(jax.random.key(2), (TIME, BATCH, 2))
    return cell, weights, inputs, lambda last: jnp.sum(jnp.sin(last) ** 2, axis=1)


@pytest.mark.parametrize(
    ("name", "is_normalized"), [("rnn", False), ("rnn", True), ("lstm", False), ("gru", False)]
)
def test_gradients_are_jacobians_of_what_follows(name, is_normalized):
    """The rest of the sequence is a function of the state at each distance."""
    cell, weights, inputs, loss_of = tiny(name, is_normalized=is_normalized)
    found, norms = jax.jit(
        lambda weights, inputs: [
            of(cell, weights, inputs, loss_of)
            for of in (distances.gradient_by_distance, distances.norm_by_distance)
        ]
    )(weights, inputs)
    states = [cell.zero_state(BATCH, UNITS)]
    for row in inputs:
        states.append(cell.apply(weights, states[-1], row))

    @jax.jit
    def losses_from(state, rest):
        for row in rest:
            state = cell.apply(weights, state, row)
        return loss_of(state.hidden)

    for distance in range(TIME):
        place = TIME - distance
        jacobian = jax.jit(jax.jacobian(losses_from))(states[place], inputs[place:])
        squares = 0
        for seen, of_all in zip(jax.tree.leaves(found), jax.tree.leaves(jacobian), strict=True):
            expected = np.stack([of_all[example, example] for example in range(BATCH)])
            np.testing.assert_allclose(seen[distance], expected, rtol=1e-4, atol=1e-6)
            squares += np.sum(expected**2, axis=1)
        assert norms[distance] == pytest.approx(np.sqrt(squares).mean(), rel=1e-4)


def test_the_rate_is_that_of_a_power():
    norms = 3 * np.array([[0.5], [1.2]]) ** np.arange(40)
    np.testing.assert_allclose(distances.rate(norms, slice(10, 30)), [0.5, 1.2])


# --- the law -------------------------------------------------------------------------------------


def some_law(rate: float, *, radius: float, singular: float, mean=1.0, rms=1.0) -> law.Law:
    """One gain, two draws that are alike."""
    norms = np.tile(2 * rate ** np.arange(float(law.STEPS)), (1, 2, 1))
    return law.Law(norms, *(np.full((1, 2), of) for of in (radius, singular, mean, rms)))


def hold(**changes) -> list[bool]:
    """Of laws that are right but for the changes: the linear one, the bent one, the bound."""
    laws = {
        "still": some_law(0.7, radius=0.7, singular=0.7),
        "moved": some_law(0.8, radius=1.0, singular=1.0, mean=0.7, rms=0.8),
        "normal": some_law(0.8, radius=0.8, singular=1.5),
    } | changes
    found = {
        law.ORTHOGONAL: {law.LINEAR: laws["still"], law.TANH: laws["moved"]},
        law.NORMAL: {law.LINEAR: laws["normal"]},
    }
    return [bool(claim.holds) for claim in law.claims(found)]


def test_claims_of_the_law_fail_on_wrong_numbers():
    assert hold() == [True, True, True]
    assert hold(still=some_law(0.7001, radius=0.7, singular=0.8)) == [False, True, True]
    assert hold(normal=some_law(0.9, radius=0.8, singular=1.5)) == [False, True, True]
    by_mean = some_law(0.7, radius=1.0, singular=1.0, mean=0.7, rms=0.8)
    assert hold(moved=by_mean) == [True, False, True]
    alike = some_law(0.8, radius=1.0, singular=1.0, mean=0.79, rms=0.8)
    assert hold(moved=alike) == [True, False, True]
    assert hold(normal=some_law(1.01, radius=0.99, singular=1.5)) == [True, True, False]
    beyond = some_law(0.7, radius=0.7, singular=0.69)
    assert hold(still=beyond) == [True, True, False]


def test_nothing_is_claimed_of_kernels_that_were_not_drawn():
    assert hold(normal=some_law(1.2, radius=1.2, singular=2.0)) == [True, True]


def test_kernels_are_what_they_are_called():
    key = jax.random.key(0)
    matrix = law.draw_weights(law.ORTHOGONAL, 20, key)["recurrent_kernel"]
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(20), atol=1e-5)
    entries = law.draw_weights(law.NORMAL, 200, key)["recurrent_kernel"]
    assert float(jnp.std(entries)) == pytest.approx(200**-0.5, rel=0.02)


# --- networks that learn -------------------------------------------------------------------------


def test_the_gain_multiplies_the_recurrent_kernel_alone():
    model = models.sequence_classifier("rnn", [5], classes=1)
    examples = adding_problem(jax.random.key(0), 3, 4)
    arguments = jax.random.key(1), model, training.descent(jnp.float32(1.0)), examples
    plain, scaled = (training.begin(*arguments, jnp.float32(gain)).params for gain in (1.0, 2.0))
    layer = plain["recurrent"]["layer_0"]
    layer["recurrent_kernel"] = 2 * layer["recurrent_kernel"]
    jax.tree.map(np.testing.assert_array_equal, plain, scaled)
    kernel = np.asarray(layer["recurrent_kernel"])
    np.testing.assert_allclose(kernel @ kernel.T, 4 * np.eye(5), atol=1e-5)


def test_a_run_is_looked_at_before_and_while_it_learns():
    """As many updates as looks; the first look is that of a run without any."""
    kind = NETWORKS[VANISHING].kind
    tests = adding_problem(jax.random.key(1), 3, 4)
    member = {"gain": jnp.float32(0.5), "clip_norm": jnp.float32(1.0)}
    before, run = (
        jax.jit(training.train_one)(
            training.Static(training.Plan(kind, 4, steps, False)), tests, jax.random.key(0), member
        )
        for steps in (0, training.LOOKS)
    )
    assert before.norms.shape == (1, 4)
    assert before.steps == {}
    assert run.norms.shape == (training.LOOKS + 1, 4)
    assert run.steps["clipped_gradient_norm"].shape == (training.LOOKS,)
    assert run.steps["clipped_gradient_norm"].max() <= 1 + 1e-5
    np.testing.assert_allclose(run.norms[0], before.norms[0], rtol=1e-5)
    assert list(training.step_numbers(30)) == list(range(0, 31, 3))
    assert list(training.step_numbers(0)) == [0]


KEPT = {
    VANISHING: (1e-9, 1e-2),
    EXPLODING: (1e2, 0.0),
    CLIPPED: (1e2, 1e-1),
    ORTHOGONAL: (1e-1, 0.5),
    LSTM: (1e-1, 0.6),
    GRU: (1e-4, 0.7),
}
"""Parts of the gradient that come back, before and after training."""


def some_runs(kept=(), losses=()) -> dict[str, training.Seen]:
    """Two seeds of each network, right but for the changes by name."""
    kept = dict.fromkeys(NETWORKS, (0.01, 0.2)) | KEPT | dict(kept)
    poor = dict.fromkeys((VANISHING, EXPLODING, CLIPPED), 1.0)
    losses = dict.fromkeys(NETWORKS, 0.02) | poor | dict(losses)
    found = {}
    for name in NETWORKS:
        norms = np.ones((2, training.LOOKS + 1, 5))
        norms[:, 0, -1], norms[:, -1, -1] = kept[name]
        test = np.full((2, training.LOOKS + 1), losses[name] * ADDING_BASELINE)
        found[name] = training.Seen(norms, test, {})
    return found


def before(**changes) -> list[bool]:
    return [claim.holds for claim in cures.start_claims(some_runs(**changes))]


def after(**changes) -> list[bool]:
    return [claim.holds for claim in cures.trained_claims(some_runs(**changes))]


def test_claims_before_training_fail_on_wrong_numbers():
    assert before() == [True, True]
    assert before(kept={VANISHING: (1e-5, 1)}) == [False, True]
    assert before(kept={EXPLODING: (0.5, 0)}) == [False, True]
    assert before(kept={LSTM: (1e-8, 1)}) == [False, True]
    assert before(kept={ORTHOGONAL: (2.0, 1)}) == [False, True]
    assert before(kept={NORMALIZED: (0.0102, 0.2)}) == [True, False]
    assert before(kept={CLIPPED: (1e-9, 0.1)}) == [True, False]


def test_claims_after_training_fail_on_wrong_numbers():
    assert after() == [True, True, True]
    assert after(kept={EXPLODING: (1e2, 1e-5)}) == [False, True, True]
    assert after(kept={CLIPPED: (1e2, 1e-5)}) == [False, True, True]
    assert after(kept={GRU: (1e-4, 0.05)}) == [True, False, True]
    assert after(losses={LSTM: 0.5}) == [True, True, False]
    assert after(losses={VANISHING: 0.45}) == [True, True, False]
    assert after(losses={NORMALIZED: 0.55}) == [True, True, False]


def test_a_gradient_that_is_not_finite_is_none():
    assert after(kept={EXPLODING: (1e2, np.nan)}) == [True, True, True]


def test_figures_are_drawn():
    assert len(cures.draw(some_runs(), 100).axes) == 4
    norms = np.tile(0.5 ** np.arange(10.0), (2, 3, 1))
    laws = law.Law(np.tile(norms, 15), *np.ones((4, 2, 3)))
    found = {law.ORTHOGONAL: dict.fromkeys((law.LINEAR, law.TANH), laws)}
    found[law.NORMAL] = {law.LINEAR: laws}
    assert len(law.draw((0.5, 1.0), found).axes) == 3
