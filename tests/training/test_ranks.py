"""Dictionaries that several ranks train together are those that one process trains."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh

from monosema.ranks import Ranks
from monosema.recipes import Recipe
from monosema.training import Learner
from tests.ranks import on_ranks
from tests.training.setup import SMALL, autoencoder, batches, learner, recipe, transcoder

STEPS = 12
GRIDS = [(2, 1), (1, 2), (2, 2)]
CASES: dict[str, Recipe] = {
    **{name: recipe(name) for name in SMALL},
    "topk, AuxK": recipe("topk", aux=0.5, dead_after=64),
    "topk, AuxK, few": recipe("topk", aux=0.5, dead_after=64, aux_k=2),
    "topk, Multi-TopK": recipe("topk", multi_topk=0.125),
    "batch_topk, AuxK": recipe("batch_topk", aux=0.5, dead_after=64),
    "matryoshka, three": recipe("matryoshka", prefixes=(0.25, 0.625, 1.0)),
    "jumprelu, target": recipe("jumprelu", penalty="target"),
    "jumprelu, adaptive": recipe("jumprelu", adaptive_bandwidth=0.5),
    "l1, ghost": recipe("l1", ghost=1.0, dead_after=64, resample_at=()),
    "l1, resampled": recipe("l1", resample_at=(0.5,)),
    "topk, aligned": recipe("topk", aligned=True),
    "topk, signum": recipe("topk", optimiser="signum"),
}


def on_grid(data: int, feature: int) -> Ranks:
    return Ranks.of(init_device_mesh("cpu", (data, feature), mesh_dim_names=("data", "feature")))


def begun(case: str, wiring: str, **options: Any) -> Learner:
    made = CASES[case]
    spec = autoencoder(made) if wiring == "autoencoder" else transcoder(made, skip=True)
    return learner(made, spec, steps=STEPS, **options)


def trained(case: str, wiring: str, ranks: Ranks | None = None) -> tuple[dict[str, Tensor], list[dict[str, float]]]:
    one = begun(case, wiring) if ranks is None else begun(case, wiring, ranks=ranks)
    metrics = [
        one.step(batch if ranks is None else {point: ranks.rows.part(x) for point, x in batch.items()})
        for batch in batches(STEPS)
    ]
    return dict(one.finished().state_dict()), metrics


def together(cases: list[str], wiring: str, data: int, feature: int) -> dict[str, Any]:
    ranks = on_grid(data, feature)
    return {case: trained(case, wiring, ranks) for case in cases}


@pytest.mark.slow
@pytest.mark.parametrize("wiring", ["autoencoder", "transcoder"])
@pytest.mark.parametrize(("data", "feature"), GRIDS)
def test_weights_and_metrics_are_those_of_one_process(data: int, feature: int, wiring: str):
    cases = [case for case, made in CASES.items() if (made.divides or feature == 1)]
    cases = [case for case in cases if not (CASES[case].aligned and wiring == "transcoder")]
    results = on_ranks(data * feature, together, cases, wiring, data, feature)
    for case in cases:
        weights, metrics = trained(case, wiring)
        for result in results:
            for name, expected in weights.items():
                torch.testing.assert_close(result[case][0][name], expected, rtol=1e-3, atol=2e-5, msg=f"{case}: {name}")
            for mine, theirs in zip(result[case][1], metrics, strict=True):
                assert mine == pytest.approx(theirs, rel=1e-4, abs=1e-5), case
