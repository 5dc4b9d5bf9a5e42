"""What features add to the residual stream."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from monosema.analysis.vectors import chosen_of, decoder_rows
from monosema.dictionaries import Dictionary
from monosema.models import parsed
from monosema.models.lens import LENS
from monosema.models.names import kind_of, text_config

if TYPE_CHECKING:
    from monosema.models import HookPoint, LoadedModel, Readable

STREAMS = frozenset({"resid_pre", "resid_mid", "resid_post"})
"""Kinds of hook points at which the stream itself flows."""
ADDED = frozenset({"embed", "attn_out", "mlp_out"})
"""Kinds of hook points at which something flows that is added to it."""
_LARGE = 64.0  # beside directions this long, the rounding of a projection's bias is small


@torch.no_grad()
def stream_directions(
    dictionary: Dictionary, model: "Readable", features: Sequence[int] | Int[Tensor, " some"]
) -> Float[Tensor, "some d_model"] | None:
    """What features add to the residual stream per unit of their codes.

    Of `embed`, `resid_*`, `attn_out` and `mlp_out` that is the decoder's row; of `attn_z`, or one head of it, the row
    through the output projection. Of several hook points that are written it is the sum; where these are the stream
    itself in several layers, what is written to the one named last. In a model that normalises after each addition
    (BERT), it is what is added before the norm. A dictionary that normalises its input has codes, and so directions, in
    units of the input's size.

    Args:
        dictionary: what the features are of.
        model: the model that it was trained on; of two models, all that it writes must be in one of them.
        features: which.

    Returns:
        In float32 or better, on the dictionary's device. None where no vector is added to the stream: at `mlp_in`; at
        `attn_z` where there is a norm between attention and stream (Gemma 2 and 3); at places without a short name,
        as in models of an unknown family.

    Raises:
        InputError: the dictionary does not have one of the features, or the model one of the hook points.
    """
    chosen = chosen_of(dictionary, features)
    places = _places(dictionary, model)
    sizes = dictionary.spec.sizes_out or (dictionary.spec.d_out,)
    if places is None or len(places) != len(sizes):
        return None
    parts = zip(places, decoder_rows(dictionary, chosen).split(sizes, 1), strict=True)
    added = [place.added(rows) for place, rows in parts]
    if len({rows.shape[1] for rows in added}) > 1:  # directions of several sizes do not add up
        return None
    return added[-1] if places[-1].kind in STREAMS else torch.stack(added).sum(0)


class _Place(NamedTuple):
    """A hook point written, or a sum of some."""

    owner: "LoadedModel"
    name: str
    kind: str

    def added(self, rows: Float[Tensor, "some d"]) -> Float[Tensor, "some d_model"]:
        """What the model adds to its stream when `rows` are added here."""
        return projected(self.owner, self.name, rows) if self.kind == "attn_z" else rows


def _places(dictionary: Dictionary, model: "Readable") -> list[_Place] | None:
    """The hook points written: all parts of one model's stream, or all added to it; None where they are neither."""
    found = [_place(model, point) for point in dictionary.spec.writes]
    places = [place for place in found if place is not None]
    alike = {(id(place.owner), place.kind in STREAMS) for place in places}
    return places if len(places) == len(found) and len(alike) == 1 else None


def _place(model: "Readable", point: str) -> _Place | None:
    owned = model.owner(point)
    if owned is None or len(parsed(owned[1]).sums) > 1:
        return None
    owner, name = owned
    kinds = [kind_of(term, owner.module, owner.family) for term in parsed(name).names]
    if kinds == ["attn_z"]:
        return None if _is_normalised(owner, owner.point(name)) else _Place(owner, name, "attn_z")
    added = [kind for kind in kinds if kind in STREAMS | ADDED]
    if added != kinds:
        return None
    return _Place(owner, name, next((kind for kind in added if kind in STREAMS), added[0]))


def _is_normalised(model: "LoadedModel", attn_z: "HookPoint") -> bool:
    """Whether there is a norm between a layer's output projection and the stream."""
    assert model.family is not None  # else there is no attn_z
    if model.family is LENS:
        return hasattr(model.module.get_submodule(attn_z.path.rpartition(".attn.")[0]), "ln1_post")
    layers = range(model.family.layers(text_config(model.module)))
    adding = (model.point(f"attn_out.{layer}").path for layer in layers)
    return not any(f"{attn_z.path}.".startswith(f"{path}.") for path in adding)


def projected(model: "LoadedModel", point: str, rows: Float[Tensor, "some d"]) -> Float[Tensor, "some d_model"]:
    """Rows at `attn_z.L`, or at one head of it, through the layer's output projection without its bias."""
    place = model.point(point)
    if place.columns is not None:
        first, end = place.columns
        assert model.heads is not None  # else it could not be named
        rows = F.pad(rows, (first, model.heads * (end - first) - end))
    if model.family is LENS:
        attention: Any = model.module.get_submodule(place.path.rpartition(".")[0])
        return rows @ attention.W_O.detach().flatten(0, 1).to(rows)
    project = model.module.get_submodule(place.path)
    large = (_LARGE * rows).to(model.device, model.dtype)
    return (project(large) - project(torch.zeros_like(large[:1]))).to(rows) / _LARGE
