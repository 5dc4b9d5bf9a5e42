"""A feature's way back: to the residual stream by itself, and on through MLPs and heads that are named."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from monosema.analysis.attended import at_heads, head_sources, through_head
from monosema.analysis.linearise import through_mlp, through_norm
from monosema.analysis.pullback import Direction
from monosema.analysis.stream import STREAMS
from monosema.analysis.stream_parts import at_part, parts_before
from monosema.errors import InputError

if TYPE_CHECKING:
    from monosema.models import LoadedModel

_MLP = re.compile(r"mlp_out\.\d+")
_HEAD = re.compile(r"attn_z\.(\d+)\.(\d+)@(\d+)")


def way_back(
    model: "LoadedModel",
    ids: Int[Tensor, " position"],
    own: Direction,
    through: Sequence[str] = (),
    *,
    frozen: bool = True,
) -> list[Direction]:
    """A feature's own direction, and what it becomes.

    What reads an MLP's output, or input, is pulled back to the residual stream. From a direction in the stream the way
    goes on through one of the parts that were added to it, and back to the stream before that part.

    Args:
        model: the model.
        ids: the context.
        own: where the feature reads.
        through: what to go through after that, one after the other: `mlp_out.1`, or `attn_z.1.3@4`, which is head 3 of
            layer 1 and what it found at position 4.
        frozen: hold the scale of norms before MLPs fixed, or take their exact gradients.

    Raises:
        InputError: something else is to be gone through, or something that does not come before.
    """
    way = [own, *_to_stream(model, ids, own, frozen)]
    for hop in through:
        head = _HEAD.fullmatch(hop)
        if head is None and not _MLP.fullmatch(hop):
            raise InputError(f"a way through {hop!r}", expected="mlp_out.L, or attn_z.L.H@P, a head and a position")
        part = f"attn_out.{head[1]}" if head else hop
        if way[-1].point not in (part, part.replace("attn_out", "attn_z")):
            way.append(at_part(model, ids, way[-1], part))
        if head is None:
            way += _to_stream(model, ids, way[-1], frozen)
            continue
        if way[-1].point == part:
            way.append(at_heads(model, ids, way[-1]))
        way.append(through_head(model, ids, way[-1], int(head[2]), int(head[3])))
    return way


def _to_stream(
    model: "LoadedModel", ids: Int[Tensor, " position"], direction: Direction, frozen: bool
) -> list[Direction]:
    """What a direction at an MLP's output or input becomes on the way to the stream before it; of others, nothing."""
    way: list[Direction] = []
    if direction.point.startswith("mlp_out."):
        direction = through_mlp(model, ids, direction)
        way.append(direction)
    if direction.point.startswith("mlp_in."):
        way.append(through_norm(model, ids, direction, frozen=frozen))
    return way


class HeadSource(NamedTuple):
    """What a head brings from one position."""

    layer: int
    head: int
    source: int
    value: float
    """Its part of the feature's pre-activation."""


def strongest_heads(
    model: "LoadedModel", ids: Int[Tensor, " position"], direction: Direction, n: int = 10
) -> list[HeadSource]:
    """The heads and source positions that bring most to a direction, up or down, the largest first.

    Of a direction at an attention layer's output, this layer's; of one in the stream, those of all layers up to there;
    of any other, none.

    Raises:
        InputError: attention is computed in a way that is not known, or the stream is no sum.
    """
    kind, _, layer = direction.point.partition(".")
    found: dict[int, Tensor] = {}
    if kind in ("attn_out", "attn_z"):
        found[int(layer)] = head_sources(model, ids, direction)
    elif kind in STREAMS:
        for part in (part for part in parts_before(direction) if part.startswith("attn_out.")):
            found[int(part.partition(".")[2])] = head_sources(model, ids, at_part(model, ids, direction, part))
    if not found:
        return []
    values = torch.stack(list(found.values()))
    largest = values.flatten().abs().topk(min(n, int(values.count_nonzero()))).indices
    places = zip(*(index.tolist() for index in torch.unravel_index(largest, values.shape)), strict=True)
    return [HeadSource([*found][at], head, source, values[at, head, source].item()) for at, head, source in places]
