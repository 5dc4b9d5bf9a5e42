"""Packing documents into contexts: rows of token ids of one length, without padding."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from monosema.activations.text import open_text
from monosema.activations.tokens import TokeniseDocuments
from monosema.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from monosema.activations.mixing import MixedContexts

CHARACTERS_AT_ONCE = 2**17  # enough for the tokeniser to use its cores; little to do again after a resume


class Position(NamedTuple):
    """A place in a text: how many passes lie behind it, and the document and the token in it that come next."""

    passes: int = 0
    document: int = 0
    token: int = 0

    def __str__(self) -> str:
        return f"pass {self.passes}, document {self.document}, token {self.token}"


class Contexts:
    """An iterator of contexts `[length]`: tokenised documents, one after the other, cut into rows of `length` tokens.

    Each document follows the tokeniser's beginning- or end-of-text token, where it has one. A document may begin in one
    context and end in the next; no token is left out but those after the last full context of a text that is not
    repeated. Documents without tokens are passed over.

    Args:
        tokenizer: the model's own.
        text: anything that `open_text` takes.
        length: tokens in a context.
        repeat: begin again when the text has been read, without end.

    Raises:
        InputError: no tokeniser, a length below 1, a text that cannot be opened; while iterating, an empty text.
    """

    def __init__(
        self,
        tokenizer: "PreTrainedTokenizerBase | None",
        text: str | Path | Iterable[Any],
        length: int,
        *,
        repeat: bool = False,
    ):
        if length < 1:
            raise InputError(f"contexts of {length} tokens", expected="at least 1")
        self.text = open_text(text)
        self.length = length
        self.repeat = repeat
        self._tokenise = TokeniseDocuments(tokenizer)
        self._go_to(Position())

    @property
    def position(self) -> Position:
        """Where the next context begins."""
        i = bisect_right(self._starts, self._cursor) - 1
        passes, document, token = self._origins[i]
        return Position(passes, document, token + self._cursor - self._starts[i])

    @property
    def passes(self) -> int:
        """How many times the text has been read to its end."""
        return self._origins[-1].passes

    @property
    def parts(self) -> list[tuple[int, int]]:
        """The documents in the context that came last: where in it each begins, and its number in the text."""
        begin = self._cursor - self.length
        first = bisect_right(self._starts, begin) - 1
        inside = zip(self._starts[first:-1], self._origins[first:-1], strict=True)
        return [
            (max(start - begin, 0), origin.document)
            for (start, origin), end in zip(inside, self._starts[first + 1 :], strict=True)
            if start < self._cursor and end > start
        ]

    def __iter__(self) -> Iterator[Int[Tensor, "length"]]:
        return self

    def __next__(self) -> Int[Tensor, "length"]:
        while len(self._tokens) - self._cursor < self.length:
            if not self._extend():
                raise StopIteration
        self._cursor += self.length
        return self._tokens[self._cursor - self.length : self._cursor]

    def state_dict(self) -> dict[str, int]:
        """The position in the text."""
        return self.position._asdict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Goes on at a saved position of the same text, by passing over the documents before it."""
        self._go_to(Position(**state))

    def _go_to(self, position: Position) -> None:
        # The tokens read from the text; those before the cursor have been handed out. Document i of them begins at
        # _starts[i], which is _origins[i] in the text; the last entry of both stands for the document to be read next.
        self._tokens = torch.empty(0, dtype=torch.long)
        self._cursor = 0
        self._starts = [0]
        self._origins = [position]
        self._documents: Iterator[str] | None = None
        self.tokens_in_text: int | None = None  # known once a whole pass has been read
        self._tokens_in_pass = 0 if position == Position(position.passes) else None

    def _extend(self) -> bool:
        """Reads more documents or begins the next pass; False at the end of the text."""
        next_up = self._origins[-1]
        if self._documents is None:
            if next_up.passes and not self.repeat:
                return False
            self._documents = _from_document(iter(self.text), next_up.document)
        documents = _some(self._documents)
        if documents:
            self._append(self._tokenise(documents, first=next_up.document))
            return True
        if self._tokens_in_pass == 0:
            raise InputError("the text is empty", expected="at least one document with a token in it")
        self.tokens_in_text = self._tokens_in_pass
        self._tokens_in_pass = 0
        self._origins[-1] = Position(next_up.passes + 1)
        self._documents = None
        return self.repeat

    def _append(self, documents: list[list[int]]) -> None:
        """Drops the tokens before the cursor and adds those of `documents`."""
        passes, number, skipped = self._origins[-1]
        if skipped > len(documents[0]):
            raise InputError(f"document {number} has {len(documents[0])} tokens, and reading was to go on at {skipped}")
        documents[0] = documents[0][skipped:]
        first = bisect_right(self._starts, self._cursor) - 1
        starts = [start - self._cursor for start in self._starts[first:]]
        self._origins = self._origins[first:]
        for i, document in enumerate(documents, start=1):
            starts.append(starts[-1] + len(document))
            self._origins.append(Position(passes, number + i))
        added = torch.tensor([token for document in documents for token in document], dtype=torch.long)
        self._tokens = torch.cat([self._tokens[self._cursor :], added])
        self._starts, self._cursor = starts, 0
        if self._tokens_in_pass is not None:
            self._tokens_in_pass += len(added)


def take_contexts(contexts: "Contexts | MixedContexts", tokens: int) -> Int[Tensor, "n length"]:
    """Takes the next contexts that hold `tokens` tokens in all (rounded up), or fewer where the text ends.

    Raises:
        InputError: `tokens` is below 1, or the text does not fill one context.
    """
    if tokens < 1:
        raise InputError(f"{tokens} tokens of text", expected="at least 1")
    taken = list(islice(contexts, -(-tokens // contexts.length)))
    if not taken:
        raise InputError(
            f"the text has fewer tokens than one context of {contexts.length}",
            expected="at least one full context",
            hint="give more text or a shorter context",
        )
    return torch.stack(taken)


def next_contexts(
    contexts: "Contexts | MixedContexts", count: int
) -> tuple[list[Position], list[Int[Tensor, "length"]]]:
    """The next contexts, `count` of them or as many as are left, and where in the text each begins."""
    begins: list[Position] = []
    taken: list[Tensor] = []
    while len(taken) < count:
        begin = contexts.position
        context = next(contexts, None)
        if context is None:
            break
        begins.append(begin)
        taken.append(context)
    return begins, taken


def _some(documents: Iterator[str]) -> list[str]:
    """The next documents, as many as are worth tokenising at once; none at the end."""
    some: list[str] = []
    characters = 0
    while characters < CHARACTERS_AT_ONCE and (document := next(documents, None)) is not None:
        some.append(document)
        characters += len(document) + 1  # so that empty documents come to an end, too
    return some


def _from_document(documents: Iterator[str], number: int) -> Iterator[str]:
    skipped = sum(1 for _ in islice(documents, number))
    if skipped < number:
        raise InputError(
            f"the text ends after {skipped} documents, and reading was to go on at document {number}",
            expected="the text that the state was saved with",
        )
    return documents
