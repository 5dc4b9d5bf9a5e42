"""A dictionary on several ranks: which part of its tensors each has, and how they become one again."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from monosema.dictionaries import Dictionary, Spec
from monosema.errors import InputError
from monosema.ranks import ALONE, Ranks
from monosema.recipes import Recipe
from monosema.training.optimisers import Optimisers
from monosema.training.state_file import Divided

DIVIDED = {"W_enc": 1, "W_dec": 0, "b_enc": 0}
"""The dimension of the features, along which a tensor is divided."""


def divided_along(name: str, tensor: Tensor) -> int | None:
    """The dimension along which a dictionary's tensor is divided by features; None if every rank has all of it."""
    if name.startswith("activation."):
        return 0 if tensor.ndim else None
    return DIVIDED.get(name)


def check_divides(spec: Spec, recipe: Recipe, ranks: Ranks) -> None:
    """Refuses what cannot be divided by features among so many ranks.

    Raises:
        InputError: it says why.
    """
    count = ranks.features.size
    if count == 1:
        return
    if spec.width % count:
        raise InputError(f"width {spec.width} for {count} ranks", expected=f"a multiple of {count}")
    if (spec.encoder, spec.decoder) != ("dense", "dense"):
        raise InputError(
            f"an encoder and decoder that are {spec.encoder} and {spec.decoder}, divided among {count} ranks",
            expected="dense ones",
            hint="parallel.feature: 1 divides the batch alone",
        )
    if recipe.optimiser == "muon":
        raise InputError(
            f"optimiser muon, divided among {count} ranks",
            expected="one that treats each weight by itself: Muon needs a matrix as a whole",
            hint="parallel.feature: 1 divides the batch alone",
        )
    if not recipe.divides:
        raise InputError(
            f"recipe {recipe.name}, divided among {count} ranks",
            expected="one whose loss is a sum over features",
            hint="parallel.feature: 1 divides the batch alone",
        )


def cut_(dictionary: Dictionary, ranks: Ranks) -> None:
    """Leaves of a whole dictionary the features of this rank, in place."""
    for tensor, dim in _divided(dictionary):
        tensor.data = ranks.features.part(tensor.data, dim).clone()
    dictionary.spec = replace(dictionary.spec, width=dictionary.spec.width // ranks.features.size)
    dictionary.ranks = ranks


def whole(dictionary: Dictionary) -> Dictionary:
    """A copy with the features of all ranks, on each of them; all have to ask for it."""
    ranks, together = dictionary.ranks.features, copy.deepcopy(dictionary)
    for tensor, dim in _divided(together):
        tensor.data = ranks.gather(tensor.data, dim)
    together.spec = replace(dictionary.spec, width=dictionary.spec.width * ranks.size)
    together.ranks = ALONE
    return together


def marked(dictionary: Dictionary, optimisers: Optimisers) -> dict[str, Any]:
    """The tensors of a dictionary and of its optimiser, those that ranks divide as `Divided`."""
    named = {**dict(dictionary.named_parameters()), **dict(dictionary.named_buffers())}
    dims = {name: divided_along(name, tensor) for name, tensor in named.items()}
    of_parameter = {id(parameter): dims[name] for name, parameter in dictionary.named_parameters()}
    return {
        "dictionary": {name: _marked(tensor, dims[name]) for name, tensor in dictionary.state_dict().items()},
        "optimiser": [
            {
                **state,
                "state": {
                    number: {
                        key: _marked(value, of_parameter[id(parameter)] if _is_like(value, parameter) else None)
                        for key, value in state["state"].get(number, {}).items()
                    }
                    for number, parameter in enumerate(parameters)
                    if number in state["state"]
                },
            }
            for parameters, state in zip(optimisers.parameters(), optimisers.state_dict(), strict=True)
        ],
    }


def unmarked(state: Any) -> Any:
    """A state with the tensors themselves, a copy of its lists and dicts."""
    if isinstance(state, Divided):
        return state.tensor
    if isinstance(state, Mapping):
        return {key: unmarked(value) for key, value in state.items()}
    return [unmarked(value) for value in state] if isinstance(state, list) else state


def _marked(value: Any, dim: int | None) -> Any:
    return value if dim is None else Divided(value, dim)


def _is_like(value: Any, parameter: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape == parameter.shape


@torch.no_grad()
def gradient_norm(dictionary: Dictionary) -> Tensor:
    """The norm of a dictionary's gradient, in all of its parts."""
    own: list[Tensor] = []
    common: list[Tensor] = []
    for name, parameter in dictionary.named_parameters():
        if parameter.grad is not None:
            (common if divided_along(name, parameter) is None else own).append(parameter.grad)
    if dictionary.ranks.features.size == 1:
        return torch.nn.utils.get_total_norm([*own, *common])
    squares = dictionary.ranks.features.sum(torch.nn.utils.get_total_norm(own).square())
    return (squares + torch.nn.utils.get_total_norm(common).square()).sqrt()


def _divided(dictionary: Dictionary) -> Iterator[tuple[Tensor, int]]:
    for name, tensor in chain(dictionary.named_parameters(), dictionary.named_buffers()):
        dim = divided_along(name, tensor)
        if dim is not None:
            yield tensor, dim
