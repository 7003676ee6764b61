"""What is claimed of the optimizers on a network."""

import itertools
from collections.abc import Mapping

import numpy as np

from experiments.optimizers.ranking import POINT, Outcome
from experiments.optimizers.tuning import DECADES
from jaxdl.claims import Claim
from jaxdl.optim.classic import CLASSIC, FAMILIES

ALIKE = ("momentum", *FAMILIES["Adam and its variants"], "Nesterov")
"""The optimizers that are claimed to end alike."""


def network_claims(network: str, outcomes: Mapping[str, Outcome], *, quick: bool) -> list[Claim]:
    """What is claimed of a network; a claim whose optimizers are not there is left out."""
    claims = [fair_claim(network, outcomes)]
    if not quick:  # its few rates lie further apart than any optimizer forgives
        claims.append(fine_claim(network, outcomes))
    alike = {name: outcomes[name] for name in ALIKE if name in outcomes}
    if len(alike) > 1:
        claims.append(alike_claim(network, alike))
    if {"GD", "momentum"} <= set(outcomes):
        claims.append(rescaled_claim(network, outcomes["GD"], outcomes["momentum"]))
    return claims


def fair_claim(network: str, outcomes: Mapping[str, Outcome]) -> Claim:
    """The same number of rates at the same places, and none of the best ones at an end."""
    places = {
        name: np.log10(outcome.tuned.rates / CLASSIC[name].learning_rate)
        for name, outcome in outcomes.items()
    }
    first, *others = places.values()
    same = all(of.shape == first.shape and np.abs(of - first).max() < 1e-5 for of in others)
    count = len(first)
    at_end = [name for name, of in outcomes.items() if of.tuned.best in (0, count - 1)]
    best = sorted(outcome.tuned.best + 1 for outcome in outcomes.values())
    return Claim(
        f"{network}: all optimizers had the same budget, and no best rate is an end of its range",
        same and not at_end,
        f"{count} rates each at {'the same' if same else 'other'} places of {DECADES:g} decades; "
        f"the best are numbers {best[0]} to {best[-1]}, expected 2 to {count - 1}"
        + (f"; at an end: {', '.join(at_end)}" if at_end else ""),
    )


def fine_claim(network: str, outcomes: Mapping[str, Outcome]) -> Claim:
    """The rates that are within a point of the best, against the distance between rates."""
    widths = {name: outcome.width for name, outcome in outcomes.items()}
    least, most = min(widths, key=widths.__getitem__), max(widths, key=widths.__getitem__)
    distance = DECADES / len(next(iter(outcomes.values())).tuned.rates)
    return Claim(
        f"{network}: every optimizer is within a point of its best over more than the distance of "
        "two rates tried",
        widths[least] > distance,
        f"{widths[least]:.2f} ({least}) to {widths[most]:.2f} decades ({most}), expected above "
        f"{distance:.2f}",
    )


def alike_claim(network: str, alike: Mapping[str, Outcome]) -> Claim:
    """The best mean against the worst of those that are claimed to end alike."""
    means = {name: float(outcome.tuned.final.mean()) for name, outcome in alike.items()}
    best, worst = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    pairs = list(itertools.combinations(alike, 2))
    apart = sum(second not in alike[first].like for first, second in pairs)
    return Claim(
        f"{network}: tuned alike, {', '.join(alike)} end within a point of each other by "
        "their means over seeds",
        means[best] - means[worst] <= POINT,
        f"point estimates from {means[worst]:.2%} ({worst}) to {means[best]:.2%} ({best}), "
        f"{100 * (means[best] - means[worst]):.2f} points; of {len(pairs)} pairs {apart} can be "
        "told apart",
    )


def rescaled_claim(network: str, plain: Outcome, momentum: Outcome) -> Claim:
    """The tuning of plain descent against that of momentum, whose rates are a tenth."""
    # From the best rate on, noise and instability set in at a rate of chance.
    places = slice(min(plain.tuned.best, momentum.tuned.best) + 1)
    differences = np.abs(plain.tuned.validation - momentum.tuned.validation)[places]
    mean, most = differences.mean(), 2 * POINT
    ends = [outcome.tuned.final.mean() for outcome in (plain, momentum)]
    return Claim(
        f"{network}: gradient descent at ten times the rate goes as momentum 0.9 does",
        np.allclose(plain.tuned.rates, 10 * momentum.tuned.rates, rtol=1e-4) and mean <= most,
        f"validation accuracies differ by {100 * mean:.1f} points in the mean over the "
        f"{len(differences)} rates up to the best, expected at most {100 * most:g}; at the best of "
        f"their rates, {plain.tuned.rate:.2g} and {momentum.tuned.rate:.2g}, they end at "
        f"{ends[0]:.2%} and {ends[1]:.2%}",
    )
