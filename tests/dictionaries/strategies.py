"""Small random dictionaries of every wiring and activation function, and what they compute, written out."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor

from monosema.dictionaries import (
    AbsTopK,
    ActivationFunction,
    BatchTopK,
    Dictionary,
    Gated,
    GroupMax,
    JumpReLU,
    ReLU,
    Spec,
    TopK,
    normalisations,
)

quick = settings(deadline=None, max_examples=40)
WIDTH, K = 12, 3


def random(seed: int, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Seeded normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def _batch_topk(width: int) -> ActivationFunction:
    activation = BatchTopK(width, K)
    activation.threshold.fill_(0.4)
    return activation


def _jumprelu(width: int) -> ActivationFunction:
    activation = JumpReLU(width, bandwidth=0.5)
    activation.threshold.data.copy_(random(7, width).abs() / 2)
    return activation


def _gated(width: int) -> ActivationFunction:
    activation = Gated(width)
    for seed, parameter in enumerate(activation.parameters()):
        parameter.data.copy_(random(seed + 17, width) / 2)
    return activation


ACTIVATIONS: dict[str, Callable[[int], ActivationFunction]] = {
    "relu": ReLU,
    "topk": lambda width: TopK(width, K),
    "batch_topk": _batch_topk,
    "jumprelu": _jumprelu,
    "gated": _gated,
    "abs_topk": lambda width: AbsTopK(width, K),
    "groupmax": lambda width: GroupMax(width, K),
}


def keep_largest(values: Tensor, count: int) -> Tensor:
    """`relu(values)` with all but the `count` largest entries set to zero."""
    order = sorted(range(len(values)), key=lambda i: -values[i].item())
    kept = torch.zeros(len(values), dtype=torch.bool)
    kept[order[:count]] = True
    return torch.where(kept & (values > 0), values, 0)


def activate(activation: ActivationFunction, pre: Tensor) -> Tensor:
    """Codes of `[batch, width]` by the definition of each activation function, entry by entry."""
    if isinstance(activation, TopK):
        return torch.stack([keep_largest(row, activation.k) for row in pre])
    if isinstance(activation, AbsTopK):
        return pre.sign() * torch.stack([keep_largest(row.abs(), activation.k) for row in pre])
    if isinstance(activation, GroupMax):
        return torch.stack([torch.cat([keep_largest(part, 1) for part in row.chunk(activation.k)]) for row in pre])
    if isinstance(activation, BatchTopK) and activation.training:
        return keep_largest(pre.flatten(), activation.k * len(pre)).view_as(pre)
    if isinstance(activation, Gated):
        magnitude = activation.r_mag.exp() * pre + activation.b_mag
        return torch.where((pre + activation.b_gate > 0) & (magnitude > 0), magnitude, 0)
    threshold = activation.threshold if isinstance(activation, BatchTopK | JumpReLU) else torch.zeros(())
    return torch.where(pre > threshold, pre, 0)


class Case(NamedTuple):
    """A dictionary in float64 with random weights, and activations for it."""

    dictionary: Dictionary
    x: Tensor


def build(spec: Spec, activation: str, seed: int = 0) -> Dictionary:
    """A dictionary in float64 of which every weight and bias is random."""
    dictionary = Dictionary(spec, ACTIVATIONS[activation](spec.width), metadata={"seed": seed}).double()
    for i, (name, parameter) in enumerate(dictionary.named_parameters()):
        if not name.startswith("activation."):
            parameter.data.copy_(random(seed + i, *parameter.shape))
    return dictionary


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Every wiring and normalisation, with and without input bias and skip."""
    wiring = draw(st.sampled_from(["autoencoder", "transcoder"]))
    normalisation = draw(st.sampled_from(sorted(normalisations)))
    d_in = draw(st.integers(1 if normalisation == "none" else 3, 6))  # of fewer, all rows would look alike
    d_out = d_in if wiring == "autoencoder" else draw(st.integers(1, 6))
    reads, writes = ("mlp_in.0",), ("mlp_in.0",) if wiring == "autoencoder" else ("mlp_out.0",)
    subtracts, skip = draw(st.booleans()), draw(st.booleans())
    return Spec(d_in, d_out, WIDTH, reads, writes, wiring, subtracts, skip, normalisation=normalisation)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Every spec with every activation function, in training and in evaluation mode."""
    spec, seed = draw(specs()), draw(st.integers(0, 10**6))
    dictionary = build(spec, draw(st.sampled_from(sorted(ACTIVATIONS))), seed).train(draw(st.booleans()))
    return Case(dictionary, random(seed + 99, draw(st.integers(1, 5)), spec.d_in))
