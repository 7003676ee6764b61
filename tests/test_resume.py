"""Killed, interrupted or finished: a run that goes on ends in the very same parameters."""

import contextlib
import csv
import dataclasses
import itertools
import json
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_run

from jaxdl import checkpoint, cli
from jaxdl.errors import InputError
from jaxdl.progress import Progress
from jaxdl.signals import Interrupted

PROGRAM = [sys.executable, str(Path(__file__).with_name("small_run.py")), "--quiet"]


def start(out, *flags):
    return subprocess.Popen(
        [*PROGRAM, "--out", str(out), "--resume", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(out) -> str:
    process = start(out)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert errors == ""
    return output.strip()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The hash and the rows of a run that nothing disturbs, and the seconds it takes."""
    out = tmp_path_factory.mktemp("uninterrupted")
    start_time = time.monotonic()
    sha256 = finish(out)
    return sha256, (out / "metrics.csv").read_text(), time.monotonic() - start_time


def wait_for_checkpoint(out, process):
    while not any(path.name.isdecimal() for path in out.glob("checkpoints/*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def kill_and_finish(out, uninterrupted, kills, seed=0):
    """SIGKILLs at random moments, each followed by ``--resume``; the last resumed run may end."""
    sha256, rows, seconds = uninterrupted
    moments = random.Random(seed)
    for _ in range(kills):
        process = start(out)
        with contextlib.suppress(subprocess.TimeoutExpired):
            # Not before a quarter: until then Python only imports.
            process.communicate(timeout=moments.uniform(0.25 * seconds, seconds))
        process.kill()
        process.communicate()
    assert finish(out) == sha256
    assert (out / "metrics.csv").read_text() == rows


def test_sigkill_and_resume(tmp_path, uninterrupted):
    kill_and_finish(tmp_path, uninterrupted, kills=2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 11))
def test_fifty_sigkills(tmp_path, uninterrupted, seed):
    kill_and_finish(tmp_path, uninterrupted, kills=5, seed=seed)


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_signal_saves_and_leaves_with_one_line(tmp_path, uninterrupted, number):
    process = start(tmp_path)
    wait_for_checkpoint(tmp_path, process)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert output == ""
    assert errors.splitlines() == [
        f"{number.name}: saved; go on with --out {tmp_path} --resume",
    ]
    assert finish(tmp_path) == uninterrupted[0]


def test_a_finished_run_resumed_changes_nothing(tmp_path, uninterrupted, capsys):
    for _ in range(2):
        small_run.run(small_run.Config(out=tmp_path, resume=True, quiet=True))
        assert capsys.readouterr().out.strip() == uninterrupted[0]
    assert (tmp_path / "metrics.csv").read_text() == uninterrupted[1]


EPOCH_STEPS = 50


@pytest.mark.parametrize(
    ("checkpoint_steps", "segment_steps"),
    [(20, 100), (20, 10), (30, 10), (EPOCH_STEPS, 10), (10_000, 10)],
)
def test_no_more_steps_than_asked_for_pass_between_checkpoints(
    tmp_path, monkeypatch, checkpoint_steps, segment_steps
):
    steps = [0]
    monkeypatch.setattr(small_run.sessions, "SEGMENT_STEPS", segment_steps)
    monkeypatch.setattr(checkpoint, "save", lambda folder, step, *_, **__: steps.append(step))
    small_run.run(
        small_run.Config(out=tmp_path, epochs=2, checkpoint_steps=checkpoint_steps, quiet=True)
    )
    assert {EPOCH_STEPS, 2 * EPOCH_STEPS} <= set(steps)
    gaps = [after - before for before, after in itertools.pairwise(steps)]
    assert max(gaps) <= checkpoint_steps
    if checkpoint_steps >= EPOCH_STEPS:
        assert steps == [0, EPOCH_STEPS, 2 * EPOCH_STEPS]


def test_a_signal_waits_for_a_segment_however_rare_checkpoints_are(
    tmp_path, monkeypatch, uninterrupted, capsys
):
    """And the run goes on with the flags that the line names, and another --checkpoint-steps."""
    out = tmp_path / "a run"
    signals = iter([signal.SIGINT])  # a second one would kill

    def interrupt(*_):
        for number in signals:
            signal.raise_signal(number)

    monkeypatch.setattr(small_run.sessions, "SEGMENT_STEPS", 10)
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "update", interrupt)
        with pytest.raises(Interrupted) as interrupted:
            small_run.run(small_run.Config(out=out, checkpoint_steps=10_000, quiet=True))
    # The signal came when the first segment was done, and the second one is what it waited for.
    assert [path.name for path in (out / "checkpoints").iterdir()] == ["20"]
    line = str(interrupted.value)
    flags = shlex.split(line.partition("go on with ")[2])
    assert flags == ["--out", str(out), "--resume"]
    cli.main(small_run.run, small_run.Config, [*flags, "--quiet"])
    assert capsys.readouterr().out.strip() == uninterrupted[0]


def test_the_best_epoch_is_that_of_the_lowest_validation_loss(tmp_path):
    small_run.run(small_run.Config(out=tmp_path, epochs=4, learning_rate=3.0, quiet=True))
    summary = json.loads((tmp_path / "summary.json").read_text())
    with open(tmp_path / "metrics.csv", newline="") as file:
        best = min(csv.DictReader(file), key=lambda row: float(row["validation_loss"]))
    assert summary["best_epoch"] == int(best["epoch"])
    assert summary["best_validation_loss"] == pytest.approx(float(best["validation_loss"]))


def test_another_configuration_is_refused(tmp_path, capsys):
    small_run.run(small_run.Config(out=tmp_path, epochs=1, quiet=True))
    with pytest.raises(InputError, match=r"learning_rate was 0.1, is 0.2"):
        small_run.run(
            small_run.Config(out=tmp_path, epochs=1, learning_rate=0.2, resume=True, quiet=True)
        )
    with pytest.raises(InputError, match="holds a run"):
        small_run.run(small_run.Config(out=tmp_path, epochs=1, quiet=True))


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path, capsys):
    config = small_run.Config(out=tmp_path, epochs=3, quiet=True)
    small_run.run(config)
    sha256 = capsys.readouterr().out
    newest = max(tmp_path.glob("checkpoints/*"), key=lambda path: int(path.name))
    (newest / "description.json").write_text("{")
    cli.main(small_run.run, small_run.Config, ["--out", str(tmp_path), "--epochs", "3", "--resume"])
    output, errors = capsys.readouterr()
    assert output == sha256
    assert f"warning: {newest} is damaged and passed over: " in errors
    assert (newest.parent / "damaged" / newest.name / "description.json").read_text() == "{"


def test_nothing_is_moved_where_all_are_damaged(tmp_path):
    config = small_run.Config(out=tmp_path, epochs=1, quiet=True)
    small_run.run(config)
    paths = list(tmp_path.glob("checkpoints/*"))
    for path in paths:
        (path / "description.json").write_text("{")
    with pytest.raises(InputError, match="is whole"):
        small_run.run(dataclasses.replace(config, resume=True))
    assert list(tmp_path.glob("checkpoints/*")) == paths
