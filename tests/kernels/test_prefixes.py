"""Decodes of prefixes against the dense product of each prefix."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monosema.kernels import SparseCodes, prefix_decode, prefix_errors, prefixes


@settings(deadline=None, max_examples=60)
@given(data=st.data(), batch=st.integers(1, 4), k=st.integers(1, 6), d=st.integers(1, 3), seed=st.integers(0, 10**6))
def test_values_and_gradients_are_those_of_each_dense_prefix(data, batch: int, k: int, d: int, seed: int):
    ends = sorted(data.draw(st.sets(st.integers(1, k), min_size=1)))
    generator = torch.Generator().manual_seed(seed)
    width = k + 3
    indices = torch.rand(batch, width, generator=generator).topk(k, dim=1).indices
    values = torch.randn(batch, k, generator=generator, dtype=torch.float64).requires_grad_()
    weight = torch.randn(width, d, generator=generator, dtype=torch.float64).requires_grad_()
    dense = torch.stack(
        [SparseCodes(indices[:, :end], values[:, :end], width).to_dense() @ weight for end in ends], dim=1
    )
    sparse = prefix_decode(SparseCodes(indices, values, width), weight, ends)
    torch.testing.assert_close(sparse, dense)
    upstream = torch.randn(dense.shape, generator=generator, dtype=torch.float64)
    of_dense = torch.autograd.grad((dense * upstream).sum(), [values, weight], retain_graph=True)
    of_sparse = torch.autograd.grad((sparse * upstream).sum(), [values, weight])
    torch.testing.assert_close(of_sparse, of_dense)
    target = torch.randn(batch, d, generator=generator, dtype=torch.float64).requires_grad_()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefixes, "PREFIXES", data.draw(st.sampled_from([1, 2 * ends[-1] * d, 10**6])))
        errors = prefix_errors(SparseCodes(indices, values, width), weight, target, ends)
        expected = (target[:, None] - dense).square().sum((0, 2))
        torch.testing.assert_close(errors, expected)
        upstream = torch.randn(len(ends), generator=generator, dtype=torch.float64)
        wanted = torch.autograd.grad((expected * upstream).sum(), [values, weight, target])
        torch.testing.assert_close(torch.autograd.grad((errors * upstream).sum(), [values, weight, target]), wanted)
