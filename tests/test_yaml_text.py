"""Plain values as YAML: what is written is read, by us and by others."""

from collections.abc import Mapping

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from monosema.errors import InputError
from monosema.yaml_text import parse, render


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("1e-3", 1e-3), ("-2E+5", -2e5), ("1.5e3", 1500.0), (".5", 0.5), ("3.", 3.0), ("-.inf", float("-inf"))],
        *[("12", 12), ("1_000", 1000), ("-0", 0), ("010", "010"), ("1:30", "1:30"), ("2024-01-01", "2024-01-01")],
        *[("true", True), ("yes", "yes"), ("no", "no"), ("off", "off"), ("~", None), ("null", None), ("", None)],
        *[('"1e-3"', "1e-3"), ("e3", "e3"), ("1e", "1e"), (".", "."), ("<<", "<<"), ("a e3", "a e3")],
    ],
)
def test_plain_scalars_are_read_as_in_yaml_1_2(text: str, value: object):
    assert parse(text, "here") == value
    assert type(parse(text, "here")) is type(value)


_plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.from_regex(r"[-+0-9_.:eE]{1,8}", fullmatch=True),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


@given(_plain)
def test_plain_values_come_back_from_their_yaml(value: object):
    assert parse(render(value), "here") == value


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.booleans() | st.none()))
def test_our_yaml_means_the_same_to_a_reader_of_yaml_1_1(value: Mapping[str, object]):
    assert yaml.safe_load(render(value)) == value


@pytest.mark.parametrize("content", ["a: " + "9" * 5_000, "[" * 20_000])
def test_numbers_and_nesting_beyond_all_bounds_are_refused(content: str):
    with pytest.raises(InputError, match=r"run\.yaml is not valid YAML"):
        parse(content, "run.yaml")
