"""Which features, at which tokens, make a model say what it says: attribution graphs through several dictionaries."""

from monosema.circuits.frozen import Factors, HeldModel, held_at
from monosema.circuits.graph import Graph, attribution_graph
from monosema.circuits.prune import pruned, scores

__all__ = ["Factors", "Graph", "HeldModel", "attribution_graph", "held_at", "pruned", "scores"]
