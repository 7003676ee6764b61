"""PyTorch's side of the benchmark `mnist_cnn`: run by it, in an environment that has PyTorch.

Arguments: steps in a block, threads. A line in, a block of steps, a line of JSON out.
"""

import json
import resource
import sys
import time

import torch
from torch import nn

BATCH, IMAGES = 128, 4096


def network() -> nn.Module:
    """The seed CNN."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 120, 5, padding=2), nn.ReLU(), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(5880, 84), nn.ReLU(), nn.Dropout(0.5), nn.Linear(84, 10),
    )  # fmt: skip


def main(steps: int, threads: int) -> None:
    """Prints a line about the model, one per block, and one at the end."""
    torch.manual_seed(0)
    torch.set_num_threads(threads)
    images = torch.rand(IMAGES, 1, 28, 28)
    labels = torch.randint(0, 10, (IMAGES,))
    model = network()
    for layer in model:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
    optimizer = torch.optim.Adadelta(model.parameters(), lr=1.0, rho=0.95, eps=1e-7)
    model.train()

    def step() -> torch.Tensor:
        rows = torch.randint(0, IMAGES, (BATCH,))
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images[rows]), labels[rows])
        loss.backward()
        optimizer.step()
        return loss

    start = time.perf_counter()
    loss = step()
    first = time.perf_counter() - start
    for _ in range(20):
        step()
    parameters = sum(p.numel() for p in model.parameters())
    say(first_step_s=first, parameters=parameters, version=torch.__version__)
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(steps):
            loss = step()
        say(ms_per_step=(time.perf_counter() - start) / steps * 1e3)
    say(peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, loss=loss.item())


def say(**values) -> None:
    """A line of JSON."""
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
