"""Reading `.pt` and `.npz` files: no code in them runs, and no size that they claim is believed unchecked."""

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from monosema.errors import InputError

T = TypeVar("T")
SMALL = 2**26
"""Bytes that a compressed archive may always unpack to."""
MOST = 20
"""How many times its own size an archive of weights may unpack to beyond that."""


def read_pt(path: Path) -> Any:
    """What `torch.save` wrote: tensors, in mappings of names, with plain values beside them.

    Raises:
        InputError: the file is missing, damaged, of the old layout, holds more than tensors and plain values, or
            tensors that its data does not fill.
    """
    return _read_pt(path, _copied)


def _read_pt(path: Path, take: Callable[[Any], T]) -> T:
    """What `take` makes of the content, whose tensors lie in the file."""
    members = _members(path)
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise InputError(f"{path} is compressed", expected="what torch.save writes")
    try:
        # Mapped into memory, a tensor cannot reach beyond the file, whatever size the pickle claims.
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        _check(content, sum(m.file_size for m in members if "/data/" in m.filename), path)
        return take(content)
    except InputError:
        raise
    except Exception as error:  # a pickle that was tampered with can make the reader raise anything
        raise _damaged(path, error, "tensors and plain values, as torch.save writes them") from None


def is_pt(path: Path) -> bool:
    """Whether a path is a file with the ending of what `torch.save` writes."""
    return path.suffix in (".pt", ".pth") and path.is_file()


def names_in(path: Path) -> set[Any]:
    """The names in a `.pt` file of things by name; none if it holds anything else. InputError if it is broken."""
    return _read_pt(path, lambda content: set(content) if isinstance(content, dict) else set())


def read_pt_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.pt` file that holds nothing else.

    Raises:
        InputError: as `read_pt`; or there is something else in it.
    """
    content = read_pt(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} holds a {type(content).__name__}", expected="tensors by name")
    for name, value in content.items():
        if not isinstance(value, Tensor) or not isinstance(name, str):
            raise InputError(f"{name!r} in {path} is a {type(value).__name__}", expected="a tensor")
    return content


def read_npz(path: Path) -> dict[str, Tensor]:
    """The arrays in an `.npz` file.

    Raises:
        InputError: the file is missing, damaged, or holds Python objects.
    """
    members = _members(path)
    packed, unpacked = path.stat().st_size, sum(member.file_size for member in members)
    if unpacked > SMALL + MOST * packed:
        raise InputError(f"{path} would unpack to {unpacked:,} bytes", expected=f"at most {MOST} times its {packed:,}")
    try:
        with zipfile.ZipFile(path) as archive:
            return {member.filename.removesuffix(".npy"): _array(archive, member, path) for member in members}
    except InputError:
        raise
    except Exception as error:  # as above
        raise _damaged(path, error, "numbers, as numpy.savez writes them") from None


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Tensor:
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, fortran, dtype = read_header(file)
        size = int(np.prod([dtype.itemsize, *shape], dtype=object))
        if dtype.hasobject or size != member.file_size - file.tell():
            raise InputError(f"{member.filename} in {path} is no array of {list(shape)} {dtype}", hint="copy it again")
        flat = np.frombuffer(file.read(), dtype=dtype)
    array = flat.reshape(shape, order="F" if fortran else "C")
    return torch.from_numpy(np.array(array, order="C"))


def _members(path: Path) -> list[zipfile.ZipInfo]:
    """What an archive holds; only its table of contents is read."""
    if not path.is_file():
        raise InputError(f"no file {path}", expected="the dictionary's weights there")
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except Exception as error:  # as above
        hint = "torch.load and torch.save it again: it may be of the layout before PyTorch 1.6"
        raise _damaged(path, error, "a whole archive", hint if path.suffix != ".npz" else "copy it again") from None
    if len({member.filename for member in members}) < len(members):
        raise InputError(f"{path} holds two files of one name", expected="a whole archive", hint="copy it again")
    return members


def _check(content: Any, data: int, path: Path) -> None:
    """Refuses tensors that claim more bytes than there are."""
    storages: dict[int, int] = {}
    for tensor in _tensors(content, set()):
        plain = tensor.layout == torch.strided and not tensor.is_quantized
        if not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise InputError(f"{path} holds a tensor of shape {list(tensor.shape)} that is not stored as one")
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
    if sum(storages.values()) > data:
        raise InputError(f"{path} has {data:,} bytes of data for tensors of {sum(storages.values()):,}")


def _tensors(content: Any, seen: set[int]) -> Iterator[Tensor]:
    if isinstance(content, Tensor):
        yield content
    if isinstance(content, dict):
        if id(content) in seen:  # mappings that share mappings can stand for more than there is time to visit
            raise ValueError("one mapping in two places")
        seen.add(id(content))
        for value in content.values():
            yield from _tensors(value, seen)


def _copied(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _copied(value) for name, value in content.items()}
    return content.detach().clone() if isinstance(content, Tensor) else content


def _damaged(path: Path, error: Exception, expected: str, hint: str = "copy it again") -> InputError:
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return InputError(f"{path} cannot be read ({reason})", expected=expected, hint=hint)
