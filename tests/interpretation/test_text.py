"""A store's text in memory: what lies beside a token, where lines begin, and two halves that share no document."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monosema.errors import InputError
from monosema.features import FeatureStore
from monosema.interpretation import Text, load_text
from monosema.interpretation.text import MISSING, dealt
from tests.interpretation.planted import CONTEXTS, DOCUMENTS, LENGTH, WORDS, behind, made_up_ids, planted_store


def test_it_is_the_stores_text(text: Text, store: FeatureStore):
    assert text.ids.tolist() == made_up_ids().ravel().tolist()
    assert list(text.vocabulary) == WORDS
    assert text.length == LENGTH
    assert len(text) == store.index.tokens


@pytest.mark.parametrize("offset", [-3, -1, 0, 1, 5])
def test_tokens_beside_one_are_of_its_context(text: Text, offset: int):
    expected = behind(made_up_ids(), -offset) if offset else made_up_ids()
    assert text.at(np.arange(len(text)), offset).tolist() == expected.ravel().tolist()
    assert MISSING == -1


def test_a_line_begins_behind_a_break_or_with_its_context(text: Text):
    expected, start = [], 0
    for token, own in enumerate(text.ids.tolist()):
        if token % LENGTH == 0 or "\n" in WORDS[text.ids[token - 1]]:
            start = token
        expected.append(start)
        assert own < len(WORDS)
    assert text.line_starts.tolist() == expected


def test_no_document_is_in_both_halves_and_they_are_about_as_large(text: Text):
    documents = np.arange(len(text)) // (len(text) // DOCUMENTS)
    owners = [set(documents[text.heldout == half].tolist()) for half in (False, True)]
    assert not owners[0] & owners[1]
    assert len(owners[0] | owners[1]) == DOCUMENTS
    assert text.heldout.mean() == pytest.approx(0.5, abs=0.05)
    for half, tokens, ids in zip((False, True), text.halves, text.half_ids, strict=True):
        assert sorted(tokens.tolist()) == np.flatnonzero(text.heldout == half).tolist()
        assert (np.diff(ids) >= 0).all()


def test_contexts_are_dealt_where_they_are_asked_for(store: FeatureStore):
    heldout = load_text(store, split="contexts").heldout.reshape(CONTEXTS, LENGTH)
    assert (heldout == heldout[:, :1]).all()
    assert heldout[:, 0].sum() == CONTEXTS // 2


def test_another_seed_is_another_deal(store: FeatureStore, text: Text):
    assert load_text(store).heldout.tolist() == text.heldout.tolist()
    assert load_text(store, seed=1).heldout.tolist() != text.heldout.tolist()


@given(
    st.lists(st.integers(0, 6), min_size=2, max_size=40).filter(lambda owners: len(set(owners)) > 1), st.integers(0, 5)
)
def test_a_deal_leaves_no_half_empty_and_is_uneven_by_less_than_the_largest(owners: list[int], seed: int):
    given_to = np.array(owners)
    heldout = dealt(given_to, seed=seed)[given_to]
    assert 0 < heldout.sum() < len(owners)
    assert abs(int(heldout.sum()) - int((~heldout).sum())) <= np.bincount(given_to).max()


def test_one_document_cannot_be_cut(tmp_path: Path):
    store = planted_store(tmp_path / "features", documents=1)
    with pytest.raises(InputError, match=r"a text of 1 documents; .* --split contexts"):
        load_text(store)
    assert load_text(store, split="contexts").heldout.any()
