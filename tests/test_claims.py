"""How an experiment ends."""

import json

import numpy as np
import pytest

from jaxdl.claims import Claim, conclude
from jaxdl.runs import RunOptions, open_run

GOOD = Claim("two and two make four", np.bool_(True), "4, expected 4")
BAD = Claim("the moon is of cheese", False, "0 g found")


def test_claims_are_printed_and_written(tmp_path, capsys):
    with open_run("x", RunOptions(out=tmp_path)) as run:
        conclude(run, {"slope": -1.0}, [GOOD])
    assert capsys.readouterr().out.startswith("holds: two and two make four: 4, expected 4\n")
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["slope"] == -1
    assert summary["claims"] == [{**GOOD._asdict(), "holds": True}]


def test_a_claim_that_does_not_hold_is_the_exit_code(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop, open_run("x", RunOptions(out=tmp_path)) as run:
        conclude(run, {}, [GOOD, BAD])
    assert stop.value.code == 1
    assert "does not hold: the moon is of cheese: 0 g found\n" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "summary.json").read_text())["claims"]) == 2
