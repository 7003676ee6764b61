"""The configuration of an optimizer: read from a command line, swept over by ``jax.vmap``."""

import dataclasses
import re
from collections.abc import Iterable
from dataclasses import field
from typing import Any

import jax
from jax.tree_util import DictKey, GetAttrKey

from jaxdl.errors import InputError
from jaxdl.optim.clipping import ClipConfig, check_clip
from jaxdl.optim.fields import is_number, require_number
from jaxdl.optim.library import check_optimizer_names
from jaxdl.optim.schedules import (
    ScheduleConfig,
    check_schedule_names,
    check_schedule_numbers,
)
from jaxdl.types import Number

_IDLE = ("constant", None)
_NUMBERS = ("learning_rate", "schedule", "clip", "weight_decay", "average")
_AT_LEAST_0 = (lambda v: v >= 0, "0 or more")
_BELOW_1 = (lambda v: (v >= 0) & (v < 1), "from 0 to below 1")
_ARGUMENT_RANGES = {
    r"(adam_)?b[123]|betas_[01]|beta3|rho|decay|momentum": _BELOW_1,
    r"(adam_)?eps(_root)?|(adam_)?weight_decay(_rate)?": _AT_LEAST_0,
}
# Schedule-free optimizers step from a second sequence of parameters, which ours would not decay.
_OWN_DECAY_ONLY = {"schedule_free_adamw", "schedule_free_sgd"}


@jax.tree_util.register_pytree_with_keys_class
@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """An optimizer: by default Adadelta as Keras had it (learning rate 1, rho 0.95, epsilon 1e-7).

    A pytree: numbers are leaves, so they can be traced, swept and changed without recompiling;
    names, whole numbers, switches and None are static.

    >>> OptimizerConfig("sgd", 0.1, {"momentum": 0.9, "nesterov": True}).arguments["momentum"]
    0.9
    """

    name: str = "adadelta"
    """An optimizer of Optax or optax.contrib: adadelta, adam, sgd, lion, ..."""

    learning_rate: Number = 1.0
    """The learning rate, before any schedule; adadelta wants 1, adam about 0.001."""

    arguments: dict[str, bool | int | Number | None] = field(default_factory=dict)
    """Its other arguments as Optax calls them, such as `momentum=0.9 nesterov=True`."""

    schedule: ScheduleConfig = field(default_factory=ScheduleConfig)
    """How the learning rate moves during the run."""

    clip: ClipConfig = field(default_factory=ClipConfig)
    """Bounds on the gradient."""

    weight_decay: Number | None = None
    """Decoupled: each step takes off learning rate x this x the parameter."""

    average: Number | None = None
    """Evaluate with a moving average of the parameters that decays by this, such as 0.999."""

    def tree_flatten_with_keys(self) -> tuple[list[tuple[Any, Any]], tuple]:
        """The numbers with their names, and what is static."""
        arguments = sorted(self.arguments.items())
        traced = {key: value for key, value in arguments if _is_traced(value)}
        static = tuple((key, value) for key, value in arguments if key not in traced)
        children = [(GetAttrKey(name), getattr(self, name)) for name in _NUMBERS]
        children += [(DictKey(name), value) for name, value in traced.items()]
        return children, (self.name, tuple(traced), static)

    @classmethod
    def tree_unflatten(cls, auxiliary: tuple, children: Iterable[Any]) -> "OptimizerConfig":
        """The inverse."""
        name, traced, static = auxiliary
        children = list(children)
        fields = dict(zip(_NUMBERS, children, strict=False))
        arguments = dict(zip(traced, children[len(_NUMBERS) :], strict=True))
        return cls(name=name, arguments={**arguments, **dict(static)}, **fields)


def check(config: OptimizerConfig) -> None:
    """Checks the names and the numbers of a configuration where a user gave it.

    Raises:
        InputError: an unknown optimizer, schedule or argument (the near ones are named); a number
            that is not finite or out of its range; two weight decays.
    """
    check_names(config)
    require_number("learning_rate", config.learning_rate, *_AT_LEAST_0)
    for name, value in config.arguments.items():
        if is_number(value):
            ranges = (of for names, of in _ARGUMENT_RANGES.items() if re.fullmatch(names, name))
            require_number(f"{config.name}'s argument {name}", value, *next(ranges, ()))
    if config.weight_decay is not None:
        require_number("weight_decay", config.weight_decay, *_AT_LEAST_0)
    if config.average is not None:
        require_number("average", config.average, *_BELOW_1)
    check_schedule_numbers(config.schedule)
    check_clip(config.clip)


def check_names(config: OptimizerConfig) -> None:
    """The part of `check` that looks at no number's value, so that numbers may be traced."""
    check_optimizer_names(config.name, config.arguments)
    check_schedule_names(config.schedule)
    if config.name == "rprop" and (config.schedule.name, config.schedule.warmup) != _IDLE:
        raise InputError(
            "rprop moves its step sizes itself, from the learning rate on: give it no schedule"
        )
    if config.weight_decay is None:
        return
    if "weight_decay" in config.arguments:
        raise InputError(
            f"weight_decay is given twice: decoupled, and as an argument of {config.name}; keep one"
        )
    if config.name in _OWN_DECAY_ONLY:
        raise InputError(
            f"{config.name} decays weights by itself: set its argument weight_decay instead"
        )


def _is_traced(value: Any) -> bool:
    return not isinstance(value, bool | int | str | None)
