"""What a model's last norm and head make of a residual stream."""

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from monosema.errors import InputError
from monosema.models.flow import attach
from monosema.models.names import text_config

if TYPE_CHECKING:
    from monosema.models import LoadedModel


def has_head(model: "LoadedModel") -> bool:
    """Whether it predicts the next token from a stream whose place is known."""
    return model.predicts_next and model.family is not None and model.family.causal


def last_stream(model: "LoadedModel") -> str:
    """The name of the residual stream that leaves the last layer of a model of a known family."""
    assert model.family is not None
    return f"resid_post.{model.family.layers(text_config(model.module)) - 1}"


@torch.no_grad()
def logits_of_stream(model: "LoadedModel", rows: Float[Tensor, "some d_model"]) -> Float[Tensor, "some vocabulary"]:
    """The logits where the stream that leaves the last layer holds `rows`, each by itself.

    The model reads one token, and the rows take the place of its stream: what they cost is the head's work alone.

    Raises:
        InputError: the model's stream has another size.
    """

    def stream(own: Float[Tensor, "1 1 d"]) -> Float[Tensor, "some 1 d"]:
        if own.shape[-1] != rows.shape[-1]:
            raise InputError(
                f"directions of size {rows.shape[-1]} in the stream of {model.name}", expected=f"size {own.shape[-1]}"
            )
        return rows.to(own).unsqueeze(1)

    hook = attach(model.module, model.point(last_stream(model)), stream)
    try:
        return model.logits(torch.zeros(1, 1, dtype=torch.long)).flatten(0, -2)
    finally:
        hook.remove()


def log_probabilities(logits: Float[Tensor, "some vocabulary"], tokens: Int[Tensor, " some"]) -> Float[Tensor, " some"]:
    """log p of a token under each row of logits, in nats; in float32 or better, on the CPU."""
    wide = torch.promote_types(logits.dtype, torch.float32)
    found = F.log_softmax(logits, dim=-1, dtype=wide).gather(1, tokens.to(logits.device).unsqueeze(1))
    return found.squeeze(1).cpu()
