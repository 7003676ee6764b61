"""jaxdl: deep learning as pure functions, a training run as one compiled program.

The names most used; each module holds the rest:

`types` signatures, `losses`, `gradients`, `optim`, `train`, `data`, `nn`, `models`, `checkpoint`,
`runs`.
"""

from jaxdl import data, gradients, losses, models, nn, optim, train
from jaxdl.data import load
from jaxdl.errors import InputError
from jaxdl.gradients import (
    clipped_gradient,
    mean_gradient,
    observed_gradient,
    per_example_gradients,
    per_example_norms,
)
from jaxdl.nn import flax_model
from jaxdl.optim import OptimizerConfig, make_optimizer
from jaxdl.parallel import make_mesh
from jaxdl.train import evaluate, fit, fit_in_segments, init_state, make_update
from jaxdl.types import Batch, Examples, Model, TrainState, Variables

__all__ = [
    "Batch",
    "Examples",
    "InputError",
    "Model",
    "OptimizerConfig",
    "TrainState",
    "Variables",
    "clipped_gradient",
    "data",
    "evaluate",
    "fit",
    "fit_in_segments",
    "flax_model",
    "gradients",
    "init_state",
    "load",
    "losses",
    "make_mesh",
    "make_optimizer",
    "make_update",
    "mean_gradient",
    "models",
    "nn",
    "observed_gradient",
    "optim",
    "per_example_gradients",
    "per_example_norms",
    "train",
]
