"""Files of activations, by their endings: each reader gives tensors by hook point."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from monosema.errors import InputError
from monosema.registry import Registry

READERS: Registry[Callable[[Path], Mapping[str, Tensor]]] = Registry("file ending")
"""From the path of a file to its tensors, by hook point."""
NAME = "activations"
"""The hook point's name where a tensor comes without one."""


def load_tensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors in a file, by hook point.

    - `.npy`: one array, memory-mapped, called `activations`;
    - `.safetensors`: all tensors;
    - `.pt`, `.pth`: a tensor, called `activations`, or a mapping of names to tensors, memory-mapped; nothing else is
      unpickled (`weights_only`);
    - `.parquet`, `.arrow`, `.feather`: every column of lists of numbers, all as long.

    Raises:
        InputError: there is no such file, it has another ending, or it is broken.
    """
    path = Path(path)
    if path.suffix not in READERS:
        raise InputError(f"{path} ends in {path.suffix!r}", expected=f"a file that ends in {' or '.join(READERS)}")
    if not path.is_file():
        raise InputError(f"no file {path}", expected=f"a {' or '.join(READERS)} file there")
    return dict(READERS[path.suffix](path))


@READERS.register(".npy")
def _npy(path: Path) -> dict[str, Tensor]:
    import numpy as np

    try:
        # Copy-on-write: torch wants writable memory, and the file stays as it is.
        return {NAME: torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))}
    except (ValueError, TypeError, EOFError, OSError) as error:
        raise InputError(f"{path} cannot be read ({error})", expected="a .npy file of an array of floats") from None


@READERS.register(".safetensors")
def _safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} cannot be read ({error})", expected="a whole .safetensors file") from None


@READERS.register(".pt", ".pth")
def _torch(path: Path) -> dict[str, Tensor]:
    from pickle import UnpicklingError

    expected = "a tensor, or a mapping of names to tensors, as torch.save writes them"
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except (UnpicklingError, RuntimeError, EOFError, OSError) as error:
        first = (str(error).splitlines() or ["it is empty"])[0]
        raise InputError(f"{path} cannot be read ({first})", expected=expected) from None
    named = {NAME: found} if isinstance(found, Tensor) else found
    if not isinstance(named, Mapping) or not all(isinstance(x, Tensor) for x in named.values()):
        raise InputError(f"{path} holds a {type(found).__name__} of something else", expected=expected)
    return {str(name): x for name, x in named.items()}


@READERS.register(".parquet", ".arrow", ".feather")
def _arrow(path: Path) -> dict[str, Tensor]:
    import pyarrow as pa

    try:
        table = _arrow_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{path} cannot be read ({error})", expected="a whole table") from None
    columns = {name: column for name, column in zip(table.column_names, table.columns, strict=True) if _lists(column)}
    if not columns:
        raise InputError(f"{path} has the columns {table.schema.names}", expected="a column of lists of numbers")
    return {name: _as_tensor(path, name, column) for name, column in columns.items()}


def _arrow_table(path: Path) -> Any:
    if path.suffix == ".parquet":
        import pyarrow.parquet

        return pyarrow.parquet.read_table(path)
    import pyarrow.feather

    return pyarrow.feather.read_table(path, memory_map=True)


def _lists(column: Any) -> bool:
    import pyarrow.types as types

    kind = column.type
    return (types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)) and types.is_floating(
        kind.value_type
    )


def _as_tensor(path: Path, name: str, column: Any) -> Tensor:
    import pyarrow.compute as pc

    lengths = set(pc.list_value_length(column).unique().to_pylist())  # pyright: ignore[reportAttributeAccessIssue]
    if len(lengths) != 1 or None in lengths or column.null_count:
        raise InputError(
            f"column {name!r} of {path} has lists of these lengths: {sorted(map(str, lengths))}",
            expected="as many numbers in each row, and no row without",
        )
    values = pc.list_flatten(column).to_numpy()  # pyright: ignore[reportAttributeAccessIssue]
    return torch.tensor(values).view(len(column), lengths.pop())
