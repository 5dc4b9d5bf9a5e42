"""Two models as one to read from: whose a hook point is, what is read there, and which two do not go together."""

from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from monosema.activations import Contexts, MixedContexts, ModelSource
from monosema.errors import InputError
from monosema.models import LoadedModel, ModelPair, load_model, pass_cost, read, width_of
from tests.evaluation.helpers import D, random_contexts, random_model

FIRST, CONTEXTS = random_model(), random_contexts()


def changed(model: LoadedModel, tokenizer: Any = None) -> LoadedModel:
    """The model with other weights, and another tokenizer if one is given."""
    module = deepcopy(model.module)
    for weight in module.parameters():
        weight.data += 0.1 * torch.randn_like(weight)
    return LoadedModel(module, tokenizer or model.tokenizer, "changed", model.family)


PAIR = ModelPair(FIRST, changed(FIRST))


def test_each_hook_point_is_read_in_the_model_that_it_belongs_to():
    points = ["resid_post.0", "second.resid_post.0", "second.gpt_neox.layers.1.mlp:in"]
    found = read(PAIR, CONTEXTS, points)
    torch.testing.assert_close(found["resid_post.0"], read(PAIR.first, CONTEXTS, ["resid_post.0"])["resid_post.0"])
    for point in points[1:]:
        local = point.removeprefix("second.")
        torch.testing.assert_close(found[point], read(PAIR.second, CONTEXTS, [local])[local])
    assert not torch.equal(found["resid_post.0"], found["second.resid_post.0"])


def test_an_expression_may_have_hook_points_of_both():
    joined, added = "resid_post.0 & second.resid_post.1", "second.mlp_out.1 + mlp_out.0"
    found = read(PAIR, CONTEXTS, [joined, added, "mlp_out.0", "second.mlp_out.1", "second.resid_post.1"])
    torch.testing.assert_close(found[joined][..., D:], found["second.resid_post.1"])
    torch.testing.assert_close(found[added], found["mlp_out.0"] + found["second.mlp_out.1"])
    assert width_of(PAIR, joined) == 2 * D


@pytest.mark.parametrize(
    ("point", "number", "local"),
    [
        ("resid_post.1 & embed", 0, "resid_post.1 & embed"),
        ("second.embed", 1, "embed"),
        ("second.mlp_in.0+second.mlp_out.1 & second.embed", 1, "mlp_in.0 + mlp_out.1 & embed"),
    ],
)
def test_an_expression_of_one_model_belongs_to_it(point: str, number: int, local: str):
    assert PAIR.owner(point) == (PAIR.models[number], local)


def test_an_expression_of_both_belongs_to_neither():
    assert PAIR.owner("embed & second.embed") is None
    assert PAIR.heads_at("attn_z.0 & second.attn_z.0") is None
    assert PAIR.heads_at("second.attn_z.1") == FIRST.heads_at("attn_z.1") == 2


def test_each_model_runs_no_deeper_than_its_own_last_point():
    ran: list[str] = []
    hooks = [
        model.module.get_submodule(f"gpt_neox.layers.{layer}").register_forward_pre_hook(
            lambda *_, name=f"{model.name}.{layer}": ran.append(name)
        )
        for model in PAIR.models
        for layer in (0, 1)
    ]
    read(PAIR, CONTEXTS, ["resid_post.0", "second.resid_post.1"])
    assert ran == [f"{FIRST.name}.0", "changed.0", "changed.1"]
    ran.clear()
    read(PAIR, CONTEXTS, ["second.resid_post.0"])
    assert ran == ["changed.0"]
    for hook in hooks:
        hook.remove()


def test_a_pass_costs_what_the_passes_of_both_cost():
    meta = [LoadedModel(deepcopy(m.module).to("meta"), None, m.name, m.family) for m in PAIR.models]
    both = pass_cost(ModelPair(*meta), ["resid_post.0", "second.resid_post.1"], 2, 8)
    alone = [pass_cost(model, [f"resid_post.{layer}"], 2, 8) for layer, model in enumerate(meta)]
    assert both.flops == sum(cost.flops for cost in alone)
    assert both.parameters == sum(cost.parameters for cost in alone)
    assert both.widths == {"resid_post.0": D, "second.resid_post.1": D}


def test_a_name_with_the_prefix_wants_a_second_model():
    with pytest.raises(
        InputError, match=r"unknown hook point 'second.resid_post.0'.*second. stands for a second model"
    ):
        read(FIRST, CONTEXTS, ["second.resid_post.0"])
    with pytest.raises(InputError, match=r"unknown hook point 'resid_pst.0'"):
        read(PAIR, CONTEXTS, ["second.resid_pst.0"])


class Clashing(nn.Module):
    """Has a module whose path begins as the names of the second model's hook points do."""

    def __init__(self):
        super().__init__()
        self.second = nn.Linear(4, 4)


def test_a_first_model_with_a_module_of_that_name_is_refused():
    module = load_model(Clashing(), device="cpu")
    with pytest.raises(InputError, match="Clashing, which has a module 'second'"):
        ModelPair(module, module)
    ModelPair(LoadedModel(nn.Linear(4, 4), None, "plain", None), module)


@pytest.fixture(scope="module")
def tiny() -> LoadedModel:
    return load_model("tiny", device="cpu", dtype="float32")


def named(model: LoadedModel, tokenizer: Any) -> LoadedModel:
    return LoadedModel(model.module, tokenizer, "other", model.family)


def test_a_tokenizer_that_is_loaded_again_is_the_same_one(tiny: LoadedModel):
    ModelPair(tiny, named(tiny, load_model("tiny", device="cpu").tokenizer))


@pytest.mark.parametrize("kind", ["token", "none", "begins", "cuts"])
def test_different_tokenizers_are_refused_with_the_first_difference(tiny: LoadedModel, kind: str):
    other: Any = deepcopy(tiny.tokenizer)
    size = len(other)
    if kind == "token":
        other.add_tokens(["<|turn|>"])
    elif kind == "begins":
        other.bos_token = "def"
    elif kind == "cuts":
        from tokenizers.pre_tokenizers import ByteLevel

        other.backend_tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=True)
    message = {
        "token": rf"token {size} is none of tiny and '<\|turn\|>' of other",
        "none": "other has none",
        "begins": r"begins a text is '<\|endoftext\|>' of tiny and 'def' of other",
        "cuts": "tiny and other cut a text differently from token 0 on",
    }[kind]
    with pytest.raises(InputError, match=message):
        ModelPair(tiny, named(tiny, None if kind == "none" else other))


def test_another_token_may_end_a_text_and_is_special_in_both(tiny: LoadedModel):
    other: Any = deepcopy(tiny.tokenizer)
    other.eos_token = "def"
    pair = ModelPair(tiny, named(tiny, other))
    assert pair.special_ids == tiny.special_ids | {other.convert_tokens_to_ids("def")}


def test_contexts_that_only_one_of_them_takes_are_refused(tiny: LoadedModel):
    module: Any = deepcopy(tiny.module)
    module.config.max_position_embeddings = 64
    pair = ModelPair(tiny, LoadedModel(module, tiny.tokenizer, "short", tiny.family))
    assert pair.max_context == 64
    contexts = MixedContexts(Contexts(pair.tokenizer, "tiny:heldout", 128), 1024)
    with pytest.raises(InputError, match=r"contexts of 128 tokens for tiny and short; expected at most 64"):
        ModelSource(pair, contexts, ["resid_post.0"], batch_size=16, buffer_rows=512)


def test_models_without_tokens_have_no_vocabulary_and_no_longest_context():
    layer = LoadedModel(nn.Linear(4, 4), None, "layer", None)
    pair = ModelPair(layer, LoadedModel(nn.Linear(4, 3), None, "other", None))
    assert (pair.vocabulary, pair.max_context, pair.special_ids, pair.predicts_next) == (None, None, frozenset(), False)
    with pytest.raises(InputError, match="layer and other, without a vocabulary"):
        width_of(pair, "second.")
    assert width_of(pair, "second.:out", torch.randn(2, 5, 4)) == 3


def test_one_special_token_of_a_stand_in_is_enough():
    tokenizer: Any = SimpleNamespace(all_special_ids=[0])
    first = LoadedModel(FIRST.module, tokenizer, "a", FIRST.family)
    assert ModelPair(first, LoadedModel(FIRST.module, tokenizer, "b", FIRST.family)).special_ids == {0}
