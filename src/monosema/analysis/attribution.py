"""Which features make a model say what it says: gradient × code, and what removing each one really does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from monosema.activations.filters import not_special
from monosema.analysis.vectors import decoder_rows
from monosema.dictionaries import Dictionary, normalisations
from monosema.errors import InputError
from monosema.evaluation.splice import hook_points
from monosema.models import PREPROCESSING, Replacement, check_preprocessing, read, replacing

if TYPE_CHECKING:
    from monosema.models import LoadedModel

Measure = Callable[[Float[Tensor, "batch position vocabulary"]], Float[Tensor, " batch"]]
"""What is explained: a number for each row of logits."""


def logit_of(token: int, against: int | None = None, position: int = -1) -> Measure:
    """The logit of a token after a position, less another token's, or less the mean of all."""

    def measure(logits: Float[Tensor, "batch position vocabulary"]) -> Float[Tensor, " batch"]:
        here = logits[:, position]
        return here[:, token] - (here.mean(1) if against is None else here[:, against])

    return measure


def loss_of(ids: Sequence[int]) -> Measure:
    """The mean cross-entropy of a prompt's own tokens, in nats."""
    if len(ids) < 2:
        raise InputError(f"the loss of {len(ids)} tokens", expected="at least 2")
    wanted = torch.tensor(ids[1:])

    def measure(logits: Float[Tensor, "batch position vocabulary"]) -> Float[Tensor, " batch"]:
        each = F.cross_entropy(
            logits[:, :-1].transpose(1, 2), wanted.to(logits.device).expand(len(logits), -1), reduction="none"
        )
        return each.mean(1)

    return measure


@dataclass(frozen=True)
class Attribution:
    """What the active features of a dictionary do to a measure, one entry for each feature at each token."""

    positions: Int[Tensor, " active"]
    features: Int[Tensor, " active"]
    values: Float[Tensor, " active"]
    """Their codes."""
    effects: Float[Tensor, " active"]
    """Gradient × code: to first order, what of the measure would be gone without the feature there."""
    error: Float[Tensor, " position"]
    """The same of what the dictionary does not reconstruct."""


def attribute(
    model: "LoadedModel", dictionaries: Mapping[str, Dictionary], ids: Sequence[int], measure: Measure
) -> dict[str, Attribution]:
    """First-order effects of all active features on a measure, in one pass forward and one back.

    The effect of feature j at a token is f_j (g · d_j), with its code f_j, its direction d_j, and the gradient g of the
    measure at the hook point that is written. Each dictionary is looked at by itself, in the model as it is: effects
    go through everything behind it. Over features and error, effects add up to what g says of the whole activation
    less the decoder's biases.

    Args:
        model: a causal language model.
        dictionaries: by name; of any wiring and maps. Of several hook points that are written, effects add up.
        ids: the prompt.
        measure: what is explained: `logit_of`, `loss_of`, or any differentiable function of logits.

    Raises:
        InputError: a dictionary names no hook points, or does not fit the model.
    """
    slopes, flowing = _slopes(model, dictionaries, ids, measure)
    found = {}
    for name, dictionary in dictionaries.items():
        spec = dictionary.spec
        positions, features, values, scale = _active(dictionary, flowing, ids, model)
        slope = torch.cat([slopes[point] for point in spec.writes], -1)
        rows = decoder_rows(dictionary, features) if len(features) else slope.new_zeros(0, slope.shape[-1])
        effects = values * scale * (rows.to(slope) * slope[positions]).sum(1)
        x, y = (torch.cat([flowing[p] for p in points], -1) for points in (spec.reads, spec.writes))
        with torch.no_grad():
            missed = (y - dictionary.decode(dictionary.encode(x), x).to(y)).to(slope)
        found[name] = Attribution(positions, features, values, effects, (missed * slope).sum(1))
    return found


@torch.no_grad()
def removal_of_each(
    model: "LoadedModel",
    dictionary: Dictionary,
    ids: Sequence[int],
    measure: Measure,
    attribution: Attribution,
    chosen: Int[Tensor, " some"],
    batch: int = 32,
) -> Float[Tensor, " some"]:
    """What of the measure is gone without one feature at one token: the model run again for each, exactly.

    Args:
        model, ids, measure: as for `attribute`.
        dictionary: what the features are of.
        attribution: of that dictionary.
        chosen: entries of the attribution.
        batch: runs at once.

    Raises:
        InputError: the dictionary writes several hook points, of which later ones would be removed twice over.
    """
    spec = dictionary.spec
    if len(spec.writes) > 1 and spec.writes_what_it_reads:
        raise InputError(f"removal from {' & '.join(spec.writes)}", expected="a dictionary that writes one hook point")
    row = torch.tensor([list(ids)], device=model.device)
    before = measure(model.logits(row))
    _, flowing = _slopes(model, {"": dictionary}, ids, None)
    scale = _active(dictionary, flowing, ids, model)[3]
    parts = []
    for own in chosen.split(batch):
        strength = attribution.values[own] * scale[own]
        rows = decoder_rows(dictionary, attribution.features[own]) * strength.unsqueeze(1)
        sizes = spec.sizes_out or (spec.d_out,)
        steps = [
            Replacement(point, partial(_less, attribution.positions[own], part))
            for point, part in zip(spec.writes, rows.split(sizes, 1), strict=True)
        ]
        with replacing(model, steps):
            parts.append(before - measure(model.logits(row.expand(len(own), -1))))
    return torch.cat(parts) if parts else before.new_zeros(0)


def agreement(effects: Float[Tensor, " some"], removed: Float[Tensor, " some"]) -> float:
    """The correlation of first-order effects with what removal does; 1 where the model is linear in the features."""
    if len(effects) < 2:
        raise InputError(f"a correlation of {len(effects)} effects", expected="at least 2")
    return float(torch.corrcoef(torch.stack([effects.double(), removed.double()]))[0, 1])


def _less(positions: Tensor, rows: Tensor, x: Float[Tensor, "some position d"]) -> Float[Tensor, "some position d"]:
    x[torch.arange(len(positions)), positions] -= rows.to(x)
    return x


def _slopes(
    model: "LoadedModel", dictionaries: Mapping[str, Dictionary], ids: Sequence[int], measure: Measure | None
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The measure's gradient at each hook point written, and what flows at each that is read or written."""
    points: set[str] = set()
    for dictionary in dictionaries.values():
        hook_points(dictionary)  # refuses those that name none
        spec = dictionary.spec
        check_preprocessing(model, (*spec.reads, *spec.writes), dictionary.metadata.get(PREPROCESSING))
        points.update(spec.reads, spec.writes)
    row = torch.tensor([list(ids)], device=model.device)
    flowing = {point: x[0] for point, x in read(model, row, sorted(points)).items()}
    if measure is None:
        return {}, flowing
    added = {p: torch.zeros_like(flowing[p]).requires_grad_() for d in dictionaries.values() for p in d.spec.writes}
    steps = [Replacement(point, partial(torch.add, zeros)) for point, zeros in added.items()]
    with torch.enable_grad(), replacing(model, steps):
        found = torch.autograd.grad(measure(model.logits(row)).sum(), list(added.values()), allow_unused=True)
    return {
        point: torch.zeros_like(zeros) if slope is None else slope
        for (point, zeros), slope in zip(added.items(), found, strict=True)
    }, flowing


@torch.no_grad()
def _active(
    dictionary: Dictionary, flowing: Mapping[str, Tensor], ids: Sequence[int], model: "LoadedModel"
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Positions, features and codes that are not zero, and how many times its direction each code is in the output."""
    spec = dictionary.spec
    x = torch.cat([flowing[point] for point in spec.reads], -1).to(dictionary.W_enc)
    codes = dictionary.active_entries(x)
    codes = codes.only(not_special(torch.tensor(list(ids), device=x.device), model.special_ids)[codes.rows()])
    size = normalisations[spec.normalisation].moments(x)[1].squeeze(-1)
    scale = size if spec.writes_what_it_reads else torch.ones_like(size)
    return codes.rows(), codes.columns, codes.values, scale[codes.rows()]
