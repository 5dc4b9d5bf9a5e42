"""Descriptions are kept by feature and by what wrote them, and read as they were written."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monosema.errors import InputError
from monosema.features.descriptions import DESCRIPTIONS, Description, read_descriptions, write_descriptions

scores = st.none() | st.floats(0, 1)
descriptions = st.builds(
    Description,
    st.integers(0, 5),
    st.sampled_from(["rules", "judge", "ün/model"]),
    st.text(),
    scores,
    st.none() | st.tuples(st.floats(0, 1), st.floats(0, 1)),
    st.dictionaries(st.text(max_size=3), scores, max_size=3),
)


@given(st.lists(descriptions, max_size=8), st.lists(descriptions, max_size=8))
def test_what_is_written_is_read_and_later_words_replace_earlier_ones(
    tmp_path_factory: pytest.TempPathFactory, first: list[Description], second: list[Description]
):
    folder = tmp_path_factory.mktemp("store")
    write_descriptions(folder, first)
    write_descriptions(folder, second)
    expected = {(d.feature, d.method): d for d in [*first, *second]}
    found = read_descriptions(folder)
    assert {(d.feature, d.method): d for own in found.values() for d in own} == expected
    assert all(own == sorted(own, key=lambda d: d.method) for own in found.values())
    assert [path.name for path in folder.iterdir()] == [DESCRIPTIONS]


def test_where_nothing_was_said_there_is_nothing(tmp_path: Path):
    assert read_descriptions(tmp_path) == {}


@pytest.mark.parametrize(
    "line", ["no", "[]", '{"feature": "1"}', '{"feature": 1, "method": "m", "text": 1, "score": 1}']
)
def test_a_damaged_file_is_refused(tmp_path: Path, line: str):
    (tmp_path / DESCRIPTIONS).write_text(line + "\n", encoding="utf-8")
    with pytest.raises(InputError, match="line 1"):
        read_descriptions(tmp_path)


def test_a_line_for_a_terminal_holds_nothing_that_moves_it():
    said = Description(1, "rules", "on \x1b[2J\n", 0.9, (0.812, 0.95))
    assert said.line() == "on ·[2J⏎  (rules; score 0.90, 0.81 to 0.95)"
    assert Description(1, "judge", "x", None).line() == "x  (judge; not scored)"
