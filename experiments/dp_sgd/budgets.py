"""Budgets: the noise with which a run's steps stay within epsilon, and how many steps it lasts."""

from collections.abc import Sequence
from typing import NamedTuple

from jaxdl import privacy

HASTE = 0.8
"""Of the noise that the first budget's epochs need: what a run has that must stop early."""


class Terms(NamedTuple):
    """What all budgets have in common.

    Attributes:
        delta: of each.
        epochs: of a run that its budget does not end.
        steps_per_epoch: of each run.
    """

    delta: float
    epochs: int
    steps_per_epoch: int

    @property
    def accounted_delta(self) -> float:
        """The delta to give an accountant."""
        return privacy.accounted_delta(self.delta)

    @property
    def rate(self) -> float:
        """The probability with which an example joins a step."""
        return 1 / self.steps_per_epoch

    @property
    def planned_steps(self) -> int:
        """Of a run that its budget does not end."""
        return self.epochs * self.steps_per_epoch


class Budget(NamedTuple):
    """What a run may spend, and how.

    Attributes:
        epsilon: the most, by RDP.
        noise_multiplier: the noise's standard deviation over the clip norm.
        steps: how many of those planned epsilon allows.
    """

    epsilon: float
    noise_multiplier: float
    steps: int


def plan_all(terms: Terms, epsilons: Sequence[float]) -> list[Budget]:
    """A budget for each epsilon, and last the hasty one of the first."""
    planned = [plan(terms, epsilon) for epsilon in epsilons]
    return [*planned, plan_hasty(terms, planned[0])]


def plan(terms: Terms, epsilon: float) -> Budget:
    """The least noise with which all steps are within ``epsilon``."""
    noise = privacy.calibrate_noise(epsilon, terms.accounted_delta, terms.rate, terms.planned_steps)
    return limit(terms, epsilon, noise)


def plan_hasty(terms: Terms, budget: Budget) -> Budget:
    """The same budget with less noise than its steps need: it ends before they do."""
    return limit(terms, budget.epsilon, HASTE * budget.noise_multiplier)


def limit(terms: Terms, epsilon: float, noise_multiplier: float) -> Budget:
    """The budget of a run with some noise: how many steps it lasts."""
    steps = privacy.affordable_steps(
        epsilon, terms.accounted_delta, terms.rate, noise_multiplier, terms.planned_steps
    )
    return Budget(epsilon, noise_multiplier, steps)
