"""A state comes back from its file as it was, or the file is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monosema.errors import InputError
from monosema.training.state_file import Snapshot, read_state
from tests.same import same

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
DTYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float64, torch.int64, torch.uint8, torch.bool])
SHAPES = st.lists(st.integers(0, 3), max_size=3)
TENSORS = st.builds(lambda shape, dtype: (100 * torch.rand(shape)).to(dtype), SHAPES, DTYPES)
STATES = st.recursive(
    PLAIN | TENSORS,
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.lists(inside, max_size=3).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inside, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None, max_examples=60)
@given(state=STATES)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, state: Any):
    path = tmp_path_factory.mktemp("state") / "a.safetensors"
    Snapshot(state).write(path)
    assert same(read_state(path), state)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_tensors_that_share_memory_or_lie_otherwise_in_it_come_back_each_by_itself(tmp_path: Path):
    base = torch.arange(12.0).view(3, 4)
    Snapshot([base, base.T, base[1], base]).write(tmp_path / "a")
    found = read_state(tmp_path / "a")
    assert all(map(torch.equal, found, [base, base.T, base[1], base]))


def test_a_snapshot_does_not_change_with_what_it_was_taken_of(tmp_path: Path):
    tensor = torch.zeros(3)
    snapshot = Snapshot({"x": tensor})
    tensor.fill_(1.0)
    snapshot.write(tmp_path / "a")
    assert read_state(tmp_path / "a")["x"].tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("value", [{"x": object()}, {1.5: "x"}, [{True: 1}]])
def test_what_has_no_place_in_a_state_is_refused(value: Any):
    with pytest.raises(TypeError, match="state"):
        Snapshot(value)


def test_a_file_cut_short_is_refused_wherever_it_was_cut(tmp_path: Path):
    Snapshot({"x": torch.rand(50), "step": 3}).write(tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    for length in (0, 5, 8, 60, len(content) // 2, len(content) - 1):
        (tmp_path / "cut").write_bytes(content[:length])
        with pytest.raises(InputError, match="cut is damaged"):
            read_state(tmp_path / "cut")


def test_another_format_and_no_file_are_named(tmp_path: Path):
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "a", {"format": "monosema-state/99"})
    with pytest.raises(InputError, match=r"'monosema-state/99'.*expected 'monosema-state/3'"):
        read_state(tmp_path / "a")
    with pytest.raises(InputError, match="no file"):
        read_state(tmp_path / "b")
