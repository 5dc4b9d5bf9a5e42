"""Dictionaries on disk: `dictionary.json` says what it is, `dictionary.safetensors` holds the weights."""

import dataclasses
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from monosema.dictionaries.activation_functions import activation_functions
from monosema.dictionaries.dictionary import Dictionary, feature_major
from monosema.dictionaries.spec import Spec
from monosema.errors import InputError
from monosema.files import json_text, read_json, write_tensors, write_text
from monosema.registry import nearest

FORMAT = "monosema/1"
CONFIG, WEIGHTS = "dictionary.json", "dictionary.safetensors"


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
    config = read_json(folder / CONFIG)
    dictionary = _build(config, folder / CONFIG)
    tensors = _read_tensors(folder / WEIGHTS)
    _check(tensors, dictionary.state_dict(), folder / WEIGHTS)
    tensors["W_enc"] = feature_major(tensors["W_enc"])
    dictionary.load_state_dict(tensors, assign=True)  # keeps the precision that was saved
    return dictionary.eval().to(device)


def _build(config: Any, path: Path) -> Dictionary:
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        given = config.get("format") if isinstance(config, dict) else type(config).__name__
        raise InputError(f"{path} has format {given!r}", expected=repr(FORMAT))
    try:
        fields: dict[str, Any] = config["spec"]
        plain = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
        spec = Spec(**cast(dict[str, Any], plain))
        options = {**config["activation"]}
        activation = activation_functions[options.pop("name")](spec.width, **options)
        return Dictionary(spec, activation, config["metadata"])
    except InputError as error:
        raise InputError(f"{path}: {error.given}", expected=error.expected, hint=error.hint) from None
    except (KeyError, TypeError, RuntimeError) as error:  # RuntimeError: sizes beyond any memory
        raise InputError(f"{path} does not describe a dictionary ({error})", expected="what `save` writes") from None


def _read_tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise InputError(f"no file {path}", expected="the dictionary's weights there")
    try:
        # Copies, because safetensors maps the file into memory, and a dictionary may outlive its file.
        return {name: tensor.clone() for name, tensor in load_file(path).items()}
    except SafetensorError as error:
        raise InputError(
            f"{path} is corrupt or truncated ({error})", expected="a whole safetensors file", hint="copy it again"
        ) from None


def _check(given: dict[str, Tensor], expected: dict[str, Tensor], path: Path) -> None:
    for name in expected.keys() - given.keys():
        raise InputError(f"{path} has no tensor {name!r}", expected=", ".join(sorted(expected)))
    for name in given.keys() - expected.keys():
        raise InputError(
            f"{path} has a tensor {name!r}", expected=", ".join(sorted(expected)), hint=nearest(name, expected)
        )
    for name, tensor in given.items():
        if tensor.shape != expected[name].shape:
            raise InputError(
                f"tensor {name!r} of {path} has shape {list(tensor.shape)}", expected=f"{list(expected[name].shape)}"
            )
        if not tensor.is_floating_point():
            raise InputError(f"tensor {name!r} of {path} is of type {tensor.dtype}", expected="floating-point weights")
        if not tensor.isfinite().all():
            raise InputError(f"tensor {name!r} of {path} has values that are not finite", expected="finite weights")
