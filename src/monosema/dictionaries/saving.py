"""Dictionaries on disk: `dictionary.json` says what it is, `dictionary.safetensors` holds the weights."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from monosema.dictionaries.activation_functions import activation_functions
from monosema.dictionaries.dictionary import Dictionary, feature_major
from monosema.dictionaries.spec import Spec
from monosema.errors import InputError
from monosema.files import json_text, read_json, read_tensors, write_tensors, write_text
from monosema.registry import nearest

FORMAT = "monosema/1"
CONFIG, WEIGHTS = "dictionary.json", "dictionary.safetensors"
PRECISIONS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
"""What weights may be stored in."""


def save(dictionary: Dictionary, folder: str | Path) -> None:
    """Writes the dictionary, with its metadata, into `folder`; the weights first, so that a config has weights."""
    folder = Path(folder)
    config = json_text(
        {
            "format": FORMAT,
            "spec": dataclasses.asdict(dictionary.spec),
            "activation": {"name": dictionary.activation.name, **dictionary.activation.options()},
            "metadata": dictionary.metadata,
        }
    )
    tensors = {name: t.detach().cpu().contiguous() for name, t in dictionary.state_dict().items()}
    write_tensors(folder / WEIGHTS, tensors)
    write_text(folder / CONFIG, config)


def load(folder: str | Path, device: str | torch.device = "cpu") -> Dictionary:
    """Reads a dictionary that `save` wrote, in evaluation mode.

    Raises:
        InputError: a file is missing, corrupt or truncated; a tensor is missing, unknown, of a wrong shape or type or
            not finite; or the configuration names something that is not registered.
    """
    folder = Path(folder)
    dictionary = _described(read_json(folder / CONFIG), folder / CONFIG)
    tensors = read_tensors(folder / WEIGHTS)
    expected = dictionary.state_dict()
    check_names(tensors, expected, folder / WEIGHTS)
    for name, tensor in tensors.items():
        check_tensor(name, tensor, expected[name].shape, folder / WEIGHTS)
    return filled(dictionary, tensors).to(device)


def skeleton(spec: Spec, activation: str, options: Mapping[str, Any], metadata: dict[str, Any]) -> Dictionary:
    """A dictionary without weights, on the meta device: sizes that a file claims take no memory.

    Raises:
        InputError: an unknown activation function, or options that it refuses.
        TypeError, RuntimeError, OverflowError: options that it does not have, or sizes beyond any memory.
    """
    with torch.device("meta"):
        return Dictionary(spec, activation_functions[activation](spec.width, **options), metadata)


def filled(dictionary: Dictionary, tensors: dict[str, Tensor]) -> Dictionary:
    """The skeleton with the tensors of its state as they are, in evaluation mode."""
    dictionary.load_state_dict({**tensors, "W_enc": feature_major(tensors["W_enc"])}, assign=True)
    return dictionary.eval()


def check_names(given: Mapping[str, Any], expected: Iterable[str], path: Path) -> None:
    """Refuses a file that lacks a tensor or has one too many.

    Raises:
        InputError: it names the file and the tensor.
    """
    known = sorted(expected)
    for name in known:
        if name not in given:
            raise InputError(f"{path} has no tensor {name!r}", expected=", ".join(known))
    for name in given:
        if name not in known:
            raise InputError(f"{path} has a tensor {name!r}", expected=", ".join(known), hint=nearest(name, known))


def check_tensor(name: str, tensor: Tensor, shape: Iterable[int], path: Path) -> None:
    """Refuses a tensor that cannot be weights of this shape.

    Raises:
        InputError: it names the file and the tensor.
    """
    expected = list(shape)
    if list(tensor.shape) != expected:
        raise InputError(f"tensor {name!r} of {path} has shape {list(tensor.shape)}", expected=f"{expected}")
    if tensor.dtype not in PRECISIONS:
        raise InputError(f"tensor {name!r} of {path} is of type {tensor.dtype}", expected="floating-point weights")
    if not tensor.isfinite().all():
        raise InputError(f"tensor {name!r} of {path} has values that are not finite", expected="finite weights")


def _described(config: Any, path: Path) -> Dictionary:
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        given = config.get("format") if isinstance(config, dict) else type(config).__name__
        raise InputError(f"{path} has format {given!r}", expected=repr(FORMAT))
    try:
        fields: dict[str, Any] = config["spec"]
        plain = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
        spec = Spec(**cast(dict[str, Any], plain))
        options = {**config["activation"]}
        return skeleton(spec, options.pop("name"), options, config["metadata"])
    except InputError as error:
        raise error.within(path) from None
    except (KeyError, TypeError, RuntimeError, OverflowError) as error:  # the last two: sizes beyond any memory
        raise InputError(f"{path} does not describe a dictionary ({error})", expected="what `save` writes") from None
