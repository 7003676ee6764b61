"""Optimizers: a configuration that is a pytree of numbers, and the Optax chain it describes.

A run needs ``make_optimizer(OptimizerConfig(...))``. The pieces it is made of, `clip_gradients` and
`average_parameters`, are Optax transformations for a chain of one's own, and `watch_steps` and
`proximal` go around any optimizer; `telemetry` and `averaged_params` find their states in any
chain.
"""

from jaxdl.optim.averaging import average_parameters, averaged_params
from jaxdl.optim.chain import make_optimizer, telemetry
from jaxdl.optim.clipping import ClipConfig, clip_gradients, global_norm
from jaxdl.optim.config import OptimizerConfig, check
from jaxdl.optim.proximal import proximal
from jaxdl.optim.schedules import ScheduleConfig
from jaxdl.optim.watching import watch_steps

__all__ = [
    "ClipConfig",
    "OptimizerConfig",
    "ScheduleConfig",
    "average_parameters",
    "averaged_params",
    "check",
    "clip_gradients",
    "global_norm",
    "make_optimizer",
    "proximal",
    "telemetry",
    "watch_steps",
]
