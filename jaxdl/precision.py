"""In which precision norms, averages and noise are computed: float32 at least."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Num


def wide_dtype(array: Array | jax.ShapeDtypeStruct) -> jnp.dtype:
    """The dtype of ``array``, or float32 where that is wider.

    >>> wide_dtype(jnp.zeros(2, jnp.bfloat16))
    dtype('float32')
    """
    return jnp.promote_types(array.dtype, jnp.float32)


def widened(array: Num[Array, "*shape"]) -> Num[Array, "*shape"]:
    """``array`` in its `wide_dtype`."""
    return array.astype(wide_dtype(array))
