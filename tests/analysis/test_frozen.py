"""With their scales frozen, norms compute what they do, and have the gradients of a linear map."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monosema.analysis.frozen import FrozenScales

D = 7


def own_layer_norm(x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()


def own_rms_norm(x: Tensor) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)


def randomly(norm: nn.Module) -> nn.Module:
    for weight in norm.parameters():
        nn.init.normal_(weight)
    return norm.double()


NORMS: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "layer_norm": (randomly(nn.LayerNorm(D)), True),
    "layer_norm without weights": (nn.LayerNorm(D, elementwise_affine=False), True),
    "layer_norm as a function": (lambda x: F.layer_norm(x, (D,), eps=0.1), True),
    "rms_norm": (randomly(nn.RMSNorm(D)), False),
    "rms_norm with eps": (nn.RMSNorm(D, eps=0.1, elementwise_affine=False), False),
    "a layer norm's own root": (own_layer_norm, True),
    "an RMS norm's own root": (own_rms_norm, False),
}


@pytest.mark.parametrize("name", NORMS)
def test_all_but_the_bias_is_linear_and_nothing_else_changes(name: str):
    norm, centres = NORMS[name]
    x, vector = torch.randn(3, D).double().requires_grad_(), torch.randn(D).double()
    with FrozenScales():
        out = norm(x)
    torch.testing.assert_close(out, norm(x))
    (gradient,) = torch.autograd.grad((out @ vector).sum(), x)
    torch.testing.assert_close((gradient * x).sum(1), (out - norm(torch.zeros(1, D).double())) @ vector)
    assert (gradient.sum(1).abs().max() < 1e-12) == centres
    (exact,) = torch.autograd.grad((norm(x) @ vector).sum(), x)
    assert (exact - gradient).norm() > 0.1 * gradient.norm()
