"""The claims of an experiment: each holds or does not, by numbers that the experiment measured."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jaxdl.runs import Run


class Claim(NamedTuple):
    """One claim and what became of it.

    Attributes:
        statement: what is claimed, in a sentence without a full stop.
        holds: whether the measurement bears it out.
        numbers: the measurement beside what was expected, such as ``"slope -1.01, expected -1 ±
            0.03"``.
    """

    statement: str
    holds: bool
    numbers: str


def conclude(run: Run, results: Mapping[str, Any], claims: Sequence[Claim]) -> None:
    """Ends an experiment: writes ``summary.json``, prints a line for each claim.

    The summary holds ``results`` and ``claims``, a list of objects with the fields of `Claim`.
    Exits with code 1 where a claim does not hold; what was written stays.
    """
    # A NumPy bool is no JSON.
    claims = [claim._replace(holds=bool(claim.holds)) for claim in claims]
    run.write_summary({**results, "claims": [claim._asdict() for claim in claims]})
    for claim in claims:
        print(f"{'holds' if claim.holds else 'does not hold'}: {claim.statement}: {claim.numbers}")
    print(f"results and figures are in {run.directory}")
    if not all(claim.holds for claim in claims):
        sys.exit(1)
