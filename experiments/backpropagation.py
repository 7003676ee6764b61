"""Back-propagation by hand, in plain JAX without a derivative taken by a machine.

A network of layers ``x_l = f(x_{l-1} W_l + b_l)``, x a row, f the sigmoid; the last layer's is the
sigmoid with squared error or the softmax with cross-entropy. The seven steps of stochastic
training:

    1. draw small weights
    2. take an example
    3. forward: each layer's outputs from those of the one before
    4. the error of the last outputs
    5. delta_L, the derivative of the error by what the last layer sums up:
       (y - t) y (1 - y) by squared error, y - t by cross-entropy of a softmax
    6. backward: delta_l = (delta_{l+1} W_{l+1}^T) x_l (1 - x_l)
    7. W_l -= rate x_{l-1}^T delta_l, b_l -= rate delta_l; go on with 2

(Rumelhart, Hinton and Williams, "Learning Representations by Back-propagating Errors", 1986).

Claims:

    - These deltas give what `jax.grad` gives, to rounding, for both losses and any depth.
    - So do finite differences, to the square of the step, until rounding drowns them.
    - An update for each example, and one for each batch, are those of `jaxdl.fit`.
    - All derivatives together cost twice as much as a forward pass, a little less since the first
      layer passes no delta on.

    python -m experiments.backpropagation            seconds
    python -m experiments.backpropagation --quick    the same
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from jax.flatten_util import ravel_pytree
from jax.tree_util import Partial
from jaxtyping import Array, Float, PyTree
from matplotlib.figure import Figure

from jaxdl import cli, losses, plots, train
from jaxdl.claims import Claim, conclude
from jaxdl.gradients import mean_gradient
from jaxdl.runs import ExperimentOptions, check_no_diagnostics, check_seed, open_run
from jaxdl.types import Examples, Keys, Model, ModelState, TrainState, Variables

DEPTHS = (1, 2, 3, 5, 10)
WIDTH, INPUTS, CLASSES = 16, 8, 4
STEP_SIZES = 10.0 ** -np.arange(1, 13)
RATE, EPOCHS, EXAMPLES, BATCH = 0.5, 3, 24, 6
CLOSE = 1e-11
"""How near two ways are to come that differ by rounding alone."""
COST_WIDTH, COST_BATCH, COST_DEPTHS = 256, 128, (2, 4, 8)

Rows = Float[Array, "batch units"]


@dataclass(frozen=True)
class Config(ExperimentOptions):
    """What can be set."""

    seed: int = 0
    """Of weights and examples."""


QUICK = Config(quick=True)


def run(config: Config) -> None:
    """Computes each gradient in several ways, draws, and checks each claim."""
    check_no_diagnostics(config)
    check_seed(config.seed)
    with open_run("backpropagation", config) as directory:
        with jax.enable_x64(True):
            against_grad = {name: differences_from_grad(of, config) for name, of in TASKS.items()}
            against_steps = {name: differences_by_step(of, config) for name, of in TASKS.items()}
            trained = {name: differences_from_fit(of, config) for name, of in TASKS.items()}
        costs = measure_costs()
        drawn = {"finite_differences": draw_steps(against_steps, against_grad)}
        plots.save_all(drawn, directory.figures)
        results = {"from_grad": against_grad, "from_fit": trained, "costs": costs}
        claims = [
            grad_claim(against_grad),
            step_claim(against_steps),
            fit_claim(trained),
            cost_claim(costs),
        ]
        conclude(directory, results, claims)


# --- the algorithm -------------------------------------------------------------------------------


class Layer(NamedTuple):
    """Weights ``(inputs, outputs)`` and biases ``(outputs,)``."""

    weights: Array
    biases: Array


Layers = list[Layer]


class Task(NamedTuple):
    """What the last layer does and how it is judged, a row for each example.

    Attributes:
        output: from its sums to its outputs.
        loss: of outputs and targets, a number for each example.
        delta: the derivative of the loss by the sums, of outputs and targets.
    """

    output: Callable[[Rows], Rows]
    loss: Callable[[Rows, Rows], Float[Array, " batch"]]
    delta: Callable[[Rows, Rows], Rows]


def sigmoid(sums: Rows) -> Rows:
    """``1 / (1 + exp(-s))``."""
    return 1 / (1 + jnp.exp(-sums))


def softmax(sums: Rows) -> Rows:
    """``exp(s_k) / sum exp(s)``, the largest sum taken off first."""
    powers = jnp.exp(sums - sums.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


TASKS = {
    "sigmoid, squared error": Task(
        sigmoid, lambda y, t: jnp.sum((y - t) ** 2, axis=1) / 2, lambda y, t: (y - t) * y * (1 - y)
    ),
    "softmax, cross-entropy": Task(
        softmax, lambda y, t: -jnp.sum(t * jnp.log(y), axis=1), lambda y, t: y - t
    ),
}


def draw_layers(config: Config, widths: tuple[int, ...]) -> Layers:
    """Step 1: normal weights with variance one over the inputs."""
    rng = np.random.default_rng(config.seed)
    return [
        Layer(
            jnp.asarray(rng.normal(size=(inputs, outputs)) / np.sqrt(inputs)),
            jnp.asarray(rng.normal(size=outputs) / 10),
        )
        for inputs, outputs in itertools.pairwise(widths)
    ]


def forward(task: Task, layers: Layers, inputs: Rows) -> list[Rows]:
    """Step 3: the inputs and what each layer makes of them, the outputs last."""
    values = [inputs]
    for place, layer in enumerate(layers, start=1):
        sums = values[-1] @ layer.weights + layer.biases[None]
        values.append(task.output(sums) if place == len(layers) else sigmoid(sums))
    return values


def mean_loss(task: Task, layers: Layers, inputs: Rows, targets: Rows) -> Float[Array, ""]:
    """Step 4."""
    return task.loss(forward(task, layers, inputs)[-1], targets).mean()


def backward(task: Task, layers: Layers, inputs: Rows, targets: Rows) -> Layers:
    """Steps 3 to 6: the derivatives of the mean loss, in the form of the layers."""
    *values, outputs = forward(task, layers, inputs)
    delta = task.delta(outputs, targets) / len(targets)
    found = []
    for layer, given in zip(reversed(layers), reversed(values), strict=True):
        found.append(Layer(given.T @ delta, delta.sum(axis=0)))
        delta = (delta @ layer.weights.T) * given * (1 - given)
    return found[::-1]


def learn(task: Task, layers: Layers, inputs: Rows, targets: Rows, *, batch: int) -> Layers:
    """Steps 2 to 7, an update for each batch in order; a batch of 1 is the stochastic form."""

    def update(layers: Layers, examples: tuple[Rows, Rows]):
        slopes = backward(task, layers, *examples)
        return jax.tree.map(lambda weight, slope: weight - RATE * slope, layers, slopes), None

    batches = inputs.reshape(-1, batch, INPUTS), targets.reshape(-1, batch, CLASSES)
    return lax.scan(update, layers, batches)[0]


# --- in other ways -------------------------------------------------------------------------------


def draw_examples(config: Config, count: int) -> tuple[Array, Array]:
    """Normal inputs, and one class of each as a row of zeros and a one."""
    rng = np.random.default_rng([config.seed, 1])
    classes = rng.integers(0, CLASSES, count)
    return jnp.asarray(rng.normal(size=(count, INPUTS))), jnp.asarray(np.eye(CLASSES)[classes])


def widths_of(depth: int) -> tuple[int, ...]:
    """Of a network of so many layers."""
    return (INPUTS, *[WIDTH] * (depth - 1), CLASSES)


def furthest(one: PyTree, other: PyTree) -> float:
    """The largest difference in any leaf, in the largest value of that leaf."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(jnp.abs(a - b).max() / jnp.abs(b).max()) for a, b in pairs)


def differences_from_grad(task: Task, config: Config) -> dict[str, float]:
    """Between ours and `jax.grad`, by depth."""
    inputs, targets = draw_examples(config, BATCH)
    found = {}
    for depth in DEPTHS:
        layers = draw_layers(config, widths_of(depth))
        theirs = jax.grad(partial(mean_loss, task))(layers, inputs, targets)
        found[f"layers_{depth}"] = furthest(backward(task, layers, inputs, targets), theirs)
    return found


def differences_by_step(task: Task, config: Config) -> list[float]:
    """Between ours and central finite differences, for each of `STEP_SIZES`; of three layers."""
    inputs, targets = draw_examples(config, BATCH)
    layers = draw_layers(config, widths_of(3))
    flat, unravel = ravel_pytree(layers)
    ours = ravel_pytree(backward(task, layers, inputs, targets))[0]

    @jax.jit
    def slopes(step: Array) -> Array:
        def loss(flat: Array) -> Array:
            return mean_loss(task, unravel(flat), inputs, targets)

        def slope(direction: Array) -> Array:
            return (loss(flat + step * direction) - loss(flat - step * direction)) / (2 * step)

        return jax.vmap(slope)(jnp.eye(flat.size))

    return [furthest(slopes(step), ours) for step in STEP_SIZES]


def differences_from_fit(task: Task, config: Config) -> dict[str, float]:
    """Between the weights after some epochs of ours and of the engine's, by batch size."""
    inputs, targets = draw_examples(config, EXAMPLES)
    found = {}
    for batch in (1, BATCH, EXAMPLES):
        ours = draw_layers(config, widths_of(3))
        for _ in range(EPOCHS):
            ours = learn(task, ours, inputs, targets, batch=batch)
        theirs = fitted(task, draw_layers(config, widths_of(3)), inputs, targets, batch)
        found[f"batch_{batch}"] = furthest(ours, theirs)
    return found


def fitted(task: Task, layers: Layers, inputs: Array, targets: Array, batch: int) -> Layers:
    """What `jaxdl.fit` makes of the same, by `jax.grad` and Optax."""

    def apply(params: Layers, model_state: ModelState, inputs: Array, keys: Keys):
        return forward(task, params, inputs)[-1], model_state

    model = Model(lambda key, inputs: Variables(layers, {}), Partial(apply))
    loss_fn = losses.supervised_loss(model, task.loss)
    optimizer = optax.sgd(RATE)
    state = TrainState(jnp.int32(0), layers, {}, optimizer.init(layers), jax.random.key(0))
    end, _ = train.fit(
        train.make_update(mean_gradient(loss_fn), optimizer),
        state,
        Examples(inputs, targets),
        epochs=EPOCHS,
        batch_size=batch,
        in_order=True,
    )
    return end.train.params


# --- what it costs -------------------------------------------------------------------------------


def measure_costs() -> dict[str, dict[str, float]]:
    """Floating-point operations for a batch, as XLA counts those of the program, by depth."""
    task = TASKS["softmax, cross-entropy"]
    examples = jnp.zeros((COST_BATCH, COST_WIDTH)), jnp.zeros((COST_BATCH, COST_WIDTH))
    found = {}
    for depth in COST_DEPTHS:
        layers = draw_layers(Config(), (COST_WIDTH,) * (depth + 1))
        found[f"layers_{depth}"] = {
            "forward": operations(partial(mean_loss, task), layers, *examples),
            "backward": operations(partial(backward, task), layers, *examples),
            "weights": sum(leaf.size for leaf in jax.tree.leaves(layers)),
        }
    return found


def operations(function: Callable, *arguments) -> float:
    """In one call of the compiled function."""
    analysis = jax.jit(function).lower(*arguments).compile().cost_analysis()
    assert analysis is not None  # every backend of ours has one
    return float(analysis["flops"])


# --- what is claimed -----------------------------------------------------------------------------


def grad_claim(found: dict[str, dict[str, float]]) -> Claim:
    """To rounding."""
    worst = {name: max(of.values()) for name, of in found.items()}
    return Claim(
        "the deltas give the gradient of `jax.grad`, for any depth",
        max(worst.values()) < CLOSE,
        "; ".join(f"{name}: off by {of:.0e} of a layer's largest" for name, of in worst.items())
        + f", {DEPTHS[0]} to {DEPTHS[-1]} layers in float64, expected below {CLOSE:.0e}",
    )


def step_claim(found: dict[str, list[float]]) -> Claim:
    """The law of central differences."""
    large = slice(0, 3)
    orders = {
        name: float(np.polyfit(np.log(STEP_SIZES[large]), np.log(of[large]), 1)[0])
        for name, of in found.items()
    }
    least = max(min(of) for of in found.values())
    drowned = all(of[-1] > 100 * min(of) for of in found.values())
    return Claim(
        "finite differences give the same, to the square of the step, until rounding drowns them",
        all(abs(order - 2) < 0.1 for order in orders.values()) and least < 1e-8 and drowned,
        f"order {', '.join(f'{order:.2f}' for order in orders.values())}, expected 2; {least:.0e} "
        f"at best, with a step of {STEP_SIZES[-1]:.0e} again "
        f"{min(of[-1] for of in found.values()):.0e}",
    )


def fit_claim(found: dict[str, dict[str, float]]) -> Claim:
    """The engine, its loss differentiated by JAX."""
    worst = max(max(of.values()) for of in found.values())
    return Claim(
        "an update for each example, and one for each batch, are those of jaxdl.fit",
        worst < CLOSE,
        f"after {EPOCHS} epochs of {EXAMPLES} examples in batches of 1, {BATCH} and {EXAMPLES} "
        f"weights are off by {worst:.0e}, expected below {CLOSE:.0e}",
    )


def cost_claim(costs: dict[str, dict[str, float]]) -> Claim:
    """Three products a layer instead of one, but that the first passes nothing on."""
    ratios = [of["backward"] / of["forward"] for of in costs.values()]
    expected = [3 - 1 / depth for depth in COST_DEPTHS]
    deepest = list(costs.values())[-1]
    return Claim(
        "forward and backward cost three times a forward pass, less the first layer's third",
        np.allclose(ratios, expected, atol=0.05),
        f"{', '.join(f'{ratio:.3f}' for ratio in ratios)} times the operations, expected "
        f"{', '.join(f'{ratio:.3f}' for ratio in expected)}, with "
        f"{', '.join(map(str, COST_DEPTHS))} layers of {COST_WIDTH}; finite differences of the "
        f"last, two passes a weight: {2 * deepest['weights']:,.0f} times",
    )


# --- a picture -----------------------------------------------------------------------------------


@plots.styled
def draw_steps(by_step: dict[str, list[float]], by_grad: dict[str, dict[str, float]]) -> Figure:
    """How far finite differences are off, and `jax.grad`."""
    figure = Figure(figsize=(6.2, 4.2), layout="constrained")
    axes = figure.subplots()
    for (name, of), colour, style in zip(
        by_step.items(), (plots.BLUE, plots.RED), ("o-", "s--"), strict=True
    ):
        axes.loglog(STEP_SIZES, of, style, color=colour, label=f"finite differences, {name}")
    rounding = max(of["layers_3"] for of in by_grad.values())
    axes.axhline(rounding, color="black", ls=":", label="jax.grad")
    axes.set(xlabel="step h of (E(w + h) - E(w - h)) / 2h", ylabel="off, in the largest derivative")
    axes.set_title("back-propagation by hand against others, three layers")
    axes.legend(fontsize=8)
    return figure


if __name__ == "__main__":
    cli.main(run, Config, quick=QUICK)
