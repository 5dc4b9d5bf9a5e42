"""A direction at an attention layer's output, through its heads to the tokens that they attend to.

The patterns are taken as they are. A head's OV circuit is linear then, but for the norm before it, whose scale is held
fixed: direct feature attribution of Kissane et al. 2024 (arXiv 2406.17759), with a direction behind each number.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.analysis.attention import attention_at, attention_in
from monosema.analysis.frozen import FrozenScales
from monosema.analysis.linearise import layer_of
from monosema.analysis.pullback import Direction, check_linear, made, pulled_back, with_zeros
from monosema.errors import InputError
from monosema.models import read_from

if TYPE_CHECKING:
    from monosema.models import LoadedModel


@torch.no_grad()
def head_sources(
    model: "LoadedModel", ids: Int[Tensor, " position"], direction: Direction
) -> Float[Tensor, "heads position"]:
    """What each head brings from each source position: A_h[src] v_h[src] · u_h, the pattern times values along u.

    u is the direction before the output projection. Added up, they are `at_heads(...).linear`.

    Args:
        model: the model.
        ids: the context.
        direction: at `attn_out.L`, `attn_z.L`.

    Returns:
        On the CPU, in float32 or better.

    Raises:
        InputError: the direction is elsewhere, or attention is computed in a way that is not known (`attention_at`).
    """
    direction = at_heads(model, ids, direction)
    own = torch.tensor([direction.position])
    pattern, values = attention_at(model, direction.point, ids[None].to(model.device), own)
    u = direction.vector.to(values).unflatten(0, (values.shape[1], -1))
    return (pattern * torch.einsum("nhse,he->nhs", values, u))[0].cpu()


@torch.enable_grad()
def through_head(
    model: "LoadedModel", ids: Int[Tensor, " position"], direction: Direction, head: int, source: int
) -> Direction:
    """From an attention layer's output to the residual stream at one source position, through one head.

    The norm before attention has its scale held fixed. What `head_sources` has for the head and source is
    `linear` and what the norm's and the values' biases bring.

    Args:
        model: the model.
        ids: the context.
        direction: at `attn_out.L`, `attn_z.L`.
        head: which.
        source: position that it attends to.

    Returns:
        At `resid_pre.L`, at the source position.

    Raises:
        InputError: the direction is elsewhere, there is no such head or position, attention is computed in a way that
            is not known, or the norm's scale cannot be held fixed.
    """
    direction = at_heads(model, ids, direction)
    start = f"resid_pre.{layer_of(direction, 'attn_z')}"
    heads = model.heads or 0
    if not (0 <= head < heads and 0 <= source < len(ids)):
        raise InputError(
            f"head {head} at position {source}", expected=f"one of {heads} heads, and of {len(ids)} positions"
        )
    leaves: list[Tensor] = []

    def run(points: Sequence[str]) -> dict[str, Tensor]:
        leaf, found = read_from(model, ids.expand(2, -1), start, points, with_zeros)
        leaves.append(leaf)
        return found

    with FrozenScales():
        pattern, values = attention_in(model, direction.point, run, torch.tensor([direction.position] * 2))
        u = direction.vector.to(values).unflatten(0, (heads, -1))[head]
        given = pattern[0, head, source].detach() * (values[:, head, source] @ u)
        (gradient,) = torch.autograd.grad(given[0], leaves[0])
    vector, x = gradient[0, source], leaves[0][0, source].detach()
    check_linear(model, given.detach(), vector, x, (start, direction.point))
    return made(direction, start, source, vector, x, "head")


def at_heads(model: "LoadedModel", ids: Int[Tensor, " position"], direction: Direction) -> Direction:
    """A direction at `attn_out.L` before the output projection, at `attn_z.L`; one that is there stays as it is.

    A norm behind the projection (Gemma 2 and 3) has its scale held fixed.

    Raises:
        InputError: the direction is elsewhere, or that norm's scale cannot be held fixed.
    """
    layer = layer_of(direction, "attn_out", "attn_z")
    if direction.point == f"attn_z.{layer}":
        return direction
    return pulled_back(model, ids, direction, f"attn_z.{layer}", "output", frozen=True)
