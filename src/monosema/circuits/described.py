"""A pruned attribution graph with all that a reader of it wants to see: layers, texts of tokens, labels."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from monosema.analysis.logits import logit_effects
from monosema.analysis.tokens import token_strings
from monosema.circuits.graph import Graph, Node
from monosema.circuits.prune import Scores, pruned, scores
from monosema.dictionaries import Dictionary

if TYPE_CHECKING:
    from monosema.models import LoadedModel

PROMOTED = 3
"""Tokens that name a feature."""


@dataclass(frozen=True)
class DescribedNode:
    """A node that is kept."""

    node: Node
    layer: int
    """−1 for embeddings; for logits, the number of layers."""
    influence: float
    """On the logits, over all paths, as a share of all nodes' influence."""
    rank: float
    """The share that this node and all with more influence have together."""
    label: str
    """A token's text; of a feature, the tokens that its direction makes likelier; of an error, its hook point."""


@dataclass(frozen=True)
class Circuit:
    """What is left of a graph, and the scores of the whole of it."""

    tokens: list[str]
    token_ids: list[int]
    layers: int
    nodes: list[DescribedNode]
    edges: list[tuple[int, int, float]]
    """Source and target among the nodes, and what the one adds to the other; what matters most for the logits first."""
    scores: Scores
    active: int
    """Features that were active on the prompt."""


def describe(
    graph: Graph,
    model: "LoadedModel",
    dictionaries: Mapping[str, Dictionary],
    *,
    nodes: float = 0.8,
    edges: float = 0.98,
) -> Circuit:
    """Prunes a graph and describes what is left.

    Args:
        graph: of `attribution_graph`.
        model, dictionaries: that it is of.
        nodes, edges: shares of the influence that are kept: see `pruned`.
    """
    left = pruned(graph, nodes, edges)
    kept = left.nodes.nonzero().squeeze(1).tolist()
    chosen = [graph.nodes[number] for number in kept]
    labels = _labels(chosen, model, dictionaries)
    depth = 1 + max((_layer_of(node, dictionaries) for node in chosen if node.site), default=0)
    depth = max(depth, *(layer + 1 for d in dictionaries.values() for layer in map(layer_in, d.spec.writes)))
    share = left.influence / left.influence.sum().clamp_min(1e-10)
    order = share.argsort(descending=True)
    rank = torch.empty_like(share).scatter_(0, order, share[order].cumsum(0).clamp(max=1))
    ends = {"embedding": -1, "logit": depth}
    layers = [ends[node.kind] if node.kind in ends else _layer_of(node, dictionaries) for node in chosen]
    place = {number: at for at, number in enumerate(kept)}
    ends_of = left.edges.nonzero()
    ends_of = ends_of[left.flow[left.edges].argsort(descending=True)]
    sizes = graph.edges[ends_of[:, 0], ends_of[:, 1]].tolist()
    arrows = [(place[s], place[t], size) for (t, s), size in zip(ends_of.tolist(), sizes, strict=True)]
    return Circuit(
        token_strings(model.tokenizer, graph.tokens),
        graph.tokens,
        depth,
        [
            DescribedNode(node, layer, float(share[number]), float(rank[number]), label)
            for number, node, layer, label in zip(kept, chosen, layers, labels, strict=True)
        ],
        arrows,
        scores(graph),
        graph.active,
    )


def layer_in(point: str) -> int:
    """The first number in a hook point's name, which is its layer's; 0 where there is none."""
    found = re.search(r"\.(\d+)", point)
    return int(found[1]) if found else 0


def _layer_of(node: Node, dictionaries: Mapping[str, Dictionary]) -> int:
    if node.kind != "feature":
        return layer_in(node.site)
    spec = dictionaries[node.site].spec
    if len(spec.reads) > 1 and spec.blocks == len(spec.reads):  # each feature reads one layer
        return layer_in(spec.reads[node.index // (spec.width // spec.blocks)])
    return layer_in(spec.writes[0])


def _labels(nodes: Sequence[Node], model: "LoadedModel", dictionaries: Mapping[str, Dictionary]) -> list[str]:
    promoted: dict[tuple[str, int], str] = {}
    for name, dictionary in dictionaries.items():
        features = sorted({node.index for node in nodes if node.kind == "feature" and node.site == name})
        effects = logit_effects(dictionary, model, features, n=PROMOTED) if features else None
        for row, feature in enumerate(features if effects is not None else ()):
            assert effects is not None
            texts = [text_of(model, int(token)) for token in effects.top_tokens[row]]
            promoted[name, feature] = " ".join(texts)
    found = []
    for node in nodes:
        if node.kind == "feature":
            found.append(promoted.get((node.site, node.index), ""))
        else:
            found.append(node.site if node.kind == "error" else text_of(model, node.index))
    return found


def text_of(model: "LoadedModel", token: int) -> str:
    """A token's text by itself."""
    return token_strings(model.tokenizer, [token])[0]


def strongest(circuit: Circuit, n: int) -> list[DescribedNode]:
    """The features with the most influence."""
    features = [own for own in circuit.nodes if own.node.kind == "feature"]
    order = torch.tensor([own.influence for own in features]).argsort(descending=True)[:n]
    return [features[number] for number in order.tolist()]
