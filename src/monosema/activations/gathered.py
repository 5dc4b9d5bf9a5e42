"""One stream of batches from several processes, each of which reads a text of its own."""

from collections.abc import Iterator, Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from monosema.activations.source import Source
from monosema.errors import InputError
from monosema.ranks import Group


class GatheredSource:
    """The batches of all processes' sources, joined; a `Source` that yields what this process's group has of them.

    A batch of all is as many times as large as there are processes. Those that learn from the same rows tell each other
    the rows that they have read. All have to ask for a batch, or a sample, at the same time.

    Args:
        source: this process's; it must not end.
        readers: those that learn from the same rows.
        world: all processes.
    """

    def __init__(self, source: Source, readers: Group, world: Group):
        self.source, self.widths, self.batch_size = source, source.widths, source.batch_size * world.size
        self._readers, self._world = readers, world

    @property
    def passes(self) -> int | None:
        """How many times this process's text has been read to its end."""
        return getattr(self.source, "passes", None)

    @property
    def bytes(self) -> int | None:
        """The memory of this process's buffer, in bytes."""
        return getattr(self.source, "bytes", None)

    def __iter__(self) -> Iterator[dict[str, Float[Tensor, "rows d"]]]:
        for batch in self.source:
            yield {point: self._readers.gather(x) for point, x in batch.items()}

    def sample(self, rows: int) -> dict[str, Float[Tensor, "rows d"]]:
        """Rows like the next ones of all, as many from each; consumes nothing."""
        found = self.source.sample(max(rows // self._world.size, 1))
        common = int(self._world.min(next(iter(found.values())).new_tensor(len(next(iter(found.values()))))))
        return {point: self._world.gather(x[:common]) for point, x in found.items()}

    def state_dict(self) -> dict[str, Any]:
        """Of this process's source, and how many there are."""
        return {"processes": self._world.size, "own": self.source.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state` was taken.

        Raises:
            InputError: there were more or fewer processes.
        """
        check_processes(state, self._world.size)
        self.source.load_state_dict(state["own"])


def check_processes(state: Mapping[str, Any], now: int) -> None:
    """Refuses to go on in a text with more or fewer processes than it was divided among.

    Raises:
        InputError: with the number that it takes.
    """
    before = state.get("processes", 1)
    if before != now:
        raise InputError(
            f"{now} processes to go on in a text that {before} have read",
            expected=f"{before}, because each is somewhere else in a part of its own",
            hint="a run that reads a store (monosema harvest, train --store) goes on with any number",
        )
