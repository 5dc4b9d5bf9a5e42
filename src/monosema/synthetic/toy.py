"""Toy models of superposition (Elhage et al. 2022, transformer-circuits.pub/2022/toy_model): many at once."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.errors import InputError
from monosema.progress import progress

REPRESENTED = 0.5
"""Norm of a feature's direction above which it counts as represented."""
_FRESH = 65_536  # rows on which the starts are compared


@dataclass(frozen=True)
class ToyConfig:
    """x′ = ReLU(W Wᵀ x + b): n sparse features pass through d dimensions, once for each density.

    A feature is 0 with probability 1 − density, else uniform between 0 and 1; the loss is Σᵢ Iᵢ (xᵢ − x′ᵢ)².
    """

    features: int = 20
    """n: how many features there are."""
    d: int = 5
    """Dimensions that they pass through."""
    densities: tuple[float, ...] = (1.0, 0.5, 0.2, 0.1, 0.05, 0.01)
    """How often each feature is there; one model is trained for each density, all in one batch."""
    importance: float = 0.9
    """Iᵢ = importance^i: how much each feature matters against the one before it; 1 for all alike."""
    steps: int = 4000
    """Steps of Adam."""
    batch_size: int = 512
    """Rows per step, for each model."""
    lr: float = 1e-2
    """Peak learning rate; it falls to zero along a cosine."""
    restarts: int = 4
    """Models trained for each density, of which the one with the least loss is kept."""
    seed: int = 0
    """Of the weights at the start and of the data."""

    def __post_init__(self):
        for name in ("features", "d", "steps", "batch_size", "restarts"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} = {getattr(self, name)}", expected="at least 1")
        if not self.densities or not all(0 < density <= 1 for density in self.densities):
            raise InputError(f"densities {self.densities}", expected="at least one, each above 0 and at most 1")
        if not 0 < self.importance <= 1:
            raise InputError(f"importance = {self.importance}", expected="above 0 and at most 1")
        if not self.lr > 0:
            raise InputError(f"lr = {self.lr}", expected="a learning rate above 0")

    @property
    def importances(self) -> Float[Tensor, "features"]:
        """Iᵢ."""
        return self.importance ** torch.arange(self.features, dtype=torch.float32)


@dataclass(frozen=True)
class ToyModels:
    """Trained models, one for each density."""

    config: ToyConfig
    W: Float[Tensor, "model features d"]
    """Row i is feature i's direction."""
    b: Float[Tensor, "model features"]
    loss: Float[Tensor, "model"]
    """On fresh data, in parts of the loss of the best constant prediction, which needs no dimensions at all."""

    def norms(self) -> Float[Tensor, "model features"]:
        """‖Wᵢ‖: 1 where a feature is represented fully, 0 where it is not."""
        return self.W.norm(dim=2)

    def represented(self) -> list[int]:
        """How many features have ‖Wᵢ‖ > 1/2."""
        return (self.norms() > REPRESENTED).sum(1).tolist()

    def dimensions_per_feature(self) -> Float[Tensor, "model"]:
        """d / ‖W‖²: 1 where features are orthogonal, less where they share dimensions."""
        return self.config.d / self.norms().square().sum(1).clamp_min(torch.finfo(self.W.dtype).tiny)

    def dimensionality(self) -> Float[Tensor, "model features"]:
        """Dᵢ = ‖Wᵢ‖² / Σⱼ (Ŵᵢ · Wⱼ)²: the part of a dimension that feature i has; 0 where it has no direction."""
        squared = self.norms().square()
        shared = (self.W @ self.W.mT).square().sum(2)
        return torch.where(shared > 0, squared.square() / shared, 0.0)

    def interference(self) -> Float[Tensor, "model features"]:
        """Σⱼ≠ᵢ (Ŵᵢ · Wⱼ)²: how much of the others lies along feature i; 0 where it shares its direction with none."""
        products = (self.W @ self.W.mT).square()
        others = products.sum(2) - products.diagonal(dim1=1, dim2=2)
        squared = self.norms().square()
        return torch.where(squared > 0, others / squared, 0.0)


def train_toy(config: ToyConfig) -> ToyModels:
    """Trains all models in one batch: those of every density, each from several starts."""
    generator = torch.Generator().manual_seed(config.seed)
    densities = torch.tensor(config.densities)
    size = (len(densities), config.restarts, config.features)
    W = (torch.randn(*size, config.d, generator=generator) / config.features**0.5).requires_grad_()
    b = torch.zeros(size, requires_grad=True)
    optimiser = torch.optim.Adam([W, b], lr=config.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    with progress("training toy models", config.steps, "steps") as bar:
        for _ in range(config.steps):
            # Each model's own loss: a sum, so that none feels the others, in parts of what its features vary.
            _losses(config, W, b, densities, generator).sum().backward()
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
            bar.advance()
    return _best(config, W.detach(), b.detach(), densities, generator)


def _losses(
    config: ToyConfig,
    W: Float[Tensor, "density restart features d"],
    b: Float[Tensor, "density restart features"],
    densities: Float[Tensor, "density"],
    generator: torch.Generator,
) -> Float[Tensor, "density restart"]:
    """Mean Σᵢ Iᵢ (xᵢ − x′ᵢ)² over a batch, in parts of the best constant's; every start sees the same rows."""
    p = densities.view(-1, 1, 1, 1)
    luck = torch.rand(len(densities), 1, config.batch_size, config.features, generator=generator)
    x = torch.where(luck < p, luck / p, 0.0)  # given that it is below p, luck / p is uniform
    output = (x @ W @ W.mT + b.unsqueeze(2)).relu()
    error = (config.importances * (x - output).square()).sum(3).mean(2)
    variance = config.importances.sum() * (densities / 3 - densities.square() / 4)
    return error / variance.unsqueeze(1)


@torch.no_grad()
def _best(
    config: ToyConfig,
    W: Float[Tensor, "density restart features d"],
    b: Float[Tensor, "density restart features"],
    densities: Float[Tensor, "density"],
    generator: torch.Generator,
) -> ToyModels:
    """Of the models of each density the one with the least loss on fresh data."""
    batches = max(_FRESH // config.batch_size, 1)
    losses = torch.stack([_losses(config, W, b, densities, generator) for _ in range(batches)]).double().mean(0)
    each, best = torch.arange(len(densities)), losses.argmin(1)
    return ToyModels(config, W[each, best], b[each, best], losses[each, best])
