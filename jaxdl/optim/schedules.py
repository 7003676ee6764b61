"""Learning rate schedules: what the learning rate is multiplied by at each step.

Steps count from 0. A schedule that ends with the run is a function of ``progress``, the fraction of
the run that is over, from 0 to 1; one that goes on for ever is a function of ``step``. After the
end, a schedule stays where it was. A warm-up comes before any of them:
`learning_rate_factor`.
"""

import dataclasses
from dataclasses import field

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxdl.errors import InputError, near_names
from jaxdl.optim.fields import number_arguments, require_known, require_number
from jaxdl.types import Number

Scalar = Float[Array, ""]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ScheduleConfig:
    """How the learning rate moves. The numbers are leaves of a pytree, the name is static.

    The arguments of each schedule are those of the function of that name below. ``every`` and
    ``rise`` are fractions of the run, ``timescale`` is in steps, and ``factor``, ``start`` and
    ``end`` are fractions of the learning rate.
    """

    name: str = field(default="constant", metadata={"static": True})
    """constant, step, exponential, cosine, one_cycle, inverse_time (1/t) or inverse_sqrt
    (1/sqrt(t))."""

    warmup: Number | None = None
    """The fraction of the run over which the rate first rises from 0 in a straight line."""

    arguments: dict[str, Number] = field(default_factory=dict)
    """Its numbers, as `every=0.3 factor=0.1` (step), `end=0` (cosine) or `rise=0.3` (one_cycle)."""


def constant(step: Scalar) -> Scalar:
    """``1``."""
    return jnp.ones_like(step)


def inverse_time(step: Scalar, timescale: Number = 1.0) -> Scalar:
    """``1 / (1 + step / timescale)``; the steps ``1/t`` of Robbins and Monro (1951) by default."""
    return 1 / (1 + step / timescale)


def inverse_sqrt(step: Scalar, timescale: Number = 1.0) -> Scalar:
    """``1 / sqrt(1 + step / timescale)``; ``1/sqrt(t)`` by default.

    With a warm-up of ``timescale`` steps it is the schedule of Vaswani et al. 2017
    (arXiv:1706.03762, equation 3) up to its constant.
    """
    return jax.lax.rsqrt(1 + step / timescale)


def step(progress: Scalar, every: Number = 0.3, factor: Number = 0.1) -> Scalar:
    """``factor ^ floor(progress / every)``: a drop after each further ``every`` of the run."""
    # The little extra is for quotients such as 0.3 / 0.1 that fall short of a whole number.
    return factor ** jnp.floor(progress / every + 1e-5)


def exponential(progress: Scalar, end: Number = 0.01) -> Scalar:
    """``end ^ progress``: the same factor at each step.

    With an ``end`` above 1 it rises: a learning-rate range test (Smith 2017, arXiv:1506.01186,
    section 3.3, where the rate rises in a straight line).
    """
    return end**progress


def cosine(progress: Scalar, end: Number = 0.0) -> Scalar:
    """``end + (1 - end) (1 + cos(pi progress)) / 2`` (Loshchilov and Hutter 2017,
    arXiv:1608.03983, equation 5, one cycle).
    """
    return end + (1 - end) * (1 + jnp.cos(jnp.pi * progress)) / 2


def one_cycle(
    progress: Scalar, rise: Number = 0.3, start: Number = 0.04, end: Number = 4e-6
) -> Scalar:
    """From ``start`` to 1 in the fraction ``rise`` of the run, then down to ``end``.

    Both ways along half a cosine (Smith and Topin 2018, arXiv:1708.07120, as PyTorch and fastai
    have it); the momentum does not move.
    """
    up = 1 - (1 - start) * (1 + jnp.cos(jnp.pi * progress / rise)) / 2
    down = cosine((progress - rise) / (1 - rise), end)
    return jnp.where(progress < rise, up, down)


_ENDLESS = {f.__name__: f for f in (constant, inverse_time, inverse_sqrt)}
_ENDING = {f.__name__: f for f in (step, exponential, cosine, one_cycle)}
SCHEDULES = {**_ENDLESS, **_ENDING}

_RANGES = {
    "every": (lambda v: (v > 0) & (v <= 1), "above 0 and at most 1"),
    "rise": (lambda v: (v > 0) & (v < 1), "between 0 and 1"),
    "timescale": (lambda v: v > 0, "above 0"),
    "factor": (lambda v: v >= 0, "0 or more"),
    "start": (lambda v: v >= 0, "0 or more"),
    "end": (lambda v: v >= 0, "0 or more"),
}


def check_schedule_names(config: ScheduleConfig) -> None:
    """Raises an `InputError` for an unknown schedule or argument."""
    if config.name not in SCHEDULES:
        raise InputError(f"unknown schedule {config.name!r}: {near_names(config.name, SCHEDULES)}")
    known = number_arguments(SCHEDULES[config.name])
    for name in config.arguments:
        require_known(name, known, f"the schedule {config.name}")
    if config.name == "one_cycle" and config.warmup is not None:
        raise InputError("one_cycle has a warm-up of its own: set its argument rise, not warmup")


def check_schedule_numbers(config: ScheduleConfig) -> None:
    """Raises an `InputError` for a number that is not finite or out of its range."""
    if config.warmup is not None:
        allowed = (lambda v: (v >= 0) & (v < 1), "from 0 to below 1")
        require_number("schedule.warmup", config.warmup, *allowed)
    for name, value in config.arguments.items():
        require_number(f"schedule.arguments {name}", value, *_RANGES[name])


def ends(config: ScheduleConfig) -> bool:
    """Whether the schedule depends on the length of the run."""
    return config.name in _ENDING or config.warmup is not None


def learning_rate_factor(
    config: ScheduleConfig, step: Int[Array, ""], total_steps: Scalar
) -> Scalar:
    """What the learning rate is multiplied by at ``step``.

    With a warm-up of ``w = warmup * total_steps`` steps it is ``min(1, (step + 1) / w)`` times
    the schedule, which begins when the warm-up ends and has what is left of the run.

    Args:
        config: checked before (`check_schedule_names`).
        step: counted from 0.
        total_steps: of the run; has no effect on a schedule that does not end (`ends`).
    """
    time = step.astype(float)
    warm = jnp.ones_like(time)
    if config.warmup is not None:
        warmup_steps = config.warmup * total_steps
        warm = jnp.minimum(1, (time + 1) / jnp.maximum(warmup_steps, 1))
        time = jnp.maximum(time - warmup_steps, 0)
        total_steps = total_steps - warmup_steps
    if config.name in _ENDING:
        time = jnp.minimum(time / jnp.maximum(total_steps, 1), 1)
    return warm * SCHEDULES[config.name](time, **config.arguments)
