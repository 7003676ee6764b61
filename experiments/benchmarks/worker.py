"""What the workers of benchmarks have in common, with no library: they run where a peer is too.

A line in, a block of steps, a line of JSON out. A block is an epoch: each of its steps has a batch
of other examples.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable


def serve(steps: int, epoch: Callable[[], float], **about) -> None:
    """Runs blocks when it is told to.

    Args:
        steps: in a block.
        epoch: runs a block and gives its mean loss once all of it is done.
        about: what else the worker says of itself.
    """

    def timed() -> tuple[float, float]:
        start = time.perf_counter()
        loss = epoch()
        return time.perf_counter() - start, loss

    first, first_loss = timed()
    steady, loss = timed()
    say(first_step_s=first - steady, first_loss=first_loss, **about)
    total, of_cores = 0.0, 0.0
    for _ in sys.stdin:
        before = time.process_time()
        seconds, loss = timed()
        of_cores += time.process_time() - before
        total += seconds
        say(ms_per_step=seconds / steps * 1e3)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    say(peak_mb=peak, loss=loss, cores=of_cores / total)


def cores() -> int:
    """How many cores this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def say(**values) -> None:
    """A line of JSON."""
    print(json.dumps(values), flush=True)
