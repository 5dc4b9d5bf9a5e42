"""Activations that already exist: tensors as a source, with no model at all."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.activations.tensor_files import NAME
from monosema.errors import InputError
from monosema.seeding import generator_for

_ROWS_AT_ONCE = 65_536


class TensorSource:
    """Batches of rows of tensors `[..., d]`, in a new random order in each epoch; a `Source`.

    The tensors are read, never changed; a tensor of more than two dimensions is read as rows `[-1, d]`. An epoch's last
    rows that do not fill a batch are left out. The order depends on the seed and the epoch alone.

    Args:
        tensors: one tensor (its hook point is then called `activations`), or several with as many rows, aligned.
        batch_size: rows in a batch.
        seed: of the order.
        epochs: passes over the rows; without end if None.
        part: `(i, n)` yields the i-th of n equal parts of each batch, for one of n processes that share them.

    Raises:
        InputError: shapes or types that are no activations, fewer rows than one batch, NaN or infinity.
    """

    def __init__(
        self,
        tensors: Tensor | Mapping[str, Tensor],
        batch_size: int,
        *,
        seed: int = 0,
        epochs: int | None = None,
        part: tuple[int, int] = (0, 1),
    ):
        named = {NAME: tensors} if isinstance(tensors, Tensor) else dict(tensors)
        self._tensors = {name: _as_rows(name, tensor) for name, tensor in named.items()}
        self.rows = _common_rows(self._tensors)
        if not 1 <= batch_size <= self.rows:
            raise InputError(
                f"a batch of {batch_size} rows from {self.rows} rows",
                expected="between one row and all of them",
                hint="give more rows or a smaller batch",
            )
        for name, tensor in self._tensors.items():
            _check_finite(name, tensor)
        self.batch_size, self.seed, self.epochs = batch_size, seed, epochs
        self._part = part_of(part, batch_size)
        self._epoch, self._next = 0, 0
        self._order = self._draw("0")

    @property
    def widths(self) -> dict[str, int]:
        """Hook point → d."""
        return {name: tensor.shape[1] for name, tensor in self._tensors.items()}

    def __iter__(self) -> Iterator[dict[str, Float[Tensor, "batch d"]]]:
        return self

    def __next__(self) -> dict[str, Float[Tensor, "batch d"]]:
        if self.epochs is not None and self._epoch >= self.epochs:
            raise StopIteration
        batch = self._at(self._order[self._next : self._next + self.batch_size][self._part])
        self._next += self.batch_size
        if self._next + self.batch_size > self.rows:
            self._epoch, self._next = self._epoch + 1, 0
            self._order = self._draw(str(self._epoch))
        return batch

    def sample(self, rows: int) -> dict[str, Float[Tensor, "rows d"]]:
        """Random rows, `rows` of them or all there are; consumes nothing."""
        return self._at(self._draw("sample")[:rows])

    def state_dict(self) -> dict[str, Any]:
        """Epoch, place in it, and the seed."""
        return {"epoch": self._epoch, "next": self._next, "seed": self.seed, "rows": self.rows}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken.

        Raises:
            InputError: the state is of a source with another number of rows.
        """
        if state["rows"] != self.rows:
            raise InputError(
                f"the state of a source of {state['rows']} rows",
                expected=f"{self.rows} rows, as there are here",
                hint="resume with the tensors that the run began with",
            )
        self.seed, self._epoch, self._next = state["seed"], state["epoch"], state["next"]
        self._order = self._draw(str(self._epoch))

    def _draw(self, purpose: str) -> Int[Tensor, "rows"]:
        return torch.randperm(self.rows, generator=generator_for(f"{self.seed}:{purpose}"))

    def _at(self, rows: Int[Tensor, "n"]) -> dict[str, Tensor]:
        return {name: tensor[rows.to(tensor.device)].float() for name, tensor in self._tensors.items()}


def part_of(part: tuple[int, int], batch_size: int) -> slice:
    """The places in a batch of the i-th of n equal parts of it.

    Raises:
        InputError: it has no such part.
    """
    number, count = part
    if not 0 <= number < count or batch_size % count:
        raise InputError(
            f"part {number} of {count} of a batch of {batch_size}",
            expected="a number below that of the parts, and a batch that they divide evenly",
        )
    size = batch_size // count
    return slice(number * size, (number + 1) * size)


def _as_rows(name: str, tensor: Tensor) -> Float[Tensor, "rows d"]:
    if tensor.ndim < 2 or tensor.shape[-1] == 0 or not tensor.is_floating_point():
        raise InputError(
            f"{name!r} is a tensor of shape {list(tensor.shape)} and type {tensor.dtype}",
            expected="floats of shape [rows, d], or [..., d]",
        )
    return tensor.detach().reshape(-1, tensor.shape[-1])


def _common_rows(tensors: Mapping[str, Tensor]) -> int:
    counts = {name: len(tensor) for name, tensor in tensors.items()}
    if len(set(counts.values())) != 1:
        raise InputError(
            f"tensors with these numbers of rows: {counts}" if counts else "no tensor",
            expected="as many rows in each, since row i is the same token at every hook point",
        )
    return next(iter(counts.values()))


def _check_finite(name: str, tensor: Float[Tensor, "rows d"]) -> None:
    for start in range(0, len(tensor), _ROWS_AT_ONCE):
        bad = (~tensor[start : start + _ROWS_AT_ONCE].isfinite()).any(dim=1)
        if bad.any():
            row = start + int(bad.int().argmax())
            raise InputError(
                f"{name!r} holds NaN or infinity in row {row} (and in {int(bad.sum()) - 1} of the rows after it)",
                expected="finite activations",
                hint="leave such rows out, or find what computed them",
            )
