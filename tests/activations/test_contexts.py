from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monosema.activations import Contexts, take_contexts
from monosema.activations.contexts import CHARACTERS_AT_ONCE
from monosema.activations.tokens import separator_of
from monosema.errors import InputError


def all_tokens(tokenizer, documents):
    """Every token of the documents, one tokenised after the other: the independent computation."""
    tokens = []
    for text in documents:
        ids = tokenizer.encode(text, add_special_tokens=False)
        tokens += [tokenizer.bos_token_id, *ids] if ids else []
    return tokens


@settings(max_examples=30, deadline=None)
@given(texts=st.lists(st.text(alphabet="ab \n(é漢", max_size=30), min_size=1), length=st.integers(1, 20))
def test_every_token_appears_once_and_in_order(tokenizer, texts, length):
    expected = all_tokens(tokenizer, texts)
    if not expected:
        return
    packed = [t for context in Contexts(tokenizer, texts, length) for t in context.tolist()]
    assert packed == expected[: len(expected) // length * length]


def test_the_text_can_be_read_back_from_the_contexts(tokenizer, documents):
    rows = list(Contexts(tokenizer, documents, 1))
    assert tokenizer.decode(torch.cat(rows)).split(tokenizer.bos_token)[1:] == documents


def test_how_documents_are_grouped_for_the_tokeniser_does_not_matter(tokenizer, documents, monkeypatch):
    expected = list(Contexts(tokenizer, documents, 7))
    assert sum(map(len, documents)) < CHARACTERS_AT_ONCE
    monkeypatch.setattr("monosema.activations.contexts.CHARACTERS_AT_ONCE", 100)
    contexts = list(Contexts(tokenizer, documents, 7))
    assert torch.equal(torch.stack(contexts), torch.stack(expected))


def test_a_repeated_text_goes_round(tokenizer, documents):
    once = all_tokens(tokenizer, documents)
    contexts = Contexts(tokenizer, documents, 50, repeat=True)
    n = 3 * len(once) // 50
    assert torch.cat(list(islice(contexts, n))).tolist() == (once * 3)[: n * 50]
    assert contexts.passes >= 2
    assert contexts.tokens_in_text == len(once)


def test_a_text_shorter_than_a_context_can_be_repeated(tokenizer):
    once = all_tokens(tokenizer, ["abc"])
    context = next(Contexts(tokenizer, ["abc"], 4 * len(once), repeat=True))
    assert context.tolist() == once * 4


@pytest.mark.parametrize("small_groups", [False, True])
@pytest.mark.parametrize("repeat", [False, True])
def test_a_restored_iterator_goes_on_identically(tokenizer, documents, repeat, small_groups, monkeypatch):
    if small_groups:
        monkeypatch.setattr("monosema.activations.contexts.CHARACTERS_AT_ONCE", 100)
    documents = [*documents, "", "x"]
    n = len(all_tokens(tokenizer, documents)) // 23
    for read in (0, 1, 17, n - 1, n, n + n // 2):
        contexts = Contexts(tokenizer, documents, 23, repeat=repeat)
        list(islice(contexts, read))
        again = Contexts(tokenizer, documents, 23, repeat=repeat)
        again.load_state_dict(contexts.state_dict())
        assert again.state_dict() == contexts.state_dict()
        for _ in range(40):
            one, other = next(contexts, None), next(again, None)
            assert (one is None) == (other is None)
            if one is not None and other is not None:
                assert torch.equal(one, other)


def test_the_length_of_the_text_is_known_once_all_of_it_was_read_whatever_was_read_before(tokenizer, documents):
    contexts = Contexts(tokenizer, documents, 23, repeat=True)
    list(islice(contexts, 17))
    again = Contexts(tokenizer, documents, 23, repeat=True)
    again.load_state_dict(contexts.state_dict())
    known = {}
    while again.passes < 3:
        known[again.passes] = again.tokens_in_text
        next(again)
    assert known == {0: None, 1: None, 2: len(all_tokens(tokenizer, documents))}


def test_the_position_names_the_document_of_the_next_token(tokenizer, documents):
    contexts = Contexts(tokenizer, documents, 1)
    place = (0, -1)
    for _ in range(300):
        _, document, token = contexts.position
        assert (document, token) == (place[0], place[1] + 1) or (document, token) == (place[0] + 1, 0)
        assert (next(contexts).item() == tokenizer.bos_token_id) == (token == 0)
        place = (document, token)


def test_a_tokeniser_saved_with_a_cut_still_gives_the_whole_text(tokenizer, documents):
    from copy import deepcopy

    cut = deepcopy(tokenizer)
    cut.backend_tokenizer.enable_truncation(4)
    packed = torch.cat(list(Contexts(cut, documents, 1))).tolist()
    assert packed == all_tokens(tokenizer, documents)
    assert cut.backend_tokenizer.truncation["max_length"] == 4  # the user's own is left as it was


@pytest.mark.parametrize(
    ("tokens", "separator"), [((None, None, None), None), ((None, None, 102), 102), ((None, 0, 102), 0), ((1, 2, 3), 1)]
)
def test_the_separator_is_what_the_tokeniser_has(tokens, separator):
    class Tokenizer:
        bos_token_id, eos_token_id, sep_token_id = tokens

    assert separator_of(Tokenizer()) == separator  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("repeat", [False, True])
@pytest.mark.parametrize("texts", [[], [""], iter([])])
def test_an_empty_text_is_refused(tokenizer, texts, repeat):
    with pytest.raises(InputError, match="the text is empty"):
        next(Contexts(tokenizer, texts, 4, repeat=repeat))


def test_an_iterator_cannot_be_repeated(tokenizer):
    contexts = Contexts(tokenizer, iter(["abc"]), 4, repeat=True)
    with pytest.raises(InputError, match="only once"):
        list(islice(contexts, 10))


def test_bad_lengths_texts_and_tokenisers_are_refused(tokenizer):
    with pytest.raises(InputError, match="contexts of 0 tokens"):
        Contexts(tokenizer, ["x"], 0)
    with pytest.raises(InputError, match="without a tokeniser"):
        Contexts(None, ["x"], 4)
    with pytest.raises(InputError, match=r"document 1 .*of type int"):
        next(Contexts(tokenizer, ["x", 3], 4))
    with pytest.raises(InputError, match="document 1 is no valid Unicode"):
        next(Contexts(tokenizer, ["x", "\ud800"], 4))


def test_going_on_in_another_text_is_refused(tokenizer, documents):
    contexts = Contexts(tokenizer, documents, 100)
    list(islice(contexts, 5))
    other = Contexts(tokenizer, documents[:2], 100)
    other.load_state_dict(contexts.state_dict())
    with pytest.raises(InputError, match="the text ends after 2 documents"):
        next(other)
    other = Contexts(tokenizer, ["x"] * 60, 100)
    other.load_state_dict({"passes": 0, "document": 0, "token": 50})
    with pytest.raises(InputError, match="was to go on at 50"):
        next(other)


def test_taking_contexts_rounds_up_and_stops_at_the_end(tokenizer, documents):
    tokens = torch.tensor(all_tokens(tokenizer, documents))
    taken = take_contexts(Contexts(tokenizer, documents, 10), 41)
    assert torch.equal(taken, tokens[:50].view(5, 10))
    everything = take_contexts(Contexts(tokenizer, documents, 10), 10**9)
    assert torch.equal(everything.flatten(), tokens[: len(tokens) // 10 * 10])


def test_taking_contexts_from_too_little_text_is_refused(tokenizer):
    with pytest.raises(InputError, match="fewer tokens than one context of 100"):
        take_contexts(Contexts(tokenizer, ["abc"], 100), 100)
    with pytest.raises(InputError, match="0 tokens"):
        take_contexts(Contexts(tokenizer, ["abc"], 1), 0)
