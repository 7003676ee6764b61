"""Stochastic, mini-batch and batch descent: the quick form, and its pieces by other means."""

import dataclasses
import json
import os
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import toy
from command_line import assert_refused, start
from sklearn.linear_model import LogisticRegression

from experiments import gradient_regimes as regimes
from experiments.gradient_regimes import convex, costs, exams, scatter, training
from experiments.gradient_regimes.journal import Journal
from jaxdl import data, losses, models, noise, optim, tradeoff, train
from jaxdl.errors import InputError
from jaxdl.gradients import mean_gradient
from jaxdl.optim import OptimizerConfig
from jaxdl.runs import open_run
from jaxdl.signals import Interrupted
from jaxdl.types import Examples


@pytest.fixture(scope="module")
def summary(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "quick"
    start(regimes, "--quick --quiet --diagnostics", out)
    figures = {path.name for path in (out / "figures").iterdir()}
    return {**json.loads((out / "summary.json").read_text()), "figures": figures, "out": out}


@pytest.mark.slow
def test_the_quick_form(summary):
    assert len(summary["claims"]) == 11
    assert all(claim["holds"] for claim in summary["claims"])
    instruments = ("instruments_mlp_batch_8", "instruments_mlp_batch_512")
    pages = ("mlp_curves", "mlp_variance", "mlp_noise_scale", *instruments)
    assert summary["figures"] == {f"{name}.png" for name in ("exam_paths", "convex", *pages)}


@pytest.mark.slow
def test_a_finished_run_is_read_and_not_run_again(summary, monkeypatch):
    def train_again(*arguments, **options):
        raise AssertionError

    monkeypatch.setattr(training, "train_to_target", train_again)
    config = dataclasses.replace(
        regimes.QUICK, diagnostics=True, resume=True, quiet=True, out=summary["out"]
    )
    dataset = data.load("mnist_5k")
    (task,) = regimes.make_tasks(config, 4000)
    with open_run("gradient_regimes", config) as directory:
        again, claims = regimes.run_task(config, task, dataset, directory)
    costs_before = summary["mlp"]["costs"]
    for name, values in again["costs"].items():
        if name != "noise_scales":
            np.testing.assert_array_equal(values, costs_before[name])
    np.testing.assert_array_equal(
        again["scatter"]["distinct"], summary["mlp"]["scatter"]["distinct"]
    )
    assert [claim._asdict() for claim in claims] == summary["claims"][-4:]


@pytest.mark.slow
def test_least_squares_of_the_exams(summary):
    """The normal equations of both standardised columns, written out."""
    study, _, quiz, exam = (column - column.mean() for column in data.EXAMS.T)
    inputs = np.stack([study / study.std(), quiz / quiz.std()])
    expected = np.linalg.solve(inputs @ inputs.T, inputs @ exam)
    np.testing.assert_allclose(summary["exam_solution"], expected, rtol=1e-12)


def test_the_optimum_is_that_of_scikit_learn():
    with jax.enable_x64(True):
        problem = convex.logistic_problem(data.load("mnist_5k").train)
        inputs, targets = np.asarray(problem.examples.inputs), np.asarray(problem.examples.targets)
        zero, key = np.zeros_like(problem.optimum), jax.random.key(0)
        rate = 1 / np.linalg.eigvalsh(problem.hessian)[-1]
        run = {"epochs": convex.BATCH_EPOCHS, "batch_size": len(targets)}  # compiled already
        seen = convex.squared_distances(problem, zero, rate, np.inf, key, **run)
    strength = 1 / (2 * convex.L2_STRENGTH * len(targets))
    solver = LogisticRegression(C=strength, fit_intercept=False, tol=1e-10, max_iter=1000)
    expected = solver.fit(inputs, targets[:, 0]).coef_[0]
    np.testing.assert_allclose(problem.optimum, expected, atol=1e-6)
    assert np.sqrt(seen[-1]) < 1e-10


def test_theory_of_hovering_and_approaching():
    """Against Lyapunov's equation, solved as it stands, and the recursion of a scalar SGD."""
    rng = np.random.default_rng(0)
    root, other = rng.normal(size=(2, 4, 4))
    hessian, covariance = root @ root.T + np.eye(4), other @ other.T
    stationary = scipy.linalg.solve_continuous_lyapunov(hessian, 0.1 * covariance)
    found = noise.hovering_distance(hessian, covariance, 0.1)
    np.testing.assert_allclose(found, np.trace(stationary), rtol=1e-10)

    curvature, variance, numerator, steps = 0.5, 3.0, 4.0, 100_000
    squared = 0.0
    for t in range(10, steps):
        squared = (1 - numerator * curvature / t) ** 2 * squared + (numerator / t) ** 2 * variance
    diagonal = np.eye(1) * curvature, np.eye(1) * variance
    limit = noise.approaching_distance(*diagonal, numerator)
    np.testing.assert_allclose(limit, steps * squared, rtol=1e-3)
    assert noise.approaching_distance(*diagonal, 0.9) == np.inf


def gradients_of(model, params, examples) -> np.ndarray:
    """Each example's gradient of softmax regression, written out."""
    logits = np.asarray(model.apply(params, {}, examples.inputs, None)[0], np.float64)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    errors = chances - np.eye(toy.CLASSES)[np.asarray(examples.targets)]
    inputs = np.asarray(examples.inputs, np.float64)
    return np.hstack([(inputs[:, :, None] * errors[:, None]).reshape(len(inputs), -1), errors])


def test_scatter_of_a_population():
    examples, model = toy.examples(64), models.mlp([], classes=toy.CLASSES)
    params = model.init(jax.random.key(1), examples.inputs).params
    loss_fn = losses.classification_loss(model)
    single = gradients_of(model, params, examples)
    known = noise.population_gradient(loss_fn, params, {}, examples, microbatch_size=16)
    expected = np.square(single - single.mean(axis=0)).sum(axis=1).mean()
    np.testing.assert_allclose(known.variance, expected, rtol=1e-5)
    rows = np.array([[0, 5, 5], [7, 8, 9]])
    found = noise.squared_deviations(
        loss_fn, params, {}, examples, jnp.asarray(rows), known.gradient
    )
    away = single[rows].mean(axis=1) - single.mean(axis=0)
    np.testing.assert_allclose(found, np.square(away).sum(axis=1), rtol=1e-4)

    seen = noise.measure_scatter(loss_fn, [params], examples, (1, 4, 60), examples_of_each=20_000)
    np.testing.assert_allclose(seen.independent[0] * seen.sizes, 1, rtol=0.2)
    np.testing.assert_allclose(seen.distinct[0] * seen.sizes, seen.factor, rtol=0.2)
    np.testing.assert_allclose(seen.factor[-1], 4 / 63)


def descent(losses_seen, **numbers) -> tradeoff.Descent:
    steps = 10 * np.arange(len(losses_seen))
    empty = np.zeros(0)
    return tradeoff.Descent(
        **{
            "batch_size": 8,
            "steps": steps,
            "losses": np.array(losses_seen),
            "metrics": {"gradient_variance": empty, "squared_gradient": empty},
            "seconds_per_step": 1.0,
            "params": None,
            **numbers,
        }
    )


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ([4.0, 2.0, 0.5], 15.0),  # half of the way from 2 to 1/2 by logarithms
        ([4.0, 1.0, 0.5], 10.0),
        ([0.5, 0.4], 0.0),
        ([4.0, 2.0], np.inf),
        ([4.0, 2.0, 0.5, 3.0, 0.5], 15.0),
    ],
)
def test_steps_to_a_target(seen, expected):
    np.testing.assert_allclose(descent(seen).steps_to(1.0), expected)


def test_mean_noise_scale():
    moments = {
        "gradient_variance": np.array([2.0, 6.0, 18.0]),
        "squared_gradient": np.array([1.0, 1.0, 3.0]),
    }
    # Means over two steps: 4 / 1 and 12 / 2, with batches of 8; worth 8 / 12 and 8 / 14 of a step.
    found = descent([1.0], metrics=moments).mean_noise_scale(window=2)
    assert found == pytest.approx((4 / 12 + 6 / 14) / (1 / 12 + 1 / 14))
    unknown = {name: np.full(3, np.nan) for name in moments}
    assert np.isnan(descent([1.0], metrics=unknown).mean_noise_scale())


def test_tuning_stops_where_doubling_no_longer_helps():
    steps = {1.0: 100.0, 2.0: 50.0, 4.0: 30.0, 8.0: np.inf}
    tried = []

    def steps_at(rate, most_steps):
        tried.append((rate, most_steps))
        return steps[rate]

    assert tradeoff.tune_rate(steps_at, 1.0, 80.0) == (4.0, 30.0)
    assert tried == [(1.0, 80.0), (2.0, 80.0), (4.0, 50.0), (8.0, 30.0)]


def test_a_trade_off_that_is_none():
    with pytest.raises(InputError, match="no trade-off"):
        tradeoff.fit_trade_off(np.array([1.0, 2.0]), np.array([3.0, np.inf]))


def test_training_to_a_target_is_fit_stopped_early():
    examples, model = toy.examples(100), models.mlp([], classes=toy.CLASSES)
    loss_fn = losses.classification_loss(model)
    found = tradeoff.train_to_target(
        model,
        loss_fn,
        OptimizerConfig("sgd", 0.5),
        jax.random.key(0),
        examples,
        batch_size=20,
        target=0.4,
        most_steps=1000,
        looked_at=examples,
        look_every=40,
    )
    assert found.losses[-1] <= 0.4 < found.losses[-2]
    np.testing.assert_array_equal(np.unique(np.diff(found.steps)), [1, 2])  # five steps an epoch
    assert len(found.variance) == found.steps[-1]
    optimizer = optim.make_optimizer(OptimizerConfig("sgd", 0.5))
    update = train.make_update(mean_gradient(loss_fn), optimizer)
    state = train.init_state(jax.random.key(0), model, optimizer, examples.inputs)
    epochs = -(-found.steps[-1] // 5)
    _, history = train.fit(
        update,
        state,
        examples,
        epochs=int(epochs),
        batch_size=20,
        loss_fn=loss_fn,
        evaluations={"all": examples},
    )
    ends = np.isin(found.steps, 5 * np.arange(1, epochs + 1))
    np.testing.assert_allclose(
        found.losses[ends], history.epochs["all_loss"][: ends.sum()], rtol=1e-4
    )


def test_a_target_that_needs_no_training():
    examples, model = toy.examples(20), models.mlp([], classes=toy.CLASSES)
    with pytest.raises(InputError, match=r"the target loss 100 .* give a lower one"):
        tradeoff.train_to_target(
            model,
            losses.classification_loss(model),
            OptimizerConfig("sgd", 0.5),
            jax.random.key(0),
            examples,
            batch_size=20,
            target=100,
            most_steps=10,
            looked_at=examples,
        )


# --- going on ------------------------------------------------------------------------------------

TASK = training.Task("toy", models.mlp([], classes=toy.CLASSES), (10, 50), 0.1)
FORM = jax.eval_shape(TASK.model.init, jax.random.key(0), toy.examples(1).inputs).params


def train_in(out, **changes):
    """Three runs of both batch sizes, in the run directory ``out``."""
    config = regimes.Config(out=out, resume=True, quiet=True)
    with open_run("toy", config) as directory:
        options = {"kept": 3, "config": {"a": 1}, "resume": True, "quiet": False, **changes}
        journal = Journal(directory, TASK.name, FORM, **options)
        counts = {"seeds": 3, "tuning_seeds": 1}
        return training.train(
            TASK, toy.examples(100), target=0.5, seed=0, journal=journal, **counts
        )


@pytest.mark.parametrize("last", [2, 12])  # in the tuning of the first batch size; near the end
def test_an_interrupted_run_goes_on_to_the_same_numbers(last, tmp_path, monkeypatch, capsys):
    calls = []

    def counted(*arguments, **options):
        calls.append(options["batch_size"])
        if len(calls) == last:
            os.kill(os.getpid(), signal.SIGINT)
        descent = tradeoff.train_to_target(*arguments, **options)
        missing = np.full(len(descent.losses), np.nan, np.float32)
        return descent._replace(metrics={**descent.metrics, "missing": missing})

    monkeypatch.setattr(training, "train_to_target", counted)
    with pytest.raises(Interrupted, match=f"go on with --out {tmp_path / 'one'} --resume"):
        train_in(tmp_path / "one")
    assert len(calls) == last
    found = train_in(tmp_path / "one")
    told, in_two_sittings = capsys.readouterr().err, len(calls)
    assert told.count(" steps\n") == in_two_sittings  # those of the first are not told again
    assert "toy, batch 50, rate" in told
    assert "seed 3 of 3" in told
    expected = train_in(tmp_path / "other")
    assert len(calls) == 2 * in_two_sittings
    assert list(found) == list(expected) == [10, 50]
    for size in found:
        for one, other in zip(found[size], expected[size], strict=True):
            for name in ("batch_size", "steps", "losses", "metrics"):
                jax.tree.map(
                    np.testing.assert_array_equal, getattr(one, name), getattr(other, name)
                )
    for one, other in zip(found[50], expected[50], strict=True):
        jax.tree.map(np.testing.assert_array_equal, one.params, other.params)
    with pytest.raises(InputError, match="a was 1, is 2"):
        train_in(tmp_path / "one", config={"a": 2})


# --- what a user gives ---------------------------------------------------------------------------

BAD = [
    ("--seeds 1", "--seeds 1", "2 or more"),
    ("--seed 99999999999", "99999999999", "2147483646"),
    ("--target-loss 0", "--target-loss 0", "above 0"),
    ("--target-loss 2.5", "--target-loss 2.5", "below 2.3"),
    ("--tuning-seeds 0", "--tuning-seeds 0", "1 or more"),
    ("--population 100", "--population 100", "multiple of 16"),
    ("--population 8000", "--population 8000", "4000 at most"),
    ("--mlp-batch-sizes 8 8", "--mlp-batch-sizes 8 8", "grow"),
    ("--mlp-batch-sizes 8", "--mlp-batch-sizes 8", "two or more"),
    ("--cnn-batch-sizes 8 5000", "8 5000", "4000"),
    ("--variance-sizes 1 2000", "1 2000", "1919"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(regimes, flags, tmp_path / "run", capsys, named, way_out)


def test_0_is_all_examples():
    config = dataclasses.replace(regimes.QUICK, mlp_batch_sizes=(8, 0))
    assert regimes.make_tasks(config, 4000)[0].batch_sizes == (8, 4000)
    regimes.check_sizes(config, 4000)


# --- claims that are given wrong numbers ---------------------------------------------------------


def held(claims) -> list[bool]:
    return [claim.holds for claim in claims]


def test_claims_of_the_exams_can_fail():
    solution = np.array([1.0, 2.0])

    def paths(**radii):
        """Steps on circles about the solution, whose radii may differ from quarter to quarter."""
        around = np.stack([np.cos(np.arange(40)), np.sin(np.arange(40))], axis=-1)
        quarters = {name: np.repeat(radius, 10)[:, None] for name, radius in radii.items()}
        weights = {
            name: (solution + quarters[short] * around)[None]
            for name, short in zip(exams.BATCHES, ("one", "four", "all"), strict=True)
        }
        return exams.Paths(exams.exam_examples(), solution, weights)

    still, ends = [1, 1, 1, 1], [1, 0.1, 1e-5, 1e-8]
    good = {"one": still, "four": still, "all": ends}
    assert held(exams.claims(paths(**good))) == [True, True, True]
    assert held(exams.claims(paths(**good | {"all": still}))) == [False, True, True]
    assert held(exams.claims(paths(**good | {"one": ends}))) == [True, False, True]
    assert held(exams.claims(paths(**good | {"four": [1, 1, 1, 3]}))) == [True, True, False]
    assert held(exams.claims(paths(**good | {"one": [1, 1, 1, 0.4]}))) == [True, False, True]


def test_claims_of_the_logistic_regression_can_fail():
    rates, times = np.array(convex.RATES), np.arange(1, 4001.0)

    def seen(batch=1e-14, level=1.0, independent=(1.0, -1.0), shuffled=(2.0, -2.0)):
        """Power laws with these exponents of the rate and of the step."""
        exponents = {"independent": independent, "shuffled": shuffled}
        return convex.Distances(
            batch=np.array([1.0, batch]),
            hover={way: np.stack([level * rates**of] * 2) for way, (of, _) in exponents.items()},
            hover_theory=rates,
            decay={way: np.stack([times**of] * 2) for way, (_, of) in exponents.items()},
            decay_theory=1.0,
        )

    assert held(convex.claims(seen())) == [True] * 4
    assert held(convex.claims(seen(batch=1e-10))) == [False, True, True, True]
    assert held(convex.claims(seen(level=1.3))) == [True, False, True, True]
    assert held(convex.claims(seen(independent=(1.2, -1)))) == [True, False, True, True]
    assert held(convex.claims(seen(independent=(1, -0.8)))) == [True, True, False, True]
    assert held(convex.claims(seen(independent=(1, -2)))) == [True, True, False, True]
    assert held(convex.claims(seen(shuffled=(1, -2)))) == [True, True, True, False]
    assert held(convex.claims(seen(shuffled=(2, -1)))) == [True, True, True, False]
    good = seen()
    far = good._replace(hover={**good.hover, "shuffled": 1e4 * good.hover["shuffled"]})
    assert held(convex.claims(far)) == [True, True, True, False]


def cost(critical=50.0, noise_scale=50.0, seconds=(1.0, 2.0, 8.0)) -> costs.Costs:
    """Steps of a trade-off with this critical batch size; the noise scale and seconds of a step."""
    sizes = np.array([8.0, 64.0, 512.0])
    steps = np.stack([40 * (1 + critical / sizes)] * 2)
    found, told = np.full(2, critical), np.full(2, noise_scale)
    return costs.Costs(sizes, steps, np.array(seconds), found, told, {})


def test_claims_of_the_costs_can_fail():
    assert held(costs.claims("mlp", cost())) == [True, True]
    # Where all sizes are far below the critical one examples stay the same; above, steps do.
    assert held(costs.claims("mlp", cost(1e4, 1e4))) == [False, True]
    assert held(costs.claims("mlp", cost(1.0, 1.0))) == [False, True]
    assert held(costs.claims("mlp", cost(noise_scale=160.0))) == [True, False]
    assert held(costs.claims("mlp", cost(noise_scale=16.0))) == [True, False]
    assert held(costs.claims("mlp", cost(noise_scale=np.nan))) == [True, False]


def test_the_claim_of_the_fastest_batch_size_can_fail():
    """290, 71 and 44 steps: 290, 142 and 351 seconds."""
    assert costs.time_claim("mlp", cost()).holds
    # Batches of 512, as a noise scale of 1000 has it, take 2.5 times as long as those of 64.
    assert not costs.time_claim("mlp", cost(noise_scale=1000.0)).holds
    # Those of 64 are predicted where 1 + b / 64 is below (1 + b / 8) / 2 and 4 (1 + b / 512).
    assert "would do, too: 11 to 3.8e+02" in costs.time_claim("mlp", cost()).numbers


def test_claims_of_the_scatter_can_fail():
    sizes = np.array([1, 16, 240])
    factor = noise.finite_population_factor(sizes, 256)
    law = np.stack([1 / sizes] * 3)
    good = noise.Scatter(sizes, independent=law, distinct=law * factor[None], factor=factor)
    slower = sizes[None] ** 0.15
    for tolerance in (0.03, 0.1):

        def of(seen, tolerance=tolerance):
            return held(scatter.claims("mlp", seen, population=256, tolerance=tolerance))

        assert of(good) == [True, True]
        assert of(good._replace(independent=law * slower)) == [False, True]
        assert of(good._replace(independent=law / slower)) == [False, True]
        assert of(good._replace(distinct=law)) == [True, False]  # that of independent draws


def test_examples_are_standardised():
    examples: Examples = exams.exam_examples()
    np.testing.assert_allclose(np.std(examples.inputs, axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(np.mean(examples.targets), 0, atol=1e-4)
