"""Dictionaries: encoder map, activation function, decoder map and wiring, chosen independently; saving and loading."""

from monosema.dictionaries.activation_functions import (
    ActivationFunction,
    BatchTopK,
    JumpReLU,
    ReLU,
    TopK,
    activation_functions,
)
from monosema.dictionaries.dictionary import Dictionary
from monosema.dictionaries.initialise import initialise_
from monosema.dictionaries.maps import Dense, Map, maps
from monosema.dictionaries.saving import load, save
from monosema.dictionaries.spec import Spec, Wiring, wirings

__all__ = [
    "ActivationFunction",
    "BatchTopK",
    "Dense",
    "Dictionary",
    "JumpReLU",
    "Map",
    "ReLU",
    "Spec",
    "TopK",
    "Wiring",
    "activation_functions",
    "initialise_",
    "load",
    "maps",
    "save",
    "wirings",
]
