"""How ranks are laid out, and how long what they tell each other takes.

Ranks count through a grid (data, spread, feature), the last fastest: those that share a dictionary's features are
neighbours.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from monosema.errors import InputError
from monosema.planning.hardware import Hardware


@dataclass(frozen=True)
class Mesh:
    """So many ranks, one a device."""

    ranks: int = 1
    """All of them."""
    feature: int = 1
    """Ranks that share a dictionary's features."""
    spread: int = 1
    """Groups of ranks among which dictionaries are dealt out."""

    def __post_init__(self):
        if min(self.ranks, self.feature, self.spread) < 1 or self.ranks % (self.feature * self.spread):
            raise InputError(
                f"{self.ranks} ranks for feature {self.feature} · spread {self.spread}",
                expected=f"a multiple of {self.feature * self.spread} ranks",
            )

    @property
    def data(self) -> int:
        """Parts of a batch, each of which a group of ranks trains on."""
        return self.ranks // (self.feature * self.spread)

    @property
    def group(self) -> int:
        """Ranks that train on the same rows."""
        return self.feature * self.spread


def meshes(ranks: int, dictionaries: int) -> Iterator[Mesh]:
    """Every way to lay out so many ranks that leaves none without a dictionary."""
    for feature in range(1, ranks + 1):
        for spread in range(1, min(dictionaries, ranks // feature) + 1):
            if ranks % (feature * spread) == 0:
                yield Mesh(ranks, feature, spread)


def gather_bytes(own: float, ranks: int) -> float:
    """What a rank receives when `ranks` ranks show each other `own` bytes each: `(n − 1) · own`."""
    return (ranks - 1) * own


def reduce_bytes(size: float, ranks: int) -> float:
    """What a rank sends when `size` bytes are summed over a ring of ranks: `2 (n − 1) / n · size`."""
    return 2 * (ranks - 1) / ranks * size


def rate(hardware: Hardware, span: int) -> float:
    """Bytes/s of a group whose first and last rank are `span` apart, ends included: the network's if it is of several
    machines."""
    return hardware.link if span <= hardware.per_machine else hardware.network
