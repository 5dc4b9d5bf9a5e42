"""Sources of activations: text → contexts → activations → shuffled batches; tensors and files."""

from monosema.activations.ahead import ReadAhead
from monosema.activations.contexts import Contexts, Position, take_contexts
from monosema.activations.filters import Keep
from monosema.activations.iterables import IterableSource
from monosema.activations.mixing import MixedContexts
from monosema.activations.normalise import geometric_median, rms_norm
from monosema.activations.shuffle import ShuffleBuffer
from monosema.activations.source import Source
from monosema.activations.stream import ModelSource
from monosema.activations.tensor_files import load_tensors
from monosema.activations.tensors import TensorSource
from monosema.activations.text import Documents, open_text

__all__ = [
    "Contexts",
    "Documents",
    "IterableSource",
    "Keep",
    "MixedContexts",
    "ModelSource",
    "Position",
    "ReadAhead",
    "ShuffleBuffer",
    "Source",
    "TensorSource",
    "geometric_median",
    "load_tensors",
    "open_text",
    "rms_norm",
    "take_contexts",
]
