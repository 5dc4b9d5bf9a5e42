"""The entries that are active are those of the dense codes that are not zero."""

from typing import Any

import pytest
import torch
from hypothesis import given
from torch import Tensor

from monosema.dictionaries import Dictionary, Spec
from monosema.kernels import RaggedCodes
from tests.dictionaries.strategies import ACTIVATIONS, Case, build, cases, quick, random


def check(codes: RaggedCodes, dense: Tensor) -> None:
    expected = dense.nonzero()
    assert codes.offsets.tolist() == [0, *(dense != 0).sum(1).cumsum(0).tolist()]
    assert codes.width == dense.shape[1]
    order = (codes.rows() * codes.width + codes.columns).argsort()
    found = torch.stack([codes.rows(), codes.columns], 1)[order]
    assert found.tolist() == expected.tolist()
    torch.testing.assert_close(codes.values[order], dense[dense != 0])
    assert not codes.values.requires_grad


@quick
@given(cases())
def test_entries_are_those_of_encode(case: Case):
    """Of every wiring, normalisation and activation function, in training and in evaluation mode."""
    d, x = case
    check(d.active_entries(x), d.encode(x).detach())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize("kind", ["encoder", "both"])
def test_entries_of_maps_of_blocks(name: str, kind: str, training: bool):
    maps: dict[str, Any] = {"encoder": "block_diagonal", "decoder": "block_diagonal" if kind == "both" else "dense"}
    d = build(Spec(6, 6, 12, ("mlp_in.0",), ("mlp_in.0",), blocks=3, **maps), name).train(training)
    x = random(3, 7, 6)
    check(d.active_entries(x), d.encode(x).detach())


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
@pytest.mark.parametrize("shift", [-50.0, 50.0])
def test_entries_where_nothing_or_everything_is_positive(name: str, shift: float):
    d = build(Spec(6, 6, 12), name).eval()
    d.b_enc.data.add_(shift)
    x = random(4, 3, 6)
    check(d.active_entries(x), d.encode(x).detach())


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_entries_of_no_rows(name: str):
    d: Dictionary = build(Spec(6, 6, 12), name).eval()
    codes = d.active_entries(random(4, 0, 6))
    assert codes.offsets.tolist() == [0]
    assert len(codes.columns) == len(codes.values) == 0
