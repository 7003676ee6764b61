"""Depth and width: what "deep" buys at equal parameters, on digits and where a target is nested.

Claims:

    - On digits the first hidden layer of a perceptron buys more than a point; further ones, at
      equal parameters, buy none.
    - A target of absolute differences in a binary tree, each of the two below it, is made exactly
      by three layers of 8, 4 and 2 rectified units.
    - Learnt from examples, it is where depth pays: at equal parameters three hidden layers leave a
      fraction of the error that one leaves, and one of four times as many parameters does not get
      there (Mhaskar, Liao and Poggio, "When and Why Are Deep Networks Better Than Shallow Ones?",
      2017).
    - What pays is that the target is composed: of as many absolute values that are added instead,
      one layer leaves next to nothing, and no depth less by the factor that the tree is asked for.
    - It is the target's own structure that counts: a network wired as its tree does best of all,
      and the same network on the same target with its inputs interchanged worse than one layer.

    python -m experiments.depth_and_width            3 minutes on two cores
    python -m experiments.depth_and_width --quick    one and three layers, nothing else
    python -m experiments.depth_and_width --dataset mnist --raw-dir DIR

Of the 5,000 digits about 93.4% with one hidden layer and 90.0% with none; of the tree's variance
one layer leaves 18%, three leave 2%.

Rectified perceptrons of equal hidden layers, as wide as their parameters allow: within 2% of the
same number at each depth. Digits are shrunk to 14 x 14 pixels, lest nearly all weights be the first
layer's. The nested targets have 8 normal inputs, and each example is seen once, so that nothing is
to be learnt by heart; their errors are shares of the target's variance. Adam, its rate falling
along a cosine to 0; each network on each task has the same rates to choose from, by validation
examples and on other seeds than those that are reported. Intervals are of 95% over seeds
(Student's t), those of ratios by their logarithms. That depth can buy exponentially much,
`experiments.universal_approximation` has on a sawtooth.
"""

from dataclasses import dataclass
from functools import partial

from experiments.depth_and_width import digits, nested, training
from experiments.depth_and_width.networks import perceptron
from jaxdl import cli, data, plots
from jaxdl.claims import conclude
from jaxdl.errors import InputError
from jaxdl.runs import (
    DatasetOptions,
    SweepOptions,
    check_ascending,
    check_least,
    check_no_diagnostics,
    check_seed,
    open_run,
)
from jaxdl.sweep import sweeps_of


@dataclass(frozen=True)
class Config(SweepOptions, DatasetOptions):
    """How much to do."""

    depths: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Hidden layers, ascending, 1 and 3 among them; 0 is of digits alone."""
    digit_parameters: int = 24_500
    """Of each network that reads digits, but for that of no hidden layer."""
    nested_parameters: int = 1220
    """Of each network that learns a nested target."""
    others: bool = True
    """Whether networks wired as the target is, and a larger shallow one, learn it too."""
    epochs: int = 10
    """Passes over the digits."""
    steps: int = 4000
    """Of learning a nested target, each with fresh examples."""
    tuning_seeds: int = 2
    """Runs with each of the four rates; four times as many fresh ones are reported."""
    seed: int = 0
    """Of all draws."""


QUICK = Config(quick=True, depths=(1, 3), others=False, epochs=2, steps=3000, tuning_seeds=4)

OF_NO_RUN = ("data_dir", "raw_dir", "quick", "devices", "depths", "others")
"""Settings that may differ on ``--resume``."""


def run(config: Config) -> None:
    """Trains, draws, and checks each claim."""
    check(config)
    readers = [
        perceptron(depth, config.digit_parameters, inputs=digits.PIXELS, outputs=digits.CLASSES)
        for depth in config.depths
    ]
    learners = nested.make_learners(config.depths, config.nested_parameters, config.others)
    mesh = cli.use_devices(config.devices)
    dataset = data.load(config.dataset, data_dir=config.data_dir, raw_dir=config.raw_dir)
    with open_run("depth_and_width", config) as directory:
        sweep_fn = sweeps_of(directory, config, mesh, OF_NO_RUN, dataset_sha256=dataset.sha256)
        tune = partial(training.tune, sweep_fn, seeds=config.tuning_seeds, seed=config.seed)
        read = digits.measure(tune, readers, dataset, config.epochs)
        learnt = nested.measure(tune, learners, config.steps)
        plots.save_all(
            {"digits": digits.draw(read), "nested": nested.draw(learnt)}, directory.figures
        )
        results = {
            "digits": digits.summarize(read),
            "nested": nested.summarize(learnt),
        }
        conclude(directory, results, [*digits.claims(read), *nested.claims(learnt)])


def check(config: Config) -> None:
    """Checks what a user gave, before anything is loaded or compiled."""
    check_no_diagnostics(config)
    counts = ("digit_parameters", "nested_parameters", "epochs", "steps", "tuning_seeds")
    check_least(config, {"depths": 0, **dict.fromkeys(counts, 1)})
    check_seed(config.seed)
    check_ascending(config, {"depths": 2})
    if not {1, nested.DEEP} <= set(config.depths):
        shown = " ".join(map(str, config.depths))
        raise InputError(f"--depths {shown}: 1 and {nested.DEEP} are compared; add them")
