"""Activations as functions of an earlier one: the same values, and gradients that finite differences agree with."""

import pytest
import torch

from monosema.errors import InputError
from monosema.models import Replacement, read, read_from, replacing
from tests.evaluation.helpers import random_contexts, random_model
from tests.models.tiny_families import BUILDERS, build, hooks_of


@pytest.mark.parametrize("family", list(BUILDERS))
def test_what_is_read_is_what_the_model_computes(family: str):
    model, ids = build(family), random_contexts(2)
    points = ["mlp_out.0", "resid_post.1", "attn_z.2"]
    start, found = read_from(model, ids, "resid_pre.0", points)
    expected = read(model, ids, ["resid_pre.0", *points])
    torch.testing.assert_close(start.detach(), expected.pop("resid_pre.0"))
    for point, x in expected.items():
        torch.testing.assert_close(found[point].detach(), x)
    assert hooks_of(model.module) == 0


def test_gradients_are_what_finite_differences_are():
    model, ids = random_model(), random_contexts(2)
    start, found = read_from(model, ids, "resid_pre.0", ["resid_post.1"])
    generator = torch.Generator().manual_seed(0)
    weight, step = (torch.randn(start.shape, generator=generator).double() for _ in range(2))
    (gradient,) = torch.autograd.grad((found["resid_post.1"] * weight).sum(), start)

    def value(size: float) -> float:
        with replacing(model, [Replacement("resid_pre.0", lambda x: x + size * step)]):
            return (read(model, ids, ["resid_post.1"])["resid_post.1"] * weight).sum().item()

    assert (value(1e-5) - value(-1e-5)) / 2e-5 == pytest.approx((gradient * step).sum().item(), rel=1e-6)
    assert all(weight.grad is None for weight in model.module.parameters())


def test_gradients_are_there_inside_no_grad_and_what_is_read_has_none():
    model, ids = random_model(), random_contexts(1)
    with torch.no_grad():
        start, found = read_from(model, ids, "mlp_in.0", ["mlp_out.0"])
    assert start.requires_grad
    assert found["mlp_out.0"].requires_grad
    assert not read(model, ids, ["mlp_out.0"])["mlp_out.0"].requires_grad


def test_what_is_changed_flows_on():
    model, ids = random_model(), random_contexts(2)
    start, found = read_from(model, ids, "mlp_out.0", ["resid_post.0"], torch.zeros_like)
    assert not start.any()
    with replacing(model, [Replacement("mlp_out.0", torch.zeros_like)]):
        torch.testing.assert_close(found["resid_post.0"].detach(), read(model, ids, ["resid_post.0"])["resid_post.0"])


def test_a_point_that_comes_before_is_refused_and_leaves_no_hook():
    model = random_model()
    with pytest.raises(InputError, match=r"resid_pre\.0 as functions of mlp_out\.1"):
        read_from(model, random_contexts(1), "mlp_out.1", ["resid_pre.0"])
    assert hooks_of(model.module) == 0
