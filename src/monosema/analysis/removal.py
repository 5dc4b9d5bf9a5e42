"""What removing a feature does to the model's predictions: in all, and on the direct path alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from monosema.activations.filters import not_special
from monosema.analysis.stream import stream_directions
from monosema.analysis.unembed import has_head, last_stream, log_probabilities, logits_of_stream
from monosema.analysis.vectors import chosen_of, decoder_rows
from monosema.dictionaries import Dictionary, normalisations
from monosema.errors import InputError
from monosema.models import PREPROCESSING, Replacement, read, replacing
from monosema.models.flow import attach

if TYPE_CHECKING:
    from monosema.models import LoadedModel, Readable


@dataclass(frozen=True)
class Removal:
    """Log-probabilities of the tokens that follow, with a feature and without it: see `removal_effects`.

    They are in nats, and NaN at the last position, which no token follows. `total − before` and `direct − before` are
    what removing the feature changes.
    """

    values: Float[Tensor, "pair position"]
    """The feature's codes; 0 at special tokens."""
    before: Float[Tensor, "pair position"]
    """The model as it is."""
    total: Float[Tensor, "pair position"]
    """Without the feature anywhere in the context: what all later layers and positions make of that, too."""
    direct: Float[Tensor, "pair position"] | None
    """Without what the feature adds to the last residual stream at the same position, and no more: later layers and
    positions act as if it were there. None where features have no direction in the stream (`stream_directions`)."""


@torch.no_grad()
def removal_effects(
    dictionary: Dictionary,
    model: "Readable",
    contexts: Int[Tensor, "pair position"],
    features: Sequence[int] | Int[Tensor, " pair"],
    batch_contexts: int = 8,
) -> Removal:
    """What removing one feature from each context does to the probability of each actual next token.

    To remove a feature is to take code · direction out of the activation at the hook point written, at every position
    but special tokens'; what the dictionary does not reconstruct, and all other features, stay. Cross-layer features
    are removed from all that they write. Each row of a batch has a feature of its own, so a batch costs two passes and
    a half however many features are in it, and the head's work again.

    Args:
        dictionary: what the features are of, on any device.
        model: the model that it was trained on.
        contexts: token ids, one row for each pair of a context and a feature.
        features: the feature of each row.
        batch_contexts: rows run at once.

    Returns:
        On the CPU, in float32 or better.

    Raises:
        InputError: there are not as many features as contexts, or one that the dictionary does not have; the dictionary
            writes several hook points, but is none of cross-layer features; what it writes is not in one model that
            predicts the next token; or the model's weights were treated otherwise than in training.
    """
    owner = _owner(dictionary, model)
    chosen = chosen_of(dictionary, features)
    if contexts.ndim != 2 or len(contexts) != len(chosen) or batch_contexts < 1:
        raise InputError(
            f"contexts of shape {list(contexts.shape)}, {len(chosen)} features, {batch_contexts} at once",
            expected="a context [position] for each feature, and at least one at once",
        )
    training = dictionary.training
    dictionary.eval()
    try:
        parts = [
            _removed(dictionary, model, owner, ids.to(owner.device), own)
            for ids, own in zip(contexts.split(batch_contexts), chosen.split(batch_contexts), strict=True)
        ]
    finally:
        dictionary.train(training)
    values, before, total, direct = zip(*parts, strict=True)
    direct = [part for part in direct if part is not None]
    return Removal(torch.cat(values), torch.cat(before), torch.cat(total), torch.cat(direct) if direct else None)


def _owner(dictionary: Dictionary, model: "Readable") -> "LoadedModel":
    """The model that the features are removed from."""
    spec = dictionary.spec
    if not spec.reads or not spec.writes:
        raise InputError(
            "a dictionary that does not name the hook points that it reads and writes",
            expected="hook points on each side of its spec",
        )
    if len(spec.writes) > 1 and not spec.cross_layer:
        raise InputError(
            f"features of a dictionary that writes {' & '.join(spec.writes)}",
            expected="one that writes one hook point, or cross-layer features",
            hint="what a crosscoder writes to a layer holds what it has written before, and would be removed twice",
        )
    owned = model.owner(" & ".join(spec.writes))
    if owned is None or not owned[0].predicts_next:
        raise InputError(
            f"the next token's probability in {model.name}",
            expected="hook points of one causal language model with its head",
        )
    return owned[0]


def _removed(
    dictionary: Dictionary,
    model: "Readable",
    owner: "LoadedModel",
    ids: Int[Tensor, "pair position"],
    features: Int[Tensor, " pair"],
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """What `Removal` has, of some rows. A context that several rows share is read as it is once."""
    contexts, row = ids.unique(dim=0, return_inverse=True)
    codes, strengths = _codes(dictionary, model, contexts, row, features)
    directions = stream_directions(dictionary, model, features) if has_head(owner) else None
    before, stream = _clean(owner, contexts, with_stream=directions is not None)
    before, stream = before[row.cpu()], None if stream is None else stream[row]
    with replacing(owner, _without(dictionary, model, strengths, decoder_rows(dictionary, features))):
        total = _of_next(owner.logits(ids), ids)
    direct = None
    if stream is not None and directions is not None:
        direct = _direct(owner, ids, before, strengths.to(stream.device), _less(strengths, directions, stream))
    return codes.cpu(), before, total, direct


def _direct(
    model: "LoadedModel",
    ids: Int[Tensor, "pair position"],
    before: Float[Tensor, "pair position"],
    strengths: Float[Tensor, "pair position"],
    stream: Float[Tensor, "pair position d_model"],
) -> Float[Tensor, "pair position"]:
    """The next tokens' log-probabilities with the last stream lessened; the head runs where the feature fires."""
    fires = strengths != 0
    fires[:, -1] = False
    rows, tokens = stream[fires], ids.roll(-1, dims=1)[fires]
    found = before.clone()
    if len(rows):
        parts = zip(rows.split(ids.shape[1]), tokens.split(ids.shape[1]), strict=True)
        found[fires.cpu()] = torch.cat([log_probabilities(logits_of_stream(model, row), own) for row, own in parts])
    return found


def _codes(
    dictionary: Dictionary,
    model: "Readable",
    contexts: Int[Tensor, "context position"],
    row: Int[Tensor, " pair"],
    features: Int[Tensor, " pair"],
) -> tuple[Float[Tensor, "pair position"], Float[Tensor, "pair position"]]:
    """Each pair's feature: its codes, and how many times its direction is in the output; 0 at special tokens."""
    reads = " & ".join(dictionary.spec.reads)
    x = read(model, contexts, [reads])[reads].to(dictionary.W_enc.device)[row.to(dictionary.W_enc.device)]
    # One context at a time, because dense codes of all features take much memory.
    codes = torch.stack([dictionary.encode(row)[:, feature] for row, feature in zip(x, features, strict=True)])
    codes = codes * not_special(contexts[row], model.special_ids).to(codes)
    if not dictionary.spec.writes_what_it_reads:
        return codes, codes
    _, size = normalisations[dictionary.spec.normalisation].moments(x)
    return codes, codes * size.squeeze(-1).to(codes)


def _clean(
    model: "LoadedModel", ids: Int[Tensor, "pair position"], *, with_stream: bool
) -> tuple[Float[Tensor, "pair position"], Float[Tensor, "pair position d_model"] | None]:
    """The next tokens' log-probabilities in the model as it is, and its last stream if that is wanted."""
    if not with_stream:
        return _of_next(model.logits(ids), ids), None
    seen: list[Tensor] = []
    hook = attach(model.module, model.point(last_stream(model)), lambda stream: seen.append(stream.clone()))
    try:
        return _of_next(model.logits(ids), ids), seen[0]
    finally:
        hook.remove()


def _without(
    dictionary: Dictionary,
    model: "Readable",
    strengths: Float[Tensor, "pair position"],
    rows: Float[Tensor, "pair d_out"],
) -> list[Replacement]:
    """Takes each row's feature out of what flows at the hook points written."""
    spec = dictionary.spec
    found = []
    for point, directions in zip(spec.writes, rows.split(spec.sizes_out or (spec.d_out,), 1), strict=True):
        owned = model.owner(point)
        assert owned is not None  # as all of them are in one model
        less = partial(_less, strengths, directions)
        found.append(Replacement(owned[1], less, trained_on=dictionary.metadata.get(PREPROCESSING)))
    return found


def _less(
    strengths: Float[Tensor, "pair position"], directions: Float[Tensor, "pair d"], x: Float[Tensor, "pair position d"]
) -> Float[Tensor, "pair position d"]:
    """Activations without so many times a direction, each row its own."""
    return x - (strengths.unsqueeze(-1) * directions.unsqueeze(1)).to(x.device)


def _of_next(
    logits: Float[Tensor, "pair position vocabulary"], ids: Int[Tensor, "pair position"]
) -> Float[Tensor, "pair position"]:
    """Of the token that follows each position; NaN at the last one."""
    # One context at a time, because the probabilities of all tokens take much memory.
    found = torch.stack([log_probabilities(own[:-1], row[1:]) for own, row in zip(logits, ids, strict=True)])
    return F.pad(found, (0, 1), value=math.nan)
