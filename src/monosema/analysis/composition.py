"""What a feature is made of: heads, entries of its direction, tokens that its encoder reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from monosema.analysis.stream import ADDED, STREAMS
from monosema.analysis.vectors import chosen_of, decoder_rows, encoder_columns
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.models import parsed
from monosema.models.lens import LENS
from monosema.models.names import kind_of

if TYPE_CHECKING:
    from monosema.models import LoadedModel, Readable

_ENTRIES = 1 << 24  # numbers in memory at once
_READ = STREAMS | ADDED | {"mlp_in"}  # kinds of hook points with the coordinates of the stream


@torch.no_grad()
def head_shares(
    dictionary: Dictionary, model: "Readable", features: Sequence[int] | Int[Tensor, " some"]
) -> Float[Tensor, "some heads"] | None:
    """The share of each attention head in features' directions: ‖d_h‖ / Σ_h ‖d_h‖, in the part d_h that head h writes.

    So Kissane et al. 2024 (arXiv 2406.17759) find the heads that a feature belongs to. Of a block-diagonal decoder, a
    feature has one head.

    Args:
        dictionary: what the features are of.
        model: the model that it was trained on.
        features: which.

    Returns:
        On the CPU; each row adds up to 1, or is 0 where the direction is. None where the dictionary writes something
        else than one `attn_z.L`.

    Raises:
        InputError: the dictionary does not have one of the features, or the model the hook point.
    """
    norms = head_norms(dictionary, model, features)
    return None if norms is None else shares_of_norms(norms)


def shares_of_norms(norms: Float[Tensor, "some heads"]) -> Float[Tensor, "some heads"]:
    """Each norm over the sum of its row; 0 where that is."""
    return norms / norms.sum(1, keepdim=True).clamp_min(torch.finfo(norms.dtype).tiny)


@torch.no_grad()
def head_norms(
    dictionary: Dictionary, model: "Readable", features: Sequence[int] | Int[Tensor, " some"]
) -> Float[Tensor, "some heads"] | None:
    """‖d_h‖, the norm of the part of each feature's direction that head h writes, per unit of its code.

    The arguments and errors are those of `head_shares`, and so is where it is None.
    """
    chosen, writes = chosen_of(dictionary, features), dictionary.spec.writes
    heads = model.heads_at(writes[0]) if len(writes) == 1 else None
    if heads is None or dictionary.spec.d_out % heads:
        return None
    parts = chosen.split(_at_once(dictionary.spec.d_out))
    return torch.cat([decoder_rows(dictionary, part).unflatten(1, (heads, -1)).norm(dim=2).cpu() for part in parts])


@dataclass(frozen=True)
class Entries:
    """The entries of features' directions with the largest share of their L1 norm, the largest first."""

    indices: Int[Tensor, "some n"]
    """Which entry of the activation that is written: of `mlp.act`, say, which neuron."""
    weights: Float[Tensor, "some n"]
    shares: Float[Tensor, "some n"]
    """|weight| / Σ |weights|; 0 where the direction is."""


@torch.no_grad()
def largest_entries(dictionary: Dictionary, features: Sequence[int] | Int[Tensor, " some"], n: int = 10) -> Entries:
    """The `n` entries (neurons, where these are written) that most of each feature's direction lies along.

    Of several hook points written, entries are counted through all of them, end to end.

    Raises:
        InputError: the dictionary does not have one of the features; `n` is not from 1 to the size of what is written.
    """
    chosen = chosen_of(dictionary, features)
    _check_number(n, dictionary.spec.d_out, "entries")
    parts = []
    for part in chosen.split(_at_once(dictionary.spec.d_out)):
        rows = decoder_rows(dictionary, part)
        norms = rows.abs().sum(1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)
        largest = rows.abs().topk(n)
        parts.append((largest.indices.cpu(), rows.gather(1, largest.indices).cpu(), (largest.values / norms).cpu()))
    return Entries(*(torch.cat(column) for column in zip(*parts, strict=True)))


@dataclass(frozen=True)
class TokensRead:
    """The tokens whose embeddings have the largest and the smallest dot products with features' encoder columns."""

    top_tokens: Int[Tensor, "some n"]
    """Largest first."""
    top_values: Float[Tensor, "some n"]
    bottom_tokens: Int[Tensor, "some n"]
    """Smallest (most negative) first."""
    bottom_values: Float[Tensor, "some n"]


@torch.no_grad()
def tokens_read(
    dictionary: Dictionary, model: "Readable", features: Sequence[int] | Int[Tensor, " some"], n: int = 10
) -> TokensRead | None:
    """Which tokens features read from the stream: the input embeddings, as they are stored, times encoder columns.

    It leaves out all that the model does in between, the norm before an MLP among it, and tells most in early layers.

    Args:
        dictionary: what the features are of; it reads one hook point, or a sum of some.
        model: the model that it was trained on.
        features: which.
        n: tokens at each end.

    Returns:
        On the CPU, in float32 or better. None where what is read does not have the stream's coordinates (`attn_z`,
        neurons, places without a short name).

    Raises:
        InputError: the dictionary does not have one of the features, or the model the hook point; `n` is not from 1 to
            the number of embeddings.
    """
    chosen = chosen_of(dictionary, features)
    embeddings = _embeddings(dictionary, model)
    if embeddings is None:
        return None
    chunks = chosen.split(_at_once(len(embeddings)))
    parts = [vars(tokens_along(encoder_columns(dictionary, part), embeddings, n)).values() for part in chunks]
    return TokensRead(*(torch.cat(column) for column in zip(*parts, strict=True)))


@torch.no_grad()
def tokens_along(
    vectors: Float[Tensor, "some d"], embeddings: Float[Tensor, "vocabulary d"], n: int = 10
) -> TokensRead:
    """The tokens whose embeddings have the largest and the smallest dot products with vectors.

    Returns:
        On the CPU, in float32 or better.

    Raises:
        InputError: `n` is not from 1 to the number of embeddings.
    """
    _check_number(n, len(embeddings), "tokens at each end")
    vectors = vectors.to(embeddings.device)
    products = torch.cat([vectors @ rows.to(vectors).mT for rows in embeddings.split(_at_once(vectors.shape[1]))], 1)
    top, bottom = products.topk(n), products.topk(n, largest=False)
    return TokensRead(*(x.cpu() for x in (top.indices, top.values, bottom.indices, bottom.values)))


@torch.no_grad()
def encoder_decoder_cosines(
    dictionary: Dictionary, features: Sequence[int] | Int[Tensor, " some"]
) -> Float[Tensor, " some"] | None:
    """The cosine of what features read and what they write; 0 where either is zero.

    Returns:
        On the CPU. None where what is read and what is written differ in size.

    Raises:
        InputError: the dictionary does not have one of the features.
    """
    chosen = chosen_of(dictionary, features)
    if dictionary.spec.d_in != dictionary.spec.d_out:
        return None
    parts = chosen.split(_at_once(dictionary.spec.d_in))
    cosines = [F.cosine_similarity(encoder_columns(dictionary, part), decoder_rows(dictionary, part)) for part in parts]
    return torch.cat(cosines).cpu()


def _embeddings(dictionary: Dictionary, model: "Readable") -> Float[Tensor, "vocabulary d"] | None:
    """The input embeddings of the model read, if the dictionary reads where these have a meaning."""
    spec = dictionary.spec
    owned = model.owner(spec.reads[0]) if len(spec.reads) == 1 else None
    if owned is None or len(parsed(owned[1]).sums) > 1:
        return None
    owner, point = owned
    kinds = {kind_of(name, owner.module, owner.family) for name in parsed(point).names}
    if not kinds <= _READ:
        return None
    weight = embedding_weight(owner)
    return weight if weight.shape[1] == spec.d_in else None


def embedding_weight(model: "LoadedModel") -> Float[Tensor, "vocabulary d"]:
    """The input embeddings as they are stored, of a model of a known family."""
    module: Any = model.module  # of a known family, as it has hook points with short names
    return (module.W_E if model.family is LENS else module.get_input_embeddings().weight).detach()


def _at_once(size: int) -> int:
    """How many rows of some size are in memory at once."""
    return max(_ENTRIES // size, 1)


def _check_number(n: int, most: int, what: str) -> None:
    if not 1 <= n <= most:
        raise InputError(f"{n} {what}", expected=f"from 1 to {most}")
