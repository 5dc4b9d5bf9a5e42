from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

from monosema.models import LoadedModel, Replacement, load_model, read, replacing, width_of
from tests.models.tiny_families import build

KINDS = ["resid_pre", "resid_mid", "resid_post", "attn_z", "attn_out", "mlp_in", "mlp_out"]


def names(model: LoadedModel, layer: int = 1) -> list[str]:
    assert model.family is not None
    parallel = model.family.parallel(model.module.config)
    return ["embed", *(f"{kind}.{layer}" for kind in KINDS if kind != "resid_mid" or not parallel)]


@torch.no_grad()
def output(model: LoadedModel, ids: Tensor, *replacements: Replacement) -> Tensor:
    with replacing(model, replacements):
        return model.run(ids).logits


def double(x: Tensor) -> Tensor:
    return 2 * x


def reverse(x: Tensor) -> Tensor:
    return x.flip(-1)


def test_replacing_by_the_same_changes_nothing(model: LoadedModel, ids: Tensor):
    before = output(model, ids)
    for name in names(model):
        assert torch.equal(output(model, ids, Replacement(name, lambda x: x)), before), name
    assert torch.equal(output(model, ids, *(Replacement(name, lambda x: x) for name in names(model))), before)


def test_every_place_matters_to_the_output(model: LoadedModel, ids: Tensor):
    before = output(model, ids)
    for name in names(model):
        assert (output(model, ids, Replacement(name, reverse)) - before).abs().max() > 1e-4, name


def test_what_is_read_is_what_flows_on(model: LoadedModel, ids: Tensor):
    for name in names(model):
        plain = read(model, ids, [name])[name]
        with replacing(model, [Replacement(name, reverse)]):
            assert torch.equal(read(model, ids, [name])[name], plain.flip(-1)), name


def test_a_replaced_stream_flows_on_past_the_next_module(model: LoadedModel, ids: Tensor):
    """The residual that a layer adds to later is the replaced one, and not only what its first norm is given."""
    assert model.family is not None
    if model.family.name == "bert" or model.family.parallel(model.module.config):
        return
    with replacing(model, [Replacement("resid_mid.1", reverse)]):
        at = read(model, ids, ["resid_mid.1", "mlp_out.1", "resid_post.1"])
    torch.testing.assert_close(at["resid_post.1"], at["resid_mid.1"] + at["mlp_out.1"], rtol=1e-4, atol=1e-5)
    with replacing(model, [Replacement("resid_pre.1", reverse)]):
        at = read(model, ids, ["resid_pre.1", "attn_out.1", "resid_mid.1"])
    torch.testing.assert_close(at["resid_mid.1"], at["resid_pre.1"] + at["attn_out.1"], rtol=1e-4, atol=1e-5)


def test_the_input_of_the_norm_by_its_path_is_only_the_norms(ids: Tensor):
    model = build("llama")
    plain = read(model, ids, ["resid_mid.1"])["resid_mid.1"]
    with replacing(model, [Replacement("model.layers.1.post_attention_layernorm:in", reverse)]):
        at = read(model, ids, ["mlp_out.1", "resid_post.1"])
    torch.testing.assert_close(at["resid_post.1"], plain + at["mlp_out.1"])


@pytest.mark.parametrize(("name", "projection"), [("attn_out.1", "attn.c_proj"), ("mlp_out.1", "mlp.c_proj")])
def test_zeros_are_what_a_model_without_the_weights_computes(name: str, projection: str, ids: Tensor):
    model = build("gpt2")
    by_hand = deepcopy(model.module)
    for weight in by_hand.get_submodule(f"transformer.h.1.{projection}").parameters():
        nn.init.zeros_(weight)
    expected = output(load_model(by_hand), ids)
    assert (expected - output(model, ids)).abs().max() > 1e-3
    torch.testing.assert_close(output(model, ids, Replacement(name, torch.zeros_like)), expected)


def test_zeroing_one_heads_rows_is_a_model_without_its_output_weights(ids: Tensor):
    model = build("llama")
    by_hand = deepcopy(model.module)
    with torch.no_grad():
        by_hand.get_parameter("model.layers.1.self_attn.o_proj.weight")[:, 8:16] = 0

    def zero_head(z: Tensor) -> Tensor:
        z[..., 8:16] = 0  # in place, on a copy of its own
        return z

    torch.testing.assert_close(output(model, ids, Replacement("attn_z.1", zero_head)), output(load_model(by_hand), ids))


def test_a_transcoder_that_is_the_mlp_changes_nothing(model: LoadedModel, ids: Tensor):
    """What the MLP adds is a function of what it is given, in one pass and in the next with other tokens."""
    assert model.family is not None
    if model.family.name == "bert":  # its MLP is two modules beside each other
        return
    given = model.point("mlp_in.1")
    copy = deepcopy(model.module.get_submodule(given.path))
    transcoder = Replacement(given.path, copy, reads=("mlp_in.1",))
    with replacing(model, [transcoder]), torch.no_grad():
        first, second = model.run(ids).logits, model.run(ids.flip(1)).logits
    assert torch.equal(first, output(model, ids))
    assert torch.equal(second, output(model, ids.flip(1)))


def test_a_function_of_several_reads_gets_them_in_order(ids: Tensor):
    model = build("llama")
    plain = read(model, ids, ["embed", "attn_out.1", "mlp_out.1"])
    seen: list[Tensor] = []

    def keep(*activations: Tensor) -> Tensor:
        seen.extend(activations)
        return activations[2]

    output(model, ids, Replacement("mlp_out.1", keep, reads=("embed", "attn_out.1", "mlp_out.1", "embed")))
    assert [torch.equal(a, b) for a, b in zip(seen, [*plain.values(), plain["embed"]], strict=True)] == [True] * 4


def test_a_function_without_reads_puts_a_constant_there(ids: Tensor):
    model = build("llama")
    constant = torch.randn(2, 7, 32)
    with replacing(model, [Replacement("mlp_out.1", lambda: constant, reads=())]):
        assert torch.equal(read(model, ids, ["mlp_out.1"])["mlp_out.1"], constant)


def test_replacements_of_one_point_compose_in_order(ids: Tensor):
    model = build("gpt2")
    for name in ("resid_mid.1", "mlp_out.1"):
        plain = read(model, ids, [name])[name]
        add, twice = Replacement(name, lambda x: x + 1), Replacement(name, double)
        with replacing(model, [add, twice]):
            assert torch.equal(read(model, ids, [name])[name], 2 * (plain + 1))
        with replacing(model, [twice, add]):
            assert torch.equal(read(model, ids, [name])[name], 2 * plain + 1)
        with replacing(model, [twice]), replacing(model, [add]):
            assert torch.equal(read(model, ids, [name])[name], 2 * plain + 1)


@pytest.mark.parametrize("read_first", [True, False])
def test_a_read_of_a_replaced_point_sees_what_flows_on(read_first: bool, ids: Tensor):
    model = build("gpt2")
    plain = read(model, ids, ["resid_mid.1"])["resid_mid.1"]
    both = [Replacement("resid_mid.1", double), Replacement("mlp_out.1", lambda x: x, reads=("resid_mid.1",))]
    with replacing(model, both[::-1] if read_first else both):
        assert torch.equal(read(model, ids, ["mlp_out.1"])["mlp_out.1"], 2 * plain)


class Splits(nn.Module):
    def forward(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        return hidden_states + 1, hidden_states - 1


class UsesSplits(nn.Module):
    def __init__(self):
        super().__init__()
        self.splits = Splits()
        self.unused = Splits()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.splits(hidden_states=x)


def test_other_members_of_a_tuple_and_arguments_by_keyword_stay():
    model, x = load_model(UsesSplits()), torch.randn(2, 3)
    with replacing(model, [Replacement("splits", double)]):
        first, second = model.run(x)
    assert torch.equal(first, 2 * (x + 1))
    assert torch.equal(second, x - 1)
    with replacing(model, [Replacement("splits:in", double)]):
        first, second = model.run(x)
    assert torch.equal(first, 2 * x + 1)
    assert torch.equal(second, 2 * x - 1)


def test_named_tuples_lists_and_mappings_stay_what_they_are():
    from transformers.modeling_outputs import BaseModelOutput

    for value in (
        torch.max(torch.randn(2, 3), dim=0),
        [None, torch.randn(2), "a"],
        BaseModelOutput(last_hidden_state=torch.randn(2)),
    ):
        module = nn.Module()
        module.forward = lambda _x, value=value: value
        model = load_model(module)
        plain = read(model, torch.zeros(1), [":out"])[":out"]
        with replacing(model, [Replacement(":out", double)]):
            changed = model.run(torch.zeros(1))
            assert torch.equal(read(model, torch.zeros(1), [":out"])[":out"], 2 * plain)
        assert type(changed) is type(value)
        assert torch.equal(read(model, torch.zeros(1), [":out"])[":out"], plain)  # the module's own value is as it was


def test_the_models_dtype_is_kept(ids: Tensor):
    model = load_model(build("llama").module, dtype="bfloat16")
    seen: list[torch.dtype] = []

    def in_float64(x: Tensor) -> Tensor:
        seen.append(x.dtype)
        return x.double()

    before = output(model, ids)
    after = output(model, ids, *(Replacement(name, in_float64) for name in names(model)))
    assert set(seen) == {torch.bfloat16}
    assert after.dtype == torch.bfloat16
    assert torch.equal(after, before)


def test_gradients_pass_through_a_replacement(model: LoadedModel, ids: Tensor):
    """The slope along the gradient is the gradient's length, at every place.

    The tolerance is wide because some of the models compute norms and softmax in float32 whatever their weights are.
    """
    exact = load_model(deepcopy(model.module), dtype=torch.float64)
    exact.module.requires_grad_(False)
    for name in names(exact):

        def loss(steering: Tensor, name: str = name) -> Tensor:
            with replacing(exact, [Replacement(name, lambda x: x + steering)]):
                return exact.run(ids).logits.square().mean()

        steering = torch.zeros(width_of(exact, name), dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(loss(steering), steering)
        step = 1e-3 * gradient / gradient.norm()
        with torch.no_grad():
            slope = (loss(step) - loss(-step)) / 2e-3
        assert slope > 1e-4, name
        torch.testing.assert_close(gradient.norm(), slope, rtol=2e-2, atol=1e-5)


def test_gradients_reach_what_lies_before_a_replaced_stream(ids: Tensor):
    model = build("llama")
    embedding = model.module.get_parameter("model.embed_tokens.weight")
    with replacing(model, [Replacement("resid_mid.1", lambda x: x * x)]):
        model.logits(ids).square().mean().backward()
    assert embedding.grad is not None
    assert (embedding.grad[ids].norm(dim=-1) > 0).all()
