"""Products with some features alone, against those with all of them."""

import pytest
import torch

from monosema.dictionaries.maps import Dense
from monosema.kernels import SparseCodes, is_dense, topk

FEATURES = torch.tensor([7, 0, 63, 20, 41])


@pytest.mark.parametrize(("k", "many"), [(5, True), (1, False)])
def test_codes_of_some_features_are_decoded_by_their_rows_whether_they_are_dense_or_not(k: int, many: bool):
    features = FEATURES if many else torch.randperm(64)
    weight = torch.randn(64, 6, dtype=torch.float64, requires_grad=True)
    pre = torch.randn(9, len(features), dtype=torch.float64, requires_grad=True)
    codes = topk(pre, k)
    assert is_dense(codes, weight) == many
    everywhere = SparseCodes(features[codes.indices], codes.values, 64).to_dense()
    upstream = torch.randn(9, 6, dtype=torch.float64)
    found, wanted = Dense().apply_some(codes, weight, features), everywhere @ weight
    torch.testing.assert_close(found, wanted)
    gradients = [torch.autograd.grad(out, (pre, weight), upstream, retain_graph=True) for out in (found, wanted)]
    torch.testing.assert_close(*gradients)


def test_the_preactivations_of_some_features_are_columns_of_all():
    x, weight, bias = torch.randn(9, 6), torch.randn(6, 64), torch.randn(64)
    torch.testing.assert_close(Dense().some(x, weight, bias, FEATURES), (x @ weight + bias)[:, FEATURES])
