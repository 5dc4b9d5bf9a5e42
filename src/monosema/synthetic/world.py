"""A world of known features: its directions, and draws of activations with the codes that made them."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from monosema.seeding import generator_for
from monosema.synthetic.config import Magnitudes, SyntheticConfig
from monosema.synthetic.firing import Copula, Firings, Independent
from monosema.synthetic.probabilities import firing_probabilities
from monosema.synthetic.trees import Trees


class TrueCodes(NamedTuple):
    """The features that made some rows, one entry for each firing, in the order of the rows."""

    rows: Int[Tensor, "firings"]
    features: Int[Tensor, "firings"]
    values: Float[Tensor, "firings"]
    shape: tuple[int, int]

    def to_dense(self) -> Float[Tensor, "rows features"]:
        """The same codes with their zeros."""
        dense = self.values.new_zeros(self.shape)
        dense[self.rows, self.features] = self.values
        return dense


class World:
    """What a `SyntheticConfig` describes; all that is fixed in it depends on the configuration alone.

    Args:
        config: the world.
        device: where rows are drawn. The same seed gives other rows on another kind of device.
    """

    def __init__(self, config: SyntheticConfig, device: torch.device | str = "cpu"):
        self.config, self.device = config, torch.device(device)
        # Mixed, because a learner of the same seed and size would draw these very directions to begin with.
        generator = generator_for(f"world:{config.seed}")
        directions = F.normalize(torch.randn(config.features, config.d, generator=generator), dim=1)
        bias = config.bias * F.normalize(torch.randn(config.d, generator=generator), dim=0)
        self.directions: Float[Tensor, "features d"] = directions.to(self.device)
        """Unit rows."""
        self.bias: Float[Tensor, " d"] = bias.to(self.device)
        self.probabilities: Float[Tensor, " features"] = firing_probabilities(config)
        """How often each feature fires, in float64 on the CPU."""
        means, spreads = _magnitudes(config.magnitudes, config.features, generator)
        self._means, self._spreads = means.to(self.device), spreads.to(self.device)
        self._free = _free(config).to(self.device)  # features that wait for no parent
        chances = self.probabilities[self._free.cpu()]
        if config.correlation is None:
            self.firing = Independent(chances, self.device)
        else:
            self.firing = Copula(chances, config.correlation, generator, self.device)
        self._trees = config.hierarchy and Trees(config.hierarchy, self.probabilities, self.device)

    @property
    def l0(self) -> float:
        """Mean number of features that fire on a row."""
        return self.probabilities.sum().item()

    def draw(self, rows: int, generator: torch.Generator) -> tuple[Float[Tensor, "rows d"], TrueCodes]:
        """Activations, and the codes that made them; all chance comes from `generator`, which lies on the device."""
        codes = self.draw_codes(rows, generator)
        starts = torch.searchsorted(codes.rows, torch.arange(rows, device=self.device))
        x = F.embedding_bag(codes.features, self.directions, starts, mode="sum", per_sample_weights=codes.values)
        if self.config.noise:
            x += self.config.noise * torch.randn(x.shape, generator=generator, device=self.device)
        return (x + self.bias if self.config.bias else x), codes

    def draw_codes(self, rows: int, generator: torch.Generator) -> TrueCodes:
        """Codes alone."""
        free = self.firing.draw(rows, generator)
        found = Firings(free.rows, self._free[free.features])
        values = self._draw_magnitudes(found.features, generator)
        if self._trees is not None:
            found, values = self._descend(self._trees, found, values, generator)
        order = torch.argsort(found.rows * self.config.features + found.features)
        return TrueCodes(found.rows[order], found.features[order], values[order], (rows, self.config.features))

    def _draw_magnitudes(self, features: Int[Tensor, "n"], generator: torch.Generator) -> Float[Tensor, "n"]:
        if self.config.magnitudes.noise == "normal":
            noise = torch.randn(len(features), generator=generator, device=self.device)
        else:
            noise = 2 * torch.rand(len(features), generator=generator, device=self.device) - 1
        return (self._means[features] + self._spreads[features] * noise).abs()

    def _descend(
        self, trees: Trees, found: Firings, values: Float[Tensor, "n"], generator: torch.Generator
    ) -> tuple[Firings, Float[Tensor, "more"]]:
        """Lets children of what fires fire, level by level."""
        all_found, all_values = [found], [values]
        for level, (parents, _) in enumerate(trees.levels):
            here = (found.features >= parents.start) & (found.features < parents.stop)
            rows, above, strength = found.rows[here], found.features[here], values[here]
            places, features = trees.children(above, level, generator)
            found, values = Firings(rows[places], features), self._draw_magnitudes(features, generator)
            if trees.hierarchy.scaled:
                values = values * strength[places] / self._means[above[places]]
            all_found.append(found)
            all_values.append(values)
        return Firings(*(torch.cat(parts) for parts in zip(*all_found, strict=True))), torch.cat(all_values)


def _free(config: SyntheticConfig) -> Int[Tensor, "free"]:
    """Features that wait for no parent: the roots, and those in no tree."""
    features = torch.arange(config.features)
    if config.hierarchy is None:
        return features
    return features[(features < config.hierarchy.trees) | (features >= config.hierarchy.features)]


def _magnitudes(
    config: Magnitudes, features: int, generator: torch.Generator
) -> tuple[Float[Tensor, "features"], Float[Tensor, "features"]]:
    """Each feature's mean and spread."""
    last = config.mean if config.last_mean is None else config.last_mean
    spreads = config.spread + config.spread_deviation * torch.randn(features, generator=generator)
    return torch.linspace(config.mean, last, features), spreads.abs()
