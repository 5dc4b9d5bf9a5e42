"""What the heads of a layer do, by a dictionary with a block for each: a head's topics, and which features repeat."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monosema.analysis.stream import projected
from monosema.analysis.vectors import chosen_of, decoder_rows
from monosema.dictionaries import Dictionary
from monosema.errors import InputError

if TYPE_CHECKING:
    from monosema.models import Readable

PER_HEAD = 64
"""Features of a head that are compared: those that fire most often, on at most `DENSE` of the tokens."""
DENSE = 0.1
WINDOW = 8
"""Tokens, up to the one a feature fires on, that count as what it fires on."""
TOGETHER, ALIKE = 0.5, 0.7
"""Jaccard index and cosine from which two features count as one that repeats."""


@dataclass(frozen=True)
class Head:
    """What is known of a head."""

    l0: float
    """Features of the head that are active on a token, on average."""
    live: int
    """Features that fire at all."""
    compared: int
    """Features that the figures below are of."""
    topics: float
    """How many different topics they have; 1 if all fire on the same tokens."""
    topics_of_any: float
    """The same of as many features from all heads."""
    together: int
    """Those that fire together with some feature of another head."""
    repeated: int
    """Those of them that write the same as it."""


@dataclass(frozen=True)
class Repeat:
    """Two features of different heads that fire together."""

    features: tuple[int, int]
    together: float
    """Tokens on which both fire, of those on which either does."""
    cosine: float
    """Of what they write into the stream, through the output projection."""


@dataclass(frozen=True)
class Heads:
    """The heads of a layer, and the pairs of their features that fire together, the most alike first."""

    heads: tuple[Head, ...]
    repeats: tuple[Repeat, ...]
    pairs: Int[Tensor, "heads heads"]
    """How many pairs each two heads have."""


class FiringSums:
    """Counts over tokens of when some features fire, and on what."""

    def __init__(self, features: int, vocabulary: int):
        self.together = torch.zeros(features, features)
        self.topics = torch.zeros(vocabulary, features)
        self.tokens = torch.zeros(vocabulary)

    def add(
        self,
        fires: Bool[Tensor, "context position some"],
        ids: Int[Tensor, "context position"],
        counts: Bool[Tensor, "context position"],
    ) -> None:
        """Adds some contexts; of tokens that do not count, no feature's firing does."""
        fires = fires & counts.unsqueeze(-1)
        rows = fires.flatten(0, 1).float()
        self.together += rows.mT @ rows
        self.tokens += ids.flatten().bincount(minlength=len(self.tokens))
        for back in range(min(WINDOW, ids.shape[1])):
            later = fires[:, back:].flatten(0, 1).float()
            self.topics.index_add_(0, ids[:, : ids.shape[1] - back].flatten(), later)

    def jaccard(self) -> Float[Tensor, "some some"]:
        """Tokens on which two features fire, of those on which either does."""
        own = self.together.diagonal()
        return self.together / (own[:, None] + own - self.together).clamp_min(1)

    def profiles(self) -> Float[Tensor, "some vocabulary"]:
        """What each fires on: the share of each token, times the log of its ratio to that in all text; unit norm.

        Shares are smoothed by one occurrence spread over the text, so that a rare token says little.
        """
        usual = self.tokens / self.tokens.sum()
        counts = self.topics.mT + usual
        share = counts / counts.sum(1, keepdim=True)
        return F.normalize(torch.special.xlogy(share, share / usual.clamp_min(1e-12)).clamp_min(0), dim=1)


def topics(profiles: Float[Tensor, "some vocabulary"]) -> float:
    """How many different ones there are: exp of the entropy of the spectrum of their cosines; 1 to their number."""
    if not len(profiles):
        return 0.0
    shares = torch.linalg.eigvalsh((profiles @ profiles.mT).double()).clamp_min(0) / len(profiles)
    return (-torch.special.xlogy(shares, shares).sum()).exp().item()


def chosen_features(density: Float[Tensor, " width"], heads: int) -> list[Int[Tensor, " some"]]:
    """Of each head the features to compare."""
    found: list[Tensor] = []
    for head, own in enumerate(density.chunk(heads)):
        order = torch.where(own <= DENSE, own, 0).argsort(descending=True, stable=True)[:PER_HEAD]
        found.append(order[(own[order] > 0) & (own[order] <= DENSE)] + head * len(own))
    return found


@torch.no_grad()
def written(dictionary: Dictionary, model: "Readable", features: Int[Tensor, " some"]) -> Float[Tensor, "some d"]:
    """What features of `attn_z` give to the stream: their directions through the output projection."""
    owned = model.owner(dictionary.spec.writes[0])
    assert owned is not None  # it writes attn_z of one model, as `check_heads` has seen
    return projected(*owned, decoder_rows(dictionary, chosen_of(dictionary, features))).float().cpu()


def compare(
    sums: FiringSums,
    written: Float[Tensor, "some d"],
    chosen: list[Int[Tensor, " some"]],
    density: Float[Tensor, " width"],
) -> Heads:
    """What the counts say of the heads.

    Args:
        sums: of the chosen features, head after head.
        written: what each of them adds to the stream.
        chosen: the features of each head.
        density: of all features.
    """
    head = torch.cat([torch.full((len(own),), number) for number, own in enumerate(chosen)])
    features, profiles = torch.cat(chosen), sums.profiles()
    directions = F.normalize(written, dim=1)
    jaccard, cosine = sums.jaccard(), directions @ directions.mT
    together = (jaccard >= TOGETHER) & (head[:, None] != head)
    repeats = together & (cosine >= ALIKE)
    first, second = together.triu().nonzero(as_tuple=True)
    order = (jaccard[first, second] * cosine[first, second]).argsort(descending=True, stable=True)
    pairs = torch.zeros(len(chosen), len(chosen), dtype=torch.long)
    pairs.index_put_((head[first], head[second]), torch.ones_like(first), accumulate=True)
    found = tuple(
        Repeat((int(features[i]), int(features[j])), jaccard[i, j].item(), cosine[i, j].item())
        for i, j in zip(first[order].tolist(), second[order].tolist(), strict=True)
    )
    return Heads(tuple(_heads(profiles, head, together, repeats, density.chunk(len(chosen)))), found, pairs + pairs.mT)


def _heads(
    profiles: Float[Tensor, "some vocabulary"],
    head: Int[Tensor, " some"],
    together: Bool[Tensor, "some some"],
    repeats: Bool[Tensor, "some some"],
    densities: Iterable[Float[Tensor, " own"]],
) -> Iterable[Head]:
    mixed = torch.randperm(len(head), generator=torch.Generator().manual_seed(0))
    for number, density in enumerate(densities):
        own = (head == number).nonzero().squeeze(1)
        yield Head(
            l0=density.sum().item(),
            live=int((density > 0).sum()),
            compared=len(own),
            topics=topics(profiles[own]),
            topics_of_any=topics(profiles[mixed[: len(own)]]),
            together=int(together[own].any(1).sum()),
            repeated=int(repeats[own].any(1).sum()),
        )


def check_heads(dictionary: Dictionary, model: "Readable") -> int:
    """The number of heads, if the dictionary has a block for each where they lie side by side.

    Raises:
        InputError: it has not.
    """
    spec = dictionary.spec
    heads = model.heads_at(spec.writes[0]) if len(spec.writes) == 1 else None
    if heads is None or spec.blocks_out != heads or spec.reads != spec.writes:
        raise InputError(
            f"a dictionary from {', '.join(spec.reads)} to {', '.join(spec.writes)} in {spec.blocks} blocks",
            expected="an autoencoder of attn_z.L with a block for each head",
            hint="train it with --site attn_z.L --blocks heads",
        )
    return heads
