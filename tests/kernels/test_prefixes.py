"""Decodes of prefixes against the dense product of each prefix."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monosema.kernels import SparseCodes, prefix_decode


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
    of_dense = torch.autograd.grad((dense * upstream).sum(), [values, weight])
    of_sparse = torch.autograd.grad((sparse * upstream).sum(), [values, weight])
    torch.testing.assert_close(of_sparse, of_dense)
