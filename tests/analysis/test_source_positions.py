"""Attributions to source positions add up to the pre-activation, and are what pattern and values say."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from monosema.analysis.source_positions import source_attribution
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.models import PREPROCESSING, LoadedModel, ModelPair, load_model, read
from tests.analysis.dictionaries import autoencoder, transcoder
from tests.evaluation.helpers import D, random_model
from tests.models import tiny_lens
from tests.models.tiny_families import BUILDERS, build

FEATURES, POSITIONS, LENGTH = [3, 0, 11, 7, 7, 14], [8, 0, 4, 8, 5, 2], 9
POINT = "attn_z.1"


def ids_of() -> Tensor:
    return torch.randint(1, 50, (len(FEATURES), LENGTH), generator=torch.Generator().manual_seed(3))


def width(model: LoadedModel, point: str = POINT) -> int:
    return read(model, ids_of(), [point])[point].shape[-1]


def preactivations(made: Dictionary, model: LoadedModel, point: str = POINT) -> Tensor:
    """Of each place's feature, without biases, which `made` subtracts from its input, too."""
    z = read(model, ids_of(), [point])[point].double()
    bias = 0 if made.input_bias is None else made.preactivations(torch.zeros_like(z)) - made.b_enc
    pre = made.preactivations(z) - made.b_enc - bias
    return torch.stack([row[at, f] for row, at, f in zip(pre, POSITIONS, FEATURES, strict=True)]).detach()


def double(family: str) -> LoadedModel:
    return load_model(build(family).module.double())


def check(found: Tensor, made: Dictionary, model: LoadedModel, point: str = POINT, atol: float = 1e-8) -> None:
    torch.testing.assert_close(found.sum(1).double(), preactivations(made, model, point), atol=atol, rtol=1e-5)


@pytest.mark.parametrize("blocks", [1, 4])
@pytest.mark.parametrize("family", [name for name in BUILDERS if name != "bert"])
def test_sources_add_up_to_the_preactivation_without_its_biases(family: str, blocks: int):
    model = double(family)
    kind = "block_diagonal" if blocks > 1 else "dense"
    made = autoencoder(POINT, width(model), encoder=kind, decoder=kind, blocks=blocks, subtracts_input_bias=True)
    found = source_attribution(made, model, ids_of(), POSITIONS, FEATURES, batch_contexts=4)
    # A mask or the scale of a rotation may be of float32 in a model of float64.
    check(found.sources, made, model, atol=1e-5)
    assert found.heads.shape == (len(FEATURES), 4, LENGTH)
    for row, at in zip(found.heads, POSITIONS, strict=True):
        assert not row[:, at + 1 :].any()
    if blocks > 1:  # a feature of a block reads one head
        heads = torch.tensor(FEATURES) // (made.spec.width // blocks)
        assert (found.heads.abs().sum(2).argmax(1) == heads).all()
        assert (found.heads.abs().sum(2) > 0).sum(1).eq(1).all()


def test_an_encoder_sees_later_positions_too():
    model = double("bert")
    made = autoencoder(POINT, 32)
    found = source_attribution(made, model, ids_of(), POSITIONS, FEATURES).sources
    check(found, made, model)
    assert found[1, 1:].all()


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
def test_of_shared_keys_and_values_they_are_what_the_models_own_pattern_says(implementation: str):
    model = double("llama")
    module: Any = model.module
    made = autoencoder(POINT, 32)
    module.set_attn_implementation(implementation)
    found = source_attribution(made, model, ids_of(), POSITIONS, FEATURES).heads
    module.set_attn_implementation("eager")
    with torch.no_grad():
        pattern = module(ids_of(), output_attentions=True).attentions[1]
        normed = read(model, ids_of(), ["model.layers.1.input_layernorm"])["model.layers.1.input_layernorm"]
        values = module.model.layers[1].self_attn.v_proj(normed).unflatten(-1, (2, 8))
    for place, (at, feature) in enumerate(zip(POSITIONS, FEATURES, strict=True)):
        for head in range(4):
            read_by = made.W_enc[head * 8 : head * 8 + 8, feature]
            expected = pattern[place, head, at] * (values[place, :, head // 2] @ read_by)
            torch.testing.assert_close(found[place, head], expected.detach())


def test_a_dictionary_of_one_head_sees_that_head():
    model = double("llama")
    made = autoencoder("attn_z.1.2", 8)
    found = source_attribution(made, model, ids_of(), POSITIONS, FEATURES)
    assert found.heads.shape[1] == 1
    check(found.sources, made, model, "attn_z.1.2")
    whole = autoencoder(POINT, 32)
    whole.W_enc.data.zero_()[16:24] = made.W_enc
    torch.testing.assert_close(source_attribution(whole, model, ids_of(), POSITIONS, FEATURES).sources, found.sources)


def test_what_a_transcoder_of_attention_reads_and_a_second_model_count_as_well():
    model = random_model()
    made = transcoder("second.attn_z.1", "second.attn_out.1", D)
    found = source_attribution(made, ModelPair(model, model), ids_of(), POSITIONS, FEATURES)
    check(found.sources, made, model)


def test_of_the_embedded_model_in_16_bits_they_add_up_as_well():
    model = load_model("tiny", device="cpu", dtype="bfloat16")
    made = autoencoder("attn_z.2", 256)
    found = source_attribution(made, model, ids_of(), POSITIONS, FEATURES).sources
    exact = preactivations(made, model, "attn_z.2")
    assert (found.sum(1) - exact).norm() < 0.02 * exact.norm()


class WithPattern(tiny_lens.Attention):
    """With the hooks that TransformerLens has at values and pattern."""

    def __init__(self, theirs: Any):
        super().__init__(theirs)
        self.hook_pattern, self.hook_v = tiny_lens.Hook(), tiny_lens.Hook()

    def forward(self, query_input: Tensor, key_input: Tensor, value_input: Tensor) -> Tensor:
        inputs = torch.stack([query_input, key_input, value_input])
        q, k, v = torch.einsum("ibpd,ihde->ibphe", inputs, self.W) + self.b[:, None, None]
        scores = torch.einsum("bphe,bqhe->bhpq", q, k) / self.W.shape[-1] ** 0.5
        future = torch.ones(scores.shape[-2:]).triu(1).bool()
        pattern = self.hook_pattern(scores.masked_fill(future, -torch.inf).softmax(-1))
        z = self.hook_z(torch.einsum("bhpq,bqhe->bphe", pattern, self.hook_v(v)))
        return torch.einsum("bphe,hed->bpd", z, self.W_O) + self.b_O


def test_in_a_model_of_transformer_lens_its_hooks_are_read():
    theirs = tiny_lens.gpt2()
    plain = tiny_lens.StandIn(theirs)
    made = autoencoder(POINT, 32)
    with pytest.raises(InputError, match="not computed in a way that is known here"):
        source_attribution(made, load_model(plain.double()), ids_of(), POSITIONS, FEATURES)
    hooked = tiny_lens.StandIn(theirs)
    for block, own in zip(hooked.blocks, theirs.transformer.h, strict=True):
        setattr(block, "attn", WithPattern(own.attn))  # noqa: B010
    model = load_model(hooked.double())
    found = source_attribution(made, model, ids_of(), POSITIONS, FEATURES)
    check(found.sources, made, model)
    same = source_attribution(made, load_model(theirs.double()), ids_of(), POSITIONS, FEATURES)
    torch.testing.assert_close(found.heads, same.heads)


class Mixing(nn.Module):
    """Mean of all values so far, which is no attention that PyTorch computes."""

    def __init__(self, dense: nn.Module):
        super().__init__()
        self.dense = dense

    def forward(self, hidden_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, None]:
        return self.dense(hidden_states.cumsum(1)), None


def test_attention_of_another_kind_is_refused():
    model = random_model()
    layer: Any = model.module.get_submodule("gpt_neox.layers.1")
    layer.attention = Mixing(layer.attention.dense)
    with pytest.raises(InputError, match="attn_implementation='sdpa'"):
        source_attribution(autoencoder(POINT, D), model, ids_of(), POSITIONS, FEATURES)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda: autoencoder("resid_post.0", D), "one that reads attn_z"),
        (lambda: autoencoder("attn_z.0 + attn_z.1", D), "one that reads attn_z"),
        (lambda: autoencoder("gpt_neox.layers.0.mlp.act", 24), "one that reads attn_z"),
        (lambda: autoencoder(POINT, D, normalisation="layer_norm"), "linear in what it reads"),
        (lambda: autoencoder(POINT, 8), f"expected size {D}"),
    ],
)
def test_what_is_not_linear_in_attention_outputs_is_refused(made: Any, expected: str):
    with pytest.raises(InputError, match=expected):
        source_attribution(made(), random_model(), ids_of(), POSITIONS, FEATURES)


def test_lists_that_do_not_fit_are_refused():
    model, made = random_model(), autoencoder(POINT, D)
    with pytest.raises(InputError, match=r"a position and a feature for each place"):
        source_attribution(made, model, ids_of(), POSITIONS[1:], FEATURES)
    with pytest.raises(InputError, match="position 9; expected from 0 to 8"):
        source_attribution(made, model, ids_of(), [9] * 6, FEATURES)
    made.metadata[PREPROCESSING] = ["fold_value_biases"]
    with pytest.raises(InputError, match="not those that it knows"):
        source_attribution(made, model, ids_of(), POSITIONS, FEATURES)
