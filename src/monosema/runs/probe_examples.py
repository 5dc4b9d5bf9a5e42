"""What is probed: tokens of the embedded corpus with the labels that Python has for them, or labelled documents."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Int

from monosema.activations.tokens import TokeniseDocuments
from monosema.analysis.probing import KINDS, Label, Pool, characters_of_tokens, label_of, python_labels, token_places
from monosema.errors import InputError
from monosema.tiny import Document

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DEEPEST = 4
"""Blocks from which on a statement counts as deep."""
_SPREAD = 16  # times as much text as is wanted, from all over which it is taken


@dataclass(frozen=True)
class Examples:
    """Texts, positions in them, and labels: every position is an example, or, where they are pooled, every text."""

    labels: tuple[Label, ...]
    documents: Int[np.ndarray, " n"]
    """Of each example."""
    pieces: list[list[int]]
    """Token ids of texts that are read by themselves."""
    keep: list[Int[np.ndarray, " some"]]
    """Positions in each."""
    pool: Pool | None = None
    """How a text's positions become one example."""

    def only(self, rows: Int[np.ndarray, " some"]) -> "Examples":
        """Some of the examples, by number, ascending; labels stay those of all."""
        if self.pool is not None:
            pieces, keep = ([part[i] for i in rows] for part in (self.pieces, self.keep))
        else:
            ends = np.cumsum([0, *map(len, self.keep)])
            cuts = np.searchsorted(rows, ends)
            keep = [p[rows[a:b] - e] for p, a, b, e in zip(self.keep, cuts, cuts[1:], ends, strict=False)]
            pieces = self.pieces
        return replace(self, documents=self.documents[rows], pieces=pieces, keep=keep)


def labelled_examples(
    tokenizer: "PreTrainedTokenizerBase | None",
    special: Iterable[int],
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    name: str,
    length: int,
    pool: Pool,
) -> Examples:
    """Documents with a label each, of which the first `length` tokens are read, special ones not counted.

    Raises:
        InputError: a document without tokens.
    """
    pieces = [ids[:length] for ids in TokeniseDocuments(tokenizer)(list(texts))]
    keep = [np.flatnonzero(~np.isin(ids, list(special))) for ids in pieces]
    empty = next((i for i, positions in enumerate(keep) if not len(positions)), None)
    if empty is not None:
        raise InputError(f"document {empty} ({texts[empty]!r:.40}) has no tokens", expected="some text in each")
    return Examples((label_of(name, labels),), np.arange(len(pieces)), pieces, keep, pool)


@dataclass(frozen=True)
class _Piece:
    """A part of a document that is read by itself, and what its tokens are called."""

    document: int
    ids: list[int]
    keep: Int[np.ndarray, " some"]
    kind: Int[np.ndarray, " some"]
    docstring: Int[np.ndarray, " some"]
    depth: Int[np.ndarray, " some"]


def python_examples(
    tokenizer: "PreTrainedTokenizerBase | None",
    special: Iterable[int],
    sources: Iterable[Document],
    *,
    tokens: int,
    length: int,
    seed: int = 0,
) -> Examples:
    """Tokens of Python files, from parts of `length` tokens that are drawn by chance, with five labels.

    A token's label is that of its first character that is not space. Special tokens are no examples.

    Args:
        tokenizer: the model's.
        special: its special tokens.
        sources: files; those that are no Python are passed over.
        tokens: to be read, about.
        length: tokens that the model reads at once.
        seed: of the choice.

    Raises:
        InputError: no tokenizer, one that does not say where its tokens are, or no Python.
    """
    if tokenizer is None:
        raise InputError("a model without a tokenizer", expected="one, to read text with")
    pieces, packages, held = [], [], 0
    for document in sources:
        packages.append(document.path.split("/")[0] if "/" in document.path else "(top level)")
        own = _pieces(tokenizer, frozenset(special), document.text, len(packages) - 1, length)
        pieces += own
        held += sum(len(piece.ids) for piece in own)
        if held >= _SPREAD * tokens:
            break
    if not pieces:
        raise InputError("a text that is not Python", expected="Python source, which says what its tokens are")
    chosen = _drawn(pieces, tokens, seed)
    documents = np.concatenate([np.full(len(piece.keep), piece.document) for piece in chosen])
    return Examples(
        (
            Label("kind of token", KINDS, _of(chosen, lambda piece: piece.kind)),
            Label("docstring", ("no", "yes"), _of(chosen, lambda piece: piece.docstring)),
            Label("depth", (*map(str, range(DEEPEST)), f"{DEEPEST} or more"), _of(chosen, lambda piece: piece.depth)),
            label_of("package", np.array(packages)[documents].tolist()),
        ),
        documents,
        [piece.ids for piece in chosen],
        [piece.keep for piece in chosen],
    )


def _pieces(
    tokenizer: "PreTrainedTokenizerBase", special: frozenset[int], text: str, document: int, length: int
) -> list[_Piece]:
    labels = python_labels(text) if text else None
    if labels is None:
        return []
    ids, places = token_places(tokenizer, text)
    counted = np.flatnonzero((places[:, 0] >= 0) & ~np.isin(ids, list(special)))
    own = labels.at(characters_of_tokens(text, places[counted]))
    found = []
    for first in range(0, len(ids), length):
        part = (counted >= first) & (counted < first + length)
        of_tokens = (own.kind, own.docstring.astype(int), own.depth.clip(max=DEEPEST))
        labelled = (x[part] for x in of_tokens)
        found.append(_Piece(document, ids[first : first + length], counted[part] - first, *labelled))
    return found


def _drawn(pieces: Sequence[_Piece], tokens: int, seed: int) -> list[_Piece]:
    """Some of the pieces, in order, with about so many tokens."""
    order = np.random.default_rng(seed).permutation(len(pieces))
    behind = np.cumsum([len(pieces[i].ids) for i in order])
    return [pieces[i] for i in sorted(order[: int(np.searchsorted(behind, tokens)) + 1])]


def _of(pieces: Sequence[_Piece], column: Callable[[_Piece], Int[np.ndarray, " some"]]) -> Int[np.ndarray, " n"]:
    return np.concatenate([column(piece) for piece in pieces])
