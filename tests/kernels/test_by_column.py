"""How a sparse matrix is transposed is found out once for those who share its entries."""

import pytest
import torch

from monosema.kernels import encode_topk, entries, sparse_decode
from monosema.kernels.entries import ByColumn, transposed
from monosema.kernels.precision import tensor_float_32


def test_other_columns_are_transposed_anew():
    known, offsets = ByColumn(), torch.tensor([0, 2, 3])
    for columns in (torch.tensor([1, 3, 0]), torch.tensor([2, 0, 3])):
        for found, expected in zip(known.of(offsets, columns, 4), transposed(offsets, columns, 4), strict=True):
            assert found.tolist() == expected.tolist()


def test_encoder_and_decoder_transpose_their_codes_once(monkeypatch: pytest.MonkeyPatch):
    calls = []
    monkeypatch.setattr(entries, "transposed", lambda *given: calls.append(given) or transposed(*given))
    encoder, decoder = (torch.randn(shape, requires_grad=True) for shape in ((6, 20), (20, 6)))
    codes = encode_topk(torch.randn(8, 6), encoder, torch.full((20,), 9.0), 4)  # all codes are above zero
    sparse_decode(codes, decoder).square().sum().backward()
    assert len(calls) == 1


def test_products_are_as_precise_as_before_once_others_have_been_made():
    before = torch.backends.cuda.matmul.fp32_precision
    with tensor_float_32(False):
        assert torch.backends.cuda.matmul.fp32_precision == before
    with tensor_float_32(True):
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    assert torch.backends.cuda.matmul.fp32_precision == before
