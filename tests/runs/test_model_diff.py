"""Runs over two models: trained, measured, reported, resumed, stored, planned; and which are refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from monosema.cli.main import main
from monosema.config import load_yaml
from monosema.errors import InputError
from monosema.formats import load
from monosema.runs import DictionaryConfig, RunConfig, run
from monosema.runs.evaluate import evaluate_folder, evaluate_folder_together
from monosema.runs.harvest import harvest
from monosema.runs.harvest_config import HarvestConfig
from monosema.runs.workload import workload_of
from tests.runs.tiny_run import D, interrupted_run, options, recipe, save_model, small_run, weights_of

SITE = "resid_post.0 & second.resid_post.1"
DIFF = DictionaryConfig(recipe("batch_topk", k=4), site=SITE, width=32, wiring="crosscoder", name="diff")
MLP = DictionaryConfig(recipe("topk", k=4), site="second.mlp_in.0", target="second.mlp_out.0", width=32, name="mlp")


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another random model with the tokenizer of the first."""
    return save_model(tmp_path_factory.mktemp("second"), seed=1, longest=48)


@pytest.fixture
def both(model: Path, second: Path, corpus: Path) -> dict[str, Any]:
    return {"model": str(model), "second": str(second), "text": str(corpus)}


def command(*words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert ended.value.code == 0


def test_a_crosscoder_of_two_models_is_measured_and_reported_and_measured_again(both, model: Path, tmp_path: Path):
    result = run(small_run(DIFF, MLP, **both, evaluate_every=512), tmp_path / "run")
    metrics = result.metrics["diff"]
    assert metrics.sites is not None
    assert [own.site for own in metrics.sites] == ["resid_post.0", "second.resid_post.1"]
    assert metrics.ce_spliced is None
    assert all(own.ce_recovered is not None and own.fve > 0 for own in metrics.sites)
    assert result.metrics["mlp"].ce_spliced is not None
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"{model} and {both['second']}" in page
    assert "diff: second.resid_post.1" in page
    assert (tmp_path / "run" / "pictures" / "shares-1-diff.png").is_file()
    assert any(result.examples["diff"].values())
    metadata = load(tmp_path / "run" / "dictionaries" / "diff").metadata
    assert (metadata["second"], metadata["second_revision"]) == (both["second"], None)
    assert load_yaml(RunConfig, tmp_path / "run" / "config.yaml").second == both["second"]
    again = evaluate_folder(tmp_path / "run", device="cpu")
    assert again == result.metrics
    with pytest.raises(InputError, match="all dictionaries at once"):
        evaluate_folder_together(tmp_path / "run", device="cpu")


@pytest.mark.slow
def test_evaluate_takes_another_second_model(both, second: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    moved = shutil.copytree(second, tmp_path / "moved")
    result = run(small_run(DIFF, **{**both, "second": str(moved)}), tmp_path / "run")
    shutil.rmtree(moved)
    command("evaluate", str(tmp_path / "run"), "--second", str(second), "--device", "cpu", "--json")
    found = json.loads(capsys.readouterr().out)["diff"]
    assert found["fve"] == result.metrics["diff"].fve


@pytest.mark.slow
def test_the_command_line_reads_a_second_model(both, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["--site", SITE, "--wiring", "crosscoder", "--recipe", "batch_topk", "--k", "4"]
    command("train", "--out", str(tmp_path / "run"), *words, *options(**both))
    assert "second.resid_post.1" in capsys.readouterr().out


@pytest.mark.slow
def test_a_model_and_itself_share_every_feature(both, model: Path, tmp_path: Path):
    """Directions start apart, and training brings them together."""
    same = replace(DIFF, site="resid_post.1 & second.resid_post.1", width=8, recipe=recipe("batch_topk", k=4, lr=1e-2))
    result = run(small_run(same, **{**both, "second": str(model), "tokens": 16_384}), tmp_path / "run")
    shares, sites = result.shares["diff"], result.metrics["diff"].sites
    assert shares.sub(0.5).abs().max() < 0.01
    assert sites is not None
    assert sites[0].fve == pytest.approx(sites[1].fve, abs=0.005)
    assert sites[0].ce_clean == sites[1].ce_clean
    assert sites[0].ce_spliced == pytest.approx(sites[1].ce_spliced, abs=0.001)
    assert result.metrics["diff"].fve == pytest.approx((sites[0].fve + sites[1].fve) / 2, abs=1e-6)


@pytest.mark.slow
def test_interrupted_it_goes_on_to_the_same_bits(both, tmp_path: Path):
    config = small_run(DIFF, **both)
    run(config, tmp_path / "whole")
    interrupted_run(config, tmp_path / "parts")
    with pytest.raises(InputError, match=r"second = .* to go on with a run"):
        run(replace(config, second=both["model"]), tmp_path / "parts", resume=True)
    run(config, tmp_path / "parts", resume=True)
    whole = weights_of(tmp_path / "whole")
    assert whole.keys() == {"diff"}
    assert weights_of(tmp_path / "parts") == whole


@pytest.mark.slow
def test_a_store_of_two_models_is_trained_on(both, model: Path, tmp_path: Path):
    points = ("resid_post.0", "second.resid_post.1")
    made = HarvestConfig(**both, context=32, site=points, tokens=1024, shard_tokens=512)
    harvest(made, tmp_path / "store", device="cpu")
    config = small_run(DIFF, store=str(tmp_path / "store"))
    result = run(config, tmp_path / "run")
    assert result.config.second == both["second"]
    assert result.metrics["diff"].sites is not None
    of_first = run(small_run(replace(DIFF, site=points[0], wiring="joined"), store=config.store), tmp_path / "first")
    assert of_first.config.second is None
    assert of_first.metrics["diff"].ce_spliced is not None
    harvest(replace(made, second=None, site=points[:1]), tmp_path / "one", device="cpu")
    with pytest.raises(InputError, match=r"second = .* with the store .*; expected None, which it was made with"):
        run(replace(config, store=str(tmp_path / "one"), second=both["second"]), tmp_path / "no")


def test_both_models_are_planned_for(both):
    config = small_run(DIFF, **both)
    two, one = (
        workload_of(config).model,
        workload_of(small_run(replace(DIFF, site="resid_post.0 & mlp_out.1"), **{**both, "second": None})).model,
    )
    assert two is not None
    assert one is not None
    assert workload_of(config).points == {"resid_post.0": D, "second.resid_post.1": D}
    assert two.weights == pytest.approx(2 * one.weights, rel=0.01)
    assert one.flops < two.flops < 2 * one.flops
    with pytest.raises(InputError, match=r"contexts of 64 tokens for .* and .*; expected at most 48"):
        workload_of(replace(config, context=64))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"second": None}, "second. stands for a second model, which nothing names here"),
        ({"context": 64}, "contexts of 64 tokens for .* and .*; expected at most 48"),
        ({"second": "./absent"}, "no folder ./absent"),
        ({"together": True}, "with together; expected a model and a text to read with both"),
        ({"activations": "rows.npy"}, "with a file of activations"),
        ({"dictionaries": (replace(DIFF, site="embed & resid_post.1"),)}, "of which nothing is read at embed, resid_p"),
        (
            {"second": None, "second_revision": "main", "dictionaries": (replace(DIFF, site="embed & resid_post.1"),)},
            "second_revision main without a second model",
        ),
        ({"dictionaries": (replace(DIFF, site="resid_post.0 & second.resid_post.7"),)}, "of a model with 2 layers"),
    ],
)
def test_what_cannot_be_read_leaves_nothing(both, changes: dict[str, Any], message: str, tmp_path: Path):
    with pytest.raises(InputError, match=message):
        run(replace(small_run(DIFF, **both), **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_second_model_with_another_tokenizer_is_refused(both, second: Path, tmp_path: Path):
    from transformers import AutoTokenizer

    other = shutil.copytree(second, tmp_path / "other")
    tokenizer = AutoTokenizer.from_pretrained(other)
    tokenizer.add_tokens(["<|turn|>"])
    tokenizer.save_pretrained(other)
    with pytest.raises(InputError, match=r"different tokenizers: token \d+ is none of .* and '<\|turn\|>' of"):
        run(small_run(DIFF, **{**both, "second": str(other)}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
