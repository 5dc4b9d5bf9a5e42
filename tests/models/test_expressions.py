"""Sums of hook points and activations joined: read, and written."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from monosema.errors import InputError
from monosema.models import LoadedModel, Replacement, parsed, read, replacing, width_of
from tests.models.tiny_families import build

IDS = torch.arange(16).reshape(2, 8)
NAMES = st.sampled_from(["a", "b.0", "c:in"])
SUMS = st.lists(st.lists(NAMES, min_size=1, max_size=3), min_size=1, max_size=3)


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return build("gpt_neox")


@settings(deadline=None)
@given(SUMS)
def test_an_expression_is_its_sums_one_after_the_other(sums: list[list[str]]):
    values = {name: torch.randn(4, 3, dtype=torch.float64) for name in ("a", "b.0", "c:in")}
    expression = parsed(" & ".join(" + ".join(terms) for terms in sums))
    expected = torch.cat([torch.stack([values[name] for name in terms]).sum(0) for terms in sums], dim=1)
    torch.testing.assert_close(expression.of(values), expected)
    assert set(expression.names) == {name for terms in sums for name in terms}
    joined = torch.cat([parsed(part).of(values) for part in expression.parts], dim=1)
    assert torch.equal(expression.of(values), joined)


@pytest.mark.parametrize("text", ["a +", "+ a", "a & & b", "a + + b", "&"])
def test_a_sign_without_a_name_beside_it_is_refused(text: str):
    with pytest.raises(InputError, match=r"a name on both sides of every \+ and &"):
        parsed(text)


def test_what_has_other_sizes_or_tokens_is_not_joined():
    a, b, c = torch.zeros(4, 3), torch.zeros(4, 2), torch.zeros(5, 3)
    assert parsed("a & b").of({"a": a, "b": b}).shape == (4, 5)
    for text, values in (("a + b", {"a": a, "b": b}), ("a & c", {"a": a, "c": c})):
        with pytest.raises(InputError, match="cannot be joined"):
            parsed(text).of(values)


def test_the_stream_is_what_entered_and_what_was_added(model: LoadedModel):
    names = ["resid_post.1", "resid_mid.1 + mlp_out.1", "resid_pre.1 + attn_out.1 + mlp_out.1", "mlp_in.0 & mlp_out.2"]
    found = read(model, IDS, names)
    assert list(found) == names
    for name in names[1:3]:
        torch.testing.assert_close(found[name], found["resid_post.1"])
    alone = read(model, IDS, ["mlp_in.0", "mlp_out.2"])
    assert torch.equal(found[names[3]], torch.cat(list(alone.values()), dim=-1))
    assert width_of(model, names[3]) == 2 * width_of(model, "mlp_in.0")


def logits(model: LoadedModel, *replacements: Replacement) -> Tensor:
    with torch.no_grad(), replacing(model, replacements):
        return model.logits(IDS)


def test_writing_a_sum_is_writing_the_stream_that_it_is(model: LoadedModel):
    def halved(x: Tensor) -> Tensor:
        return 0.5 * x

    by_sum = logits(model, Replacement("resid_mid.1 + mlp_out.1", halved))
    torch.testing.assert_close(by_sum, logits(model, Replacement("resid_post.1", halved)))
    assert not torch.allclose(by_sum, logits(model), atol=1e-3)


def test_reads_may_be_expressions(model: LoadedModel):
    by_sum = logits(model, Replacement("mlp_out.1", lambda x: 2 * x, reads=("resid_pre.1 + attn_out.1",)))
    torch.testing.assert_close(by_sum, logits(model, Replacement("mlp_out.1", lambda x: 2 * x, reads=("resid_mid.1",))))


@pytest.mark.parametrize("write", ["mlp_out.0 & mlp_out.1", "mlp_out.1 + mlp_out.1"])
def test_what_is_no_one_place_cannot_be_written(write: str, model: LoadedModel):
    with pytest.raises(InputError, match="a hook point, or a sum of different ones"):
        logits(model, Replacement(write, torch.zeros_like))


def test_a_sum_is_written_at_its_last_term_which_has_to_be_computed_last(model: LoadedModel):
    with pytest.raises(InputError, match="has not been computed"):
        logits(model, Replacement("mlp_out.1 + resid_mid.1", torch.zeros_like))
