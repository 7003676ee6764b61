"""Many devices as one argument: a mesh with a ``data`` axis over which each batch is split.

Functions that combine examples (a mean gradient, batch statistics, a metric) call
`sum_over_devices`. It is the identity where the program is not split, so the same function serves a
notebook and a mesh.
"""

import os
from typing import TypeVar

import jax
import numpy as np
from jax import lax
from jax.sharding import Mesh
from jaxtyping import Array, Int

from jaxdl.errors import InputError

DATA_AXIS = "data"

Tree = TypeVar("Tree")


def own_cores() -> int:
    """The CPU cores that this process may use, as far as the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def make_mesh(devices: int | None = None) -> Mesh:
    """A mesh of the first ``devices`` devices (all by default) along the ``data`` axis.

    Raises:
        InputError: there are fewer devices; on a CPU, cores become devices by
            ``jax.config.update("jax_num_cpu_devices", n)`` before anything else runs.
    """
    available = jax.devices()
    count = len(available) if devices is None else devices
    if not 1 <= count <= len(available):
        raise InputError(
            f"{count} devices asked for, {len(available)} there ({available[0].platform}); "
            "choose 1 or more, and on a CPU set jax_num_cpu_devices before the first computation"
        )
    return Mesh(np.asarray(available[:count]), (DATA_AXIS,))


def is_split() -> bool:
    """Whether the program being traced is one device's part of a `shard_map` over ``data``."""
    return DATA_AXIS in jax.sharding.get_abstract_mesh().manual_axes


def sum_over_devices(tree: Tree) -> Tree:
    """Sums each leaf over the devices of the mesh; the identity outside a split program."""
    return lax.psum(tree, DATA_AXIS) if is_split() else tree


def gather_over_devices(array: Array) -> Array:
    """The parts of all devices, one after the other along the first axis, on each of them."""
    return lax.all_gather(array, DATA_AXIS, tiled=True) if is_split() else array


def device_count() -> int:
    """Over how many devices the program being traced is split; 1 outside a split program."""
    return lax.axis_size(DATA_AXIS) if is_split() else 1


def device_index() -> Int[Array, ""] | int:
    """The place of this device along the ``data`` axis; 0 outside a split program."""
    return lax.axis_index(DATA_AXIS) if is_split() else 0
