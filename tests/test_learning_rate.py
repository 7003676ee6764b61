"""The quick form, each part against loops and solvers of others, and claims on wrong numbers."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import assert_refused, start
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from experiments import learning_rate as experiment
from experiments.learning_rate import edge, quadratic, ranges, rates, schedules, training
from experiments.learning_rate.training import Plan, Runs, Tried
from jaxdl import losses, models, optim, train
from jaxdl.gradients import mean_gradient
from jaxdl.optim import OptimizerConfig, ScheduleConfig
from jaxdl.types import Examples, Static


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    out = tmp_path_factory.mktemp("quick") / "run"
    start(experiment, "--quick", out)
    return out


@pytest.mark.slow
def test_every_claim_holds(quick):
    summary = json.loads((quick / "summary.json").read_text())
    assert [claim["holds"] for claim in summary["claims"]] == [True] * 8
    drawn = {path.stem for path in (quick / "figures").iterdir()}
    assert drawn == {"quadratic", "edge", "rates", "range_test", "schedules"}


@pytest.mark.slow
def test_a_run_does_not_go_on_with_other_schedules(quick, capsys):
    flags = "--resume --schedules constant cosine --descent-steps 4"
    with pytest.raises(SystemExit):
        start(experiment, f"--config {quick / 'config.json'} {flags}", quick)
    assert (
        "schedules was ['constant', 'one_cycle'], is ['constant', 'cosine']"
        in capsys.readouterr().err
    )


BAD = [
    ("--network cn", "--network cn", "cnn"),
    ("--schedules constant cosin", "--schedules cosin", "cosine"),
    ("--schedules cosine", "--schedules cosine", "add it"),
    ("--seeds 1", "--seeds 1", "2 or more"),
    ("--epochs 1 --batch-size 512", "--epochs 1 --batch-size 512", "10 steps or more"),
    ("--diagnostics", "--diagnostics", "leave it out"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, named, way_out)


# --- the quadratic -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def descents():
    return quadratic.measure()


def test_descents_by_a_plain_loop(descents):
    flat, steep = np.array([1.0, 1.0]) / np.sqrt(2), np.array([-1.0, 1.0]) / np.sqrt(2)
    hessian = quadratic.FLAT * np.outer(flat, flat) + quadratic.STEEP * np.outer(steep, steep)
    for place in (0, 20, -1):
        point = np.array(quadratic.START)
        for walked in descents.paths[place, :30]:
            np.testing.assert_allclose(walked, point, rtol=1e-10, atol=1e-14)
            point = point - descents.rates[place] * hessian @ point


def test_claims_of_the_quadratic_can_fail(descents):
    assert all(claim.holds for claim in quadratic.claims(descents))
    # As if the curvature were a hundredth more than it is.
    off = descents._replace(rates=descents.rates / 1.01)
    assert not quadratic.factor_claim(off).holds
    assert not quadratic.regimes_claim(descents._replace(rates=descents.rates * 1.1)).holds
    one_sided = descents._replace(paths=np.sort(descents.paths, axis=2))  # no step crosses
    assert not quadratic.regimes_claim(one_sided).holds


# --- the edge ------------------------------------------------------------------------------------


def test_curvature_by_all_eigenvalues(monkeypatch):
    monkeypatch.setattr(edge, "WARM_UP", 300)
    keys = jax.random.split(jax.random.key(0))
    examples = Examples(jax.random.normal(keys[0], (6, 2)), jnp.eye(3)[jnp.arange(6) % 3])
    model = models.mlp((2,), classes=3, activation="tanh")
    seen = edge.descend(Static(2), model, examples, keys[1], jnp.float32(1e-3))
    sharpness, values = np.asarray(seen.sharpness), np.asarray(seen.loss)

    params = model.init(jax.random.split(keys[1])[0], examples.inputs[:1]).params
    leaves, structure = jax.tree.flatten(params)

    def loss(flat):
        shaped = jnp.split(flat, np.cumsum([leaf.size for leaf in leaves])[:-1])
        pairs = zip(shaped, leaves, strict=True)
        of = jax.tree.unflatten(structure, [a.reshape(b.shape) for a, b in pairs])
        outputs, _ = model.apply(of, {}, examples.inputs, None)
        return jnp.mean(jnp.sum((outputs - examples.targets) ** 2, axis=1))

    flat = jnp.concatenate([leaf.ravel() for leaf in leaves])
    for step in range(2):
        eigenvalues = np.linalg.eigvalsh(jax.hessian(loss)(flat))
        leading = eigenvalues[np.abs(eigenvalues).argmax()]
        assert sharpness[step] == pytest.approx(leading, rel=1e-3)
        assert values[step] == pytest.approx(float(loss(flat)), rel=1e-5)
        flat = flat - 1e-3 * jax.grad(loss)(flat)


def test_centred_images_by_hand():
    images = np.zeros((2, 14, 14, 1), np.float32)
    images[1, 0, 0] = 1
    centred = edge.centred(Examples(jnp.asarray(images), jnp.array([3, 7])))
    assert centred.inputs[:, 0, 0, 0].tolist() == [-0.5, 0.5]
    assert float(jnp.abs(centred.inputs).sum()) == 1.0
    assert centred.targets.argmax(axis=1).tolist() == [3, 7]


def test_claim_of_the_edge_can_fail():
    def runs(first, last, end=0.1):
        levels = np.append(np.linspace(first, last, 50), np.full(50, last))
        sharpness = np.tile(levels, (len(edge.RATES), 3, 1))
        sharpness[-1, :, :50] += np.linspace(0.5, 0, 50)  # one that starts above
        sharpness *= 2 / np.array(edge.RATES)[:, None, None]
        loss = np.broadcast_to(np.linspace(1, end, 100), sharpness.shape)
        return edge.Runs(jnp.asarray(loss), jnp.asarray(sharpness))

    assert edge.claim(runs(0.8, 1.0)).holds
    assert not edge.claim(runs(0.8, 1.1)).holds
    assert not edge.claim(runs(0.8, 0.8)).holds
    assert not edge.claim(runs(1.0, 1.0)).holds  # it was there from the start
    assert not edge.claim(runs(0.8, 1.0, end=0.9)).holds  # and learnt nothing


# --- training ------------------------------------------------------------------------------------


def test_a_rate_for_each_step_is_the_schedule_of_the_optimizer(few_digits, monkeypatch):
    model = models.mlp((4,), classes=10)
    monkeypatch.setitem(training.NETWORKS, "mlp", lambda: model)
    splits, key = training.split(few_digits), jax.random.key(3)
    plan = Plan("mlp", 2, 32)
    steps = training.steps_of(plan, splits)
    table = training.make_tables(["warmup_cosine"], steps)["warmup_cosine"]
    both = jnp.stack([jnp.asarray(table[4], float), jnp.full(steps, 1e30)])
    run = jax.vmap(functools.partial(training.train_one, Static(plan), splits, key))(both)

    loss_fn = losses.classification_loss(model)
    config = OptimizerConfig("sgd", training.PEAKS[4], schedule=ScheduleConfig("cosine", 0.1))
    optimizer = optim.make_optimizer(config, steps)
    update = train.make_update(mean_gradient(loss_fn), optimizer)
    state = train.init_state(key, model, optimizer, splits.train.inputs[:1])
    fitted, history = train.fit(update, state, splits.train, epochs=2, batch_size=32)
    np.testing.assert_allclose(run.losses[0], history.steps["loss"].ravel(), rtol=1e-4)
    expected = train.evaluate(loss_fn, fitted.train.params, {}, splits.validation)
    assert run.validation_loss[0] == pytest.approx(float(expected["loss"]), rel=1e-4)
    assert run.validation_accuracy[0] == pytest.approx(float(expected["accuracy"]))
    # The other one has diverged.
    assert float(run.test_loss[1]) == pytest.approx(np.log(10))
    assert float(run.test_accuracy[1]) == pytest.approx(0.1)


def test_tables():
    tables = training.make_tables(["constant", "cosine"], 10)
    np.testing.assert_allclose(tables["constant"], np.repeat(training.PEAKS[:, None], 10, axis=1))
    assert tables["cosine"][:, 5] == pytest.approx(training.PEAKS / 2)
    rising = tables[training.RANGE_TEST][0]
    assert rising[0] == pytest.approx(training.LOWEST)
    assert rising[-1] * (rising[1] / rising[0]) == pytest.approx(training.HIGHEST, rel=1e-4)


def tried(peaks, *, loss: ArrayLike = 0.3, accuracy: ArrayLike = 0.9, losses=None, seeds=13):
    """Runs that ended as they say, each a number or one for each peak (and seed)."""
    shape = len(peaks), seeds
    losses = np.ones((*shape, 20)) if losses is None else losses

    def of(values):
        values = np.asarray(values, float)
        return np.broadcast_to(values if values.ndim > 1 else values[..., None], shape).copy()

    return Tried(np.array(peaks), Runs(losses, of(loss), of(accuracy), of(loss), of(accuracy)))


# --- constant rates ------------------------------------------------------------------------------


def decaying(power=1.0):
    """Losses that fall as exp(-rate^power t), and end up high where the rate is above 0.2."""
    peaks = np.array([0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0])
    step = np.arange(2000)
    curves = 2.3 * np.exp(-(peaks[:, None] ** power) * step)
    curves[peaks > 0.2] = 3.0
    curves = np.repeat(curves[:, None], 13, axis=1)
    is_fast = peaks > 0.5
    loss, accuracy = np.where(is_fast, 2.3, 0.3), np.where(is_fast, 0.1, 0.9)
    return tried(peaks, losses=curves, loss=loss, accuracy=accuracy)


def test_steps_to_a_level_by_hand():
    peaks = np.array([1.0, 2.0])
    curves = np.stack([np.repeat([2.0, 1.0], [30, 20]), np.full(50, 2.0)])
    curves = np.repeat(curves[:, None], 2, axis=1)
    # The first window of ten steps whose mean is 1.5 begins at step 25 (from 0), its middle is 29.5
    # steps after the start, or 30.5 with the first step as 1.
    steps = rates.steps_to_level(tried(peaks, losses=curves, seeds=2))
    assert steps.tolist() == [30.5, np.inf]


@pytest.mark.parametrize("level", [1.0, 2.0], ids=["all get there", "none gets there"])
def test_steps_are_drawn_of_rates_that_get_to_the_level(level):
    figure = Figure()
    axes = figure.subplots()
    rates.draw_steps(axes, tried([0.1, 1.0], losses=np.full((2, 13, 20), level)))
    figure.draw_without_rendering()
    drawn = [len(np.atleast_1d(line.get_xdata())) for line in axes.lines]
    assert drawn == ([2, 2] if level < rates.LEVEL else [0])


def test_claims_of_constant_rates_can_fail():
    assert rates.slow_claim(decaying()).holds
    assert not rates.slow_claim(decaying(power=0.8)).holds
    assert not rates.slow_claim(tried([0.1, 1.0])).holds  # none is slow
    good = decaying()
    assert rates.cliff_claim(good, 0.1).holds
    assert not rates.cliff_claim(good, 0.01).holds  # at ten times as much it learns
    assert not rates.cliff_claim(good, 1.0).holds  # ten times as much was not tried
    assert not rates.cliff_claim(good, 0.003).holds  # nor a tenth
    lazy = good.runs._replace(validation_accuracy=np.full((7, 13), 0.4))
    assert not rates.cliff_claim(good._replace(runs=lazy), 0.1).holds


def test_joined_rates_grow():
    joined = rates.join(tried([0.1, 1.0], loss=[1, 2]), tried([0.01, 10.0], loss=[0, 3]))
    assert joined.peaks.tolist() == [0.01, 0.1, 1.0, 10.0]
    assert joined.runs.test_loss[:, 0].tolist() == [0, 1, 2, 3]


# --- the range test ------------------------------------------------------------------------------


def test_the_rate_of_least_loss():
    table = np.geomspace(1e-3, 10, 400)[None]
    lowest = np.array([0.1, 0.5])
    curves = 1 + np.log(table / lowest[:, None]) ** 2
    curves[1, 300:] = np.nan
    test = ranges.read(tried([10.0], losses=curves[None], seeds=2), table)
    np.testing.assert_allclose(test.suggestions(), lowest, rtol=0.02)


def test_what_a_suggestion_costs():
    grid = tried([0.1, 1.0, 10.0], accuracy=[0.7, 0.9, 0.1])
    assert ranges.costs(grid, np.array([1.0, 0.1, np.sqrt(0.1)])) == pytest.approx([0, 0.2, 0.1])
    test = ranges.RangeTest(np.array([0.1, 0.9]), np.tile([2.0, 1.0], (13, 1)))
    assert ranges.peak_claim(test, grid, grid).holds
    worse = test._replace(losses=test.losses[:, ::-1])
    assert not ranges.peak_claim(worse, grid, grid).holds
    assert ranges.claims(test, grid, None) == []


# --- schedules -----------------------------------------------------------------------------------


def test_tuning_looks_at_its_own_seeds():
    loss = np.full((3, 13), 0.5)
    loss[1, :3] = 0.1
    loss[2, 3:] = 0.0
    tuned = schedules.tune(tried([0.1, 0.2, 0.4], loss=loss, accuracy=[0.9, 0.9, 0.1]), 3)
    assert (tuned.peak, tuned.highest, tuned.at_end) == (0.2, 0.2, False)
    assert tuned.test_loss.tolist() == [0.5] * 10


def test_claims_of_schedules_can_fail():
    def tuned(worst=0.3, *, highest=0.3, at_end=False, scatter=0.01):
        ends = scatter * np.arange(10) + worst
        return schedules.Tuned(0.3, highest, at_end, np.full(7, 0.9), ends, 1 - ends)

    good = {
        "constant": tuned(0.4, scatter=0.05),
        "step": tuned(0.4),
        "exponential": tuned(0.5),
        "cosine": tuned(),
        "warmup_cosine": tuned(highest=0.6),
        "one_cycle": tuned(),
    }
    assert [claim.holds for claim in schedules.claims(good)] == [True] * 4
    for name, other, failing in (
        ("one_cycle", tuned(at_end=True), 0),
        ("constant", tuned(), 1),
        ("step", tuned(), 2),
        ("warmup_cosine", tuned(), 3),
    ):
        holds = [claim.holds for claim in schedules.claims({**good, name: other})]
        assert [place for place, of in enumerate(holds) if not of] == [failing]
    assert len(schedules.claims({name: good[name] for name in ("constant", "one_cycle")})) == 2
