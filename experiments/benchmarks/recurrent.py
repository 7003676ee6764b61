"""One training step of recurrent networks: ours beside PyTorch's, Keras' and Flax'.

    python -m experiments.benchmarks.recurrent                       beside Flax, and what is here
    python -m experiments.benchmarks.recurrent --peer-python OTHER/bin/python    what is there too
    python -m experiments.benchmarks.recurrent --growth              with length, width, ...

Three works, all in float32 and by Adam:

- ``row_lstm`` and ``row_gru``: an image as 28 steps of 28 pixels, 128 units, a class; batch 128;
- ``char_lm``: 64 characters of 65, embedded in 64 numbers, two LSTMs of 512 units, each next
  character; batch 64, the gradient's norm clipped to 1.

Each way is a process of its own that may use all cores (`taskset` gives fewer) and trains on the
very same examples. The ways take turns, a block of steps each, so that a machine whose speed drifts
is the same for all; two blocks of each go before. What is printed is the median of the blocks, and
for ours and the fastest peer the ratio of the medians and the interval of the ratios of
neighbouring blocks. Keras on TensorFlow has two ways, a loop over time and an unrolled one; Flax
is on one device, as in its own examples. Peak memory is the process's, compiling included.

How many cores a way kept busy, waiting in a loop included, also tells whether it had them: well
below the number of cores, where it splits its work, the machine was not quiet.

Half of the classes and of the next characters follow from the input and half are drawn: that the
losses fall alike, towards 1.68 and 2.74, says that the work is equal. Those of char_lm fall later
where an LSTM's forget bias begins at 1, in ours and Keras'.

Claims: ours / the fastest peer is at most 1.0 in each work, the aim is 0.8, 0.6 and 0.85.

With `--growth`, one LSTM like `row_lstm` at other lengths, units, batches and numbers of layers,
and the exponent by which each makes the time grow, by least squares between the logarithms.
"""

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from experiments.benchmarks.recurrent_worker import CLASSES, VOCABULARY, Work
from experiments.benchmarks.turns import ratios, spread
from experiments.benchmarks.workers import check_peer, has_modules, run_in_turns
from jaxdl import cli
from jaxdl.runs import check_least, check_names

HERE = Path(__file__).parent
PIXELS = 28


class Task(NamedTuple):
    """What is to be done, and how fast.

    Attributes:
        work: but for its steps and examples.
        at_most: the ratio of ours to the fastest peer that is claimed.
        aim: the one that is hoped for.
    """

    work: Work
    at_most: float
    aim: float


class Peer(NamedTuple):
    """Another way to do the work.

    Attributes:
        script: the worker.
        way: its first argument.
        modules: that its Python must have; none where it runs in ours.
        second_biases: by cell, numbers for each unit that its layers keep without need: a bias
            for the inputs and one for the states, where only the sum of both acts.
    """

    script: str
    way: str
    modules: tuple[str, ...]
    second_biases: Mapping[str, int]


TASKS = {
    "row_lstm": Task(Work("rows", "lstm", 28, 128, 1, 128, 0, ""), 1.0, 0.8),
    "row_gru": Task(Work("rows", "gru", 28, 128, 1, 128, 0, ""), 1.0, 0.6),
    "char_lm": Task(Work("text", "lstm", 64, 512, 2, 64, 0, ""), 1.0, 0.85),
}
PEERS = {
    "PyTorch": Peer("recurrent_torch.py", "eager", ("torch",), {"lstm": 4, "gru": 2}),
    "Keras": Peer("recurrent_keras.py", "loop", ("keras", "tensorflow"), {"gru": 2}),
    "Keras unrolled": Peer("recurrent_keras.py", "unrolled", ("keras", "tensorflow"), {"gru": 2}),
    "Flax": Peer("recurrent_jax.py", "flax", (), {}),
}
GROWTH = {
    "length": (14, 28, 56, 112, 224),
    "units": (32, 64, 128, 256, 512),
    "batch": (32, 64, 128, 256, 512),
    "layers": (1, 2, 3, 4),
}


@dataclass(frozen=True)
class Config:
    """What can be set."""

    works: tuple[str, ...] = tuple(TASKS)
    """Which of row_lstm, row_gru and char_lm."""
    peers: tuple[str, ...] | None = None
    """Which of PyTorch, Keras, "Keras unrolled" and Flax; by default all, with --growth none."""
    blocks: int = 12
    """Blocks of steps that each process runs."""
    steps: int = 50
    """Steps in a block."""
    text_steps: int = 5
    """Steps in a block of char_lm, whose steps are long."""
    peer_python: Path = Path(sys.executable)
    """The Python that has PyTorch, or Keras and TensorFlow, or all of them."""
    growth: bool = False
    """Measure how the time grows with the sizes instead."""
    output: Literal["text", "json"] = "text"
    """How to print the result."""


def run(config: Config) -> None:
    """Measures and prints."""
    check_least(config, {"blocks": 1, "steps": 1, "text_steps": 1})
    check_names("works", config.works, tuple(TASKS))
    if config.peers:
        check_names("peers", config.peers, tuple(PEERS))
    check_peer(config.peer_python)
    asked = config.peers if config.peers is not None else () if config.growth else tuple(PEERS)
    peers = [name for name in asked if has_modules(config.peer_python, PEERS[name].modules)]
    result = growth(config, peers) if config.growth else comparison(config, peers)
    result["left_out"] = [name for name in asked if name not in peers]
    if config.output == "json":
        print(json.dumps(result))
        return
    print(growth_text(result) if config.growth else comparison_text(result))
    for name in result["left_out"]:
        print(f"left out: {name}; {config.peer_python} lacks {' or '.join(PEERS[name].modules)}")


# --- running -------------------------------------------------------------------------------------


def comparison(config: Config, peers: list[str]) -> dict[str, Any]:
    """Ours and the peers in turns, for each work."""
    return {"works": {name: compared(name, config, peers) for name in config.works}}


def compared(name: str, config: Config, peers: list[str]) -> dict[str, Any]:
    """One work."""
    task = TASKS[name]
    work = task.work._replace(steps=config.steps)
    if work.is_text:
        work = work._replace(steps=config.text_steps)
        # A graph of 128 steps takes minutes to make.
        peers = [peer for peer in peers if PEERS[peer].way != "unrolled"]
    times, results = measured(work, config, peers)
    for peer in peers:
        spare = PEERS[peer].second_biases.get(work.cell, 0) * work.units * work.layers
        results[peer]["second_biases"] = spare
    found: dict[str, Any] = {"work": work._asdict(), "results": results}
    if peers:
        fastest = min(peers, key=lambda peer: results[peer]["median_ms"])
        ratio = ratios(times["ours"], times[fastest])
        holds = ratio["ratio"] <= task.at_most
        found["claim"] = {"to": fastest, "at_most": task.at_most, "aim": task.aim, "holds": holds}
        found["claim"] |= ratio
    return found


def growth(config: Config, peers: list[str]) -> dict[str, Any]:
    """One LSTM at several sizes, a row each, and the exponents."""
    base = TASKS["row_lstm"].work._replace(steps=config.steps)
    rows, exponents = [], {}
    for size, values in GROWTH.items():
        of_size = [
            {"size": size, "value": value, "results": measured(work, config, peers)[1]}
            for value in values
            for work in (base._replace(**{size: value}),)
        ]
        exponents[size] = {
            way: exponent(values, [row["results"][way]["median_ms"] for row in of_size])
            for way in ("ours", *peers)
        }
        rows += of_size
    return {"rows": rows, "exponents": exponents}


def measured(
    work: Work, config: Config, peers: list[str]
) -> tuple[dict[str, list[float]], dict[str, dict[str, Any]]]:
    """The times of the blocks of each way, and what is known of it."""
    with tempfile.TemporaryDirectory() as folder:
        work = write_examples(work, Path(folder))
        commands = {"ours": [sys.executable, HERE / "recurrent_jax.py", "ours", *work]}
        for name in peers:
            peer = PEERS[name]
            python = config.peer_python if peer.modules else sys.executable
            commands[name] = [python, HERE / peer.script, peer.way, *work]
        times, told = run_in_turns(commands, config.blocks)
    return times, {name: {**told[name], **spread(of, "ms")} for name, of in times.items()}


def exponent(sizes, times) -> float:
    """``p`` of the power ``size^p`` that is nearest to the times.

    >>> round(exponent([1, 2, 4], [3.0, 6.0, 12.0]), 6)
    1.0
    """
    return float(np.polyfit(np.log(sizes), np.log(times), 1)[0])


# --- examples ------------------------------------------------------------------------------------


def write_examples(work: Work, folder: Path) -> Work:
    """Draws the examples of a block, the same each time, and writes them into a folder.

    Returns:
        The work with its file.
    """
    path = folder / "examples.npz"
    draw = text if work.is_text else rows
    inputs, targets = draw(np.random.default_rng(0), work.batch * work.steps, work.length)
    np.savez(path, inputs=inputs, targets=targets)
    return work._replace(examples=str(path))


def rows(random: np.random.Generator, count: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Images with the pattern of a class and noise; half of the classes told are drawn anew."""
    patterns = random.random((CLASSES, length, PIXELS), np.float32)
    classes = random.integers(CLASSES, size=count)
    images = (patterns[classes] + random.random((count, length, PIXELS), np.float32)) / 2
    return images, half_drawn(random, classes, CLASSES)


def text(random: np.random.Generator, count: int, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Characters, each of which follows from the one before with a chance of a half."""
    follower = random.permutation(VOCABULARY)
    tokens = random.integers(VOCABULARY, size=(count, length + 1), dtype=np.int32)
    for place in range(length):
        follows = follower[tokens[:, place]]
        tokens[:, place + 1] = half_drawn(random, follows, VOCABULARY)
    return tokens[:, :-1], tokens[:, 1:]


def half_drawn(random: np.random.Generator, told: np.ndarray, choices: int) -> np.ndarray:
    """Half of them as they are, half drawn anew."""
    drawn = random.integers(choices, size=told.shape)
    return np.where(random.random(told.shape) < 0.5, told, drawn).astype(np.int32)


# --- printing ------------------------------------------------------------------------------------


def comparison_text(result: dict[str, Any]) -> str:
    """A table and a verdict for each work."""
    return "\n\n".join(work_text(name, found) for name, found in result["works"].items())


def work_text(name: str, found: dict[str, Any]) -> str:
    """One work."""
    title = f"{name:14}  ms/step (min to max)"
    lines = [
        f"{title:44}cores   first step   peak memory   parameters   loss, first and last block"
    ]
    for way, row in found["results"].items():
        spare = row.get("second_biases", 0)
        needed = row["parameters"] - spare
        times = f"{row['median_ms']:8.2f} ({row['min_ms']:.2f} to {row['max_ms']:.2f})"
        lines.append(
            f"{way:14}{times:28}{row['cores']:7.2f}{row['first_step_s']:11.1f} s"
            f"{row['peak_mb']:11.0f} MB{needed:13,}{row['first_loss']:10.3f}{row['loss']:9.3f}"
            + (f"   and {spare:,} second biases" if spare else "")
        )
    if "claim" in found:
        lines.append(claim_text(found["claim"]))
    return "\n".join(lines)


def claim_text(claim: dict[str, Any]) -> str:
    """The verdict."""
    return (
        f"{'holds' if claim['holds'] else 'does not hold'}: ours / {claim['to']} "
        f"{claim['ratio']:.2f}, of pairs {claim['pairs_median']:.2f} ({claim['pairs_min']:.2f} to "
        f"{claim['pairs_max']:.2f}), at most {claim['at_most']:.2f}, aim {claim['aim']:.2f}"
    )


def growth_text(result: dict[str, Any]) -> str:
    """The rows, and under those of a size the exponents."""
    ways = list(result["rows"][0]["results"])
    lines = ["milliseconds a step", " " * 14 + "".join(f"{way:>16}" for way in ways)]
    for size, exponents in result["exponents"].items():
        for row in result["rows"]:
            if row["size"] == size:
                cells = "".join(f"{row['results'][way]['median_ms']:16.2f}" for way in ways)
                lines.append(f"{size:8}{row['value']:<6}{cells}")
        lines.append(f"{f'{size} to the':14}" + "".join(f"{exponents[w]:16.2f}" for w in ways))
    return "\n".join(lines)


if __name__ == "__main__":
    cli.main(run, Config)
