"""The part of an attribution graph that matters for the logits, and how much of them goes through features."""

from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from monosema.errors import InputError

if TYPE_CHECKING:
    from monosema.circuits.graph import Graph

STEPS = 1000  # no graph of a model is as deep


class Pruned(NamedTuple):
    """Which nodes and edges are kept, and how much each matters for the logits."""

    nodes: Bool[Tensor, " nodes"]
    edges: Bool[Tensor, "nodes nodes"]
    influence: Float[Tensor, " nodes"]
    """In the whole graph."""
    flow: Float[Tensor, "nodes nodes"]
    """The influence that goes along each edge, among the kept nodes."""


class Scores(NamedTuple):
    """How much of a graph's computation features explain (Ameisen et al. 2025)."""

    replacement: float
    """Share of the influence on the logits that comes from token embeddings, and not from errors."""
    completeness: float
    """Share of what comes into nodes, by their influence, that is not from errors."""


def influences(
    edges: Float[Tensor, "rows nodes"], rows: Int[Tensor, " rows"], weights: Float[Tensor, " nodes"]
) -> Float[Tensor, " nodes"]:
    """How much each node matters for the weighted ones: the sum over all paths of products of shares.

    An edge's share is its absolute size among those into the same target. Nodes without a row have no known sources.

    Args:
        edges: contributions to the nodes `rows`.
        rows: which node each row is of.
        weights: of nodes; of logits, their probabilities.
    """
    shares = _shares(edges)
    found, now = torch.zeros_like(weights), weights
    for _ in range(STEPS):
        now = now[rows.to(now.device)] @ shares
        if not now.any():
            return found
        found = found + now
    raise InputError("a graph with a circle", expected="edges from earlier nodes to later ones")


def pruned(graph: "Graph", nodes: float = 0.8, edges: float = 0.98) -> Pruned:
    """Keeps the nodes that have most of the influence, then the edges between them that have, then what is connected.

    Args:
        graph: the whole graph.
        nodes: share of all influence that the kept nodes have. Tokens and logits are kept in any case.
        edges: the same of edges.

    Raises:
        InputError: a share is not from 0 to 1.
    """
    if not (0 <= nodes <= 1 and 0 <= edges <= 1):
        raise InputError(f"shares {nodes} and {edges}", expected="from 0 to 1")
    every = torch.arange(len(graph.nodes))
    influence = influences(graph.edges, every, graph.logits)
    ends, inner = graph.of("embedding", "logit"), graph.of("feature", "error")
    kept = (influence >= _least(influence, nodes)) | ends
    left = graph.edges * kept.unsqueeze(0) * kept.unsqueeze(1)
    among = influences(left, every, graph.logits) + graph.logits
    flow = _shares(left) * among.unsqueeze(1)
    edge = (flow >= _least(flow.flatten(), edges)) & (flow > 0)
    while True:  # a node that leads nowhere, or a feature that comes from nowhere, goes, and its edges with it
        edge &= kept.unsqueeze(0) & kept.unsqueeze(1)
        still = kept & (edge.any(0) | ~inner) & (edge.any(1) | ~graph.of("feature"))
        if torch.equal(still, kept):
            return Pruned(kept, edge, influence, flow)
        kept = still


def scores(graph: "Graph") -> Scores:
    """How much of the logits comes by way of features."""
    influence = influences(graph.edges, torch.arange(len(graph.nodes)), graph.logits)
    tokens, errors = influence[graph.of("embedding")].sum(), influence[graph.of("error")].sum()
    known = 1 - _shares(graph.edges)[:, graph.of("error")].sum(1)
    weight = influence + graph.logits
    return Scores(float(tokens / (tokens + errors)), float((known * weight).sum() / weight.sum()))


def _shares(edges: Float[Tensor, "rows nodes"]) -> Float[Tensor, "rows nodes"]:
    sizes = edges.abs()
    return sizes / sizes.sum(1, keepdim=True).clamp_min(1e-10)


def _least(sizes: Float[Tensor, " some"], share: float) -> Float[Tensor, ""]:
    """The smallest of the largest that have a share of the sum."""
    ranked = sizes.sort(descending=True).values
    place = int(torch.searchsorted(ranked.cumsum(0) / ranked.sum(), share))
    return ranked[min(place, len(ranked) - 1)]
