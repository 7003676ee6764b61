"""A small run end to end, its figures' arithmetic, and what is refused."""

import csv
import json

import numpy as np
import pytest
from command_line import assert_refused, start

from experiments import mnist_gan as experiment
from experiments.mnist_gan import figures
from jaxdl import generators, judge
from jaxdl.plots import tiles


@pytest.fixture
def quick_judge(monkeypatch):
    """One that is trained for an epoch."""
    quick = judge.Recipe(epochs=1, batch_size=64)
    monkeypatch.setattr(judge, "Recipe", lambda epochs: quick)


@pytest.mark.slow
@pytest.mark.usefixtures("few_digits", "quick_judge")
def test_a_run_writes_its_results(tmp_path):
    flags = "--epochs 2 --features 4 --hidden 16 --samples 100 --seeds 2 --batch-size 64 --quiet"
    flags += " --diagnostics"
    with pytest.raises(SystemExit) as leaving:
        start(experiment, f"{flags} --judges {tmp_path / 'judges'}", tmp_path / "run")
    assert leaving.value.code == 1  # after six updates the samples are no digits
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert len(summary["scores_of_seeds"]) == 2
    assert summary["bounds"]["real train"]["frechet_distance"] < summary["frechet_distance"]
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    pages = {"instruments_generator", "instruments_discriminator"}
    assert drawn == {"samples", "through_training", "between", "bolder", "losses", *pages}
    with open(tmp_path / "run" / "instruments" / "generator.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(of["seed"], of["epoch"]) for of in rows] == [(s, e) for s in "01" for e in "12"]
    assert all(float(of["distance_from_start"]) > 0 for of in rows)
    kept = [np.load(path) for path in sorted((tmp_path / "run" / "samples").iterdir())]
    assert [of.shape for of in kept] == [(figures.SHOWN, 28, 28, 1)] * 2
    assert not np.array_equal(*kept)


BAD = [
    ("--objective hing", "hing", "hinge"),
    ("--samples 19", "--samples 19", "20 or more"),
    ("--samples 4001", "--samples 4001", "4000"),
    ("--discriminator-steps 3", "--discriminator-steps 3", "--batch-size 64"),
    ("--devices 3", "--devices 3", "--batch-size 64"),
    ("--devices 4 --batch-size 40 --discriminator-steps 4", "--devices 4", "--batch-size 40"),
    ("--batch-size 36 --discriminator-steps 6", "--batch-size 36", "too few for 6"),
    ("--objective hinge --label-smoothing 0.1", "label smoothing 0.1", "hinge has no labels"),
    ("--generator.average 1.5", "--generator: average", "below 1"),
    ("--discriminator.name adm", "--discriminator: unknown optimizer 'adm'", "adam"),
    ("--penalty inf", "--penalty inf", "a finite number, 0 or more"),
    ("--label-smoothing 1", "--label-smoothing 1", "below 1"),
    ("--discriminator-steps 0", "--discriminator-steps 0", "1 or more"),
    ("--batch-size 5000", "5000", "4000"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, named, way_out)


def test_between_two_noises():
    """A quarter of a circle: half way both have the same share, and the length stays."""
    first, last = np.array([[3.0, 0.0]]), np.array([[0.0, 3.0]])
    (way,) = generators.between(first, last, np.linspace(0, 1, 5))
    np.testing.assert_allclose(way[[0, -1]], [first[0], last[0]], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(way, axis=1), 3, rtol=1e-6)
    np.testing.assert_allclose(way[:, 0], way[::-1, 1], atol=1e-6)


def test_the_bold_direction_is_that_of_the_ink():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(400, 5)).astype(np.float32)
    ink = np.clip(120 + 40 * noise[:, 2], 0, 255).astype(np.uint8)
    samples = np.broadcast_to(ink[:, None, None, None], (400, 28, 28, 1))
    direction = figures.bold_direction(noise, samples)
    assert abs(direction[2]) > 5 * np.abs(np.delete(direction, 2)).max()
    assert direction[2] > 3


def test_tiles():
    shades = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1, 1)
    images = np.broadcast_to(shades, (2, 3, 28, 28, 1))
    picture = tiles.tiled(images)
    assert picture.shape == (56, 84)
    np.testing.assert_array_equal(picture[::28, ::28], [[0, 1, 2], [3, 4, 5]])


GOOD = {
    "nearer_share": 0.004,
    "nearer_p_value": 0.5,
    "frechet_distance": 1.4,
    "coverage": 0.91,
    "classification_accuracy": 0.972,
    "copied_low": 0.005,
    "copied_share": 0.01,
    "copied_high": 0.015,
}
FAILING = [
    ({}, []),
    ({"copied_low": 0.011}, [1]),
    ({"frechet_distance": 1.51}, [2]),
    ({"frechet_distance": 10.0}, [0, 2]),
    ({"coverage": 0.88}, [3]),
    ({"classification_accuracy": 0.969}, [4]),
]


@pytest.mark.parametrize(("changed", "failing"), FAILING)
def test_claims_can_fail(changed, failing):
    """Of the means over two seeds, and of each seed that it makes no copies."""
    real = {"frechet_distance": 1.0, "coverage": 0.97, "classification_accuracy": 0.99}
    bounds = {"real train": real, "noise": {"frechet_distance": 100.0}}
    for recipe in ("mnist", "mnist_5k"):
        config = experiment.Config(recipe=recipe, dataset=recipe)
        found = experiment.make_claims(config, [GOOD | changed, GOOD | changed], bounds)
        expected = [place not in failing for place in range(5)]
        assert [claim.holds for claim in found] == expected[: len(found)]
        assert len(found) == (5 if recipe == "mnist" else 2)
    one_seed = experiment.make_claims(experiment.Config(), [GOOD, GOOD | changed], bounds)
    assert one_seed[1].holds == (1 not in failing)


def test_noise_is_the_same_for_all():
    np.testing.assert_array_equal(generators.noise_of(3, 8)[:4], generators.noise_of(3, 4))
