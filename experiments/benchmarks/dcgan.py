"""One step of a DCGAN, of both players: ours beside PyTorch's and Keras'.

    python -m experiments.benchmarks.dcgan                                   beside what is here
    python -m experiments.benchmarks.dcgan --peer-python OTHER/bin/python    what is there too

The players of `jaxdl.models.dcgan` on images of 28x28, batch 128, float32: a step of the
discriminator on real and on generated images, each batch by itself, then one of the generator on
noise of its own, by the non-saturating form and Adam.

Each way is a process of its own on all cores (`taskset` gives fewer) and trains on the very same
images, patterns of ten classes with noise. The ways take turns, a block of steps each, so that a
machine whose speed drifts is the same for all. What is printed is the median of the blocks, and for
ours and the fastest peer the ratio of the medians and the interval of the ratios of neighbouring
blocks. That the losses of the discriminator fall alike says that the work is equal.

Claim: ours / the fastest peer is at most 1.0; the aim is 0.75.
"""

import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from experiments.benchmarks.turns import ratios, spread
from experiments.benchmarks.workers import check_peer, has_modules, run_in_turns
from jaxdl import cli
from jaxdl.runs import check_least, check_names

HERE = Path(__file__).parent
PEERS = {
    "PyTorch": ("dcgan_torch.py", ("torch",)),
    "Keras": ("dcgan_keras.py", ("keras", "tensorflow")),
}
"""The script of each, and what it needs."""
BATCH = 128
AT_MOST, AIM = 1.0, 0.75


@dataclass(frozen=True)
class Config:
    """What can be set."""

    peers: tuple[str, ...] = tuple(PEERS)
    """Which of PyTorch and Keras."""
    blocks: int = 12
    """Blocks of steps that each process runs."""
    steps: int = 20
    """Steps in a block."""
    peer_python: Path = Path(sys.executable)
    """The Python that has PyTorch, or Keras and TensorFlow, or all of them."""
    output: Literal["text", "json"] = "text"
    """How to print the result."""


def run(config: Config) -> None:
    """Measures and prints."""
    check_least(config, {"blocks": 1, "steps": 1})
    check_names("peers", config.peers, tuple(PEERS))
    check_peer(config.peer_python)
    there = [name for name in config.peers if has_modules(config.peer_python, PEERS[name][1])]
    result = measured(config, there)
    result["left_out"] = [name for name in config.peers if name not in there]
    print(json.dumps(result) if config.output == "json" else as_text(result))


def measured(config: Config, peers: list[str]) -> dict[str, Any]:
    """Runs all in turns."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        np.save(path, images(np.random.default_rng(0), BATCH * config.steps))
        commands = {"ours": [sys.executable, HERE / "dcgan_jax.py", config.steps, path]}
        for name in peers:
            commands[name] = [config.peer_python, HERE / PEERS[name][0], config.steps, path]
        times, told = run_in_turns(commands, config.blocks)
    results = {name: {**told[name], **spread(of, "ms")} for name, of in times.items()}
    found: dict[str, Any] = {"results": results}
    if peers:
        fastest = min(peers, key=lambda peer: results[peer]["median_ms"])
        compared = ratios(times["ours"], times[fastest])
        found["claim"] = {"to": fastest, "holds": compared["ratio"] <= AT_MOST, **compared}
    return found


def images(random: np.random.Generator, count: int) -> np.ndarray:
    """Patterns of ten classes and noise, uint8 ``(count, 28, 28)``."""
    patterns = random.integers(0, 200, (10, 28, 28))
    noise = random.integers(0, 56, (count, 28, 28))
    return (patterns[random.integers(10, size=count)] + noise).astype(np.uint8)


def as_text(result: dict[str, Any]) -> str:
    """A table and a verdict."""
    lines = [
        f"{'':9}{'ms/step (min to max)':28}cores   first step   peak memory   parameters   "
        "loss, first and last block"
    ]
    for way, row in result["results"].items():
        times = f"{row['median_ms']:7.1f} ({row['min_ms']:.1f} to {row['max_ms']:.1f})"
        lines.append(
            f"{way:9}{times:28}{row['cores']:5.2f}{row['first_step_s']:11.1f} s"
            f"{row['peak_mb']:11.0f} MB{row['parameters']:13,}"
            f"{row['first_loss']:10.3f}{row['loss']:9.3f}"
        )
    if claim := result.get("claim"):
        lines.append(
            f"{'holds' if claim['holds'] else 'does not hold'}: ours / {claim['to']} "
            f"{claim['ratio']:.2f}, of pairs {claim['pairs_median']:.2f} "
            f"({claim['pairs_min']:.2f} to {claim['pairs_max']:.2f}), at most {AT_MOST:.2f}, "
            f"aim {AIM:.2f}"
        )
    lines += [f"left out: {name}, which --peer-python lacks" for name in result["left_out"]]
    return "\n".join(lines)


if __name__ == "__main__":
    cli.main(run, Config)
