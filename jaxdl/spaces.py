"""Search spaces: a tree of hyper-parameters in which some numbers are still to be chosen.

A space is any pytree with a `Uniform`, `LogUniform` or `Choice` in the place of a number, such as
``{"learning_rate": LogUniform(1e-4, 1), "momentum": 0.9}``. `sample` and `grid` give the same tree
with leaves ``(count, ...)``: the members that `jaxdl.sweep.sweep` runs. A run puts its member into
a configuration by ``dataclasses.replace(config, **member)``.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PyTree

from jaxdl.errors import InputError


@dataclasses.dataclass(frozen=True)
class Uniform:
    """A number between ``low`` and ``high``, every one as probable as any other.

    Raises:
        InputError: the bounds are not finite, or ``low`` is not below ``high``.
    """

    low: float | int
    high: float | int

    def __post_init__(self):
        if not -math.inf < self.low < self.high < math.inf:
            raise InputError(f"{self}: give finite bounds, low below high")

    def draw(self, key: Key[Array, ""], count: int) -> Float[Array, " count"]:
        """``count`` independent draws."""
        return jax.random.uniform(key, (count,), float, self.low, self.high)


@dataclasses.dataclass(frozen=True)
class LogUniform:
    """A number between ``low`` and ``high`` whose logarithm is uniform: for rates and strengths.

    Raises:
        InputError: the bounds are not finite, ``low`` is not above 0 or not below ``high``.
    """

    low: float | int
    high: float | int

    def __post_init__(self):
        if not 0 < self.low < self.high < math.inf:
            raise InputError(f"{self}: give finite bounds above 0, low below high")

    def draw(self, key: Key[Array, ""], count: int) -> Float[Array, " count"]:
        """``count`` independent draws."""
        low, high = math.log(self.low), math.log(self.high)
        draws = jnp.exp(jax.random.uniform(key, (count,), float, low, high))
        return jnp.clip(draws, self.low, self.high)  # exp(log(x)) is x only up to rounding


@dataclasses.dataclass(frozen=True)
class Choice:
    """One of some numbers: each of them in a `grid`, any with the same probability in a `sample`.

    Raises:
        InputError: there are no values, or one is not finite.
    """

    values: tuple[float | int, ...]

    def __post_init__(self):
        if not self.values or not np.isfinite(self.values).all():
            raise InputError(f"{self}: give one finite number or more")

    def draw(self, key: Key[Array, ""], count: int) -> Float[Array, " count"]:
        """``count`` independent draws."""
        return jax.random.choice(key, jnp.asarray(self.values, float), (count,))


def linspace(low: float | int, high: float | int, count: int) -> Choice:
    """``count`` numbers from ``low`` to ``high`` at equal distances, both ends included.

    >>> linspace(0, 1, 3)
    Choice(values=(0.0, 0.5, 1.0))

    Raises:
        InputError: impossible bounds (`Uniform`), or ``count`` is below 2.
    """
    bounds = Uniform(low, high)
    return Choice(tuple(np.linspace(bounds.low, bounds.high, _at_least(2, count)).tolist()))


def logspace(low: float | int, high: float | int, count: int) -> Choice:
    """``count`` numbers from ``low`` to ``high`` at equal ratios, both ends included.

    >>> logspace(0.01, 100, 3)
    Choice(values=(0.01, 1.0, 100.0))

    Raises:
        InputError: impossible bounds (`LogUniform`), or ``count`` is below 2.
    """
    bounds = LogUniform(low, high)
    return Choice(tuple(np.geomspace(bounds.low, bounds.high, _at_least(2, count)).tolist()))


def sample(space: PyTree, key: Key[Array, ""], count: int) -> PyTree:
    """``count`` members of ``space``, each number drawn for itself.

    Args:
        space: a pytree; numbers in it that are no distribution are the same in every member.
        key: of the draws.
        count: of the members.

    Returns:
        The same tree, each leaf with a leading axis ``(count,)``.

    Raises:
        InputError: ``count`` is below 1; a word in ``space``.

    >>> members = sample({"rate": LogUniform(1e-3, 1), "decay": 0.1}, jax.random.key(0), 5)
    >>> members["rate"].shape, members["decay"].shape
    ((5,), (5,))
    """
    count = _at_least(1, count)
    leaves, structure = jax.tree.flatten(space)
    keys = jax.random.split(key, max(1, len(leaves)))
    drawn = [
        leaf.draw(key, count) if _is_distribution(leaf) else _repeat(leaf, count)
        for leaf, key in zip(leaves, keys, strict=False)
    ]
    return jax.tree.unflatten(structure, drawn)


def grid(space: PyTree) -> PyTree:
    """Every combination of the values of the `Choice`s in ``space``.

    The last of them (in the order of the tree's leaves: a dict's are sorted by name) changes from
    each member to the next, the first one slowest. Numbers that are no choice are the same in every
    member.

    Returns:
        The same tree, each leaf with a leading axis of the product of the numbers of values.

    Raises:
        InputError: a `Uniform` or `LogUniform` in ``space`` has no end of values; a word in it.

    >>> members = grid({"momentum": Choice((0.0, 0.9)), "rate": Choice((0.1, 0.2, 0.3))})
    >>> members["momentum"]
    Array([0. , 0. , 0. , 0.9, 0.9, 0.9], dtype=float32)
    """
    leaves, structure = jax.tree.flatten(space)
    for leaf in leaves:
        if isinstance(leaf, Uniform | LogUniform):
            raise InputError(f"{leaf} has no grid: take linspace, logspace or a Choice, or sample")
    choices = [leaf for leaf in leaves if isinstance(leaf, Choice)]
    axes = np.meshgrid(*(choice.values for choice in choices), indexing="ij")
    count = math.prod(len(choice.values) for choice in choices)
    columns = iter(axes)
    members = [
        jnp.asarray(next(columns).ravel(), float)
        if isinstance(leaf, Choice)
        else _repeat(leaf, count)
        for leaf in leaves
    ]
    return jax.tree.unflatten(structure, members)


def _is_distribution(leaf: Any) -> bool:
    return isinstance(leaf, Uniform | LogUniform | Choice)


def _repeat(leaf: Any, count: int) -> Array:
    """A number as a floating array ``(count,)``; an array keeps its type and its shape behind it.

    A whole number has to become floating as it does in `jaxdl.types.as_pytree`.
    """
    if isinstance(leaf, str):
        raise InputError(f"{leaf!r} in a space: members are numbers; sweep once for each name")
    array = jnp.asarray(leaf, None if hasattr(leaf, "dtype") else float)
    return jnp.broadcast_to(array, (count, *array.shape))


def _at_least(least: int, count: int) -> int:
    if count < least:
        raise InputError(f"count {count}; give {least} or more")
    return count
