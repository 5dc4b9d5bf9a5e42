"""What features mean: examples in context, what they are made of and make up, and what they do to the model."""

from monosema.analysis.aligned import AlignedNeurons, aligned_neurons
from monosema.analysis.composition import (
    Entries,
    TokensRead,
    encoder_decoder_cosines,
    head_norms,
    head_shares,
    largest_entries,
    tokens_read,
)
from monosema.analysis.examples import Example, top_examples
from monosema.analysis.logits import LogitEffects, logit_effects
from monosema.analysis.middling import middling_features
from monosema.analysis.neuron import NeuronParts, neuron_parts
from monosema.analysis.pursuit import Pursued, Pursuit, best_codes
from monosema.analysis.removal import Removal, removal_effects
from monosema.analysis.render import render_example
from monosema.analysis.shares import site_shares, sites_used
from monosema.analysis.source_positions import SourceAttribution, source_attribution
from monosema.analysis.stream import stream_directions
from monosema.analysis.tokens import TokenTexts, token_strings

__all__ = [
    "AlignedNeurons",
    "Entries",
    "Example",
    "LogitEffects",
    "NeuronParts",
    "Pursued",
    "Pursuit",
    "Removal",
    "SourceAttribution",
    "TokenTexts",
    "TokensRead",
    "aligned_neurons",
    "best_codes",
    "encoder_decoder_cosines",
    "head_norms",
    "head_shares",
    "largest_entries",
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
    "tokens_read",
    "top_examples",
]
