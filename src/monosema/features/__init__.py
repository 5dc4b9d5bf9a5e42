"""What features mean, kept: one pass over a text, and a columnar store of every activation, sorted by feature."""

from monosema.features.build import BuildOptions, build_features
from monosema.features.store import Activations, Feature, FeatureStore, Place
from monosema.features.text import feature_text

__all__ = ["Activations", "BuildOptions", "Feature", "FeatureStore", "Place", "build_features", "feature_text"]
