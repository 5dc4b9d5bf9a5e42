"""Dictionaries: encoder map, activation function, decoder map and wiring, chosen independently; saving and loading.

A new map or activation function is one new file here: it registers itself.
"""

import importlib
import pkgutil

from monosema.dictionaries.abs_topk import AbsTopK
from monosema.dictionaries.activation_functions import (
    ActivationFunction,
    BatchTopK,
    Bounded,
    ReLU,
    TopK,
    activation_functions,
)
from monosema.dictionaries.block_diagonal import BlockDiagonal
from monosema.dictionaries.dictionary import Dictionary
from monosema.dictionaries.gated import Gated
from monosema.dictionaries.group_max import GroupMax
from monosema.dictionaries.initialise import initialise_
from monosema.dictionaries.jumprelu import JumpReLU
from monosema.dictionaries.maps import Dense, Map, maps
from monosema.dictionaries.matching_pursuit import MatchingPursuit
from monosema.dictionaries.normalisation import Normalisation, normalisations
from monosema.dictionaries.preactivations import Preactivations
from monosema.dictionaries.saving import PRECISIONS, filled, load, save, skeleton
from monosema.dictionaries.sites import Sites
from monosema.dictionaries.spec import Spec, Wiring, wirings
from monosema.dictionaries.step_kernels import step_kernels
from monosema.dictionaries.triangular import Triangular

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "PRECISIONS",
    "AbsTopK",
    "ActivationFunction",
    "BatchTopK",
    "BlockDiagonal",
    "Bounded",
    "Dense",
    "Dictionary",
    "Gated",
    "GroupMax",
    "JumpReLU",
    "Map",
    "MatchingPursuit",
    "Normalisation",
    "Preactivations",
    "ReLU",
    "Sites",
    "Spec",
    "TopK",
    "Triangular",
    "Wiring",
    "activation_functions",
    "filled",
    "initialise_",
    "load",
    "maps",
    "normalisations",
    "save",
    "skeleton",
    "step_kernels",
    "wirings",
]
