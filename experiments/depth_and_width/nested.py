"""Absolute differences one upon another, and beside each other, learnt at equal parameters."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.depth_and_width import networks, training
from experiments.depth_and_width.networks import Perceptron, Tree
from experiments.depth_and_width.training import Ends, Member, Splits, Tune, Tuned
from jaxdl import losses, models, nn, plots
from jaxdl.claims import Claim
from jaxdl.statistics import geometric_interval, is_above_zero, write_geometric
from jaxdl.types import Examples, Model, Number, Params, Static

LEVELS = 3
LEAVES, NODES = 2**LEVELS, 2**LEVELS - 1
"""Inputs of the tree, and absolute differences in it."""
INTERCHANGED = np.arange(LEAVES).reshape(2, -1).T.ravel()
"""An order of the inputs in which none is beside the one it was beside."""
BATCH, EVALUATED = 100, 10_000
RATES = (3e-3, 1e-2, 3e-2, 1e-1)
DEEP, LARGER = 3, 4
"""The depth that is compared with 1, and how many times as many parameters a larger network has."""
FRACTION = 3.0
"""By which factor a deep network's error is less: of the tree at the least, of a sum never."""
NOTHING = 1e-3
"""Of the variance, what one layer may leave of the sum."""


# --- targets -------------------------------------------------------------------------------------


def in_tree(
    inputs: Float[Array, "batch leaves"], directions: Float[Array, "leaves nodes"]
) -> Float[Array, "batch 1"]:
    """Absolute differences of neighbours, of these, and so on, until one is left.

    >>> in_tree(jnp.array([[1.0, 5.0, 2.0, 3.0]]), jnp.zeros((4, 3)))  # |4 - 1|
    Array([[3.]], dtype=float32)
    """
    values = inputs
    while values.shape[1] > 1:
        values = jnp.abs(values[:, ::2] - values[:, 1::2])
    return values


def interchanged(
    inputs: Float[Array, "batch leaves"], directions: Float[Array, "leaves nodes"]
) -> Float[Array, "batch 1"]:
    """The same of the inputs in the order `INTERCHANGED`."""
    return in_tree(inputs[:, INTERCHANGED], directions)


def in_sum(
    inputs: Float[Array, "batch leaves"], directions: Float[Array, "leaves nodes"]
) -> Float[Array, "batch 1"]:
    """As many absolute values, of the inputs along some directions, added."""
    return jnp.abs(inputs @ directions).sum(axis=1, keepdims=True) / np.sqrt(NODES)


TARGETS = (in_tree, in_sum, interchanged)
IN_TREE, IN_SUM, IN_OTHER_TREE = range(3)
"""Their numbers."""


def exact_network() -> tuple[Model, Params]:
    """The perceptron that is the tree, of 2 units a node.

    ``|a - b| = relu(a - b) + relu(b - a)``, and the sum is left to the layer above.
    """
    widths = [2 ** (level + 1) for level in reversed(range(LEVELS))]
    model = models.mlp(widths, classes=1)
    params = model.init(jax.random.key(0), jnp.zeros((1, LEAVES))).params
    params = jax.tree.map(jnp.zeros_like, params)
    difference, pair = np.array([[1, -1], [-1, 1]]), np.ones((2, 1))
    for level, width in enumerate(widths):
        of_node = np.kron(difference, pair) if level else difference
        params[f"Dense_{level}"]["kernel"] = jnp.float32(np.kron(np.eye(width // 2), of_node))
    params[f"Dense_{LEVELS}"]["kernel"] = jnp.float32(pair)
    return model, params


# --- learning ------------------------------------------------------------------------------------


class Learner(NamedTuple):
    """A network and what it learns.

    Attributes:
        network: of the experiment's number of parameters, or more.
        tasks: numbers of `TARGETS`.
    """

    network: Perceptron | Tree
    tasks: tuple[int, ...]


SHALLOW, LARGE, WIRED = (
    "1 hidden layer",
    f"1 hidden layer, {LARGER} times the parameters",
    "wired as the tree",
)
Learnt = Mapping[str, tuple[Learner, dict[int, Tuned]]]
"""By name, the shallowest first; tests are the errors as shares of the target's variance."""


def name_of(depth: int) -> str:
    """Of a perceptron of the experiment's number of parameters.

    >>> name_of(1), name_of(3)
    ('1 hidden layer', '3 hidden layers')
    """
    return SHALLOW if depth == 1 else f"{depth} hidden layers"


def make_learners(depths: Sequence[int], parameters: int, others: bool) -> dict[str, Learner]:
    """Perceptrons; if others are asked for, a larger one and a tree.

    Raises:
        InputError: see `networks.perceptron`.
    """

    def perceptron(depth: int, parameters: int) -> Perceptron:
        return networks.perceptron(depth, parameters, inputs=LEAVES, outputs=1)

    both = (IN_TREE, IN_SUM)
    made = {
        name_of(depth): Learner(perceptron(depth, parameters), both) for depth in depths if depth
    }
    if others:
        made[LARGE] = Learner(perceptron(1, LARGER * parameters), (IN_TREE,))
        made[WIRED] = Learner(networks.tree(LEVELS, parameters), (IN_TREE, IN_OTHER_TREE))
    return made


def measure(tune: Tune, learners: Mapping[str, Learner], steps: int) -> Learnt:
    """Each network on its tasks."""

    def of(name: str, learner: Learner) -> dict[int, Tuned]:
        run = Partial(learn, Static((learner.network, steps)))
        folder = f"nested_{name.replace(' ', '_').replace(',', '')}"
        return dict(zip(learner.tasks, tune(folder, run, learner.tasks, RATES), strict=True))

    return {name: (learner, of(name, learner)) for name, learner in learners.items()}


def learn(plan: Static[tuple[Perceptron | Tree, int]], key: Key[Array, ""], member: Member) -> Ends:
    """One run; every network has the same examples of a key."""
    network, steps = plan.value
    of_start, of_directions, of_inputs = jax.random.split(jax.random.fold_in(key, member.draw), 3)
    splits = draw_splits(of_directions, of_inputs, member.task, steps * BATCH)
    model = network.model()
    loss_fn = losses.supervised_loss(model, losses.squared_error)
    ends = training.fit(model, loss_fn, splits, of_start, member.rate, epochs=1, batch_size=BATCH)
    return Ends(*(of["loss"] / jnp.var(splits.test.targets) for of in ends))


def draw_splits(
    of_directions: Key[Array, ""], of_inputs: Key[Array, ""], task: Number, count: int
) -> Splits:
    """Normal inputs and what one of `TARGETS` makes of them, ``count`` to train on."""
    directions = jax.random.normal(of_directions, (LEAVES, NODES))
    directions = directions / jnp.linalg.norm(directions, axis=0, keepdims=True)
    # All at once, since what draws is most of what there is to compile.
    inputs = jax.random.normal(of_inputs, (2 * EVALUATED + count, LEAVES))
    targets = nn.one_of(TARGETS, task)(inputs, directions)
    parts = (slice(2 * EVALUATED, None), slice(EVALUATED), slice(EVALUATED, 2 * EVALUATED))
    return Splits(*(Examples(inputs[part], targets[part]) for part in parts))


# --- what is claimed -----------------------------------------------------------------------------


def claims(learnt: Learnt) -> list[Claim]:
    """Of the target, of depth, and of what others there are."""
    made = [exact_claim(learnt), depth_claim(learnt), sum_claim(learnt)]
    return [*made, larger_claim(learnt), wired_claim(learnt)] if WIRED in learnt else made


def errors(learnt: Learnt, name: str, task: int = IN_TREE) -> Float[np.ndarray, " runs"]:
    """Of fresh runs."""
    return learnt[name][1][task].test


def write_errors(of: Float[np.ndarray, " runs"]) -> str:
    """Their geometric mean and its interval, which is by their logarithms.

    >>> write_errors(np.array([0.01, 0.01, 0.01]))
    '1.00% (1.00% to 1.00%)'
    """
    return write_geometric(of, ".2%")


def write_ratio(of: Float[np.ndarray, " runs"]) -> str:
    """The same of ratios.

    >>> write_ratio(np.array([2.0, 2.0]))
    '2.0 times (2.0 to 2.0)'
    """
    middle, low, high = geometric_interval(of)
    return f"{middle:.1f} times ({low:.1f} to {high:.1f})"


def exceeds(ratios: Float[np.ndarray, " runs"], bound: float) -> bool:
    """Whether their geometric mean does, with confidence."""
    return is_above_zero(np.log(ratios / bound))


def exact_claim(learnt: Learnt) -> Claim:
    """That so little is enough."""
    model, params = exact_network()
    inputs = jax.random.normal(jax.random.key(0), (EVALUATED, LEAVES))
    outputs, _ = model.apply(params, {}, inputs, None)
    off = float(jnp.abs(outputs - in_tree(inputs, jnp.zeros((LEAVES, NODES)))).max())
    parameters = sum(of.size for of in jax.tree.leaves(params))
    least = min(learner.network.parameters() for learner, _ in learnt.values())
    return Claim(
        "three layers of 8, 4 and 2 units make a tree of absolute differences exactly",
        off < 1e-5 and parameters < least,
        f"off by {off:.0e} at most, expected 0; {parameters} parameters, where those that learn it "
        f"have {least:,} or more",
    )


def depth_claim(learnt: Learnt) -> Claim:
    """At equal parameters."""
    ratios = errors(learnt, SHALLOW) / errors(learnt, name_of(DEEP))
    return Claim(
        "learnt from examples, the tree is where depth pays at equal parameters",
        exceeds(ratios, FRACTION),
        "errors of "
        + "; ".join(
            f"{name} {write_errors(of[IN_TREE].test)}"
            for name, (learner, of) in learnt.items()
            if IN_SUM in learner.tasks
        )
        + f" of the variance; with 1 layer {write_ratio(ratios)} that with {DEEP}, expected above "
        f"{FRACTION:g}; parameters "
        + " ".join(
            f"{learner.network.parameters():,}"
            for learner, _ in learnt.values()
            if IN_SUM in learner.tasks
        ),
    )


def sum_claim(learnt: Learnt) -> Claim:
    """The same without composition, of every depth: each interval is to exclude such a gain."""
    added = {name: errors(learnt, name, IN_SUM) for name, (_, of) in learnt.items() if IN_SUM in of}
    shallow = added.pop(SHALLOW)
    ratios = {name: deep / shallow for name, deep in added.items()}
    return Claim(
        "of as many absolute values that are added one layer leaves next to nothing, and more "
        f"layers at no depth {FRACTION:g} times less",
        bool(shallow.max() < NOTHING) and all(exceeds(of, 1 / FRACTION) for of in ratios.values()),
        f"{shallow.max():.1e} of the variance at most, expected below {NOTHING:g}; "
        + "; ".join(f"{name} {write_ratio(of)} what one leaves" for name, of in ratios.items())
        + f", intervals expected above {1 / FRACTION:.2f}",
    )


def larger_claim(learnt: Learnt) -> Claim:
    """At more parameters."""
    large, deep = errors(learnt, LARGE), errors(learnt, name_of(DEEP))
    return Claim(
        f"of the tree one layer of {LARGER} times the parameters leaves more than three layers",
        exceeds(large / deep, 1),
        f"{write_errors(large)} of the variance with "
        f"{learnt[LARGE][0].network.parameters():,} parameters, {write_ratio(large / deep)} that, "
        "expected above 1",
    )


def wired_claim(learnt: Learnt) -> Claim:
    """Structure that fits, and structure that does not."""
    fits, differs = (errors(learnt, WIRED, task) for task in (IN_TREE, IN_OTHER_TREE))
    shallow, deep = (errors(learnt, name) for name in (SHALLOW, name_of(DEEP)))
    return Claim(
        "a network wired as the target's tree leaves less than a perceptron as deep, one wired "
        "otherwise more than one of a single layer",
        exceeds(deep / fits, 1) and exceeds(differs / shallow, 1),
        f"{write_errors(fits)} and {write_errors(differs)} of the variance with "
        f"{learnt[WIRED][0].network.parameters():,} parameters; the deep perceptron "
        f"{write_ratio(deep / fits)} the first, the second {write_ratio(differs / shallow)} the "
        "shallow one, expected above 1",
    )


def summarize(learnt: Learnt) -> dict[str, Any]:
    """For ``summary.json``."""
    return {
        name: {
            "width": learner.network.width,
            "parameters": learner.network.parameters(),
            **{
                TARGETS[task].__name__: {
                    "rate": tuned.rate,
                    "validation_error": tuned.validation.mean(axis=1),
                    "test_errors": tuned.test,
                }
                for task, tuned in of.items()
            },
        }
        for name, (learner, of) in learnt.items()
    }


# --- the picture ---------------------------------------------------------------------------------

STYLES: Mapping[int, dict[str, Any]] = {
    IN_TREE: {
        "color": plots.BLUE,
        "marker": "o",
        "label": "composed in a tree: |a - b| of two |a - b|",
    },
    IN_SUM: {"color": plots.ORANGE, "marker": "s", "label": "added: a sum of |w · x|"},
    IN_OTHER_TREE: {
        "color": plots.RED,
        "marker": "^",
        "label": "composed in a tree of other pairs of inputs",
    },
}


@plots.styled
def draw(learnt: Learnt) -> Figure:
    """What networks of equal parameters leave of targets of seven absolute values each."""
    figure = Figure(figsize=(max(7, 1.7 * len(learnt)), 4.6), layout="constrained")
    axes = figure.subplots()
    for task, style in STYLES.items():
        places = [place for place, (_, of) in enumerate(learnt.values()) if task in of]
        tested = [of[task].test for _, of in learnt.values() if task in of]
        if tested:
            draw_errors(axes, np.array(places) + 0.18 * (task != IN_TREE), tested, style)
    names = [
        f"{name.replace(', ', chr(10))}\n{learner.network.width} wide\n"
        f"{learner.network.parameters():,}"
        for name, (learner, _) in learnt.items()
    ]
    axes.set_xticks(range(len(learnt)), names)
    axes.set(yscale="log", ylabel="error / variance of the target", xlim=(-0.4, len(learnt) - 0.5))
    axes.set_xlabel("network, width of its layers, parameters")
    axes.set_title(f"{NODES} absolute values of {LEAVES} inputs: runs and geometric means (lines)")
    axes.grid(True, axis="y")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def draw_errors(
    axes: Axes,
    places: Float[np.ndarray, " networks"],
    tested: Sequence[Float[np.ndarray, " runs"]],
    style: Mapping[str, Any],
) -> None:
    """The runs of each network, and a line at their geometric mean."""
    for place, of in zip(places, tested, strict=True):
        axes.plot(np.full(len(of), place), of, **{**style, "ls": "", "label": None}, alpha=0.5)
        mean = float(np.exp(np.log(of).mean()))
        axes.plot([place - 0.08, place + 0.08], [mean, mean], color=style["color"], lw=2.5)
    axes.plot([], [], **{**style, "ls": "-"})
