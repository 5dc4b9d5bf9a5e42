"""Which MLP neurons write along a feature's direction, or read it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

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


@dataclass(frozen=True, eq=False)
class NeuronsBeside:
    """The neurons that write to a hook point or read it, ready to be compared with directions there."""

    layer: int
    does: Literal["write", "read"]
    through: nn.Module | None
    """The norm that directions go through first."""
    weights: Mapping[str, Float[Tensor, "neurons d"]]
    """Of unit norm; of a gated MLP's input weights, those of `gate` and of `up`."""


@torch.no_grad()
def neurons_beside(dictionary: Dictionary, model: "Readable") -> NeuronsBeside | None:
    """The neurons that `aligned_neurons` looks through, for who asks it often; None where there are none.

    Raises:
        InputError: the model does not have the hook point that the dictionary writes.
    """
    place = _place(dictionary, model)
    weights = None if place is None else mlp_weights(place[0], place[2])
    if place is None or weights is None:
        return None
    dtype = torch.promote_types(dictionary.W_dec.dtype, torch.float32)
    _, kind, layer = place
    if kind in _WRITTEN:
        written = through_norm(weights.after, weights.writes.to(dictionary.W_dec.device, dtype))
        return NeuronsBeside(layer, "write", None, {"": F.normalize(written, dim=1)})
    reads = {part: F.normalize(w.to(dictionary.W_dec.device, dtype), dim=1) for part, w in weights.reads.items()}
    return NeuronsBeside(layer, "read", None if kind == "mlp_in" else weights.before, reads)


@torch.no_grad()
def aligned_neurons(
    dictionary: Dictionary,
    model: "Readable",
    features: Sequence[int] | Int[Tensor, " some"],
    n: int = 10,
    *,
    beside: NeuronsBeside | None = None,
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
        beside: what `neurons_beside` gives, if it is known.

    Returns:
        On the CPU, one entry, or two (`gate`, `up`) of what gated MLPs read. Empty where the dictionary writes anything
        else than one such hook point, or the layer's MLP is of no known shape.

    Raises:
        InputError: the dictionary does not have one of the features, or the model the hook point; `n` is not positive.
    """
    chosen = chosen_of(dictionary, features)
    if n < 1:
        raise InputError(f"{n} neurons", expected="at least 1")
    beside = beside or neurons_beside(dictionary, model)
    if beside is None:
        return []
    rows = F.normalize(through_norm(beside.through, decoder_rows(dictionary, chosen)), dim=1)
    return [
        AlignedNeurons(beside.layer, beside.does, part, *_largest(rows, weights, n))
        for part, weights in beside.weights.items()
    ]


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
    cosines = rows @ weights.mT
    indices = cosines.abs().topk(min(n, len(weights)), dim=1).indices
    return indices.cpu(), cosines.gather(1, indices).cpu()
