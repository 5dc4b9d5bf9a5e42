"""What makes a feature fire at one token, as linear functions of earlier and earlier activations.

Dunefsky et al. 2024, Transcoders Find Interpretable LLM Feature Circuits (arXiv 2406.11944), and Riggs, Kissane and
Dunefsky 2024, Case Studies in Reverse-Engineering Sparse Autoencoder Features by Using MLP Linearization.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.analysis.pullback import Direction, dot, pulled_back
from monosema.analysis.vectors import chosen_of, encoder_columns
from monosema.dictionaries import Dictionary
from monosema.dictionaries.normalisation import NONE
from monosema.errors import InputError
from monosema.models import PREPROCESSING, check_preprocessing, parsed, read
from monosema.models.names import config_of, place_of

if TYPE_CHECKING:
    from monosema.models import LoadedModel, Readable


@torch.no_grad()
def feature_direction(
    dictionary: Dictionary, model: "Readable", ids: Int[Tensor, " position"], position: int, feature: int
) -> "tuple[LoadedModel, Direction]":
    """What a feature reads: its encoder's weights; and the model that it reads.

    Args:
        dictionary: reads one hook point with a short name; of several, such as those of cross-layer features, the
            feature reads one. Of one head, the direction is one at all heads.
        model: the model that it was trained on.
        ids: a context.
        position: the position that the feature is looked at.
        feature: which.

    Raises:
        InputError: the feature reads several hook points or one without a short name, or what it reads is normalised
            first; the context does not have the position, or the dictionary the feature; or the model's weights were
            treated otherwise than in training.
    """
    check_position(ids, position)
    column, name = _read_by(dictionary, feature)
    owned = model.owner(name)
    assert owned is not None  # a single hook point has one
    owner, local = owned
    check_preprocessing(model, [name], dictionary.metadata.get(PREPROCESSING))
    place = place_of(local, owner.module, owner.family)
    if place is None:
        raise InputError(
            f"a feature that reads {name!r}",
            expected="one that reads a hook point with a short name, such as mlp_out.1",
        )
    point = place[0] if place[0] == "embed" else f"{place[0]}.{place[1]}"
    columns = owner.point(local).columns
    x = read(owner, ids[None], [point])[point][0, position].cpu()
    if columns is not None:
        column = torch.cat([column.new_zeros(columns[0]), column, column.new_zeros(len(x) - columns[1])])
    if column.shape != x.shape:
        raise InputError(f"activations of size {len(x)} at {point}", expected=f"size {len(column)}, as is read")
    zeros = torch.zeros(dictionary.spec.d_in, dtype=dictionary.W_enc.dtype, device=dictionary.W_enc.device)
    bias = dictionary.preactivations(zeros)[feature].item()
    return owner, Direction(point, position, column, dot(column, x), bias, "feature")


def through_mlp(model: "LoadedModel", ids: Int[Tensor, " position"], direction: Direction) -> Direction:
    """From what an MLP adds to the stream to what it is given: the gradient of vector · MLP(x) at the token's own x.

    It is exact at this token, whatever the MLP is made of (a norm behind it, as in Gemma 2, among it), and first-order
    elsewhere: `agreement` says how well it does at other tokens.

    Args:
        model: the model.
        ids: the context.
        direction: at `mlp_out.L`; `at_part` makes one of a direction in the stream.

    Returns:
        At `mlp_in.L`.

    Raises:
        InputError: the direction is elsewhere.
    """
    layer = layer_of(direction, "mlp_out")
    return pulled_back(model, ids, direction, f"mlp_in.{layer}", "mlp")


def through_norm(
    model: "LoadedModel", ids: Int[Tensor, " position"], direction: Direction, *, frozen: bool = True
) -> Direction:
    """From what an MLP is given to the residual stream before its norm.

    Args:
        model: the model.
        ids: the context.
        direction: at `mlp_in.L`.
        frozen: take what the norm divides by as a constant, so that vector · x + the norm's bias is exactly what it
            was; else by the exact gradient, which says what more of a direction changes, and whose product with x is
            about zero.

    Returns:
        At `resid_mid.L`; at `resid_pre.L`, where attention and MLP read the same stream.

    Raises:
        InputError: the direction is elsewhere, or the norm's scale cannot be held fixed.
    """
    layer = layer_of(direction, "mlp_in")
    assert model.family is not None  # else it would have no short names
    stream = "resid_pre" if model.family.parallel(config_of(model.module)) else "resid_mid"
    return pulled_back(model, ids, direction, f"{stream}.{layer}", "norm", frozen=frozen)


@dataclass(frozen=True)
class Agreement:
    """How well a direction that was found at one token does at others."""

    tokens: int
    correlation: float
    """Of vector · x with what it stands for; NaN where either does not vary."""
    explained: float
    """1 − Σ (truth − predicted)² / Σ (truth − mean)², with the constant of the one token; NaN as above. It can be
    negative."""


def agreement(origin: Direction, direction: Direction, rows: Mapping[str, Float[Tensor, "tokens _"]]) -> Agreement:
    """Compares a direction with an earlier one of its path, without attention in between, on the same tokens.

    Args:
        origin: what is right: a feature's own direction, or one part of the stream.
        direction: what it became through MLPs and norms.
        rows: activations at the hook points of both.
    """
    truth = rows[origin.point].cpu().double() @ origin.vector.double()
    linear = rows[direction.point].cpu().double() @ direction.vector.double()
    offset = origin.linear - direction.linear
    a, b = truth - truth.mean(), linear - linear.mean()
    if len(truth) < 2 or not a.any() or not b.any():
        return Agreement(len(truth), math.nan, math.nan)
    explained = 1 - (truth - linear - offset).square().sum() / a.square().sum()
    return Agreement(len(truth), (a @ b / (a.norm() * b.norm())).item(), explained.item())


def layer_of(direction: Direction, *kinds: str) -> int:
    """The layer of a direction at a hook point of one of some kinds.

    Raises:
        InputError: it is at another.
    """
    kind, _, layer = direction.point.partition(".")
    if kind not in kinds:
        raise InputError(
            f"a direction at {direction.point}", expected=" or ".join(f"one at {kind}.L" for kind in kinds)
        )
    return int(layer)


def _read_by(dictionary: Dictionary, feature: int) -> tuple[Float[Tensor, " d"], str]:
    """What a feature multiplies its input with, and the one hook point of that input."""
    spec = dictionary.spec
    (column,) = encoder_columns(dictionary, chosen_of(dictionary, [feature])).cpu()
    sizes = spec.sizes_in or (spec.d_in,)
    parts = [(part, name) for part, name in zip(column.split(sizes), spec.reads, strict=False) if part.any()]
    if len(spec.reads) != len(sizes) or len(parts) != 1 or parsed(parts[0][1]).names != (parts[0][1],):
        raise InputError(
            f"a feature that reads {' & '.join(name for _, name in parts) or 'nothing'}", expected="one hook point"
        )
    if spec.normalisation != NONE:
        raise InputError(
            f"a dictionary with {spec.normalisation}", expected="one whose pre-activations are linear in what it reads"
        )
    return parts[0]


def check_position(ids: Int[Tensor, " position"], position: int) -> None:
    """Refuses a position that the context does not have."""
    if ids.ndim != 1 or not 0 <= position < len(ids):
        raise InputError(
            f"position {position} of ids of shape {list(ids.shape)}", expected="a context [position], and one of it"
        )
