"""The experiment's command line: what it refuses, and what a run of it leaves behind."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest

from experiments import mnist_cnn
from jaxdl import cli, data
from jaxdl.optim import OptimizerConfig

BAD = [
    ("--dataset nmist", "nmist", "mnist"),
    ("--optimizer.name adma", "adma", "adam"),
    ("--optimiser.name adam", "--optimiser.name", "--optimizer.name"),
    ("--batch-size 0", "--batch-size 0", "1 or more"),
    ("--batch-size 5000", "5000", "4000"),
    ("--epochs -3", "--epochs -3", "1 or more"),
    ("--epochs many", "--epochs", "many"),
    ("--optimizer.learning-rate nan", "learning_rate", "finite"),
    ("--optimizer.learning-rate inf", "learning_rate", "finite"),
    ("--optimizer.arguments rhoo=0.9", "rhoo", "rho"),
    ("--dropout 0.5 1.5", "--dropout 0.5 1.5", "below 1"),
    ("--l2 -1", "l2", "0 or more"),
    ("--moves.shift nan", "moves.shift", "finite"),
    ("--patience 3", "--patience", "--validation-fraction"),
    ("--seeds 0", "--seeds 0", "1 or more"),
    ("--seed 99999999999", "99999999999", "2147483646"),
    ("--seed 2147483647 --seeds 2", "2147483647", "2147483645"),
    ("--devices 1000", "1000", "devices"),
    ("--out /proc/nowhere/run", "/proc/nowhere", "--out"),
    ("--config nowhere.json", "nowhere.json", "No such file"),
    ("--recipe weak", "weak", "seed"),
    ("--dataset mnist --raw-dir nowhere", "nowhere", "train-images"),
    ("--resume", "--resume", "--out"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path, monkeypatch):
    """Exit code 2, three lines at most that name the value and the way out; nothing is written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as leaving:
        cli.main(mnist_cnn.run, mnist_cnn.Config, flags.split(), recipes=mnist_cnn.RECIPES)
    output, errors = capsys.readouterr()
    assert leaving.value.code == 2
    assert output == ""
    assert len(errors.splitlines()) <= 3
    assert named in errors
    assert way_out in errors
    assert not list(tmp_path.rglob("config.json"))


@pytest.mark.parametrize("flags", ["--epochs 0", "--batch-size 5000"])
def test_a_bad_flag_leaves_no_traceback_and_starts_no_compilation(flags, tmp_path):
    command = [sys.executable, "-m", "experiments.mnist_cnn", "--out", str(tmp_path / "run")]
    process = subprocess.run(
        [*command, *flags.split()],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "JAX_LOG_COMPILES": "1"},
    )
    assert process.returncode == 2
    assert process.stdout == ""
    *log, error = process.stderr.splitlines()
    assert error.startswith("error:")
    # But for the program, without any arithmetic, that brings the data to the device.
    assert not [line for line in log if "Compiling" in line and "jit(stage)" not in line]
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_run_that_explodes_says_so_first_and_fails(tmp_path, monkeypatch, capsys):
    dataset = small(data.load("mnist_5k"))
    monkeypatch.setattr(data, "load", lambda *_, **__: dataset)
    arguments = f"--epochs 2 --out {tmp_path / 'run'} --quiet --optimizer.name sgd"
    arguments += " --optimizer.learning-rate 1e30"
    with pytest.raises(SystemExit) as leaving:
        cli.main(mnist_cnn.run, mnist_cnn.Config, arguments.split(), recipes=mnist_cnn.RECIPES)
    assert leaving.value.code == 1
    assert capsys.readouterr().out.startswith("stopped early: loss or gradient were not finite")
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["failed_step"] is not None


CLAIMED = [
    (mnist_cnn.QUICK, 0.85),
    (mnist_cnn.Config(seed=7, seeds=2, devices=2), 0.945),
    (dataclasses.replace(mnist_cnn.RECIPES["strong"], dataset="mnist"), 0.9945),
]


@pytest.mark.parametrize(("config", "least"), CLAIMED)
def test_a_recipe_claims_its_accuracy(config, least):
    for accuracy, holds in ((least + 1e-6, True), (least - 1e-6, False), (float("nan"), False)):
        (claim,) = mnist_cnn.accuracy_claims(config, {"accuracy": [accuracy]})
        assert bool(claim.holds) == holds
        assert f"at least {least:.2%}" in claim.numbers


@pytest.mark.parametrize(
    "config",
    [
        mnist_cnn.Config(epochs=3),
        mnist_cnn.Config(dataset="fashion_mnist"),
        mnist_cnn.Config(l2=1e-4),
        dataclasses.replace(mnist_cnn.QUICK, optimizer=OptimizerConfig("adam", 1e-3)),
        dataclasses.replace(mnist_cnn.RECIPES["strong"], dataset="mnist", dropout=(0.0, 0.0)),
    ],
)
def test_nothing_is_claimed_of_settings_of_ones_own(config):
    assert mnist_cnn.accuracy_claims(config, {"accuracy": [0.99]}) == []


def small(dataset: data.Dataset) -> data.Dataset:
    """Its first 256 training and 100 test examples."""

    def first(examples, count):
        return type(examples)(*(array[:count] for array in examples))

    return dataclasses.replace(
        dataset, train=first(dataset.train, 256), test=first(dataset.test, 100)
    )


@pytest.mark.slow
@pytest.mark.parametrize("flags", ["", "--seeds 2", "--recipe strong"])
def test_what_a_run_leaves_behind(flags, tmp_path, monkeypatch, capsys):
    """Three epochs, since nothing is claimed of them."""
    dataset = small(data.load("mnist_5k"))
    monkeypatch.setattr(data, "load", lambda *_, **__: dataset)
    out = tmp_path / "run"
    arguments = f"--epochs 3 --out {out} --quiet {flags}".split()
    cli.main(mnist_cnn.run, mnist_cnn.Config, arguments, recipes=mnist_cnn.RECIPES)
    printed, errors = capsys.readouterr()
    assert errors == ""
    summary = json.loads((out / "summary.json").read_text())
    assert f"test accuracy {summary['test_accuracy']:.2%}" in printed
    assert summary["epochs"] == 3
    assert len(summary["params_sha256"]) == 64
    assert (out / "metrics.csv").read_text().count("\n") == 4
    assert {path.name for path in (out / "figures").iterdir()} == {
        "learning_curves.png",
        "digits.png",
        "worst_mistakes.png",
        "confusion.png",
        "filters.png",
        "feature_maps.png",
    }
    again = cli.load_config(mnist_cnn.Config, out)
    assert again.epochs == 3
    assert list((out / "events").iterdir())
