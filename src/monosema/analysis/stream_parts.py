"""A direction in the residual stream, shared out among what was added to the stream."""

from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from torch import Tensor

from monosema.analysis.pullback import Direction, dot, tolerance
from monosema.analysis.stream import STREAMS
from monosema.errors import InputError
from monosema.models import read

if TYPE_CHECKING:
    from monosema.models import LoadedModel


@torch.no_grad()
def stream_parts(model: "LoadedModel", ids: Int[Tensor, " position"], direction: Direction) -> dict[str, float]:
    """vector · part for everything that was added up to a place in the stream; their sum is `direction.linear`.

    Args:
        model: the model.
        ids: the context.
        direction: at `resid_pre.L`, `resid_mid.L` or `resid_post.L`.

    Returns:
        By hook point: `resid_pre.0`, the embedding, and each layer's `attn_out.L` and `mlp_out.L`.

    Raises:
        InputError: the direction is elsewhere, or the model's stream is no sum (as where it is normalised, in BERT).
    """
    points = parts_before(direction)
    found = read(model, ids[None], [*points, direction.point]).values()
    rows = [x[0, direction.position].cpu().double() for x in found]
    total, stream = torch.stack(rows[: len(points)]).sum(0), rows[-1]
    if (total - stream).norm() > tolerance(model) * stream.norm():
        raise InputError(
            f"the stream of {model.name} at {direction.point}, which is not the sum of what was added to it",
            expected="a model that adds to its residual stream and does nothing else to it",
        )
    return {point: dot(direction.vector, x) for point, x in zip(points, rows, strict=False)}


def at_part(model: "LoadedModel", ids: Int[Tensor, " position"], direction: Direction, part: str) -> Direction:
    """A direction in the stream at one of the parts that were added to it (`stream_parts`); the constant has the rest.

    Raises:
        InputError: it is none of the parts, and what `stream_parts` refuses.
    """
    parts = stream_parts(model, ids, direction)
    if part not in parts:
        raise InputError(f"{part!r} as a part of {direction.point}", expected=f"one of {', '.join(parts)}")
    return Direction(part, direction.position, direction.vector, parts[part], direction.value - parts[part], "part")


def parts_before(direction: Direction) -> list[str]:
    """What is added up to a direction's place in the stream.

    Raises:
        InputError: it is not in the stream.
    """
    kind, _, layer = direction.point.partition(".")
    if kind not in STREAMS:
        raise InputError(f"parts of {direction.point}", expected=f"a direction at {', '.join(sorted(STREAMS))}")
    layers = int(layer) + (kind == "resid_post")
    both = [f"{kind}.{layer}" for layer in range(layers) for kind in ("attn_out", "mlp_out")]
    return ["resid_pre.0", *both, *([f"attn_out.{layer}"] if kind == "resid_mid" else [])]
