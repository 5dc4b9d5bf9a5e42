import json

import pytest

from monosema.dashboard.embed import compact_json, embedded_json
from tests.dashboard.hostile import WORDS


@pytest.mark.parametrize("text", [*WORDS, "\u2028\u2029", "\\u003c", '"', "\\"])
def test_any_text_comes_back_and_nothing_of_it_can_end_an_element(text: str):
    embedded = embedded_json({text: [text]})
    assert json.loads(embedded) == {text: [text]}
    assert embedded.isascii()
    assert not set("<>&\u2028\u2029") & set(embedded)


def test_numbers_are_short_and_whole_ones_stay_whole():
    assert compact_json([1 / 3, 2e-7, 123456789, 5.0, -0.0, True]) == "[0.3333,2e-07,123456789,5,0,true]"
    assert json.loads(compact_json([123456.789])) == [123500]


def test_what_is_not_finite_is_null():
    assert compact_json({"a": (float("nan"), float("inf"), -float("inf"))}) == '{"a":[null,null,null]}'


def test_what_is_no_json_is_refused():
    with pytest.raises(TypeError):
        compact_json({"a": {1, 2}})
