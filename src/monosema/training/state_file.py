"""The state of a run in one file: nested plain values and tensors, as safetensors, and nothing that needs pickle.

The tensors are the file's; how they and all other values lie in each other is JSON in its header. Every float comes
back with the same bits, and tuples and keys that are numbers stay what they are.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from monosema.errors import InputError
from monosema.files import write_tensors
from monosema.ranks import ALONE, Ranks

FORMAT = "monosema-state/3"
SUFFIX = ".safetensors"
Tree = Any
"""A state as JSON: each value under the name of its kind, tensors by their names."""


class Divided(NamedTuple):
    """A tensor of which each rank has a part of the features, along one dimension; alone, a rank has all of it."""

    tensor: Tensor
    dim: int


@dataclass(frozen=True)
class Own:
    """What each rank has for itself: only as many ranks can go on with it."""

    value: Any


@dataclass(frozen=True)
class Leaf:
    """A tensor of a state, as its tree knows it."""

    name: str
    divided: int | None = None
    """The dimension along which it is divided among ranks."""


class Snapshot:
    """A copy of a state, on the CPU: what it was taken of may change while it is written.

    Args:
        state: dicts with texts or whole numbers as keys, lists, tuples, tensors, texts, numbers, booleans and None;
            also `Divided` and `Own`.
        rank: whose state it is, where there are several.

    Raises:
        TypeError: something else is in it.
    """

    suffix = SUFFIX

    def __init__(self, state: Any, rank: int = 0):
        self.tensors: dict[str, Tensor] = {}
        self.divided: dict[str, int] = {}
        self._rank = rank
        self.tree: Tree = self._pack(state, "state")

    def write(self, path: Path) -> None:
        """Writes it, atomically."""
        write_tensors(path, self.tensors, {"format": FORMAT, "state": json.dumps(self.tree)})

    def _pack(self, value: Any, name: str) -> Tree:
        if isinstance(value, Tensor):
            self.tensors[name] = value.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            return {"tensor": name}
        if isinstance(value, Divided):
            self.divided[name] = value.dim
            return self._pack(value.tensor, name) | {"divided": value.dim}
        if isinstance(value, Own):
            return {"own": self._pack(value.value, f"rank {self._rank}/{name}")}
        if isinstance(value, Mapping):
            if not all(type(key) in (str, int) for key in value):
                raise TypeError(f"a state with the keys {list(value)}")
            return {"dict": [[key, self._pack(item, f"{name}/{json.dumps(key)}")] for key, item in value.items()]}
        if isinstance(value, (list, tuple)):
            items = [self._pack(item, f"{name}/{number}") for number, item in enumerate(value)]
            return {"tuple" if isinstance(value, tuple) else "list": items}
        if value is None or isinstance(value, (bool, int, float, str)):
            return {"value": value}
        raise TypeError(f"a state with a {type(value).__name__}")


def read_state(path: Path, ranks: Ranks = ALONE) -> Any:
    """What a snapshot was taken of; of what is divided, the part of this rank.

    Raises:
        InputError: the file is missing, damaged, or of another format.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise InputError(f"no file {path}", expected="the state of a run there")
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            check_format(header.get("format"), path)

            def tensor_of(leaf: Leaf) -> Tensor:
                whole = file.get_tensor(leaf.name)
                return (whole if leaf.divided is None else ranks.features.part(whole, leaf.divided)).clone()

            return unpack(json.loads(header["state"]), tensor_of)
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is damaged ({error})", expected="the whole state of a run") from None


def check_format(given: Any, path: Path) -> None:
    """Refuses another version's."""
    if given != FORMAT:
        raise InputError(
            f"{path} has format {given!r}",
            expected=repr(FORMAT),
            hint="go on with the version of monosema that wrote it, or begin again",
        )


def unpack(node: Tree, tensor_of: Callable[[Leaf], Tensor], own: bool = True) -> Any:
    """The state that a tree describes, with its tensors; what is a rank's own is None unless it is wanted."""
    kind, content = next(iter(node.items()))
    if kind == "tensor":
        return tensor_of(Leaf(content, node.get("divided")))
    if kind == "own":
        return unpack(content, tensor_of) if own else None
    if kind == "dict":
        return {key: unpack(item, tensor_of, own) for key, item in content}
    if kind in ("list", "tuple"):
        items = [unpack(item, tensor_of, own) for item in content]
        return tuple(items) if kind == "tuple" else items
    return content
