"""Activations that something else computes, as they come: any iterable of tensors as a source."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from jaxtyping import Float
from torch import Tensor

from monosema.activations.shuffle import ShuffleBuffer
from monosema.activations.tensor_files import NAME
from monosema.errors import InputError

Piece = Tensor | Mapping[str, Tensor]


class IterableSource:
    """Batches of rows from pieces `[..., d]`, mixed in a buffer; a `Source`.

    The buffer is filled up and shuffled when half of it has been used. The last rows that fill no batch are left out.

    Args:
        begin: gives a new iterator over the pieces, always the same ones: tensors (their hook point is then called
            `activations`), or mappings of hook points to tensors with as many rows.
        batch_size: rows in a batch.
        buffer_rows: rows that are mixed, and held in memory, in the pieces' own type.
        seed: of the order.
        repeat: begin again at the end, without end.

    Raises:
        InputError: a buffer too small for two batches; while iterating, no piece at all, pieces of different hook
            points or widths, or with more rows than half of the buffer.
    """

    def __init__(
        self,
        begin: Callable[[], Iterable[Piece]],
        *,
        batch_size: int = 4096,
        buffer_rows: int = 2**18,
        seed: int = 0,
        repeat: bool = False,
    ):
        if not 1 <= batch_size <= buffer_rows // 2:
            raise InputError(f"batches of {batch_size} rows from a buffer of {buffer_rows}", expected="room for two")
        self.batch_size, self.repeat = batch_size, repeat
        self._begin, self._rows = begin, buffer_rows
        self._pieces, self._taken, self.passes = iter(begin()), 0, 0
        self.widths: dict[str, int] = {}
        """Hook point → d."""
        self._first = self._next_piece()
        if self._first is None:
            raise InputError("no activations", expected="at least one tensor")
        self._buffer = ShuffleBuffer(buffer_rows, self._first, seed=seed)

    def __iter__(self) -> Iterator[dict[str, Float[Tensor, "batch d"]]]:
        return self

    def __next__(self) -> dict[str, Float[Tensor, "batch d"]]:
        self._fill()
        if self._buffer.held < self.batch_size:
            raise StopIteration
        return self._buffer.take(self.batch_size)

    def sample(self, rows: int) -> dict[str, Float[Tensor, "rows d"]]:
        """The next rows, `rows` of them or as many as the buffer holds; consumes nothing."""
        self._fill()
        return self._buffer.peek(min(rows, self._buffer.held))

    def state_dict(self) -> dict[str, Any]:
        """How many pieces were taken, and the buffer."""
        held = self._first is not None
        return {"taken": self._taken - held, "passes": self.passes, "buffer": self._buffer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on exactly where `state` was taken, by passing over the pieces before it."""
        self._buffer.load_state_dict(state["buffer"])
        self._pieces, self._first = iter(self._begin()), None
        self._taken, self.passes = state["taken"], state["passes"]
        for _ in islice(self._pieces, self._taken):
            pass

    def _fill(self) -> None:
        if self._buffer.held > self._rows // 2:
            return
        held = self._buffer.held
        while (piece := self._first or self._next_piece()) is not None:
            rows = len(next(iter(piece.values())))
            if rows > self._rows // 2:
                raise InputError(f"a piece of {rows} rows", expected=f"at most half of the buffer's {self._rows}")
            if rows > self._buffer.free:
                self._first = piece
                break
            self._buffer.add(piece)
            self._first = None
        if self._buffer.held > held:
            self._buffer.shuffle()

    def _next_piece(self) -> dict[str, Tensor] | None:
        piece = next(self._pieces, None)
        if piece is None and self.repeat and self._taken:
            self._pieces, self._taken, self.passes = iter(self._begin()), 0, self.passes + 1
            piece = next(self._pieces, None)
        if piece is None:
            return None
        self._taken += 1
        named = {NAME: piece} if isinstance(piece, Tensor) else piece
        found = {name: tensor.detach().flatten(0, -2) for name, tensor in named.items()}
        self._check(found)
        return found

    def _check(self, piece: Mapping[str, Tensor]) -> None:
        shapes = {name: list(x.shape) for name, x in piece.items()}
        widths = {name: shape[1] for name, shape in shapes.items()}
        self.widths = self.widths or widths
        if widths != self.widths or len({shape[0] for shape in shapes.values()}) != 1:
            raise InputError(
                f"piece {self._taken - 1} has {shapes}", expected=f"as many rows at each hook point, of {self.widths}"
            )
        if not all(x.isfinite().all() for x in piece.values()):
            raise InputError(f"piece {self._taken - 1} holds NaN or infinity", expected="finite activations")
