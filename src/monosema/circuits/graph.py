"""The attribution graph of a prompt: how much each active feature contributes to each later one, and to the logits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from monosema.circuits.local import EMBED, LocalModel
from monosema.circuits.prune import influences
from monosema.dictionaries import Dictionary
from monosema.errors import InputError

if TYPE_CHECKING:
    from monosema.models import LoadedModel

FEATURES, LOGITS, MASS, BATCH = 1024, 10, 0.95, 128
"""Features whose sources are looked for, most logits, their share of the probability, and targets at a time."""


@dataclass(frozen=True)
class Node:
    """A feature at a token, what a dictionary misses there, a token's embedding, or a logit."""

    kind: Literal["feature", "error", "embedding", "logit"]
    position: int
    site: str = ""
    """Of a feature, its dictionary's name; of an error, the hook point."""
    index: int = 0
    """Of a feature, its number; of a logit and an embedding, the token's id."""
    value: float = 0.0
    """Of a feature its code, of a logit its probability."""


@dataclass(frozen=True)
class Graph:
    """Direct contributions between nodes of a prompt: `edges[t, s]` is what source s adds to target t.

    A feature's edges add up, with a constant from biases, to its code; a logit's to the logit less the mean of all
    logits. Rows of errors and embeddings are zero, which nothing contributes to.
    """

    tokens: list[int]
    nodes: list[Node]
    """Features, errors, embeddings, logits, in this order."""
    edges: Float[Tensor, "nodes nodes"]
    active: int
    """How many features were active; the graph has those of them with the most influence on the logits."""

    @property
    def logits(self) -> Float[Tensor, " nodes"]:
        """The probability of each logit node, and 0 elsewhere."""
        return torch.tensor([node.value if node.kind == "logit" else 0.0 for node in self.nodes]).to(self.edges)

    def of(self, *kinds: str) -> Tensor:
        """Which nodes are of some kinds."""
        return torch.tensor([node.kind in kinds for node in self.nodes], device=self.edges.device)


def attribution_graph(
    model: "LoadedModel",
    dictionaries: Mapping[str, Dictionary],
    ids: Sequence[int],
    *,
    features: int = FEATURES,
    logits: int = LOGITS,
    mass: float = MASS,
) -> Graph:
    """How the next token's logits after a prompt come about, through the features of dictionaries.

    Direct effects in the local replacement model (`LocalModel`), by pulling each target's input direction back through
    attention with held patterns and norms with held scales (Dunefsky et al. 2024, arXiv 2406.11944; Ameisen et al.
    2025, Circuit Tracing). The features whose sources are looked for are those with the most influence so far on the
    logits, some at a time.

    Args:
        model: a causal language model of a known family.
        dictionaries: transcoders of its layers, by name; or autoencoders, behind which nothing but they and their
            errors flows on; cross-layer ones, too.
        ids: the prompt.
        features: most features in the graph.
        logits: most logits, the likeliest tokens.
        mass: no more logits than have this share of the probability.

    Raises:
        InputError: as `LocalModel`; or a number that is too small.
    """
    if features < 1 or logits < 1 or not 0 < mass <= 1:
        raise InputError(
            f"{features} features, {logits} logits with {mass} of the probability", expected="at least one of each"
        )
    modes = {name: d.training for name, d in dictionaries.items()}
    for dictionary in dictionaries.values():
        dictionary.eval()
    try:
        return _Search(LocalModel(model, dictionaries, ids), logits, mass).graph(features)
    finally:
        for name, dictionary in dictionaries.items():
            dictionary.train(modes[name])


class _Search:
    """All nodes, and the edges into those of them whose sources have been looked for."""

    def __init__(self, local: LocalModel, logits: int, mass: float):
        self.local = local
        last = local.logits[-1]
        probabilities = last.to(torch.promote_types(last.dtype, torch.float32)).softmax(-1)
        likely = probabilities.topk(min(logits, len(probabilities)))
        count = int((likely.values.cumsum(0) < mass).sum()) + 1
        self.said, self.likely = likely.indices[:count], likely.values[:count]
        self.first: dict[str, int] = {}
        self.nodes: list[Node] = []
        for name, own in local.active.items():
            self.first[name] = len(self.nodes)
            rows = zip(own.positions.tolist(), own.features.tolist(), own.values.tolist(), strict=True)
            self.nodes += [Node("feature", p, name, j, value) for p, j, value in rows]
        self.features = len(self.nodes)
        tokens = local.ids[0].tolist()
        for site in local.sites[1:]:
            self.first[site] = len(self.nodes)
            self.nodes += [Node("error", p, site) for p in range(local.length)]
        self.first[EMBED] = len(self.nodes)
        self.nodes += [Node("embedding", p, index=token) for p, token in enumerate(tokens)]
        self.sources = len(self.nodes)
        said = zip(self.said.tolist(), self.likely.tolist(), strict=True)
        self.nodes += [Node("logit", local.length - 1, index=token, value=p) for token, p in said]
        self.tables = {site: self._table(site) for site in local.sites}

    def graph(self, most: int) -> Graph:
        """With as many features."""
        rows = [torch.arange(self.sources, len(self.nodes))]
        edges = [self._into_logits()]
        known = torch.zeros(self.features, dtype=torch.bool)
        while int(known.sum()) < min(most, self.features):
            share = influences(torch.cat(edges), torch.cat(rows), self._weights())[: self.features].cpu()
            share[known] = -1
            batch = share.topk(min(BATCH, most - int(known.sum()), int((~known).sum()))).indices.sort().values
            batch = batch[share[batch] > 0]
            if not len(batch):
                break  # nothing else has any influence
            edges.append(self._into_features(batch))
            rows.append(batch)
            known[batch] = True
        return self._joined(torch.cat(edges), torch.cat(rows), known)

    def _joined(self, edges: Tensor, rows: Int[Tensor, " rows"], known: Tensor) -> Graph:
        kept = torch.cat([known.nonzero().squeeze(1), torch.arange(self.features, len(self.nodes))])
        square = edges.new_zeros(len(self.nodes), len(self.nodes) + 1)
        square[rows.to(square.device), : edges.shape[1]] = edges
        square = square[kept.to(square.device)][:, kept.to(square.device)]
        return Graph(self.local.ids[0].tolist(), [self.nodes[i] for i in kept.tolist()], square, self.features)

    def _weights(self) -> Float[Tensor, " nodes"]:
        return torch.cat([self.likely.new_zeros(self.sources), self.likely])

    def _into_logits(self) -> Float[Tensor, "logits nodes"]:
        """Of each logit less the mean of all."""
        units = torch.eye(self.local.logits.shape[1], device=self.said.device)[self.said]
        last = torch.full_like(self.said, self.local.length - 1)
        return self._edges(None, last, units - 1 / units.shape[1])

    def _into_features(self, batch: Int[Tensor, " some"]) -> Float[Tensor, "some nodes"]:
        parts = []
        for name, own in self.local.active.items():
            chosen = batch - self.first[name]
            chosen = chosen[(chosen >= 0) & (chosen < len(own.features))].to(own.features.device)
            if len(chosen):
                parts.append(self._edges(name, own.positions[chosen], self.local.inward(name, chosen)))
        return torch.cat(parts)

    def _edges(self, name: str | None, positions: Tensor, directions: Tensor) -> Float[Tensor, "some nodes"]:
        found = self.likely.new_zeros(len(positions), len(self.nodes) + 1)
        for site, slope in self.local.pull(name, positions, directions).items():
            written, columns = self.tables[site]
            each = torch.einsum("btd,tmd->btm", slope.to(written), written)
            found.index_add_(1, columns.flatten(), each.flatten(1).to(found))
        return found[:, :-1]

    def _table(self, site: str) -> tuple[Float[Tensor, "position most d"], Int[Tensor, "position most"]]:
        """What each source adds at a site, by position, with the number of its node; the last number is nobody's."""
        local, length = self.local, self.local.length
        whole = local.flowing[EMBED][0] if site == EMBED else local.errors[site]
        rows, places = [whole], [torch.arange(length, device=whole.device)]
        numbers = [self.first[site] + places[0]]
        for name, own in local.active.items():
            if site in own.written:
                rows.append(own.written[site].to(whole))
                places.append(own.positions)
                numbers.append(self.first[name] + torch.arange(len(own.features), device=whole.device))
        place, order = torch.cat(places).sort(stable=True)
        counts = torch.bincount(place, minlength=length)
        slot = torch.arange(len(place), device=place.device) - (counts.cumsum(0) - counts)[place]
        written = whole.new_zeros(length, int(counts.max()), whole.shape[1])
        columns = torch.full(written.shape[:2], len(self.nodes), device=whole.device)
        written[place, slot], columns[place, slot] = torch.cat(rows)[order], torch.cat(numbers)[order]
        return written, columns
