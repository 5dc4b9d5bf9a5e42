"""Dose and response: what steering a feature more and more does to the model, beside random directions."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.analysis.logits import logit_effects
from monosema.analysis.vectors import chosen_of, decoder_rows
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.evaluation.cross_entropy import next_token_loss
from monosema.models import Replacement, replacing
from monosema.progress import Progress, progress

if TYPE_CHECKING:
    from monosema.models import LoadedModel


@dataclass(frozen=True)
class Response:
    """What adding strength × direction at every token does, on average over tokens."""

    strength: float
    tokens: float
    """Change of the log-probability of the feature's tokens, all of them together, in nats."""
    cross_entropy: float
    """Change of the next-token cross-entropy, in nats."""
    random_tokens: float
    """The same two for random directions of the same norm, on average over these."""
    random_cross_entropy: float


@torch.no_grad()
def dose_response(
    dictionary: Dictionary,
    model: "LoadedModel",
    contexts: Int[Tensor, "n length"],
    feature: int,
    strengths: Sequence[float],
    *,
    tokens: Sequence[int] | None = None,
    controls: int = 4,
    seed: int = 0,
) -> list[Response]:
    """How the model answers to a feature's direction, added with several strengths, and to random directions.

    Args:
        dictionary: writes one hook point of `model`.
        model: predicts the next token.
        contexts: token ids on which both are measured.
        feature: which.
        strengths: in units of the code.
        tokens: the feature's tokens; by default the ten that its direction promotes most.
        controls: random directions, of the same norm, drawn from the sphere.
        seed: of these.

    Raises:
        InputError: the dictionary does not have the feature, writes several hook points, or promotes no tokens and none
            are given; there are no controls.
    """
    if len(dictionary.spec.writes) != 1 or controls < 1:
        raise InputError(
            f"a dictionary that writes {' & '.join(dictionary.spec.writes)}, and {controls} controls",
            expected="one that writes one hook point, and at least one control",
        )
    direction = decoder_rows(dictionary, chosen_of(dictionary, [feature]))[0]
    promoted = _promoted(dictionary, model, feature) if tokens is None else torch.tensor(list(tokens))
    noise = torch.randn(controls, len(direction), generator=torch.Generator().manual_seed(seed))
    random = noise.to(direction) * (direction.norm() / noise.norm(dim=1, keepdim=True).to(direction))
    measure = partial(_measured, model, dictionary.spec.writes[0], contexts, promoted)
    with progress("steering", (len(strengths) * (1 + controls) + 1) * contexts.numel(), "tokens") as bar:
        plain = measure(torch.zeros_like(direction), bar)
        found = []
        for strength in strengths:
            own = measure(strength * direction, bar) - plain
            others = torch.stack([measure(strength * other, bar) - plain for other in random]).mean(0)
            found.append(Response(strength, *own.tolist(), *others.tolist()))
    return found


def _promoted(dictionary: Dictionary, model: "LoadedModel", feature: int) -> Int[Tensor, " n"]:
    found = logit_effects(dictionary, model, [feature])
    if found is None:
        raise InputError(f"feature {feature}, whose direction promotes no tokens by itself", expected="its tokens")
    return found.top_tokens[0]


def _measured(
    model: "LoadedModel",
    point: str,
    contexts: Int[Tensor, "n length"],
    tokens: Int[Tensor, " n_tokens"],
    added: Float[Tensor, " d"],
    bar: Progress,
) -> Float[Tensor, "2"]:
    """The mean log-probability of the tokens together, and the cross-entropy, with something added at every token."""
    probability = loss = 0.0
    with replacing(model, [Replacement(point, lambda x: x + added.to(x))]):
        for ids in contexts.split(8):
            ids = ids.to(model.device)
            logits = model.logits(ids)
            logs = logits.float().log_softmax(-1)[..., tokens.to(logits.device)].logsumexp(-1)
            probability += logs.double().sum().item()
            loss += next_token_loss(logits, ids)
            bar.advance(ids.numel())
    return torch.tensor([probability / contexts.numel(), loss / contexts[:, 1:].numel()], dtype=torch.float64)
