"""What watches a training run: a log of JSON lines, TensorBoard, Weights & Biases, a progress bar.

Each is a context manager that closes on leaving what it opened on entering, or on its construction.
"""

import json
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monosema.errors import InputError
from monosema.progress import progress

if TYPE_CHECKING:
    from typing_extensions import Self

Metrics = Mapping[str, Mapping[str, float]]


class Log(ABC):
    """Writes the metrics of the first step and of every `every`-th.

    Raises:
        InputError: `every` is less than one.
    """

    def __init__(self, every: int):
        if every < 1:
            raise InputError(f"a log every {every} steps", expected="at least 1")
        self._every = every

    def on_step(self, step: int, metrics: Metrics) -> None:
        """Writes if it is this step's turn."""
        if step == 1 or step % self._every == 0:
            self.write(step, metrics)

    @abstractmethod
    def write(self, step: int, metrics: Metrics) -> None:
        """Writes one step's metrics, of every dictionary."""

    @abstractmethod
    def close(self) -> None:
        """Finishes the log."""

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class JsonlLog(Log):
    """One JSON object a line, for each logged step and dictionary: `step`, `seconds`, `dictionary`, and its metrics.

    `seconds` counts from the opening of the log, on from what an earlier part of the run took. A metric that is not a
    finite number is written as null. Lines are added to what the file holds, each as soon as it is known.
    """

    def __init__(self, path: str | Path, every: int = 100, *, seconds: float = 0.0):
        super().__init__(every)
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115  it stays open for the run
        self._start = time.monotonic() - seconds

    def write(self, step: int, metrics: Metrics) -> None:
        """Adds a line for each dictionary."""
        seconds = round(time.monotonic() - self._start, 3)
        for name, values in metrics.items():
            line = {"step": step, "seconds": seconds, "dictionary": name}
            numbers = {key: value if math.isfinite(value) else None for key, value in values.items()}
            self._file.write(json.dumps(line | numbers, allow_nan=False) + "\n")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class TensorBoardLog(Log):
    """A curve for each dictionary and metric, `dictionary/metric`, in TensorBoard's format, behind `done` steps.

    Raises:
        InputError: TensorBoard is not installed.
    """

    def __init__(self, folder: str | Path, every: int = 100, *, done: int = 0):
        super().__init__(every)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise not_installed("tensorboard") from None
        self._writer = SummaryWriter(str(folder), purge_step=done + 1 if done else None)

    def write(self, step: int, metrics: Metrics) -> None:
        """Adds a point to each curve."""
        for name, value in _flat(metrics).items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Writes what is left and closes the file."""
        self._writer.close()


class WandbLog(Log):
    """A run of Weights & Biases, its files in `folder`; with WANDB_MODE=offline nothing leaves the machine.

    Raises:
        InputError: wandb is not installed.
    """

    def __init__(self, project: str, folder: str | Path, every: int = 100, config: Mapping[str, Any] | None = None):
        super().__init__(every)
        try:
            import wandb
        except ImportError:
            raise not_installed("wandb") from None
        Path(folder).mkdir(parents=True, exist_ok=True)  # without it wandb writes to the temporary folder
        self._run = wandb.init(project=project, dir=str(folder), config=dict(config or {}))

    def write(self, step: int, metrics: Metrics) -> None:
        """Logs one step."""
        self._run.log(_flat(metrics), step=step)

    def close(self) -> None:
        """Finishes the run."""
        self._run.finish()


class ProgressBar:
    """Shows tokens done, speed and time left of what follows `done` of the `steps` batches of `batch_size` tokens."""

    def __init__(self, steps: int, batch_size: int, *, done: int = 0):
        self._tokens, self._batch_size = (steps - done) * batch_size, batch_size
        self._open = ExitStack()

    def on_step(self, step: int, metrics: Metrics) -> None:
        """Advances by one batch."""
        self._bar.advance(self._batch_size)

    def __enter__(self) -> "Self":
        self._bar = self._open.enter_context(progress("training", total=self._tokens, unit="tokens"))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()


def _flat(metrics: Metrics) -> dict[str, float]:
    return {f"{name}/{key}": value for name, values in metrics.items() for key, value in values.items()}


def not_installed(package: str) -> InputError:
    """The error for an extra of monosema that is asked for and not there."""
    return InputError(f"{package} is not installed", hint=f"pip install monosema[{package}]")
