import io
import subprocess
import sys
from contextlib import redirect_stderr

import pytest

import monosema.progress
from monosema.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """A time that passes only when told to."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(monosema.progress, "monotonic", clock)
    return clock


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """A terminal of 120 columns; `redirect_stderr` makes it stderr."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    return Terminal()


def _work(
    clock: Clock, file: io.StringIO, seconds: float, total: int | None = 100_000, rate: int = 1000, step: float = 0.5
) -> str:
    """What `file` shows of a job that does `rate` units a second for `seconds`."""
    with redirect_stderr(file), progress("harvesting", total, "tokens") as bar:
        for _ in range(int(seconds / step)):
            clock.now += step
            bar.advance(int(rate * step))
    return file.getvalue()


def test_a_job_of_less_than_two_seconds_shows_nothing_on_a_terminal(clock: Clock, terminal: Terminal):
    assert _work(clock, terminal, seconds=1.5) == ""


def test_a_terminal_shows_speed_and_time_left_of_a_longer_job(clock: Clock, terminal: Terminal):
    assert "harvesting 2,000/100k tokens  1,000 tokens/s  2 min left" in _work(clock, terminal, seconds=2.5)


def test_a_log_gets_a_plain_line_every_thirty_seconds(clock: Clock):
    assert _work(clock, io.StringIO(), seconds=95).splitlines() == [
        "harvesting 30k/100k tokens  1,000 tokens/s  1 min left",
        "harvesting 60k/100k tokens  1,000 tokens/s  40 s left",
        "harvesting 90k/100k tokens  1,000 tokens/s  10 s left",
    ]


def test_a_job_of_unknown_length_shows_what_is_done_and_its_speed(clock: Clock, terminal: Terminal):
    text = "harvesting 30k tokens  1,000 tokens/s"
    assert _work(clock, io.StringIO(), seconds=31, total=None) == text + "\n"
    assert text in _work(clock, terminal, seconds=31, total=None)


def test_counts_take_the_next_unit_when_they_are_rounded_up(clock: Clock):
    text = _work(clock, io.StringIO(), seconds=30, step=30, total=1_000_000_000, rate=33_320)
    assert text == "harvesting 1.0M/1.0B tokens  33k tokens/s  8 h 20 min left\n"


def test_a_job_that_does_more_than_it_said_has_no_time_left(clock: Clock):
    assert _work(clock, io.StringIO(), seconds=30, total=10).endswith("  0 s left\n")


def test_a_bar_inside_a_bar_is_drawn_too(clock: Clock, terminal: Terminal):
    with redirect_stderr(terminal), progress("training", total=10) as outer:
        clock.now += 3
        outer.advance()
        with progress("evaluating", total=10) as inner:
            clock.now += 3
            inner.advance()
        clock.now += 3
        outer.advance()
    assert "evaluating 1/10" in terminal.getvalue()
    assert "training 2/10" in terminal.getvalue()


def test_a_job_that_fails_passes_its_error_on_and_gives_the_terminal_back(clock: Clock, terminal: Terminal):
    def job() -> None:
        with redirect_stderr(terminal), progress("training") as bar:
            clock.now += 3
            bar.advance()
            raise RuntimeError("the job failed")

    with pytest.raises(RuntimeError, match="the job failed"):
        job()
    hidden, shown = "\x1b[?25l", "\x1b[?25h"
    assert terminal.getvalue().rindex(shown) > terminal.getvalue().rindex(hidden)


def test_a_short_job_does_not_load_rich():
    code = (
        "import sys, monosema.progress as p\nwith p.progress('x') as b: b.advance()\nassert 'rich' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
