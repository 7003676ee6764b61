"""The neuron of McCulloch and Pitts: it fires when the sum of its inputs reaches a threshold.

Claims:

    - With inputs that excite (weight 1) or inhibit (weight -1) one neuron is AND, OR, NOT or the
      majority (after McCulloch and Pitts, "A Logical Calculus of the Ideas Immanent in Nervous
      Activity", 1943, where one inhibiting input alone holds a neuron back).
    - One neuron makes 14 of the 16 functions of two inputs. XOR and XNOR it does not make with any
      weights (Minsky and Papert, "Perceptrons", 1969).
    - With larger whole weights it makes 104 of the 256 functions of three inputs and 1,882 of the
      65,536 of four: an ever smaller share (Muroga, "Threshold Logic and Its Applications", 1971).
    - Three neurons make XOR: OR, and not AND.

    python -m experiments.threshold_neuron            seconds, nothing is drawn at random
    python -m experiments.threshold_neuron --quick    the same

Every neuron is tried: all weights up to a size, all thresholds. That no other weights make what is
left is told, for two and three inputs, by linear programming (`jaxdl.separability`).
"""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxdl import cli, plots
from jaxdl.claims import Claim, conclude
from jaxdl.runs import ExperimentOptions, check_no_diagnostics, open_run
from jaxdl.separability import corners, labellings, separating_plane

NAMES = (
    *("never", "A and B", "A, not B", "A", "B, not A", "B", "A xor B", "A or B"),
    *("nor", "xnor", "not B", "A or not B", "not A", "B or not A", "nand", "always"),
)
"""Of the functions of two inputs A and B, by their outputs at 00, 01, 10, 11 as a binary number."""
LARGEST = {2: 1, 3: 2, 4: 3}
"""By the number of inputs, how large weights must be tried: with larger ones nothing is gained."""
KNOWN = {2: 14, 3: 104, 4: 1882}
"""How many functions of so many inputs one neuron makes (Muroga 1971; OEIS A000609)."""

Functions = Bool[np.ndarray, "functions corners"]


@dataclass(frozen=True)
class Config(ExperimentOptions):
    """There is nothing to set."""


QUICK = Config(quick=True)


class Neuron(NamedTuple):
    """Fires where ``weights . inputs >= threshold``."""

    weights: tuple[int, ...]
    threshold: int

    def fires(self, inputs: Int[np.ndarray, "*points inputs"]) -> Bool[np.ndarray, "*points"]:
        """For each row of inputs."""
        return inputs @ np.array(self.weights) >= self.threshold


GATES = {
    "A and B": (Neuron((1, 1), 2), [False, False, False, True]),
    "A or B": (Neuron((1, 1), 1), [False, True, True, True]),
    "not A": (Neuron((-1,), 0), [True, False]),
    "majority of three": (Neuron((1, 1, 1), 2), [sum(c) >= 2 for c in np.ndindex(2, 2, 2)]),
}
"""Neurons by what they are, and what each is to say at the corners in order: 00, 01, 10, 11."""
OR, NOT_AND, AND = Neuron((1, 1), 1), Neuron((-1, -1), -1), Neuron((1, 1), 2)


def run(config: Config) -> None:
    """Tries all neurons, draws, and checks each claim."""
    check_no_diagnostics(config)
    with open_run("threshold_neuron", config) as directory:
        made = {inputs: made_by_one_neuron(inputs, LARGEST[inputs]) for inputs in LARGEST}
        plots.save_all({"functions": draw_functions(), "xor": draw_xor()}, directory.figures)
        results = {"functions": {f"inputs_{n}": len(of) for n, of in made.items()}}
        conclude(directory, results, claims(made))


# --- what neurons make ---------------------------------------------------------------------------


def made_by_one_neuron(inputs: int, largest: int) -> Functions:
    """The different functions of all neurons with whole weights from -largest to largest."""
    weights = np.array(list(itertools.product(range(-largest, largest + 1), repeat=inputs)))
    sums = weights @ corners(inputs).T
    thresholds = np.arange(sums.min(), sums.max() + 2)
    fires = sums[:, None] >= thresholds[:, None]
    return np.unique(fires.reshape(-1, 2**inputs), axis=0)


def made_by_any_weights(inputs: int) -> Functions:
    """The functions for which linear programming finds a plane, of whatever weights."""
    functions = labellings(2**inputs)
    points = corners(inputs).astype(float)
    return np.array([of for of in functions if separating_plane(points, of) is not None])


def xor_of_three(inputs: Int[np.ndarray, "*points 2"]) -> Bool[np.ndarray, "*points"]:
    """Two neurons, and one that is given what they say."""
    hidden = np.stack([OR.fires(inputs), NOT_AND.fires(inputs)], axis=-1)
    return AND.fires(hidden.astype(int))


def name_of(function: Bool[np.ndarray, " corners"]) -> str:
    """Of a function of two inputs.

    >>> name_of(np.array([False, True, True, False]))
    'A xor B'
    """
    return NAMES[int("".join(str(int(bit)) for bit in function), 2)]


# --- what is claimed -----------------------------------------------------------------------------


def claims(made: dict[int, Functions]) -> list[Claim]:
    """All of them."""
    return [
        gates_claim(),
        two_inputs_claim(made[2], made_by_any_weights(2)),
        counts_claim(made, made_by_any_weights(3)),
        xor_claim(),
    ]


def gates_claim() -> Claim:
    """Each gate says at each corner what it is to say."""
    wrong = [
        name
        for name, (neuron, expected) in GATES.items()
        if neuron.fires(corners(len(neuron.weights))).tolist() != expected
    ]
    told = ", ".join(
        f"{name}: weights {' '.join(map(str, neuron.weights))}, threshold {neuron.threshold}"
        for name, (neuron, _) in GATES.items()
    )
    return Claim("AND, OR, NOT and the majority are a neuron each", not wrong, told)


def two_inputs_claim(by_trying: Functions, by_programming: Functions) -> Claim:
    """All but two of sixteen, whatever the weights."""
    lacking = sorted(set(NAMES) - {name_of(of) for of in by_trying})
    by_any = {name_of(of) for of in by_programming}
    return Claim(
        "one neuron makes 14 of the 16 functions of two inputs, and XOR and XNOR with no weights",
        lacking == ["A xor B", "xnor"] and by_any == set(NAMES) - set(lacking),
        f"{len(by_trying)} with weights -1, 0 and 1, {len(by_any)} by linear programming; left: "
        f"{', '.join(lacking)}",
    )


def counts_claim(made: dict[int, Functions], by_programming: Functions) -> Claim:
    """An ever smaller share."""
    counts = {inputs: len(of) for inputs, of in made.items()}
    shares = [count / 2**2**inputs for inputs, count in counts.items()]
    return Claim(
        "of more inputs one neuron makes an ever smaller share of all functions",
        counts == KNOWN and len(by_programming) == KNOWN[3] and shares == sorted(shares)[::-1],
        "; ".join(
            f"{inputs} inputs: {count:,} of {2**2**inputs:,}, expected {KNOWN[inputs]:,}"
            for inputs, count in counts.items()
        )
        + f"; by linear programming {len(by_programming)} of three inputs",
    )


def xor_claim() -> Claim:
    """Two layers make what one cannot."""
    said = xor_of_three(corners(2))
    return Claim(
        "three neurons make XOR",
        name_of(said) == "A xor B",
        f"OR and not AND, at 00, 01, 10, 11: {' '.join(str(int(bit)) for bit in said)}",
    )


# --- pictures ------------------------------------------------------------------------------------


@plots.styled
def draw_functions() -> Figure:
    """The sixteen functions of two inputs, and a line for each that a neuron makes."""
    figure = Figure(figsize=(8, 8.6), layout="constrained")
    figure.suptitle("All functions of A and B: the weights and threshold of a neuron for each")
    # Few weights first: a constant needs none.
    weights = sorted(itertools.product((-1, 0, 1), repeat=2), key=np.count_nonzero)
    neurons = list(itertools.starmap(Neuron, itertools.product(weights, range(-2, 4))))
    pairs = zip(figure.subplots(4, 4).ravel(), labellings(4), strict=True)
    for axes, function in pairs:
        found = [of for of in neurons if (of.fires(corners(2)) == function).all()]
        draw_plane(axes, function)
        if found:
            draw_side(axes, found[0])
            shown = " ".join(map(str, found[0].weights))
            axes.set_title(f"{name_of(function)}\n{shown}, threshold {found[0].threshold}")
        else:
            axes.set_title(f"{name_of(function)}\nno neuron", color=plots.RED)
    return figure


def draw_plane(axes: Axes, outputs: Bool[np.ndarray, " corners"]) -> None:
    """The four corners, filled where the output is 1."""
    for (first, second), output in zip(corners(2), outputs, strict=True):
        face = "black" if output else "white"
        axes.plot(first, second, "o", ms=9, mfc=face, mec="black", zorder=3)
    axes.set(xlim=(-0.4, 1.4), ylim=(-0.4, 1.4), aspect="equal")
    axes.set(xticks=[0, 1], yticks=[0, 1], xlabel="A", ylabel="B")


def draw_side(axes: Axes, neuron: Neuron) -> None:
    """Colours where a neuron would fire, half way before its threshold."""
    first, second = np.meshgrid(*[np.linspace(-0.4, 1.4, 181)] * 2)
    sums: Float[np.ndarray, "rows columns"] = neuron.weights[0] * first + neuron.weights[1] * second
    inside = sums >= neuron.threshold - 0.5
    axes.contourf(first, second, inside, levels=[0.5, 1.5], colors=[plots.BLUE], alpha=0.25)


@plots.styled
def draw_xor() -> Figure:
    """The hidden neurons of XOR, and what the third makes of them."""
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    axes = figure.subplots(1, 3)
    for one, name, neuron in zip(axes, ("OR", "not AND"), (OR, NOT_AND), strict=False):
        draw_plane(one, neuron.fires(corners(2)))
        draw_side(one, neuron)
        one.set_title(f"{name} fires")
    draw_plane(axes[2], xor_of_three(corners(2)))
    first, second = np.meshgrid(*[np.linspace(-0.4, 1.4, 181)] * 2)
    both = (first + second >= 0.5) & (first + second <= 1.5)
    axes[2].contourf(first, second, both, levels=[0.5, 1.5], colors=[plots.BLUE], alpha=0.25)
    axes[2].set_title("both fire: XOR")
    return figure


if __name__ == "__main__":
    cli.main(run, Config, quick=QUICK)
