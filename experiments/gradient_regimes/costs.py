"""Part (c), the costs: steps, examples and seconds to a loss, and what the noise scale tells."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments.gradient_regimes.exponents import plus_minus
from experiments.gradient_regimes.style import batch_colours, logarithmic
from jaxdl import plots
from jaxdl.claims import Claim
from jaxdl.diagnostics import noise_scale
from jaxdl.tradeoff import Descent, TradeOff, fit_trade_off

SLOWER = 1.5
"""How many times as long as the fastest batch size the predicted one may take."""


class Costs(NamedTuple):
    """What it costs to get to the target loss.

    Attributes:
        batch_sizes: of training.
        steps: by seed and batch size.
        seconds_per_step: by batch size, the median of seeds.
        critical_batch: fitted to the steps of each seed.
        noise_scale: its mean over training with the batch size in the middle, by seed.
        noise_scales: the same means of seeds for every batch size.
    """

    batch_sizes: np.ndarray
    steps: np.ndarray
    seconds_per_step: np.ndarray
    critical_batch: np.ndarray
    noise_scale: np.ndarray
    noise_scales: dict[int, float]

    @property
    def trade_off(self) -> TradeOff:
        """The fit to the means over seeds."""
        return fit_trade_off(self.batch_sizes, self.steps.mean(axis=0))

    @property
    def seconds(self) -> np.ndarray:
        """To the target, by batch size."""
        return self.steps.mean(axis=0) * self.seconds_per_step

    def slowness(self, noise_scale: float) -> float:
        """How many times as long as the fastest the batch size takes that a noise scale predicts.

        By it and the time of a step alone: ``(1 + B_noise / B) t(B)`` is least.
        """
        place = self.predicted(noise_scale)
        return float(self.seconds[place] / self.seconds.min())

    def predicted(self, noise_scale: float) -> int:
        """The place of the batch size that ought to be the fastest."""
        return int(np.argmin((1 + noise_scale / self.batch_sizes) * self.seconds_per_step))


def measure(runs: dict[int, list[Descent]], target: float) -> Costs:
    """Steps and seconds to the target, and what the noise scale says of them."""
    sizes = np.array(list(runs), float)
    steps = np.array([[of.steps_to(target) for of in each] for each in runs.values()]).T
    scales = [[of.mean_noise_scale() for of in each] for each in runs.values()]
    return Costs(
        sizes,
        steps,
        np.array([np.median([of.seconds_per_step for of in each]) for each in runs.values()]),
        np.array([fit_trade_off(sizes, of_seed).critical_batch for of_seed in steps]),
        np.array(scales[len(sizes) // 2]),
        {int(size): float(np.mean(of)) for size, of in zip(sizes, scales, strict=True)},
    )


def claims(name: str, costs: Costs) -> list[Claim]:
    """What a larger batch of the network ``name`` buys, and that the noise scale tells."""
    steps, sizes = costs.steps.mean(axis=0), costs.batch_sizes
    fewer, more = steps[0] / steps[-1], steps[-1] * sizes[-1] / (steps[0] * sizes[0])
    ratio = costs.noise_scale.mean() / costs.critical_batch.mean()
    return [
        Claim(
            f"{name}: larger batches take fewer steps and more examples",
            fewer > 2 and more > 2,
            f"batches of {sizes[-1]:.0f} take 1/{fewer:.1f} of the steps and {more:.1f} times the "
            f"examples of batches of {sizes[0]:.0f}; expected a factor of 2 at least",
        ),
        Claim(
            f"{name}: the noise scale tells the critical batch size",
            1 / 3 < ratio < 3,
            f"{plus_minus(costs.noise_scale)} beside {plus_minus(costs.critical_batch)} examples, "
            "expected alike within a factor of 3",
        ),
    ]


def time_claim(name: str, costs: Costs) -> Claim:
    """Which batch size is fastest, for runs that are long enough to be timed.

    The times tell little more of the noise scale than its order: beside the verdict stands how far
    off it might be.
    """
    scale, least, most = costs.noise_scale.mean(), costs.seconds.min(), costs.seconds.max()
    slower, fastest = costs.slowness(scale), costs.batch_sizes[costs.seconds.argmin()]
    others = np.geomspace(scale / 1000, 1000 * scale, 601)
    would_do = others[[costs.slowness(other) < SLOWER for other in others]]
    alike = f"{would_do[0]:.2g} to {would_do[-1]:.2g}" if would_do.size else "none"
    return Claim(
        f"{name}: the noise scale tells which batch size is fastest here",
        slower < SLOWER,
        f"batches of {costs.batch_sizes[costs.predicted(scale)]:.0f}, those predicted, take "
        f"{slower:.2f} times as long as those of {fastest:.0f}, the fastest; expected below "
        f"{SLOWER:g}; the slowest take {most / least:.1f} times as long; noise scales that would "
        f"do, too: {alike}",
    )


@plots.styled
def draw(runs: dict[int, list[Descent]], costs: Costs, target: float) -> Figure:
    """The noise scale through training, and steps against examples."""
    figure = Figure(figsize=(10.5, 4.2), layout="constrained")
    scales, costly = figure.subplots(1, 2)
    colours = batch_colours(list(runs))
    for size, each in runs.items():
        if size > 1:
            losses, scale = noise_by_loss(each)
            scales.plot(losses, scale, color=colours[size], marker="o", label=f"{size}")
    scales.set(xlabel="training loss", ylabel="noise scale (examples)")
    scales.invert_xaxis()
    scales.legend(title="batch size", fontsize=8)
    fine = np.geomspace(costs.batch_sizes[0] / 2, 2 * costs.batch_sizes[-1], 200)
    fit, scale = costs.trade_off, costs.noise_scale.mean()
    told = TradeOff(fit.fewest_steps, fit.fewest_steps * scale)
    laws = {
        f"fit, B_crit = {fit.critical_batch:.0f}": (fit, "black", "-"),
        f"by the noise scale, {scale:.0f}": (told, plots.RED, "--"),
    }
    for label, (law, colour, line) in laws.items():
        steps = law.steps(fine)
        costly.plot(steps, fine * steps, color=colour, ls=line, lw=1, label=label)
    for size, steps in zip(runs, costs.steps.T, strict=True):
        costly.plot(steps, size * steps, "o", color=colours[size])
        middle = (steps.mean(), size * steps.mean())
        offset = {"textcoords": "offset points", "xytext": (6, 6)}
        costly.annotate(f"{size}", middle, fontsize=8, **offset)
    costly.set(xlabel=f"steps to a loss of {target:g}", ylabel="examples")
    costly.legend()
    for axes in (scales, costly):
        logarithmic(axes)
        axes.grid(True)
    return figure


def noise_by_loss(runs: Sequence[Descent], parts: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """The noise scale in parts of the way down: ratios of means over steps and seeds."""
    seen = []
    for of in runs:
        losses = np.interp(np.arange(len(of.variance)), of.steps, np.log(of.losses))
        seen.append(np.stack([losses, of.variance, of.squared_mean]))
    losses, variance, squared = np.concatenate(seen, axis=1)
    edges = np.linspace(losses.max(), losses.min(), parts + 1)
    place = np.clip(np.digitize(-losses, -edges) - 1, 0, parts - 1)
    used = [part for part in range(parts) if np.any(place == part)]
    means = [[of[place == part].mean() for part in used] for of in (losses, variance, squared)]
    scale = np.asarray(noise_scale(*map(jnp.asarray, means[1:])))
    return np.exp(means[0]), scale
