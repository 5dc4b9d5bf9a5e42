"""What a trained dictionary of any library comes down to: two matrices, two biases and an activation function."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


@dataclass
class Weights:
    """f = activation((x − b_dec) W_enc + b_enc), or without the subtraction; x̂ = f W_dec + b_dec."""

    kind: Literal["topk", "jumprelu", "relu"]
    W_enc: Tensor
    b_enc: Tensor
    W_dec: Tensor
    b_dec: Tensor
    threshold: Tensor | None = None
    k: int | None = None
    subtracts: bool = True

    def codes(self, x: Tensor) -> Tensor:
        """Codes of raw activations."""
        pre = (x - self.b_dec if self.subtracts else x) @ self.W_enc + self.b_enc
        if self.kind == "topk":
            assert self.k is not None
            best = pre.topk(self.k, dim=-1)
            return torch.zeros_like(pre).scatter_(-1, best.indices, best.values.relu())
        return pre.relu() if self.threshold is None else pre * (pre > self.threshold)

    def decode(self, codes: Tensor) -> Tensor:
        """The reconstruction that codes stand for."""
        return codes @ self.W_dec + self.b_dec

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name, ready to be saved."""
        names = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")
        found = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return {name: tensor.detach().float().contiguous().clone() for name, tensor in found.items()}


def thresholded(
    W_enc: Tensor, b_enc: Tensor, W_dec: Tensor, b_dec: Tensor, threshold: Tensor, subtracts: bool = True
) -> Weights:
    """π · 1[π > θ], with one θ or one for each feature; the libraries apply a ReLU too, hence no θ below zero."""
    thresholds = threshold.detach().float().clamp(min=0).expand(len(b_enc))
    return Weights("jumprelu", W_enc, b_enc, W_dec, b_dec, threshold=thresholds, subtracts=subtracts)


def gated(
    W_enc: Tensor, r_mag: Tensor, b_gate: Tensor, b_mag: Tensor, W_dec: Tensor, b_dec: Tensor, subtracts: bool = True
) -> Weights:
    """1[z + b_gate > 0] · relu(e^r z + b_mag) = π · 1[π > θ], π = e^r z + b_mag, θ = max(0, b_mag − e^r b_gate).

    A gated dictionary with a shared encoder is a JumpReLU dictionary (arXiv 2404.16014, section 3.2).
    """
    scale = r_mag.exp()
    return thresholded(W_enc * scale, b_mag, W_dec, b_dec, b_mag - scale * b_gate, subtracts=subtracts)
