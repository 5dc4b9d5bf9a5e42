"""Where JumpReLU's thresholds and bandwidths start."""

from typing import Any

import pytest
import torch

from monosema.dictionaries import Spec
from monosema.errors import InputError
from monosema.recipes.jumprelu import JumpReLURecipe, jumprelu_of
from monosema.recipes.jumprelu_tanh import JumpReLUTanhRecipe
from monosema.training import Learner

WIDTH, TARGET = 64, 6.0
ROWS = torch.randn(2000, 16, generator=torch.Generator().manual_seed(0))


def started(**options: Any) -> Learner:
    recipe = JumpReLURecipe(target_l0=TARGET, **options)
    return Learner(Spec.autoencoder("x", 16, WIDTH), recipe, {"x": ROWS}, steps=10, batch_size=100)


def active(learner: Learner) -> float:
    return (learner.finished().encode(ROWS) != 0).sum(1).float().mean().item()


def test_auto_starts_where_a_quarter_of_all_features_are_active_and_estimates_up_to_a_third_of_those_wanted():
    learner = started()
    assert active(learner) == pytest.approx(WIDTH / 4, rel=0.01)
    jumprelu = jumprelu_of(learner.dictionary)
    jumprelu.threshold.data.fill_(jumprelu.bandwidth.item())
    assert active(learner) == pytest.approx(TARGET / 3, rel=0.01)


def test_auto_follows_the_size_of_the_encoder():
    large, small = (jumprelu_of(started(encoder_scale=scale).dictionary).start for scale in (0.5, 0.1))
    assert large == pytest.approx(5 * small, rel=1e-4)


def test_what_is_given_stays():
    jumprelu = jumprelu_of(started(threshold=0.03, bandwidth=0.02).dictionary)
    assert torch.equal(jumprelu.threshold, torch.full((WIDTH,), 0.03))
    assert jumprelu.bandwidth.item() == pytest.approx(0.02)


def test_rows_of_nothing_leave_thresholds_above_zero():
    constant = torch.ones(100, 16)
    learner = Learner(Spec.autoencoder("x", 16, WIDTH), JumpReLURecipe(), {"x": constant}, steps=10, batch_size=100)
    jumprelu = jumprelu_of(learner.dictionary)
    assert (jumprelu.threshold > 0).all()
    assert jumprelu.bandwidth > 0


@pytest.mark.parametrize("wanted", [10_000, WIDTH // 4])
def test_with_the_tanh_penalty_each_feature_starts_active_on_as_many_rows(wanted: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("monosema.recipes.jumprelu_tanh.ACTIVE_AT_START", wanted)
    learner = Learner(Spec.autoencoder("x", 16, WIDTH), JumpReLUTanhRecipe(), {"x": ROWS}, steps=10, batch_size=100)
    shares = (learner.finished().encode(ROWS) != 0).float().mean(0)
    torch.testing.assert_close(shares, torch.full((WIDTH,), min(wanted / WIDTH, 0.5)), rtol=0, atol=2 / len(ROWS))


@pytest.mark.parametrize("options", [{"threshold": -0.1}, {"bandwidth": 0.0}])
def test_what_makes_no_sense_is_refused(options: dict[str, Any]):
    with pytest.raises(InputError):
        JumpReLURecipe(**options)
