"""The state of a run in one file: nested plain values and tensors, as safetensors, and nothing that needs pickle.

The tensors are the file's; how they and all other values lie in each other is JSON in its header. Every float comes
back with the same bits, and tuples and keys that are numbers stay what they are.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monosema.errors import InputError
from monosema.files import write_tensors

FORMAT = "monosema-state/1"


class Snapshot:
    """A copy of a state, on the CPU: what it was taken of may change while it is written.

    Args:
        state: dicts with texts or whole numbers as keys, lists, tuples, tensors, texts, numbers, booleans and None.

    Raises:
        TypeError: something else is in it.
    """

    def __init__(self, state: Any):
        self._tensors: dict[str, Tensor] = {}
        self._tree = self._pack(state)

    def write(self, path: Path) -> None:
        """Writes it, atomically."""
        header = {"format": FORMAT, "state": json.dumps(self._tree)}
        write_tensors(path, self._tensors, header)

    def _pack(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            name = str(len(self._tensors))
            self._tensors[name] = value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            return {"tensor": name}
        if isinstance(value, Mapping):
            if not all(type(key) in (str, int) for key in value):
                raise TypeError(f"a state with the keys {list(value)}")
            return {"dict": [[key, self._pack(item)] for key, item in value.items()]}
        if isinstance(value, (list, tuple)):
            return {"tuple" if isinstance(value, tuple) else "list": [self._pack(item) for item in value]}
        if value is None or isinstance(value, (bool, int, float, str)):
            return {"value": value}
        raise TypeError(f"a state with a {type(value).__name__}")


def read_state(path: Path) -> Any:
    """What a snapshot was taken of.

    Raises:
        InputError: the file is missing, damaged, or of another format.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"no file {path}", expected="the state of a run there")
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            if header.get("format") != FORMAT:
                raise InputError(f"{path} has format {header.get('format')!r}", expected=repr(FORMAT))
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118  it is no dict
        return _unpack(json.loads(header["state"]), tensors)
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is damaged ({error})", expected="the whole state of a run") from None


def _unpack(node: Any, tensors: Mapping[str, Tensor]) -> Any:
    ((kind, content),) = node.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _unpack(item, tensors) for key, item in content}
    if kind in ("list", "tuple"):
        items = [_unpack(item, tensors) for item in content]
        return tuple(items) if kind == "tuple" else items
    return content
