"""Which features, at which tokens, make a model say what it says: attribution graphs through several dictionaries."""

from monosema.circuits.frozen import Factors
from monosema.circuits.graph import Graph, attribution_graph
from monosema.circuits.prune import pruned, scores

__all__ = ["Factors", "Graph", "attribution_graph", "pruned", "scores"]
