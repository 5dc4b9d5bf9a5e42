"""The fixtures: random dictionaries that other libraries wrote, with what they compute."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import load_file
from torch import Tensor

FIXTURES = Path(__file__).parent / "fixtures"
SUFFIX = ".recorded.safetensors"


class Recorded(NamedTuple):
    """Activations, and the codes and reconstructions that the library has for them."""

    x: Tensor
    codes: Tensor
    out: Tensor


@cache
def names() -> list[str]:
    """Every recorded dictionary, as a path below the folder of fixtures."""
    found = FIXTURES.rglob(f"*{SUFFIX}")
    return sorted(path.relative_to(FIXTURES).as_posix().removesuffix(SUFFIX) for path in found)


def recorded(name: str) -> Recorded:
    """What was recorded of one."""
    return Recorded(**load_file(FIXTURES / (name + SUFFIX)))
