"""Masks one by one, the ensemble of a known network, and claims on wrong numbers."""

import itertools
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import assert_refused, start

from experiments import dropout as experiment
from experiments.dropout import masks, training
from jaxdl.nn import dropout
from jaxdl.types import Examples, Model, Variables


@pytest.mark.slow
def test_every_claim_holds(tmp_path):
    start(experiment, "--quick --quiet", tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [claim["holds"] for claim in summary["claims"]] == [True] * 7
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"masks", "sizes", "ensemble"}


BAD = [
    ("--sizes 1000 250", "--sizes 1000 250", "larger than"),
    ("--sizes 4001", "--sizes 4001", "at most the 4000"),
    ("--sizes 20", "--sizes 20", "50 or more"),
    ("--passes 0 5", "--passes", "1 or more"),
    ("--passes 5 1", "--passes 5 1", "larger than"),
    ("--seeds 1", "--seeds 1", "2 or more"),
    ("--diagnostics", "--diagnostics", "leave it out"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, named, way_out)


# --- masks ---------------------------------------------------------------------------------------


def test_two_units_by_a_loop():
    """tanh of w . (m h): means, what one mask is off by, and the second order of their mean."""
    hidden, weights = np.array([0.3, -0.5]), np.array([0.2, 0.4])
    every = list(itertools.product([0.0, 1.0], repeat=2))
    assert masks.all_masks(2).tolist() == [list(of) for of in every]
    sums = np.array([weights @ (of * hidden) for of in np.array(every)])
    outputs = np.tanh(sums)
    scaled = weights @ hidden / 2
    found = masks.behind_tanh(sums[:, None, None], np.array([[scaled]]), np.array([[np.var(sums)]]))
    slope = (np.tanh(scaled + 1e-4) - 2 * np.tanh(scaled) + np.tanh(scaled - 1e-4)) / 1e-8
    expected = (
        abs(np.tanh(scaled) - outputs.mean()),
        abs(slope * np.var(sums) / 2),
        np.std(outputs),
    )
    assert found == pytest.approx(expected, rel=1e-4)
    assert np.var(sums) == pytest.approx(np.square(weights * hidden).sum() / 4)


@pytest.fixture(scope="module")
def seen():
    return masks.measure(0)


def test_claims_of_masks_hold_and_can_fail(seen):
    assert [claim.holds for claim in masks.claims(seen)] == [True] * 5
    few = np.flatnonzero(~seen.by_layer.any(axis=1))[:700]
    for wrong, which in (
        ({"of_two": seen.of_two + 1e-14}, 0),
        ({"inverted": seen.inverted * (1 + 1e-14)}, 0),
        ({"inverted": seen.of_two}, 0),
        ({"by_layer": seen.by_layer / 2}, 1),
        ({"by_layer": np.nextafter(seen.by_layer, np.float32(4))}, 1),
        ({"by_layer": np.delete(seen.by_layer, few, axis=0)}, 1),
        ({"linear": 1e-3}, 2),
        ({"geometric": 1e-3}, 2),
        ({"arithmetic": 0.0}, 2),
        ({"tanh": 1.05 * seen.tanh}, 3),
        ({"tanh": seen.tanh[:1] * masks.SCALES**2}, 3),
        ({"drawn": seen.scatter[0] / masks.DRAWS}, 4),
    ):
        holds = [claim.holds for claim in masks.claims(seen._replace(**wrong))]
        assert holds == [place != which for place in range(5)]


def test_the_mean_over_masks_by_a_loop(monkeypatch):
    """Also where a unit is not kept as often as it is left out."""
    monkeypatch.setattr(masks, "KEPT", 0.8)
    mean = np.zeros(2)
    for first, second in itertools.product([0, 1], repeat=2):
        chance = (0.8 if first else 0.2) * (0.8 if second else 0.2)
        output = 0.7 * 1.5 * first - 1.9 * 0.4 * second
        mean += chance * np.array([output, output / 0.8])
    seen = masks.measure(0)
    found = [masks.chances(2) @ of for of in (seen.of_two, seen.inverted)]
    np.testing.assert_allclose(found, mean, rtol=1e-12)


@pytest.mark.parametrize("rate", [0.49, 0.51])
def test_a_layer_of_another_rate_fails(seen, monkeypatch, rate):
    """But for its scale, which is that of 1/2."""

    def other(inputs, _, keys):
        return dropout(inputs, rate, keys) * ((1 - rate) / 0.5)

    def alike(inputs, _, keys):
        return jnp.where(dropout(inputs, rate, keys) > 0, 2 * inputs, 0)

    for layer in (other, alike):
        monkeypatch.setattr(masks, "dropout", layer)
        assert not masks.layer_claim(seen._replace(by_layer=masks.drop_inputs(0))).holds


def test_a_layer_that_draws_one_mask_for_both_inputs_fails(seen, monkeypatch):
    def other(inputs, rate, keys):
        return inputs * dropout(jnp.ones_like(inputs[:, :1]), rate, keys)

    monkeypatch.setattr(masks, "dropout", other)
    assert not masks.layer_claim(seen._replace(by_layer=masks.drop_inputs(0))).holds


# --- the network ---------------------------------------------------------------------------------


def test_an_ensemble_by_hand():
    """By its first mask a network is sure of the label; the third against it outvotes that."""
    labels = jnp.array([1, 0])
    logits = [1.0, -3.0, -3.0]  # of the label by each mask, of all other classes 0
    calls = iter(logits)

    def apply(params, model_state, inputs, keys):
        return next(calls) * jax.nn.one_hot(labels, 10), model_state

    model = Model(lambda *_: Variables({}, {}), apply)
    with jax.disable_jit():
        found = training.ensemble_accuracies(
            model, (1, 2, 3), {}, Examples(jnp.zeros((2, 1)), labels), jax.random.key(0)
        )
    label = np.cumsum(np.exp(logits) / (np.exp(logits) + 9))
    others = np.cumsum(1 / (np.exp(logits) + 9))
    assert found.tolist() == (label > others).tolist() == [1, 1, 0]


def pair(*, best, end, with_it, accuracy, gain, ensemble):
    """Losses of three epochs and accuracies of ten seeds that are not all alike."""
    wobble = 1e-3 * np.arange(10)

    def found(losses, accuracies):
        of: dict[str, Any] = {
            "loss": np.asarray(losses)[None] + wobble[:, None],
            "accuracy": np.stack([accuracies] * 3, axis=1),
            "training_loss": np.full((10, 3), 0.01),
            "ensemble": np.stack([accuracies - lack for lack in ensemble], axis=1),
        }
        return training.Found(**of)

    without = found((1.0, best, end), accuracy + wobble)
    return training.Pair(without, found((1.0, 0.5, with_it), accuracy + gain + wobble[::-1] / 2))


GOOD = {"best": 0.3, "end": 0.4, "with_it": 0.25, "accuracy": 0.9, "gain": 0.01}
PLAN = training.Plan(8, 1000, 3, (1, 50))


def test_claims_of_the_network_can_fail():
    def holds(**wrong):
        found = {1000: pair(**{**GOOD, "ensemble": (0.05, 0.001), **wrong})}
        return [claim.holds for claim in training.claims(PLAN, found)]

    assert holds() == [True, True, True]
    assert holds(ensemble=(0.0, 0.0)) == [False, True, True]
    assert holds(ensemble=(0.05, 0.006)) == [False, True, True]
    assert holds(with_it=0.31) == [True, False, True]  # below the end, above the best
    assert holds(gain=0.001) == [True, True, False]


def test_which_claims_are_made():
    few = pair(**{**GOOD, "with_it": 0.45, "ensemble": (0.05, 0.001)})
    many = pair(**GOOD, ensemble=(0.05, 0.001))
    assert [claim.holds for claim in training.claims(PLAN, {250: few, 1000: many})] == [True] * 4
    ensemble, too_few = training.claims(PLAN, {250: many})
    assert ensemble.holds
    assert not too_few.holds
    six = training.Pair(*(training.Found(*(of[:6] for of in run)) for run in many))
    assert len(training.claims(PLAN, {1000: six})) == 2
