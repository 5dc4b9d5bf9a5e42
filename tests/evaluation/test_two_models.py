"""Measuring a crosscoder of two models: each hook point in the model that it belongs to."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from monosema.analysis import site_shares, top_examples
from monosema.dictionaries import Dictionary, ReLU, Spec
from monosema.errors import InputError
from monosema.evaluation import evaluate, evaluate_together
from monosema.evaluation.cross_entropy import next_token_loss
from monosema.models import LoadedModel, ModelPair, read
from tests.evaluation.helpers import SPECIAL, D, assert_same, random_contexts, random_model, scaling

FIRST, CONTEXTS = random_model(), random_contexts()
KEPT = (CONTEXTS != SPECIAL).unsqueeze(-1)
SITES = ("resid_post.0", "second.resid_post.1")
WIDTH = 24


def changed() -> LoadedModel:
    module = deepcopy(FIRST.module)
    for weight in module.parameters():
        weight.data += 0.2 * torch.randn_like(weight)
    return LoadedModel(module, FIRST.tokenizer, "changed", FIRST.family)


PAIR = ModelPair(FIRST, changed())


def crosscoder(sites: tuple[str, ...] = SITES) -> Dictionary:
    sizes: dict[str, Any] = {"sizes_in": (D, D), "sizes_out": (D, D), "decoder": "sites"}
    dictionary = Dictionary(Spec(2 * D, 2 * D, WIDTH, sites, sites, **sizes), ReLU(WIDTH)).double().eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in dictionary.parameters():
        parameter.data.normal_(0, 0.3, generator=generator)
    return dictionary.requires_grad_(False)


def loss_with(model: LoadedModel, layer: int, value: Tensor | None) -> float:
    """The loss of a model by plain hooks, with a constant in place of what a layer returns."""
    module = model.module.get_submodule(f"gpt_neox.layers.{layer}")
    hook = module.register_forward_hook(lambda _module, _args, out: out if value is None else value)
    with torch.no_grad():
        loss = next_token_loss(model.module(CONTEXTS).logits, CONTEXTS) / CONTEXTS[:, 1:].numel()
    hook.remove()
    return loss


def test_cross_entropy_is_that_of_the_model_that_a_hook_point_belongs_to():
    dictionary = crosscoder()
    found = evaluate({"diff": dictionary}, PAIR, CONTEXTS, batch_contexts=4)["diff"].metrics
    activations = read(PAIR, CONTEXTS, SITES)
    made = dictionary(torch.cat([activations[site] for site in SITES], -1)).split(D, -1)
    assert found.sites is not None
    for layer, (own, model, prediction) in enumerate(zip(found.sites, PAIR.models, made, strict=True)):
        x = activations[own.site]
        kept = x[KEPT[..., 0]]
        with_dictionary, with_mean, with_zero = (
            loss_with(model, layer, torch.where(KEPT, new, x)) for new in (prediction, kept.mean(0), torch.zeros(()))
        )
        assert own.ce_clean == pytest.approx(loss_with(model, layer, None), rel=1e-9)
        assert (own.ce_spliced, own.ce_mean, own.ce_zero) == pytest.approx((with_dictionary, with_mean, with_zero))
        missed = (kept - prediction[KEPT[..., 0]]).square().sum() / (kept - kept.mean(0)).square().sum()
        assert own.fve == pytest.approx(1 - missed.item(), rel=1e-9)
    assert found.sites[0].ce_clean != pytest.approx(found.sites[1].ce_clean, rel=1e-3)
    assert (found.ce_clean, found.ce_spliced, found.predicted_tokens) == (None, None, None)


def test_what_is_of_one_of_them_is_measured_as_in_that_one_alone():
    of_second = scaling(0.5, point="second.resid_post.0")
    found = evaluate({"first": scaling(0.5), "second": of_second}, PAIR, CONTEXTS)
    for name, model in zip(("first", "second"), PAIR.models, strict=True):
        alone = evaluate({"a": scaling(0.5)}, model, CONTEXTS)["a"].metrics
        assert_same(found[name].metrics, alone, rel=1e-9)


def test_several_hook_points_of_one_model_are_replaced_in_it_at_once():
    in_second, alone = (crosscoder((f"{of}resid_post.0", f"{of}resid_post.1")) for of in ("second.", ""))
    found = evaluate({"a": in_second}, PAIR, CONTEXTS)["a"].metrics
    assert found.ce_spliced == evaluate({"a": alone}, PAIR.second, CONTEXTS)["a"].metrics.ce_spliced


def test_identical_models_are_measured_alike():
    twins = ModelPair(FIRST, FIRST)
    dictionary = crosscoder(("resid_post.0", "second.resid_post.0"))
    for weight in (dictionary.W_dec, dictionary.b_dec):
        half = weight.shape[-1] // 2
        weight[..., half:] = weight[..., :half]
    found = evaluate({"a": dictionary}, twins, CONTEXTS)["a"].metrics
    assert found.sites is not None
    one, other = (replace(own, site="") for own in found.sites)
    assert_same(one, other, rel=1e-12)
    assert found.fve == pytest.approx(found.sites[0].fve)
    torch.testing.assert_close(site_shares(dictionary), torch.full((WIDTH, 2), 0.5).double())


def test_examples_are_where_a_feature_of_both_is_strongest():
    dictionary, feature = crosscoder(), 3
    activations = read(PAIR, CONTEXTS, SITES)
    codes = dictionary.encode(torch.cat([activations[site] for site in SITES], -1))[..., feature] * KEPT[..., 0]
    tokenizer: Any = type("Words", (), {"all_special_ids": [SPECIAL], "decode": lambda self, ids, **_: str(ids)})()
    model = ModelPair(*(LoadedModel(m.module, tokenizer, m.name, m.family) for m in PAIR.models))
    (best, *_) = top_examples(dictionary, model, CONTEXTS, [feature])[feature]
    assert best.value == pytest.approx(codes.max().item())
    assert codes[best.context, best.position] == codes.max()


def test_two_models_have_no_loss_with_everything_at_once():
    with pytest.raises(InputError, match=r"all dictionaries at once in .* and changed; expected one model"):
        evaluate_together({"a": scaling(1.0)}, PAIR, CONTEXTS)
