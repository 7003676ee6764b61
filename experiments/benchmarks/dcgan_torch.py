"""PyTorch's side of the benchmark `dcgan`: run by it, in an environment that has PyTorch.

Arguments: steps in a block, a file of images.
"""

import sys

import numpy as np
import torch
from torch import nn
from torch.nn.functional import softplus
from worker import cores, serve

BATCH = 128
LATENT = 64
FEATURES = 64


def generator() -> nn.Module:
    """From noise to images in [0, 1]."""
    return nn.Sequential(
        nn.Linear(LATENT, 49 * 2 * FEATURES), nn.Unflatten(1, (2 * FEATURES, 7, 7)),
        nn.BatchNorm2d(2 * FEATURES), nn.ReLU(),
        nn.ConvTranspose2d(2 * FEATURES, FEATURES, 4, 2, 1), nn.BatchNorm2d(FEATURES), nn.ReLU(),
        nn.ConvTranspose2d(FEATURES, 1, 4, 2, 1), nn.Sigmoid(),
    )  # fmt: skip


def discriminator() -> nn.Module:
    """From images to scores."""
    return nn.Sequential(
        nn.Conv2d(1, FEATURES, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.Conv2d(FEATURES, 2 * FEATURES, 4, 2, 1), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(49 * 2 * FEATURES, 4 * FEATURES), nn.LeakyReLU(0.2),
        nn.Linear(4 * FEATURES, 1),
    )  # fmt: skip


def main(steps: int, path: str) -> None:
    """Trains."""
    torch.manual_seed(0)
    torch.set_num_threads(cores())
    images = torch.tensor(np.load(path))[:, None]
    players = generator(), discriminator()
    for player in players:
        for layer in player:
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)
    make, judge = players
    optimizers = [
        torch.optim.Adam(player.parameters(), lr=2e-4, betas=(0.5, 0.999), fused=True)
        for player in players
    ]

    def step(rows: torch.Tensor) -> torch.Tensor:
        real = 2 * (images[rows] / 255) - 1
        with torch.no_grad():
            generated = 2 * make(torch.randn(len(rows), LATENT)) - 1
        optimizers[1].zero_grad()
        loss = (softplus(-judge(real)) + softplus(judge(generated))).mean()
        loss.backward()
        optimizers[1].step()
        optimizers[0].zero_grad()
        judge.requires_grad_(False)
        softplus(-judge(2 * make(torch.randn(len(rows), LATENT)) - 1)).mean().backward()
        judge.requires_grad_(True)
        optimizers[0].step()
        return loss.detach()

    def epoch() -> float:
        losses = [step(rows) for rows in torch.randperm(len(images)).split(BATCH)]
        return torch.stack(losses).mean().item()

    parameters = sum(p.numel() for player in players for p in player.parameters())
    serve(steps, epoch, parameters=parameters, version=torch.__version__)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
