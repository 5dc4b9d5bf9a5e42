"""A hook point: a place in a model where activations are read or replaced."""

from dataclasses import dataclass, field
from typing import Literal

from monosema.errors import InputError


@dataclass(frozen=True)
class HookPoint:
    """What a module returns (side "out") or what it is given (side "in").

    `path` is the module's path, as in `model.named_modules()`. `in_stream` says that what the module is given is the
    residual stream itself, which flows on past the module too: a replacement then changes the stream, not only the
    module's argument. It is no part of which place this is, so it counts neither in comparing nor in printing.
    `heads_apart` says that the activation may lie there as `[batch, position, heads, d_head]`; it is seen as
    `[batch, position, d]`, with the heads side by side. That counts neither.
    `columns` are the entries that are meant of the activation there, from the first up to the second; all if None.
    """

    path: str
    side: Literal["out", "in"] = "out"
    in_stream: bool = field(default=False, compare=False)
    heads_apart: bool = field(default=False, compare=False)
    columns: tuple[int, int] | None = None

    @classmethod
    def parse(cls, text: str) -> "HookPoint":
        """The hook point written as "path", "path:out" or "path:in".

        Raises:
            InputError: nothing is written, or the side is neither "in" nor "out".
        """
        path, colon, side = text.partition(":")
        if not text or (colon and side not in ("in", "out")):
            raise InputError(f"hook point {text!r}", expected='a module path, with ":in" or ":out" after it if wanted')
        return cls(path, "in" if side == "in" else "out")

    def __str__(self) -> str:
        place = f"{self.path}:in" if self.side == "in" else self.path or ":out"
        return place if self.columns is None else f"{place}[{self.columns[0]}:{self.columns[1]}]"
