"""SIGINT and SIGTERM: a training loop saves and leaves, everything else leaves at once.

Inside `stop_on_signals` a signal is a flag that the loop polls where it can save; `Interrupted` is
how it leaves, and `jaxdl.cli.main` makes one line and the shell's exit code of it.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class Interrupted(KeyboardInterrupt):
    """A signal ended the program; the message says in one line where that leaves its work."""

    def __init__(self, number: signal.Signals, message: str):
        super().__init__(message)
        self.number = number


@dataclass
class Stop:
    """Whether a signal asked to stop, and which one."""

    number: signal.Signals | None = None

    @property
    def requested(self) -> bool:
        """Whether SIGINT or SIGTERM has arrived."""
        return self.number is not None

    def leave(self, message: str) -> None:
        """Raises `Interrupted` if a signal has arrived; call it when the work is saved."""
        if self.number is not None:
            raise Interrupted(self.number, f"{self.number.name}: {message}")


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Turns the first SIGINT or SIGTERM into a flag; a second SIGINT kills the process at once.

    The flag can be polled wherever leaving is convenient::

        with stop_on_signals() as stop:
            for epoch in epochs:
                ...
                if stop.requested:
                    save(...)
                    stop.leave("saved at epoch 3")

    The old handlers are back on exit. Outside the main thread, where Python allows no handlers,
    the flag is never raised.
    """
    stop = Stop()

    def request(number, frame):
        stop.number = signal.Signals(number)
        # The system's own handler, since a Python one would wait for a compiled epoch to end.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with _handlers({signal.SIGINT: request, signal.SIGTERM: request}):
        yield stop


@contextmanager
def raise_on_sigterm() -> Iterator[None]:
    """Raises `Interrupted` on SIGTERM, as Python raises KeyboardInterrupt on SIGINT."""

    def interrupt(number, frame):
        raise Interrupted(signal.Signals(number), "terminated")

    with _handlers({signal.SIGTERM: interrupt}):
        yield


@contextmanager
def _handlers(handlers) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
