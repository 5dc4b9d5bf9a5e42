"""Easy data with known features, and learners on it."""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from monosema.activations import TensorSource
from monosema.dictionaries import Spec
from monosema.recipes import Recipe, recipes
from monosema.training import Learner

D, FEATURES, BATCH = 16, 32, 64
SMALL: dict[str, dict[str, Any]] = {
    "topk": {"k": 4},
    "batch_topk": {"k": 4},
    "matryoshka": {"k": 4, "prefixes": (0.5, 1.0)},
    "hierarchical_topk": {"k": 4},
    "l1": {"target_l0": 4.0},
    "april_l1": {"sparsity": 0.5},
    "gated": {"target_l0": 4.0},
    "gated_ri_l1": {"target_l0": 4.0},
    "p_anneal": {"target_l0": 4.0},
    "gated_anneal": {"target_l0": 4.0},
    "entropy": {"target_l0": 4.0},
    "jumprelu": {"target_l0": 4.0, "bandwidth": 0.05, "threshold": 0.02},
    "jumprelu_tanh": {"target_l0": 4.0, "threshold": 0.1, "bandwidth": 0.5},
}
"""Settings of each recipe that suit this data."""


def recipe(name: str, **changes: Any) -> Recipe:
    return dataclasses.replace(recipes[name](**SMALL[name]), **changes)


def rows(count: int, d: int = D, seed: int = 0) -> Tensor:
    """Sums of about two of 32 directions in `d` dimensions, away from the origin."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(FEATURES, d, generator=torch.Generator().manual_seed(12345))
    directions = directions / directions.norm(dim=1, keepdim=True)
    active = torch.rand(count, FEATURES, generator=generator) < 2 / FEATURES
    sizes = 1 + torch.rand(count, FEATURES, generator=generator)
    return (active * sizes) @ directions + 0.3


def autoencoder(recipe: Recipe, width: int = FEATURES) -> Spec:
    return Spec(D, D, width, ("x",), ("x",), subtracts_input_bias=recipe.subtracts_input_bias)


def transcoder(recipe: Recipe, width: int = FEATURES, skip: bool = False) -> Spec:
    bias = recipe.subtracts_input_bias
    return Spec(D, 8, width, ("x",), ("y",), wiring="transcoder", subtracts_input_bias=bias, skip=skip)


def blocks(recipe: Recipe, width: int = FEATURES) -> Spec:
    """An autoencoder with a block for each half of `x`."""
    kind: dict[str, Any] = {"encoder": "block_diagonal", "decoder": "block_diagonal", "blocks": 2}
    return dataclasses.replace(autoencoder(recipe, width), **kind)


def data(count: int = 2048, factor: float = 1.0) -> dict[str, Tensor]:
    """`x` of size 16, and `y` of size 8 that depends on it."""
    x = rows(count)
    y = (x @ torch.randn(D, 8, generator=torch.Generator().manual_seed(7))).relu()
    return {"x": x * factor, "y": y * factor}


def source(tensors: dict[str, Tensor] | None = None, **options: Any) -> TensorSource:
    return TensorSource(data() if tensors is None else tensors, BATCH, **options)


def batches(count: int, tensors: dict[str, Tensor] | None = None) -> list[dict[str, Tensor]]:
    stream = iter(source(tensors))
    return [next(stream) for _ in range(count)]


def learner(recipe: Recipe, spec: Spec | None = None, *, steps: int = 100, factor: float = 1.0, **options) -> Learner:
    sample = data(512, factor)
    return Learner(spec or autoencoder(recipe), recipe, sample, steps=steps, batch_size=BATCH, **options)
