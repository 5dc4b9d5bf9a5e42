"""What cannot be replaced is refused, and nothing of it stays behind."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from monosema.errors import InputError
from monosema.models import Replacement, load_model, replacing
from tests.models.test_replace import UsesSplits, double, output
from tests.models.tiny_families import build, hooks_of


def test_a_point_that_runs_after_the_one_written_cannot_be_read(ids: Tensor):
    model = build("llama")
    late = Replacement("mlp_out.1", double, reads=("resid_post.1",))
    with (
        replacing(model, [late]),
        pytest.raises(InputError, match=r"'resid_post\.1' has not been computed when 'mlp_out\.1'"),
    ):
        model.run(ids)


class Sometimes(nn.Module):
    def __init__(self):
        super().__init__()
        self.sometimes, self.always = nn.Identity(), nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.always(self.sometimes(x) if x.sum() > 0 else x)


def test_a_pass_never_sees_what_an_earlier_one_left():
    model = load_model(Sometimes())
    with replacing(model, [Replacement("always", double, reads=("sometimes",))]):
        assert torch.equal(model.run(torch.ones(2)), torch.full((2,), 2.0))
        with pytest.raises(InputError, match="'sometimes' has not been computed"):
            model.run(-torch.ones(2))
    with replacing(model, [Replacement("sometimes", double)]):
        model.run(torch.ones(2))
        with pytest.raises(InputError, match="nothing was replaced at 'sometimes'"):
            model.run(-torch.ones(2))


@pytest.mark.parametrize(
    ("function", "given"),
    [(lambda x: x[..., :5], r"shape \(2, 7, 5\)"), (lambda x: None, "NoneType"), (lambda x: x.sum(), r"shape \(\)")],
)
@pytest.mark.parametrize("name", ["mlp_out.1", "resid_mid.1", "attn_z.1"])
def test_a_function_must_return_the_shape_that_it_replaces(name: str, function: Callable, given: str, ids: Tensor):
    model = build("gpt2")
    with (
        pytest.raises(InputError, match=rf"'{name}' returned {given}; expected a tensor of shape \(2, 7, 32\)"),
        replacing(model, [Replacement(name, function)]),
    ):
        model.run(ids)
    assert hooks_of(model.module) == 0


def test_a_place_that_the_model_never_gets_to_cannot_be_replaced():
    model = load_model(UsesSplits())
    with (
        replacing(model, [Replacement("unused", double)]),
        pytest.raises(InputError, match="does not call the module 'unused'"),
    ):
        model.run(torch.zeros(1))


@pytest.mark.parametrize("bad", [Replacement("resid_pots.1", double), Replacement("mlp_out.1", double, ("mlp_in.9",))])
def test_unknown_names_are_refused_before_anything_is_hooked(bad: Replacement):
    model = build("gpt2")
    with pytest.raises(InputError), replacing(model, [Replacement("embed", double), bad]):
        pass
    assert hooks_of(model.module) == 0


def test_everything_is_undone_on_leaving_and_after_an_error(ids: Tensor):
    model = build("gpt2")
    before = output(model, ids)

    def broken(_x: Tensor) -> Tensor:
        raise ArithmeticError

    for function in (double, broken):
        try:
            assert not torch.equal(output(model, ids, Replacement("resid_mid.1", function)), before)
        except ArithmeticError:
            assert function is broken
        assert hooks_of(model.module) == 0
        assert torch.equal(output(model, ids), before)
