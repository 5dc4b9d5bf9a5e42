"""Ranks: how they are laid out, and what they tell each other."""

import pytest

from monosema.errors import InputError
from monosema.planning import Mesh, hardware, meshes
from monosema.planning.mesh import gather_bytes, rate, reduce_bytes


@pytest.mark.parametrize(("ranks", "dictionaries"), [(1, 3), (8, 1), (8, 3), (12, 32)])
def test_every_way_to_lay_out_ranks_uses_all_of_them(ranks: int, dictionaries: int):
    found = list(meshes(ranks, dictionaries))
    assert all(mesh.data * mesh.spread * mesh.feature == ranks for mesh in found)
    assert all(mesh.spread <= dictionaries for mesh in found)
    assert len(set(found)) == len(found)
    assert {Mesh(ranks), Mesh(ranks, feature=ranks)} <= set(found)


def test_ranks_that_cannot_be_laid_out_are_refused():
    with pytest.raises(InputError, match="8 ranks for feature 3 · spread 1; expected a multiple of 3"):
        Mesh(8, 3)


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_a_ring_sends_what_the_formula_says(ranks: int):
    """Simulated: each rank has a part for each rank; sums go round the ring, then the results do."""
    size, sent = 24 * ranks, 0
    numbers = [[rank * 10 + part for part in range(ranks)] for rank in range(ranks)]
    total = [sum(column) for column in zip(*numbers, strict=True)]
    for step in range(2 * (ranks - 1)):
        for rank, part in [(rank, (rank - step) % ranks) for rank in range(ranks)]:
            to, value = (rank + 1) % ranks, numbers[rank][part]
            numbers[to][part] = numbers[to][part] + value if step < ranks - 1 else value
            sent += size // ranks
    assert numbers == [total] * ranks
    assert sent / ranks == reduce_bytes(size, ranks)


def test_showing_each_other_everything_brings_what_the_others_have():
    assert gather_bytes(100, 1) == 0
    assert gather_bytes(100, 4) == 300


def test_a_group_of_several_machines_is_as_fast_as_their_network():
    h100 = hardware("h100")
    assert (rate(h100, 8), rate(h100, 9)) == (h100.link, h100.network)
