"""What the configurations share: numbers that may be traced, and checks of what users give."""

import dataclasses
import inspect
import typing
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from tyro.constructors import PrimitiveConstructorSpec

from jaxdl.errors import InputError, near_names


def is_number(value: Any) -> bool:
    """Whether ``value`` is a number or an array, traced or not; a switch is not a number."""
    kinds = float | int | np.number | np.ndarray | Array
    return isinstance(value, kinds) and not isinstance(value, bool)


if TYPE_CHECKING:
    Number = float | int | Array
else:
    # At run time anything will do, for JAX rebuilds pytrees with placeholders for numbers.
    Number = Annotated[
        Any,
        PrimitiveConstructorSpec(
            nargs=1,
            metavar="FLOAT",
            instance_from_str=lambda words: float(words[0]),
            is_instance=is_number,
            str_from_instance=lambda value: [str(value)],
        ),
    ]
"""A number that may be traced; a command line reads it as a float."""

Config = TypeVar("Config")
Tree = TypeVar("Tree")


def as_arrays(tree: Tree) -> Tree:
    """Every number as a floating array: a Python float would be another type to ``jax.jit``."""
    return jax.tree.map(lambda number: jnp.asarray(number, dtype=float), tree)


def require_number(
    name: str, value: Any, allowed: Callable[[Any], Any] | None = None, words: str = ""
) -> None:
    """Raises an `InputError` unless ``value`` (or each entry of an array) is finite and allowed.

    Args:
        name: how the user knows it.
        value: should be a number or an array, not traced.
        allowed: which finite numbers will do, entry by entry; all of them by default.
        words: ``allowed`` in words, such as "above 0".
    """
    if not is_number(value):
        raise InputError(f"{name} must be a number, not {value!r}")
    numbers = np.asarray(value, dtype=float)
    if not np.isfinite(numbers).all() or (allowed and not allowed(numbers).all()):
        raise InputError(f"{name} must be a finite number{words and ' ' + words}, not {value}")


def require_known(name: str, known: Collection[str], owner: str) -> None:
    """Raises an `InputError` unless ``name`` is among the arguments ``owner`` takes."""
    if name in known:
        return
    hint = near_names(name, known) if known else "it takes none"
    raise InputError(f"{owner} takes no argument {name!r}: {hint}")


def number_arguments(function: Callable) -> list[str]:
    """The names of the arguments of ``function`` that have a default."""
    parameters = inspect.signature(function).parameters.values()
    return [p.name for p in parameters if p.default is not p.empty]


def config_from_dict(cls: type[Config], values: Any, name: str = "") -> Config:
    """The frozen dataclass ``cls`` from the dict that `dataclasses.asdict` gave, nested ones too.

    What is missing takes its default. ``name`` is how the user knows it (``optimizer``).

    Raises:
        InputError: a name that ``cls`` has not, or a value of another type.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{name or 'the configuration'} must be a table of names, not {values!r}")
    types = typing.get_type_hints(cls)
    fields = {}
    for key, value in values.items():
        path = f"{name}.{key}" if name else key
        if key not in types:
            raise InputError(f"unknown setting {path}: {near_names(key, types)}")
        kind = typing.get_origin(types[key]) or types[key]
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            value = config_from_dict(kind, value, path)
        elif kind in (bool, dict, int, str) and not isinstance(value, kind):
            raise InputError(f"{path} must be of type {kind.__name__}, not {value!r}")
        fields[key] = value
    return cls(**fields)
