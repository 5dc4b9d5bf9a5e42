"""Norms with their scale held fixed: linear functions, as which gradients see them."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

_ROOTS = (torch.rsqrt, Tensor.rsqrt, torch.sqrt, Tensor.sqrt)


class FrozenScales(TorchFunctionMode):
    """While inside, gradients take what a norm divides by as a constant; what is computed stays the same, to rounding.

    Those of PyTorch are known, and any other norm that divides by a root (`sqrt`, `rsqrt`) of what it is given, as
    those of Hugging Face's and TransformerLens' models do. A norm then is the linear map x ↦ γ ⊙ (x − mean x) / σ, or
    γ ⊙ x / σ, plus its bias.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.layer_norm:
            return _layer_norm(*args, **kwargs)
        if func is F.rms_norm:
            return _rms_norm(*args, **kwargs)
        out = func(*args, **kwargs)
        return out.detach() if func in _ROOTS else out


def _layer_norm(
    x: Float[Tensor, "*any d"],
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Float[Tensor, "*any d"]:
    own = [*range(-len(normalized_shape), 0)]
    centred = x - x.mean(own, keepdim=True)
    return _scaled(centred, centred.square().mean(own, keepdim=True) + eps, weight, bias)


def _rms_norm(
    x: Float[Tensor, "*any d"], normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Float[Tensor, "*any d"]:
    own = [*range(-len(normalized_shape), 0)]
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    return _scaled(x, x.square().mean(own, keepdim=True) + eps, weight, None)


def _scaled(x: Tensor, square: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    out = x * square.rsqrt().detach()
    out = out if weight is None else out * weight
    return out if bias is None else out + bias
