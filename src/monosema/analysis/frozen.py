"""Norms with their scale given, and held fixed: linear functions, as which gradients see them."""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

ROOTS = (torch.rsqrt, Tensor.rsqrt, torch.sqrt, Tensor.sqrt)
"""What norms that are written out divide by, or multiply with."""
NORMS = (F.layer_norm, F.rms_norm, torch.rms_norm)
"""Norms of PyTorch's own."""


class FrozenScales(TorchFunctionMode):
    """While inside, gradients take what a norm divides by as a constant; what is computed stays the same, to rounding.

    Those of PyTorch are known, and any other norm that divides by a root (`sqrt`, `rsqrt`) of what it is given, as
    those of Hugging Face's and TransformerLens' models do. A norm then is the linear map x ↦ γ ⊙ (x − mean x) / σ, or
    γ ⊙ x / σ, plus its bias.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in NORMS:
            return scaled_norm(func, norm_scale(func, *args, **kwargs).detach(), *args, **kwargs)
        out = func(*args, **kwargs)
        return out.detach() if func in ROOTS else out


def norm_scale(norm: Any, *args: Any, **kwargs: Any) -> Float[Tensor, "*any 1"]:
    """One over what a call of one of `NORMS` divides by."""
    x, shape, _, _, eps = _arguments(norm, *args, **kwargs)
    return (_centred(norm, x, shape).square().mean(_axes(shape), keepdim=True) + eps).rsqrt()


def scaled_norm(norm: Any, scale: Float[Tensor, "*any 1"], *args: Any, **kwargs: Any) -> Float[Tensor, "*any d"]:
    """The same call with that scale given: linear in its input, but for its bias."""
    x, shape, weight, bias, _ = _arguments(norm, *args, **kwargs)
    out = _centred(norm, x, shape) * scale
    out = out if weight is None else out * weight
    return out if bias is None else out + bias


def _arguments(norm: Any, *args: Any, **kwargs: Any) -> tuple[Tensor, Any, Tensor | None, Tensor | None, float]:
    """Input, shape, weight, bias and ε of a call."""
    if norm is F.layer_norm:
        return _layer_norm(*args, **kwargs)
    x, shape, weight, eps = _rms_norm(*args, **kwargs)
    return x, shape, weight, None, torch.finfo(x.dtype).eps if eps is None else eps


def _layer_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> tuple[Tensor, Any, Tensor | None, Tensor | None, float]:
    return input, normalized_shape, weight, bias, eps


def _rms_norm(
    input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> tuple[Tensor, Any, Tensor | None, float | None]:
    return input, normalized_shape, weight, eps


def _centred(norm: Any, x: Float[Tensor, "*any d"], shape: Any) -> Float[Tensor, "*any d"]:
    return x - x.mean(_axes(shape), keepdim=True) if norm is F.layer_norm else x


def _axes(shape: Any) -> list[int]:
    return [*range(-len(shape), 0)]
