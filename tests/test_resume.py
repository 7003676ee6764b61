"""Killed, interrupted or finished: a run that goes on ends in the very same parameters."""

import contextlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import small_run

from jaxdl import cli
from jaxdl.errors import InputError

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
        f"{number.name}: saved in {tmp_path}; go on with --resume",
    ]
    assert finish(tmp_path) == uninterrupted[0]


def test_a_finished_run_resumed_changes_nothing(tmp_path, uninterrupted, capsys):
    for _ in range(2):
        small_run.run(small_run.Config(out=tmp_path, resume=True, quiet=True))
        assert capsys.readouterr().out.strip() == uninterrupted[0]
    assert (tmp_path / "metrics.csv").read_text() == uninterrupted[1]


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
    (newest / "description" / "metadata").write_text("{")
    cli.main(small_run.run, small_run.Config, ["--out", str(tmp_path), "--epochs", "3", "--resume"])
    output, errors = capsys.readouterr()
    assert output == sha256
    assert "warning: checkpoint" in errors
    assert "is damaged and passed over" in errors
