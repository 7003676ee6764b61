"""The experiment's quick form, its claims when they are broken, and its network against Flax's."""

import dataclasses
import json
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import start
from PIL import Image

from experiments import dp_sgd as experiment
from experiments.dp_sgd import budgets, canaries, claims, training
from jaxdl import gradients, models, privacy
from jaxdl.errors import InputError
from jaxdl.types import Examples


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The folder of a quick run from the command line."""
    out = tmp_path_factory.mktemp("dp_sgd") / "run"
    start(experiment, "--quick --quiet --diagnostics --devices 2", out)
    return out


# --- the quick form ------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_claim_holds(quick):
    summary = json.loads((quick / "summary.json").read_text())
    assert len(summary["claims"]) == 3
    assert all(claim["holds"] for claim in summary["claims"])
    assert [row["epsilon"] for row in summary["budgets"]] == list(experiment.QUICK.epsilons)
    for row in [*summary["budgets"], summary["hasty"]]:
        assert 0 < row["epsilon_pld"] <= row["epsilon_rdp"] <= row["epsilon"]
        assert 0 < row["largest_batch"] < summary["sampling"]["capacity"]
    assert summary["hasty"]["steps"] < summary["budgets"][0]["steps"] == 30


@pytest.mark.slow
def test_every_epoch_says_what_was_spent(quick):
    """As the accountant says of the steps of so many epochs."""
    rows = np.genfromtxt(quick / "metrics.csv", delimiter=",", names=True)
    summary = json.loads((quick / "summary.json").read_text())
    assert list(rows["epoch"]) == [1, 2, 3]
    noise, delta = summary["budgets"][0]["noise_multiplier"], 0.999e-5
    expected = [privacy.rdp_epsilon(0.1, noise, 10 * epoch, delta) for epoch in (1, 2, 3)]
    np.testing.assert_allclose(rows["epsilon_rdp_at_291"], expected, rtol=1e-9)
    assert np.all(rows["epsilon_pld_at_291"] < rows["epsilon_rdp_at_291"])


@pytest.mark.slow
def test_figures(quick):
    names = {path.stem for path in (quick / "figures").glob("*.png")}
    instruments = {"instruments_epsilon_2.91", "instruments_epsilon_6.86"}
    assert names == {"accuracy", "epochs", "norms", *instruments}
    for path in (quick / "figures").glob("*.png"):
        with Image.open(path) as picture:
            assert min(picture.size) >= 500


# --- what is claimed -----------------------------------------------------------------------------

BUDGET = budgets.Budget(2.91, 1.5, 30)


def trained(rdp, pld, steps=30):
    return training.Trained(BUDGET, {}, {}, np.array([steps]), np.array([rdp]), np.array([pld]))


def test_the_budget_claim_can_fail():
    """A run that overspends; one that never had to stop; one that stopped too early."""
    terms = experiment.terms_of(experiment.QUICK)
    delta = privacy.accounted_delta(experiment.QUICK.delta)
    stopping = privacy.affordable_steps(2.91, delta, 0.1, 1.5, 10**4)
    assert stopping > 30
    hasty = budgets.limit(terms, 2.91, 1.0)
    good = trained(2.9, 2.5)
    stopped = good._replace(budget=hasty, steps=np.array([hasty.steps]))
    claim = partial(claims.budget_claim, terms)
    assert claim([good], stopped).holds
    assert not claim([trained(2.92, 2.5)], stopped).holds
    assert not claim([good], stopped._replace(steps=np.array([30]))).holds
    assert not claim([good], stopped._replace(steps=np.array([hasty.steps - 1]))).holds


def test_the_accountants_claim_can_fail():
    assert claims.accountants_claim([trained(2.9, 2.5)]).holds
    assert not claims.accountants_claim([trained(2.9, 2.5), trained(2.9, 3.0)]).holds
    # A hasty run that can afford no step.
    claim = claims.accountants_claim([trained(2.9, 2.5), trained(0.0, 0.0, steps=0)])
    assert claim.holds
    assert claim.numbers == "RDP over PLD from 1.160 to 1.160 at the ends of epochs"


def test_the_sensitivity_claim_can_fail(monkeypatch):
    """A shift that is no number; gradients that are clipped layer by layer, each to the norm."""
    examples = random_examples(canaries.COMPANY)
    params = jax.tree.map(lambda leaf: leaf[None], small_params())
    found = canaries.measure(examples, params, max_norm=experiment.QUICK.max_norm)
    assert claims.sensitivity_claim(found).holds
    assert found["NaN pixels"].clipped == 0
    assert found["mislabelled"].unclipped > 10
    broken = found["NaN pixels"]._replace(clipped=float("nan"))
    assert not claims.sensitivity_claim({**found, "NaN pixels": broken}).holds
    monkeypatch.setattr(canaries, "clipped_gradient", gradients.layer_clipped_gradient)
    found = canaries.measure(examples, params, max_norm=experiment.QUICK.max_norm)
    assert not claims.sensitivity_claim(found).holds
    assert found["mislabelled"].clipped == pytest.approx(2, rel=1e-3)  # of four layers


def test_accuracy_is_claimed_of_the_recipe_only():
    row = {"epsilon": 1.16, "test_accuracy": 0.97, "test_accuracy_interval": 0.001}
    config = experiment.RECIPES["full"]
    (claim,) = [c for c in experiment.accuracy_claims(config, [row]) if "Opacus" in c.statement]
    assert claim.holds
    row["test_accuracy_interval"] = 0.03
    assert not all(c.holds for c in experiment.accuracy_claims(config, [row]))
    other = dataclasses.replace(config, max_norm=3.0)
    alone = dataclasses.replace(config, seeds=1)
    assert experiment.accuracy_claims(alone, [row | {"test_accuracy_interval": np.nan}]) == []
    assert experiment.accuracy_claims(other, [row]) == []
    assert experiment.accuracy_claims(experiment.QUICK, [row]) == []


@pytest.mark.parametrize(("seeds", "least"), [(5, 0.84 - 0.0321), (1, 0.84 - 0.0556)])
def test_the_claim_of_what_was_reached_can_fail(seeds, least, monkeypatch):
    """0.0127 * 4 is 0.0508, times the roots of 1/5 + 1/5 and of 1/5 + 1."""
    monkeypatch.setattr(claims, "REACHED", {"mnist_5k": {1.16: (0.84, 0.0127)}})
    config = dataclasses.replace(experiment.Config(), seeds=seeds)

    def holds(accuracy):
        row = {"epsilon": 1.16, "test_accuracy": accuracy, "test_accuracy_interval": np.nan}
        (claim,) = experiment.accuracy_claims(config, [row])
        return claim.holds

    assert holds(least + 1e-4)
    assert not holds(least - 1e-4)


# --- what a user gives ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epsilons": ()}, "--epsilons: give one budget"),
        ({"epsilons": (1.0, -1.0)}, "--epsilons -1.0"),
        ({"delta": 1.0}, "--delta 1.0"),
        ({"epochs": 0}, "--epochs 0"),
        ({"steps_per_epoch": 0}, "--steps-per-epoch 0"),
        ({"max_norm": float("inf")}, "--max-norm inf"),
        ({"seed": -1}, "--seed -1"),
        ({"validation_fraction": 1.0}, "--validation-fraction 1.0"),
    ],
)
def test_input_errors(change, message):
    with pytest.raises(InputError, match=message):
        experiment.check(dataclasses.replace(experiment.Config(), **change))


# --- the network ---------------------------------------------------------------------------------


class Plain(nn.Module):
    """The network of plain Flax layers."""

    @nn.compact
    def __call__(self, images):
        maps = nn.tanh(nn.Conv(16, (8, 8), strides=2, name="conv1")(images))
        maps = nn.max_pool(maps, (2, 2), (2, 2))
        maps = nn.tanh(nn.Conv(32, (4, 4), padding="VALID", name="conv2")(maps))
        hidden = nn.tanh(nn.Dense(32, name="dense1")(maps.reshape(len(maps), -1)))
        return nn.Dense(10, name="dense2")(hidden)


def random_examples(count) -> Examples:
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.integers(0, 256, (count, 28, 28, 1)), jnp.uint8)
    return Examples(images, jnp.asarray(rng.integers(0, 10, count), jnp.int32))


def small_params():
    return models.small_cnn().init(jax.random.key(0), jnp.zeros((1, 28, 28, 1))).params


def test_small_cnn_is_plain_flax():
    params = small_params()
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 26_010
    params = jax.tree.map(lambda leaf: leaf + 0.01, params)
    images = random_examples(3).inputs
    logits, _ = models.small_cnn().apply(params, {}, images, None)
    expected = Plain().apply({"params": params}, images / 255)
    np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-5)
