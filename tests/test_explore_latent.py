"""Samples of a run that has not trained, whose network is known, and what is refused."""

import json

import jax
import numpy as np
import pytest
from PIL import Image

from experiments import conditional_gan, explore_latent, mnist_gan
from jaxdl import checkpoint, cli, generators
from jaxdl.runs import resolved_config

MODULES = {"mnist_gan": mnist_gan, "conditional_gan": conditional_gan}


@pytest.fixture(scope="module", params=MODULES)
def run(request, tmp_path_factory):
    """A run directory as a finished run leaves it."""
    directory = tmp_path_factory.mktemp(request.param)
    module = MODULES[request.param]
    config = module.Config(features=2, hidden=8)
    values = {"experiment": request.param, **resolved_config(config)}
    (directory / "config.json").write_text(json.dumps(values))
    game = module.build_game(config)
    noise = np.zeros((1, generators.LATENT), np.float32)
    inputs = (noise, np.zeros(1, np.int32)) if request.param == "conditional_gan" else noise
    variables = game.generator.init(jax.random.key(3), inputs)
    checkpoint.save(directory / "model", 0, variables, config={}, notes={})
    return directory


def explore(run, *flags):
    cli.main(explore_latent.run, explore_latent.Config, [str(run), *flags])


def test_an_image_for_each_seed(run, tmp_path, capsys):
    explore(run, "--seeds", "4", "5", "--out", str(tmp_path))
    printed = capsys.readouterr().out.split()
    assert printed == [
        str(tmp_path / f"{name}.png") for name in ("sample_000", "sample_001", "all")
    ]
    explorer = explore_latent.load_generator(run)
    noise = np.concatenate([generators.noise_of(seed, 1) for seed in (4, 5)])
    expected = explorer.samples(noise, np.arange(2, dtype=np.int32))
    for place, path in enumerate(printed[:2]):
        np.testing.assert_array_equal(np.asarray(Image.open(path)), expected[place, ..., 0])


def test_no_sample_of_an_earlier_call_stays(run, tmp_path):
    (tmp_path / "mine.png").touch()
    explore(run, "--seeds", "4", "5", "--out", str(tmp_path))
    explore(run, "--seeds", "6", "--out", str(tmp_path))
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"sample_000.png", "all.png", "mine.png"}


def test_the_ends_of_a_way_are_its_seeds():
    config = explore_latent.Config(run=None, seeds=(4, 5))
    ends = explore_latent.noise_of_seeds(config)
    for position, end in zip((0.0, 1.0), ends, strict=True):
        between = explore_latent.Config(run=None, seeds=(4, 5), position=position)
        np.testing.assert_allclose(explore_latent.noise_of_seeds(between)[0], end, atol=1e-5)


def test_noise_of_a_file(run, tmp_path):
    noise = generators.noise_of(7, 3)
    np.save(tmp_path / "noise.npy", noise)
    np.testing.assert_array_equal(explore_latent.read_noise(tmp_path / "noise.npy"), noise)
    explore(run, "--noise", str(tmp_path / "noise.npy"), "--out", str(tmp_path / "out"))
    assert len(list((tmp_path / "out").glob("sample_*.png"))) == 3


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--seeds", "1", "2", "3", "--position", "0.5"], "between two seeds"),
        (["--seeds", "1", "2", "--position", "1.5"], "--position 1.5"),
        (["--seeds", "4", "4", "--position", "0.5"], "between two seeds"),
        (["--seeds", "-1"], "--seed -1"),
        (["--noise", "nowhere.npy"], "nowhere.npy"),
        (["--noise", "some.npy", "--seeds", "1", "2"], "--seeds beside --noise some.npy"),
        (["--noise", "some.npy", "--position", "0.5"], "--position beside --noise some.npy"),
        (["--digits", "11"], "--digits"),
        (["--digits", "1", "2", "3"], "--digits"),
    ],
)
def test_bad_input(run, flags, told, capsys):
    with pytest.raises(SystemExit) as leaving:
        explore(run, *flags)
    errors = capsys.readouterr().err
    assert leaving.value.code == 2
    assert len(errors.splitlines()) == 1
    assert told in errors


@pytest.mark.parametrize(
    ("noise", "told"),
    [
        (np.zeros((0, 64)), "(0, 64)"),
        (np.zeros((2, 63)), "(2, 63)"),
        (np.full((1, 64), "a"), "numbers"),
        (np.full((1, 64), 1e300), "finite"),
    ],
)
def test_noise_that_is_none(noise, told, run, tmp_path, capsys):
    np.save(tmp_path / "noise.npy", noise)
    test_bad_input(run, ["--noise", str(tmp_path / "noise.npy")], told, capsys)


def test_files_that_are_no_array(run, tmp_path, capsys):
    (tmp_path / "empty.npy").touch()
    np.savez(tmp_path / "several.npz", a=np.zeros((1, 64)))
    test_bad_input(run, ["--noise", str(tmp_path / "empty.npy")], "no array", capsys)
    test_bad_input(run, ["--noise", str(tmp_path / "several.npz")], "no array", capsys)
    test_bad_input(run, ["--out", str(tmp_path / "empty.npy")], "no folder", capsys)


def test_no_run(tmp_path, capsys):
    (tmp_path / "config.json").write_text(json.dumps({"experiment": "mnist_cnn"}))
    for directory, told in ((tmp_path / "nowhere", "holds no run"), (tmp_path, "mnist_cnn")):
        with pytest.raises(SystemExit):
            explore(directory)
        assert told in capsys.readouterr().err
