"""What yields activations to train and to measure on."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Source(Protocol):
    """Yields batches of activations at one or several hook points, rows aligned: row i is the same token at each."""

    @property
    def widths(self) -> Mapping[str, int]:
        """Hook point → d."""
        ...

    @property
    def batch_size(self) -> int:
        """Rows in a batch."""
        ...

    def __iter__(self) -> Iterator[dict[str, Float[Tensor, "batch d"]]]:
        """Yields batches in float32; a new iterator goes on where the last one stood."""
        ...

    def sample(self, rows: int) -> dict[str, Float[Tensor, "rows d"]]:
        """Rows like those to come, `rows` of them or as many as are at hand; consumes nothing."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that the coming batches depend on."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on exactly where the source stood when `state` was taken."""
        ...
