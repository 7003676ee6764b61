"""Runs of a small network as one program against the same runs one by one.

    python -m experiments.benchmarks.sweep
    python -m experiments.benchmarks.sweep --width 32 --batch-size 8       other sizes
    python -m experiments.benchmarks.sweep --in-turn False                 side by side, by vmap

Sixteen runs of an MLP 784-128-10 on the 4,000 training digits of mnist_5k, batch 32, SGD, a
learning rate and a seed each. One by one they are sixteen calls of one compiled function, whose
data is on the device; each call may use all cores. As one program they are a
`jaxdl.sweep.sweep` over devices, on a CPU one a core. The two take turns, so that a machine whose
speed drifts is the same for both, and compile before. What is printed is the median of the blocks,
the ratio of the medians, the interval of the ratios of neighbouring blocks, and how far the two
ways' last losses lie apart.

Claim: the ratio one program / single runs is at most 0.60.
"""

import json
import time
from dataclasses import dataclass
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from experiments.benchmarks.turns import ratios, spread, take_turns
from jaxdl import cli, data, losses, models, optim, train
from jaxdl.gradients import mean_gradient
from jaxdl.runs import check_least
from jaxdl.spaces import grid, logspace
from jaxdl.sweep import sweep
from jaxdl.types import Examples

CLAIM = 0.60


@dataclass(frozen=True)
class Config:
    """What can be set."""

    runs: int = 16
    """Learning rates, from 0.01 to 0.3."""
    width: int = 128
    """Of the hidden layer."""
    batch_size: int = 32
    """Examples in a step."""
    epochs: int = 3
    """In each run."""
    blocks: int = 7
    """Times that each way runs them all."""
    devices: int | None = None
    """Lay the runs of the one program over so many; by default all accelerators, or CPU cores."""
    in_turn: bool | None = None
    """Whether a device takes its runs in turn or side by side; by default, as `sweep` does."""
    output: Literal["text", "json"] = "text"
    """How to print the result."""


def run_once(config: Config, examples: Examples, key, rate):
    """A whole run; each epoch's mean loss."""
    model = models.mlp([config.width], classes=10)
    optimizer = optim.make_optimizer(optim.OptimizerConfig("sgd", rate))
    update = train.make_update(mean_gradient(losses.classification_loss(model)), optimizer)
    state = train.init_state(key, model, optimizer, examples.inputs[:1])
    _, history = train.fit(
        update, state, examples, epochs=config.epochs, batch_size=config.batch_size
    )
    return history.epochs["loss"]


def run(config: Config) -> None:
    """Runs both in turns and prints the comparison."""
    check_least(config, {"runs": 1, "width": 1, "batch_size": 1, "epochs": 1, "blocks": 1})
    mesh = cli.use_devices(config.devices)
    examples = data.load("mnist_5k").train
    run_fn = Partial(partial(run_once, config), examples)
    keys = jax.random.split(jax.random.key(0), 1)
    rates = grid(logspace(0.01, 0.3, config.runs))
    single = jax.jit(run_fn)

    def one_by_one():
        return np.stack([single(keys[0], rate) for rate in rates])

    def one_program():
        return sweep(run_fn, keys, rates, mesh=mesh, in_turn=config.in_turn)[:, 0]

    ways = {"single runs": one_by_one, "one program": one_program}
    first = {name: seconds_of(way) for name, way in ways.items()}
    difference = jnp.abs(one_program() / one_by_one() - 1).max()
    times = take_turns(
        {name: partial(seconds_of, way) for name, way in ways.items()}, config.blocks
    )
    compared = ratios(times["one program"], times["single runs"])
    summary = {
        "results": {
            name: {"first_s": first[name], **spread(seconds, "s")}
            for name, seconds in times.items()
        },
        "runs": config.runs,
        "devices": mesh.size,
        "relative_difference": float(difference),
        **compared,
        "holds": compared["ratio"] <= CLAIM,
    }
    print(json.dumps(summary) if config.output == "json" else as_text(summary))


def seconds_of(way) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    way()
    return time.perf_counter() - start


def as_text(summary: dict) -> str:
    """The comparison as a table."""
    lines = [f"{summary['runs']} runs       s (min to max)   first call, compiled too"]
    for name, row in summary["results"].items():
        lines.append(
            f"{name:12} {row['median_s']:5.2f} ({row['min_s']:.2f} to {row['max_s']:.2f})"
            f"{row['first_s']:11.1f} s"
        )
    lines.append(
        f"one program on {summary['devices']} devices, losses within "
        f"{summary['relative_difference']:.0e} of the single runs'\n"
        f"ratio of medians {summary['ratio']:.2f}, of pairs {summary['pairs_median']:.2f} "
        f"({summary['pairs_min']:.2f} to {summary['pairs_max']:.2f}): at most {CLAIM:.2f} "
        f"{'holds' if summary['holds'] else 'does not hold'}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.main(run, Config)
