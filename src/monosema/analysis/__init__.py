"""What features mean: examples in context, and the neurons that they make up."""

from monosema.analysis.examples import Example, top_examples
from monosema.analysis.middling import middling_features
from monosema.analysis.neuron import NeuronParts, neuron_parts
from monosema.analysis.render import render_example
from monosema.analysis.tokens import token_strings

__all__ = [
    "Example",
    "NeuronParts",
    "middling_features",
    "neuron_parts",
    "render_example",
    "token_strings",
    "top_examples",
]
