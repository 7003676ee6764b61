"""Exam scores: linear and logistic regression by descent, held against their closed forms.

Eight students with hours of study, hours of sleep, points in a quiz and in the exam; and forty
made-up ones with lectures, hours on a project and whether they passed (`jaxdl.data.EXAMS`,
`jaxdl.data.PASSES`).

Claims:

    - Whatever the scales of the inputs, the solution says the same of each student; the steps to
      it grow as the condition number of the Hessian: for least squares as its eigenvalues say, to
      the step.
    - Batch descent moves each weight as ``w(t) = w* + (1 - r H)^t (w(0) - w*)``. Batches of 1 and
      4, in shuffled epochs, hover about ``w*`` as far as all ``8!`` orders of the rows say.
    - A student who is left out is foretold with the error residual / (1 - leverage) (Allen 1974).
      Each input more fits the eight better, but all three foretell worse than the mean alone. A
      network learns seven by heart and foretells the eighth worse than a line through study alone.
    - Of passing, batch descent ends at the likeliest weights, as Newton's method has them, and
      these foretell those left out better than the share that passed.

    python -m experiments.exam_scores            under a minute
    python -m experiments.exam_scores --quick    fewer seeds and epochs, seconds

All is in float64. Intervals are of 95% over seeds (Student's t), where no other level is named.
"""

from dataclasses import dataclass

import jax

from experiments.exam_scores import descents, left_out, passing, scales
from jaxdl import plots
from jaxdl.claims import conclude
from jaxdl.runs import ExperimentOptions, check_least, check_no_diagnostics, check_seed, open_run


@dataclass(frozen=True)
class Config(ExperimentOptions):
    """How much to do."""

    seeds: int = 50
    """Runs of each descent and network."""
    epochs: int = 2000
    """Of each descent on the exam."""
    passing_epochs: int = 1000
    """Of each descent on passing."""
    network_steps: int = 2000
    """Of the network that foretells."""
    seed: int = 0
    """Of all draws."""


QUICK = Config(quick=True, seeds=20, epochs=1000, passing_epochs=400, network_steps=500)

LEAST = {"seeds": 2, "epochs": 100, "passing_epochs": 100, "network_steps": 1}
"""The least that these settings can be."""


def run(config: Config) -> None:
    """Measures, draws, and checks each claim."""
    check_no_diagnostics(config)
    check_least(config, LEAST)
    check_seed(config.seed)
    many = {"seeds": config.seeds, "seed": config.seed}
    with jax.enable_x64(True), open_run("exam_scores", config) as directory:
        regression, classes = scales.measure_regression(), scales.measure_classes()
        descended = descents.measure(**many, epochs=config.epochs)
        foretold = left_out.measure(**many, steps=config.network_steps)
        passed = passing.measure(**many, epochs=config.passing_epochs)
        drawn = {
            "scales": scales.draw(regression, classes),
            "weights": descents.draw(descended),
            "left_out": left_out.draw(foretold),
            "passing": passing.draw(passed),
        }
        plots.save_all(drawn, directory.figures)
        results = {
            "steps": {"exam": steps_of(regression), "passing": steps_of(classes)},
            "weights": descended.solution,
            "left_out": {
                ", ".join(names) or "none": errors._asdict()
                for names, errors in foretold.linear.items()
            },
            "weights_of_passing": passed.solution,
        }
        claims = [
            *scales.claims(regression, classes),
            *descents.claims(descended),
            *left_out.claims(foretold),
            *passing.claims(passed),
        ]
        conclude(directory, results, claims)


def steps_of(found: dict[str, scales.Scale]) -> dict[str, int]:
    """For ``summary.json``."""
    return {name: int(of.steps[-1]) for name, of in found.items()}
