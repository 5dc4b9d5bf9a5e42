"""What is kept of a text is spread over it, and never too much."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monosema.features.sample import SpreadSample
from monosema.kernels import nonzero


def blocks(sizes: list[int]) -> list[torch.Tensor]:
    """Each row names its block: feature 0 has its number, so that one can see which are kept."""
    return [torch.full((size, 2), 1.0 + i) * torch.tensor([1.0, i % 2]) for i, size in enumerate(sizes)]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.integers(1, 100))
def test_a_short_text_is_kept_whole_and_of_a_long_one_no_more_than_asked_for(sizes: list[int], most: int):
    sample = SpreadSample(2, most)
    for block in blocks(sizes):
        sample.add(nonzero(block))
    if sum(sizes) <= most:
        assert len(sample) == sum(sizes)
    else:
        assert len(sample) <= max(most, max(sizes))
    assert sample.fires().shape == (len(sample), 2)


@pytest.mark.parametrize("most", [20, 33, 64])
def test_of_even_blocks_those_at_even_distances_are_kept(most: int):
    sample, all_blocks = SpreadSample(2, most), blocks([4] * 100)
    for block in all_blocks:
        sample.add(nonzero(block))
    assert most / 2 - 4 <= len(sample) <= most
    first = [int(codes.values[0]) - 1 for codes in sample._kept]
    step = first[1] - first[0]
    assert first == list(range(0, 100, step))
    dense = torch.cat([all_blocks[i] for i in first]) != 0
    assert sample.fires().toarray().tolist() == dense.float().tolist()
