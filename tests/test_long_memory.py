"""The problems by hand and by their definitions, runs that end, and claims on wrong numbers."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import assert_refused, start

from experiments import long_memory as experiment
from experiments.long_memory import claims, figures, problems, training
from experiments.long_memory.problems import ADDING, COPYING, PARITY, Problem
from jaxdl.data import memory_problems
from jaxdl.errors import InputError
from jaxdl.types import Static

# --- the quick form ------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_claim_holds(tmp_path):
    start(experiment, "--quick", tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert all(claim["holds"] for claim in summary["claims"])
    assert len(summary["claims"]) == 1
    drawn = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"lengths.png", "curves.png"}


BAD = [
    ("--seeds 1", "--seeds 1", "2 or more"),
    ("--steps 300", "--steps 300", "multiple of 250"),
    ("--cells rnn lstn", "--cells lstn", "gru"),
    ("--adding 1", "--adding 1", "2 or more"),
    ("--parity 4 4", "--parity 4 4", "different"),
    ("--adding --copying --parity", "--adding, --copying, --parity", "one of them"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, named, way_out)


# --- the problems --------------------------------------------------------------------------------

COUNT = 2000


def test_what_is_to_be_copied():
    inputs, targets = map(
        np.asarray, memory_problems.copying_problem(jax.random.key(0), COUNT, 7, symbols=3)
    )
    assert inputs.shape == targets.shape == (COUNT, 13)
    assert inputs.dtype == targets.dtype == np.int32
    shown = inputs[:, :3]
    np.testing.assert_array_equal(np.unique(shown), np.arange(8))
    assert np.bincount(shown.ravel(), minlength=8).min() > 3 * COUNT / 8 * 0.85
    np.testing.assert_array_equal(inputs[:, 3:], [[8] * 6 + [9] + [8] * 3] * COUNT)
    np.testing.assert_array_equal(targets[:, :10], 8)
    np.testing.assert_array_equal(targets[:, 10:], shown)


def test_the_published_copying_problem():
    """Ten symbols, T - 1 blanks, the delimiter, ten blanks: T + 20 steps."""
    inputs, _ = memory_problems.copying_problem(jax.random.key(0), 1, 100)
    assert inputs.shape == (1, 120)
    assert int(inputs[0, 109]) == memory_problems.DELIMITER
    expected = 10 * math.log(8) / 120
    assert memory_problems.copying_baseline(100) == pytest.approx(expected)


def test_what_is_to_be_added():
    inputs, sums = map(np.asarray, memory_problems.adding_problem(jax.random.key(0), COUNT, 7))
    numbers, marks = inputs[..., 0], inputs[..., 1]
    assert inputs.shape == (COUNT, 7, 2)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    np.testing.assert_array_equal(np.unique(marks), [0, 1])
    np.testing.assert_array_equal(marks[:, :3].sum(axis=1), 1)
    np.testing.assert_array_equal(marks[:, 3:].sum(axis=1), 1)
    np.testing.assert_allclose(marks.mean(axis=0), [1 / 3] * 3 + [1 / 4] * 4, atol=0.04)
    np.testing.assert_allclose(sums[:, 0], (numbers * marks).sum(axis=1), rtol=1e-6)


def test_whose_parity_is_to_be_told():
    signs, classes = map(np.asarray, memory_problems.parity_problem(jax.random.key(0), COUNT, 5))
    assert signs.shape == (COUNT, 5, 1)
    np.testing.assert_array_equal(np.unique(signs), [-1, 1])
    np.testing.assert_array_equal(classes, (signs[..., 0] == 1).sum(axis=1) % 2)
    assert len(np.unique(signs[..., 0], axis=0)) == 32
    assert classes.mean() == pytest.approx(0.5, abs=0.04)


def test_a_key_is_a_draw():
    for draw in (memory_problems.adding_problem, memory_problems.parity_problem):
        first, same, other = (draw(jax.random.key(seed), 4, 6).inputs for seed in (0, 0, 1))
        np.testing.assert_array_equal(first, same)
        assert np.any(first != other)


def test_baselines_are_those_of_memoryless_guesses():
    """What is measured of the best guess that does not look at the inputs."""
    key = jax.random.key(1)
    sums = memory_problems.adding_problem(key, 20_000, 10).targets
    error = float(jnp.mean((sums - 1) ** 2))
    assert error == pytest.approx(Problem(ADDING, 10).baseline(), rel=0.03)
    assert Problem(ADDING, 10).baseline() == pytest.approx(0.167, abs=0.001)
    copying = Problem(COPYING, 6)
    _, targets = copying.draw(key, 50)
    logits = np.full((50, 16, 10), -1e9, np.float32)
    logits[:, :11, 8] = 0
    logits[:, 11:, :8] = 0
    losses = problems.cross_entropy_of_steps(jnp.asarray(logits), targets)
    np.testing.assert_allclose(losses, copying.baseline(), rtol=1e-5)
    assert Problem(PARITY, 6).baseline() == pytest.approx(0.6931, abs=1e-4)


@pytest.mark.parametrize(
    ("draw", "sizes"),
    [
        (memory_problems.copying_problem, (1, 0)),
        (memory_problems.copying_problem, (1, 5, 0)),
        (memory_problems.adding_problem, (1, 1)),
        (memory_problems.adding_problem, (0, 4)),
        (memory_problems.parity_problem, (1, 0)),
    ],
)
def test_sizes_that_cannot_be(draw, sizes):
    with pytest.raises(InputError, match="or more"):
        draw(jax.random.key(0), *sizes)


def test_cells_have_as_many_recurrent_weights():
    for cell in ("rnn", "lstm", "gru"):
        model = Problem(PARITY, 3).model(cell, problems.units_of(cell, 32))
        params, _ = jax.eval_shape(model.init, jax.random.key(0), jnp.ones((1, 3, 1)))
        size = params["recurrent"]["layer_0"]["recurrent_kernel"].size
        assert size == pytest.approx(4096, rel=0.02)


# --- runs ----------------------------------------------------------------------------------------


def test_a_run_ends_where_its_problem_is_solved(monkeypatch):
    """Parity of one sign is its class; what follows the end is NaN."""
    monkeypatch.setattr(training, "LOOK", 10)
    problem = Problem(PARITY, 1)
    plan = Static(training.Plan(problem, "rnn", 4, looks=40, is_watched=False))
    tests = problem.draw(jax.random.key(1), 50)
    member = {"rate": jnp.float32(0.01)}
    runs = jax.jit(training.train_one)(plan, tests, jax.random.key(0), member)
    losses = np.asarray(runs.losses)
    count = int(np.sum(~np.isnan(losses)))
    assert 1 < count < 40
    assert np.isnan(losses[count:]).all()
    assert (losses[: count - 1] >= training.SOLVED).all()
    assert losses[count - 1] < training.SOLVED
    assert runs.steps == {}


def some_runs(*last: float, looks: int = 2) -> training.Runs:
    """Runs that end at these losses, after so many looks each."""
    losses = np.array([[*[1.0] * (looks - 1), of, np.nan] for of in last])
    return training.Runs(losses, {})


def test_the_end_of_a_run():
    runs = some_runs(0.05, 0.5, np.inf)
    assert runs.last().tolist() == [0.05, 0.5, np.inf]
    assert runs.solved().tolist() == [True, False, False]
    assert claims.counted(runs) == "1 of 3"
    assert claims.updates(runs) == "500"


# --- claims --------------------------------------------------------------------------------------

GOOD, POOR = (0.02, 0.03, 0.04), (0.99, 1.0, 1.01)


def hold(**changes) -> list[bool]:
    """Of runs that are right but for the changes, by problem and cell, such as ``far_rnn``."""
    right = {
        "short": dict.fromkeys(claims.CELLS, GOOD),
        "far": {"rnn": some_runs(0.05, 1.0, 1.0, looks=8), "lstm": GOOD, "gru": GOOD},
        "copy": {"rnn": (0.94, 0.95, 0.96), "lstm": (0.5, 0.52, 0.54), "gru": (0.2, 0.21, 0.22)},
        "parity": {"rnn": POOR, "lstm": POOR, "gru": (0.01, 1.0, 1.0)},
    }
    for place, losses in changes.items():
        problem, cell = place.split("_")
        right[problem] = {**right[problem], cell: losses}
    runs = {
        name: {
            cell: of if isinstance(of, training.Runs) else some_runs(*of)
            for cell, of in of_cell.items()
        }
        for name, of_cell in right.items()
    }
    found = dict.fromkeys(claims.SHORT, runs["short"]) | {
        claims.FAR: runs["far"],
        claims.LONG_COPY: runs["copy"],
        claims.LONG_PARITY: runs["parity"],
    }
    return [claim.holds for claim in claims.claims(found)]


def test_claims_fail_on_wrong_numbers():
    assert hold() == [True, True, True, True]
    assert hold(short_rnn=(0.02, 0.02, 0.2)) == [False, True, True, True]
    assert hold(far_gru=(0.02, 0.02, 0.2)) == [True, False, True, True]
    early, all_of_them = some_runs(0.05, 1.0, 1.0, looks=7), some_runs(*GOOD, looks=8)
    assert hold(far_rnn=early) == [True, False, True, True]
    assert hold(far_rnn=all_of_them) == [True, False, True, True]
    assert hold(copy_lstm=(0.1, 0.5, 0.9)) == [True, True, False, True]
    assert hold(copy_gru=(0.7, 0.7, 0.7)) == [True, True, False, True]
    assert hold(parity_lstm=(1.0, 1.0, 0.05)) == [True, True, True, False]


def test_nothing_is_claimed_of_what_was_not_trained():
    runs = dict.fromkeys(claims.CELLS, some_runs(*GOOD))
    assert claims.claims({Problem(ADDING, 20): runs}) == []
    assert claims.claims({problem: {"gru": runs["gru"]} for problem in claims.SHORT}) == []


def test_summary_and_figures():
    """A run that diverged has no loss that could be drawn, and breaks no figure."""
    runs = {"rnn": some_runs(1.0, np.inf), "gru": some_runs(0.02, 0.03)}
    found = {Problem(ADDING, 10): runs, Problem(ADDING, 5): runs, Problem(PARITY, 2): runs}
    rows = claims.summarize(found)
    assert len(rows) == 6
    assert rows[1]["updates"].tolist() == [500, 500]
    assert [problem.length for problem in figures.by_name(found)[ADDING]] == [5, 10]
    assert len(figures.draw_lengths(found).axes) == 2
    assert len(figures.draw_curves(found).axes) == 4
