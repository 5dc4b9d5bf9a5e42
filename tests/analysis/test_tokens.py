from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monosema.analysis import TokenTexts, token_strings
from monosema.models import load_model

TOKENIZER = load_model("tiny", device="cpu").tokenizer
TEXT = "def f(x):\n\treturn 'naïve — 漢字 🙂'  # done\n"


def ids() -> list[int]:
    assert TOKENIZER is not None
    return list(TOKENIZER(TEXT, add_special_tokens=False)["input_ids"])


def test_strings_join_to_the_text_though_characters_span_tokens():
    strings = token_strings(TOKENIZER, ids())
    assert "".join(strings) == TEXT
    assert len(strings) == len(ids())
    assert "" in strings  # or this text tests nothing


@pytest.mark.parametrize("first", range(0, 24, 3))
def test_a_later_beginning_gives_the_same_strings(first: int):
    assert token_strings(TOKENIZER, ids(), first) == token_strings(TOKENIZER, ids())[first:]


def test_a_text_cut_inside_a_character_still_has_a_string_for_each_token():
    whole = ids()
    cut = next(i for i, s in enumerate(token_strings(TOKENIZER, whole)) if s == "")
    assert len(token_strings(TOKENIZER, whole[: cut + 1])) == cut + 1


class Counting:
    """A tokeniser that counts the tokens that it has decoded."""

    all_special_ids: tuple[int, ...] = ()

    def __init__(self):
        self.decoded = 0

    def decode(self, ids: list[int], **options: Any) -> str:
        assert TOKENIZER is not None
        self.decoded += len(ids)
        return str(TOKENIZER.decode(ids, **options))


@pytest.mark.parametrize(
    "text", ["x = 1\n", "漢", "🙂", "a🙂", None], ids=["words", "three", "four", "mixed", "broken"]
)
def test_time_is_linear_in_the_length(text: str | None):
    """As many tokens are decoded as there are, a few times, also in a run of bytes that are no character."""
    assert TOKENIZER is not None
    own = encoded("漢")[:1] if text is None else encoded(text)
    ids = (own * 600)[:600]
    tokenizer: Any = Counting()
    strings = token_strings(tokenizer, ids)
    assert "".join(strings) == TOKENIZER.decode(ids)
    assert len(strings) == 600
    assert tokenizer.decoded <= 20 * 600
    if text is None:
        assert sum(one != "" for one in strings) > 100  # told as they come


def test_without_a_tokeniser_tokens_are_shown_by_number():
    assert token_strings(None, [4, 7, 9], 1) == ["[7]", "[9]"]


HARD = "aé漢🙂👩‍💻 \n\ufffd\u0301()x"
PLACES = st.tuples(st.text(alphabet=HARD, max_size=20), st.integers(0, 8), st.integers(0, 8))


def encoded(text: str) -> list[int]:
    assert TOKENIZER is not None
    return list(TOKENIZER(text, add_special_tokens=False)["input_ids"])


@settings(max_examples=100, deadline=None)
@given(PLACES)
def test_texts_of_a_context_join_to_what_the_tokeniser_decodes(place: tuple[str, int, int]):
    """Also where the context cuts characters at its ends."""
    text, begin, end = place
    cut = encoded(text)[begin:]
    cut = cut[: max(len(cut) - end, 0)]
    texts = TokenTexts(TOKENIZER)(cut)
    assert TOKENIZER is not None
    assert len(texts) == len(cut)
    assert "".join(texts) == TOKENIZER.decode(cut)


def test_texts_of_whole_characters_are_those_of_token_strings():
    texts = TokenTexts(TOKENIZER)
    for text in (TEXT, "👩‍💻" * 3, "漢字 kana かな", ""):
        assert texts(encoded(text)) == token_strings(TOKENIZER, encoded(text))
        assert "".join(texts(encoded(text))) == text


def test_a_token_has_the_same_text_wherever_it_stands():
    texts, all_ids = TokenTexts(TOKENIZER), ids()
    alone = texts([all_ids[0]])
    assert texts(all_ids)[0] == alone[0]
    assert texts([all_ids[3], all_ids[0]])[1] == alone[0]


def test_special_tokens_are_shown():
    assert TOKENIZER is not None
    special = TOKENIZER.bos_token_id
    assert isinstance(special, int)
    assert TokenTexts(TOKENIZER)([special, *encoded("x")]) == [TOKENIZER.decode([special]), "x"]


def test_without_a_tokeniser_texts_are_numbers():
    assert TokenTexts(None)([4, 7]) == ["[4]", "[7]"]


def test_a_word_keeps_its_space_where_the_tokeniser_drops_that_of_a_first_one():
    """Of a tokeniser in the manner of SentencePiece, whose decoder strips the text's first space."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<unk>": 0, "▁a": 1, "▁the": 2, "▁cat": 3, "s": 4}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made)
    assert tokenizer.decode([2, 3, 4]) == "the cats"
    assert TokenTexts(tokenizer)([2, 3, 4]) == [" the", " cat", "s"]
