"""Sweeps: many runs as one program, pieces, devices, what fails, kill and resume.

As a program (``python tests/test_sweep.py OUT``) it is the sweep that a test kills.
"""

import contextlib
import dataclasses
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy
from jax.tree_util import Partial

from jaxdl import checkpoint, models, optim, train
from jaxdl import sweep as sweep_module
from jaxdl.digest import named_leaves, tree_sha256
from jaxdl.errors import InputError
from jaxdl.gradients import mean_gradient
from jaxdl.losses import classification_loss
from jaxdl.parallel import make_mesh
from jaxdl.runs import ResumableOptions, open_run
from jaxdl.signals import Interrupted
from jaxdl.spaces import Choice, LogUniform, Uniform, grid, linspace, logspace, sample
from jaxdl.sweep import diverged, sweep, sweep_in_run
from jaxdl.types import Examples

KEYS = jax.random.split(jax.random.key(7), 2)


def linear(params, model_state, inputs, keys):
    return inputs @ params["w"] + params["b"][None], model_state


def fit_toy(examples, key, rate):
    """A run with an evaluation and patience: its end and its history."""
    model = toy.linear_model()._replace(apply=linear)  # without dropout, which compiles long
    optimizer, loss_fn = toy.gradient_descent(rate), classification_loss(model)
    update = train.make_update(mean_gradient(loss_fn), optimizer)
    state = train.init_state(key, model, optimizer, examples.inputs[:1])
    return train.fit(
        update,
        state,
        examples,
        epochs=4,
        batch_size=25,
        loss_fn=loss_fn,
        evaluations={"validation": examples},
        patience=2,
    )


TOY = Partial(fit_toy, toy.examples())
RATES = jnp.array([0.1, 0.2, 0.05, 0.0, 0.3])


def draw(key, hparams):
    """A run that costs nothing, and gives a key, a vector and a whole number."""
    value = hparams["scale"] * jax.random.normal(key, (3,)) + hparams["shift"]
    return {"key": jax.random.fold_in(key, 1), "value": value, "sign": jnp.int32(value[0] > 0)}


DRAWN = {"scale": np.arange(1.0, 6), "shift": np.array([0.5, -1, 0, 2, 9])}


def drawn_by_hand():
    return np.array(
        [
            [scale * np.asarray(jax.random.normal(key, (3,))) + shift for key in KEYS]
            for scale, shift in zip(*DRAWN.values(), strict=True)
        ]
    )


# --- one program and runs alone ------------------------------------------------------------------


def fit_mlp(examples, key, optimizer_config):
    model = models.mlp([6], classes=3)
    optimizer = optim.make_optimizer(optimizer_config)
    update = train.make_update(mean_gradient(classification_loss(model)), optimizer)
    state = train.init_state(key, model, optimizer, examples.inputs[:1])
    fitted, history = train.fit(update, state, examples, epochs=2, batch_size=16)
    return fitted.train.params, history.steps["loss"]


def test_sixteen_members_as_one_program_equal_sixteen_runs_alone():
    """Members may be any tree: here a configuration with two of its numbers swept."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (48, 4, 4, 1)).astype(np.uint8)
    examples = Examples(jnp.asarray(images), jnp.asarray(rng.integers(0, 3, 48), jnp.int32))
    momenta = {"momentum": jnp.linspace(0, 0.9, 16)}
    config = optim.OptimizerConfig("sgd", jnp.geomspace(0.01, 1.0, 16), momenta)
    run = Partial(fit_mlp, examples)
    together = sweep(run, KEYS[:1], config, in_turn=False)
    single = jax.jit(run)
    alone = [single(KEYS[0], jax.tree.map(lambda leaf, i=i: leaf[i], config)) for i in range(16)]
    assert_close(together, jax.tree.map(lambda *leaves: np.stack(leaves)[:, None], *alone))


def assert_close(tree, expected):
    """Equal to rounding."""
    got, expected = named_leaves(tree), named_leaves(expected)
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(got[name], value, rtol=2e-5, atol=2e-6, err_msg=name)


@pytest.fixture(scope="module")
def alone():
    """Every run of `TOY` with `RATES` and `KEYS`, alone."""
    return [[TOY(key, rate) for key in KEYS] for rate in RATES]


@pytest.mark.parametrize(("devices", "in_turn"), [(None, None), (None, False), (8, None)])
def test_whole_runs_equal_runs_alone(alone, devices, in_turn):
    """On eight devices too, where a run must take whole batches and not a share of them."""
    mesh = None if devices is None else make_mesh(devices)
    together = sweep(TOY, KEYS, RATES, mesh=mesh, in_turn=in_turn)
    for member, row in enumerate(alone):
        for seed, expected in enumerate(row):
            at = member, seed
            assert_close(jax.tree.map(lambda leaf, at=at: leaf[at], together), expected)


@pytest.mark.parametrize("devices", [None, 8])
@pytest.mark.parametrize("piece_size", [None, 1, 4])
@pytest.mark.parametrize("in_turn", [None, False])
def test_pieces_padding_and_devices_change_nothing(devices, piece_size, in_turn):
    mesh = None if devices is None else make_mesh(devices)
    got = sweep(draw, KEYS, DRAWN, mesh=mesh, piece_size=piece_size, in_turn=in_turn)
    expected = drawn_by_hand()
    np.testing.assert_allclose(got["value"], expected, rtol=1e-6)
    assert (got["sign"] == (expected[..., 0] > 0)).all()
    for seed, key in enumerate(KEYS):
        for member in range(5):
            assert got["key"][member, seed] == jax.random.fold_in(key, 1)


def test_pieces_run_the_same_compiled_program():
    before = sweep_module._run_piece._cache_size()
    sweep(draw, KEYS, DRAWN, piece_size=3)
    assert sweep_module._run_piece._cache_size() == before + 1
    sweep(draw, jax.random.split(KEYS[0], 2), DRAWN, piece_size=3)
    assert sweep_module._run_piece._cache_size() == before + 1


@pytest.mark.parametrize("devices", [None, 2])
def test_a_run_is_traced_once(devices):
    traced = []

    def run(key, rate):
        traced.append(rate)
        return rate

    mesh = None if devices is None else make_mesh(devices)
    sweep(run, KEYS, jnp.arange(3.0), mesh=mesh)
    assert len(traced) == 1


def test_without_hyper_parameters_there_is_one_member():
    got = sweep(lambda key, _: jax.random.normal(key), KEYS, None)
    np.testing.assert_allclose(got, [[float(jax.random.normal(key)) for key in KEYS]], rtol=1e-6)


@pytest.mark.parametrize(
    ("keys", "hparams", "options", "message"),
    [
        (KEYS[0], DRAWN, {}, "axis of keys"),
        (KEYS[:0], DRAWN, {}, "axis of keys"),
        (jax.random.key_data(KEYS), DRAWN, {}, "axis of keys"),
        (KEYS, {**DRAWN, "shift": 1.0}, {}, "lengths none, 5"),
        (KEYS, {**DRAWN, "shift": np.zeros(3)}, {}, "lengths 3, 5"),
        (KEYS, {"scale": np.zeros(0), "shift": np.zeros(0)}, {}, "lengths 0"),
        (KEYS, {"rule": "adam"}, {}, "are numbers"),
        (KEYS, DRAWN, {"piece_size": 0}, "piece of 0 runs"),
    ],
)
def test_what_cannot_be_swept_is_refused(keys, hparams, options, message):
    with pytest.raises(InputError, match=message):
        sweep(draw, keys, hparams, **options)


def test_a_run_that_gives_nothing_is_refused():
    with pytest.raises(InputError, match="return what it measured"):
        sweep(lambda key, _: None, KEYS, DRAWN)


# --- members that stop ---------------------------------------------------------------------------


@pytest.mark.parametrize("in_turn", [None, False])
def test_a_member_that_diverges_is_marked_and_leaves_the_others_alone(in_turn):
    fitted, history = sweep(TOY, KEYS, RATES.at[1].set(jnp.inf), in_turn=in_turn)
    assert diverged(fitted).tolist() == [[member == 1] * 2 for member in range(5)]
    assert fitted.failed_step[1].tolist() == [1, 1]
    assert np.isnan(history.epochs["loss"][1, :, 1:]).all()
    assert np.isfinite(fitted.train.params["w"]).all()
    with_it = others((fitted, history))
    without = others(sweep(TOY, KEYS, RATES, in_turn=in_turn))
    assert tree_sha256(with_it) == tree_sha256(without)


def others(tree):
    """All members but the second."""
    return jax.tree.map(lambda leaf: leaf[np.array([0, 2, 3, 4])], tree)


@pytest.mark.parametrize("in_turn", [None, False])
def test_each_member_stops_for_itself(in_turn):
    """A learning rate of 0 never improves on its first epoch; patience is 2."""
    fitted, history = sweep(TOY, KEYS, RATES, in_turn=in_turn)
    assert fitted.stopped.tolist() == [[member == 3] * 2 for member in range(5)]
    assert fitted.train.step.tolist() == [[12 if member == 3 else 16] * 2 for member in range(5)]
    assert history.epochs["loss"].shape == (5, 2, 4)
    assert np.isnan(history.epochs["loss"]).sum(-1).tolist() == [[0] * 2] * 3 + [[1] * 2, [0] * 2]
    assert not diverged(fitted).any()


# --- in a run directory --------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Options(ResumableOptions):
    rates: int = 5


def sweep_drawn(out, *, piece_size=None, quiet=True, rates=5, rule="constant", **options):
    """Ten runs of `draw` in a run directory, gone on with where there are some; their hash."""
    with open_run("sweep", Options(out=out, resume=True, rates=rates)) as directory:
        result = sweep_in_run(
            directory,
            draw,
            KEYS,
            {"scale": np.arange(1.0, rates + 1), "shift": np.ones(rates)},
            config={"rule": rule},
            resume=True,
            quiet=quiet,
            piece_size=piece_size,
            **options,
        )
    return tree_sha256(result)


@pytest.fixture
def saves(monkeypatch):
    """The numbers of runs done at each checkpoint, and what to do after one."""
    log = {"done": [], "then": lambda: None}
    save = checkpoint.save

    def logged(folder, step, *arguments, **options):
        save(folder, step, *arguments, **options)
        log["done"].append(step)
        log["then"]()

    monkeypatch.setattr(checkpoint, "save", logged)
    return log


@pytest.fixture(scope="module")
def uninterrupted():
    return tree_sha256(
        sweep(draw, KEYS, {"scale": np.arange(1.0, 6), "shift": np.ones(5)}),
    )


@pytest.mark.parametrize(
    ("piece_size", "devices", "done"),
    [
        (None, None, [10]),
        (9, None, [5, 10]),
        (5, 2, [4, 8, 10]),
        (1, 2, [2, 4, 6, 8, 10]),
        (None, 8, [10]),
    ],
)
def test_pieces_are_as_large_as_asked_and_alike(
    tmp_path, saves, uninterrupted, piece_size, devices, done
):
    mesh = None if devices is None else make_mesh(devices)
    assert sweep_drawn(tmp_path, piece_size=piece_size, mesh=mesh) == uninterrupted
    assert saves["done"] == done


def test_what_was_interrupted_goes_on_where_it_was(tmp_path, saves, uninterrupted):
    """Here by an exception after a checkpoint; with other pieces afterwards."""

    def fail():
        if len(saves["done"]) == 2:
            raise RuntimeError("the power went")

    saves["then"] = fail
    with pytest.raises(RuntimeError, match="power"):
        sweep_drawn(tmp_path, piece_size=2)
    assert sweep_drawn(tmp_path, piece_size=3, mesh=make_mesh(3)) == uninterrupted
    assert saves["done"] == [2, 4, 7, 10]
    # A finished sweep is read, not run.
    assert sweep_drawn(tmp_path, piece_size=3) == uninterrupted
    assert saves["done"] == [2, 4, 7, 10]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_piece_under_way_and_leaves(tmp_path, saves, uninterrupted, number):
    saves["then"] = lambda: len(saves["done"]) == 1 and signal.raise_signal(number)
    with pytest.raises(Interrupted, match=rf"saved; go on with --out {tmp_path} --resume"):
        sweep_drawn(tmp_path, piece_size=4)
    assert saves["done"] == [4]
    assert sweep_drawn(tmp_path, piece_size=4) == uninterrupted


def test_a_damaged_checkpoint_is_passed_over(tmp_path, saves, uninterrupted, capsys):
    sweep_drawn(tmp_path, piece_size=4)
    newest = tmp_path / "checkpoints" / "sweep" / "10"
    (newest / "description.json").write_text("{")
    assert sweep_drawn(tmp_path, piece_size=4) == uninterrupted
    assert saves["done"] == [4, 8, 10, 10]
    assert f"warning: {newest} is damaged and passed over: " in capsys.readouterr().err


def test_another_sweep_is_refused(tmp_path):
    sweep_drawn(tmp_path)
    with pytest.raises(InputError, match="configuration: rule was 'constant', is 'cosine'"):
        sweep_drawn(tmp_path, rule="cosine")
    with pytest.raises(InputError, match=re.escape("sweep.hparams was")):
        sweep_drawn(tmp_path, rates=4)
    # Under a name of its own it is another sweep of the same run.
    sweep_drawn(tmp_path, rates=4, name="wider")


def test_progress_tells_the_runs_done_and_the_time_left(tmp_path, capsys):
    sweep_drawn(tmp_path, piece_size=4, quiet=False)
    # A slow machine also says that it compiles.
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("run")]
    for line, done in zip(lines, ("4", "8", "10"), strict=True):
        assert re.fullmatch(rf"run +{done}/10  \d+\.\d\d s/run  0:\d\d left", line)


PROGRAM = [sys.executable, __file__]


@pytest.mark.slow
def test_sigkill_and_resume(tmp_path):
    start = time.monotonic()
    expected = subprocess.check_output([*PROGRAM, tmp_path / "whole"], text=True)
    seconds = time.monotonic() - start
    moments = random.Random(0)
    out = tmp_path / "killed"
    for _ in range(3):
        process = subprocess.Popen([*PROGRAM, out], stdout=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(moments.uniform(0.4 * seconds, seconds))
        process.kill()
        process.wait()
    assert subprocess.check_output([*PROGRAM, out], text=True) == expected


# --- spaces --------------------------------------------------------------------------------------


def test_a_grid_by_hand():
    members = grid({"b": Choice((0, 1)), "a": Choice((10, 20, 30)), "c": 5, "d": np.arange(2)})
    assert members["a"].tolist() == [10, 10, 20, 20, 30, 30]
    assert members["b"].tolist() == [0, 1, 0, 1, 0, 1]
    assert members["c"].tolist() == [5.0] * 6
    assert members["a"].dtype == members["c"].dtype == jnp.float32
    assert members["d"].tolist() == [[0, 1]] * 6
    assert grid({"c": 5})["c"].tolist() == [5.0]
    assert grid(linspace(-1, 1, 5)).tolist() == [-1, -0.5, 0, 0.5, 1]
    np.testing.assert_allclose(grid(logspace(1e-4, 1, 5)), [1e-4, 1e-3, 1e-2, 0.1, 1], rtol=1e-6)


def test_a_sample_has_the_distributions_asked_for():
    """Against the distribution functions, by Kolmogorov and Smirnov's test."""
    space = {"rate": LogUniform(1e-4, 1), "decay": Uniform(-1, 3), "size": Choice((1, 2, 5))}
    members = sample({**space, "steps": 7}, jax.random.key(0), 4000)
    assert members["steps"].tolist() == [7.0] * 4000
    rates, decays = (np.asarray(members[name], float) for name in ("rate", "decay"))
    assert is_uniform(1 + np.log10(rates) / 4)
    assert is_uniform((decays + 1) / 4)
    values, counts = np.unique(members["size"], return_counts=True)
    assert values.tolist() == [1, 2, 5]
    assert (abs(counts - 4000 / 3) < 4 * np.sqrt(4000 * 2 / 9)).all()
    assert abs(np.corrcoef(rates, decays)[0, 1]) < 0.06
    assert rates.min() >= np.float32(1e-4)
    assert rates.max() <= 1


def is_uniform(values):
    """Whether the largest distance from the distribution function of [0, 1] has p above 0.001."""
    steps = np.arange(values.size + 1) / values.size
    values = np.sort(values)
    distance = max((steps[1:] - values).max(), (values - steps[:-1]).max())
    return distance < 1.95 / np.sqrt(values.size)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Uniform(1, 1), "low below high"),
        (lambda: Uniform(2, 1), "low below high"),
        (lambda: Uniform(0, float("inf")), "finite"),
        (lambda: Uniform(float("nan"), 1), "finite"),
        (lambda: LogUniform(0, 1), "above 0"),
        (lambda: LogUniform(-1, 1), "above 0"),
        (lambda: Choice(()), "one finite number"),
        (lambda: Choice((1, float("nan"))), "one finite number"),
        (lambda: grid({"rule": "adam"}), "members are numbers"),
        (lambda: linspace(0, 1, 1), "give 2 or more"),
        (lambda: logspace(0, 1, 3), "above 0"),
        (lambda: sample({"a": 1.0}, jax.random.key(0), 0), "give 1 or more"),
        (lambda: grid({"a": LogUniform(0.1, 1)}), "has no grid"),
    ],
)
def test_impossible_spaces_are_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


if __name__ == "__main__":
    with open_run("sweep", Options(out=Path(sys.argv[1]), resume=True)) as directory:
        result = sweep_in_run(
            directory,
            TOY,
            KEYS,
            jnp.geomspace(0.01, 1.0, 40),
            config={},
            resume=True,
            quiet=True,
            piece_size=4,
        )
    print(tree_sha256(result))
