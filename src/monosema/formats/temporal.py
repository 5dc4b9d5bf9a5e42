"""SAELens' `temporal` dictionaries (canrager/temporalSAEs): autoencoders of whole contexts, in a class of their own.

A dictionary here is a function of one activation, so `load` refuses these; `load_temporal` reads what they are instead.
"""

from functools import reduce
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from monosema.dictionaries.normalisation import NONE, normalisations
from monosema.errors import InputError
from monosema.formats.temporal_files import Read, read

_EPSILON = 1e-6


class TemporalCodes(NamedTuple):
    """What an activation has of its own, and what the tokens before it let one expect."""

    novel: Float[Tensor, "*batch position width"]
    """Sparse: the features."""
    predicted: Float[Tensor, "*batch position width"]
    """Dense."""


class TemporalAutoencoder(nn.Module):
    """An autoencoder that first predicts an activation from those before it in its context (Lubana et al. 2025).

    With z = relu(λ x W_enc), a layer of attention over the z of earlier tokens, queried by z, gives codes p ≥ 0. Their
    decoding is scaled to be the projection of x on it, and taken off; what is left, r, has the features f:

        x̂ = (f + Σ scaled p) W_dec + b_dec        f = topk(relu(λ r W_enc)), or relu alone

    Activations are given as contexts, `[batch, position, d]`, from a context's first token on, and in order: the codes
    at a position depend on all before it. So `ms.Replacement(sae.point, sae)` splices it into a model, but what takes
    single activations (evaluation, stores, filters) cannot take it.
    """

    def __init__(self, content: Read):
        super().__init__()
        self.config, tensors = content.config, content.tensors
        self.point: str | None = content.config.point
        """The hook point that it reads and writes, where it says one."""
        self.metadata: dict[str, Any] = content.metadata
        """Where it comes from."""
        self.W_dec = nn.Parameter(tensors["W_dec"])
        self.b_dec = nn.Parameter(tensors["b_dec"])
        self._encoder = nn.Parameter(tensors["W_enc"]) if "W_enc" in tensors else None
        inside = {name.removeprefix("attn_layers."): t for name, t in tensors.items() if name.startswith("attn_")}
        self.layers = nn.ModuleList(_Attention(content.config.heads) for _ in range(content.config.layers))
        for name, tensor in inside.items():
            number, part, kind = name.split(".")
            self.layers[int(number)].get_submodule(part).register_parameter(kind, nn.Parameter(tensor))

    @property
    def W_enc(self) -> Float[Tensor, "d width"]:
        """The encoder: the decoder turned, where they are tied."""
        return self.W_dec.mT if self._encoder is None else self._encoder

    def codes(self, x: Float[Tensor, "*batch position d"]) -> TemporalCodes:
        """Both kinds of codes of contexts."""
        rest = self._into(x.to(self.W_dec.dtype))
        if self.config.subtracts:
            rest = rest - self.b_dec
        scale = 1 / (4 * x.shape[-1])
        predicted = torch.zeros(*x.shape[:-1], len(self.W_dec), dtype=rest.dtype, device=rest.device)
        for layer in self.layers:
            expected = layer((rest * scale @ self.W_enc).relu()).relu()
            along = expected @ self.W_dec
            length = along.norm(dim=-1, keepdim=True) + _EPSILON
            share = (along * rest).sum(-1, keepdim=True) / length.square()
            predicted, rest = predicted + expected * share, rest - along * share
        return TemporalCodes(self._features((rest * scale @ self.W_enc).relu()), predicted)

    def encode(self, x: Float[Tensor, "*batch position d"]) -> Float[Tensor, "*batch position width"]:
        """The features of contexts: the novel codes."""
        return self.codes(x).novel

    def decode(
        self, codes: TemporalCodes, x: Float[Tensor, "*batch position d"] | None = None
    ) -> Float[Tensor, "*batch position d"]:
        """The reconstruction from both kinds of codes.

        Raises:
            InputError: activations were normalised each by itself, and `x`, which they were, is not given.
        """
        out = (codes.novel + codes.predicted) @ self.W_dec
        if self.config.subtracts or self._encoder is not None:
            out = out + self.b_dec
        if self.config.normalisation == NONE:
            return out / self.config.factor
        if x is None:
            raise InputError(f"codes after {self.config.normalisation} alone", expected="decode(codes, x)")
        return normalisations[self.config.normalisation].back(out, x)

    def forward(self, x: Float[Tensor, "*batch position d"]) -> Float[Tensor, "*batch position d"]:
        """The reconstruction of contexts."""
        return self.decode(self.codes(x), x)

    def _into(self, x: Float[Tensor, "*batch position d"]) -> Float[Tensor, "*batch position d"]:
        if self.config.normalisation == NONE:
            return x * self.config.factor
        return normalisations[self.config.normalisation].into(x)

    def _features(self, pre: Float[Tensor, "*batch position width"]) -> Float[Tensor, "*batch position width"]:
        if self.config.k is None:
            return pre
        top = pre.topk(self.config.k)
        return torch.zeros_like(pre).scatter(-1, top.indices, top.values)


class _Attention(nn.Module):
    """Attention of each token over the codes of those before it."""

    def __init__(self, heads: int):
        super().__init__()
        self.heads = heads
        self.k_ctx, self.q_target, self.v_ctx, self.c_proj = (nn.Linear(1, 1, device="meta") for _ in range(4))

    def forward(self, codes: Float[Tensor, "*batch position width"]) -> Float[Tensor, "*batch position width"]:
        before = F.pad(codes[..., :-1, :], (0, 0, 1, 0))  # the first token sees zeros
        query, key, value = (
            part(given).unflatten(-1, (self.heads, -1)).transpose(-2, -3)
            for part, given in ((self.q_target, codes), (self.k_ctx, before), (self.v_ctx, before))
        )
        seen = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.c_proj(seen.transpose(-2, -3).flatten(-2))


def load_temporal(path: str | Path) -> TemporalAutoencoder:
    """Reads a temporal autoencoder, in evaluation mode.

    Args:
        path: a folder as SAELens writes it (`cfg.json`, `sae_weights.safetensors`), or as canrager/temporalSAEs has it
            (`conf.yaml`, `latest_ckpt.safetensors`).

    Raises:
        InputError: there is none, or its files are broken.
    """
    content = read(Path(path))
    precision = reduce(torch.promote_types, (tensor.dtype for tensor in content.tensors.values()))
    return TemporalAutoencoder(
        content._replace(tensors={name: tensor.to(precision) for name, tensor in content.tensors.items()})
    ).eval()
