"""The shuffling buffer: rows go in as the model computes them and come out mixed."""

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.errors import InputError


class ShuffleBuffer:
    """Holds up to `rows` rows of several hook points, aligned, and hands them out in random order.

    Rows are held in the type that they come in and handed out in float32. The memory is taken once. `order` is a
    permutation of the slots: the first `held` of it are the rows that may leave, in the order in which they will (from
    the back); the last of it are set aside until the next shuffling; those between are free. Adding writes into free
    slots, taking moves the border, and shuffling permutes indices only, so that no row is ever moved.

    Args:
        rows: how many fit in.
        like: for each hook point a tensor `[..., d]` of the width, the type and the place that its rows have.
        seed: of the order.
    """

    def __init__(self, rows: int, like: Mapping[str, Tensor], *, seed: int = 0):
        self.rows = rows
        self.held = 0
        self._tensors = {name: x.new_empty(rows, x.shape[-1]) for name, x in like.items()}
        self._order = torch.arange(rows, device=next(iter(like.values())).device)
        self._generator = torch.Generator().manual_seed(seed)
        self._aside: list[Tensor] = []
        """Slots, as they were filled."""

    @property
    def tensors(self) -> list[Tensor]:
        """The memory that rows lie in."""
        return list(self._tensors.values())

    @property
    def bytes(self) -> int:
        """The memory that the buffer takes, in bytes, empty or full."""
        return sum(t.nbytes for t in self.tensors) + self._order.nbytes

    @property
    def aside(self) -> int:
        """How many rows wait for the next shuffling."""
        return sum(map(len, self._aside))

    @property
    def free(self) -> int:
        """How many more rows fit in."""
        return self.rows - self.held - self.aside

    def add(self, rows: Mapping[str, Float[Tensor, "n d"]]) -> None:
        """Copies n aligned rows in, behind those that are there; n must be at most `free`."""
        self.set_aside(rows)
        self._let_in()

    @torch.no_grad()
    def set_aside(self, rows: Mapping[str, Float[Tensor, "n d"]]) -> None:
        """Copies n aligned rows into free slots, where they stay until the next shuffling; n must be at most `free`."""
        end = self.rows - self.aside
        slots = self._order[end - len(next(iter(rows.values()))) : end].clone()
        for name, tensor in self._tensors.items():
            tensor.index_copy_(0, slots, rows[name])
        self._aside.append(slots)

    def shuffle(self) -> None:
        """Draws a new order for all rows inside, those that were set aside among them."""
        self._let_in()
        order = torch.randperm(self.held, generator=self._generator).to(self._order.device)
        self._order[: self.held] = self._order[order]

    def take(self, n: int) -> dict[str, Float[Tensor, "n d"]]:
        """Removes the next n rows; n must be at most `held`."""
        rows = self.peek(n)
        self.held -= n
        return rows

    def peek(self, n: int) -> dict[str, Float[Tensor, "n d"]]:
        """A copy of the next n rows, which stay; n must be at most `held`."""
        return {name: rows.float() for name, rows in self._at(self._order[self.held - n : self.held]).items()}

    def state_dict(self) -> dict[str, Any]:
        """The rows that may leave, in their order, and the random generator; nothing of what was set aside."""
        return {"rows": self._at(self._order[: self.held]), "generator": self._generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Puts back what `state_dict` gave: the rows that follow are the same.

        Raises:
            InputError: the state is of other hook points or widths, or holds more rows than fit in.
        """
        saved = {name: list(rows.shape[1:]) for name, rows in state["rows"].items()}
        here = {name: list(rows.shape[1:]) for name, rows in self._tensors.items()}
        held = len(next(iter(state["rows"].values())))
        if saved != here or held > self.rows:
            raise InputError(
                f"the state of a buffer with {held} rows of {saved}",
                expected=f"at most {self.rows} rows of {here}",
                hint="resume with the hook points and the buffer that the run began with",
            )
        self.held, self._aside = 0, []
        self.add({name: rows.to(self._order.device) for name, rows in state["rows"].items()})
        self._generator.set_state(state["generator"].cpu())

    def _let_in(self) -> None:
        """Makes what was set aside the last of the rows that may leave."""
        if self._aside:
            free = self._order[self.held : self.held + self.free]
            self._order = torch.cat([self._order[: self.held], *self._aside, free])
            self.held, self._aside = self.rows - len(free), []

    def _at(self, slots: Int[Tensor, "n"]) -> dict[str, Tensor]:
        return {name: tensor.index_select(0, slots) for name, tensor in self._tensors.items()}
