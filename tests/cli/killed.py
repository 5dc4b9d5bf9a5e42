"""The command line in processes that can be killed."""

import multiprocessing
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess

from monosema.cli.main import main


def begun(arguments: list[str]) -> BaseProcess:
    """The command line in a process of its own, which a server starts that has loaded PyTorch already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["monosema.runs", "transformers"])
    process = context.Process(target=main, args=(arguments,))
    process.start()
    return process


def ended(arguments: list[str]) -> None:
    """Runs a command to its end, which must be a good one."""
    process = begun(arguments)
    process.join()
    assert process.exitcode == 0


def ended_after_kills(
    times: int, arguments: list[str], progress: Callable[[], object], longest: float, draw: random.Random
) -> int:
    """Has a command killed so many times, or until it ends before it is, and then run to its end; how often it was."""
    for kills in range(times):
        if not killed(arguments, progress, longest, draw):
            return kills
    ended(arguments)
    return times


def killed(arguments: list[str], progress: Callable[[], object], longest: float, draw: random.Random) -> bool:
    """Begins a command, and kills it at random up to `longest` seconds after `progress` has changed.

    Whether it was killed: on a fast machine it may have come to its end, which must be a good one.
    """
    before = progress()
    process = begun(arguments)
    while process.is_alive() and progress() == before:
        time.sleep(0.002)
    time.sleep(draw.uniform(0, longest))
    process.kill()
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0
