"""The embeddings of all tokens, to name directions in the residual stream by."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from monosema.analysis.composition import TokensRead, embedding_weight, tokens_along
from monosema.analysis.pullback import Direction
from monosema.analysis.stream import STREAMS
from monosema.errors import InputError
from monosema.models import Replacement, read, replacing

if TYPE_CHECKING:
    from monosema.models import LoadedModel

_TOKENS = 512  # read at once


def de_embedding(model: "LoadedModel", direction: Direction, n: int = 10, *, effective: bool = False) -> TokensRead:
    """The tokens whose embeddings have the largest and the smallest products with a direction in the stream.

    Args:
        model: the model.
        direction: at `embed`, `resid_pre.L`, `resid_mid.L` or `resid_post.L`.
        n: tokens at each end.
        effective: multiply with effective embeddings in place of those that are stored.

    Raises:
        InputError: the direction is elsewhere, or `n` is not from 1 to the number of tokens.
    """
    if direction.point.partition(".")[0] not in STREAMS | {"embed"}:
        raise InputError(f"tokens along a direction at {direction.point}", expected="one in the residual stream")
    embeddings = effective_embeddings(model) if effective else embedding_weight(model)
    return tokens_along(direction.vector[None], embeddings, n)


def effective_embeddings(model: "LoadedModel") -> Float[Tensor, "vocabulary d_model"]:
    """What the stream holds of each token behind layer 0 when attention adds nothing there: for most models e + MLP(e).

    The first MLP works on the tokens as they come, and acts as a second embedding; later layers see both (Wang et al.
    2022, arXiv 2211.00593). A token by itself has nothing to attend to but itself, as nowhere else in a text.

    Raises:
        InputError: the model's family is not known.
    """
    assert model.vocabulary is not None  # as it has hook points with short names
    ids = torch.arange(model.vocabulary).unsqueeze(1)
    with replacing(model, [Replacement("attn_out.0", torch.zeros_like)]):
        return torch.cat([read(model, part, ["resid_post.0"])["resid_post.0"][:, 0] for part in ids.split(_TOKENS)])
