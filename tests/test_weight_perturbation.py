"""Ways to learn against loops and geometry by drawing, and claims on wrong numbers."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import assert_refused, start

from experiments import weight_perturbation as experiment


@pytest.mark.slow
def test_every_claim_holds(tmp_path):
    start(experiment, "--quick", tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [claim["holds"] for claim in summary["claims"]] == [True] * 2
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"passes", "moves"}


BAD = [
    ("--sizes 1 4", "--sizes 1 4", "2 or more"),
    ("--sizes 4", "--sizes 4", "give 2 or more"),
    ("--sizes 64 4", "--sizes 64 4", "larger than"),
    ("--moves 9", "--moves 9", "100 or more"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, named, way_out)


def test_steps_by_hand():
    with jax.enable_x64(True):
        weights, key = jnp.array([3.0, -4.0]), jax.random.key(0)
        np.testing.assert_allclose(experiment.by_backpropagation(weights, key), [1.5, -2.0])
        # The slope that a move of d shows is w + d / 2.
        expected = weights - experiment.RATE * (weights + experiment.SMALL / 2)
        np.testing.assert_allclose(experiment.one_at_a_time(weights, key), expected, rtol=1e-9)
        noise = np.asarray(jax.random.normal(key, (2,)))
        expected = np.array([3.0, -4.0]) - noise * (noise @ np.array([3.0, -4.0])) / 4
        np.testing.assert_allclose(experiment.all_at_once(weights, key), expected, rtol=1e-9)


def test_what_a_step_along_noise_leaves():
    """On average 1 - 1 / (n + 2) of the loss."""
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(0), 40_000)
        start = jnp.ones(6) / jnp.sqrt(6.0)
        ends = jax.vmap(experiment.all_at_once, in_axes=(None, 0))(start, keys)
        left = jnp.mean(jax.vmap(experiment.loss)(ends)) / experiment.loss(start)
    np.testing.assert_allclose(left, 1 - 1 / 8, rtol=5e-3)


def test_the_count_of_steps_by_a_loop():
    """Of two weights, each passes counted as they are taken, against those of the claim."""
    counted = []

    def loss(weights):
        counted.append(1)
        return np.sum(np.square(weights)) / 2

    weights = np.array([0.6, -0.8])
    while np.sum(np.square(weights)) > 0.01:
        for place in range(2):
            moved = weights + 1e-3 * np.eye(2)[place]
            weights[place] -= 0.5 * (loss(moved) - loss(weights)) / 1e-3
    assert experiment.expected_passes((2,))["one_at_a_time"].tolist() == [len(counted)]


def test_the_share_of_directions_in_the_plane(monkeypatch):
    """The angle whose cosine is 1/2 is a third of the half circle."""
    monkeypatch.setattr(experiment, "DIMENSIONS", 2)
    np.testing.assert_allclose(experiment.expected_share(experiment.LENGTH), 1 / 3, rtol=1e-12)
    assert experiment.expected_share(experiment.LENGTH / 2) == 0


def test_claims_can_fail():
    sizes = (64, 256, 1024)
    exact = experiment.expected_passes(sizes)
    good = experiment.Passes(*(np.stack([of, of], axis=1) for of in exact.values()))
    assert experiment.law_claim(sizes, good).holds
    for name, factor in (
        ("backpropagation", np.array([[1], [2], [4]])),
        ("backpropagation", np.array([[1], [1], [1.01]])),
        ("one_at_a_time", 1.3),
        ("one_at_a_time", np.array([[1], [1.01], [1]])),
        ("one_at_a_time", np.array([[1.01, 0.99], [1, 1], [1, 1]])),  # the same in the mean
        ("all_at_once", np.array([[1], [4], [16]])),
        ("all_at_once", 1.2),
        ("all_at_once", 0.8),
    ):
        wrong = good._replace(**{name: getattr(good, name) * factor})
        assert not experiment.law_claim(sizes, wrong).holds
    shares = np.array([experiment.expected_share(of) for of in experiment.DISTANCES])
    helped = np.arange(2000)[None] < np.round(2000 * shares)[:, None]
    assert experiment.late_claim(helped).holds
    assert not experiment.late_claim(helped[::-1]).holds
