"""How far a long job has come: a bar on a terminal, now and then a line in a log."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, cached_property
from time import monotonic
from typing import Any, TextIO

_BAR_AFTER, _BAR_EVERY, _LINE_EVERY = 2.0, 0.1, 30.0  # seconds


@contextmanager
def progress(what: str, total: int | None = None, unit: str = "") -> Iterator["Progress"]:
    """Shows on stderr how far a job has come, its speed and the time left, once it has lasted two seconds.

    >>> with progress("harvesting", total=5_000_000, unit="tokens") as bar:
    ...     bar.advance(4096)

    A terminal gets a bar, which is gone at the end; anything else gets a plain line every 30 seconds. `total` is None
    where nobody knows it.
    """
    file = sys.stderr
    if os.environ.get("RANK", "0") != "0":  # one of several processes that do the same
        yield Progress(what, total, unit, lambda job: None, _LINE_EVERY, _LINE_EVERY)
        return
    if not file.isatty():
        yield Progress(what, total, unit, lambda job: print(job, file=file, flush=True), _LINE_EVERY, _LINE_EVERY)
        return
    bar = _Bar(file)
    try:
        yield Progress(what, total, unit, bar.draw, _BAR_AFTER, _BAR_EVERY)
    finally:
        bar.close()


class Progress:
    """A job under way, drawn when it has lasted `after` seconds and then every `every` seconds at most."""

    def __init__(
        self, what: str, total: int | None, unit: str, draw: Callable[["Progress"], None], after: float, every: float
    ):
        self.what, self.total, self.unit, self.done = what, total, unit, 0
        self._draw, self._every = draw, every
        self._start = monotonic()
        self._next = self._start + after

    def advance(self, n: int = 1) -> None:
        """Counts `n` more units as done."""
        self.done += n
        now = monotonic()
        if now >= self._next:
            self._next = now + self._every
            self._draw(self)

    def __str__(self) -> str:
        rate = self.done / max(monotonic() - self._start, 1e-9)
        of = f"/{_short(self.total)}" if self.total is not None else ""
        text = (
            f"{self.what} {_short(self.done)}{of} {self.unit}".rstrip()
            + f"  {_short(rate)} {self.unit}".rstrip()
            + "/s"
        )
        if self.total is None or rate == 0:
            return text
        return f"{text}  {_duration(max(self.total - self.done, 0) / rate)} left"


class _Bar:
    """A bar on a terminal, from the first `draw` on. rich is loaded then: most jobs are over before."""

    def __init__(self, file: TextIO):
        self._file = file

    @cached_property
    def _display(self) -> Any:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Display

        columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=30))
        # What is printed meanwhile goes above the bar; but a stdout that was redirected stays out of the terminal.
        redirect = sys.stdout.isatty()
        return Display(
            *columns, console=_console(self._file), auto_refresh=False, transient=True, redirect_stdout=redirect
        )

    def draw(self, job: Progress) -> None:
        if not self._display.task_ids:
            self._display.add_task("", total=job.total)
            self._display.start()
        self._display.update(self._display.task_ids[0], completed=job.done, description=str(job), refresh=True)

    def close(self) -> None:
        if "_display" in vars(self):
            self._display.stop()


@cache
def _console(file: TextIO) -> Any:
    """One console for each terminal: a bar inside a bar is drawn below it."""
    from rich.console import Console

    return Console(file=file)


def _short(n: float) -> str:
    """A count in few characters: 9,500 · 12k · 1.2M."""
    for scale, letter, digits in ((1e9, "B", 1), (1e6, "M", 1), (1e3, "k", 0)):
        if n >= max(scale * 0.9995, 9_999.5):
            return f"{n / scale:.{digits}f}{letter}"
    return f"{n:,.0f}" if n >= 10 or n == int(n) else f"{n:.1f}"


def _duration(seconds: float) -> str:
    """A time in few characters: 45 s · 6 min · 2 h 05 min."""
    minutes = round(seconds / 60)
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
