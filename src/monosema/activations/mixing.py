"""Contexts in random order: token ids take so little memory that they can be mixed far more widely than activations."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from monosema.activations.contexts import Contexts, Position
from monosema.activations.text import Documents
from monosema.errors import InputError
from monosema.progress import progress
from monosema.seeding import generator_for


class MixedContexts:
    """The same contexts, shuffled within a window of the text; the windows follow each other and end with the text.

    A buffer of activations mixes the few documents that fit into it. Shuffling contexts first makes what it holds come
    from all over the window, for 8 bytes a token; a short run then sees a sample of the whole text, not its beginning.

    Args:
        contexts: the contexts in the order of the text.
        window: tokens among which contexts are shuffled; held in memory.
        seed: of the order.

    Raises:
        InputError: the window does not hold one context; while iterating, what `contexts` raises.
    """

    def __init__(self, contexts: Contexts, window: int, *, seed: int = 0):
        if window < contexts.length:
            raise InputError(
                f"a window of {window} tokens to shuffle in", expected=f"at least one context, {contexts.length} tokens"
            )
        self._contexts, self._size, self.seed = contexts, window // contexts.length, seed
        self._begin = contexts.position
        self._window: list[_Context] = []
        self._next = 0

    @property
    def text(self) -> Documents:
        """The documents that they come from."""
        return self._contexts.text

    @property
    def length(self) -> int:
        """Tokens in a context."""
        return self._contexts.length

    @property
    def position(self) -> Position:
        """Where in the text the next context begins."""
        self._read_if_used_up()
        return self._window[self._next].begin if self._window else self._contexts.position

    @property
    def parts(self) -> list[tuple[int, int]]:
        """The documents in the context that came last: where in it each begins, and its number in the text."""
        return self._window[self._next - 1].parts

    @property
    def passes(self) -> int:
        """How many times the text had been read to its end where the window begins."""
        return self._begin.passes

    @property
    def tokens_in_text(self) -> int | None:
        """Tokens in the whole text, once it has been read."""
        return self._contexts.tokens_in_text

    def __iter__(self) -> Iterator[Int[Tensor, "length"]]:
        return self

    def __next__(self) -> Int[Tensor, "length"]:
        self._read_if_used_up()
        if not self._window:
            raise StopIteration
        self._next += 1
        return self._window[self._next - 1].tokens

    def state_dict(self) -> dict[str, Any]:
        """Where the window begins in the text, and how much of it is used."""
        return {"begin": self._begin._asdict(), "next": self._next, "seed": self.seed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on at a saved place of the same text: reads the window again."""
        self._contexts.load_state_dict(state["begin"])
        self.seed = state["seed"]
        self._read_window()
        self._next = state["next"]

    def _read_if_used_up(self) -> None:
        if self._next >= len(self._window):
            self._read_window()

    def _read_window(self) -> None:
        self._begin = self._contexts.position
        with progress("reading text", unit="tokens") as bar:
            window = []
            for entry in self._pass():
                window.append(entry)
                bar.advance(self.length)
        # Seeded by the place in the text, so that each window, and each pass, has an order of its own.
        draw = generator_for(f"{self.seed}:{self._begin}")
        self._window = [window[i] for i in torch.randperm(len(window), generator=draw).tolist()]
        self._next = 0

    def _pass(self) -> Iterator["_Context"]:
        """The next contexts, as many as fit into a window or are left of this pass over the text."""
        for n in range(self._size):
            position = self._contexts.position
            if n and position.passes > self._begin.passes:
                return  # a short text is not read again for the same window
            context = next(self._contexts, None)
            if context is None:
                return
            # Not a view, which would keep all that was tokenised with it.
            yield _Context(position, self._contexts.parts, context.clone())


class _Context(NamedTuple):
    """A context of a window, and where in the text it is from."""

    begin: Position
    parts: list[tuple[int, int]]
    tokens: Int[Tensor, "length"]
