"""Writing files so that a reader never sees half of one, and reading JSON with a clear error."""

import glob
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monosema.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor


UNFINISHED = (".*.tmp", ".tmp??????")
"""What writers that were killed leave: ours, and that of safetensors."""


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Calls `write` on a temporary file beside `path`, flushes it to the disk and renames it to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        write(temporary)
        temporary.chmod(mode)  # some writers make files that nobody else can read
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def folder_atomically(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path` to write into, which becomes `path` at the end, or is deleted after an error.

    Args:
        path: of the folder.
        replace: what is at `path` stays until the end, and is then deleted.

    Raises:
        OSError: at the end, something is at `path` that is not to be replaced.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.mkdir()
    try:
        yield temporary
        if replace and path.exists():
            old = path.rename(path.with_name(f".{path.name}.{os.getpid()}.old.tmp"))
            temporary.rename(path)
            remove(old)
        else:
            temporary.rename(path)
    finally:
        if temporary.exists():
            remove(temporary)


def _remove_abandoned(path: Path) -> None:
    """Deletes temporary folders beside `path` of processes that are no longer there."""
    for temporary in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        number, _, old = temporary.name[len(path.name) + 2 : -len(".tmp")].partition(".")
        # What was at `path` before is all there is of it, if its process ended before it put the new one there.
        kept = old == "old" and not path.exists()
        if number.isdecimal() and old in ("", "old") and not kept and not _is_running(int(number)):
            remove(temporary)


def _is_running(process: int) -> bool:
    """Whether there is such a process on this machine, as far as one can ask without harm."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        pass
    return True


def remove_unfinished(folder: Path) -> None:
    """Deletes what writers that were killed have left half done in a folder; none may be writing."""
    for pattern in UNFINISHED:
        for path in folder.glob(pattern):
            remove(path)


def remove(path: Path) -> None:
    """Deletes a file, or a folder and all that is in it."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def save_tensors(path: Path, tensors: Mapping[str, "Tensor"], header: Mapping[str, str] | None = None) -> None:
    """Writes a safetensors file.

    Raises:
        OSError: the file could not be written: the disk is full, say.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    try:
        save_file(dict(tensors), path, dict(header) if header else None)
    except SafetensorError as error:
        raise OSError(f"{path.parent} cannot be written to ({error})") from None


def write_tensors(path: Path, tensors: Mapping[str, "Tensor"], header: Mapping[str, str] | None = None) -> None:
    """Writes a safetensors file, atomically."""
    write_atomically(path, lambda temporary: save_tensors(temporary, tensors, header))


def write_text(path: Path, text: str) -> None:
    """Writes `text` in UTF-8, atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def json_text(value: Any) -> str:
    """`value` as indented JSON. Non-finite numbers are refused: they are not JSON."""
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


def write_json(path: Path, value: Any) -> None:
    """Writes `value` as indented JSON, atomically."""
    write_text(path, json_text(value))


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        InputError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise InputError(f"no file {path}", expected="a JSON file there") from None
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, a number of thousands of digits, or too deep
        raise InputError(f"{path} is not valid JSON ({error})") from None


def read_tensors(path: Path) -> dict[str, "Tensor"]:
    """The tensors in a safetensors file, in memory of their own: the file may change or go.

    Raises:
        InputError: the file is missing, corrupt or truncated.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise InputError(f"no file {path}", expected="the dictionary's weights there")
    try:
        return {name: tensor.clone() for name, tensor in load_file(path).items()}
    except (SafetensorError, ValueError) as error:
        raise InputError(
            f"{path} is corrupt or truncated ({error})", expected="a whole safetensors file", hint="copy it again"
        ) from None
