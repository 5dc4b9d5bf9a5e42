"""Toy models, and data whose features are known."""

from monosema.synthetic.config import Correlation, Hierarchy, Magnitudes, SyntheticConfig, Zipf
from monosema.synthetic.presets import presets
from monosema.synthetic.source import SyntheticSource
from monosema.synthetic.world import TrueCodes, World

__all__ = [
    "Correlation",
    "Hierarchy",
    "Magnitudes",
    "SyntheticConfig",
    "SyntheticSource",
    "TrueCodes",
    "World",
    "Zipf",
    "presets",
]
