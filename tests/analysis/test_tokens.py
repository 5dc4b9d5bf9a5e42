import pytest

from monosema.analysis import token_strings
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


def test_without_a_tokeniser_tokens_are_shown_by_number():
    assert token_strings(None, [4, 7, 9], 1) == ["[7]", "[9]"]
