"""A store as a source of activations."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.activations.store.index import Index, Shard, read_index
from monosema.activations.store.place import Place
from monosema.activations.store.shard import open_shard, problem_of, restored
from monosema.activations.tensors import part_of
from monosema.errors import InputError
from monosema.seeding import generator_for


class StoreSource:
    """Batches of a store's rows in random order; a `Source`.

    In each epoch the shards are shuffled, and cut into windows of as many as `window_rows` holds. A window's shards are
    mapped into memory, and its rows come in random order, each once; what is left of a window, less than a batch, opens
    the next one. The order depends on seed, epoch and window alone, so that a state is three numbers, whatever the
    store's size.

    Args:
        address: of the store.
        points: hook points to read; all by default.
        batch_size: rows in a batch.
        window_rows: rows that are mixed; at least one shard is.
        seed: of the order.
        epochs: passes over the rows; without end if None.
        reader: the first shard that this source reads, before every `readers`-th after it.
        readers: how many sources share the store.
        part: `(i, n)` yields the i-th of n equal parts of each batch, for one of n processes that share them.
        verify: compare each shard with its checksum when it is first opened.

    Raises:
        InputError: there is no store, it lacks a hook point, it has fewer shards than readers or fewer rows than a
            batch; while iterating, a shard that is missing or damaged.
    """

    def __init__(
        self,
        address: str | Path,
        points: Sequence[str] | None = None,
        *,
        batch_size: int = 4096,
        window_rows: int = 2**20,
        seed: int = 0,
        epochs: int | None = None,
        reader: int = 0,
        readers: int = 1,
        part: tuple[int, int] = (0, 1),
        verify: bool = True,
    ):
        self.place, self.batch_size, self.seed, self.epochs = Place(address), batch_size, seed, epochs
        self.index = read_index(self.place)
        self.points = list(self.index.points) if points is None else list(dict.fromkeys(points))
        self._check(reader, readers)
        self._shards = self.index.shards[reader::readers]
        self.rows = sum(shard.rows for shard in self._shards)
        if not 1 <= batch_size <= self.rows:
            raise InputError(f"a batch of {batch_size} rows", expected=f"from 1 to the {self.rows} rows that are there")
        self._window_rows, self._verify, self._part = window_rows, verify, part_of(part, batch_size)
        self._verified: set[str] = set()
        self._epoch, self._window, self._next = 0, 0, 0
        self._open: tuple[tuple[int, int], Window] | None = None

    @property
    def widths(self) -> dict[str, int]:
        """Hook point → d."""
        return {point: self.index.points[point] for point in self.points}

    @property
    def passes(self) -> int:
        """How many times all rows have been read."""
        return self._epoch

    def __iter__(self) -> Iterator[dict[str, Float[Tensor, "batch d"]]]:
        return self

    def __next__(self) -> dict[str, Float[Tensor, "batch d"]]:
        parts: list[dict[str, Tensor]] = []
        done = 0
        while done < self.batch_size:
            if self.epochs is not None and self._epoch >= self.epochs:
                raise StopIteration
            window = self._current()
            begin, end = self._next, min(self._next + self.batch_size - done, window.rows)
            own = [max(at, done) - done for at in (self._part.start, self._part.stop)]
            first, last = (min(begin + at, end) for at in own)
            if first < last:
                parts.append(window.take(first, last, self.points))
            done, self._next = done + end - begin, end
            if self._next == window.rows:
                self._go_on()
        return parts[0] if len(parts) == 1 else {p: torch.cat([part[p] for part in parts]) for p in self.points}

    def sample(self, rows: int) -> dict[str, Float[Tensor, "rows d"]]:
        """The next rows, `rows` of them or as many as are left in the window; consumes nothing."""
        return self._current().take(self._next, self._next + rows, self.points)

    def state_dict(self) -> dict[str, Any]:
        """Epoch, window and place in it, and what the order depends on."""
        return {"epoch": self._epoch, "window": self._window, "next": self._next, **self._order_of()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken.

        Raises:
            InputError: the state is of another store, another window or another order.
        """
        for key, here in self._order_of().items():
            if state[key] != here:
                raise InputError(
                    f"the state of a source with {key} = {state[key]}",
                    expected=f"{here}, as it is here",
                    hint="resume with the store and the settings that the run began with",
                )
        self._epoch, self._window, self._next = state["epoch"], state["window"], state["next"]

    def close(self) -> None:
        """Lets go of the shards that are open."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def _check(self, reader: int, readers: int) -> None:
        if not self.index.shards:
            raise InputError(f"the store {self.place} is empty", hint="monosema harvest --resume goes on with it")
        for point in self.points:
            if point not in self.index.points:
                raise InputError(f"hook point {point!r}", expected=f"one in the store: {', '.join(self.index.points)}")
        if not 0 <= reader < readers <= len(self.index.shards):
            raise InputError(
                f"reader {reader} of {readers} for {len(self.index.shards)} shards",
                expected="a number below that of the readers, and at least a shard for each",
            )

    def _order_of(self) -> dict[str, Any]:
        return {"seed": self.seed, "window_rows": self._window_rows, "shards": [s.sha256 for s in self._shards]}

    def _windows(self) -> list[list[Shard]]:
        """The shards of each window of this epoch."""
        windows: list[list[Shard]] = [[]]
        for number in torch.randperm(len(self._shards), generator=self._draw("shards")).tolist():
            shard = self._shards[number]
            if windows[-1] and sum(s.rows for s in windows[-1]) + shard.rows > self._window_rows:
                windows.append([])
            windows[-1].append(shard)
        return windows

    def _current(self) -> "Window":
        at = (self._epoch, self._window)
        if self._open is None or self._open[0] != at:
            self.close()
            shards = self._windows()[self._window]
            if self._verify:
                self._check_files(shards)
            order = torch.randperm(sum(s.rows for s in shards), generator=self._draw(str(self._window)))
            self._open = at, Window(self.place, self.index, shards, order)
        return self._open[1]

    def _check_files(self, shards: Sequence[Shard]) -> None:
        for shard in shards:
            if shard.name not in self._verified and (problem := problem_of(self.place, shard)):
                raise InputError(
                    f"shard {shard.name} of the store {self.place} {problem}",
                    expected="the file that was written",
                    hint=f"monosema harvest --out {self.place} --repair makes it again",
                )
            self._verified.add(shard.name)

    def _go_on(self) -> None:
        self._window, self._next = self._window + 1, 0
        if self._window == len(self._windows()):
            self._epoch, self._window = self._epoch + 1, 0

    def _draw(self, purpose: str) -> torch.Generator:
        return generator_for(f"{self.seed}:{self._epoch}:{purpose}")


class Window:
    """The rows of some shards, in an order."""

    def __init__(self, place: Place, index: Index, shards: Sequence[Shard], order: Int[Tensor, " rows"]):
        self._files = ExitStack()
        paths = [self._files.enter_context(place.as_local(shard.name)) for shard in shards]
        self._tensors = [open_shard(path, index, shard) for path, shard in zip(paths, shards, strict=True)]
        self._ends = torch.tensor([0, *(shard.rows for shard in shards)]).cumsum(0)
        self._order, self.rows = order, len(order)

    def take(self, start: int, end: int, points: Sequence[str]) -> dict[str, Float[Tensor, "n d"]]:
        """The rows from one place of the order up to another, or to its end."""
        wanted = self._order[start:end]
        shard = torch.searchsorted(self._ends, wanted, right=True) - 1
        found = {}
        for number, tensors in enumerate(self._tensors):
            places = (shard == number).nonzero()[:, 0]
            rows = wanted[places] - self._ends[number]
            for point in points:
                x = restored(tensors, point, rows)
                found.setdefault(point, x.new_empty(len(wanted), x.shape[1]))[places] = x
        return found

    def close(self) -> None:
        """Lets go of the files."""
        self._tensors = []
        self._files.close()
