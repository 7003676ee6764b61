"""Fan-in and fan-out of convolutions: what comes in through a window, and where a pixel goes."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key
from matplotlib.figure import Figure

from jaxdl import nn, plots
from jaxdl.claims import Claim
from jaxdl.statistics import mean_and_interval

SIDE, BATCH, DRAWS = 19, 4, 20
INITIALIZERS = ("lecun_uniform", "glorot_uniform")
"""Of variance 1 / fan-in, and 2 / (fan-in + fan-out)."""
TOLERANCE = 0.05

Maps = Float[Array | np.ndarray, "batch height width channels"]


class Convolution(NamedTuple):
    """Of images; hashable.

    Attributes:
        size: of its square window.
        channels: of its inputs.
        features: of its outputs.
        stride: of its window.
    """

    size: int
    channels: int
    features: int
    stride: int = 1

    @property
    def fan_in(self) -> int:
        """Products that an output is the sum of."""
        return self.size**2 * self.channels

    @property
    def fan_out(self) -> int:
        """Products that an input is in, as far as the window moves by one."""
        return self.size**2 * self.features

    def __str__(self) -> str:
        strided = f", stride {self.stride}" if self.stride > 1 else ""
        return f"{self.size}x{self.size}, {self.channels} to {self.features}{strided}"


CONVOLUTIONS = (
    Convolution(3, 16, 64),
    Convolution(5, 32, 8),
    Convolution(3, 16, 64, stride=2),
)


class Factors(NamedTuple):
    """By what a convolution multiplies mean squares, for each of `INITIALIZERS`.

    Attributes:
        forwards: of its inputs.
        back: of a gradient by its outputs.
    """

    forwards: Any
    back: Any


def expected_factors(convolution: Convolution) -> Factors:
    """``fan_in Var(w)``, and ``fan_out Var(w)`` over the area of a step of the window."""
    fan_in, fan_out = convolution.fan_in, convolution.fan_out
    variances = np.array([1 / fan_in, 2 / (fan_in + fan_out)])
    return Factors(fan_in * variances, fan_out / convolution.stride**2 * variances)


def measure(key: Key[Array, ""]) -> dict[Convolution, Factors]:
    """Of each convolution and draw of its kernel, ``(draws, initializers)``."""
    keys = jax.random.split(key, DRAWS)

    def of_draws(convolution: Convolution) -> Factors:
        drawn = [factors(convolution, key, *normal_signals(convolution)) for key in keys]
        return Factors(*(np.stack(of) for of in zip(*drawn, strict=True)))

    return {convolution: of_draws(convolution) for convolution in CONVOLUTIONS}


def normal_signals(convolution: Convolution) -> tuple[Maps, Maps]:
    """Inputs, and a gradient by the outputs, of variance 1."""
    rng = np.random.default_rng(0)
    places = (SIDE - convolution.size) // convolution.stride + 1
    shapes = ((SIDE, SIDE, convolution.channels), (places, places, convolution.features))
    inputs, gradient = (rng.normal(size=(BATCH, *shape)) for shape in shapes)
    return inputs.astype(np.float32), gradient.astype(np.float32)


@partial(jax.jit, static_argnames="convolution")
def factors(convolution: Convolution, key: Key[Array, ""], inputs: Maps, gradient: Maps) -> Factors:
    """Of one draw of the kernel; gradients where the window comes by with all its places."""
    size, channels, features, stride = convolution
    inside = slice(size - 1, SIDE - size)

    def square(maps: Maps) -> Array:
        return jnp.mean(jnp.square(maps))

    def of_initializer(name: str) -> tuple[Array, Array]:
        kernel = nn.initializer(name)(key, (size, size, channels, features), jnp.float32)

        def convolve(inputs: Array) -> Array:
            return lax.conv_general_dilated(
                inputs,
                kernel,
                (stride, stride),
                "VALID",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )

        outputs, pull_back = jax.vjp(convolve, inputs)
        back = pull_back(gradient)[0][:, inside, inside]
        return square(outputs) / square(inputs), square(back) / square(gradient)

    return Factors(*map(jnp.stack, zip(*map(of_initializer, INITIALIZERS), strict=True)))


def claim(found: Mapping[Convolution, Factors]) -> Claim:
    """All factors as the fans have them."""
    misses = {}
    for convolution, measured in found.items():
        for of, expected in zip(measured, expected_factors(convolution), strict=True):
            off = np.abs(of.mean(axis=0) / expected - 1).max()
            misses[str(convolution)] = max(misses.get(str(convolution), 0), float(off))
    worst = max(misses, key=lambda name: misses[name])
    wide = CONVOLUTIONS[0]
    forwards, back = (of.mean(axis=0) for of in found[wide])
    return Claim(
        "of a convolution fan-in is window times channels, fan-out window times features, over the "
        "square of the stride",
        misses[worst] < TOLERANCE,
        f"{wide} with variance 1 / fan-in multiplies the inputs' variance by {forwards[0]:.3f}, "
        f"expected 1, and the gradients' by {back[0]:.3f}, expected "
        f"{wide.fan_out / wide.fan_in:g}; of all, {worst} is off the most, by "
        f"{misses[worst]:.1%}, expected below {TOLERANCE:.0%}",
    )


def summarize(found: Mapping[Convolution, Factors]) -> dict[str, Any]:
    """For ``summary.json``: means and intervals over draws."""
    return {
        str(convolution): {
            name: {
                way: [*mean_and_interval(of[:, place]), float(expected[place])]
                for way, of, expected in zip(
                    Factors._fields, measured, expected_factors(convolution), strict=True
                )
            }
            for place, name in enumerate(INITIALIZERS)
        }
        for convolution, measured in found.items()
    }


@plots.styled
def draw(found: Mapping[Convolution, Factors]) -> Figure:
    """Factors of signals and of gradients."""
    figure = Figure(figsize=(8.6, 3.8), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    labels = {"lecun_uniform": "1 / fan-in", "glorot_uniform": "1 / (mean of fan-in and fan-out)"}
    places = np.arange(len(found))
    expected = [expected_factors(convolution) for convolution in found]
    titles = ("forwards: inputs to outputs", "back: gradients by outputs to those by inputs")
    for way, (axes, title) in enumerate(zip(panels, titles, strict=True)):
        for place, (name, colour, marker) in enumerate(
            zip(INITIALIZERS, (plots.BLUE, plots.RED), "os", strict=True)
        ):
            values = np.stack([of[way][:, place] for of in found.values()], axis=1)
            x = places + 0.16 * (place - 0.5)
            plots.draw_errorbars(
                axes, x, values, fmt=marker, ms=6, color=colour, label=f"variance {labels[name]}"
            )
            foretold = [of[way][place] for of in expected]
            axes.plot(x, foretold, "_", color="black", ms=16, mew=1.2)
        axes.plot([], [], "_", color="black", ms=12, mew=1.2, label="foretold")
        axes.set_xticks(places, [str(of).replace(", ", "\n") for of in found])
        axes.set(title=title, xlim=(-0.5, len(found) - 0.5))
        axes.axhline(1, color=plots.GREY, lw=0.8, ls=":")
    plots.make_logarithmic(panels[0].yaxis)
    panels[0].set_ylabel("factor of the mean square")
    panels[1].legend(fontsize=9)
    return figure
