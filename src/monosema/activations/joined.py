"""A source whose hook points are expressions of another's."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from monosema.activations.source import Source
from monosema.activations.tensor_files import NAME, load_tensors
from monosema.errors import InputError
from monosema.models import names_in, parsed


class JoinedSource:
    """Sums and joined activations, `a + b` and `a & b`, of a source that has `a` and `b`; a `Source`.

    Args:
        source: has every hook point that is in an expression, or the expression itself by its text.
        points: expressions.

    Raises:
        InputError: activations that are added have different sizes.
    """

    def __init__(self, source: Source, points: Sequence[str]):
        self.source, self.points, self.batch_size = source, list(points), source.batch_size
        self.widths = {point: x.shape[1] for point, x in self.sample(1).items()}

    @property
    def passes(self) -> int | None:
        """How many times all rows have been read, where the source knows."""
        return getattr(self.source, "passes", None)

    def __iter__(self) -> Iterator[dict[str, Float[Tensor, "batch d"]]]:
        return map(self._joined, self.source)

    def sample(self, rows: int) -> dict[str, Float[Tensor, "rows d"]]:
        """Rows like the next ones; consumes nothing."""
        return self._joined(self.source.sample(rows))

    def state_dict(self) -> dict[str, Any]:
        """That of the source."""
        return self.source.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Puts the source where it was."""
        self.source.load_state_dict(state)

    def _joined(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return joined(batch, self.points)


def joined(
    activations: Mapping[str, Float[Tensor, "rows _"]], points: Sequence[str]
) -> dict[str, Float[Tensor, "rows _"]]:
    """What expressions stand for; one that is there under its own text is taken as it is."""
    return {point: activations[point] if point in activations else parsed(point).of(activations) for point in points}


def needed(points: Sequence[str], there: Mapping[str, Any]) -> list[str]:
    """What has to be read for some expressions: each as a whole where it is there, else the hook points in it."""
    return list(dict.fromkeys(name for p in points for name in ([p] if p in there else names_in([p]))))


def tensors_for(path: str | Path, points: Sequence[str]) -> dict[str, Tensor]:
    """The tensors in a file, by hook point. If a file's only tensor is called `activations`, as those that come without
    a name are, it is taken to be at the only hook point that is asked for.

    Raises:
        InputError: the file cannot be read, or has no tensor for a hook point that is needed.
    """
    tensors = load_tensors(path)
    names = needed(points, tensors)
    if list(tensors) == [NAME] and len(names) == 1:
        tensors = {names[0]: tensors[NAME]}
    for name in names:
        if name not in tensors:
            raise InputError(f"site {name!r}", expected=f"a tensor in {path}: {', '.join(sorted(tensors))}")
    return tensors
