"""The truth itself scores best, and no figure depends on how rows were cut into batches."""

from functools import reduce
from itertools import pairwise, permutations
from operator import add

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from monosema.dictionaries import Dictionary, ReLU
from monosema.errors import InputError
from monosema.evaluation.known_truth import (
    Matching,
    cosine_table,
    count_duplicates,
    evaluate_truth,
    firing_sums,
    match_features,
    uniqueness,
)
from tests.evaluation.helpers import assert_same, spec


def directions(n: int, d: int, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=1)


def sparse(rows: int, n: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(rows, n, generator=generator) * (torch.rand(rows, n, generator=generator) < 0.3)


@given(st.integers(0, 99), st.integers(1, 8), st.integers(0, 4))
def test_permuted_scaled_truth_among_others_matches_itself(seed: int, n: int, extra: int):
    truth = directions(n, 12, seed)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(n + extra, generator=generator)
    sizes = 0.1 + torch.rand(n, 1, generator=generator)
    learned = torch.cat([truth * sizes, torch.zeros(extra, 12)])[order]
    matching = match_features(truth, learned)
    assert matching.mcc == pytest.approx(1, abs=1e-6)
    assert torch.equal(order[matching.learned], matching.true)


@given(st.integers(0, 99))
def test_the_matching_is_the_best_of_all(seed: int):
    truth, learned = directions(4, 3, seed), directions(6, 3, seed + 1)
    cosines = truth @ learned.T
    best = max(sum(cosines[i, j].item() for i, j in enumerate(chosen)) for chosen in permutations(range(6), 4))
    for matching in (match_features(truth, learned), match_features(learned, truth)):
        assert 4 * matching.mcc == pytest.approx(best, abs=1e-5)


def test_opposite_and_dead_directions_have_found_nothing():
    truth = torch.eye(3)
    assert match_features(truth, -truth).mcc == pytest.approx(0, abs=1e-6)
    assert match_features(truth, torch.zeros(5, 3)).mcc == 0
    assert match_features(truth[:1], -truth[:1]).mcc == -1


def test_duplicates_and_uniqueness_of_hand_made_directions():
    truth = torch.eye(4)[:3]
    learned = torch.tensor([[1, 0, 0, 0], [1, 0.1, 0, 0], [0, 1, 0, 0], [0, 0.6, 0, 0.8], [0.1, 0, 1.0, 0]])
    cosines = cosine_table(truth, learned)
    assert count_duplicates(cosines) == 1  # the second; the fourth is nearest to a true direction, but not near
    assert uniqueness(cosines) == 3 / 5
    assert count_duplicates(cosine_table(truth, truth)) == 0
    assert uniqueness(cosine_table(truth, truth)) == 1


def hand_made() -> tuple[Tensor, Tensor, Matching]:
    true = torch.tensor([[1.0, 0.0], [2.0, 3.0], [0.0, 0.0], [4.0, 0.0], [0.0, 0.0]])
    learned = torch.tensor([[0.0, 0.5], [0.0, 1.0], [0.0, 9.0], [1.0, 0.0], [0.0, 9.0]])
    return true, learned, Matching(torch.tensor([0, 1]), torch.tensor([1, 0]), torch.ones(2))


def test_precision_recall_and_shrinkage_are_those_counted_by_hand():
    sums = firing_sums(*hand_made(), norms=torch.tensor([1.0, 2.0]))
    assert sums.precision().tolist() == pytest.approx([2 / 4, 0])
    assert sums.recall().tolist() == pytest.approx([2 / 3, 0])
    assert sums.f1().tolist() == pytest.approx([4 / 7, 0])
    assert sums.shrinkage()[0].item() == pytest.approx(2 * 1.5 / 3)
    assert sums.shrinkage()[1].isnan()
    assert (sums.active, sums.true_active) == (5, 4)


def test_features_that_never_fire_have_neither_precision_nor_recall():
    _, learned, matching = hand_made()
    sums = firing_sums(torch.zeros(5, 2), torch.zeros_like(learned), matching, torch.ones(2))
    for values in (sums.precision(), sums.recall(), sums.f1()):
        assert values.tolist() == [0, 0]


@given(st.lists(st.integers(0, 40), max_size=5), st.integers(0, 9))
def test_no_sum_depends_on_the_cut_into_batches(cuts: list[int], seed: int):
    true, learned = sparse(40, 6, seed), sparse(40, 9, seed + 1)
    matching = match_features(directions(6, 4, seed), directions(9, 4, seed + 1))
    norms = torch.rand(9, generator=torch.Generator().manual_seed(seed))
    whole = firing_sums(true, learned, matching, norms)
    edges = [0, *sorted(cuts), 40]
    parts = reduce(add, (firing_sums(true[a:b], learned[a:b], matching, norms) for a, b in pairwise(edges)))
    for name, value in vars(whole).items():
        torch.testing.assert_close(torch.as_tensor(getattr(parts, name)), torch.as_tensor(value))


def exact(order: Tensor, scale: float = 1.0) -> Dictionary:
    """Reads orthogonal features off the activations, in another order."""
    n = len(order)
    dictionary = Dictionary(spec(n, n), ReLU(n)).eval()
    with torch.no_grad():
        dictionary.W_enc.copy_(scale * torch.eye(n)[order].T)
        dictionary.W_dec.copy_(torch.eye(n)[order])
    return dictionary


@pytest.mark.parametrize("scale", [1.0, 0.7])
def test_a_dictionary_that_is_the_truth_is_perfect_but_for_its_scale(scale: float):
    codes = sparse(200, 8)
    found, matching, sums = evaluate_truth(exact(torch.randperm(8), scale), torch.eye(8), [(codes, codes)])
    assert (found.mcc, found.found, found.precision, found.recall, found.f1) == (1, 1, 1, 1, 1)
    assert (found.duplicates, found.uniqueness, found.rows) == (0, 1, 200)
    assert found.shrinkage == pytest.approx(scale)
    assert found.l0 == found.true_l0 == (codes != 0).sum().item() / 200
    assert len(matching.true) == len(sums.f1()) == 8


def test_metrics_are_the_same_however_rows_are_cut_and_whatever_the_mode():
    dictionary, codes = exact(torch.randperm(8)).train(), sparse(3000, 8)
    one = evaluate_truth(dictionary, directions(8, 8), [(codes, codes)])[0]
    other = evaluate_truth(dictionary, directions(8, 8), zip(codes.split(7), codes.split(7), strict=True))[0]
    assert_same(one, other, rel=1e-9)
    assert dictionary.training


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InputError, match="shapes"):
        match_features(torch.eye(3), torch.eye(4))
    with pytest.raises(InputError, match="NaN"):
        match_features(torch.eye(3), torch.full((3, 3), torch.nan))
    with pytest.raises(InputError, match="no rows"):
        evaluate_truth(exact(torch.arange(4)), torch.eye(4), [])
