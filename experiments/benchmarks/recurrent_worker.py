"""What the workers of the benchmark `recurrent` have in common, with NumPy and no framework.

A worker is started with a way of its own and the fields of `Work`. A line in, a block of steps, a
line of JSON out. A block is an epoch: each of its steps has a batch of other examples.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

CLASSES = 10
VOCABULARY = 65
EMBEDDING = 64
RATE = 1e-3
CLIP_NORM = 1.0


class Work(NamedTuple):
    """One training step, on the command line too.

    Attributes:
        task: ``rows``, of which a class is told, or ``text``, of which each next token is.
        cell: ``lstm`` or ``gru``.
        length: of a sequence.
        units: of each layer.
        layers: one over the other.
        batch: sequences in a step.
        steps: in a block.
        examples: a file with ``inputs`` and ``targets``.
    """

    task: str
    cell: str
    length: int
    units: int
    layers: int
    batch: int
    steps: int
    examples: str

    @classmethod
    def read(cls, words: Sequence[str]) -> "Work":
        """From the words of a command line."""
        task, cell, length, units, layers, batch, steps, examples = words
        sizes = int(length), int(units), int(layers), int(batch), int(steps)
        return cls(task, cell, *sizes, examples)

    @property
    def is_text(self) -> bool:
        """Whether the task is ``text``."""
        return self.task == "text"

    @property
    def outputs(self) -> int:
        """How many logits there are."""
        return VOCABULARY if self.is_text else CLASSES

    def load(self) -> tuple[np.ndarray, np.ndarray]:
        """The inputs and the targets of a block."""
        with np.load(self.examples) as file:
            return file["inputs"], file["targets"]


def serve(work: Work, epoch: Callable[[], float], **about) -> None:
    """Runs blocks when it is told to.

    Args:
        work: that is done.
        epoch: runs a block and gives its mean loss once all of it is done.
        about: what else the worker says of itself.
    """

    def timed() -> tuple[float, float]:
        start = time.perf_counter()
        loss = epoch()
        return time.perf_counter() - start, loss

    first, first_loss = timed()
    steady, loss = timed()
    say(first_step_s=first - steady, first_loss=first_loss, **about)
    total, of_cores = 0.0, 0.0
    for _ in sys.stdin:
        before = time.process_time()
        seconds, loss = timed()
        of_cores += time.process_time() - before
        total += seconds
        say(ms_per_step=seconds / work.steps * 1e3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    say(peak_mb=peak, loss=loss, cores=of_cores / total)


def cores() -> int:
    """How many cores this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def say(**values) -> None:
    """A line of JSON."""
    print(json.dumps(values), flush=True)
