"""How well a description tells where a feature fires from where it does not."""

from dataclasses import dataclass

Z = 1.959964
"""Of the normal distribution: 95 % lie within so many standard deviations."""


@dataclass(frozen=True)
class Detection:
    """Verdicts on examples, against the truth.

    Args:
        hits: activating examples that were called so, of `activating`.
        rejected: other examples that were called so, of `others`.
    """

    hits: int
    activating: int
    rejected: int
    others: int

    def __add__(self, other: "Detection") -> "Detection":
        return Detection(
            self.hits + other.hits,
            self.activating + other.activating,
            self.rejected + other.rejected,
            self.others + other.others,
        )

    @property
    def balanced_accuracy(self) -> float | None:
        """The mean of the shares of either kind that were called right: 0.5 by chance; None where a kind is missing."""
        if not (self.activating and self.others):
            return None
        return (self.hits / self.activating + self.rejected / self.others) / 2

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the balanced accuracy: Wilson's of either share, their distances squared and added
        (Newcombe 1998, method 10, for a mean in place of a difference)."""
        score = self.balanced_accuracy
        if score is None:
            return None
        shares = ((self.hits, self.activating), (self.rejected, self.others))
        bounds = [(count / of, *wilson(count, of)) for count, of in shares]
        down = sum((share - low) ** 2 for share, low, _ in bounds) ** 0.5 / 2
        up = sum((high - share) ** 2 for share, _, high in bounds) ** 0.5 / 2
        return max(score - down, 0.0), min(score + up, 1.0)


def wilson(count: int, of: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    share, z = count / of, Z * Z / of
    middle, half = (share + z / 2) / (1 + z), Z * (share * (1 - share) / of + z / of / 4) ** 0.5 / (1 + z)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def f1(hits: int, called: int, activating: int) -> float:
    """The harmonic mean of precision and recall; 0 where there is nothing to find or nothing was called."""
    return 2 * hits / (called + activating) if called + activating else 0.0
