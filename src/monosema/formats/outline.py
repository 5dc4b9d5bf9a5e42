"""From the tensors of a file to a dictionary and back: what a format says of a file, and what follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monosema.dictionaries import PRECISIONS, Dictionary, JumpReLU, Spec, activation_functions, filled, skeleton
from monosema.dictionaries.saving import check_names, check_tensor
from monosema.errors import InputError

Layout = Mapping[str, str]
"""The name of each tensor in a file → that of the dictionary's; `W_enc.T` is the transposed one."""
TRANSPOSED = ".T"


@dataclass(frozen=True)
class Outline:
    """What a file says that it holds."""

    spec: Spec
    activation: str
    layout: Layout
    options: Mapping[str, Any] = field(default_factory=dict)
    """Those of the activation function."""
    metadata: dict[str, Any] = field(default_factory=dict)
    rectifies: bool = True
    """Whether what is below zero is no code whatever its threshold: a negative one then means zero."""


def assemble(outline: Outline, tensors: Mapping[str, Tensor], path: Path) -> Dictionary:
    """The dictionary that a file holds, in evaluation mode and in the precision of the most precise tensor.

    What the layout does not name is as in a new dictionary: biases zero.

    Args:
        outline: what the file says that it holds; where the tensors contradict it, they are refused.
        tensors: those of the file; all and only those of the layout.
        path: the file, for messages.

    Raises:
        InputError: it names the file and what is wrong with it.
    """
    dictionary = _skeleton(outline, path)
    expected = dictionary.state_dict()
    check_names(tensors, outline.layout, path)
    for theirs, ours in outline.layout.items():
        shape = expected[ours.removesuffix(TRANSPOSED)].shape
        check_tensor(theirs, tensors[theirs], reversed(shape) if ours.endswith(TRANSPOSED) else shape, path)
    found = {
        ours.removesuffix(TRANSPOSED): tensors[theirs].mT if ours.endswith(TRANSPOSED) else tensors[theirs]
        for theirs, ours in outline.layout.items()
    }
    precision = reduce(torch.promote_types, (tensor.dtype for tensor in found.values()))
    state = {**_fresh(outline, expected), **found}
    filled(dictionary, {name: tensor.to(precision).contiguous() for name, tensor in state.items()})
    if isinstance(dictionary.activation, JumpReLU) and outline.rectifies:
        dictionary.activation.threshold.data.clamp_(min=0)
    return dictionary


def spec_of(path: Path, **values: Any) -> Spec:
    """A spec from the values in a file, which its errors name."""
    try:
        return Spec(**values)
    except InputError as error:
        raise error.within(path) from None


def _skeleton(outline: Outline, path: Path) -> Dictionary:
    try:
        return skeleton(outline.spec, outline.activation, outline.options, outline.metadata)
    except InputError as error:
        raise error.within(path) from None
    except (RuntimeError, OverflowError) as error:
        raise InputError(f"{path} has sizes beyond any memory ({error})") from None


def _fresh(outline: Outline, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a new dictionary of these sizes has; its matrices are always in the layout."""
    activation = activation_functions[outline.activation](outline.spec.width, **outline.options)
    own = {f"activation.{name}": tensor for name, tensor in activation.state_dict().items()}
    return own | {name: torch.zeros(t.shape) for name, t in expected.items() if t.ndim == 1 and name not in own}


def tensors_of(dictionary: Dictionary, layout: Layout) -> dict[str, Tensor]:
    """The dictionary's tensors as a layout names and turns them."""
    state = dictionary.state_dict()
    return {
        theirs: (state[ours.removesuffix(TRANSPOSED)].mT if ours.endswith(TRANSPOSED) else state[ours])
        .detach()
        .cpu()
        .contiguous()
        for theirs, ours in layout.items()
    }


def sizes(tensors: Mapping[str, Tensor], encoder: str, path: Path, *, transposed: bool = False) -> tuple[int, int]:
    """`d_in` and the width, from the encoder's matrix.

    Args:
        tensors: those of the file.
        encoder: the name of the matrix.
        path: the file, for messages.
        transposed: whether it is `[width, d_in]`, in place of `[d_in, width]`.

    Raises:
        InputError: it is not there, or is not a matrix of something.
    """
    check_names({encoder: None} if encoder in tensors else {}, [encoder], path)
    shape = list(tensors[encoder].shape)
    if len(shape) != 2 or min(shape) < 1:
        raise InputError(f"tensor {encoder!r} of {path} has shape {shape}", expected="a matrix of at least one number")
    return (shape[1], shape[0]) if transposed else (shape[0], shape[1])


def scalar(name: str, tensors: Mapping[str, Tensor], path: Path) -> float:
    """The one number in a tensor that holds one, of whole or other numbers.

    Raises:
        InputError: it is not there, holds more than one, or one that is not finite.
    """
    tensor = tensors.get(name)
    if tensor is None or tensor.numel() != 1:
        given = "no tensor" if tensor is None else f"a tensor of shape {list(tensor.shape)} as"
        raise InputError(f"{path} has {given} {name!r}", expected="one number")
    if tensor.dtype not in (*PRECISIONS, torch.int32, torch.int64) or not tensor.isfinite().all():
        raise InputError(f"tensor {name!r} of {path} is {tensor.flatten()[0]!r}", expected="a finite number")
    return tensor.item()
