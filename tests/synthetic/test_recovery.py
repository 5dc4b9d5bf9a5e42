"""The main recipes recover the features of the easy world: 256 in 64 dimensions, about five at a time."""

from functools import cache
from typing import Any

import pytest

from monosema.runs.synthetic import SyntheticResult, SyntheticRun, run_synthetic
from tests.runs.tiny_run import recipe

REVIVED: dict[str, Any] = {"aux": 0.25, "dead_after": 50_000}
"""Features that no true one has claimed are brought back early."""
RECIPES: dict[str, dict[str, Any]] = {
    "topk": {"k": 5},
    "batch_topk": {"k": 5, **REVIVED},
    "jumprelu": {
        "target_l0": 5.12,
        "lr": 0.02,
        "betas": (0.0, 0.999),
        "encoder_lr": 0.3,
        "threshold": 0.1,
        "bandwidth": 0.03,
        **REVIVED,
    },
    "gated": {"target_l0": 5.12, "lr": 0.01},
    "april_l1": {"sparsity_warmup": 0.5},
}


@cache
def found(name: str) -> SyntheticResult:
    config = SyntheticRun((recipe(name, **RECIPES[name]),), "easy", width=256, tokens=4_000_000, device="cpu")
    (result,) = run_synthetic(config).values()
    return result


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_every_main_recipe_finds_the_features(name: str):
    assert found(name).truth.mcc >= 0.93


@pytest.mark.slow
def test_topk_finds_nearly_every_feature_once():
    result = found("topk")
    assert result.truth.mcc >= 0.97
    assert result.truth.found >= 0.97
    assert result.truth.duplicates == 0
