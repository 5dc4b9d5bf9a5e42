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
from monosema.analysis.deembed import de_embedding
from monosema.analysis.examples import Example, top_examples
from monosema.analysis.feeding import Feeding, feeding_features
from monosema.analysis.linearise import feature_direction, through_mlp, through_norm
from monosema.analysis.logits import LogitEffects, logit_effects
from monosema.analysis.middling import middling_features
from monosema.analysis.neuron import NeuronParts, neuron_parts
from monosema.analysis.pullback import Direction
from monosema.analysis.pullback_path import way_back
from monosema.analysis.pursuit import Pursued, Pursuit, best_codes
from monosema.analysis.removal import Removal, removal_effects
from monosema.analysis.render import render_example
from monosema.analysis.shares import site_shares, sites_used
from monosema.analysis.source_positions import SourceAttribution, source_attribution
from monosema.analysis.stream import stream_directions
from monosema.analysis.tokens import TokenTexts, token_strings

__all__ = [
    "AlignedNeurons",
    "Direction",
    "Entries",
    "Example",
    "Feeding",
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
    "de_embedding",
    "encoder_decoder_cosines",
    "feature_direction",
    "feeding_features",
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
    "through_mlp",
    "through_norm",
    "token_strings",
    "tokens_read",
    "top_examples",
    "way_back",
]
