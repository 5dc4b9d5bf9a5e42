"""What a replacement in the middle of a language model does to its predictions."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from monosema.evaluation.sums import Sums, ratio, wide

_SLAB = 128  # positions whose log-probabilities are in memory at once


@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """Next-token cross-entropy with and without a replacement, in nats per token; all None for other models."""

    predicted_tokens: int | None = None
    """Tokens over which it is averaged: all but the first of each context, special ones too."""
    ce_clean: float | None = None
    """Of the model as it is."""
    ce_spliced: float | None = None
    """With the reconstruction in place of the activation."""
    ce_zero: float | None = None
    """With zeros in its place."""
    ce_mean: float | None = None
    """With the mean activation in its place."""
    ce_diff: float | None = None
    """ce_spliced − ce_clean."""
    ce_recovered: float | None = None
    """(ce_zero − ce_spliced) / (ce_zero − ce_clean); None where zeros change nothing."""
    ce_recovered_from_mean: float | None = None
    """The same against ce_mean."""
    kl: float | None = None
    """KL(clean ‖ spliced) of next-token distributions, nats per token."""


@dataclass(frozen=True)
class CrossEntropySums(Sums):
    """What `CrossEntropy` is made of, over some contexts."""

    tokens: int = 0
    clean: float = 0.0
    spliced: float = 0.0
    zero: float = 0.0
    mean: float = 0.0
    kl: float = 0.0

    def metrics(self) -> CrossEntropy:
        """The metrics of all contexts added up; all None where nothing was."""
        if not self.tokens:
            return CrossEntropy()
        clean, spliced = self.clean / self.tokens, self.spliced / self.tokens
        zero, mean = self.zero / self.tokens, self.mean / self.tokens
        return CrossEntropy(
            predicted_tokens=self.tokens,
            ce_clean=clean,
            ce_spliced=spliced,
            ce_zero=zero,
            ce_mean=mean,
            ce_diff=spliced - clean,
            ce_recovered=ratio(zero - spliced, zero - clean),
            ce_recovered_from_mean=ratio(mean - spliced, mean - clean),
            kl=self.kl / self.tokens,
        )


def next_token_loss(logits: Float[Tensor, "batch position vocabulary"], ids: Int[Tensor, "batch position"]) -> float:
    """The sum of −log p(next token), in nats, over all positions but the last."""
    total = 0.0
    for slab, targets in zip(_slabs(logits), _slabs(ids, shift=1), strict=True):
        total += wide(F.nll_loss(_log_probabilities(slab), targets, reduction="none")).sum().item()
    return total


def next_token_kl(
    clean: Float[Tensor, "batch position vocabulary"], spliced: Float[Tensor, "batch position vocabulary"]
) -> float:
    """The sum of KL(clean ‖ spliced), in nats, over all positions but the last."""
    total = 0.0
    for p, q in zip(_slabs(clean), _slabs(spliced), strict=True):
        log_p, log_q = _log_probabilities(p), _log_probabilities(q)
        total += wide((log_p.exp() * (log_p - log_q)).sum(1)).sum().item()
    return total


def _log_probabilities(logits: Float[Tensor, "slab vocabulary"]) -> Float[Tensor, "slab vocabulary"]:
    return F.log_softmax(logits, dim=1, dtype=torch.promote_types(logits.dtype, torch.float32))


def _slabs(x: Tensor, shift: int = 0) -> Iterator[Tensor]:
    """Views of a few positions of one context at a time; all but the last position, or all but the first `shift`."""
    for context in x[:, shift : x.shape[1] - 1 + shift]:
        yield from context.split(_SLAB)
