"""What can be said of features without a text: their directions' norms, which are alike, and which logits they move."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from monosema.analysis import TokenTexts, head_norms, logit_effects
from monosema.analysis.vectors import decoder_rows
from monosema.dictionaries import Dictionary
from monosema.features.cofiring import Neighbours
from monosema.features.layout import HEADS

if TYPE_CHECKING:
    from monosema.models import Readable

_FEATURES = 1024  # whose products with all others are in memory at once


def directions(dictionary: Dictionary) -> Float[Tensor, "width d_out"]:
    """What each feature adds to the output per unit of its code, in whatever form the decoder keeps it."""
    return decoder_rows(dictionary)


def similar(rows: Float[Tensor, "width d"], n: int) -> Neighbours:
    """The `n` features whose directions have the largest cosines with each feature's, largest first."""
    return _nearest(rows, rows, min(n, len(rows) - 1), but_itself=True)


def similar_between(rows: Float[Tensor, "width d"], others: Float[Tensor, "other_width d"], n: int = 1) -> Neighbours:
    """Of another dictionary's directions the `n` that have the largest cosines with each, largest first."""
    return _nearest(rows, others, min(n, len(others)), but_itself=False)


def _nearest(rows: Tensor, others: Tensor, n: int, *, but_itself: bool) -> Neighbours:
    unit, all_others = F.normalize(rows.float(), dim=1), F.normalize(others.float(), dim=1)
    figures, features = [], []
    for first in range(0, len(unit), _FEATURES):
        cosines = unit[first : first + _FEATURES] @ all_others.T
        if but_itself:
            own = torch.arange(len(cosines), device=cosines.device)
            cosines[own, own + first] = -2
        best = cosines.topk(n, dim=1)
        figures.append(best.values.cpu().numpy())
        features.append(best.indices.int().cpu().numpy())
    return Neighbours(np.concatenate(features), np.concatenate(figures))


def describe(dictionary: Dictionary, model: "Readable", neighbours: int, logits: int) -> dict[str, Any]:
    """Columns of the table of features that need no text; those of logits and heads are empty where there are none."""
    near, of_heads = (
        similar(directions(dictionary), neighbours),
        head_norms(dictionary, model, range(dictionary.spec.width)),
    )
    return {
        "norm": dictionary.decoder_norms().detach().float().cpu().numpy(),
        HEADS: [None] * dictionary.spec.width if of_heads is None else list(of_heads.float().numpy()),
        "similar": neighbour_column(near),
        **_logits(dictionary, model, logits),
    }


def neighbour_column(near: Neighbours) -> list[list[dict[str, Any]]]:
    """Of each feature its neighbours, as a table has them."""
    return [
        [{"feature": f, "figure": x} for f, x in zip(*pair, strict=True) if f >= 0]
        for pair in zip(near.features.tolist(), near.figures.tolist(), strict=True)
    ]


def moved_logits(columns: dict[str, Any]) -> list[list[str]]:
    """Of each feature the texts of the tokens that it promotes or suppresses most."""
    pairs = zip(columns["promotes"], columns["suppresses"], strict=True)
    return [[token["text"] for token in [*(up or []), *(down or [])]] for up, down in pairs]


def _logits(dictionary: Dictionary, model: "Readable", n: int) -> dict[str, Any]:
    width = dictionary.spec.width
    vocabulary = model.vocabulary or 0
    found = logit_effects(dictionary, model, range(width), min(n, vocabulary)) if vocabulary else None
    if found is None:
        return dict.fromkeys(("promotes", "suppresses", "skewness", "kurtosis", "promoted"), [None] * width)
    texts = TokenTexts(model.tokenizer)

    def tokens(ids: Tensor, values: Tensor) -> list[list[dict[str, Any]]]:
        return [
            [{"token": i, "text": texts([i])[0], "value": v} for i, v in zip(*pair, strict=True)]
            for pair in zip(ids.tolist(), values.tolist(), strict=True)
        ]

    promotes = tokens(found.top_tokens, found.top_values)
    return {
        "promotes": promotes,
        "suppresses": tokens(found.bottom_tokens, found.bottom_values),
        "skewness": found.skewness.tolist(),
        "kurtosis": found.kurtosis.tolist(),
        "promoted": [pairs[0]["text"] for pairs in promotes],
    }
