"""The experiment's quick form, its pieces against NumPy, and its claims against wrong numbers."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import assert_refused, start

from experiments import clipping as experiment
from experiments.clipping import angles, cliff, methods, rates, recurrent
from experiments.clipping.clip_norms import widest_range
from jaxdl import surfaces
from jaxdl.gradients import FallbackWarning


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The folder of a quick run from the command line."""
    out = tmp_path_factory.mktemp("clipping") / "run"
    start(experiment, "--quick", out)
    return out


# --- the quick form ------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_claim_holds(quick):
    summary = json.loads((quick / "summary.json").read_text())
    assert len(summary["claims"]) == 7
    assert all(claim["holds"] for claim in summary["claims"])
    assert set(summary["angles"]) == set(methods.METHODS)
    assert set(summary["cliff"]) == {"none", "by value", "by norm"}
    norms = [run["clip_norm"] for run in summary["recurrent"]]
    assert norms == [0.01, 1.0, 100.0, None]


@pytest.mark.slow
def test_figures(quick):
    drawn = {path.name for path in (quick / "figures").iterdir()}
    assert drawn == {"angles.png", "cliff.png", "recurrent.png", "clip_norm.png"}


@pytest.mark.slow
def test_a_finished_run_is_read_and_not_run_again(quick, capsys):
    before = json.loads((quick / "summary.json").read_text())
    start(experiment, f"--config {quick / 'config.json'} --resume", quick)
    after = json.loads((quick / "summary.json").read_text())
    assert [after[name] for name in ("recurrent", "claims")] == [
        before[name] for name in ("recurrent", "claims")
    ]
    shown = capsys.readouterr().err
    assert "training the recurrent network" in shown
    assert "run " not in shown  # no progress, for there is nothing to do


BAD = [
    ("--seeds 5", "--seeds 5", "6 or more"),
    ("--seed 99999999999", "99999999999", "2147483646"),
    ("--epochs 0", "--epochs 0", "1 or more"),
    ("--times 0 1 2 3 4", "--times 0 1 2 3 4", "one to 4"),
    ("--times -1", "--times -1", "0 or more"),
    ("--batches 32", "--batches 32", "31 at most"),
    ("--rates 0.1 0", "--rates 0.1 0", "above 0"),
    ("--clip-norms inf", "--clip-norms inf", "finite"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, named, way_out)


# --- angles --------------------------------------------------------------------------------------


def random_gradients() -> dict[str, dict[str, np.ndarray]]:
    """Of layers of very different lengths, a tenth of the entries 0.

    As many, and of the shapes, as in the quick form, for then the program is the same.
    """
    rng = np.random.default_rng(0)
    count = experiment.QUICK.networks * experiment.QUICK.batches

    def entries(*shape):
        values = rng.standard_t(3, (count, *shape)) * (rng.random((count, *shape)) > 0.1)
        return values.astype(np.float32)

    sizes = {"Dense_0": (784, 128), "Dense_1": (128, 64), "Dense_2": (64, 10)}
    return {
        name: {"bias": entries(outputs), "kernel": entries(inputs, outputs)}
        for name, (inputs, outputs) in sizes.items()
    }


@pytest.fixture(scope="module")
def found():
    gradients = random_gradients()
    return {
        name: jax.tree.map(
            lambda of: np.reshape(of, (1, 1, -1, len(angles.BOUNDS))),
            angles.turns(gradients, clip(1.0)),
        )
        for name, clip in methods.METHODS.items()
    }


def test_turns_are_those_of_numpy(found):
    gradients = random_gradients()
    for row in range(3):
        layers = [
            np.concatenate([np.ravel(layer[name][row]) for name in ("bias", "kernel")]).astype(
                float
            )
            for layer in gradients.values()
        ]
        whole = np.concatenate(layers)
        size = np.linalg.norm(whole)
        for place in (0, 4, 8, 15, 25):
            bound = size * angles.BOUNDS[place]
            shrunk = [layer * min(1, bound / np.linalg.norm(layer)) for layer in layers]
            clipped = {
                methods.VALUE: np.clip(whole, -bound, bound),
                methods.LAYER: np.concatenate(shrunk),
                methods.NORM: whole * min(1, bound / size),
            }
            for name, expected in clipped.items():
                seen = [of[0, 0, row, place] for of in found[name]]
                length = np.linalg.norm(expected)
                cosine = min(1.0, expected @ whole / (length * size))
                if name != methods.NORM:
                    assert seen[0] == pytest.approx(np.degrees(np.arccos(cosine)), abs=1e-3)
                assert seen[2] == pytest.approx(length / size, rel=1e-5)
                moved = np.abs(expected - whole) > 1e-6 * np.abs(whole)
                if name == methods.VALUE:
                    assert seen[1] == pytest.approx(moved.sum() / (whole != 0).sum(), abs=1e-6)
    assert found[methods.NORM].angle.max() < 1e-4


def test_a_small_angle_is_exact():
    with jax.enable_x64(True):
        angle_between = jax.jit(angles.angle_between)
        for degrees in (1e-6, 1e-3, 1.0, 90.0, 179.0):
            radians = np.radians(degrees)
            turned = np.array([3 * np.cos(radians), 3 * np.sin(radians)])
            angle = angle_between({"a": np.array([2.0, 0.0])}, {"a": turned})
            assert float(angle) == pytest.approx(degrees, rel=1e-9)


def test_normal_entries_turn_as_drawn_ones_do():
    entries = np.random.default_rng(0).normal(size=1_000_000)
    for fraction in (0.01, 0.5, 0.9):
        bound = np.quantile(np.abs(entries), 1 - fraction)
        clipped = np.clip(entries, -bound, bound)
        cosine = entries @ clipped / (np.linalg.norm(entries) * np.linalg.norm(clipped))
        expected = np.degrees(np.arccos(cosine))
        assert angles.normal_turn(np.array(fraction)) == pytest.approx(expected, abs=0.1)


def test_by_value_in_place_of_by_norm_does_not_hold(found):
    def hold(found):
        return [claim.holds for claim in angles.claims(found, (0,))]

    assert hold(found) == [True, True, True]
    by_value = found[methods.VALUE]
    assert hold({**found, methods.NORM: by_value}) == [False, True, False]
    assert hold({**found, methods.VALUE: found[methods.NORM]}) == [True, False, False]


# --- the cliff -----------------------------------------------------------------------------------


def numpy_descent(start, steps: int, clip) -> np.ndarray:
    """With the gradient by central differences."""
    with jax.enable_x64(True):
        function = jax.jit(surfaces.cliff)
        points = [np.array(start)]
        for _ in range(steps):
            point = points[-1]
            ends = [[function(point + s * 1e-6 * e) for s in (-1, 1)] for e in np.eye(2)]
            gradient = np.array([(float(high) - float(low)) / 2e-6 for low, high in ends])
            points.append(point - cliff.RATE * clip(gradient))
    return np.array(points)


def test_descents_are_those_of_a_numpy_loop():
    """Ten steps from a place on the wall, where the gradient is clipped.

    Of as many descents and steps as in the quick form, for then the program is the same.
    """
    start, bound = (5.5, -2.93), 0.05

    def shorten(gradient):
        return gradient * min(1, bound / np.linalg.norm(gradient))

    with jax.enable_x64(True):
        starts = jnp.tile(jnp.array(start), (experiment.QUICK.starts, 1))
        steps = experiment.QUICK.cliff_steps
        _, paths = cliff.descents(methods.by_norm(bound), starts, steps=steps)
    np.testing.assert_allclose(paths[0, :11], numpy_descent(start, 10, shorten), atol=1e-7)
    assert np.linalg.norm(np.diff(paths[0], axis=0), axis=1).max() == pytest.approx(0.005)


def test_cliff_claims_fail_on_the_wrong_clipping(monkeypatch):
    monkeypatch.setitem(methods.METHODS, methods.NORM, methods.by_value)
    quick = experiment.QUICK
    falls = cliff.measure(starts=quick.starts, steps=quick.cliff_steps, seed=quick.seed)
    assert [claim.holds for claim in cliff.claims(falls)] == [True, False]
    kept = {**falls, "none": falls[methods.NORM]}
    assert not cliff.claims(kept)[0].holds


def some_fall(longest: float, losses: list[float]) -> cliff.Fall:
    """Four descents of two steps, which end at some losses."""
    paths = np.zeros((4, 3, 2))
    paths[:, 1:, 0] = longest
    return cliff.Fall(np.stack([np.ones(4), np.ones(4), losses], axis=1), paths)


def test_cliff_claims_fail_on_wrong_numbers():
    """Steps too short or too long, and ends in the minimum or elsewhere."""
    in_minimum, elsewhere = [1e-4] * 4, [1e-4, 1.0, 1.0, 1.0]
    right = {
        methods.NONE: some_fall(9.0, elsewhere),
        methods.NORM: some_fall(0.1, in_minimum),
        methods.VALUE: some_fall(0.14, elsewhere),
    }

    def holding(name, longest, losses) -> list[bool]:
        falls = {**right, name: some_fall(longest, losses)}
        return [claim.holds for claim in cliff.claims(falls)]

    assert holding(methods.NONE, 9.0, elsewhere) == [True, True]
    assert holding(methods.NONE, 0.9, elsewhere) == [False, True]
    assert holding(methods.NONE, 9.0, in_minimum) == [False, True]
    assert holding(methods.NORM, 0.101, in_minimum) == [True, False]
    assert holding(methods.NORM, 0.1, [1e-4, 1e-4, 1e-4, 2e-3]) == [True, False]


# --- the recurrent network -----------------------------------------------------------------------


def test_the_network_is_a_numpy_loop():
    model = recurrent.recurrent_network()
    examples = recurrent.latch_problem(0, 5)
    params, state = jax.jit(model.init)(jax.random.key(1), examples.inputs[:1])
    logits, _ = jax.jit(model.apply)(params, state, examples.inputs, None)
    cell, head = jax.tree.map(lambda of: np.asarray(of, float), (params["cell"], params["head"]))
    np.testing.assert_allclose(
        cell["recurrent"] @ cell["recurrent"].T, 1.96 * np.eye(recurrent.UNITS), atol=1e-5
    )
    for inputs, seen in zip(np.asarray(examples.inputs, float), logits, strict=True):
        hidden = np.zeros(recurrent.UNITS)
        for step in inputs:
            total = step @ cell["inputs"] + hidden @ cell["recurrent"] + cell["bias"]
            hidden = np.where(total > 0, total, np.expm1(np.minimum(total, 0)))
        np.testing.assert_allclose(seen, hidden @ head["kernel"] + head["bias"], rtol=1e-3)


def test_the_first_step_tells_the_class():
    inputs, classes = recurrent.latch_problem(0, 2000)
    assert inputs.shape == (2000, recurrent.LENGTH, recurrent.CLASSES)
    first = np.asarray(inputs[:, 0])
    assert np.mean(first.argmax(axis=1) == classes) > 0.98
    assert np.asarray(inputs[:, 1:]).std() == pytest.approx(recurrent.NOISE, rel=0.01)
    assert np.bincount(classes).min() > 400


def test_what_is_watched_of_it():
    with pytest.warns(FallbackWarning, match="no tap covers"):
        seen = recurrent.watch(seeds=2, epochs=1, seed=0)
    clipped, free = seen["clipped"], seen["not_clipped"]
    steps = recurrent.TRAINING // recurrent.SEQUENCES
    assert clipped["example_norm_max"].shape == (2, steps)
    bound = recurrent.RATE * np.minimum(clipped["gradient_norm"], recurrent.CLIP_NORM)
    np.testing.assert_allclose(clipped["step_length"], bound, rtol=1e-4)
    assert np.isnan(free["loss"][:, -1]).all()
    length = recurrent.RATE * free["gradient_norm"][:, 0]
    np.testing.assert_allclose(free["step_length"][:, 0], length, rtol=1e-4)


def some_runs(**changes) -> recurrent.Runs:
    """Two rates, at RATE three clip norms: six seeds that train, but for those not clipped."""
    rates = np.array([0.01, 0.01, 0.1, 0.1, 0.1, 0.1])
    norms = np.array([1.0, np.inf, 0.01, 0.1, 1.0, np.inf])
    steps, seeds = 100, 6
    reached = np.array([90, 60, 1000, 50, 40, 1000])[:, None] + np.arange(seeds)[None]
    curves = np.where(np.arange(1, steps + 1) > reached[..., None] - 25, 0.0, 1.0)
    failed = np.broadcast_to((rates == 0.1) & np.isinf(norms), (seeds, 6)).T
    before = np.ones((6, seeds, steps))
    after = np.minimum(before, norms[:, None, None])
    runs = recurrent.Runs(
        rates,
        norms,
        failed,
        np.where(failed[..., None], np.nan, curves),
        before,
        after,
        (after < before).astype(float),
        np.where(failed, 5.0, 0.01),
        np.where(failed, 0.25, 0.99),
    )
    return runs._replace(**changes)


def test_steps_are_counted_to_the_end_of_the_window():
    steps = some_runs().steps()
    # The mean of 25 losses that are 1 and then 0 is below 0.1 from 23 zeros on.
    assert steps[1].tolist() == [58, 59, 60, 61, 62, 63]
    assert np.isinf(steps[2]).all()
    assert some_runs().all_train().tolist() == [True, True, False, True, True, False]


def test_what_the_claims_need_is_always_trained():
    for norms in ((), (100.0,)):
        rates, clip_norms = recurrent.members((), norms).T
        assert rates.tolist() == [0.1] * len(rates)
        assert clip_norms.tolist() == [0.01, 1.0, *norms, np.inf]
    assert len(recurrent.members((0.1,), (0.01, 1.0))) == 3


def holding(runs: recurrent.Runs) -> list[bool]:
    claims = experiment.recurrent_claims(runs, experiment.Config())
    return [claim.holds for claim in claims]


def test_recurrent_claims_fail_on_wrong_numbers():
    """Divergence, telemetry, speed, range."""
    runs = some_runs()
    assert holding(runs) == [True, True, True, True]
    saved = some_runs(
        failed=np.zeros((6, 6), bool),
        losses=np.nan_to_num(runs.losses, nan=1.0),
        test_loss=np.full((6, 6), 0.01),
    )
    assert holding(saved) == [False, True, True, False]
    lost = some_runs(test_loss=np.full((6, 6), recurrent.GUESS + 0.01))
    assert holding(lost) == [False, True, False, False]
    slow = some_runs(losses=runs.losses[[1, 4, 2, 3, 0, 5]])
    assert holding(slow) == [True, True, False, True]
    clipped_by_value = some_runs(clipped_norms=runs.clipped_norms * 1.4)
    assert holding(clipped_by_value) == [True, False, True, True]
    untrained = some_runs(test_accuracy=np.full((6, 6), 0.9))
    assert holding(untrained) == [False, True, True, True]


@pytest.mark.parametrize(
    ("members", "side"), [((1,), "without"), ((0, 4), "with")], ids=["not clipped", "clipped"]
)
def test_speed_does_not_hold_where_a_seed_never_comes_to_the_target(members, side):
    losses = some_runs().losses.copy()
    losses[members, 0] = 1.0  # as slow as can be, and yet not lost
    runs = some_runs(losses=losses)
    assert not runs.lost()[list(members)].any()
    claim = rates.speed_claim(runs)
    assert not claim.holds
    assert claim.numbers == f"{side} clipping no rate trains every seed"


def test_a_range_has_no_gaps():
    norms = np.array([0.1, 1.0, 10.0, 100.0, 1000.0])
    assert widest_range(norms, np.array([1, 1, 0, 1, 1], bool)) == (0.1, 1.0)
    assert widest_range(norms, np.array([0, 1, 1, 1, 0], bool)) == (1.0, 100.0)
    assert widest_range(norms, np.array([0, 0, 0, 0, 1], bool)) == (1000.0, 1000.0)
    assert np.isnan(widest_range(norms, np.zeros(5, bool))).all()


def test_a_slow_run_has_not_diverged():
    """It ends no better than a guess, and yet below its beginning."""
    slow = some_runs(losses=np.full((6, 6, 100), 9.0), test_loss=np.full((6, 6), 3.0))
    slow = slow._replace(failed=np.zeros((6, 6), bool))
    assert slow.lost().all()
    assert not slow.diverged().any()


def test_no_range_is_claimed_of_a_part_of_one():
    def claimed(config) -> list[str]:
        return [
            claim.statement.split()[0] for claim in experiment.recurrent_claims(some_runs(), config)
        ]

    both = claimed(experiment.Config())
    assert len(both) == 4
    assert claimed(experiment.QUICK) == both[:2]
    assert claimed(experiment.Config(clip_norms=(100.0,))) == both[:3]
    assert claimed(experiment.Config(rates=(1.0,))) == [*both[:2], both[3]]
