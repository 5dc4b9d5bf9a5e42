"""Neurons that write a direction or read it, against gradients of the model's own forward pass."""

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monosema.analysis.aligned import aligned_neurons
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.models import LoadedModel, load_model
from monosema.models.flow import attach
from monosema.models.mlp import mlp_weights, through_norm
from tests.analysis.dictionaries import autoencoder, crosscoder, transcoder
from tests.models import tiny_lens
from tests.models.tiny_families import BUILDERS, build

LAYER, NEURON = 1, 7
GATED = {"llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "gemma3"}
NORMALISED = {"gemma2", "gemma3_text", "gemma3"}
IDS = torch.tensor([[5, 9, 3, 17, 2]])


def along(direction: Tensor, point: str) -> Dictionary:
    """A dictionary whose feature 3 has this direction."""
    made = autoencoder(point, len(direction)).to(torch.float32)
    made.W_dec.data[3] = direction
    return made


def projections(model: LoadedModel) -> tuple[list[Tensor], list[Tensor], Tensor, Tensor]:
    """What the projections into the layer's neurons return, what the one from them is given, `mlp_in` and `mlp_out`.

    They are found by what flows through them after `mlp_in`, not by their names.
    """
    into, out_of, ends = [], [], {}

    def see(_: nn.Module, given: Any, returned: Tensor) -> None:
        if "mlp_in" in ends and given[0] is ends["mlp_in"]:
            into.append(returned)
        elif "mlp_in" in ends and into and given[0].shape == into[0].shape != returned.shape:
            out_of.append(given[0])

    def keep(name: str, x: Tensor) -> Tensor:
        ends[name] = x.detach().requires_grad_() if name == "mlp_in" else x
        return ends[name]

    layer = model.module.get_submodule(model.point(f"resid_post.{LAYER}").path)
    parts = [part for part in layer.modules() if not list(part.children()) and list(part.parameters())]
    hooks = [part.register_forward_hook(see) for part in parts]
    ends_at = {name: model.point(f"{name}.{LAYER}") for name in ("mlp_in", "mlp_out")}
    hooks += [attach(model.module, point, partial(keep, name)) for name, point in ends_at.items()]
    model.run(IDS)
    for hook in hooks:
        hook.remove()
    return into, out_of, ends["mlp_in"], ends["mlp_out"]


@pytest.mark.parametrize("family", sorted(BUILDERS))
def test_what_a_neuron_reads_is_the_gradient_of_what_goes_into_it(family: str):
    model = build(family)
    into, _, given, _ = projections(model)
    assert len(into) == (2 if family in GATED else 1)
    gradients = [torch.autograd.grad(out[0, 2, NEURON], given, retain_graph=True)[0][0, 2] for out in into]
    for part, (gradient, name) in enumerate(zip(gradients, ["gate", "up"] if len(into) > 1 else [""], strict=True)):
        found = aligned_neurons(along(gradient, f"mlp_in.{LAYER}"), model, [3], n=4)
        assert [(one.layer, one.does, one.part) for one in found][part] == (LAYER, "read", name)
        assert found[part].indices[0, 0] == NEURON
        assert found[part].cosines[0, 0] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("family", sorted(BUILDERS.keys() - NORMALISED))
def test_what_a_neuron_writes_is_what_it_adds(family: str):
    model = build(family)
    _, (hidden,), _, out = projections(model)
    column = [torch.autograd.grad(out[0, 2, i], hidden, retain_graph=True)[0][0, 2, NEURON] for i in range(32)]
    (found,) = aligned_neurons(along(torch.stack(column), f"mlp_out.{LAYER}"), model, [3])
    assert (found.does, found.part, found.indices[0, 0]) == ("write", "", NEURON)
    assert found.cosines[0, 0] == pytest.approx(1, abs=1e-5)
    if family == "bert":  # its stream is normalised after the sum
        assert aligned_neurons(along(torch.stack(column), f"resid_post.{LAYER}"), model, [3]) == []
    else:
        (stream,) = aligned_neurons(along(torch.stack(column), f"resid_post.{LAYER}"), model, [3])
        assert torch.equal(stream.indices, found.indices)


@pytest.mark.parametrize("family", sorted(NORMALISED))
def test_a_norm_after_the_mlp_scales_what_neurons_write(family: str):
    model = build(family)
    norm: Any = model.module.get_submodule(model.point(f"mlp_out.{LAYER}").path)
    weights = mlp_weights(model, LAYER)
    assert weights is not None
    direction = (1 + norm.weight.detach()) * weights.writes[NEURON]
    (found,) = aligned_neurons(along(direction, f"mlp_out.{LAYER}"), model, [3])
    assert found.indices[0, 0] == NEURON
    assert found.cosines[0, 0] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2", "phi", "gpt_neox_parallel"])
def test_a_direction_of_the_stream_is_read_through_the_norm(family: str):
    """A large direction in the stream is all that the MLP is given, up to its size and the norm's bias."""
    model, direction = build(family), torch.randn(32, generator=torch.Generator().manual_seed(3))
    weights = mlp_weights(model, LAYER)
    assert weights is not None
    given: list[Tensor] = []
    for sign in (1, -1):
        point = model.point("resid_mid.1") if family not in ("phi", "gpt_neox_parallel") else model.point("resid_pre.1")
        hooks = [
            attach(model.module, point, lambda x, sign=sign: x + 1e4 * sign * direction),
            attach(model.module, model.point("mlp_in.1"), lambda x: given.append(x.detach()[0, 2])),
        ]
        model.run(IDS)
        for hook in hooks:
            hook.remove()
    expected = (given[0] - given[1]) / 2  # without the bias
    found = through_norm(weights.before, direction[None])[0]
    assert F.cosine_similarity(found, expected, dim=0) == pytest.approx(1, abs=1e-4)
    kind = "resid_pre" if family in ("phi", "gpt_neox_parallel") else "resid_mid"
    for one in aligned_neurons(along(direction, f"{kind}.{LAYER}"), model, [3], n=48):
        exact = F.cosine_similarity(expected[None], weights.reads[one.part][one.indices[0]])
        torch.testing.assert_close(one.cosines[0], exact, atol=1e-4, rtol=0)
        assert one.cosines[0].abs().tolist() == sorted(one.cosines[0].abs().tolist(), reverse=True)


class LensMLP(nn.Module):
    """An MLP as TransformerLens stores it."""

    def __init__(self, theirs: Any):
        super().__init__()
        self.theirs = theirs
        self.W_in, self.W_out = (nn.Parameter(part.weight.detach().clone()) for part in (theirs.c_fc, theirs.c_proj))

    def forward(self, x: Tensor) -> Tensor:
        return self.theirs(x)


@pytest.mark.parametrize("point", ["mlp_out.1", "resid_post.1", "mlp_in.1", "resid_mid.1", "resid_pre.1"])
def test_a_model_of_transformer_lens_has_the_same_neurons(point: str):
    theirs = tiny_lens.gpt2()
    lens = tiny_lens.StandIn(theirs)
    for block in lens.blocks:
        block.mlp = LensMLP(block.mlp)
    made = autoencoder(point, 32).to(torch.float32)
    for ours, same in zip(
        aligned_neurons(made, load_model(lens), range(24)),
        aligned_neurons(made, load_model(theirs), range(24)),
        strict=True,
    ):
        assert torch.equal(ours.indices, same.indices)
        torch.testing.assert_close(ours.cosines, same.cosines)


def test_where_no_mlp_is_there_are_no_neurons():
    model = build("gpt2")
    for point in ("attn_z.1", "attn_out.1", "embed", "transformer.h.1.mlp.act", "mlp_out.0 + mlp_out.1"):
        assert aligned_neurons(autoencoder(point, 32), model, [3]) == []
    assert aligned_neurons(crosscoder(("resid_post.0", "resid_post.1"), 32), model, [3]) == []
    bare = load_model(nn.Sequential(nn.Embedding(9, 32), nn.Linear(32, 32)))
    assert aligned_neurons(autoencoder("1", 32), bare, [3]) == []
    module: Any = model.module
    module.transformer.h[1].mlp.c_proj = nn.Identity()
    assert aligned_neurons(autoencoder("mlp_out.1", 32), model, [3]) == []


def test_a_transcoder_is_made_of_what_it_writes():
    (found,) = aligned_neurons(transcoder("mlp_in.0", "mlp_out.2", 32), build("gpt_neox"), [0, 5], n=1000)
    assert (found.layer, found.does) == (2, "write")
    assert found.indices.shape == (2, 48)
    assert found.indices.sort(1).values.tolist() == [list(range(48))] * 2


def test_impossible_numbers_are_refused():
    model = build("gpt2")
    with pytest.raises(InputError, match="0 neurons; expected at least 1"):
        aligned_neurons(autoencoder("mlp_out.1", 32), model, [3], n=0)
    with pytest.raises(InputError, match="feature 24"):
        aligned_neurons(autoencoder("mlp_out.1", 32), model, [24])
