"""What the workers of the benchmark `recurrent` have in common, with NumPy and no framework.

A worker is started with a way of its own and the fields of `Work`; see `worker`.
"""

from collections.abc import Sequence
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
