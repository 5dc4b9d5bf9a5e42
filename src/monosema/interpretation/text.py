"""The text of a feature store in memory, in two halves that share no document: one to learn from, one to score on."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from monosema.errors import InputError
from monosema.interpretation.classes import endings, members

if TYPE_CHECKING:
    from monosema.features import FeatureStore

Split: TypeAlias = Literal["documents", "contexts"]
MISSING = -1
"""The id of a token that is not there: before a context's first, or after its last."""


@dataclass(frozen=True)
class Text:
    """Tokens in the order in which they were read, in contexts of equal length."""

    ids: np.ndarray
    """Of each token."""
    length: int
    """Tokens in a context."""
    vocabulary: Sequence[str]
    """The text of each id; empty for ids that the text does not have."""
    heldout: np.ndarray
    """Whether a token is in the half that is scored on, rather than in the one that is learnt from."""

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, tokens: np.ndarray, offset: int | np.ndarray) -> np.ndarray:
        """The ids of the tokens so many after some, of the same context; `MISSING` where there is none."""
        place = tokens % self.length + offset
        inside = (place >= 0) & (place < self.length)
        return np.where(inside, self.ids.take(tokens + offset, mode="clip"), MISSING)

    def shown(self, token_id: int) -> str:
        """The text of an id; its number where it has none by itself, as parts of a character have not."""
        return self.vocabulary[token_id] or f"[{token_id}]"

    @cached_property
    def line_starts(self) -> np.ndarray:
        """The first token of the line that each token is on, as far as its context goes; a line break ends its line."""
        breaks = np.array(["\n" in text for text in self.vocabulary])
        places = np.arange(len(self.ids))
        behind = np.concatenate([[False], breaks[self.ids[:-1]]]) | (places % self.length == 0)
        return np.maximum.accumulate(np.where(behind, places, 0))

    @cached_property
    def kinds(self) -> np.ndarray:
        """The classes of strings that each id is in, `[ids, classes]`, as `classes.members` has them."""
        return members(self.vocabulary)

    @cached_property
    def endings(self) -> tuple[np.ndarray, list[str]]:
        """The last letters of each id, as `classes.endings` has them."""
        return endings(self.vocabulary)

    @cached_property
    def word_edges(self) -> np.ndarray:
        """Whether each id's text begins, and ends, with a letter, a digit or an underscore, `[2, ids]`."""
        edges = [(word[:1], word[-1:]) for word in self.vocabulary]
        return np.array([[edge.isalnum() or edge == "_" for edge in pair] for pair in edges]).T

    @cached_property
    def halves(self) -> tuple[np.ndarray, np.ndarray]:
        """The tokens of either half, in order of their ids: those of equal id are together."""
        order = np.argsort(self.ids, kind="stable")
        return order[~self.heldout[order]], order[self.heldout[order]]

    @cached_property
    def half_ids(self) -> tuple[np.ndarray, np.ndarray]:
        """The ids of these."""
        return self.ids[self.halves[0]], self.ids[self.halves[1]]


def load_text(store: "FeatureStore", *, split: Split = "documents", seed: int = 0) -> Text:
    """The text of a store, cut in two.

    Args:
        store: whose tokens are read; memory holds some 50 bytes for each.
        split: what is dealt to the halves: documents, so that no phrase of one is in the other, or contexts, where a
            text has few documents.
        seed: of the deal.

    Raises:
        InputError: fewer than two documents, or contexts.
    """
    from pyarrow.parquet import ParquetFile

    from monosema.features.layout import TOKENS

    table = ParquetFile(store.folder / TOKENS, read_dictionary=["text"]).read(["document", "id", "text"])
    ids = table.column("id").to_numpy().astype(np.int64)
    where = table.column("document").to_numpy() if split == "documents" else np.arange(len(ids)) // store.index.context
    vocabulary = [""] * (int(ids.max()) + 1)
    _, firsts = np.unique(ids, return_index=True)
    for own, text in zip(ids[firsts].tolist(), table.column("text").take(firsts).to_pylist(), strict=True):
        vocabulary[own] = text
    return Text(ids, store.index.context, vocabulary, dealt(where, split, seed)[where])


def dealt(owners: np.ndarray, what: str = "documents", seed: int = 0) -> np.ndarray:
    """Which owners are held out: of two that follow each other by size, one, drawn at random.

    Args:
        owners: the document of each token, say; numbers from 0.
        what: they are, for the message.
        seed: of the draw.

    Raises:
        InputError: there are fewer than two.
    """
    sizes = np.bincount(owners)
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] > 0]
    if len(order) < 2:
        raise InputError(
            f"a text of {len(order)} {what}", expected="two or more, to hold some out", hint="--split contexts"
        )
    draw = np.random.default_rng(seed).random(-(-len(order) // 2)) < 0.5
    chosen = np.stack([draw, ~draw], axis=1).ravel()[: len(order)]
    if not chosen.any() or chosen.all():  # an odd one at the end may leave a half without any
        chosen[-1] = not chosen[-1]
    heldout = np.zeros(len(sizes), dtype=bool)
    heldout[order] = chosen
    return heldout
