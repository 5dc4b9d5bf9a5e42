"""What other libraries put around a model: taken off, so that the module inside is read like any other."""

from typing import Any

from torch import nn

from monosema.errors import InputError


def unwrapped(what: Any) -> nn.Module:
    """The module in what was handed over: itself, or the one that an nnsight model (`LanguageModel`, `NNsight`) wraps.

    Raises:
        InputError: there is no module in it, or nnsight has not loaded its weights yet.
    """
    if not _made_by_nnsight(what):
        if isinstance(what, nn.Module):
            return what
        raise InputError(f"a {type(what).__name__} as a model", expected="a name, a folder or a PyTorch module")
    inside = (vars(what).get(name) for name in ("_model", "_module"))  # vars: an nnsight model answers to any name
    module = next((found for found in inside if isinstance(found, nn.Module)), None)
    if module is None:
        raise InputError(f"no module in a {type(what).__name__} of nnsight", expected="one that wraps a PyTorch module")
    if any(weight.is_meta for weight in module.parameters()):
        raise InputError(
            f"an nnsight {type(what).__name__} that has not loaded its weights yet",
            expected="a model with its weights",
            hint="make it with dispatch=True",
        )
    return module


def tokenizer_of(what: Any) -> Any:
    """The tokenizer that a model of nnsight or TransformerLens brings along, if any."""
    return getattr(what, "tokenizer", None)


def _made_by_nnsight(what: Any) -> bool:
    return any(base.__module__.partition(".")[0] == "nnsight" for base in type(what).__mro__)
