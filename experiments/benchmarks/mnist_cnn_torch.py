"""PyTorch's side of the benchmark `mnist_cnn`: run by it, in an environment that has PyTorch.

Argument: steps in a block. A line in, a block of steps, a line of JSON out.
"""

import json
import os
import resource
import sys
import time

import numpy as np
import torch
from torch import nn

BATCH = 128


def network() -> nn.Module:
    """The seed CNN."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 120, 5, padding=2), nn.ReLU(), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(5880, 84), nn.ReLU(), nn.Dropout(0.5), nn.Linear(84, 10),
    )  # fmt: skip


def main(steps: int) -> None:
    """Prints a line about the model, one per block, and one at the end."""
    torch.manual_seed(0)
    torch.set_num_threads(cores())
    random = np.random.default_rng(0)
    images = torch.tensor(random.integers(0, 256, (BATCH * steps, 1, 28, 28), np.uint8)) / 255
    labels = torch.tensor(random.integers(0, 10, BATCH * steps))
    model = network()
    for layer in model:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0, rho=0.95, eps=1e-7)
    model.train()

    def step(rows: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
        loss.backward()
        optimizer.step()
        return loss.detach()

    def timed_block() -> tuple[float, float]:
        """Seconds of an epoch, and its mean loss."""
        start = time.perf_counter()
        losses = [step(rows) for rows in torch.randperm(len(images)).split(BATCH)]
        return time.perf_counter() - start, torch.stack(losses).mean().item()

    first, _ = timed_block()
    steady, _ = timed_block()
    parameters = sum(p.numel() for p in model.parameters())
    say(first_step_s=first - steady, parameters=parameters, version=torch.__version__)
    loss = float("nan")
    for _ in sys.stdin:
        seconds, loss = timed_block()
        say(ms_per_step=seconds / steps * 1e3)
    say(peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, loss=loss)


def cores() -> int:
    """How many cores this process may use, which is what XLA takes."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def say(**values) -> None:
    """A line of JSON."""
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]))
