"""Activations with known features, without end."""

from collections.abc import Iterator, Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from monosema.errors import InputError
from monosema.seeding import generator_for
from monosema.synthetic.world import TrueCodes, World

POINT = "synthetic"
"""The hook point's name."""


class SyntheticSource:
    """Batches of a world's rows; a `Source`.

    Batch number i depends on the world, the seed, i and the batch's size alone, so a source goes on anywhere. Another
    seed gives other rows of the same world: held-out ones.

    Raises:
        InputError: a batch of no rows.
    """

    def __init__(self, world: World, batch_size: int, *, seed: int = 0, point: str = POINT):
        if batch_size < 1:
            raise InputError(f"a batch of {batch_size} rows", expected="at least one")
        self.world, self.batch_size, self.seed, self.point = world, batch_size, seed, point
        self._next = 0

    @property
    def widths(self) -> dict[str, int]:
        """Hook point → d."""
        return {self.point: self.world.config.d}

    def __iter__(self) -> Iterator[dict[str, Float[Tensor, "batch d"]]]:
        return self

    def __next__(self) -> dict[str, Float[Tensor, "batch d"]]:
        return self.next_with_codes()[0]

    def next_with_codes(self) -> tuple[dict[str, Float[Tensor, "batch d"]], TrueCodes]:
        """The next batch, and the codes that made it."""
        x, codes = self._draw(str(self._next), self.batch_size)
        self._next += 1
        return {self.point: x}, codes

    def sample(self, rows: int) -> dict[str, Float[Tensor, "rows d"]]:
        """Rows like those to come; consumes nothing."""
        return {self.point: self._draw("sample", rows)[0]}

    def state_dict(self) -> dict[str, Any]:
        """The number of the next batch, its size, and the seed."""
        return {"next": self._next, "seed": self.seed, "batch_size": self.batch_size}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken, in the same world.

        Raises:
            InputError: the state is of a source with batches of another size.
        """
        if state["batch_size"] != self.batch_size:
            raise InputError(
                f"the state of a source of batches of {state['batch_size']}", expected=f"{self.batch_size}"
            )
        self.seed, self._next = state["seed"], state["next"]

    def _draw(self, purpose: str, rows: int) -> tuple[Float[Tensor, "rows d"], TrueCodes]:
        return self.world.draw(rows, generator_for(f"{self.seed}:{purpose}", self.world.device))
