"""The experiment `optimizers`: its quick form, its pieces by hand, and the table it compares."""

import csv
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy
from command_line import assert_refused, start

from experiments import optimizers as experiment
from experiments.optimizers import claims, figures, networks, ranking, runs, tuning
from jaxdl import data, optim
from jaxdl.optim.classic import CLASSIC, FAMILIES


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """The folder of a quick run from the command line."""
    out = tmp_path_factory.mktemp("optimizers") / "run"
    start(experiment, "--quick --diagnostics --devices 2", out)
    return out


def summary_of(folder):
    return json.loads((folder / "summary.json").read_text())


# --- the quick form ------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_claim_holds(quick):
    summary = summary_of(quick)
    assert [claim["holds"] for claim in summary["claims"]] == [True, True]
    assert summary["mlp"]["target"] == 0.92
    rows = summary["mlp"]["optimizers"]
    assert set(rows) == set(experiment.QUICK.optimizers)
    assert [row["rank"] for row in rows.values()] == [1, 2]
    means = [np.mean(row["test_accuracy_of_seeds"]) for row in rows.values()]
    assert means == sorted(means, reverse=True)
    for name, row in rows.items():
        validation = row["validation_accuracy_of_rates"]
        assert len(validation) == len(row["rates"]) == experiment.QUICK.rates
        assert row["learning_rate"] == row["rates"][int(np.argmax(validation))]
        assert len(row["test_accuracy_of_seeds"]) == experiment.QUICK.seeds
        assert row["examples_to_target"] == pytest.approx(4000 * row["epochs_to_target"])
        assert row["test_accuracy"] > 0.85
        assert set(row["p_values"]) == set(rows) - {name}


@pytest.mark.slow
def test_figures(quick):
    drawn = {path.name for path in (quick / "figures").iterdir()}
    instruments = {f"instruments_mlp_{name}.png" for name in ("GD", "momentum")}
    assert drawn == instruments | {f"mlp_{name}.png" for name in ("rates", "ranking", "curves")}


@pytest.mark.slow
def test_instruments(quick):
    with open(quick / "instruments" / "mlp_momentum.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == experiment.QUICK.seeds * experiment.QUICK.epochs
    assert {"example_norm_median", "gradient_variance", "class_share_9", "step_length"} <= {
        *rows[0]
    }


@pytest.mark.slow
def test_a_finished_run_is_read_and_not_run_again(quick, capsys):
    before = summary_of(quick)
    start(experiment, f"--config {quick / 'config.json'} --resume", quick)
    assert summary_of(quick)["mlp"] == before["mlp"]
    shown = capsys.readouterr()
    assert "mlp, momentum: tuning\n" in shown.err
    assert ": tuning" not in shown.out
    assert "run " not in shown.err  # no progress, for there is nothing to do


BAD = [
    ("--networks mlpp", "--networks mlpp", "choose from mlp, cnn"),
    ("--optimizers Adma", "--optimizers Adma", "choose from GD, momentum"),
    ("--networks", "error: --networks: nothing given; choose", "mlp, cnn"),
    ("--optimizers", "error: --optimizers: nothing given; choose", "GD, momentum"),
    ("--networks mlp mlp", "--networks mlp mlp", "give each one once"),
    ("--optimizers GD Adam GD", "--optimizers GD Adam GD", "give each one once"),
    ("--rates 2", "--rates 2", "3 or more"),
    ("--seeds 1", "--seeds 1", "2 or more"),
    ("--seed 99999999999", "99999999999", "2147483646"),
    ("--target 97", "--target 97", "such as 0.97"),
    ("--batch-size 3001", "3001", "1 to 3000"),
    ("--validation-fraction 1", "1.0", "between 0 and 1"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, named, way_out)


# --- its targets ---------------------------------------------------------------------------------


TARGETS = {
    "mlp": {"mnist_5k": 0.92, "mnist": 0.97, "fashion_mnist": 0.87},
    "cnn": {"mnist_5k": 0.95, "mnist": 0.97, "fashion_mnist": 0.88},
}


def test_every_network_has_a_target_for_every_data_set():
    assert {name: of.targets for name, of in networks.NETWORKS.items()} == TARGETS
    for name, targets in TARGETS.items():
        for dataset, target in targets.items():
            config = experiment.Config(dataset=dataset)
            assert experiment.target_accuracy(name, config) == target
            config = experiment.Config(dataset=dataset, target=0.5)
            assert experiment.target_accuracy(name, config) == 0.5


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("", {"mlp": (0.92, 3), "cnn": (0.95, 4)}),
        ("--target 0.9", {"mlp": (0.9, 2), "cnn": (0.9, 2)}),
    ],
    ids=["its own", "given"],
)
def test_the_summary_has_the_target_of_each_network(flags, expected, monkeypatch, tmp_path, capsys):
    """Nothing is trained: every run is a little above 91%, 94%, and 96% after 2, 3, 4 epochs."""

    def done(trainer, network, optimizer, *_, **__):
        rise = np.tile([0.5, 0.91, 0.94, 0.96], (5, 1))
        return tuned(optimizer, 0.96)._replace(accuracy=rise + 0.001 * np.arange(5)[:, None])

    monkeypatch.setattr(experiment, "tune_and_train", done)
    start(experiment, f"--optimizers GD momentum --devices 2 {flags}", tmp_path / "run")
    summary, told = summary_of(tmp_path / "run"), capsys.readouterr().out
    assert "target" not in summary
    for network, (target, epochs) in expected.items():
        assert summary[network]["target"] == target
        rows = summary[network]["optimizers"]
        assert [row["epochs_to_target"] for row in rows.values()] == [epochs] * 2
        assert f"{target:.0%} after {epochs:.1f} epochs (all seeds)" in told


# --- its pieces ----------------------------------------------------------------------------------


@pytest.mark.parametrize("quiet", [False, True])
def test_progress_goes_to_stderr_and_a_run_that_diverged_counts_as_wrong(quiet, capsys):
    seen = runs.Curves(
        jnp.full((1, 2, 3), 0.9), jnp.full((1, 2, 3), 0.3), jnp.array([[False, True]]), {}
    )
    directory = None  # type: ignore
    trainer = runs.Trainer(directory, lambda *_, **__: seen, 3, 32, quiet)
    keys = jax.random.split(jax.random.key(0), 2)
    split = (EXAMPLES, EXAMPLES)
    accuracy, loss, _ = trainer.train("mlp", "GD", "tuning", *split, keys, np.array([0.1]))
    np.testing.assert_allclose(accuracy, [[[0.9] * 3, [0] * 3]], rtol=1e-6)
    np.testing.assert_allclose(loss, [[[0.3] * 3, [np.inf] * 3]], rtol=1e-6)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == ("" if quiet else "mlp, GD: tuning\n")


def test_rates_are_drawn_at_the_same_places_of_every_range():
    key = jax.random.key(3)
    rates = tuning.draw_rates(key, 0.1, 8)
    places = np.log10(rates / 0.1)
    assert np.abs(places).max() <= 2
    assert np.floor((places + 2) * 2).tolist() == list(range(8))  # one in each half decade
    np.testing.assert_allclose(tuning.draw_rates(key, 1e-4, 8), rates / 1000, rtol=1e-4)
    assert not np.allclose(tuning.draw_rates(jax.random.key(4), 0.1, 8), rates)


def test_the_best_rate_has_the_highest_accuracy_then_the_lowest_loss():
    accuracy = np.array([0.1, 0.9, 0.9, 0.0])
    assert tuning.best_place(accuracy, np.array([0.1, 0.4, 0.3, np.inf])) == 2
    assert tuning.best_place(accuracy, np.array([0.1, 0.3, 0.4, np.inf])) == 1


def test_epochs_to_a_target():
    accuracy = np.array([[0.5, 0.9, 0.8], [0.9, 0.9, 0.9], [0.1, 0.2, 0.3]])
    np.testing.assert_array_equal(ranking.epochs_to(0.85, accuracy), [2, 1, np.nan])


def test_the_target_is_told_of_the_seeds_that_got_there(capsys):
    """Ends about 97%: after two epochs of one seed and after three of another; the rest never."""
    there = np.array([[0.5, 0.92, 0.9, 0.9], [0.5, 0.9, 0.93, 0.9], *[[0.5, 0.6, 0.7, 0.8]] * 3])
    done = tuned("GD", 0.97)._replace(accuracy=there)
    never = done._replace(accuracy=there - 0.2)
    outcomes = ranking.rank({"GD": done, "Adam": never}, TARGET)
    ranking.report("mlp", DATASET, outcomes, TARGET)
    told = capsys.readouterr().out
    names = ("reached_target", "epochs_to_target", "examples_to_target")
    row, none = (ranking.table_row(outcomes[name], DATASET) for name in ("GD", "Adam"))
    assert told.startswith("mlp on toy: 4 epochs, 5 seeds\n")
    assert [row[name] for name in names] == [2, 2.5, 250]
    assert "91% after 2.5 epochs (2 of 5 seeds)" in told
    assert none["reached_target"] == 0
    assert np.isnan([none["epochs_to_target"], none["examples_to_target"]]).all()
    assert "91% never (0 of 5 seeds)" in told


@pytest.mark.parametrize(
    ("accuracy", "expected"),
    [
        ([0.90, 0.90, 0.90], 2.0),
        ([0.50, 0.90, 0.70], 0.25 + 0.5),  # down by 0.1 after a quarter and after a half
        ([0.50, 0.60, 0.90], 1 / 3),
        ([0.90, 0.00, 0.90], 2 / 9),  # both sides of a dip count
    ],
)
def test_width_within_a_margin(accuracy, expected):
    rates = np.array([0.01, 0.1, 1.0])
    width = ranking.width_within(0.1, rates, np.array(accuracy))
    assert width == pytest.approx(expected, abs=5e-4)


def tuned(name, final, *, seed=0, epochs_down=(0.3, 0.1, 0.05), best=4):
    """What an optimizer might have done: error by epoch about that of the end, ten rates."""
    rng = np.random.default_rng(seed)
    final = final + 0.002 * rng.normal(size=5)
    accuracy = np.stack([*(final - less for less in epochs_down), final], axis=1)
    rates = tuning.draw_rates(jax.random.key(0), CLASSIC[name].learning_rate, 10)
    validation = 0.95 - 0.003 * (np.arange(10) - best) ** 2
    return tuning.Tuned(rates, validation, best, accuracy)


TARGET = 0.91
EXAMPLES = toy.examples(100)
DATASET = data.Dataset("toy", EXAMPLES, EXAMPLES, ("a", "b", "c"), "", "", "")


def outcomes_of(finals, **options):
    done = {
        name: tuned(name, final, seed=place, **options)
        for place, (name, final) in enumerate(finals.items())
    }
    return ranking.rank(done, TARGET)


def claims_of(outcomes):
    return [claim.holds for claim in claims.network_claims("mlp", outcomes, quick=False)]


def test_ranks_and_pairs_that_cannot_be_told_apart():
    outcomes = outcomes_of({"GD": 0.90, "Adam": 0.9601, "momentum": 0.96})
    assert [outcome.rank for outcome in outcomes.values()] == [1, 2, 3]
    assert list(outcomes)[2] == "GD"
    assert outcomes["GD"].like == []
    assert outcomes["Adam"].like == ["momentum"]
    assert outcomes["momentum"].like == ["Adam"]


def test_claims_fail_on_wrong_numbers():
    good = {"GD": 0.965, "momentum": 0.97, "Adam": 0.968}
    outcomes = outcomes_of(good)
    assert claims_of(outcomes) == [True] * 4

    adam, descent = outcomes["Adam"], outcomes["GD"]
    at_end = adam._replace(tuned=adam.tuned._replace(best=9))
    assert claims_of({**outcomes, "Adam": at_end}) == [False, True, True, True]
    moved = adam._replace(tuned=adam.tuned._replace(rates=1.1 * adam.tuned.rates))
    assert claims_of({**outcomes, "Adam": moved}) == [False, True, True, True]
    narrow = adam._replace(width=0.3)
    assert claims_of({**outcomes, "Adam": narrow}) == [True, False, True, True]
    worse = outcomes_of({**good, "Adam": 0.95})["Adam"]
    assert claims_of({**outcomes, "Adam": worse}) == [True, True, False, True]
    slower = descent.tuned.validation - 0.025
    elsewhere = descent._replace(tuned=descent.tuned._replace(validation=slower))
    assert claims_of({**outcomes, "GD": elsewhere}) == [True, True, True, False]
    unstable = np.where(np.arange(10) > 4, 0, descent.tuned.validation)  # above the best rate
    elsewhere = descent._replace(tuned=descent.tuned._replace(validation=unstable))
    assert claims_of({**outcomes, "GD": elsewhere}) == [True] * 4


def test_the_claim_of_likeness_says_that_it_compares_means():
    claim = claims.alike_claim("mlp", outcomes_of({"momentum": 0.97, "Adam": 0.95}))
    assert "by their means over seeds" in claim.statement
    assert "point estimates from 95." in claim.numbers


def test_figures_of_all_eleven():
    outcomes = outcomes_of({name: 0.97 - 0.003 * place for place, name in enumerate(CLASSIC)})
    drawn = figures.draw("mlp", DATASET, outcomes, TARGET)
    assert {name: len(figure.axes) for name, figure in drawn.items()} == {
        "mlp_rates": 12,
        "mlp_ranking": 2,
        "mlp_curves": 4,
    }


def test_figures_of_one():
    """Without a warning, which the tests make an error."""
    drawn = figures.draw("mlp", DATASET, outcomes_of({"GD": 0.97}), TARGET)
    assert [axes.axison for axes in drawn["mlp_ranking"].axes] == [True, False]


# --- the table -----------------------------------------------------------------------------------


FIRST_STEPS = {
    "GD": 0.1,
    "momentum": 0.01,
    "Nesterov": 0.01 * (1 + 0.9),
    "AdaGrad": 0.01 / np.sqrt(0.1 + 1),
    "RMSProp": 1e-3 / np.sqrt(0.1),
    "Adadelta": np.sqrt(1e-7 / (0.05 + 1e-7)),
    "Adam": 1e-3,
    "AdamW": 1e-3 * (1 + 1e-4 * 3),
    "Nadam": 1e-3 * (0.9 * 0.1 / (1 - 0.9**2) + 1),
    "AMSGrad": 1e-3,
    "Lion": 1e-4,
}
"""From the papers' formulas by hand, for the gradient 1 at the parameter 3."""


@pytest.mark.parametrize("name", CLASSIC)
def test_first_step_is_that_of_the_formula(name):
    optimizer = optim.make_optimizer(CLASSIC[name])
    params = jnp.array([3.0])
    updates, _ = optimizer.update(jnp.ones(1), optimizer.init(params), params)
    np.testing.assert_allclose(jax.tree.leaves(updates)[0], [-FIRST_STEPS[name]], rtol=1e-4)


def test_every_optimizer_is_in_one_family():
    assert sorted(itertools.chain(*FAMILIES.values())) == sorted(CLASSIC)
    assert set(claims.ALIKE) <= set(CLASSIC)
