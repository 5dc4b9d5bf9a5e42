"""Measuring dictionaries that write several hook points: at each of them, at all at once, and in a running model."""

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from monosema.dictionaries import Dictionary, ReLU, Spec
from monosema.errors import InputError
from monosema.evaluation import Metrics, evaluate, evaluate_rows, evaluate_together, sites_table, splice, table_rows
from monosema.evaluation.cross_entropy import next_token_loss
from monosema.models import read, replacing
from tests.evaluation.helpers import SPECIAL, D, assert_same, random_contexts, random_model

MODEL, CONTEXTS = random_model(), random_contexts()
KEPT = (CONTEXTS != SPECIAL).unsqueeze(-1)
STREAM = ("resid_post.0", "resid_post.1")
MLPS = [f"gpt_neox.layers.{layer}.mlp" for layer in (0, 1)]
WIDTH = 24


def filled(spec: Spec, seed: int = 0) -> Dictionary:
    dictionary = Dictionary(spec, ReLU(spec.width)).double().eval()
    generator = torch.Generator().manual_seed(seed)
    for parameter in dictionary.parameters():
        parameter.data.normal_(0, 0.3, generator=generator)
    return dictionary.requires_grad_(False)


def crosscoder() -> Dictionary:
    sizes: dict[str, Any] = {"sizes_in": (D, D), "sizes_out": (D, D), "decoder": "sites"}
    return filled(Spec(2 * D, 2 * D, WIDTH, STREAM, STREAM, **sizes))


def identity() -> Dictionary:
    """A crosscoder that loses nothing: relu(x) and relu(−x)."""
    sizes: dict[str, Any] = {"sizes_in": (D, D), "sizes_out": (D, D), "decoder": "sites"}
    dictionary = filled(Spec(2 * D, 2 * D, 4 * D, STREAM, STREAM, **sizes))
    with torch.no_grad():
        for bias in (dictionary.b_enc, dictionary.b_dec):
            bias.zero_()
        dictionary.W_enc.copy_(torch.cat([torch.eye(2 * D), -torch.eye(2 * D)], 1))
        dictionary.W_dec.copy_(dictionary.W_enc.mT)
    return dictionary


def cross_layer() -> Dictionary:
    maps: dict[str, Any] = {"encoder": "block_diagonal", "decoder": "triangular", "blocks": 2}
    points = tuple(f"{mlp}:in" for mlp in MLPS), tuple(MLPS)
    spec = Spec(2 * D, 2 * D, WIDTH, *points, "transcoder", **maps, sizes_in=(D, D), sizes_out=(D, D))
    return filled(spec)


def loss_with(replaced: dict[str, Tensor]) -> float:
    """The loss with constants in place of what modules return, by plain hooks."""
    hooks = [
        MODEL.module.get_submodule(path).register_forward_hook(lambda _module, _args, _out, value=value: value)
        for path, value in replaced.items()
    ]
    with torch.no_grad():
        loss = next_token_loss(MODEL.logits(CONTEXTS), CONTEXTS) / CONTEXTS[:, 1:].numel()
    for hook in hooks:
        hook.remove()
    return loss


def test_each_hook_point_is_measured_as_if_it_were_the_only_one():
    dictionary = crosscoder()
    found = evaluate({"crosscoder": dictionary}, MODEL, CONTEXTS)["crosscoder"].metrics
    activations = read(MODEL, CONTEXTS, STREAM)
    predicted = dictionary(torch.cat([activations[point] for point in STREAM], -1)).split(D, -1)
    predicted = [torch.where(KEPT, new, activations[point]) for point, new in zip(STREAM, predicted, strict=True)]
    assert found.sites is not None
    assert [own.site for own in found.sites] == list(STREAM)
    for layer, (own, prediction) in enumerate(zip(found.sites, predicted, strict=True)):
        x, made = activations[own.site][KEPT[..., 0]], prediction[KEPT[..., 0]]
        fve = 1 - (x - made).square().sum() / (x - x.mean(0)).square().sum()
        assert own.fve == pytest.approx(fve.item(), rel=1e-9)
        assert own.ce_spliced == pytest.approx(loss_with({f"gpt_neox.layers.{layer}": prediction}), rel=1e-9)
    both = {f"gpt_neox.layers.{layer}": prediction for layer, prediction in enumerate(predicted)}
    assert found.ce_spliced == pytest.approx(loss_with(both), rel=1e-9)


def test_an_identity_recovers_everything_at_each_hook_point():
    found = evaluate({"identity": identity()}, MODEL, CONTEXTS)["identity"].metrics
    assert found.sites is not None
    for own in (found, *found.sites):
        assert own.fve == pytest.approx(1)
        assert own.ce_recovered == pytest.approx(1)


def test_a_weakly_causal_crosscoder_is_measured_as_the_dense_one_with_zeros_and_does_not_run_in_a_model():
    maps: dict[str, Any] = {"encoder": "block_diagonal", "decoder": "triangular", "blocks": 2}
    sizes: dict[str, Any] = {"sizes_in": (D, D), "sizes_out": (D, D)}
    causal, plain = filled(Spec(2 * D, 2 * D, WIDTH, STREAM, STREAM, **maps, **sizes)), crosscoder()
    (early, from_early, late), own = causal.W_dec, WIDTH // 2
    plain.load_state_dict({**causal.state_dict(), "W_enc": torch.block_diag(*causal.W_enc), "W_dec": plain.W_dec})
    with torch.no_grad():
        plain.W_dec[:own] = torch.cat([early, from_early], 1)
        plain.W_dec[own:] = torch.cat([torch.zeros_like(late), late], 1)
    found, expected = (evaluate({"it": made}, MODEL, CONTEXTS)["it"].metrics for made in (causal, plain))
    assert_same(replace(found, l0_per_block=None), expected, rel=1e-9)
    with pytest.raises(InputError, match="in a model that runs"):
        splice(causal)


def test_metrics_come_back_from_their_json():
    found = evaluate({"crosscoder": crosscoder()}, MODEL, CONTEXTS)["crosscoder"].metrics
    assert Metrics.from_json(json.loads(json.dumps(found.as_json()))) == found
    blocks = replace(found, l0_per_block=(1.5, 2.0), sites=None)
    assert Metrics.from_json(json.loads(json.dumps(blocks.as_json()))) == blocks


def test_the_cut_into_batches_does_not_matter():
    one, other = (evaluate({"a": crosscoder()}, MODEL, CONTEXTS, batch_contexts=size)["a"].metrics for size in (1, 4))
    assert one.sites is not None
    assert other.sites is not None
    for mine, theirs in zip(one.sites, other.sites, strict=True):
        assert_same(mine, theirs, rel=1e-9)


def test_rows_without_a_model_are_measured_at_each_hook_point_too():
    dictionary = crosscoder()
    rows = torch.cat([read(MODEL, CONTEXTS, [p])[p][KEPT[..., 0]] for p in STREAM], -1)
    found = evaluate_rows(dictionary, [(part, part) for part in rows.split(7)]).metrics
    expected = evaluate({"a": dictionary}, MODEL, CONTEXTS)["a"].metrics
    assert found.sites is not None
    assert expected.sites is not None
    for own, same in zip(found.sites, expected.sites, strict=True):
        assert (own.ce_spliced, own.fve) == (None, pytest.approx(same.fve, rel=1e-9))


def test_the_replacement_model_of_cross_layer_features_is_what_hooks_on_all_mlps_give():
    dictionary = cross_layer()
    own, encoder, decoder = WIDTH // 2, dictionary.W_enc, dictionary.W_dec
    codes: list[Tensor] = []

    def replaced(layer: int):
        def hook(_module, args: tuple[Tensor, ...], out: Tensor) -> Tensor:
            bias = dictionary.b_enc[layer * own : (layer + 1) * own]
            codes.append((args[0] @ encoder[layer] + bias).relu())
            first = layer * (layer + 1) // 2
            made = sum(codes[i] @ decoder[first + i] for i in range(layer + 1))
            return torch.where(KEPT, made + dictionary.b_dec[layer * D : (layer + 1) * D], out)

        return hook

    hooks = [MODEL.module.get_submodule(mlp).register_forward_hook(replaced(layer)) for layer, mlp in enumerate(MLPS)]
    with torch.no_grad():
        expected = next_token_loss(MODEL.logits(CONTEXTS), CONTEXTS) / CONTEXTS[:, 1:].numel()
    for hook in hooks:
        hook.remove()
    found = evaluate_together({"clt": dictionary}, MODEL, CONTEXTS)
    assert found.ce_spliced == pytest.approx(expected, rel=1e-9)
    alone = evaluate({"clt": dictionary}, MODEL, CONTEXTS)["clt"].metrics
    assert found.ce_spliced != pytest.approx(alone.ce_spliced, rel=1e-3)  # later layers read what earlier ones left
    assert (found.ce_clean, found.ce_zero) == pytest.approx((alone.ce_clean, alone.ce_zero), rel=1e-9)


def test_with_its_errors_the_replacement_model_is_the_model():
    with torch.no_grad(), replacing(MODEL, splice(cross_layer(), keep_error=True)):
        with_errors = MODEL.logits(CONTEXTS)
    with torch.no_grad():
        torch.testing.assert_close(with_errors, MODEL.logits(CONTEXTS))


def test_a_crosscoder_cannot_stand_in_a_model_that_runs():
    with pytest.raises(InputError, match="one that writes one hook point, or cross-layer features"):
        evaluate_together({"a": crosscoder()}, MODEL, CONTEXTS)


def test_the_table_has_a_row_for_each_hook_point():
    metrics = {name: evaluate({name: d}, MODEL, CONTEXTS)[name].metrics for name, d in (("a", crosscoder()),)}
    table = sites_table(metrics)
    assert table is not None
    assert [row[0] for row in table.rows] == list(STREAM)
    assert len(table_rows(metrics).rows) == 1
