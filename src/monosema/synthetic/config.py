"""What a world of known features is made of. The same classes are the Python API and the YAML file."""

from dataclasses import dataclass, field
from typing import Any, Literal

from monosema.errors import InputError


@dataclass(frozen=True)
class Zipf:
    """Firing probabilities that fall with the rank i of a feature as i^−exponent, from `most` down to `least`.

    pᵢ = least + (most − least) · (i^−e − n^−e) / (1 − n^−e), as in SynthSAEBench (arXiv 2602.14687).
    """

    exponent: float = 0.5
    """e: how steeply they fall."""
    most: float = 0.4
    """Of the first feature."""
    least: float = 5e-4
    """Of the last feature."""

    def __post_init__(self):
        _require(self, "exponent", self.exponent > 0, "a number above 0")
        _require(self, "most", 0 < self.most <= 1, "a probability above 0")
        _require(self, "least", 0 < self.least <= self.most, f"a probability above 0, at most {self.most}")


@dataclass(frozen=True)
class Magnitudes:
    """How strong a feature is where it fires: |mean + spread · noise|."""

    mean: float = 1.0
    """Of the first feature."""
    last_mean: float | None = None
    """Of the last feature; those between lie on a line. By default the first one's."""
    spread: float = 0.0
    """Half the range of uniform noise, or the standard deviation of normal noise."""
    spread_deviation: float = 0.0
    """Lets spreads differ: each feature's is drawn once, as |spread + spread_deviation · normal noise|."""
    noise: Literal["uniform", "normal"] = "uniform"
    """Its shape. Normal noise around a mean of 0 makes a folded normal distribution."""

    def __post_init__(self):
        _require(self, "mean", self.mean >= 0, "at least 0")
        _require(self, "last_mean", self.last_mean is None or self.last_mean >= 0, "at least 0")
        _require(self, "spread", self.spread >= 0, "at least 0")
        _require(self, "spread_deviation", self.spread_deviation >= 0, "at least 0")
        if self.noise not in ("uniform", "normal"):
            raise InputError(f"noise {self.noise!r}", expected="uniform or normal")
        if max(self.mean, self.last_mean or 0, self.spread, self.spread_deviation) == 0:
            raise InputError("magnitudes that are all 0", expected="a mean or a spread above 0")


@dataclass(frozen=True)
class Correlation:
    """Which features like to fire together: a Gaussian copula of low rank.

    Feature i fires where aᵢ · z + √(1 − ‖aᵢ‖²) εᵢ is large, with z [rank] and εᵢ standard normal: the features'
    normal variables have correlations aᵢ · aⱼ, and their probabilities stay what they were.
    """

    rank: int = 25
    """Size of z, which the features share."""
    scale: float = 0.1
    """Standard deviation of the entries of a, so that ‖a‖² is about rank · scale²."""

    def __post_init__(self):
        _require(self, "rank", self.rank >= 1, "at least 1")
        _require(self, "scale", self.scale > 0, "a number above 0")


@dataclass(frozen=True)
class Hierarchy:
    """Trees of features: a child fires only where its parent does.

    The first `trees` features are the roots, the next ones their children, level by level; what is left is in no tree.
    """

    trees: int = 128
    """Number of roots."""
    branching: int = 4
    """Children of each parent."""
    depth: int = 3
    """Levels below the roots."""
    exclusive: bool = True
    """Whether at most one of a parent's children fires at a time."""
    scaled: bool = False
    """Whether a child's magnitude is multiplied by its parent's, over the parent's mean."""

    def __post_init__(self):
        for name in ("trees", "branching", "depth"):
            _require(self, name, getattr(self, name) >= 1, "at least 1")

    @property
    def features(self) -> int:
        """Features in the trees, roots included."""
        return self.trees * sum(self.branching**level for level in range(self.depth + 1))


@dataclass(frozen=True)
class SyntheticConfig:
    """Activations that are sums of sparse features with known directions, x = Σᵢ fᵢ dᵢ + bias + noise."""

    features: int
    """n: how many features there are."""
    d: int
    """Size of the activations."""
    probabilities: float | tuple[float, ...] | Zipf
    """How often each feature fires: one number for all, one for each, or a law."""
    magnitudes: Magnitudes = field(default_factory=Magnitudes)
    """How strong a feature is where it fires."""
    correlation: Correlation | None = None
    """Which features like to fire together; by default they are independent."""
    hierarchy: Hierarchy | None = None
    """Which features need another one; by default none."""
    noise: float = 0.0
    """Standard deviation of the noise, in each dimension."""
    bias: float = 0.0
    """Norm of a random vector that is added to every row."""
    seed: int = 0
    """Of the directions and all else that stays the same from row to row."""

    def __post_init__(self):
        for name in ("features", "d"):
            _require(self, name, getattr(self, name) >= 1, "at least 1")
        for name in ("noise", "bias"):
            _require(self, name, getattr(self, name) >= 0, "at least 0")
        self._check_probabilities()
        self._check_hierarchy()

    def _check_probabilities(self) -> None:
        given = self.probabilities
        if isinstance(given, Zipf):
            return
        each = given if isinstance(given, tuple) else (given,)
        if isinstance(given, tuple) and len(given) != self.features:
            raise InputError(f"{len(given)} probabilities", expected=f"one number, or one for each of {self.features}")
        if wrong := [p for p in each if not 0 < p <= 1]:
            raise InputError(f"firing probability {wrong[0]}", expected="above 0 and at most 1")

    def _check_hierarchy(self) -> None:
        if self.hierarchy is None:
            return
        if self.hierarchy.features > self.features:
            raise InputError(
                f"trees of {self.hierarchy.features} features", expected=f"at most {self.features}, which there are"
            )
        if self.hierarchy.scaled and min(self.magnitudes.mean, self.magnitudes.last_mean or self.magnitudes.mean) == 0:
            raise InputError("children scaled by parents of mean magnitude 0", expected="means above 0")


def _require(config: Any, name: str, holds: bool, expected: str) -> None:
    """Raises an InputError about the field `name` unless `holds`."""
    if not holds:
        raise InputError(f"{name} = {getattr(config, name)} of {type(config).__name__}", expected=expected)
