"""Reading ahead: a thread reads text, or rows of a store, while the device is busy with what was read before."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.activations.contexts import Contexts, Position, next_contexts
from monosema.activations.mixing import MixedContexts
from monosema.activations.source import Source
from monosema.errors import InputError
from monosema.streams import pinned, sent

T = TypeVar("T")


class Ahead(Generic[T]):
    """Things made one after the other by a thread, up to `depth` of them before they are asked for.

    The first is made when it is asked for, and with a depth of 0 all are: by whoever asks, without a thread. A GPU that
    things are made for is the thread's, too, which does not know its maker's.
    """

    def __init__(self, make: Callable[[], T], depth: int, device: torch.device):
        self._make, self._depth = make, depth
        begin = partial(torch.cuda.set_device, _numbered(device)) if device.type == "cuda" else None
        self._thread = ThreadPoolExecutor(1, initializer=begin) if depth else None
        self._coming: deque[Future[T]] = deque()

    @property
    def idle(self) -> bool:
        """Whether nothing was made, or is being made, that nobody has asked for."""
        return not self._coming

    def take(self) -> T:
        """The next one; what goes wrong while it is made is raised here."""
        if self._coming:
            try:
                item = self._coming[0].result()
            except Exception:
                self.clear()
                raise
            self._coming.popleft()
        else:
            item = self._make()
        while self._thread and len(self._coming) < self._depth:
            self._coming.append(self._thread.submit(self._make))
        return item

    def clear(self) -> None:
        """Forgets what is ahead; from then on nothing runs beside the caller until something is taken."""
        running = [future for future in self._coming if not future.cancel()]
        for future in running:
            future.exception()  # waits
        self._coming.clear()


class Reading(NamedTuple):
    """Contexts for one forward pass, and where the text stands behind them."""

    begins: list[Position]
    ids: Int[Tensor, "contexts length"] | None
    """None at the end of the text."""
    state: dict[str, Any]
    passes: int
    tokens_in_text: int | None


class ContextsAhead:
    """The contexts of a text, `at_once` of them for each forward pass, read before the model asks for them.

    What it says of the text (`passes`, `state_dict`, …) is true of what was taken when it was told to `settle`.

    Args:
        contexts: nobody else may take from it meanwhile.
        at_once: contexts in one pass.
        device: where the model is; what a GPU is to read lies in memory from which it fetches by itself.
        depth: passes to be ahead; 0 reads when asked.
    """

    def __init__(self, contexts: Contexts | MixedContexts, at_once: int, device: torch.device, *, depth: int = 0):
        self.contexts, self._at_once, self._device = contexts, at_once, device
        self._ahead = Ahead(self._read, depth, device)
        self._settled: Reading | None = None
        self._taken: Reading | None = None

    @property
    def passes(self) -> int:
        """How many times the text has been read to its end."""
        return self._stands.passes

    @property
    def passes_taken(self) -> int:
        """That with what was taken since."""
        return self._stands.passes if self._taken is None else self._taken.passes

    @property
    def tokens_in_text(self) -> int | None:
        """Tokens in the whole text, once it has been read."""
        return self._stands.tokens_in_text

    def take(self) -> Reading:
        """The next contexts, as many as are left at the end of the text."""
        self._settled = self._stands
        self._taken = self._ahead.take()
        return self._taken

    def settle(self) -> None:
        """What was taken has arrived: a state that is saved from here on lies behind it."""
        self._settled = self._taken or self._settled

    def state_dict(self) -> dict[str, Any]:
        """The place in the text."""
        return dict(self._stands.state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on at a saved place of the same text."""
        self._ahead.clear()
        self.contexts.load_state_dict(dict(state))
        self._settled = self._taken = None

    @property
    def _stands(self) -> Reading:
        return self._now([], None) if self._settled is None else self._settled

    def _read(self) -> Reading:
        begins, taken = next_contexts(self.contexts, self._at_once)
        ids = torch.stack(taken) if taken else None
        return self._now(begins, None if ids is None else pinned(ids, self._device))

    def _now(self, begins: list[Position], ids: Int[Tensor, "contexts length"] | None) -> Reading:
        contexts = self.contexts
        return Reading(begins, ids, contexts.state_dict(), contexts.passes, contexts.tokens_in_text)


class ReadAhead:
    """Another source's batches, read by a thread and copied to a device before they are asked for; a `Source`.

    For a source that reads batches from files or from memory, such as a store. The batches, and where a state that was
    saved goes on, are that source's: what is ahead is read again.

    Args:
        source: its `state_dict` is taken with every batch, and should be small; nobody else may read from it meanwhile.
        device: where the batches are to lie.
        depth: batches to be ahead.

    Raises:
        InputError: a depth below 1.
    """

    def __init__(self, source: Source, device: str | torch.device = "cpu", *, depth: int = 2):
        if depth < 1:
            raise InputError(f"{depth} batches ahead", expected="at least 1")
        self.source, self.device = source, _numbered(torch.device(device))
        self.widths, self.batch_size = source.widths, source.batch_size
        self._batches: Iterator[Mapping[str, Tensor]] | None = None
        self._ahead = Ahead(self._read, depth, self.device)
        self._taken: _Batch | None = None
        self._copies = torch.cuda.Stream(self.device) if self.device.type == "cuda" else None

    @property
    def passes(self) -> int | None:
        """How many times all rows have been read, where the source knows."""
        return self._stands().passes

    def __iter__(self) -> Iterator[dict[str, Float[Tensor, "batch d"]]]:
        return self

    def __next__(self) -> dict[str, Float[Tensor, "batch d"]]:
        self._taken = self._ahead.take()
        rows, copied = self._taken.rows, self._taken.copied
        if rows is None:
            raise StopIteration
        if copied is not None:
            here = torch.cuda.current_stream(self.device)
            here.wait_event(copied)
            for x in rows.values():
                x.record_stream(here)
        return rows

    def sample(self, rows: int) -> dict[str, Float[Tensor, "rows d"]]:
        """Rows like the next ones; consumes nothing."""
        self.load_state_dict(self.state_dict())  # as if nothing were ahead, which it is not in a run that goes on
        return self.source.sample(rows)

    def state_dict(self) -> dict[str, Any]:
        """The source's, behind the last batch that was taken."""
        return self._stands().state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on exactly where the source stood when `state` was taken.

        Raises:
            InputError: the state is of another source.
        """
        self._ahead.clear()
        self._batches = None
        self.source.load_state_dict(state)

    def _stands(self) -> "_Batch":
        return self._now() if self._ahead.idle or self._taken is None else self._taken

    def _read(self) -> "_Batch":
        if self._batches is None:
            self._batches = iter(self.source)
        rows = next(self._batches, None)
        if rows is None or self._copies is None:
            return self._now(None if rows is None else {point: x.to(self.device) for point, x in rows.items()})
        with torch.cuda.stream(self._copies):
            there = {point: sent(x, self.device) for point, x in rows.items()}
        copied = torch.cuda.Event()
        copied.record(self._copies)
        return self._now(there, copied)

    def _now(self, rows: dict[str, Tensor] | None = None, copied: torch.cuda.Event | None = None) -> "_Batch":
        return _Batch(rows, copied, self.source.state_dict(), getattr(self.source, "passes", None))


class _Batch(NamedTuple):
    """Rows, None at the end, and where the source stands behind them."""

    rows: dict[str, Tensor] | None
    copied: torch.cuda.Event | None
    """Where they are on their way to a GPU: when they are there."""
    state: dict[str, Any]
    passes: int | None


def _numbered(device: torch.device) -> torch.device:
    """A GPU by its number, which "cuda" is to the thread that says so."""
    if device.type != "cuda" or device.index is not None:
        return device
    return torch.device("cuda", torch.cuda.current_device())
