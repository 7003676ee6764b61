"""Processes that take turns: what benchmarks that compare with others have in common.

A worker is a script. It prints a line of JSON about itself, then one for each line that it reads,
after a block of work, with ``ms_per_step``; and a last one when there are no more.
"""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from experiments.benchmarks.turns import take_turns
from jaxdl.errors import InputError


def check_peer(python: Path) -> None:
    """Checks that the peer's Python is there, before any worker starts.

    Raises:
        InputError: it is no program.
    """
    if shutil.which(python) is None:
        raise InputError(f"--peer-python {python} is no program; give the Python that has the peer")


def has_modules(python: Path, modules: Sequence[str]) -> bool:
    """Whether a Python has all that a peer needs."""
    return subprocess.run([python, "-c", _ARE_THERE, *modules], check=False).returncode == 0


_ARE_THERE = (
    "import importlib.util, sys; sys.exit(not all(map(importlib.util.find_spec, sys.argv[1:])))"
)


def run_in_turns(
    commands: Mapping[str, Sequence[Any]], blocks: int
) -> tuple[dict[str, list[float]], dict[str, dict[str, Any]]]:
    """Starts workers one after the other, lets them take turns, and ends them whatever happens.

    Args:
        commands: of each worker, by its name.
        blocks: of each worker.

    Returns:
        By name, milliseconds per step of the blocks, and what the worker has said of itself.

    Raises:
        InputError: a worker has ended before its time.
    """
    workers: dict[str, Worker] = {}
    with ExitStack() as stack:
        for name, command in commands.items():
            workers[name] = stack.enter_context(Worker(name, command))
            workers[name].begin()
        times = take_turns({name: worker.block for name, worker in workers.items()}, blocks)
        return times, {name: worker.finish() for name, worker in workers.items()}


class Worker:
    """A process that runs a block of steps each time that it is told to; a context manager."""

    def __init__(self, name: str, command: Sequence[Any]):
        self.name = name
        self._about: dict[str, Any] = {}
        self._process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._process.kill()  # which is nothing to one that has ended
        with suppress(BrokenPipeError), self._process:
            pass  # closes what is open, and waits

    def begin(self) -> None:
        """Waits until the process is ready."""
        self._about = self._read()

    def block(self) -> float:
        """Milliseconds per step of one block."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # of one that has ended, which reading says
            self._process.stdin.write("go\n")
            self._process.stdin.flush()
        return self._read()["ms_per_step"]

    def finish(self) -> dict[str, Any]:
        """Ends the process; its first and last words."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        last = self._read()
        self._process.wait()
        return {**self._about, **last}

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise InputError(f"the process for {self.name} ended early; what it said is above")
        return json.loads(line)
