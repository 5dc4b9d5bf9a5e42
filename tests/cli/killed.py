"""The command line in processes that can be killed."""

import multiprocessing
import random
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


def killed(arguments: list[str], progress: Callable[[], object], longest: float, draw: random.Random) -> None:
    """Begins a command, and kills it at random up to `longest` seconds after `progress` has changed."""
    before = progress()
    process = begun(arguments)
    while process.is_alive() and progress() == before:
        time.sleep(0.002)
    time.sleep(draw.uniform(0, longest))
    assert process.is_alive(), "it ended before it could be killed"
    process.kill()
    process.join()
