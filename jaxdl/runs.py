"""A run directory: what was asked for, what was measured, and what made it.

::

    runs/mnist_cnn/2025-01-31_18-00-00/
        config.json    the experiment's name and resolved config; give it back with --config
        metrics.csv    a row for each epoch
        summary.json   the results, and the versions, device, commit and command they come from
        events/        the rows of metrics.csv for TensorBoard
        figures/
        checkpoints/

JSON has no infinities and no NaN: a config spells them (``"inf"``), a summary says null.
"""

import contextlib
import csv
import dataclasses
import importlib.metadata
import itertools
import json
import math
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdl.errors import InputError
from jaxdl.parallel import own_cores

CONFIG = "config.json"
EXPERIMENT = "experiment"  # the name, among the settings of config.json
METRICS = "metrics.csv"
SUMMARY = "summary.json"
FIGURES = "figures"
CHECKPOINTS = "checkpoints"

_LARGEST_SEED = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """Where a run writes and what it prints: flags of every experiment, and no part of its config.

    An experiment's config derives from it.
    """

    out: Path | None = None
    """Run directory; by default a new one, runs/NAME/TIME."""
    quiet: bool = False
    """Print nothing but the result and errors."""


@dataclasses.dataclass(frozen=True)
class ResumableOptions(RunOptions):
    """Those of a run that saves checkpoints and can go on from them; no part of its config."""

    resume: bool = False
    """Go on with the run in --out from its newest checkpoint, or begin it if there is none."""


@dataclasses.dataclass(frozen=True)
class ExperimentOptions(RunOptions):
    """The options that all experiments share; they are part of the config."""

    quick: bool = False
    """A version of a few seconds: other flags then have the defaults of that version."""
    diagnostics: bool = False
    """Watch gradients and steps too, write what they show and draw pages of instruments."""


@dataclasses.dataclass(frozen=True)
class SweepOptions:
    """Those of an experiment that trains many runs (`jaxdl.sweep.sweep_in_run`)."""

    devices: int | None = None
    """Lay the runs over so many devices; by default all accelerators, or all cores of a CPU."""


@dataclasses.dataclass(frozen=True)
class DatasetOptions(ResumableOptions, ExperimentOptions):
    """Those of an experiment whose data set can be chosen: what `jaxdl.data.load` takes."""

    dataset: str = "mnist_5k"
    """mnist_5k (needs no download), mnist or fashion_mnist."""
    data_dir: Path | None = None
    """Folder of data sets prepared by TFDS; mnist is downloaded to it if it is not there."""
    raw_dir: Path | None = None
    """Folder that holds the data set's original .gz files."""


def check_least(config: Any, least: Mapping[str, float | int]) -> None:
    """Checks that settings are not too small.

    Args:
        config: a dataclass of flags.
        least: by the name of a field, what it may be at the least, or each number where it has
            several; None passes.

    Raises:
        InputError: a setting is less, or not finite, or holds no number.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Config(ExperimentOptions):
    ...     batch_size: int = 32
    >>> check_least(Config(batch_size=0), {"batch_size": 1})
    Traceback (most recent call last):
    jaxdl.errors.InputError: --batch-size 0: give 1 or more
    """
    for name, bound in least.items():
        _check_numbers(config, name, lambda value, bound=bound: value >= bound, f"{bound} or more")


def check_no_diagnostics(config: ExperimentOptions) -> None:
    """Checks that an experiment that has no instruments is not asked for them.

    Raises:
        InputError: it is.
    """
    if config.diagnostics:
        raise InputError("--diagnostics: there are none of this experiment; leave it out")


def check_shares(config: Any, names: Iterable[str]) -> None:
    """Checks that settings are 0 or more and below 1.

    Args:
        config: a dataclass of flags.
        names: of its fields, each of one number or several; None passes.

    Raises:
        InputError: one is not, or holds no number.
    """
    for name in names:
        _check_numbers(config, name, lambda value: 0 <= value < 1, "0 to below 1")


def check_ascending(config: Any, counts: Mapping[str, int]) -> None:
    """Checks that each number of a setting is larger than the one before it.

    Args:
        config: a dataclass of flags.
        counts: by the name of a field of several numbers, how many it must have at the least.

    Raises:
        InputError: they are fewer, or one is not larger than the one before, or NaN.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Config(ExperimentOptions):
    ...     widths: tuple[int, ...] = (2, 4)
    >>> check_ascending(Config(widths=(4, 2)), {"widths": 2})
    Traceback (most recent call last):
    jaxdl.errors.InputError: --widths 4 2: give 2 or more, each larger than the one before
    """
    for name, count in counts.items():
        numbers = getattr(config, name)
        grow = all(low < high for low, high in itertools.pairwise(numbers))
        if len(numbers) < count or not grow:
            flag = f"--{name.replace('_', '-')}"
            shown = " ".join(map(str, (flag, *numbers)))
            raise InputError(f"{shown}: give {count} or more, each larger than the one before")


def _check_numbers(config: Any, name: str, is_right: Callable[[Any], bool], wanted: str) -> None:
    value = getattr(config, name)
    numbers = value if isinstance(value, tuple) else (value,)
    if value is None:
        return
    finite = all(abs(number) < math.inf for number in numbers)
    if not (numbers and finite and all(map(is_right, numbers))):
        flag = f"--{name.replace('_', '-')}"
        kind = "" if finite else "a finite number, "
        raise InputError(f"{' '.join(map(str, (flag, *numbers)))}: give {kind}{wanted}")


def check_names(flag: str, given: Collection[str], known: Collection[str]) -> None:
    """Checks that something is given, that all of it is known, and that nothing is there twice.

    Raises:
        InputError: it is not so.

    >>> check_names("rules", ["a", "c"], ["a", "b"])
    Traceback (most recent call last):
    jaxdl.errors.InputError: --rules c: choose from a, b
    """
    if not given:
        raise InputError(f"--{flag}: nothing given; choose from {', '.join(known)}")
    unknown = [name for name in given if name not in known]
    if unknown:
        raise InputError(f"--{flag} {' '.join(unknown)}: choose from {', '.join(known)}")
    if len(set(given)) < len(given):
        raise InputError(f"--{flag} {' '.join(given)}: give each one once")


def check_seed(seed: int, count: int = 1) -> None:
    """Checks that ``seed``, ``seed + 1`` and so on, ``count`` of them, make keys.

    Raises:
        InputError: one is below 0 or, as a key of 32 bits would wrap, above 2^31 - 1.
    """
    if not 0 <= seed <= _LARGEST_SEED - count:
        raise InputError(f"--seed {seed}: give 0 to {_LARGEST_SEED - count}")


class Run:
    """An open run directory, from `open_run`; a context manager.

    A run that ends in an `InputError` before anything was recorded leaves no directory behind.

    Attributes:
        directory: of the run.
        figures: folder for pictures; it exists.
        checkpoints: folder for checkpoints; it exists.
    """

    def __init__(self, directory: Path, config: dict[str, Any], *, is_new: bool):
        self.directory = directory
        self.figures = directory / FIGURES
        self.checkpoints = directory / CHECKPOINTS
        self._config = config
        self._opened = time.perf_counter()
        self._disposable = is_new
        self._columns: list[str] | None = None
        self._events: Any = None  # a tensorboardX.SummaryWriter

    def __enter__(self):
        return self

    def __exit__(self, kind, *exception):
        if self._events is not None:
            self._events.close()
        if self._disposable and kind is not None and issubclass(kind, InputError):
            with contextlib.suppress(OSError):  # a folder that holds something stays
                self.figures.rmdir()
                self.checkpoints.rmdir()
                (self.directory / CONFIG).unlink()
                self.directory.rmdir()

    def record(self, epoch: int, metrics: Mapping[str, Any]) -> None:
        """Adds an epoch to ``metrics.csv`` and to TensorBoard's events, and flushes both.

        The first epoch recorded after a resume replaces what was recorded of it and of later ones,
        so a run that was interrupted has the rows of one that was not. Record an epoch before its
        checkpoint is saved: a checkpoint then never lacks its row.

        Args:
            epoch: the number of epochs done.
            metrics: scalars by name; the first row's names are the columns.

        Raises:
            ValueError: a name that is no column.
        """
        events = self._events or self._begin(epoch)
        values = jax.device_get(list(metrics.values()))
        row = {"epoch": epoch, **dict(zip(metrics, values, strict=True))}
        self._append(row)
        for name, value in row.items():
            if name != "epoch":
                events.add_scalar(name, float(value), epoch)
        events.flush()

    def write_summary(self, results: Mapping[str, Any]) -> None:
        """Writes ``summary.json`` in one atomic move: ``results``, then what made them.

        ``seconds_total`` is the time since the run directory was opened, in this sitting.

        The config is written again, since a run that went on may differ in what it is not held to.

        Every experiment that can names ``test_accuracy``, ``test_loss``, ``epochs``,
        ``params_sha256`` (`jaxdl.digest.tree_sha256`), ``seconds_compiling`` and
        ``seconds_running``. Arrays become lists.
        """
        seconds = {"seconds_total": time.perf_counter() - self._opened}
        summary = _plain({**results, **seconds, **provenance()}, non_finite=lambda value: None)
        _write_json(self.directory / CONFIG, self._config)
        _write_json(self.directory / SUMMARY, summary)
        self._disposable = False

    def _begin(self, epoch: int) -> Any:
        """Forgets what was recorded from ``epoch`` on; opens TensorBoard's events from there."""
        from tensorboardX import SummaryWriter

        self._disposable = False
        _write_json(self.directory / CONFIG, self._config)  # again, as with the summary
        self._events = SummaryWriter(
            str(self.directory / "events"),
            purge_step=epoch,
            filename_suffix=f".from-{epoch}",  # two parts of a run may begin in one second
        )
        path = self.directory / METRICS
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        kept = [line for line in lines[1:] if _is_row_before(epoch, line)]
        _write(path, "".join(lines[:1] + kept) if kept else "")
        self._columns = next(csv.reader(lines[:1])) if kept else None
        return self._events

    def _append(self, row: dict[str, Any]) -> None:
        with open(self.directory / METRICS, "a", newline="") as file:
            writer = csv.DictWriter(file, self._columns or list(row), lineterminator="\n")
            if self._columns is None:
                self._columns = list(row)
                writer.writeheader()
            writer.writerow(row)


def open_run(name: str, config: RunOptions) -> Run:
    """Makes the directory of a run, or opens the one to go on with; writes its config.

    Call it before anything compiles. The config is written first, so ``--resume``, where there are
    `ResumableOptions`, goes on with what a kill left at any moment.

    Args:
        name: of the experiment, for the default directory; a run of another is not gone on with.
        config: the experiment's whole config.

    Raises:
        InputError: the directory holds a run (to be gone on with: one of another experiment) or
            other files, ``--resume`` lacks ``--out``, or the directory cannot be written.
    """
    is_resumable = isinstance(config, ResumableOptions)
    resume = is_resumable and config.resume
    if resume and config.out is None:
        raise InputError("--resume needs --out DIR, the directory of the run to go on with")
    try:
        directory = _new_directory(Path("runs") / name) if config.out is None else config.out
        directory.mkdir(parents=True, exist_ok=True)
        is_new = all(map(_holds_nothing, directory.iterdir()))
        is_run = (directory / CONFIG).exists()
        if is_run and not resume:
            way_on = "--resume goes on with it, " if is_resumable else ""
            raise InputError(f"{directory} holds a run; {way_on}another --out begins anew")
        if not is_run and not is_new:
            raise InputError(f"{directory} holds files that are no run; choose another --out")
        if is_run and (other := _experiment_of(directory, name)) != name:
            raise InputError(f"{directory} holds a run of {other}; choose another --out")
        run = Run(directory, {EXPERIMENT: name, **resolved_config(config)}, is_new=is_new)
        if is_new:
            _write_json(directory / CONFIG, run._config)
        else:
            _check_writable(directory)
        run.figures.mkdir(exist_ok=True)
        run.checkpoints.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot write to {error.filename or config.out}: {error.strerror}; "
            "choose another --out"
        ) from error
    return run


def _experiment_of(directory: Path, default: str) -> str:
    """Whose run a directory holds, as far as its config tells."""
    try:
        return json.loads((directory / CONFIG).read_text()).get(EXPERIMENT, default)
    except (ValueError, AttributeError):  # written by hand, and not used
        return default


def resolved_config(config: Any, *, without: Collection[str] = ()) -> dict[str, Any]:
    """A config as plain JSON values, nested dataclasses as objects; `ResumableOptions` left out.

    Args:
        config: a dataclass.
        without: fields to leave out as well: those that change no number, where configs are to be
            compared.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Config(RunOptions):
    ...     sizes: tuple[int, ...] = (300, 100)
    ...     max_norm: float = math.inf
    >>> resolved_config(Config(quiet=True))
    {'sizes': [300, 100], 'max_norm': 'inf'}
    """
    omitted = {*without, *(field.name for field in dataclasses.fields(ResumableOptions))}
    values = _plain(config, non_finite=str)
    return {name: value for name, value in values.items() if name not in omitted}


def differs(config: Any, other: Any, *, without: Collection[str] = ()) -> bool:
    """Whether two configs differ in a setting but for those of ``without``."""
    return resolved_config(config, without=without) != resolved_config(other, without=without)


def provenance() -> dict[str, Any]:
    """Where results come from: command, time, device, versions, git commit."""
    device = jax.devices()[0]
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "command": shlex.join(sys.orig_argv),
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "device": device.device_kind,
        "platform": device.platform,
        "device_count": jax.device_count(),
        "cpu_count": own_cores(),
        "versions": {
            "python": platform.python_version(),
            **{name: _version(name) for name in _PACKAGES},
        },
        "git_commit": _git("rev-parse", "HEAD"),
        "git_changes": None if changes is None else bool(changes),
    }


_PACKAGES = ("jax", "jaxlib", "flax", "optax", "numpy", "jaxdl")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    """What git says of the checkout that this package lies in; None where it lies in none."""
    checkout = Path(__file__).resolve().parents[1]
    if not (checkout / ".git").exists():
        return None
    try:
        command = ["git", "-C", str(checkout), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _new_directory(parent: Path) -> Path:
    """Makes ``parent/TIME``, or ``parent/TIME-2`` where another run began in the same second."""
    parent.mkdir(parents=True, exist_ok=True)
    now = time.strftime("%Y-%m-%d_%H-%M-%S")
    number = 1
    while True:
        directory = parent / (now if number == 1 else f"{now}-{number}")
        try:
            directory.mkdir()
            return directory
        except FileExistsError:
            number += 1


def _holds_nothing(path: Path) -> bool:
    """Whether a new run may have this in its directory: hidden, or an empty folder of its own."""
    if path.name in (FIGURES, CHECKPOINTS):
        return path.is_dir() and not any(path.iterdir())
    return path.name.startswith(".")


def _check_writable(directory: Path) -> None:
    probe = directory / f".write-test-{os.getpid()}"
    probe.touch()
    probe.unlink()


def _is_row_before(epoch: int, line: str) -> bool:
    # A kill in the middle of a write leaves a line without an end.
    return line.endswith("\n") and int(line.split(",", 1)[0]) < epoch


def _plain(value: Any, non_finite: Callable[[float], Any]) -> Any:
    """JSON's own types, ``non_finite`` saying what stands for an infinity or NaN."""
    if dataclasses.is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        value = np.asarray(value).tolist()
    if isinstance(value, Mapping):
        return {str(name): _plain(item, non_finite) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, non_finite) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return non_finite(value)
    return str(value) if isinstance(value, Path) else value


def _write_json(path: Path, value: Any) -> None:
    _write(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def _write(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_text(text)
    os.replace(temporary, path)
