"""Files as they arrive from the world: cut, with bits flipped, or written by somebody who wants something."""

import io
import json
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.formats import load, load_temporal
from tests.formats.recorded import FIXTURES, SUFFIX

Files = dict[str, bytes]
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 7, 23, 25, 2**31, 2**63, 10**30, -(10**30), 0.5, 1e308, 1e999, float("nan")),
    *("", "relu", "topk", "none", "layer_norm", "8", "\x00", "é" * 300, "../../etc/passwd", "__class__"),
    *([], {}, [1], {"k": 4}, [[]], {"": None}),
)
DEEP = b"[" * 100_000
EMPTY_ARCHIVE = b"PK\x05\x06" + bytes(18)
DIGITS = b'{"d_in": ' + b"9" * 5_000 + b"}"


@cache
def files_of(name: str) -> Files:
    """The files of a recorded dictionary, by their paths below its folder, or below the folder that it is a file of."""
    path = FIXTURES / name
    folder = path if path.is_dir() else path.parent
    found = (file for file in folder.rglob("*") if file.is_file() and not file.name.endswith(SUFFIX))
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in found}


def write(files: Files, name: str, folder: Path) -> Path:
    """Writes files where a fixture's would lie, and returns the path to load."""
    place = Path(name)  # of a file, its folder's name is kept: it may say what the file does not
    root = folder / (place.name if (FIXTURES / name).is_dir() else place.parent.name)
    for relative, content in files.items():
        path = root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root if (FIXTURES / name).is_dir() else root / place.name


def damaged(files: Files, chance: random.Random) -> Files:
    """The same files with one to three things done to them."""
    files = dict(files)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if not files:
            break
        name = chance.choice(sorted(files))
        change = chance.choice(_CHANGES)
        content = change(files[name], name, chance)
        if content is None:
            del files[name]
        else:
            files[name] = content
    return files


def read(path: Path) -> Dictionary | InputError:
    """What becomes of it: a dictionary that encodes, or an error that names what is wrong. Anything else is a crash."""
    try:
        dictionary = load(path)
    except InputError as error:
        _read_temporal(path)
        return error
    x = torch.ones(2, dictionary.spec.d_in)
    dictionary.decode(dictionary.encode(x), x)
    return dictionary


def _read_temporal(path: Path) -> None:
    try:
        sae = load_temporal(path)
    except InputError:
        return
    sae(torch.ones(1, 2, sae.config.d))


def _cut(content: bytes, name: str, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content) + 1)]


def _flip(content: bytes, name: str, chance: random.Random) -> bytes:
    changed = bytearray(content)
    reach = len(changed) if chance.random() < 0.5 else min(len(changed), 1200)
    for _ in range(chance.choice((1, 1, 2, 8))):
        if reach:
            position = chance.randrange(reach)
            changed[position] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _flip_at_the_end(content: bytes, name: str, chance: random.Random) -> bytes:
    """In an archive's table of contents."""
    head = content[: max(len(content) - 1000, 0)]
    return head + _flip(content[len(head) :], name, chance)


def _overwrite(content: bytes, name: str, chance: random.Random) -> bytes:
    start, length = chance.randrange(len(content) + 1), chance.choice((1, 4, 8, 64))
    filler = chance.choice((b"\x00", b"\xff", b"\x7f", b"9", b"{"))
    return content[:start] + filler * length + content[start + length :]


def _remove(content: bytes, name: str, chance: random.Random) -> bytes | None:
    return None


def _replace(content: bytes, name: str, chance: random.Random) -> bytes:
    return chance.choice((b"", b"null", b"[]", b"{}", b"0", b"\xff\xfe", b"{" * 9, DEEP, DIGITS, EMPTY_ARCHIVE))


def _edit_json(content: bytes, name: str, chance: random.Random) -> bytes:
    """A value of a configuration, or a key, replaced; elsewhere a cut."""
    try:
        config = json.loads(content)
    except (ValueError, RecursionError):
        return _cut(content, name, chance)
    inner = config
    while isinstance(inner, dict) and inner:
        key = chance.choice(sorted(inner))
        if isinstance(inner[key], dict) and inner[key] and chance.random() < 0.7:
            inner = inner[key]
            continue
        if chance.random() < 0.15:
            del inner[key]
        elif chance.random() < 0.15:
            inner[chance.choice((key + "x", "monosema", "metadata", "k", "d_out", "trainer"))] = chance.choice(VALUES)
        else:
            inner[key] = chance.choice(VALUES)
        break
    return json.dumps(config).encode()


def _edit_tensor(content: bytes, name: str, chance: random.Random) -> bytes:
    """A tensor of another shape, kind or value; elsewhere a flipped bit."""
    tensors = unpacked(content, name)
    if not tensors:
        return _flip(content, name, chance)
    key = chance.choice(sorted(tensors))
    value = tensors[key]
    if isinstance(value, Tensor) and value.numel() > 10**6:  # made so before: whoever copies it needs terabytes
        return content
    changed = chance.choice(_TENSOR_CHANGES)(value, chance) if isinstance(value, Tensor) else chance.choice(VALUES)
    if changed is None:
        del tensors[key]
    else:
        tensors[chance.choice((key, key, key, key + "x"))] = changed
    return packed(tensors, name)


def _poisoned(value: Tensor, chance: random.Random) -> Tensor:
    changed = value.detach().contiguous().clone()
    if changed.is_floating_point() and changed.numel():
        changed.view(-1)[chance.randrange(changed.numel())] = chance.choice((torch.nan, torch.inf, -torch.inf, 1e30))
    return changed


_TENSOR_CHANGES: tuple[Callable[[Tensor, random.Random], Any], ...] = (
    _poisoned,
    lambda value, chance: None,
    lambda value, chance: value.mT.contiguous() if value.ndim == 2 else value.reshape(-1)[:1],
    lambda value, chance: value.flatten(),
    lambda value, chance: value[..., :-1].contiguous() if value.ndim else value[None],
    lambda value, chance: value.new_zeros(()),
    lambda value, chance: value.new_zeros(0, 3),
    lambda value, chance: value.to(chance.choice((torch.int64, torch.float16, torch.bool, torch.float64, torch.uint8))),
    lambda value, chance: value.new_zeros(1).expand(2**40),  # in a .pt file: elsewhere it would be stored
    lambda value, chance: chance.choice(VALUES),
)
_CHANGES = (
    _cut,
    _flip,
    _flip,
    _flip_at_the_end,
    _overwrite,
    _remove,
    _replace,
    _edit_json,
    _edit_json,
    _edit_tensor,
    _edit_tensor,
)


def unpacked(content: bytes, name: str) -> dict[str, Any]:
    """The tensors (and other values) in a file; none if it is no file of tensors, or broken already."""
    try:
        if name.endswith(".safetensors"):
            return safetensors.torch.load(content)
        if name.endswith((".pt", ".pth")):
            return dict(torch.load(io.BytesIO(content), weights_only=True))
        if name.endswith(".npz"):
            return {key: torch.from_numpy(value) for key, value in np.load(io.BytesIO(content)).items()}
    except Exception:
        return {}
    return {}


def packed(tensors: dict[str, Any], name: str) -> bytes:
    """The file with these tensors."""
    buffer = io.BytesIO()
    if name.endswith((".pt", ".pth")):
        torch.save(tensors, buffer)
        return buffer.getvalue()
    plain = {
        key: value if value.numel() < 10**6 else value[:3]
        for key, value in tensors.items()
        if isinstance(value, Tensor)
    }
    if name.endswith(".safetensors"):
        return safetensors.torch.save({key: value.contiguous().clone() for key, value in plain.items()})
    np.savez(buffer, **{key: value.numpy() for key, value in plain.items()})  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()
