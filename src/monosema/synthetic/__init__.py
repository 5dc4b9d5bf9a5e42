"""Toy models, and data whose features are known."""

from monosema.synthetic.config import Correlation, Hierarchy, Magnitudes, SyntheticConfig, Zipf
from monosema.synthetic.presets import presets
from monosema.synthetic.source import SyntheticSource
from monosema.synthetic.toy import ToyConfig, ToyModels, train_toy
from monosema.synthetic.world import TrueCodes, World

__all__ = [
    "Correlation",
    "Hierarchy",
    "Magnitudes",
    "SyntheticConfig",
    "SyntheticSource",
    "ToyConfig",
    "ToyModels",
    "TrueCodes",
    "World",
    "Zipf",
    "presets",
    "train_toy",
]
