"""Opacus' side of the benchmark `example_gradients`: run by it, where Opacus is installed.

Arguments: the work, the batch, the steps in a block. A line in, a block of steps, a line of JSON
out. The network is the seed CNN without dropout; ghost clipping is Opacus' fastest way.
"""

import json
import os
import resource
import sys
import time
import warnings

import numpy as np
import opacus
import torch
from opacus.grad_sample import GradSampleModuleFastGradientClipping
from opacus.optimizers import DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from torch import nn

RATE = 1e-3


def network() -> nn.Module:
    """The seed CNN without dropout."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 120, 5, padding=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(5880, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def steps_of(work: str, images: torch.Tensor, labels: torch.Tensor):
    """A function that takes one step."""
    model = network()
    if work == "mean":
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE)

        def mean() -> None:
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()

        return mean

    ghost = GradSampleModuleFastGradientClipping(model, max_grad_norm=1.0, use_ghost_clipping=True)
    plain = torch.optim.SGD(ghost.parameters(), lr=RATE)
    private = DPOptimizerFastGradientClipping(
        plain, noise_multiplier=0.0, max_grad_norm=1.0, expected_batch_size=len(images)
    )
    criterion = DPLossFastGradientClipping(ghost, private, nn.CrossEntropyLoss())

    def norms() -> None:
        """The first of ghost clipping's two backward passes, and a step with its gradient."""
        plain.zero_grad()
        nn.functional.cross_entropy(ghost(images), labels).backward()
        ghost.get_norm_sample()
        plain.step()

    def clipped() -> None:
        private.zero_grad()
        criterion(ghost(images), labels).backward()
        private.step()

    return {"norms": norms, "clipped": clipped}[work]


def main(work: str, batch_size: int, steps: int) -> None:
    """Prints a line about the work, one per block, and one at the end."""
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    allowed = getattr(os, "sched_getaffinity", None)
    torch.set_num_threads(len(allowed(0)) if allowed else os.cpu_count() or 1)
    random = np.random.default_rng(0)
    images = torch.tensor(random.random((batch_size, 1, 28, 28), np.float32))
    step = steps_of(work, images, torch.tensor(random.integers(0, 10, batch_size)))

    def timed() -> float:
        start = time.perf_counter()
        for _ in range(steps):
            step()
        return time.perf_counter() - start

    first, steady = timed(), timed()
    say(first_step_s=first - steady, version=f"{torch.__version__}, Opacus {opacus.__version__}")
    for _ in sys.stdin:
        say(ms_per_step=timed() / steps * 1e3)
    say(peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def say(**values) -> None:
    """A line of JSON."""
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
