"""Entries that come token after token are given back feature after feature, however many are held at once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monosema.features.sorting import Group, Sorter
from monosema.kernels import nonzero


def random_codes(rows: int, width: int, density: float, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand(rows, width, generator=generator) < density
    return torch.randn(rows, width, generator=generator) * mask


def sorted_(codes: torch.Tensor, tokens: torch.Tensor, at_a_time: int, folder: Path, **limits: int) -> list[Group]:
    sorter = Sorter(folder, codes.shape[1], limits["entries"])
    for part, own in zip(codes.split(at_a_time), tokens.split(at_a_time), strict=True):
        sorter.add(nonzero(part), own)
    return list(sorter.groups(limits["at_once"]))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.integers(1, 30),
    width=st.integers(1, 9),
    density=st.sampled_from([0.0, 0.2, 1.0]),
    at_a_time=st.integers(1, 31),
    entries=st.integers(1, 300),
    at_once=st.integers(1, 300),
    seed=st.integers(0, 10**6),
)
def test_runs_of_any_size_are_merged_as_a_dense_sort_would(
    tmp_path_factory: pytest.TempPathFactory,
    rows: int,
    width: int,
    density: float,
    at_a_time: int,
    entries: int,
    at_once: int,
    seed: int,
):
    codes = random_codes(rows, width, density, seed)
    tokens = 3 * torch.arange(rows) + 1  # not all tokens are there
    folder = tmp_path_factory.mktemp("sorter")
    groups = sorted_(codes, tokens, at_a_time, folder, entries=entries, at_once=at_once)
    expected = codes.T.nonzero()
    assert [group.first for group in groups] == np.cumsum([0, *(len(g.offsets) - 1 for g in groups)])[:-1].tolist()
    assert sum(len(group.offsets) - 1 for group in groups) == width
    found = [
        (group.first + own, int(group.tokens[i]), float(group.values[i]))
        for group in groups
        for own, (begin, end) in enumerate(zip(group.offsets[:-1], group.offsets[1:], strict=True))
        for i in range(begin, end)
    ]
    assert found == [(f, 3 * r + 1, codes[r, f].item()) for f, r in expected.tolist()]
    for group in groups:
        assert group.offsets[-1] == len(group.tokens) == len(group.values)
        assert len(group.tokens) <= at_once or len(group.offsets) == 2


def test_counts_are_of_all_that_was_added(tmp_path: Path):
    codes = random_codes(50, 7, 0.3, 0)
    sorter = Sorter(tmp_path, 7, 11)
    for first, part in enumerate(codes.split(10)):
        sorter.add(nonzero(part), torch.arange(10) + 10 * first)
    assert sorter.counts().tolist() == (codes != 0).sum(0).tolist()
    assert sorter.counts().tolist() == (codes != 0).sum(0).tolist()
    assert len(list(tmp_path.iterdir())) > 2  # or nothing was merged


def test_without_entries_every_feature_is_there_and_empty(tmp_path: Path):
    sorter = Sorter(tmp_path, 5)
    groups = list(sorter.groups())
    assert sum(len(group.offsets) - 1 for group in groups) == 5
    assert not any(len(group.tokens) for group in groups)


def test_values_are_float32_whatever_the_codes_are(tmp_path: Path):
    codes = random_codes(20, 4, 0.5, 1)
    for kind in (torch.float64, torch.bfloat16):
        sorter = Sorter(tmp_path / str(kind), 4)
        sorter.folder.mkdir()
        sorter.add(nonzero(codes.to(kind)), torch.arange(20))
        (group,) = sorter.groups()
        assert group.values.dtype == np.float32
        assert group.tokens.dtype == np.int32
        assert group.values.tolist() == codes.to(kind).float().T[codes.T != 0].tolist()
