"""Processes that take turns: what benchmarks that compare with others have in common.

A worker is a script. It prints a line of JSON about itself, then one for each line that it reads,
after a block of work, with ``ms_per_step``; and a last one when there are no more.
"""

import json
import statistics
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxdl.errors import InputError


class Worker:
    """A process that runs a block of steps each time that it is told to."""

    def __init__(self, name: str, python: Path, script: Path, *arguments: Any):
        self.name = name
        self._process = subprocess.Popen(
            [str(python), str(script), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.about = self._read()

    def block(self) -> float:
        """Milliseconds per step of one block."""
        assert self._process.stdin is not None
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        return self._read()["ms_per_step"]

    def finish(self) -> dict[str, Any]:
        """Ends the process; its last words."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        last = self._read()
        self._process.wait()
        return last

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise InputError(f"the process for {self.name} ended: is it installed there?")
        return json.loads(line)


def take_turns(workers: Sequence[Worker], blocks: int) -> dict[str, list[float]]:
    """The times of each worker's blocks, one after the other's, so that a drift meets all alike."""
    times = {worker.name: [] for worker in workers}
    for _ in range(blocks):
        for worker in workers:
            times[worker.name].append(worker.block())
    return times


def spread(times: Sequence[float]) -> dict[str, float]:
    """Median, least and most milliseconds of a step."""
    return {"median_ms": statistics.median(times), "min_ms": min(times), "max_ms": max(times)}


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float]:
    """The ratio of the medians; of neighbouring blocks, the median, least and most."""
    pairs = [a / b for a, b in zip(ours, theirs, strict=True)]
    return {
        "ratio": statistics.median(ours) / statistics.median(theirs),
        "pairs_median": statistics.median(pairs),
        "pairs_min": min(pairs),
        "pairs_max": max(pairs),
    }
