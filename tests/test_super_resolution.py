"""Scores by hand, the game's parts, a small run end to end, and what is refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import assert_refused, start

from experiments import super_resolution as experiment
from experiments.super_resolution import scores, training
from jaxdl import judge, models
from jaxdl.models.super_resolution import enlarge, shrink
from jaxdl.types import Batch

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 1)).astype(np.uint8)
BATCH = Batch(jnp.asarray(IMAGES) / 255, jnp.arange(4), jnp.ones(4))


def test_scores_by_hand(monkeypatch):
    """PSNR is the mean over images of 10 log10(255^2 / squared error); a copy is its own best."""
    features = np.random.default_rng(1).normal(size=(4, 3))
    read = np.eye(10)[[1, 2, 3, 4]]
    monkeypatch.setattr(judge, "observe", lambda reader, images: (features, read))
    originals = scores.make_originals(None, IMAGES, np.array([1, 2, 0, 4]))
    assert originals.read == 0.75
    shifted = np.where(IMAGES < 128, IMAGES + 5, IMAGES - 10).astype(np.uint8)
    seen = scores.score(None, originals, shifted)
    squares = np.where(IMAGES < 128, 25.0, 100.0).mean(axis=(1, 2, 3))
    assert seen.psnr == pytest.approx(np.mean(10 * np.log10(255**2 / squares)))
    assert 0.9 < seen.ssim < 1
    assert seen.read == 0.75
    assert seen.frechet_distance == pytest.approx(0, abs=1e-6)
    flat = np.full_like(IMAGES, 128)
    assert scores.score(None, originals, flat).ssim < 0.1


def test_restoration_loss_is_the_mean_square_of_what_is_lost():
    model = models.super_resolution(2, features=4, depth=1)
    params, _ = model.init(jax.random.key(0), jnp.zeros((1, 14, 14, 1)))
    losses, aux = training.restoration_loss(model, 2)(params, {}, BATCH, None)
    lost = np.asarray(enlarge(shrink(BATCH.inputs, 2), 2) - BATCH.inputs, np.float64)
    np.testing.assert_allclose(losses, np.square(lost).mean(axis=(1, 2, 3)), rtol=1e-5)
    np.testing.assert_array_equal(losses, aux.metrics["loss"])


def test_the_game_shows_what_is_enlarged_beside_it():
    players = models.super_resolution_pair(4, features=4, depth=1)
    game = training.make_enlarging_game(players, 4, 30.0, 1.0)
    small = game.draw(BATCH, None)
    np.testing.assert_allclose(small, shrink(BATCH.inputs, 4))
    samples = BATCH.inputs[::-1]
    shown = game.show(samples, BATCH)
    np.testing.assert_array_equal(shown[..., :1], samples)
    np.testing.assert_allclose(shown[..., 1:], enlarge(small, 4), atol=1e-6)
    assert game.content is not None
    squares = np.square(np.asarray(samples - BATCH.inputs)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(game.content(samples, BATCH), 30 * squares, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.usefixtures("few_digits")
def test_a_run_writes_its_results_and_goes_on(tmp_path):
    flags = (
        "--quick --epochs 2 --adversarial-epochs 1 --features 4 --depth 1 --samples 40 --quiet "
        f"--seeds 2 --strengths 100 10 --batch-size 32 --judge-epochs 1 --judges {tmp_path / 'j'}"
    )
    with pytest.raises(SystemExit) as leaving:
        start(experiment, flags, tmp_path / "run")
    assert leaving.value.code == 1  # after twelve updates it is hardly above bicubic
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    methods = summary["scores"]["factor_2"]
    assert list(methods) == ["bicubic", "squared error", "game, strength 100", "game, strength 10"]
    assert [len(of) for of in methods.values()] == [1, 2, 2, 2]
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"side_by_side_2", "tradeoff"}
    with pytest.raises(SystemExit):
        start(experiment, f"{flags} --resume", tmp_path / "run")
    again = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert again["params_sha256"] == summary["params_sha256"]


BAD = [
    ("--factors 3", "3", "2, 4, 7"),
    ("--samples 19", "--samples 19", "20 or more"),
    ("--samples 1001", "--samples 1001", "1000"),
    ("--strengths -1", "--strengths -1", "0 or more"),
    ("--strengths 30 300 30", "--strengths 30 300 30", "each once"),
    ("--depth 0", "--depth 0", "1 or more"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, named, way_out)


def test_claims_can_fail():
    def claims(gain, nearer, lost, *, quick=False):
        def of(psnr, distance):
            return [scores.Scores(psnr, 0.9, 0.9, distance)]

        config = experiment.QUICK if quick else experiment.Config()
        methods = {
            "bicubic": of(20.0, 9.0),
            "squared error": of(20.0 + gain, 2.0),
            "game, strength 30": of(22.0, 1.9),
            "game, strength 3": of(20.0 + gain + lost, 2.0 + nearer),
        }
        return [of.holds for of in experiment.make_claims(config, {2: methods})]

    assert claims(3.1, -1, -1) == [True, True]
    assert claims(2.9, -1, -1) == [False, True]
    assert claims(2.1, 1, 1, quick=True) == [True]
    assert claims(1.9, 1, 1, quick=True) == [False]
    assert claims(3.1, 1, -1) == claims(3.1, -1, 1) == [True, False]
