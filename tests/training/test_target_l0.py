"""A `target_l0` is reached, within five percent, by every recipe that has a coefficient."""

import pytest
import torch

from monosema.dictionaries import Spec
from monosema.recipes import recipes
from monosema.recipes.penalised import Penalised
from monosema.training import Learner

D, FEATURES, WIDTH, BATCH, STEPS, TARGET = 64, 256, 256, 256, 2000, 12.0
CASES = {name: recipe(target_l0=TARGET) for name, recipe in recipes.items() if issubclass(recipe, Penalised)}


def rows(count: int, seed: int) -> torch.Tensor:
    """Sums of about ten of 256 directions in 64 dimensions."""
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(FEATURES, D, generator=torch.Generator().manual_seed(1))
    active = torch.rand(count, FEATURES, generator=generator) < 10 / FEATURES
    sizes = 0.5 + torch.rand(count, FEATURES, generator=generator)
    return (active * sizes) @ torch.nn.functional.normalize(directions)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_held_out_l0_is_the_target(case: str):
    recipe = CASES[case]
    data = rows(STEPS * BATCH // 4, 0)
    learner = Learner(Spec.autoencoder("x", D, WIDTH), recipe, {"x": data[:4096]}, steps=STEPS, batch_size=BATCH)
    for step in range(STEPS):
        start = step * BATCH % len(data)
        learner.step({"x": data[start : start + BATCH]})
    codes = learner.finished().encode(rows(8192, 2))
    assert (codes != 0).sum(1).float().mean().item() == pytest.approx(TARGET, rel=0.05)
