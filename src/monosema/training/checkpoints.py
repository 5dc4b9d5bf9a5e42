"""Checkpoints of a run: the states that it can go on from, written while it trains."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monosema import files
from monosema.errors import InputError
from monosema.training.state_file import Snapshot

if TYPE_CHECKING:
    from typing_extensions import Self

PATTERN = "step-*"


class Checkpoints:
    """An observer that saves the state of a run after every `every` steps, in the background.

    The state is copied before the next step changes it, which takes its size in memory; writing is left to a thread. A
    checkpoint is there as a whole or not at all.

    Args:
        folder: where they go: a file `step-0000001000.safetensors`, or of several ranks a folder `step-0000001000`.
        state: what to save after so many steps.
        every: steps from one to the next; none by itself if None.
        keep: how many of the last are kept.
        always: steps that are saved besides, and kept.
        take: copies a state, and can write the copy; all ranks of a run write one together.
        tidy: whether it is this process that deletes what is not kept.

    Raises:
        OSError: while training, a checkpoint could not be written: the disk is full, or the folder is gone.
    """

    def __init__(
        self,
        folder: Path,
        state: Callable[[int], Any],
        *,
        every: int | None = None,
        keep: int = 2,
        always: Collection[int] = (),
        take: Callable[[Any], Snapshot] = Snapshot,
        tidy: bool = True,
    ):
        if keep < 1 or (every is not None and every < 1):
            raise InputError(f"{keep} checkpoints, one every {every} steps", expected="at least 1 of each")
        self.folder, self.every, self.keep, self.always = folder, every, keep, frozenset(always)
        self._state, self._take, self._tidy, self._last = state, take, tidy, 0
        self._writer = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def on_step(self, step: int, metrics: Mapping[str, Mapping[str, float]]) -> None:
        """Saves if it is this step's turn."""
        if step in self.always or (self.every is not None and step % self.every == 0):
            self.save(step)

    def save(self, step: int) -> None:
        """Begins to save the state after `step` steps, once the checkpoint before is written."""
        if step == self._last:
            return
        self.wait()
        self._last = step
        self._writing = self._writer.submit(self._write, step, self._take(self._state(step)))

    def wait(self) -> None:
        """Returns when what was begun is on the disk.

        Raises:
            OSError: it could not be written.
        """
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.wait()
        finally:
            self._writer.shutdown()

    def _write(self, step: int, snapshot: Snapshot) -> None:
        snapshot.write(self.folder / f"step-{step:010}{snapshot.suffix}")
        if self._tidy:
            remove(self.folder, self.always, self.keep)


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the newest last."""
    return sorted(folder.glob(PATTERN), key=step_of)


def step_of(path: Path) -> int:
    """The step after which a checkpoint was taken."""
    return int(path.stem.removeprefix("step-"))


def remove(folder: Path, always: Collection[int] = (), keep: int = 0) -> None:
    """Deletes checkpoints but the last `keep` and those of the steps `always`; with the last one, the folder."""
    passing = [path for path in checkpoints(folder) if step_of(path) not in always]
    for path in passing[: len(passing) - keep]:
        files.remove(path)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
