"""monosema finds the features inside neural networks: it trains, measures and reads sparse dictionaries."""

import importlib
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monosema.activations import (
        Contexts,
        IterableSource,
        MixedContexts,
        ModelSource,
        ReadAhead,
        TensorSource,
        open_text,
        take_contexts,
    )
    from monosema.activations.store import StoreSource
    from monosema.dictionaries import Dictionary, Spec, save
    from monosema.errors import InputError
    from monosema.evaluation import evaluate, evaluate_rows, splice
    from monosema.formats import for_evaluators, save_as
    from monosema.hub import load, load_all, load_temporal
    from monosema.models import ModelPair, Replacement, load_model, read, replacing
    from monosema.recipes import Recipe
    from monosema.runs import DictionaryConfig, RunConfig, run
    from monosema.training import Learner, train

__version__ = version("monosema")

_ROOMS = {
    "activations": (
        "Contexts",
        "IterableSource",
        "MixedContexts",
        "ModelSource",
        "ReadAhead",
        "TensorSource",
        "open_text",
        "take_contexts",
    ),
    "activations.store": ("StoreSource",),
    "dictionaries": ("Dictionary", "Spec", "save"),
    "errors": ("InputError",),
    "evaluation": ("evaluate", "evaluate_rows", "splice"),
    "formats": ("for_evaluators", "save_as"),
    "hub": ("load", "load_all", "load_temporal"),
    "models": ("ModelPair", "Replacement", "load_model", "read", "replacing"),
    "recipes": ("Recipe",),
    "runs": ("DictionaryConfig", "RunConfig", "run"),
    "training": ("Learner", "train"),
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "Contexts",
    "Dictionary",
    "DictionaryConfig",
    "InputError",
    "IterableSource",
    "Learner",
    "MixedContexts",
    "ModelPair",
    "ModelSource",
    "ReadAhead",
    "Recipe",
    "Replacement",
    "RunConfig",
    "Spec",
    "StoreSource",
    "TensorSource",
    "evaluate",
    "evaluate_rows",
    "for_evaluators",
    "load",
    "load_all",
    "load_model",
    "load_temporal",
    "open_text",
    "read",
    "replacing",
    "run",
    "save",
    "save_as",
    "splice",
    "take_contexts",
    "train",
]


def __getattr__(name: str) -> Any:
    """Loads a public name from its room when it is first used, so that importing the package stays quick."""
    if name not in _HOME:
        raise AttributeError(f"module 'monosema' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"monosema.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
