"""A small run, a start that is known, and claims on wrong numbers."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import assert_refused, start

from experiments import xor as experiment
from experiments.xor import LINEAR, Learned, Network
from jaxdl import models
from jaxdl.types import Static, Variables


@pytest.mark.slow
def test_every_claim_holds(tmp_path):
    start(experiment, "--quick", tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [claim["holds"] for claim in summary["claims"]] == [True] * 2
    shares = summary["learned"]
    assert shares["linear"] == {"share": 0, "interval": [0, pytest.approx(1 - 0.025 ** (1 / 30))]}
    assert all(
        low <= of["share"] <= high for of in shares.values() for low, high in [of["interval"]]
    )
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"shares", "regions"}


BAD = [
    ("--widths 4", "--widths 4", "2 or more"),
    ("--widths 4 2", "--widths 4 2", "larger than"),
    ("--seeds 0", "--seeds 0", "1 or more"),
    ("--diagnostics", "--diagnostics", "leave it out"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, named, way_out)


def test_from_a_solution_it_is_learnt_at_once():
    """ReLU of A + B and of A + B - 1: the first less twice the second is XOR."""
    solution = {
        "Dense_0": {"kernel": jnp.ones((2, 2)), "bias": jnp.array([0.0, -1.0])},
        "Dense_1": {"kernel": jnp.array([[20.0], [-40.0]]), "bias": jnp.array([-10.0])},
    }
    model = models.mlp((2,), classes=1)._replace(init=lambda *_: Variables(solution, {}))
    for scale, expected in ((1.0, True), (0.1, False)):  # sure of each corner, or not
        solution["Dense_1"] = jax.tree.map(lambda leaf, s=scale: s * leaf, solution["Dense_1"])
        plan = Static((lambda activation: model, 1))
        found = experiment.learn_one(plan, jax.random.key(0), jnp.int32(0))
        assert bool(found.is_learnt) == expected
    assert found.logits.shape == (experiment.SIDE, experiment.SIDE)


GUESS = float(np.log(2))


def test_claims_can_fail():
    def learned(share, loss=GUESS):
        is_learnt = np.arange(20) < 20 * share
        return Learned(is_learnt, np.full((20, 1), loss), np.zeros(0))

    def of(two, eight):
        return {
            Network(name, (width,)): learned(share)
            for name, first, last in zip(experiment.ACTIVATIONS, two, eight, strict=True)
            for width, share in ((2, first), (8, last))
        }

    linear = {network: learned(0.0) for network in LINEAR}
    assert experiment.linear_claim(linear).holds
    assert not experiment.linear_claim({**linear, LINEAR[1]: learned(0.05)}).holds
    assert not experiment.linear_claim({**linear, LINEAR[2]: learned(0.0, loss=0.5)}).holds
    assert experiment.layers_claim(of([0.5, 0.5, 0.1], [1, 1, 0.95]), (2, 8)).holds
    for two, eight in (
        ([0.5, 0.5, 0.0], [1, 1, 0.95]),
        ([0.5, 1.0, 0.1], [1, 1, 0.95]),
        ([0.5, 0.5, 0.1], [1, 1, 0.9]),
    ):
        assert not experiment.layers_claim(of(two, eight), (2, 8)).holds
