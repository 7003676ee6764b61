"""PyTorch's side of the benchmark `recurrent`: run by it, in an environment that has PyTorch.

Arguments: those of `recurrent_worker`; the way is ``eager``.
"""

import sys

import torch
from recurrent_worker import CLIP_NORM, EMBEDDING, RATE, VOCABULARY, Work
from torch import nn
from worker import cores, serve

LAYERS = {"lstm": nn.LSTM, "gru": nn.GRU}


class Network(nn.Module):
    """The classifier, or the language model."""

    def __init__(self, work: Work, features: int):
        super().__init__()
        self.is_text = work.is_text
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING) if self.is_text else nn.Identity()
        features = EMBEDDING if self.is_text else features
        self.recurrent = LAYERS[work.cell](features, work.units, work.layers, batch_first=True)
        self.dense = nn.Linear(work.units, work.outputs)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Logits of the last state, or of all."""
        states, _ = self.recurrent(self.embedding(inputs))
        return self.dense(states if self.is_text else states[:, -1])


def main(work: Work) -> None:
    """Trains."""
    torch.manual_seed(0)
    torch.set_num_threads(cores())
    inputs, targets = map(torch.from_numpy, work.load())
    targets = targets.long()
    model = Network(work, inputs.shape[-1])
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)

    def step(rows: torch.Tensor) -> torch.Tensor:
        optimizer.zero_grad()
        logits = model(inputs[rows]).flatten(0, -2)
        loss = nn.functional.cross_entropy(logits, targets[rows].flatten())
        loss.backward()
        if work.is_text:
            nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
        optimizer.step()
        return loss.detach()

    def epoch() -> float:
        losses = [step(rows) for rows in torch.randperm(len(inputs)).split(work.batch)]
        return torch.stack(losses).mean().item()

    parameters = sum(p.numel() for p in model.parameters())
    serve(work.steps, epoch, parameters=parameters, version=torch.__version__)


if __name__ == "__main__":
    main(Work.read(sys.argv[2:]))
