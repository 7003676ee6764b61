"""One training step of the seed CNN, dropout and Adadelta included: ours against PyTorch's.

    python -m experiments.benchmarks.mnist_cnn                       after pip install -e '.[bench]'
    python -m experiments.benchmarks.mnist_cnn --peer-python OTHER/bin/python     PyTorch elsewhere

Both train the same network on the same random images of 28x28, batch 128, float32, on all cores
that they may use (`taskset` gives fewer), each in a process of its own. The two take turns, one
block of steps each, so that a machine whose speed drifts is the same for both; what is printed is
the median of the blocks, the ratio of the medians, and the interval of the ratios of neighbouring
blocks. The labels are random too: that both learn them by heart alike says that the work is equal.

Claim: the ratio ours / PyTorch is at most 1.10.
"""

import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from jaxdl import cli
from jaxdl.errors import InputError

HERE = Path(__file__).parent
WORKERS = {"ours": HERE / "mnist_cnn_jax.py", "PyTorch": HERE / "mnist_cnn_torch.py"}


@dataclass(frozen=True)
class Config:
    """What can be set."""

    blocks: int = 12
    """Blocks of steps that each of the two runs."""
    steps: int = 50
    """Steps in a block."""
    peer_python: Path = Path(sys.executable)
    """The Python that has PyTorch."""
    output: Literal["text", "json"] = "text"
    """How to print the result."""


class Worker:
    """A process that runs a block of steps each time a line is written to it."""

    def __init__(self, name: str, python: Path, config: Config):
        self.name = name
        self._process = subprocess.Popen(
            [str(python), str(WORKERS[name]), str(config.steps)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.about = self._read()

    def block(self) -> float:
        """Milliseconds per step of one block."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return self._read()["ms_per_step"]

    def finish(self) -> dict:
        """Ends the process; its peak memory and last loss."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        last = self._read()
        self._process.wait()
        return last

    def _read(self) -> dict:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise InputError(f"the process for {self.name} ended: is it installed there?")
        return json.loads(line)


def run(config: Config) -> None:
    """Runs both in turns and prints the comparison."""
    workers = [
        Worker("ours", Path(sys.executable), config),
        Worker("PyTorch", config.peer_python, config),
    ]
    times = {worker.name: [] for worker in workers}
    for _ in range(config.blocks):
        for worker in workers:
            times[worker.name].append(worker.block())
    results = {w.name: {**w.about, **w.finish(), **spread(times[w.name])} for w in workers}
    ours, theirs = times["ours"], times["PyTorch"]
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    ratio = statistics.median(ours) / statistics.median(theirs)
    summary = {
        "results": results,
        "ratio": ratio,
        "ratio_of_pairs": [ratios[0], statistics.median(ratios), ratios[-1]],
        "holds": ratio <= 1.10,
    }
    print(json.dumps(summary) if config.output == "json" else as_text(summary))


def spread(times: list[float]) -> dict[str, float]:
    """Median, least and most milliseconds of a step."""
    return {"median_ms": statistics.median(times), "min_ms": min(times), "max_ms": max(times)}


def as_text(summary: dict) -> str:
    """The comparison as a table."""
    lines = [
        "            ms/step (min to max)     first step   peak memory   parameters        loss"
    ]
    for name, row in summary["results"].items():
        lines.append(
            f"{name:10} {row['median_ms']:6.1f} ({row['min_ms']:.1f} to {row['max_ms']:.1f})"
            f"{row['first_step_s']:14.1f} s {row['peak_mb']:10.0f} MB {row['parameters']:12,}"
            f"{row['loss']:12.3f}"
        )
    low, middle, high = summary["ratio_of_pairs"]
    lines.append(
        f"ratio of medians {summary['ratio']:.2f}, of pairs {middle:.2f} ({low:.2f} to {high:.2f}):"
        f" at most 1.10 {'holds' if summary['holds'] else 'does not hold'}"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    cli.main(run, Config)
