"""One hash for a tree of arrays: the same hash, the same parameters to the bit."""

import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree


def named_leaves(tree: PyTree) -> dict[str, np.ndarray]:
    """The arrays of a tree on the host, by their path (``train.params.dense.kernel``).

    Random keys become the integers they are made of.

    >>> named_leaves({"dense": {"bias": np.zeros(2)}})
    {'dense.bias': array([0., 0.])}
    """
    bits = jax.tree.map(key_bits, tree)
    return {name: np.asarray(leaf) for name, leaf in with_names(bits)}


def with_names(tree: PyTree) -> list[tuple[str, Any]]:
    """The leaves of a tree with their paths."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return [(jax.tree_util.keystr(path, simple=True, separator="."), leaf) for path, leaf in leaves]


def is_key(leaf: Any) -> bool:
    """Whether an array, or what stands for its shape and type, is of random keys."""
    return jnp.issubdtype(getattr(leaf, "dtype", np.float32), jax.dtypes.prng_key)


def key_bits(leaf: Any) -> Any:
    """A random key as its integers; any other array as it is."""
    return jax.random.key_data(leaf) if is_key(leaf) else leaf


def tree_sha256(tree: PyTree) -> str:
    """SHA-256 over the paths, shapes, types and bytes of a tree's arrays, in order of path.

    >>> tree_sha256({"bias": np.zeros(2, np.float32)})[:8]
    '56ec32c9'
    """
    digest = hashlib.sha256()
    for name, array in sorted(named_leaves(tree).items()):
        digest.update(f"{name} {array.shape} {array.dtype.str}\n".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
