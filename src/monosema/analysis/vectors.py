"""The vectors of single features, whatever the maps: what each one reads, and what it writes."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.dictionaries import BlockDiagonal, Dictionary
from monosema.errors import InputError

_ROWS = 256  # rows made at once, by a product with as many unit vectors


def chosen_of(dictionary: Dictionary, features: Sequence[int] | Int[Tensor, " some"]) -> Int[Tensor, " some"]:
    """The indices of some features, on the dictionary's device.

    Raises:
        InputError: there are none, or the dictionary does not have one of them.
    """
    chosen = torch.as_tensor(features, device=dictionary.W_dec.device).long()
    wrong = chosen[(chosen < 0) | (chosen >= dictionary.spec.width)]
    if chosen.ndim != 1 or not len(chosen) or len(wrong):
        given = f"feature {int(wrong[0])}" if len(wrong) else f"features of shape {list(chosen.shape)}"
        raise InputError(given, expected=f"a list of features from 0 to {dictionary.spec.width - 1}, the dictionary's")
    return chosen


@torch.no_grad()
def decoder_rows(dictionary: Dictionary, features: Int[Tensor, " some"] | None = None) -> Float[Tensor, "some d_out"]:
    """What features, or all, add to the reconstruction per unit of their codes, in float32 or better."""
    weight = dictionary.W_dec
    if features is None:
        features = torch.arange(dictionary.spec.width, device=weight.device)
    rows = []
    for part in features.split(_ROWS):
        units = torch.eye(len(part), dtype=weight.dtype, device=weight.device)
        rows.append(dictionary.decoder.apply_some(units, weight, part))
    return _wide(torch.cat(rows))


@torch.no_grad()
def encoder_columns(dictionary: Dictionary, features: Int[Tensor, " some"]) -> Float[Tensor, "some d_in"]:
    """What features multiply their input with, in float32 or better; of a map of blocks, zero outside their own."""
    weight, encoder = dictionary.W_enc, dictionary.encoder
    if not isinstance(encoder, BlockDiagonal):
        return _wide(weight.mT[features])
    own = weight.mT.flatten(0, 1)[features]
    columns = own.new_zeros(len(features), encoder.n, own.shape[1])
    columns[torch.arange(len(features)), features // weight.shape[2]] = own
    return _wide(columns.flatten(1))


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
