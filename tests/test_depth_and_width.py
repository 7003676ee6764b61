"""Networks by loops, a target's own network, rates that are chosen, and claims on wrong numbers."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import assert_refused, start

from experiments import depth_and_width as experiment
from experiments.depth_and_width import digits, nested, networks, training
from experiments.depth_and_width.networks import Perceptron, Tree
from experiments.depth_and_width.training import Ends, Member, Splits, Tuned
from jaxdl import losses
from jaxdl.types import Examples, Model, Static, Variables


@pytest.mark.slow
def test_every_claim_holds(tmp_path):
    start(experiment, "--quick --quiet", tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [claim["holds"] for claim in summary["claims"]] == [True] * 4
    drawn = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"digits", "nested"}


BAD = [
    ("--depths 1 2", "--depths 1 2", "add them"),
    ("--depths 3 1", "--depths 3 1", "larger than"),
    ("--depths -1 1 3", "--depths", "0 or more"),
    ("--nested-parameters 25", "25 parameters", "a larger one"),
    ("--tuning-seeds 0", "--tuning-seeds 0", "1 or more"),
    ("--diagnostics", "--diagnostics", "leave it out"),
]


@pytest.mark.parametrize(("flags", "named", "way_out"), BAD, ids=[flags for flags, *_ in BAD])
def test_bad_input(flags, named, way_out, capsys, tmp_path):
    assert_refused(experiment, flags, tmp_path / "run", capsys, named, way_out)


# --- networks ------------------------------------------------------------------------------------

NETWORKS = [
    Perceptron(0, 0, 8, 10),
    Perceptron(1, 5, 8, 1),
    Perceptron(4, 3, 8, 2),
    Tree(1, 4),
    Tree(3, 5),
]


@pytest.mark.parametrize("network", NETWORKS, ids=str)
def test_parameters_are_counted(network):
    inputs = jax.ShapeDtypeStruct((1, 8), jnp.float32)
    params = jax.eval_shape(network.model().init, jax.random.key(0), inputs).params
    assert network.parameters() == sum(leaf.size for leaf in jax.tree.leaves(params))


def test_the_nearest_width():
    for depth in (1, 2, 3, 4, 6):
        found = networks.perceptron(depth, 24_500, inputs=196, outputs=10)
        off = [abs(Perceptron(depth, w, 196, 10).parameters() - 24_500) for w in range(1, 200)]
        assert found.width == 1 + int(np.argmin(off))
        assert min(off) < 0.02 * 24_500
    assert networks.tree(3, 1220) == Tree(3, 13)


def test_a_tree_by_a_loop():
    model, rng = Tree(2, 3).model(), np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 4))).params
    params = jax.tree.map(lambda of: rng.normal(size=of.shape).astype(np.float32), shapes)
    inputs = rng.normal(size=(5, 4)).astype(np.float32)
    found, _ = jax.jit(model.apply)(params, {}, inputs, None)
    low, high, root = params["level_0"], params["level_1"], params["root"]
    for example, output in zip(inputs, np.asarray(found), strict=True):
        below = []
        for node, pair in enumerate((example[:2], example[2:])):
            below.append(np.maximum(pair @ low["kernel"][node] + low["bias"][node], 0))
        top = np.maximum(np.concatenate(below) @ high["kernel"][0] + high["bias"][0], 0)
        assert output == pytest.approx(top @ root["kernel"] + root["bias"], rel=1e-4)


# --- targets -------------------------------------------------------------------------------------


def test_targets_by_hand():
    rng = np.random.default_rng(1)
    x, directions = rng.normal(size=8), rng.normal(size=(8, 7))

    def tree(a, b, c, d, e, f, g, h):
        left = abs(abs(a - b) - abs(c - d))
        return abs(left - abs(abs(e - f) - abs(g - h)))

    expected = [
        tree(*x),
        sum(abs(sum(x[i] * directions[i, k] for i in range(8))) for k in range(7)) / 7**0.5,
        tree(*x[[0, 4, 1, 5, 2, 6, 3, 7]]),
    ]
    for target, value in zip(nested.TARGETS, expected, strict=True):
        found = target(jnp.float32(x)[None], jnp.float32(directions))
        assert found.shape == (1, 1)
        assert float(found[0, 0]) == pytest.approx(value, rel=1e-4)


def test_its_own_network_is_exact():
    """On examples as they are drawn, none of which is there twice; the sum is another target."""
    model, params = nested.exact_network()
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 8 * 9 + 4 * 9 + 2 * 5 + 3
    draw = jax.jit(nested.draw_splits, static_argnames="count")
    keys = jax.random.split(jax.random.key(0), 2)
    trees, sums = (draw(*keys, task, count=400) for task in (nested.IN_TREE, nested.IN_SUM))
    outputs = jax.jit(model.apply)(params, {}, trees.test.inputs, None)[0]
    assert float(jnp.abs(outputs - trees.test.targets).max()) < 1e-5
    assert float(jnp.abs(outputs - sums.test.targets).max()) > 1
    every = np.concatenate([part.inputs for part in trees])
    assert len(np.unique(every, axis=0)) == len(every) == 400 + 2 * nested.EVALUATED
    assert len(trees.train.inputs) == 400
    assert abs(float(np.square(every).mean()) - 1) < 0.02


def test_errors_are_shares_of_the_variance(monkeypatch):
    """And every network has the examples of its key, task and draw."""
    asked = []

    def draw(of_directions, of_inputs, task, count):
        asked.append((jax.random.key_data(of_inputs).tolist(), task, count))
        examples = Examples(jnp.zeros((2, 8)), jnp.array([[0.0], [2.0]]))  # of variance 1
        return Splits(examples, examples, examples._replace(targets=2 * examples.targets))

    ends = ({"loss": jnp.float32(2)}, {"loss": jnp.float32(6)})
    monkeypatch.setattr(nested, "draw_splits", draw)
    monkeypatch.setattr(training, "fit", lambda *_, **__: ends)
    for network, place in ((Perceptron(1, 4, 8, 1), 0), (Tree(3, 2), 0), (Tree(3, 2), 1)):
        plan, member = Static((network, 7)), Member(nested.IN_SUM, 0.1, place)
        assert [float(of) for of in nested.learn(plan, jax.random.key(0), member)] == [0.5, 1.5]
    assert asked[0] == asked[1] != asked[2]
    assert asked[0][1:] == (nested.IN_SUM, 7 * nested.BATCH)


def test_digits_are_chosen_by_loss_and_reported_by_accuracy(monkeypatch):
    ends = ({"loss": 1.0, "accuracy": 0.2}, {"loss": 3.0, "accuracy": 0.4})
    monkeypatch.setattr(training, "fit", lambda *_, **__: ends)
    plan, splits = (
        Static((Perceptron(1, 4, 196, 10), 1)),
        Splits(*[Examples(*[jnp.ones(1)] * 2)] * 3),
    )
    found = digits.learn(plan, splits, jax.random.key(0), Member(0, 0.1, 0))
    assert tuple(found) == (1.0, 0.4)


def test_it_learns_by_adam_along_a_cosine():
    """A slope that is fitted to two examples at a time, which are alike, by a loop."""
    model = Model(
        lambda key, inputs: Variables({"slope": jnp.float32(0)}, {}),
        lambda params, state, inputs, keys: (params["slope"] * inputs, state),
    )
    alike = Examples(jnp.ones((4, 1)), jnp.full((4, 1), 3.0))
    other = Examples(jnp.full((1, 1), 2.0), jnp.zeros((1, 1)))
    loss_fn = losses.supervised_loss(model, losses.squared_error)
    parts, key = Splits(alike, alike, other), jax.random.key(0)
    found = training.fit(model, loss_fn, parts, key, 0.5, epochs=3, batch_size=2)
    slope = first = second = 0.0
    for step in range(6):
        gradient = 2 * (slope - 3)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        mean, square = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.999 ** (step + 1))
        slope -= 0.5 * (1 + np.cos(np.pi * step / 6)) / 2 * mean / (np.sqrt(square) + 1e-8)
    assert float(found[0]["loss"]) == pytest.approx((slope - 3) ** 2, rel=1e-4)
    assert float(found[1]["loss"]) == pytest.approx((2 * slope) ** 2, rel=1e-4)


# --- rates ---------------------------------------------------------------------------------------


def test_rates_are_chosen_for_each_task_and_reported_on_fresh_draws():
    def run(key, member):
        best = jnp.where(member.task == 5, 0.1, 0.3)
        noise = jax.random.uniform(key)
        return Ends(jnp.square(member.rate - best) + 1e-3 * noise, 10 * member.draw + noise)

    def sweep(run, keys, members, **_):
        one = jax.vmap(run, in_axes=(0, None))
        found = jax.vmap(one, in_axes=(None, 0))(keys, members)
        return jax.tree.map(np.asarray, found)

    found = training.tune(sweep, "name", run, [5, 7], [0.1, 0.2, 0.3], seeds=2, seed=0)
    assert [of.rate for of in found] == [0.1, 0.3]
    assert [of.validation.shape for of in found] == [(3, 2)] * 2
    assert [np.floor(of.test / 10).tolist() for of in found] == [[1, 1, 2, 2, 3, 3]] * 2


# --- claims --------------------------------------------------------------------------------------

WOBBLE = np.exp(0.1 * np.sin(np.arange(9)))


def tuned(test):
    return Tuned(0.01, np.ones((3, 3)), np.asarray(test, float))


def test_claims_of_digits_can_fail():
    def holds(accuracies):
        read = {
            Perceptron(depth, 4, 196, 10): tuned(mean + 1e-3 * np.cos(depth + np.arange(9)))
            for depth, mean in accuracies.items()
        }
        return [claim.holds for claim in digits.claims(read)]

    assert holds({0: 0.90, 1: 0.94, 3: 0.943}) == [True, True]
    assert holds({0: 0.935, 1: 0.94, 3: 0.943}) == [False, True]
    assert holds({0: 0.90, 1: 0.94, 3: 0.951}) == [True, False]
    assert holds({0: 0.90, 1: 0.94, 2: 0.951, 3: 0.929}) == [True, False]
    assert holds({0: 0.90, 1: 0.94, 3: 0.92}) == [True, True]
    assert holds({1: 0.94, 3: 0.94}) == [True]


GOOD = {
    ("1 hidden layer", nested.IN_TREE): 0.17,
    ("1 hidden layer", nested.IN_SUM): 1e-5,
    ("3 hidden layers", nested.IN_TREE): 0.01,
    ("3 hidden layers", nested.IN_SUM): 1e-4,
    ("2 hidden layers", nested.IN_TREE): 0.05,
    ("2 hidden layers", nested.IN_SUM): 1e-5,
    (nested.LARGE, nested.IN_TREE): 0.05,
    (nested.WIRED, nested.IN_TREE): 1e-4,
    (nested.WIRED, nested.IN_OTHER_TREE): 0.3,
}


def learnt(means):
    learners = nested.make_learners((1, 2, 3), 1220, others=True)
    return {
        name: (
            learner,
            {task: tuned(means[name, task] * WOBBLE ** (1 + task)) for task in learner.tasks},
        )
        for name, learner in learners.items()
    }


def test_claims_of_nested_targets_can_fail():
    made = (nested.depth_claim, nested.sum_claim, nested.larger_claim, nested.wired_claim)

    def holds(wrong):
        found = learnt({**GOOD, **wrong})
        return [claim(found).holds for claim in made]

    assert [claim.holds for claim in nested.claims(learnt(GOOD))] == [True] * 5
    assert holds({}) == [True] * 4
    for wrong, failing in (
        ({("1 hidden layer", nested.IN_TREE): 0.025}, {0}),
        ({("1 hidden layer", nested.IN_SUM): 2e-3}, {1}),
        ({("3 hidden layers", nested.IN_SUM): 3e-6}, {1}),
        ({("2 hidden layers", nested.IN_SUM): 3e-6}, {1}),
        ({(nested.LARGE, nested.IN_TREE): 0.009}, {2}),
        ({(nested.WIRED, nested.IN_TREE): 0.02}, {3}),
        ({(nested.WIRED, nested.IN_OTHER_TREE): 0.16}, {3}),
    ):
        assert holds(wrong) == [place not in failing for place in range(4)]


def test_noise_does_not_say_that_depth_does_not_pay():
    """Errors that scatter so much that their mean might as well be a third."""
    right = learnt(GOOD)

    def holds(of_depth):
        learner, of = right["2 hidden layers"]
        found = {**of, nested.IN_SUM: tuned(of_depth)}
        return nested.sum_claim({**right, "2 hidden layers": (learner, found)}).holds

    assert holds(1e-5 * WOBBLE)
    assert not holds(1e-5 * np.exp(3 * (-1.0) ** np.arange(9)))


def test_a_wrong_weight_is_seen(monkeypatch):
    model, params = nested.exact_network()
    params["Dense_1"]["kernel"] = params["Dense_1"]["kernel"].at[0, 0].set(0.9)
    monkeypatch.setattr(nested, "exact_network", lambda: (model, params))
    assert not nested.exact_claim(learnt(GOOD)).holds


def test_without_others_there_are_three_claims():
    found = {
        name: of for name, of in learnt(GOOD).items() if name not in (nested.LARGE, nested.WIRED)
    }
    assert [claim.holds for claim in nested.claims(found)] == [True] * 3
