from functools import reduce
from itertools import pairwise
from operator import add

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from monosema.evaluation.sparsity import DENSITY_EDGES, sparsity_sums
from tests.evaluation.helpers import assert_same

HAND_MADE = torch.tensor(
    [
        [0.0, 2.0, 0.0, 0.0],
        [1.0, 3.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0],
        [0.0, 0.5, 0.0, -0.5],
    ]
)


def sums(codes: Tensor, cuts: tuple[int, ...] = ()):
    edges = [0, *sorted(cuts), len(codes)]
    return reduce(add, (sparsity_sums(codes[a:b]) for a, b in pairwise(edges)))


def random_codes(n: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.rand(n, width, generator=generator)
    return codes * (torch.rand(n, width, generator=generator) < torch.logspace(-4, 0, width))


def test_l0_l1_and_densities_are_those_counted_by_hand():
    s = sums(HAND_MADE)
    m = s.metrics()
    assert m.l0 == 5 / 4
    assert m.l1 == 7 / 4
    assert m.alive == 3 / 4
    assert s.density().tolist() == [0.25, 0.75, 0, 0.25]
    assert (m.denser_than_1_percent, m.denser_than_10_percent) == (0.75, 0.75)
    assert sum(m.density_histogram) == 3


def test_alive_grows_with_the_number_of_tokens():
    s = sums(random_codes(3000, 64))
    shares = [s.alive(n) for n in (1, 10, 100, 1000, 3000)]
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


@pytest.mark.parametrize("n", [0, 1, 7, 30])
def test_alive_over_the_first_tokens_is_that_of_these_tokens_alone(n: int):
    codes = random_codes(30, 16)
    assert sums(codes, cuts=(4, 9, 9, 25)).alive(n) == (codes[:n] != 0).any(0).double().mean().item()


def test_alive_over_8192_tokens_needs_as_many():
    codes = random_codes(9000, 32)
    m = sums(codes, cuts=(8000,)).metrics()
    assert m.alive_8192 == (codes[:8192] != 0).any(0).double().mean().item()
    assert sums(codes[:8191]).metrics().alive_8192 is None


def test_shares_of_dense_features_count_strictly_above():
    codes = torch.zeros(100, 4)
    for feature, fires in enumerate([1, 2, 10, 11]):
        codes[:fires, feature] = 1
    m = sums(codes).metrics()
    assert (m.denser_than_1_percent, m.denser_than_10_percent) == (0.75, 0.25)


def test_histogram_counts_each_live_feature_in_its_bin():
    codes = torch.zeros(1000, 5)
    for feature, fires in enumerate([1000, 500, 3, 1, 0]):  # log10: 0, −0.30, −2.52, −3, never
        codes[:fires, feature] = 1
    histogram = sums(codes).metrics().density_histogram
    assert len(histogram) == len(DENSITY_EDGES) - 1
    bins = {round(DENSITY_EDGES[i], 2): n for i, n in enumerate(histogram) if n}
    assert bins == {-0.25: 1, -0.5: 1, -2.75: 1, -3.0: 1}


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 50), max_size=8), seed=st.integers(0, 99))
def test_no_metric_depends_on_the_cut_into_batches(cuts: list[int], seed: int):
    codes = random_codes(50, 12, seed)
    whole, cut = sums(codes), sums(codes, tuple(cuts))
    assert_same(cut.metrics(), whole.metrics(), rel=1e-12)
    assert torch.equal(cut.density(), whole.density())


def test_l1_of_half_precision_codes_is_summed_in_full_precision():
    codes = torch.full((3, 1000), 0.01).bfloat16()
    assert sums(codes).metrics().l1 == pytest.approx(codes.double().sum(1).mean().item(), rel=1e-6)
