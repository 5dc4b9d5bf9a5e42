"""Earlier features that feed a later one: by their weights, whatever the input, and at one token."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.analysis.pullback import Direction, made
from monosema.analysis.stream import STREAMS, stream_directions
from monosema.analysis.vectors import decoder_rows
from monosema.dictionaries import Dictionary
from monosema.dictionaries.normalisation import NONE
from monosema.errors import InputError
from monosema.models import parsed, read
from monosema.models.names import place_of

if TYPE_CHECKING:
    from monosema.models import LoadedModel

_ORDER = {kind: i for i, kind in enumerate(("resid_pre", "attn_z", "attn_out", "resid_mid", "mlp_out", "resid_post"))}


@dataclass(frozen=True)
class Feeding:
    """What each feature of an earlier dictionary gives to a direction."""

    connections: Float[Tensor, " width"]
    """Per unit of the earlier feature's code: its direction times the later one. Between a transcoder's feature and the
    encoder of a later one, w_dec · w_enc, whatever the input is, up to the norm's scale."""
    codes: Float[Tensor, " width"]
    """At the direction's token."""

    @property
    def contributions(self) -> Float[Tensor, " width"]:
        """Code times connection: what each gives to the pre-activation at the token, on this path."""
        return self.codes * self.connections


@torch.no_grad()
def feeding_features(
    earlier: Dictionary, model: "LoadedModel", ids: Int[Tensor, " position"], direction: Direction
) -> Feeding:
    """The connections of an earlier dictionary's features with a direction, and their codes at its token.

    Args:
        earlier: writes one hook point, where the direction is or, if that is in the stream, before it.
        model: the model of both.
        ids: the context.
        direction: where the later feature has been pulled back to.

    Returns:
        On the CPU.

    Raises:
        InputError: the dictionary writes elsewhere (`comes_before`), or has codes in units of what it reads.
    """
    if not comes_before(earlier, model, direction):
        raise InputError(
            f"features that write {' & '.join(earlier.spec.writes) or 'no hook point'} and a direction at "
            f"{direction.point}",
            expected="a dictionary that writes there, or what is added to the stream up to there",
        )
    if earlier.spec.normalisation != NONE:
        raise InputError(
            f"an earlier dictionary with {earlier.spec.normalisation}", expected="one with codes in the units of x"
        )
    chosen = torch.arange(earlier.spec.width, device=earlier.W_dec.device)
    here = place_of(earlier.spec.writes[0], model.module, model.family) == _place(direction)
    rows = decoder_rows(earlier) if here else stream_directions(earlier, model, chosen)
    assert rows is not None  # as `comes_before` found
    x = _read(earlier, model, ids)[direction.position]
    return Feeding(rows.cpu() @ direction.vector.to(rows.dtype), earlier.encode(x[None])[0].cpu())


@torch.no_grad()
def comes_before(earlier: Dictionary, model: "LoadedModel", direction: Direction) -> bool:
    """Whether what a dictionary writes is at a direction, or is added to the stream up to there."""
    writes = earlier.spec.writes
    if len(writes) != 1 or parsed(writes[0]).names != (writes[0],) or model.point(writes[0]).columns is not None:
        return False
    own, later = place_of(writes[0], model.module, model.family), _place(direction)
    if own is None or own == later:
        return own is not None
    first = torch.zeros(1, dtype=torch.long, device=earlier.W_dec.device)
    if later[0] not in STREAMS or own[0] not in _ORDER or stream_directions(earlier, model, first) is None:
        return False
    return (own[1], _ORDER[own[0]]) < (later[1], _ORDER[later[0]])


def through_dictionary(
    transcoder: Dictionary, model: "LoadedModel", ids: Int[Tensor, " position"], direction: Direction
) -> Direction:
    """A direction at what a transcoder writes, at what it reads: the gradient of vector · transcoder(x).

    The features that are active at the token are linear in x; so the constant is what their biases bring, and what the
    transcoder does not predict.

    Args:
        transcoder: writes one hook point, that of the direction, and reads one, in evaluation mode.
        model: the model.
        ids: the context.
        direction: at what it writes.

    Raises:
        InputError: the direction is elsewhere, or the dictionary does not read and write one hook point each, with
            short names.
    """
    places = [
        place_of(names[0], model.module, model.family) if len(names) == 1 and parsed(names[0]).names == names else None
        for names in (transcoder.spec.reads, transcoder.spec.writes)
    ]
    if places[0] is None or places[1] != _place(direction):
        raise InputError(
            f"a dictionary from {' & '.join(transcoder.spec.reads)} to {' & '.join(transcoder.spec.writes)}",
            expected=f"one that reads one hook point, with a short name, and writes {direction.point}",
        )
    x = _read(transcoder, model, ids)[direction.position].to(transcoder.W_enc.dtype).requires_grad_()
    with torch.enable_grad():
        out = transcoder(x[None])[0]
        (gradient,) = torch.autograd.grad(out @ direction.vector.to(out), x)
    kind, layer = places[0]
    return made(direction, f"{kind}.{layer}", direction.position, gradient, x.detach(), "dictionary")


def _read(dictionary: Dictionary, model: "LoadedModel", ids: Int[Tensor, " position"]) -> Float[Tensor, "position d"]:
    name = " & ".join(dictionary.spec.reads)
    return read(model, ids[None], [name])[name][0].to(dictionary.W_enc.device)


def _place(direction: Direction) -> tuple[str, int]:
    kind, _, layer = direction.point.partition(".")
    return kind, int(layer or 0)
