import pytest
import torch

from monosema.activations import Keep
from monosema.activations.filters import from_position, norm_limit, not_special, within_norm
from monosema.errors import InputError


def test_positions_before_the_first_are_left_out_of_every_context():
    ids = torch.zeros(2, 4, dtype=torch.long)
    assert from_position(ids, 0).all()
    assert from_position(ids, 3).tolist() == [[False, False, False, True]] * 2


def test_special_tokens_are_left_out_wherever_they_stand():
    ids = torch.tensor([[0, 5, 2], [7, 0, 1]])
    assert not_special(ids, frozenset({0, 2})).tolist() == [[False, True, False], [True, False, True]]
    assert not_special(ids, frozenset()).all()


def test_the_norm_limit_is_a_multiple_of_the_median():
    norms = torch.tensor([1.0, 2.0, 3.0, 4.0, 1000.0])
    assert norm_limit(norms, 10) == 30
    assert within_norm(norms, 30).tolist() == [True] * 4 + [False]
    assert within_norm(torch.tensor([0.0, 5.0]), norm_limit(torch.zeros(3), 10)).all()


@pytest.mark.parametrize("bad", [{"first_position": -1}, {"max_norm": 0.0}, {"max_norm": float("nan")}])
def test_settings_without_a_meaning_are_refused(bad):
    with pytest.raises(InputError):
        Keep(**bad)
