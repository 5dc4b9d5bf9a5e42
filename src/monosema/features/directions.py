"""What can be said of features without a text: how long their directions are, and which are alike."""

from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.features.cofiring import Neighbours
from monosema.kernels import SparseCodes

if TYPE_CHECKING:
    from monosema.models import Readable

_FEATURES = 1024  # whose products with all others are in memory at once


@torch.no_grad()
def directions(dictionary: Dictionary) -> Float[Tensor, "width d_out"]:
    """What each feature adds to the output per unit of its code, in whatever form the decoder keeps it."""
    width = dictionary.spec.width
    every = torch.arange(width, device=dictionary.W_dec.device)[:, None]
    return torch.cat(
        [
            dictionary.decode_features(SparseCodes(some, torch.ones_like(some, dtype=dictionary.W_dec.dtype), width))
            for some in every.split(_FEATURES)
        ]
    )


def similar(rows: Float[Tensor, "width d"], n: int) -> Neighbours:
    """The `n` features whose directions have the largest cosines with each feature's, largest first."""
    unit = F.normalize(rows.float(), dim=1)
    n = min(n, len(unit) - 1)
    figures, features = [], []
    for first in range(0, len(unit), _FEATURES):
        own = torch.arange(first, min(first + _FEATURES, len(unit)), device=unit.device)
        cosines = unit[own] @ unit.T
        cosines[torch.arange(len(own)), own] = -2
        best = cosines.topk(n, dim=1)
        figures.append(best.values.cpu().numpy())
        features.append(best.indices.int().cpu().numpy())
    return Neighbours(np.concatenate(features), np.concatenate(figures))


def describe(dictionary: Dictionary, model: "Readable", neighbours: int, logits: int) -> dict[str, list]:
    """Columns of the table of features that need no text."""
    rows = directions(dictionary)
    near = similar(rows, neighbours)
    return {
        "norm": dictionary.decoder_norms().detach().float().cpu().tolist(),
        "similar": [
            [{"feature": int(f), "figure": float(c)} for f, c in zip(*pair, strict=True)]
            for pair in zip(near.features, near.figures, strict=True)
        ],
    }
