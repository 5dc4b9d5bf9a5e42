"""How often the features of two dictionaries fire together, token by token."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Int

from monosema.dictionaries import Dictionary
from monosema.features.build import active_blocks
from monosema.features.sample import SpreadSample
from monosema.features.store import FeatureStore

if TYPE_CHECKING:
    from scipy.sparse import csr_array

    from monosema.models import Readable

READ_TOKENS, RUN_TOKENS = 2**17, 2**15
"""Tokens, spread over the text, on which firing is counted: read from stores, or run through the model."""
_CONTEXTS = 16  # that the model reads at once


class Firing:
    """Where the features of a dictionary fire on the tokens of some contexts of a text; special tokens are left out."""

    def __init__(self, fires: "csr_array"):
        self.tokens: int = fires.shape[0]  # pyright: ignore[reportOptionalSubscript]
        self._by_feature = fires.tocsc()
        self._counts = np.diff(self._by_feature.indptr).astype(np.float64)

    def correlation(
        self, other: "Firing", own: Int[np.ndarray, " n"], others: Int[np.ndarray, " n"]
    ) -> Int[np.ndarray, " n"]:
        """φ of firing, as in `cofiring`, of pairs of features; NaN where one of the two fires on none or all tokens."""
        both = np.asarray(self._by_feature[:, own].multiply(other._by_feature[:, others]).sum(axis=0)).ravel()
        a, b, n = self._counts[own], other._counts[others], self.tokens
        spread = np.sqrt(a * (n - a) * b * (n - b))
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(spread > 0, (n * both - a * b) / spread, np.nan)


def firing_of_both(
    one: FeatureStore,
    other: FeatureStore,
    dictionaries: tuple[Dictionary, Dictionary],
    models: "tuple[Readable, Readable]",
) -> tuple[Firing, Firing]:
    """Where the features of two dictionaries fire, on the same tokens, spread over the text of the first one's store.

    It is read from both stores where they are of the same tokens; else the models read the tokens again.

    Args:
        one, other: their stores.
        dictionaries: in evaluation mode.
        models: that they were trained on, with one tokenizer; mostly the same twice.
    """
    chosen = spread_contexts(one, READ_TOKENS)
    if _have_both(one, other, chosen):
        counted = ~np.isin(one.contexts_ids(chosen).ravel(), list(models[0].special_ids))
        return Firing(one.fires(chosen)[counted]), Firing(other.fires(chosen)[counted])
    ids = torch.from_numpy(one.contexts_ids(spread_contexts(one, RUN_TOKENS)))
    first, second = (_run(*pair, ids) for pair in zip(dictionaries, models, strict=True))
    return first, second


def spread_contexts(store: FeatureStore, tokens: int) -> list[int]:
    """Contexts of a store, evenly spread, of about so many tokens in all."""
    count = min(max(tokens // store.index.context, 1), store.index.contexts)
    return [store.index.contexts * i // count for i in range(count)]


def _have_both(one: FeatureStore, other: FeatureStore, contexts: list[int]) -> bool:
    """Whether two stores hold the same tokens in some contexts."""
    a, b = one.index, other.index
    if a.context != b.context or b.contexts <= contexts[-1]:
        return False
    return np.array_equal(one.contexts_ids(contexts), other.contexts_ids(contexts))


def _run(dictionary: Dictionary, model: "Readable", ids: Int[torch.Tensor, "contexts length"]) -> Firing:
    sample = SpreadSample(dictionary.spec.width, ids.numel())
    for part in ids.split(_CONTEXTS):
        for block in active_blocks(dictionary, model, part, 0):
            sample.add(block.codes)
    return Firing(sample.fires())
