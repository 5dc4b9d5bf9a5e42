"""Runs of dictionaries that write elsewhere than they read: with a model, from a store, together, and resumed."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from monosema.config import load_yaml
from monosema.errors import InputError
from monosema.formats import load
from monosema.models import ModelPair, load_model, width_of
from monosema.runs import DictionaryConfig, RunConfig, run
from monosema.runs.evaluate import evaluate_folder, evaluate_folder_together
from monosema.runs.harvest import harvest
from monosema.runs.harvest_config import HarvestConfig
from monosema.runs.resolve import resolve
from tests.runs.tiny_run import LAYERS, D, interrupted_run, recipe, small_run, weights_of

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))
TRANSCODERS = tuple(
    DictionaryConfig(recipe("topk", k=4), site=f"mlp_in.{layer}", target=f"mlp_out.{layer}", width=32)
    for layer in range(LAYERS)
)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_a_published_configuration_is_one_of_the_embedded_model(path: Path):
    config = load_yaml(RunConfig, path)
    tiny = load_model("tiny", device="cpu")
    model = ModelPair(tiny, tiny) if config.second else tiny
    widths = {point: width_of(model, point) for point in config.points}
    heads = {point: n for point in config.points if (n := model.heads_at(point))}
    again = resolve(config, widths, "float32", heads)
    assert all(isinstance(d.recipe.lr, float) and d.width for d in again.dictionaries)
    assert len({d.name for d in again.dictionaries}) == len(again.dictionaries)


def test_all_mlps_replaced_at_once_are_measured_reported_and_measured_again(model: Path, corpus: Path, tmp_path: Path):
    result = run(small_run(*TRANSCODERS, model=str(model), text=str(corpus), together=True), tmp_path / "run")
    assert result.together is not None
    figures = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert figures["together"] == vars(result.together)
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"{LAYERS} dictionaries" in page
    assert f"{result.together.ce_spliced:.3f}" in page
    assert evaluate_folder_together(tmp_path / "run", device="cpu") == (result.together, LAYERS)


def test_a_transcoder_learns_from_a_store_and_is_measured_in_the_model(model: Path, corpus: Path, tmp_path: Path):
    made = HarvestConfig(
        model=str(model),
        text=str(corpus),
        context=32,
        site=("attn_z.1", "attn_z.1.0", "attn_out.1"),
        tokens=1024,
        shard_tokens=512,
    )
    harvest(made, tmp_path / "store", device="cpu")
    dictionaries = (
        DictionaryConfig(recipe("topk", k=4), site="attn_z.1", target="attn_out.1", width=32),
        DictionaryConfig(recipe("l1"), site="attn_z.1.0", target="attn_out.1", width=32, name="head", skip=True),
    )
    result = run(small_run(*dictionaries, store=str(tmp_path / "store")), tmp_path / "run")
    assert load(tmp_path / "run" / "dictionaries" / "head").spec.d_in == D // 2
    for metrics in result.metrics.values():
        assert metrics.ce_recovered is not None
        assert metrics.fve > 0  # better than the mean


def test_from_input_to_output_of_any_module_whatever_their_sizes(model: Path, corpus: Path, tmp_path: Path):
    place = "gpt_neox.layers.1.mlp.dense_h_to_4h"
    stretcher = DictionaryConfig(recipe("april_l1", sparsity=0.5), site=f"{place}:in", target=place, width=48)
    result = run(small_run(stretcher, model=str(model), text=str(corpus)), tmp_path / "run")
    (metrics,) = result.metrics.values()
    (name,) = result.metrics
    spec = load(tmp_path / "run" / "dictionaries" / name).spec
    assert (spec.d_in, spec.d_out, spec.wiring) == (D, 2 * D, "transcoder")
    assert metrics.ce_spliced is not None


HEADS = (
    DictionaryConfig(recipe("topk", k=4), site="attn_z.1", width=32, blocks="heads", name="heads"),
    DictionaryConfig(recipe("april_l1", sparsity=0.5), site="attn_z.1", target="attn_out.1", width=32, blocks="heads"),
    DictionaryConfig(recipe("matryoshka", k=4), site="resid_post.1", width=32, blocks=4),
)


CROSSED = (
    DictionaryConfig(
        recipe("batch_topk", k=4), site="resid_post.0 & resid_post.1", width=32, wiring="crosscoder", name="crosscoder"
    ),
    DictionaryConfig(
        recipe("jumprelu"), site="mlp_in.0", target="mlp_out.0 & mlp_out.1", width=32, wiring="crosscoder", name="one"
    ),
)
CROSS_LAYER = (
    DictionaryConfig(
        recipe("batch_topk", k=4),
        site="mlp_in.0 & mlp_in.1",
        target="mlp_out.0 & mlp_out.1",
        width=32,
        wiring="cross_layer",
        name="clt",
    ),
)


def test_heads_are_blocks_where_they_lie_side_by_side(model: Path, corpus: Path, tmp_path: Path):
    result = run(small_run(*HEADS, model=str(model), text=str(corpus)), tmp_path / "run")
    specs = [load(tmp_path / "run" / "dictionaries" / name).spec for name in result.metrics]
    assert [(spec.encoder, spec.decoder, spec.blocks) for spec in specs] == [
        ("block_diagonal", "block_diagonal", 2),
        ("block_diagonal", "dense", 2),
        ("block_diagonal", "block_diagonal", 4),
    ]
    for metrics, blocks in zip(result.metrics.values(), (2, 2, 4), strict=True):
        assert metrics.l0_per_block is not None
        assert len(metrics.l0_per_block) == blocks
        assert sum(metrics.l0_per_block) == pytest.approx(metrics.l0)
    assert "L0 per block" in (tmp_path / "run" / "report.html").read_text()
    again = load_yaml(RunConfig, tmp_path / "run" / "config.yaml")
    assert [d.blocks for d in again.dictionaries] == ["heads", "heads", 4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"site": "mlp_in.1", "blocks": "heads"}, "blocks = heads at mlp_in.1; expected attn_z.L"),
        ({"site": "attn_z.1", "blocks": 3}, "3 blocks of d_in = 16; expected a multiple of 3"),
        ({"site": "attn_z.1", "blocks": "heads", "width": 33}, "2 blocks of width = 33"),
    ],
)
def test_blocks_that_do_not_divide_leave_nothing(options, message: str, model: Path, corpus: Path, tmp_path: Path):
    wrong = DictionaryConfig(recipe("topk", k=4), **{"width": 32, **options})
    with pytest.raises(InputError, match=message):
        run(small_run(wrong, model=str(model), text=str(corpus)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "dictionaries", [TRANSCODERS, HEADS, CROSSED + CROSS_LAYER], ids=["transcoders", "heads", "crossed"]
)
def test_interrupted_they_go_on_to_the_same_bits(dictionaries, model: Path, corpus: Path, tmp_path: Path):
    config = small_run(*dictionaries, model=str(model), text=str(corpus))
    run(config, tmp_path / "whole")
    interrupted_run(config, tmp_path / "parts")
    run(config, tmp_path / "parts", resume=True)
    whole = weights_of(tmp_path / "whole")
    assert len(whole) == len(dictionaries)
    assert weights_of(tmp_path / "parts") == whole


@pytest.mark.parametrize(
    "dictionaries",
    [TRANSCODERS[:1] * 2, (DictionaryConfig(recipe("topk"), "a", "c"), DictionaryConfig(recipe("l1"), "c"))],
)
def test_two_of_one_hook_point_cannot_take_their_places_at_once(dictionaries: tuple[DictionaryConfig, ...]):
    with pytest.raises(InputError, match="one dictionary for each hook point"):
        RunConfig(dictionaries=dictionaries, together=True)


def test_input_and_target_with_different_token_counts_are_refused(tmp_path: Path):
    save_file({"a": torch.randn(100, 4), "b": torch.randn(99, 4)}, tmp_path / "rows.safetensors")
    config = small_run(
        DictionaryConfig(recipe("topk", k=2), "a", "b", width=8), activations=str(tmp_path / "rows.safetensors")
    )
    with pytest.raises(InputError, match="rows"):
        run(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


SUM, BOTH = "resid_mid.0 + mlp_out.0", "mlp_out.0 & attn_z.1"


@pytest.mark.slow
def test_sums_and_joined_hook_points_are_sites_like_any_other(model: Path, corpus: Path, tmp_path: Path):
    options: dict[str, Any] = {"model": str(model), "text": str(corpus)}
    dictionaries = (
        DictionaryConfig(recipe("topk", k=4), site=SUM, width=32, name="sum"),
        DictionaryConfig(recipe("topk", k=4), site="resid_post.0", width=32, name="stream"),
        DictionaryConfig(recipe("april_l1", sparsity=0.5), site=BOTH, width=64, name="both"),
        DictionaryConfig(recipe("topk", k=4), site="resid_pre.0", target=SUM, width=32, name="transcoder"),
    )
    metrics = run(small_run(*dictionaries, **options), tmp_path / "run").metrics
    assert metrics["sum"].fve == pytest.approx(metrics["stream"].fve, rel=1e-3)
    assert metrics["sum"].ce_spliced == pytest.approx(metrics["stream"].ce_spliced, rel=1e-4)
    assert metrics["both"].ce_recovered is not None
    assert load(tmp_path / "run" / "dictionaries" / "both").spec.d_in == 2 * D
    assert metrics["transcoder"].ce_spliced is not None
    made = HarvestConfig(**options, context=32, site=("resid_mid.0", "mlp_out.0", BOTH), tokens=1024, shard_tokens=512)
    harvest(made, tmp_path / "store", device="cpu")
    stored = run(
        small_run(dictionaries[0], dictionaries[2], store=str(tmp_path / "store")), tmp_path / "stored"
    ).metrics
    assert stored["sum"].fve > 0
    assert stored["both"].ce_spliced is not None


def test_a_sum_of_tensors_in_a_file_can_be_trained_on(tmp_path: Path):
    x = torch.randn(400, 8)
    save_file({"a": x, "b": 2 * x}, tmp_path / "rows.safetensors")
    config = small_run(
        DictionaryConfig(recipe("topk", k=2), "a + b", width=16, name="sum"),
        activations=str(tmp_path / "rows.safetensors"),
    )
    run(config, tmp_path / "run")
    assert load(tmp_path / "run" / "dictionaries" / "sum").spec.reads == ("a + b",)


def test_a_crosscoder_is_measured_and_reported_at_each_of_its_hook_points(model: Path, corpus: Path, tmp_path: Path):
    result = run(small_run(*CROSSED, model=str(model), text=str(corpus)), tmp_path / "run")
    sites = result.metrics["crosscoder"].sites
    assert sites is not None
    assert [own.site for own in sites] == ["resid_post.0", "resid_post.1"]
    figures = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert figures["dictionaries"]["crosscoder"]["sites"][1]["fve"] == sites[1].fve
    page = (tmp_path / "run" / "report.html").read_text()
    assert "crosscoder: resid_post.1" in page
    assert "share of norm" not in page  # that is in the picture
    assert (tmp_path / "run" / "pictures" / "shares-1-crosscoder.png").is_file()
    shares = result.shares["crosscoder"]
    torch.testing.assert_close(shares.sum(1), torch.ones(32).double())
    again = evaluate_folder(tmp_path / "run", device="cpu")
    assert again["crosscoder"].sites == sites


def test_cross_layer_features_replace_all_mlps_at_once(model: Path, corpus: Path, tmp_path: Path):
    config = small_run(*CROSS_LAYER, model=str(model), text=str(corpus), together=True)
    result = run(config, tmp_path / "run")
    assert result.together is not None
    spec = load(tmp_path / "run" / "dictionaries" / "clt").spec
    assert (spec.encoder, spec.decoder, spec.blocks) == ("block_diagonal", "triangular", 2)
    assert spec.writes == ("mlp_out.0", "mlp_out.1")
    assert "1 dictionary<" in (tmp_path / "run" / "report.html").read_text()
    assert evaluate_folder_together(tmp_path / "run", device="cpu") == (result.together, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"site": "resid_post.1", "wiring": "crosscoder"}, "several hook points, joined by &"),
        ({"site": "resid_post.0 & resid_post.1", "wiring": "cross_layer"}, "as many hook points written as read"),
        (
            {"site": "mlp_in.0 & mlp_in.1", "target": "mlp_out.1 & resid_post.0 & mlp_out.0", "wiring": "cross_layer"},
            "from 2 hook points to 3",
        ),
        ({"site": "attn_z.0 & attn_z.1", "wiring": "crosscoder", "blocks": 2}, "blocks 2 with wiring crosscoder"),
        (
            {
                "site": "mlp_in.0 & mlp_in.1",
                "target": "mlp_out.0 & mlp_out.1",
                "wiring": "cross_layer",
                "recipe": recipe("topk", k=4),
            },
            "topk with cross-layer features",
        ),
        ({"site": "resid_post.0 & resid_post.1", "wiring": "crosscoder", "together": True}, "a crosscoder of"),
    ],
)
def test_hook_points_that_do_not_go_together_leave_nothing(
    options, message: str, model: Path, corpus: Path, tmp_path: Path
):
    options = {"width": 32, "recipe": recipe("batch_topk", k=4), **options}
    together = options.pop("together", False)

    def attempt() -> None:
        config = small_run(DictionaryConfig(**options), model=str(model), text=str(corpus), together=together)
        run(config, tmp_path / "run")

    with pytest.raises(InputError, match=message):
        attempt()
    assert not (tmp_path / "run").exists()
