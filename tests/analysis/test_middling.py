import pytest
import torch

from monosema.analysis import middling_features
from monosema.errors import InputError


def density(width: int = 200) -> torch.Tensor:
    values = 10 ** -torch.linspace(0.5, 5, width, dtype=torch.float64)
    values[::3] = 0
    return values[torch.randperm(width, generator=torch.Generator().manual_seed(0))]


def test_chosen_features_are_around_the_median_of_the_live_ones():
    d = density()
    live = d[d > 0]
    low, high = live.quantile(0.39), live.quantile(0.61)
    chosen = d[middling_features(d, 12)]
    assert ((chosen >= low) & (chosen <= high)).all()


def test_the_choice_is_distinct_and_depends_on_the_seed_alone():
    d = density()
    chosen = middling_features(d, 6, seed=3)
    assert len(set(chosen)) == 6
    assert chosen == middling_features(d.clone(), 6, seed=3)
    assert chosen != middling_features(d, 6, seed=4)


def test_few_live_features_are_all_given():
    assert middling_features(torch.tensor([0.0, 0.2, 0.0, 0.1]), 5) == [1, 3]


@pytest.mark.parametrize(("d", "n"), [(torch.zeros(4), 5), (torch.ones(4), 0)])
def test_nothing_to_choose_from_is_refused(d: torch.Tensor, n: int):
    with pytest.raises(InputError):
        middling_features(d, n)
