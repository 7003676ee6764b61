"""Mixtures by hand, theory by another quadrature, runs that end, and claims on wrong numbers."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import assert_refused, start
from scipy import integrate, stats

from experiments import toy_gan as experiment
from experiments.toy_gan import mixtures, theory
from experiments.toy_gan.theory import Optimum, Theory
from experiments.toy_gan.training import Kind, Played
from jaxdl import models

# --- the quick form ------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_claim_holds(tmp_path):
    start(experiment, "--quick", tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["modes_covered"] == 8
    assert [claim["holds"] for claim in summary["claims"]] == [True] * 4
    drawn = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"samples.png", "curves.png", "theory.png", "game.gif"}


BAD = [
    ("--seeds 1", "--seeds 1", "2 or more"),
    ("--steps 50", "--steps 50", "multiple of 40"),
    ("--mixtures rong", "rong", "ring"),
    ("--objectives hing", "hing", "hinge"),
    ("--penalty nan", "--penalty nan", "0 or more"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, named, way_out)


# --- mixtures ------------------------------------------------------------------------------------


def test_centres_by_hand():
    ring, grid = mixtures.ring(4, radius=3.0), mixtures.grid(3, spacing=1.0)
    np.testing.assert_allclose(ring.centres, [[3, 0], [0, 3], [-3, 0], [0, -3]], atol=1e-12)
    expected = {(x, y) for x in (-1, 0, 1) for y in (-1, 0, 1)}
    assert {tuple(map(int, centre)) for centre in grid.centres} == expected


def test_draws_are_of_the_mixture():
    ring = mixtures.ring()
    samples = np.asarray(mixtures.draw(ring, jax.random.key(0), 8000), float)
    nearest = np.linalg.norm(samples[:, None] - ring.centres, axis=2).argmin(axis=1)
    counts = np.bincount(nearest, minlength=8)
    assert counts.min() > 900
    assert abs(np.std(samples - ring.centres[nearest]) / ring.deviation - 1) < 0.03


def test_coverage_by_hand():
    """Of 2,500: 20 in the first mode, 19 in the second, 30 too far from the third, the rest far."""
    ring = mixtures.ring()
    samples = np.full((2500, 2), 50.0)
    samples[:20] = ring.centres[0] + [2.9 * ring.deviation, 0]
    samples[20:39] = ring.centres[1]
    samples[39:69] = ring.centres[2] + [0, 3.1 * ring.deviation]
    seen = mixtures.coverage(ring, samples)
    assert (seen.modes, seen.good) == (1, 39 / 2500)
    both = mixtures.coverage(ring, np.stack([samples, samples + 100]))
    np.testing.assert_array_equal(both.modes, [1, 0])


# --- theory --------------------------------------------------------------------------------------


def test_divergence_against_scipy():
    def data(x):
        return np.mean([stats.norm.pdf(x, mean, theory.DEVIATION) for mean in theory.MEANS])

    def generated(x):
        return stats.norm.pdf(x, theory.MEAN_OF_GENERATED, theory.DEVIATION_OF_GENERATED)

    def integrand(x):
        p, q = data(x), generated(x)
        return (p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q))) / 2

    expected, _ = integrate.quad(integrand, -9, 9)
    normal = theory.normal_density(theory.MEAN_OF_GENERATED, theory.DEVIATION_OF_GENERATED)
    actual = theory.jensen_shannon(theory.density_of_data(), normal)
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    assert theory.jensen_shannon(normal, normal) == 0


def seen_theory(*, off=0.0, value=-1.2, exact=-1.3863, norms=(1e-3, 2.0), soon=2.0):
    """Of two seeds, the first without fault."""
    best, half = np.full(theory.GRID.shape, 0.4), np.full(theory.GRID.shape, 0.5)
    seen = np.ones(theory.GRID.shape, bool)

    def way(end, soon=2.0):
        return np.r_[1.0, [soon] * 500, [end] * 50]

    return Theory(
        [Optimum(best + of, best, seen, 1.0, v, -1.2) for of, v in ((0, -1.2), (off, value))],
        [Optimum(half, half, seen, 1.0, v, -np.log(4)) for v in (-np.log(4), exact)],
        {
            form: np.stack([way(good), way(end, soon)])
            for form, good, end in zip(theory.FORMS, (1e-3, 2.0), norms, strict=True)
        },
    )


def test_where_samples_fall():
    """Their share by the normal distribution; elsewhere nothing is asked."""
    density = theory.density_of_data()
    scores = np.where(density > 0.25, 0.1, np.where(density < 1e-4, 3.0, 0.0))
    optimum = theory.optimum_of(scores, density)
    assert optimum.off == pytest.approx(1 / (1 + np.exp(-0.1)) - 0.5)
    ends = theory.GRID[optimum.seen][[0, -1]]
    below = [stats.norm.cdf(ends, mean, theory.DEVIATION) for mean in theory.MEANS]
    np.testing.assert_allclose(optimum.share, np.diff(np.mean(below, axis=0))[0], atol=1e-3)


def test_claims_that_fail():
    assert [claim.holds for claim in theory.claims(seen_theory())] == [True] * 3
    for wrong, which in (
        ({"off": 0.03}, 0),
        ({"value": -1.197}, 1),
        ({"exact": -1.383}, 1),
        ({"norms": (0.03, 2.0)}, 2),
        ({"norms": (0.11, 20.0)}, 2),
        ({"soon": 0.9}, 2),
        ({"norms": (1e-3, 0.5)}, 2),
    ):
        holds = [claim.holds for claim in theory.claims(seen_theory(**wrong))]
        assert holds == [place != which for place in range(3)]


def test_an_untrained_discriminator_fails():
    """Against an exact generator its value is near -log 4 all the same."""
    discriminator = models.mlp([64, 64], classes=1, activation="silu")
    grid = jnp.float32(theory.GRID)[:, None]
    params, _ = discriminator.init(jax.random.key(0), grid[:1])
    scores = np.asarray(discriminator.apply(params, {}, grid, None)[0])[:, 0]
    untrained = theory.optimum_of(scores, theory.density_of_data())
    assert abs(untrained.value + np.log(4)) < 0.03
    found = theory.claims(seen_theory()._replace(exact=[untrained]))
    assert [claim.holds for claim in found] == [True, False, True]


def test_a_ring_without_a_mode_fails():
    ring = mixtures.ring()
    whole = np.repeat(ring.centres, 300, axis=0)
    lacking = np.repeat(ring.centres[1:], 300, axis=0)[: len(whole)]
    lacking = np.concatenate([lacking, lacking[: len(whole) - len(lacking)]])

    def holds(*ends):
        samples = np.stack(ends)[:, None]
        played = Played(samples, np.zeros(0), {})
        (claim,) = experiment.mode_claims({Kind("ring", experiment.DEFAULT): played})
        return claim.holds

    assert holds(whole, whole)
    assert not holds(whole, lacking)


def test_what_is_claimed_of_which_game():
    """Of each mixture, by the default objective with its penalty alone."""
    grid = np.repeat(mixtures.grid().centres, 100, axis=0)[None, None]
    kinds = {
        Kind("ring", "hinge"): False,
        Kind("grid", experiment.DEFAULT): True,
        Kind("grid", experiment.DEFAULT, is_penalized=False): False,
    }
    found = {kind: Played(np.concatenate([grid, grid]), np.zeros(0), {}) for kind in kinds}
    (claim,) = experiment.mode_claims(found)
    assert claim.holds
    assert "25 modes of the grid" in claim.statement


def test_the_table_names_failures():
    ring = np.repeat(mixtures.ring().centres, 300, axis=0)[None, None]
    metrics = {
        "loss": np.ones((2, 1)),
        "discriminator_accuracy": np.full((2, 1), 0.7),
        "spread": np.array([[1.0], [0.2]]),
    }
    played = Played(np.concatenate([ring, ring]), np.zeros(0), metrics)
    lines = experiment.table({Kind("ring", "hinge"): played}).splitlines()
    assert "ring, hinge" in lines[1]
    assert "8.0" in lines[1]
    assert lines[2].strip().startswith("seed 2 of 2: the samples have collapsed")
