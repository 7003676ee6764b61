"""One of several functions, chosen by a number."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.tree_util import Partial

from jaxdl.types import Number, Static


def one_of(functions: Sequence[Callable], index: Number) -> Partial:
    """The function of this number, which may be traced: one program for all of them.

    All are compiled and one is run; side by side (`jax.vmap` over the number) all are.

    Args:
        functions: of the same arguments, arrays by place and what is static by name, whose results
            are alike in structure, shapes and dtypes. Hashable, and the same objects each time,
            lest each use compile anew.
        index: 0 for the first; beyond either end it is the nearest.

    >>> float(one_of([jnp.negative, jnp.square], 1)(jnp.array(3.0)))
    9.0
    """
    return Partial(_call, Static(tuple(functions)), jnp.asarray(index, jnp.int32))


def _call(functions: Static[tuple[Callable, ...]], index, *arguments: Any, **static: Any) -> Any:
    branches = [partial(function, **static) for function in functions.value]
    return lax.switch(index, branches, *arguments)
