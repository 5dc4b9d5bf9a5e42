"""What features mean: examples in context, the neurons that they make up, and the hook points that they live in."""

from monosema.analysis.examples import Example, top_examples
from monosema.analysis.logits import LogitEffects, logit_effects
from monosema.analysis.middling import middling_features
from monosema.analysis.neuron import NeuronParts, neuron_parts
from monosema.analysis.removal import Removal, removal_effects
from monosema.analysis.render import render_example
from monosema.analysis.shares import site_shares, sites_used
from monosema.analysis.source_positions import SourceAttribution, source_attribution
from monosema.analysis.stream import stream_directions
from monosema.analysis.tokens import TokenTexts, token_strings

__all__ = [
    "Example",
    "LogitEffects",
    "NeuronParts",
    "Removal",
    "SourceAttribution",
    "TokenTexts",
    "logit_effects",
    "middling_features",
    "neuron_parts",
    "removal_effects",
    "render_example",
    "site_shares",
    "sites_used",
    "source_attribution",
    "stream_directions",
    "token_strings",
    "top_examples",
]
