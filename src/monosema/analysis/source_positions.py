"""Which tokens a feature of attention outputs was read from: direct feature attribution by source position.

Kissane et al. 2024, Interpreting Attention Layer Outputs with Sparse Autoencoders (arXiv 2406.17759).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.analysis.attention import attention_at
from monosema.analysis.vectors import chosen_of, encoder_columns
from monosema.dictionaries import Dictionary
from monosema.dictionaries.normalisation import NONE
from monosema.errors import InputError
from monosema.models import PREPROCESSING, check_preprocessing, parsed
from monosema.models.names import kind_of

if TYPE_CHECKING:
    from monosema.models import LoadedModel, Readable


@dataclass(frozen=True)
class SourceAttribution:
    """What each source position, through each head, gives to a feature's pre-activation: see `source_attribution`."""

    heads: Float[Tensor, "place heads position"]
    """By head, or of the one head that the dictionary reads."""

    @property
    def sources(self) -> Float[Tensor, "place position"]:
        """From all heads."""
        return self.heads.sum(1)


@torch.no_grad()
def source_attribution(
    dictionary: Dictionary,
    model: "Readable",
    contexts: Int[Tensor, "place position"],
    positions: Sequence[int] | Int[Tensor, " place"],
    features: Sequence[int] | Int[Tensor, " place"],
    batch_contexts: int = 8,
) -> SourceAttribution:
    """Where the inputs of features at some places come from.

    Of a feature at position dst, source position src gives DFA[h, src] = A_h[dst, src] v_h[src] · W_enc[h] through head
    h, with the attention pattern A, the values v (biases among them) and the part of the feature's encoder weights that
    reads head h. Over all heads and sources these add up to the feature's pre-activation without its biases, z W_enc.

    Args:
        dictionary: what the features are of; it reads `attn_z.L`, or one head of it.
        model: the model that it was trained on.
        contexts: token ids, one row for each place.
        positions: the position in each context that the feature is looked at.
        features: the feature at each place.
        batch_contexts: rows run at once.

    Returns:
        On the CPU, in float32 or better. 0 where attention does not look, such as later positions.

    Raises:
        InputError: the dictionary reads something else, or normalises it; the lists do not have one length, or name
            what is not there; the model computes its attention in a way that is not known here (`attention_at`), or
            its weights were treated otherwise than in training.
    """
    owner, point = _attn_z(dictionary, model)
    check_preprocessing(model, dictionary.spec.reads, dictionary.metadata.get(PREPROCESSING))
    chosen = chosen_of(dictionary, features)
    at = _checked(contexts, torch.as_tensor(positions).cpu().long(), chosen, batch_contexts)
    rows = zip(*(x.split(batch_contexts) for x in (contexts, at, chosen)), strict=True)
    parts = [_attributed(dictionary, owner, point, *part).cpu() for part in rows]
    return SourceAttribution(torch.cat(parts))


def _attributed(
    dictionary: Dictionary,
    model: "LoadedModel",
    point: str,
    ids: Int[Tensor, "place position"],
    positions: Int[Tensor, " place"],
    features: Int[Tensor, " place"],
) -> Float[Tensor, "place heads position"]:
    pattern, values = attention_at(model, point, ids.to(model.device), positions)
    if dictionary.spec.d_in != values.shape[1] * values.shape[3]:
        raise InputError(
            f"a dictionary of activations of size {dictionary.spec.d_in}",
            expected=f"size {values.shape[1] * values.shape[3]}, as {model.name} has at {point!r}",
        )
    columns = encoder_columns(dictionary, features).unflatten(1, (values.shape[1], -1))
    return pattern * torch.einsum("nhse,nhe->nhs", values, columns.to(values))


def _attn_z(dictionary: Dictionary, model: "Readable") -> "tuple[LoadedModel, str]":
    """The model that the dictionary reads, and the name there."""
    spec = dictionary.spec
    owned = model.owner(spec.reads[0]) if len(spec.reads) == 1 else None
    simple = owned is not None and len(parsed(owned[1]).names) == 1 and parsed(owned[1]).names[0] == owned[1]
    if owned is None or not simple or kind_of(owned[1], owned[0].module, owned[0].family) != "attn_z":
        raise InputError(
            f"source positions of a dictionary that reads {' & '.join(spec.reads) or 'no hook point'}",
            expected="one that reads attn_z.L, where heads lie side by side, or one head, attn_z.L.H",
        )
    if spec.normalisation != NONE:
        raise InputError(
            f"source positions of a dictionary with {spec.normalisation}",
            expected="one whose pre-activations are linear in what it reads",
        )
    return owned


def _checked(
    contexts: Tensor, positions: Int[Tensor, " place"], features: Int[Tensor, " place"], batch_contexts: int
) -> Int[Tensor, " place"]:
    """The positions, if they lie in the contexts, of which there are as many as features."""
    if contexts.ndim != 2 or not len(contexts) == len(features) == len(positions) or batch_contexts < 1:
        raise InputError(
            f"contexts of shape {list(contexts.shape)}, {len(positions)} positions and {len(features)} features, "
            f"{batch_contexts} at once",
            expected="a context [position], a position and a feature for each place, and at least one at once",
        )
    wrong = positions[(positions < 0) | (positions >= contexts.shape[1])]
    if len(wrong):
        raise InputError(f"position {int(wrong[0])}", expected=f"from 0 to {contexts.shape[1] - 1}, as in the contexts")
    return positions
