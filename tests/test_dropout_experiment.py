"""Masks by hand, the ensemble of a known network, and claims on wrong numbers."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import assert_refused, start

from experiments import dropout as experiment
from experiments.dropout import masks, training
from jaxdl.types import Examples, Model


@pytest.mark.slow
def test_every_claim_holds(tmp_path):
    start(experiment, "--quick", tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [claim["holds"] for claim in summary["claims"]] == [True] * 6
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"masks", "oversized", "ensemble"}


BAD = [
    ("--rates 0 0.25", "--rates 0.0 0.25", "0.5"),
    ("--rates 0 0.5 1", "1", "below 1"),
    ("--examples 4001", "--examples 4001", "4000"),
    ("--passes 0 5", "--passes", "1 or more"),
    ("--seeds 1", "--seeds 1", "2 or more"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, named, way_out)


def test_claims_of_masks_hold_and_can_fail():
    seen = masks.measure(0)
    assert [claim.holds for claim in masks.claims(seen)] == [True] * 4
    for wrong, which in (
        ({"of_two": seen.of_two + 0.1}, 0),
        ({"inverted": (seen.inverted[0] + 1, seen.inverted[1])}, 0),
        ({"linear": 1e-3}, 1),
        ({"tanh": seen.scatter}, 2),
        ({"geometric": 1e-3}, 2),
        ({"by_draws": 1.0 / masks.DRAWS}, 3),
    ):
        holds = [claim.holds for claim in masks.claims(seen._replace(**wrong))]
        assert holds == [place != which for place in range(4)]


def test_the_layer_by_another_scale_fails(monkeypatch):
    """Kept units that are not scaled up."""
    monkeypatch.setattr(masks, "dropout", lambda inputs, rate, keys: inputs * (1 - rate) ** 2)
    claim, *_ = masks.claims(masks.measure(0))
    assert not claim.holds


def test_an_ensemble_by_hand():
    """A network that is right with its first mask and wrong with the others, of equal weight."""
    labels = jnp.array([1, 0])

    def apply(params, model_state, inputs, keys):
        sure = jnp.where(params == 0, 5.0, -3.0)
        return sure * jax.nn.one_hot(labels, 10), params + 1

    calls = iter(range(3))
    model = Model(lambda *_: None, lambda *of: apply(jnp.float32(next(calls)), *of[1:]))
    with jax.disable_jit():
        found = training.ensemble_accuracies(
            model, {}, Examples(jnp.zeros((2, 1)), labels), jax.random.key(0), (1, 3)
        )
    assert found[0] == 1
    # Means: 5 / ... of the first keeps the label ahead; the others put it behind all others.
    first, later = (np.exp(z) / (np.exp(z) + 9) for z in (5.0, -3.0))
    others = [(1 - first) / 9, (1 - later) / 9]
    is_ahead = first + 2 * later > others[0] + 2 * others[1]
    assert found[1] == float(is_ahead)


def found_of(without, with_it, ensemble):
    shape = (2, 4)
    wobble = 0.002 * np.arange(4)
    test = np.stack([without + wobble, with_it + wobble[::-1]])
    of_masks = np.broadcast_to(ensemble, (*shape, len(ensemble)))
    return training.Found(np.ones(shape), test, of_masks)


def test_claims_of_training_can_fail():
    def holds(*of):
        return [c.holds for c in training.claims((0.0, 0.5), (1, 50), found_of(*of))]

    assert holds(0.85, 0.88, [0.8, 0.883]) == [True, True]
    assert holds(0.85, 0.88, [0.89, 0.883]) == [False, True]
    assert holds(0.85, 0.88, [0.8, 0.87]) == [False, True]
    assert holds(0.88, 0.88, [0.8, 0.883]) == [True, False]
