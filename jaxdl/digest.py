"""One hash for a tree of arrays: the same hash, the same parameters to the bit."""

import hashlib

import jax
import numpy as np
from jaxtyping import PyTree


def named_leaves(tree: PyTree) -> dict[str, np.ndarray]:
    """The arrays of a tree on the host, by their path (``train.params.dense.kernel``).

    Random keys become the integers they are made of.

    >>> named_leaves({"dense": {"bias": np.zeros(2)}})
    {'dense.bias': array([0., 0.])}
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(key_bits(leaf))
        for path, leaf in leaves
    }


def key_bits(leaf):
    """A random key as its integers; any other array as it is."""
    is_key = isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.random.key_data(leaf) if is_key else leaf


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
