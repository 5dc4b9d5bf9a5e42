"""What Elhage et al. (2022) found in toy models, and what their measures mean."""

from typing import Any

import pytest
import torch
from torch import Tensor

from monosema.errors import InputError
from monosema.synthetic.toy import ToyConfig, ToyModels, train_toy

QUICK: dict[str, Any] = {"steps": 1500, "batch_size": 256, "restarts": 4}


def models(W: Tensor) -> ToyModels:
    _, features, d = W.shape
    return ToyModels(ToyConfig(features, d, (0.1,) * len(W)), W, torch.zeros(len(W), features), torch.zeros(len(W)))


@pytest.mark.slow
def test_dense_features_are_kept_by_importance_and_orthogonal_sparse_ones_all_find_a_place():
    found = train_toy(ToyConfig(8, 3, (1.0, 0.03), importance=0.8, **QUICK))
    dense, sparse = found.norms()
    assert dense[:3].min() > 0.9
    assert dense[3:].max() < 0.2
    top = found.W[0, :3]
    assert torch.allclose(top @ top.mT, torch.eye(3), atol=0.15)
    assert found.dimensions_per_feature()[0].item() == pytest.approx(1, abs=0.1)
    assert found.represented()[0] == 3
    assert found.represented()[1] > 5
    assert sparse[:6].min() > 0.5
    assert found.dimensions_per_feature()[1] < 0.6
    assert found.loss[1] < found.loss[0]


@pytest.mark.slow
def test_two_sparse_features_share_one_dimension_as_an_antipodal_pair():
    found = train_toy(ToyConfig(2, 1, (1.0, 0.05), importance=0.7, **QUICK))
    dense, sparse = found.W[..., 0]
    assert dense.abs()[0] > 0.9
    assert dense.abs()[1] < 0.2
    assert sparse.abs().min() > 0.8
    assert sparse.prod() < 0
    assert found.dimensionality()[1].tolist() == pytest.approx([0.5, 0.5], abs=0.05)


def test_as_many_dimensions_as_features_need_no_superposition():
    found = train_toy(ToyConfig(3, 3, (1.0,), importance=1.0, steps=800, batch_size=64, restarts=1))
    assert torch.allclose(found.W[0] @ found.W[0].mT, torch.eye(3), atol=0.2)
    assert found.loss.item() < 0.05


def test_orthogonal_features_have_a_dimension_each():
    found = models(torch.stack([torch.eye(4)[:, :3], torch.zeros(4, 3)]))
    assert found.represented() == [3, 0]
    assert found.dimensionality().tolist() == [[1, 1, 1, 0], [0, 0, 0, 0]]
    assert found.interference().sum() == 0
    assert found.dimensions_per_feature()[0].item() == 1


@pytest.mark.parametrize("n", [3, 5, 7])
def test_a_polygon_has_two_dimensions_in_all(n: int):
    angles = 2 * torch.pi * torch.arange(n) / n
    found = models(torch.stack([angles.cos(), angles.sin()], dim=1)[None])
    assert found.dimensionality()[0].tolist() == pytest.approx([2 / n] * n, rel=1e-5)
    assert found.interference()[0].tolist() == pytest.approx([n / 2 - 1] * n, rel=1e-5)
    assert found.dimensions_per_feature().item() == pytest.approx(2 / n)


def test_an_antipodal_pair_has_half_a_dimension_each():
    found = models(torch.tensor([[[0.9], [-0.9]]]))
    assert found.dimensionality()[0].tolist() == pytest.approx([0.5, 0.5])


def test_training_depends_on_the_configuration_alone():
    config = ToyConfig(4, 2, (0.5, 0.1), steps=20, batch_size=32, restarts=2)
    one, other = train_toy(config), train_toy(config)
    assert torch.equal(one.W, other.W)
    assert one.W.shape == (2, 4, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": 0}, "features = 0"),
        ({"densities": ()}, "densities"),
        ({"densities": (0.5, 0.0)}, "densities"),
        ({"importance": 1.5}, "importance"),
        ({"lr": 0.0}, "lr"),
    ],
)
def test_impossible_toys_are_refused(options: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        ToyConfig(**options)
