"""Ending a run between two steps, where its state is whole."""

import signal
import threading
from collections.abc import Mapping
from types import FrameType
from typing import TYPE_CHECKING

from monosema.runs.processes import Processes

if TYPE_CHECKING:
    from typing_extensions import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(KeyboardInterrupt):
    """A run was told to stop, and has finished its step."""


class StopBetweenSteps:
    """An observer that raises `Stopped` after the step in which Ctrl-C or a request to terminate came.

    A second Ctrl-C ends the run at once. Signals reach the main thread alone; in another, nothing changes. Of several
    processes all end after the same step, whichever was asked.
    """

    def __init__(self, processes: Processes):
        self._asked, self._processes = False, processes
        self._before: dict[int, object] = {}

    def on_step(self, step: int, metrics: Mapping[str, Mapping[str, float]]) -> None:
        """Stops, if that was asked for."""
        if self._processes.any(self._asked):
            raise Stopped

    def __enter__(self) -> "Self":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]  what `signal` itself has given

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
