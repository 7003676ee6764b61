"""Run directories: what is written, refused, resumed and cleaned up; intervals over runs."""

import contextlib
import csv
import dataclasses
import importlib.metadata
import json
import math
import os
import platform
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from tensorboardX.proto.event_pb2 import Event

from jaxdl import runs
from jaxdl.errors import InputError
from jaxdl.runs import ResumableOptions, RunOptions, open_run
from jaxdl.statistics import mean_and_interval


@dataclasses.dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    limit: float | None = None


@dataclasses.dataclass(frozen=True)
class Config(ResumableOptions):
    sizes: tuple[int, ...] = (3, 2)
    options: dict[str, float] = dataclasses.field(default_factory=lambda: {"eps": math.inf})
    folder: Path = Path("a/b")
    inner: Inner = dataclasses.field(default_factory=Inner)


RESOLVED = {
    "sizes": [3, 2],
    "options": {"eps": "inf"},
    "folder": "a/b",
    "inner": {"rate": 0.1, "limit": None},
}


def strict_json(path: Path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(), parse_constant=refuse)


def rows(directory: Path) -> list[dict[str, str]]:
    with open(directory / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


# --- the directory -------------------------------------------------------------------------------


def test_the_default_directory_is_new_even_within_a_second(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(runs.time, "strftime", lambda form: "NOW")
    directories = [open_run("mnist_cnn", Config()).directory for _ in range(3)]
    parent = Path("runs/mnist_cnn")
    assert directories == [parent / "NOW", parent / "NOW-2", parent / "NOW-3"]


def test_a_new_run_has_its_config_and_folders(tmp_path):
    run = open_run("x", Config(out=tmp_path / "deep" / "run", quiet=True))
    assert strict_json(run.directory / "config.json") == {"experiment": "x", **RESOLVED}
    assert run.figures.is_dir()
    assert run.checkpoints.is_dir()


def test_a_run_is_never_overwritten_unawares(tmp_path):
    out = tmp_path / "run"
    with open_run("x", Config(out=out)) as run:
        run.record(1, {"loss": 1.0})
    before = (out / "metrics.csv").read_text()
    with pytest.raises(InputError, match="holds a run; --resume goes on with it, another --out"):
        open_run("x", Config(out=out))
    assert (out / "metrics.csv").read_text() == before
    assert strict_json(out / "config.json") == {"experiment": "x", **RESOLVED}


def test_a_run_of_another_experiment_is_not_gone_on_with(tmp_path):
    with open_run("first", Config(out=tmp_path)) as run:
        run.write_summary({"of": "first"})
    with pytest.raises(InputError, match=f"{tmp_path} holds a run of first; choose another --out"):
        open_run("second", Config(out=tmp_path, resume=True))
    assert json.loads((tmp_path / "summary.json").read_text())["of"] == "first"


def test_the_config_is_that_of_the_last_sitting(tmp_path):
    with open_run("x", Config(out=tmp_path)):
        pass
    with open_run("x", Config(sizes=(7,), out=tmp_path, resume=True)) as run:
        run.write_summary({})
    assert json.loads((tmp_path / "config.json").read_text())["sizes"] == [7]


def test_a_run_that_cannot_go_on_is_not_said_to(tmp_path):
    open_run("x", RunOptions(out=tmp_path))
    with pytest.raises(InputError, match="holds a run; another --out begins anew"):
        open_run("x", RunOptions(out=tmp_path))


def test_what_changes_no_number_can_be_left_out_of_a_comparison():
    left = runs.resolved_config(Config(), without=("folder", "inner"))
    assert left == {name: RESOLVED[name] for name in ("sizes", "options")}


@pytest.mark.parametrize("resume", [False, True])
def test_a_folder_of_other_files_is_left_alone(resume, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="holds files that are no run; choose another --out"):
        open_run("x", Config(out=tmp_path, resume=resume))
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_empty_folder_is_used_also_to_resume_what_never_began(tmp_path):
    (tmp_path / ".config.json.new").touch()  # left by a kill
    run = open_run("x", Config(out=tmp_path, resume=True))
    assert strict_json(run.directory / "config.json") == {"experiment": "x", **RESOLVED}


class Killed(BaseException):
    """What no handler of the program sees."""


def test_a_run_killed_at_any_moment_of_its_making_can_be_gone_on_with(tmp_path, monkeypatch):
    def die_at_call(number: int, patch: pytest.MonkeyPatch) -> None:
        calls = iter(range(number))

        def patched(function):
            def wrapper(*arguments, **options):
                if next(calls, None) is None:
                    raise Killed
                return function(*arguments, **options)

            return wrapper

        for place, name in ((Path, "mkdir"), (Path, "write_text"), (os, "replace")):
            patch.setattr(place, name, patched(getattr(place, name)))

    def is_killed_at_call(number: int, out: Path) -> bool:
        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            die_at_call(number, patch)
            open_run("x", Config(out=out, resume=True))
            return False
        return True

    kills = 0
    while is_killed_at_call(kills, tmp_path / str(kills)):
        run = open_run("x", Config(out=tmp_path / str(kills), resume=True))
        assert strict_json(run.directory / "config.json") == {"experiment": "x", **RESOLVED}
        assert run.figures.is_dir()
        assert run.checkpoints.is_dir()
        kills += 1
    assert kills == 5  # three folders, a file and its move


@pytest.mark.parametrize("resume", [False, True])
def test_empty_folders_of_a_run_are_no_obstacle_and_full_ones_are(resume, tmp_path):
    for name in ("figures", "checkpoints"):
        (tmp_path / name).mkdir()
    open_run("x", Config(out=tmp_path, resume=resume))
    (tmp_path / "config.json").unlink()
    (tmp_path / "checkpoints" / "1").mkdir()
    with pytest.raises(InputError, match="holds files that are no run"):
        open_run("x", Config(out=tmp_path, resume=resume))
    assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize("place", ["file", "file/run"])
def test_a_directory_that_cannot_be_written_is_named(place, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=f"cannot write to {tmp_path / 'file'}.*another --out"):
        open_run("x", Config(out=tmp_path / place))


def test_a_run_that_has_become_read_only_is_not_resumed(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", str(path))

    open_run("x", Config(out=tmp_path))
    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(InputError, match=r"cannot write to .*Permission denied"):
        open_run("x", Config(out=tmp_path, resume=True))


def test_resume_needs_a_directory():
    with pytest.raises(InputError, match="--resume needs --out"):
        open_run("x", Config(resume=True))


# --- metrics -------------------------------------------------------------------------------------


def record(out: Path, epochs, resume: bool, scale: float = 1.0) -> None:
    with open_run("x", Config(out=out, resume=resume)) as run:
        for epoch in epochs:
            metrics = {"loss": jnp.float32(scale / epoch), "steps": jnp.int32(epoch), "rate": 0.1}
            run.record(epoch, metrics)


def test_rows_are_the_shortest_numbers_that_read_back(tmp_path):
    record(tmp_path, [1, 3], resume=False)
    text = (tmp_path / "metrics.csv").read_text()
    assert text == "epoch,loss,steps,rate\n1,1.0,1,0.1\n3,0.33333334,3,0.1\n"
    assert np.float32(rows(tmp_path)[1]["loss"]) == np.float32(1 / 3)


@pytest.mark.parametrize(
    ("interrupted", "torn", "again"),
    [
        ([1, 2, 3], "", [4, 5]),
        ([1, 2, 3], "1", [4, 5]),  # killed while it wrote epoch 10, say
        ([1, 2, 3], "4,0.2", [4, 5]),  # killed while it wrote
        ([1, 2, 3, 4], "", [3, 4, 5]),  # the newest checkpoint was of epoch 2
        ([1, 2], "3,0.33333334,3,0.", [1, 2, 3, 4, 5]),  # no checkpoint at all
        ([], "epoch,lo", [1, 2, 3, 4, 5]),
    ],
)
def test_an_interrupted_run_ends_with_the_rows_of_one_that_was_not(
    interrupted, torn, again, tmp_path
):
    record(tmp_path / "whole", range(1, 6), resume=False)
    # What is to be forgotten has other numbers.
    record(tmp_path / "parts", [e for e in interrupted if e not in again], resume=False)
    record(tmp_path / "parts", [e for e in interrupted if e in again], resume=True, scale=7.0)
    with open(tmp_path / "parts" / "metrics.csv", "a") as file:
        file.write(torn)
    record(tmp_path / "parts", again, resume=True)
    whole, parts = ((tmp_path / name / "metrics.csv").read_text() for name in ("whole", "parts"))
    assert parts == whole


def test_each_row_is_on_disk_at_once(tmp_path):
    run = open_run("x", Config(out=tmp_path))
    for epoch in (1, 2):
        run.record(epoch, {"loss": 0.5})
        assert len(rows(tmp_path)) == epoch


def test_the_first_row_decides_the_columns(tmp_path):
    run = open_run("x", Config(out=tmp_path))
    run.record(1, {"loss": 0.5, "accuracy": 0.1})
    run.record(2, {"accuracy": 0.2, "loss": math.nan})
    with pytest.raises(ValueError, match="other"):
        run.record(3, {"loss": 0.5, "accuracy": 0.1, "other": 1.0})
    run.record(3, {"loss": 0.25})
    assert [row["accuracy"] for row in rows(tmp_path)] == ["0.1", "0.2", ""]
    assert [row["loss"] for row in rows(tmp_path)] == ["0.5", "nan", "0.25"]


def events(folder: Path) -> list[Event]:
    """TensorBoard's files: a length of 8 bytes, 4 of checksum, the event, 4 of checksum."""
    found = []
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            found.append(Event.FromString(data[12 : 12 + length]))
            data = data[16 + length :]
    return found


def test_tensorboard_reads_the_same_numbers_without_tensorflow(tmp_path):
    record(tmp_path, [1, 2], resume=False)
    record(tmp_path, [2], resume=True)
    seen = [
        (event.step, value.tag, round(value.simple_value, 4))
        for event in events(tmp_path / "events")
        for value in event.summary.value
        if value.tag == "loss"
    ]
    assert seen == [(1, "loss", 1.0), (2, "loss", 0.5), (2, "loss", 0.5)]
    starts = [e.step for e in events(tmp_path / "events") if e.HasField("session_log")]
    assert starts == [1, 2]  # from where TensorBoard drops what an earlier file said
    assert "tensorflow" not in sys.modules


# --- summary -------------------------------------------------------------------------------------


def test_the_summary_is_json_with_its_provenance(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "experiments.x", "--note", "a b"])
    results = {
        "test_accuracy": jnp.float32(0.5),
        "test_loss": math.nan,
        "interval": np.float64(-np.inf),
        "per_seed": jnp.array([1.0, jnp.nan]),
        "epochs": np.int64(3),
        "out": tmp_path,
    }
    seconds = 100.0
    with monkeypatch.context() as patch:
        patch.setattr(runs.time, "perf_counter", lambda: seconds)
        with open_run("x", Config(out=tmp_path)) as run:
            seconds = 107.5
            run.write_summary(results)
    summary = strict_json(tmp_path / "summary.json")
    expected = [0.5, None, None, [1.0, None], 3, str(tmp_path)]
    assert [summary[name] for name in results] == expected
    assert summary["seconds_total"] == 7.5
    assert summary["command"] == "python -m experiments.x --note 'a b'"
    assert summary["device"] == jax.devices()[0].device_kind
    assert summary["device_count"] == len(jax.devices())
    assert summary["versions"]["python"] == platform.python_version()
    for package in ("jax", "jaxlib", "flax", "optax", "numpy"):
        assert summary["versions"][package] == importlib.metadata.version(package)
    assert "jaxdl" in summary["versions"]
    assert not list(tmp_path.glob(".*"))


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_commit_is_that_of_the_checkout_the_package_lies_in(tmp_path, monkeypatch):
    module = tmp_path / "jaxdl" / "runs.py"
    module.parent.mkdir()
    module.write_text("1")
    monkeypatch.setattr(runs, "__file__", str(module))

    def seen():
        found = runs.provenance()
        return found["git_commit"], found["git_changes"]

    assert seen() == (None, None)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert seen() == (head, False)
    module.write_text("2")
    assert seen() == (head, True)
    monkeypatch.setenv("PATH", "")
    assert seen() == (None, None)


# --- runs that never began -----------------------------------------------------------------------


def fail(config: Config, error: Exception, *, recorded=False, saved=False) -> None:
    def experiment():
        with open_run("x", config) as run:
            if recorded:
                run.record(1, {"loss": 1.0})
            if saved:
                (run.checkpoints / "1").mkdir()
            raise error

    with pytest.raises(type(error)):
        experiment()


def test_bad_input_before_the_first_epoch_leaves_nothing_behind(tmp_path):
    fail(Config(out=tmp_path / "run"), InputError("batch size"))
    assert not (tmp_path / "run").exists()
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / ".gitkeep").touch()
    fail(Config(out=kept), InputError("batch size"))
    assert [path.name for path in kept.iterdir()] == [".gitkeep"]


def test_everything_else_is_kept(tmp_path):
    fail(Config(out=tmp_path / "bug"), RuntimeError("a bug"))
    fail(Config(out=tmp_path / "later"), InputError("too late"), recorded=True)
    fail(Config(out=tmp_path / "later", resume=True), InputError("of another config"))
    fail(Config(out=tmp_path / "saved"), InputError("in the first epoch"), saved=True)
    assert (tmp_path / "saved" / "checkpoints" / "1").is_dir()
    assert (tmp_path / "saved" / "config.json").exists()
    assert strict_json(tmp_path / "bug" / "config.json") == {"experiment": "x", **RESOLVED}
    assert strict_json(tmp_path / "later" / "config.json") == {"experiment": "x", **RESOLVED}
    assert len(rows(tmp_path / "later")) == 1


def test_a_resume_that_is_refused_leaves_the_config_as_it_was(tmp_path):
    record(tmp_path, [1], resume=False)
    other = Config(out=tmp_path, resume=True, sizes=(7,))
    fail(other, InputError("of another config"))
    assert strict_json(tmp_path / "config.json") == {"experiment": "x", **RESOLVED}
    with open_run("x", other) as run:
        run.record(2, {"loss": 1.0, "steps": 2, "rate": 0.1})
    assert strict_json(tmp_path / "config.json") == {"experiment": "x", **RESOLVED} | {"sizes": [7]}


# --- several runs --------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.5, 0.95, 0.999])
@pytest.mark.parametrize("count", [2, 5, 40])
def test_the_interval_is_students(count, level):
    values = np.random.default_rng(count).normal(3, 2, count)
    mean, half_width = mean_and_interval(values, level)
    low, high = scipy.stats.t.interval(
        level, count - 1, loc=values.mean(), scale=scipy.stats.sem(values)
    )
    assert mean == pytest.approx((low + high) / 2)
    assert half_width == pytest.approx((high - low) / 2)


def test_one_value_has_no_interval_and_none_no_mean():
    mean, half_width = mean_and_interval([0.75])
    assert mean == 0.75
    assert math.isnan(half_width)
    with pytest.raises(ValueError, match="no values"):
        mean_and_interval([])
