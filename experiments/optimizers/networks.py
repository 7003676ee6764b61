"""The networks that are trained, and the accuracy that the epochs of each are counted to."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from jaxdl import models
from jaxdl.types import Model


class Network(NamedTuple):
    """A network, and what is special to it.

    Attributes:
        build: makes it.
        targets: by data set, the test accuracy to get to: what it can reach in a few epochs.
        piece_size: how many of its runs a CPU trains between two checkpoints.
    """

    build: Callable[[], Model]
    targets: Mapping[str, float]
    piece_size: int


NETWORKS = {
    "mlp": Network(
        partial(models.mlp, [128], classes=10),
        {"mnist_5k": 0.92, "mnist": 0.97, "fashion_mnist": 0.87},
        piece_size=10,
    ),
    "cnn": Network(
        models.lenet,
        {"mnist_5k": 0.95, "mnist": 0.97, "fashion_mnist": 0.88},
        piece_size=1,
    ),
}
