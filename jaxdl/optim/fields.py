"""What the configurations share: checks of what users give, and numbers made arrays."""

import inspect
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdl.errors import InputError, near_names


def is_number(value: Any) -> bool:
    """Whether ``value`` is a number or an array, traced or not; a switch is not a number."""
    kinds = float | int | np.number | np.ndarray | Array
    return isinstance(value, kinds) and not isinstance(value, bool)


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
