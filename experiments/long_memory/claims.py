"""Where each cell breaks: claims and summary."""

from typing import Any

import numpy as np

from experiments.long_memory.problems import ADDING, COPYING, PARITY, Problem
from experiments.long_memory.training import LOOK, SOLVED, Found, Runs
from jaxdl.claims import Claim
from jaxdl.statistics import mean_and_interval

SLOWER = 4
"""How many times the updates of all that have gates an RNN takes at least."""
GUESS = 0.9
"""A loss, in those of a guess, from which on a cell is hardly better than one."""
CELLS = ("rnn", "lstm", "gru")
"""Of which something is claimed."""
SHORT = Problem(ADDING, 10), Problem(COPYING, 5), Problem(PARITY, 4)
"""What every cell can do."""
FAR, LONG_COPY, LONG_PARITY = Problem(ADDING, 80), Problem(COPYING, 20), Problem(PARITY, 8)
"""Where a cell breaks."""


def claims(found: Found) -> list[Claim]:
    """Those of whose problems all three cells were trained."""
    there = {problem for problem, of_cell in found.items() if set(CELLS) <= set(of_cell)}
    made = []
    if short := [problem for problem in SHORT if problem in there]:
        made.append(short_claim(found, short))
    if FAR in there:
        made.append(adding_claim(found))
    if LONG_COPY in there:
        made.append(copying_claim(found))
    if LONG_PARITY in there:
        made.append(parity_claim(found))
    return made


def short_claim(found: Found, problems: list[Problem]) -> Claim:
    """The beginnings, which are not too long for any cell."""
    return Claim(
        "every cell solves "
        + ", ".join(f"{problem.name} of length {problem.length}" for problem in problems),
        all(bool(found[problem][cell].solved().all()) for problem in problems for cell in CELLS),
        "seeds, and updates they take: "
        + "; ".join(
            f"{problem.name} "
            + ", ".join(
                f"{cell} {counted(found[problem][cell])} in {updates(found[problem][cell])}"
                for cell in CELLS
            )
            for problem in problems
        ),
    )


def adding_claim(found: Found) -> Claim:
    """Gates add where an RNN is far behind."""
    rnn, gated = found[FAR]["rnn"], {cell: found[FAR][cell] for cell in ("lstm", "gru")}
    latest = max(int(ended(of).max()) for of in gated.values())
    mean, half = finite_interval(rnn.last())
    return Claim(
        f"over {FAR.length} steps LSTM and GRU add; an RNN does not from every seed, and takes "
        f"{SLOWER} times the updates at least",
        all(bool(of.solved().all()) for of in gated.values())
        and not rnn.solved().all()
        and bool(ended(rnn).min() >= SLOWER * latest),
        f"an RNN solves it from {counted(rnn)} seeds, after {updates(rnn)} updates, and ends at "
        f"{mean:.2f} ± {half:.2f} of a guess's loss; "
        + ", ".join(
            f"{cell} from {counted(of)}, after {updates(of)}" for cell, of in gated.items()
        ),
    )


def copying_claim(found: Found) -> Claim:
    """How much of it each cell copies."""
    of_cell = found[LONG_COPY]
    ends = {cell: finite_interval(of_cell[cell].last()) for cell in CELLS}
    ordered = all(
        sum(ends[first]) < ends[second][0] - ends[second][1]
        for first, second in zip(("gru", "lstm"), ("lstm", "rnn"), strict=True)
    )
    return Claim(
        f"copying over {LONG_COPY.length} steps a GRU goes ahead, then an LSTM, then an RNN",
        bool(ordered),
        "loss, in those of a guess, at the end: " + in_words(ends),
    )


def parity_claim(found: Found) -> Claim:
    """What is hard to find and not to remember."""
    of_cell = found[LONG_PARITY]
    ends = {cell: finite_interval(of_cell[cell].last()) for cell in CELLS}
    return Claim(
        f"of the parity of {LONG_PARITY.length} signs RNN and LSTM find nothing",
        bool(all(of_cell[cell].last().min() > GUESS for cell in ("rnn", "lstm"))),
        "loss, in those of a guess, at the end: " + in_words(ends),
    )


def in_words(ends: dict[str, tuple[float, float]]) -> str:
    """Means and half widths by cell."""
    return ", ".join(f"{cell} {mean:.2f} ± {half:.2f}" for cell, (mean, half) in ends.items())


def counted(runs: Runs) -> str:
    """How many of the seeds solve it."""
    return f"{runs.solved().sum()} of {runs.solved().size}"


def updates(runs: Runs) -> str:
    """After how many updates the runs ended."""
    fewest, most = ended(runs).min(), ended(runs).max()
    return f"{most:,}" if fewest == most else f"{fewest:,} to {most:,}"


def ended(runs: Runs) -> np.ndarray:
    """The updates of each run."""
    return LOOK * np.sum(~np.isnan(runs.losses), axis=1)


def finite_interval(losses: np.ndarray) -> tuple[float, float]:
    """Their mean and the half width of its interval; infinite where a run diverged."""
    return mean_and_interval(losses) if np.isfinite(losses).all() else (np.inf, np.inf)


def summarize(found: Found) -> list[dict[str, Any]]:
    """For ``summary.json``: an entry for each problem, length and cell."""
    return [
        {
            "problem": problem.name,
            "length": problem.length,
            "cell": cell,
            "guess": problem.baseline(),
            "loss": problem.baseline() * runs.last(),
            "loss_in_guesses": finite_interval(runs.last()),
            "solved": runs.solved(),
            "solved_below": SOLVED * problem.baseline(),
            "updates": ended(runs),
        }
        for problem, of_cell in found.items()
        for cell, runs in of_cell.items()
    ]
