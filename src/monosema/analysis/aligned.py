"""Which MLP neurons write along a feature's direction, or read it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from monosema.analysis.vectors import chosen_of, decoder_rows
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.models import parsed
from monosema.models.lens import LENS
from monosema.models.mlp import layer_of, mlp_weights, through_norm
from monosema.models.names import kind_of

if TYPE_CHECKING:
    from monosema.models import LoadedModel, Readable

_WRITTEN = {"mlp_out", "resid_post"}
_READ = {"mlp_in", "resid_pre", "resid_mid"}


@dataclass(frozen=True)
class AlignedNeurons:
    """The neurons of one MLP whose weights have the largest cosines with features' directions, in absolute value."""

    layer: int
    does: Literal["write", "read"]
    """Whether the weights are the neurons' output weights, or their input weights."""
    part: str
    """Of a gated MLP's input weights, `gate` or `up`; else ""."""
    indices: Int[Tensor, "some n"]
    cosines: Float[Tensor, "some n"]
    """The largest in absolute value first; 0 where the direction is."""


@torch.no_grad()
def aligned_neurons(
    dictionary: Dictionary, model: "Readable", features: Sequence[int] | Int[Tensor, " some"], n: int = 10
) -> list[AlignedNeurons]:
    """The MLP neurons that features' directions are made of, or that read them.

    Of `mlp_out.L` and `resid_post.L` these are the neurons of layer L whose output weights point along the direction;
    of `mlp_in.L`, `resid_mid.L` and `resid_pre.L` those of layer L whose input weights do. A norm that lies between is
    taken into account by its weights (and by its centring): what it divides by is the same for all neurons.

    Args:
        dictionary: what the features are of.
        model: the model that it was trained on.
        features: which.
        n: neurons of each, at most as many as there are.

    Returns:
        On the CPU, one entry, or two (`gate`, `up`) of what gated MLPs read. Empty where the dictionary writes anything
        else than one such hook point, or the layer's MLP is of no known shape.

    Raises:
        InputError: the dictionary does not have one of the features, or the model the hook point; `n` is not positive.
    """
    chosen = chosen_of(dictionary, features)
    if n < 1:
        raise InputError(f"{n} neurons", expected="at least 1")
    place = _place(dictionary, model)
    if place is None:
        return []
    owner, kind, layer = place
    weights = mlp_weights(owner, layer)
    if weights is None:
        return []
    rows = decoder_rows(dictionary, chosen)
    if kind in _WRITTEN:
        written = through_norm(weights.after, weights.writes.to(rows))
        return [AlignedNeurons(layer, "write", "", *_largest(rows, written, n))]
    given = rows if kind == "mlp_in" else through_norm(weights.before, rows)
    reads = weights.reads.items()
    return [AlignedNeurons(layer, "read", part, *_largest(given, weight.to(rows), n)) for part, weight in reads]


def _place(dictionary: Dictionary, model: "Readable") -> "tuple[LoadedModel, str, int] | None":
    """Model, kind and layer of the hook point written, if an MLP writes it or reads it."""
    writes = dictionary.spec.writes
    owned = model.owner(writes[0]) if len(writes) == 1 else None
    if owned is None or parsed(owned[1]).names != (owned[1],):
        return None
    owner, name = owned
    kind = kind_of(name, owner.module, owner.family)
    if kind is None or kind not in _WRITTEN | _READ or not _joined(owner, kind):
        return None
    return owner, kind, layer_of(owner, name, kind)


def _joined(model: "LoadedModel", kind: str) -> bool:
    """Whether nothing lies between the MLP and the hook point but a norm that its family names."""
    if kind in ("mlp_in", "mlp_out") or model.family is LENS:
        return True
    return model.family is not None and model.family.mlp is not None and kind in model.family.mlp.streams


def _largest(
    rows: Float[Tensor, "some d"], weights: Float[Tensor, "neurons d"], n: int
) -> tuple[Int[Tensor, "some n"], Float[Tensor, "some n"]]:
    cosines = F.normalize(rows, dim=1) @ F.normalize(weights, dim=1).mT
    indices = cosines.abs().topk(min(n, len(weights)), dim=1).indices
    return indices.cpu(), cosines.gather(1, indices).cpu()
