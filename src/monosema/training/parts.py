"""A dictionary on several ranks: which part of its tensors each has, and how they become one again."""

import copy
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

import torch
from torch import Tensor

from monosema.dictionaries import Dictionary, Spec
from monosema.errors import InputError
from monosema.ranks import ALONE, Ranks
from monosema.recipes import Recipe

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
