"""Mixtures of Gaussians in the plane, and how much of one a set of samples covers."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

COVERED = 20
"""Good samples, of 2,500, that make a mode a covered one: where all modes are alike, a sixteenth of
a ring's share, a fifth of a grid's."""
GOOD = 3
"""Standard deviations from the nearest centre within which a sample is good (Srivastava et al.
2017, arXiv:1705.07761)."""


class Mixture(NamedTuple):
    """Gaussians of equal weights.

    Attributes:
        name: of the mixture.
        centres: ``(modes, 2)``.
        deviation: standard deviation along each axis.
    """

    name: str
    centres: Float[np.ndarray, "modes 2"]
    deviation: float


def ring(modes: int = 8, radius: float = 2.0, deviation: float = 0.02) -> Mixture:
    """Around a circle (Metz et al. 2017, arXiv:1611.02163, section 3.1)."""
    angles = 2 * np.pi * np.arange(modes) / modes
    return Mixture("ring", radius * np.stack([np.cos(angles), np.sin(angles)], axis=1), deviation)


def grid(side: int = 5, spacing: float = 2.0, deviation: float = 0.05) -> Mixture:
    """On a square grid (Srivastava et al. 2017, arXiv:1705.07761, section 4.1)."""
    places = spacing * (np.arange(side) - (side - 1) / 2)
    return Mixture("grid", np.stack(np.meshgrid(places, places), -1).reshape(-1, 2), deviation)


MIXTURES = {"ring": ring(), "grid": grid()}


def draw(mixture: Mixture, key: Key[Array, ""], count: int) -> Float[Array, "count 2"]:
    """Samples of it."""
    which_key, noise_key = jax.random.split(key)
    which = jax.random.randint(which_key, (count,), 0, len(mixture.centres))
    noise = jax.random.normal(noise_key, (count, 2))
    return jnp.asarray(mixture.centres, jnp.float32)[which] + mixture.deviation * noise


class Coverage(NamedTuple):
    """Of many sets of samples: how many modes each has, and the share of its samples near one."""

    modes: np.ndarray
    good: np.ndarray


def coverage(mixture: Mixture, samples: Float[np.ndarray, "*sets count 2"]) -> Coverage:
    """How much of the mixture each set covers.

    >>> exact = np.repeat(ring().centres, 300, axis=0)
    >>> coverage(ring(), exact)
    Coverage(modes=8, good=1.0)
    """
    distances = np.linalg.norm(samples[..., None, :] - mixture.centres, axis=-1)
    is_good = distances.min(axis=-1) <= GOOD * mixture.deviation
    nearest = np.where(is_good, distances.argmin(axis=-1), -1)
    counts = (nearest[..., None] == np.arange(len(mixture.centres))).sum(axis=-2)
    least = COVERED * samples.shape[-2] / 2500
    return Coverage((counts >= least).sum(axis=-1), is_good.mean(axis=-1))
