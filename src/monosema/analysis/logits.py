"""What each feature does to the logits by itself, on the direct path from the residual stream."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.analysis.stream import stream_directions
from monosema.analysis.unembed import has_head, logits_of_stream
from monosema.analysis.vectors import chosen_of
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.models.names import text_config

if TYPE_CHECKING:
    from monosema.models import LoadedModel, Readable

_ENTRIES = 1 << 24  # logits in memory at once
_SIZE = 32.0  # of the streams whose logits are taken: large beside a norm's epsilon, small beside the range of float16
_ALIKE = 0.1  # relative difference below which two rows of logits are the same


@dataclass(frozen=True)
class LogitEffects:
    """What features add to the logits, centred over the vocabulary: see `logit_effects`."""

    features: Int[Tensor, " some"]
    top_tokens: Int[Tensor, "some n"]
    """The tokens that each feature makes likelier, the largest effect first."""
    top_values: Float[Tensor, "some n"]
    bottom_tokens: Int[Tensor, "some n"]
    """The tokens that each makes less likely, the smallest (most negative) effect first."""
    bottom_values: Float[Tensor, "some n"]
    skewness: Float[Tensor, " some"]
    """Third standardised moment over the vocabulary; 0 where the effects do not vary."""
    kurtosis: Float[Tensor, " some"]
    """Fourth standardised moment less 3, a normal distribution's; 0 where the effects do not vary."""


@torch.no_grad()
def logit_effects(
    dictionary: Dictionary, model: "Readable", features: Sequence[int] | Int[Tensor, " some"], n: int = 10
) -> LogitEffects | None:
    """The logit lens of features' directions: the tokens that each makes likelier, and those it makes less likely.

    The effect of a feature is (γ ⊙ d) W_U, less its mean over the vocabulary, where d is its direction in the stream
    (`stream_directions`; centred, where the last norm centres), γ the last norm's weights and W_U the head's. So it is
    linear in d. Where a feature has the code c, and the last norm divides the stream by σ, it adds c/σ times its effect
    to the logits by itself, without what later layers make of it. A cap on the logits that the model's configuration
    names is undone.

    No weights are looked up: (γ ⊙ d) W_U is σ(d) times what the model's logits are where the last stream is d alone,
    less those where it is zero. Whether the norm divides by the standard deviation or by the root mean square, or there
    is none, is found from a random stream that is doubled and moved.

    Args:
        dictionary: what the features are of.
        model: the model that it was trained on.
        features: which.
        n: tokens at each end.

    Returns:
        On the CPU, in float32 or better. None where features have no direction in the stream, or where the model does
        not predict the next token from a stream whose place is known.

    Raises:
        InputError: the dictionary does not have one of the features, the model one of the hook points; or `n` is not
            positive, or more than the vocabulary.
    """
    chosen = chosen_of(dictionary, features)
    first = stream_directions(dictionary, model, chosen[:1])
    owned = model.owner(dictionary.spec.writes[0]) if dictionary.spec.writes else None
    if first is None or owned is None or not has_head(owned[0]):
        return None
    effects = _effects_of(owned[0], first.shape[1])
    vocabulary = effects(first).shape[1]
    if not 1 <= n <= vocabulary:
        raise InputError(f"{n} tokens at each end", expected=f"from 1 to {vocabulary}, as the model knows")
    parts = []
    for part in chosen.split(max(_ENTRIES // vocabulary, 1)):
        directions = stream_directions(dictionary, model, part)
        assert directions is not None  # as for the first
        parts.append(_summary(effects(directions), n))
    return LogitEffects(chosen.cpu(), *(torch.cat(column) for column in zip(*parts, strict=True)))


def _effects_of(model: "LoadedModel", d_model: int) -> Callable[[Float[Tensor, "some d"]], Float[Tensor, "some v"]]:
    """From directions to their effects, not centred over the vocabulary."""
    divisor = _divisor_of(model, d_model)
    if divisor is None:
        return partial(_beside_zero, model)

    def effects(directions: Tensor) -> Tensor:
        sizes = divisor(directions)
        alone = _SIZE * directions / sizes.clamp_min(torch.finfo(sizes.dtype).tiny)
        return _beside_zero(model, alone) * sizes.to(model.device)

    return effects


def _divisor_of(
    model: "LoadedModel", d_model: int
) -> Callable[[Float[Tensor, "some d"]], Float[Tensor, "some 1"]] | None:
    """What the last norm divides a stream by; None where there is no norm."""
    probe = _SIZE * torch.randn(1, d_model, generator=torch.Generator().manual_seed(0))
    once, twice, moved = _beside_zero(model, torch.cat([probe, 2 * probe, probe + _SIZE]))
    if (twice - once).norm() > _ALIKE * once.norm():
        return None
    if (moved - once).norm() > _ALIKE * once.norm():
        return lambda x: x.square().mean(1, keepdim=True).sqrt()
    return lambda x: x.std(1, correction=0, keepdim=True)


def _beside_zero(model: "LoadedModel", rows: Float[Tensor, "some d"]) -> Float[Tensor, "some vocabulary"]:
    """The logits of some streams, less those of a stream of zeros, which are biases."""
    logits = _without_cap(model, logits_of_stream(model, torch.cat([rows, torch.zeros_like(rows[:1])])))
    return logits[:-1] - logits[-1]


def _without_cap(model: "LoadedModel", logits: Float[Tensor, "some v"]) -> Float[Tensor, "some v"]:
    """Undoes cap · tanh(logits / cap)."""
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    cap = getattr(text_config(model.module), "final_logit_softcapping", None)
    cap = cap or getattr(getattr(model.module, "cfg", None), "output_logits_soft_cap", None)
    if cap is None or cap <= 0:
        return logits
    edge = 1 - torch.finfo(logits.dtype).eps
    return cap * (logits / cap).clamp(-edge, edge).atanh()


def _summary(effects: Float[Tensor, "some vocabulary"], n: int) -> tuple[Tensor, ...]:
    """What `LogitEffects` has of some features, in its order."""
    effects = effects - effects.mean(1, keepdim=True)
    top, bottom = effects.topk(n), effects.topk(n, largest=False)
    spread = effects.square().mean(1, keepdim=True).sqrt()
    flat = spread.squeeze(1) <= torch.finfo(spread.dtype).tiny
    standard = effects.div_(spread.clamp_min(torch.finfo(spread.dtype).tiny))
    squares = standard.square()
    skewness = (squares * standard).mean(1).masked_fill(flat, 0)
    kurtosis = (squares.square_().mean(1) - 3).masked_fill(flat, 0)
    found = (top.indices, top.values, bottom.indices, bottom.values, skewness, kurtosis)
    return tuple(column.cpu() for column in found)
