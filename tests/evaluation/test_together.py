"""Dictionaries that are in the model all at once."""

import pytest
import torch
from torch import Tensor

from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.evaluation import evaluate, evaluate_together
from monosema.evaluation.cross_entropy import next_token_loss
from tests.evaluation.helpers import (
    POINT,
    SPECIAL,
    D,
    assert_same,
    random_contexts,
    random_dictionary,
    random_model,
    scaling,
)

MODEL, CONTEXTS = random_model(), random_contexts()
KEPT = (CONTEXTS != SPECIAL).unsqueeze(-1)
MLP = "gpt_neox.layers.{}.mlp"


def transcoders(layers: tuple[int, ...] = (0, 1)) -> dict[str, Dictionary]:
    return {
        f"mlp{layer}": random_dictionary(seed=layer, reads=MLP.format(layer) + ":in", writes=MLP.format(layer))
        for layer in layers
    }


def by_hand(dictionaries: dict[str, Dictionary]) -> float:
    """The loss with plain hooks, which see what the hooks before them have left."""

    def put(dictionary: Dictionary):
        return lambda _module, args, out: torch.where(KEPT, dictionary(args[0]), out)

    hooks = [
        MODEL.module.get_submodule(dictionary.spec.writes[0]).register_forward_hook(put(dictionary))
        for dictionary in dictionaries.values()
    ]
    with torch.no_grad():
        loss = next_token_loss(MODEL.logits(CONTEXTS), CONTEXTS)
    for hook in hooks:
        hook.remove()
    return loss / CONTEXTS[:, 1:].numel()


def test_every_mlp_replaced_is_what_hooks_on_all_of_them_give():
    found = evaluate_together(transcoders(), MODEL, CONTEXTS)
    assert found.ce_spliced == pytest.approx(by_hand(transcoders()), rel=1e-9)
    assert found.ce_spliced != pytest.approx(by_hand(transcoders((0,))), rel=1e-3)


def test_one_dictionary_together_is_one_dictionary():
    alone = evaluate(transcoders((1,)), MODEL, CONTEXTS)["mlp1"].metrics
    found = evaluate_together(transcoders((1,)), MODEL, CONTEXTS)
    for name, value in vars(found).items():
        assert value == pytest.approx(getattr(alone, name), rel=1e-9), name


def test_identities_recover_everything():
    found = evaluate_together({"a": scaling(1.0), "b": scaling(1.0, point="resid_post.1")}, MODEL, CONTEXTS)
    assert found.ce_recovered == 1
    assert found.kl == pytest.approx(0, abs=1e-9)


def test_the_cut_into_batches_does_not_matter():
    one, other = (evaluate_together(transcoders(), MODEL, CONTEXTS, batch_contexts=n) for n in (1, 4))
    assert_same(one, other, rel=1e-9)


@pytest.mark.parametrize("point", [POINT, "gpt_neox.layers.0"])
def test_two_dictionaries_of_one_place_are_refused_whatever_it_is_called(point: str):
    with pytest.raises(InputError, match="one dictionary for each hook point"):
        evaluate_together({"a": scaling(1.0), "b": scaling(1.0, point=point)}, MODEL, CONTEXTS)


def test_one_head_is_a_place_of_its_own():
    heads = {f"head{head}": scaling(0.5, d=D // 2, point=f"attn_z.1.{head}") for head in (0, 1)}
    together = evaluate_together(heads, MODEL, CONTEXTS)
    whole = evaluate({"both": scaling(0.5, point="attn_z.1")}, MODEL, CONTEXTS)["both"].metrics
    assert together.ce_spliced == pytest.approx(whole.ce_spliced, rel=1e-9)
    one = evaluate(heads, MODEL, CONTEXTS)["head0"].metrics

    def halved(_module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        halves = args[0].clone()
        halves[..., : D // 2] = torch.where(KEPT, 0.5, 1.0) * halves[..., : D // 2]
        return (halves,)

    hook = MODEL.module.get_submodule("gpt_neox.layers.1.attention.dense").register_forward_pre_hook(halved)
    with torch.no_grad():
        loss = next_token_loss(MODEL.logits(CONTEXTS), CONTEXTS) / CONTEXTS[:, 1:].numel()
    hook.remove()
    assert one.ce_spliced == pytest.approx(loss, rel=1e-9)
