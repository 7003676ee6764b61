"""The algorithm against numbers worked out by hand and NumPy loops, and claims that can fail."""

import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from command_line import assert_refused, start

from experiments import backpropagation as experiment

SIGMOID, SOFTMAX = experiment.TASKS


@pytest.mark.slow
def test_every_claim_holds(tmp_path):
    start(experiment, "", tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [claim["holds"] for claim in summary["claims"]] == [True] * 4
    assert {path.stem for path in (tmp_path / "run" / "figures").iterdir()} == {
        "finite_differences"
    }


def test_bad_input(tmp_path, capsys):
    assert_refused(experiment, "--seed -1", tmp_path / "run", capsys, "--seed -1")
    assert_refused(experiment, "--diagnostics", tmp_path / "run", capsys, "leave it out")


def test_two_neurons_by_hand():
    """One input, one hidden unit, one output; squared error."""
    layers = [
        experiment.Layer(jnp.array([[2.0]]), jnp.array([-1.0])),
        experiment.Layer(jnp.array([[3.0]]), jnp.array([0.5])),
    ]
    hidden = 1 / (1 + math.exp(-(2 * 0.7 - 1)))
    output = 1 / (1 + math.exp(-(3 * hidden + 0.5)))
    delta = (output - 1) * output * (1 - output)
    below = 3 * delta * hidden * (1 - hidden)
    task = experiment.TASKS[SIGMOID]
    first, second = experiment.backward(task, layers, jnp.array([[0.7]]), jnp.array([[1.0]]))
    found = [second.weights, second.biases, first.weights, first.biases]
    for value, expected in zip(found, (delta * hidden, delta, below * 0.7, below), strict=True):
        np.testing.assert_allclose(value.ravel(), expected, rtol=1e-5)


@pytest.mark.parametrize("name", experiment.TASKS)
def test_updates_by_a_loop_over_weights(name):
    """Every weight by itself, an example at a time, in NumPy."""
    config, task = experiment.Config(), experiment.TASKS[name]
    inputs, targets = experiment.draw_examples(config, 3)
    layers = experiment.draw_layers(config, experiment.widths_of(2))
    found = experiment.learn(task, layers, inputs, targets, batch=1)
    (w1, b1), (w2, b2) = ([np.array(leaf, np.float64) for leaf in layer] for layer in layers)
    for x, t in zip(np.asarray(inputs), np.asarray(targets), strict=True):
        h = 1 / (1 + np.exp(-(x @ w1 + b1)))
        s = h @ w2 + b2
        y = 1 / (1 + np.exp(-s)) if name == SIGMOID else np.exp(s) / np.exp(s).sum()
        last = (y - t) * y * (1 - y) if name == SIGMOID else y - t
        hidden = np.zeros(len(h))
        for j in range(len(h)):
            for k in range(len(y)):
                hidden[j] += w2[j, k] * last[k] * h[j] * (1 - h[j])
        w2, b2 = w2 - experiment.RATE * np.outer(h, last), b2 - experiment.RATE * last
        w1, b1 = w1 - experiment.RATE * np.outer(x, hidden), b1 - experiment.RATE * hidden
    for layer, (weights, biases) in zip(found, ((w1, b1), (w2, b2)), strict=True):
        np.testing.assert_allclose(layer.weights, weights, atol=1e-5)
        np.testing.assert_allclose(layer.biases, biases, atol=1e-5)


@pytest.mark.parametrize("name", experiment.TASKS)
def test_a_wrong_delta_is_found(name):
    """The derivative of the last layer left out, as is often done by mistake."""
    task = experiment.TASKS[name]
    other = experiment.TASKS[SOFTMAX if name == SIGMOID else SIGMOID]
    wrong = task._replace(delta=other.delta)
    with jax.enable_x64(True):
        found = {name: experiment.differences_from_grad(wrong, experiment.Config())}
        trained = {name: experiment.differences_from_fit(wrong, experiment.Config())}
    assert not experiment.grad_claim(found).holds
    assert not experiment.fit_claim(trained).holds


def test_claims_can_fail():
    law = np.minimum(1.0, experiment.STEP_SIZES**2 + 1e-15 / experiment.STEP_SIZES)
    assert experiment.step_claim({SIGMOID: law.tolist()}).holds
    first_order = experiment.STEP_SIZES + 1e-15 / experiment.STEP_SIZES
    assert not experiment.step_claim({SIGMOID: first_order.tolist()}).holds
    assert not experiment.step_claim({SIGMOID: (law + 1e-3).tolist()}).holds
    costs = {n: {"forward": 1.0, "backward": 3 - 1 / n, "weights": 9} for n in (2, 4, 8)}
    assert experiment.cost_claim(costs).holds
    costs[4]["backward"] = 3.0
    assert not experiment.cost_claim(costs).holds
