"""Every optimizer that Optax offers by name, and the arguments of each that are numbers."""

import functools
import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import optax
import optax.contrib

from jaxdl.errors import InputError, near_names
from jaxdl.optim.fields import is_number, require_known

NOT_OFFERED = {
    "dpsgd": "it needs the gradient of each example; see jaxdl.gradients",
    "lbfgs": "its line search evaluates the loss within the update",
    "mechanize": "it wraps another optimizer",
    "momo": "it needs the value of the loss within the update",
    "momo_adam": "it needs the value of the loss within the update",
    "optimistic_adam": "Optax has given it up; use optimistic_adam_v2",
    "polyak_sgd": "it needs the value of the loss within the update",
    "sam": "it wraps another optimizer and evaluates the loss within the update",
    "schedule_free": "it wraps another optimizer; use schedule_free_adamw or schedule_free_sgd",
    "sophia": "it differentiates the loss within the update",
}

# Where ours differ from Optax's: Keras' Adadelta, and a seed of the noise where Optax asks for one.
DEFAULTS = {"adadelta": {"rho": 0.95, "eps": 1e-7}, "noisy_sgd": {"key": 0}}

# Trees and a deprecated name, which their annotations do not tell from optional numbers.
_NOT_NUMBERS = {"seed", "weight_dimension_numbers", "muon_weight_dimension_numbers"}


class Argument(NamedTuple):
    """An argument of an optimizer: float (traced), int or bool (static); perhaps None."""

    kind: type
    optional: bool


@functools.cache
def optimizers() -> Mapping[str, Callable[..., optax.GradientTransformation]]:
    """Optax's optimizers by name: whatever takes a learning rate, less `NOT_OFFERED`."""
    return {
        name: function
        for module in (optax, optax.contrib)
        for name, function in inspect.getmembers(module, _is_function)
        if not name.startswith(("_", "scale_by_"))
        and name not in NOT_OFFERED
        and "learning_rate" in inspect.signature(function).parameters
    }


@functools.cache
def arguments_of(name: str) -> Mapping[str, Argument]:
    """The arguments of an optimizer that are numbers or switches, but for the learning rate.

    A tuple of numbers, such as Prodigy's ``betas``, appears as ``betas_0`` and ``betas_1``.
    """
    found = {}
    for parameter in inspect.signature(optimizers()[name]).parameters.values():
        key = parameter.name
        default = DEFAULTS.get(name, {}).get(key, parameter.default)
        choices = typing.get_args(parameter.annotation)
        optional = type(None) in choices
        if key == "learning_rate" or key in _NOT_NUMBERS:
            continue
        if isinstance(default, bool | int | float):
            found[key] = Argument(type(default), optional)
        elif isinstance(default, tuple) and all(isinstance(entry, float) for entry in default):
            found.update({f"{key}_{i}": Argument(float, False) for i in range(len(default))})
        elif default is None and (float in choices or int in choices):
            found[key] = Argument(float if float in choices else int, optional)
    return found


def check_optimizer_names(name: str, arguments: Mapping[str, Any]) -> None:
    """Raises an `InputError` for an unknown optimizer or argument, or one of the wrong kind."""
    if name in NOT_OFFERED:
        raise InputError(f"the optimizer {name} cannot be had by name: {NOT_OFFERED[name]}")
    if name not in optimizers():
        raise InputError(f"unknown optimizer {name!r}: {near_names(name, optimizers())}")
    known = arguments_of(name)
    for key, value in arguments.items():
        require_known(key, known, f"the optimizer {name}")
        _check_kind(f"{name}'s argument {key}", value, known[key])


def build(
    name: str, learning_rate: Any, arguments: Mapping[str, Any]
) -> optax.GradientTransformation:
    """The optimizer called with its arguments, checked before (`check_optimizer_names`)."""
    factory = optimizers()[name]
    given: dict[str, Any] = {**DEFAULTS.get(name, {}), **arguments}
    signature = inspect.signature(factory).parameters
    for key in [key for key in given if key not in signature]:
        whole, _, place = key.rpartition("_")
        entries = list(given.get(whole, signature[whole].default))
        entries[int(place)] = given.pop(key)
        given[whole] = tuple(entries)
    return factory(learning_rate, **given)


def _is_function(member: Any) -> bool:
    return inspect.isfunction(member) or isinstance(member, functools.partial)  # nadam is one


def _check_kind(name: str, value: Any, argument: Argument) -> None:
    kind, optional = argument
    fits = is_number(value) if kind is float else type(value) is kind
    if not (fits or (value is None and optional)):
        wanted = {float: "a number", int: "a whole number", bool: "True or False"}[kind]
        raise InputError(f"{name} must be {wanted}{' or None' if optional else ''}, not {value!r}")
