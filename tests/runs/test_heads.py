"""The command that looks at heads: figures, and a page."""

import json
from pathlib import Path

import pytest
import torch

from monosema import tiny
from monosema.cli.heads import main
from monosema.errors import InputError
from monosema.runs import DictionaryConfig, run
from monosema.runs.heads import heads_of_folder, write_heads
from tests.runs.results import Page
from tests.runs.tiny_run import recipe, small_run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, model: Path, corpus: Path) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "heads"
    heads = DictionaryConfig(recipe("topk", k=4), site="attn_z.1", width=64, blocks="heads", name="by <head>")
    run(small_run(heads, model=str(model), text=str(corpus)), folder)
    return folder


def test_figures_are_those_of_the_evaluation(trained: Path):
    (found,) = heads_of_folder(trained, device="cpu").values()
    metrics = found.evaluation.metrics
    assert [head.l0 for head in found.heads.heads] == pytest.approx(list(metrics.l0_per_block or ()))
    assert sum(head.live for head in found.heads.heads) == pytest.approx(metrics.alive * 64)
    for number, head in enumerate(found.heads.heads):
        assert 1 <= head.topics <= max(head.compared, 1)
        assert head.repeated <= head.together <= head.compared <= head.live
        assert all(index // 32 in (0, 1) for index in found.examples)
        assert any(index // 32 == number for index in found.examples)


def test_the_page_shows_every_head_and_no_markup_of_names(trained: Path, tmp_path: Path):
    found = heads_of_folder(trained, device="cpu")
    write_heads(tmp_path / "heads.html", found)
    page = Page(tmp_path / "heads.html")
    assert "by <head>" in page.text
    assert "Head 0" in page.text
    assert "Head 1" in page.text
    assert not any(value.startswith("http") for _, value in page.attributes)


def test_the_command_prints_and_writes(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    main([str(trained), "--device", "cpu", "--out", str(tmp_path / "page.html"), "--json"])
    figures = json.loads(capsys.readouterr().out)
    assert len(figures["by <head>"]["heads"]) == 2
    assert (tmp_path / "page.html").is_file()
    main([str(trained), "--device", "cpu"])
    assert "head 1" in capsys.readouterr().out
    assert (trained / "heads.html").is_file()


def test_dictionaries_of_other_places_are_refused_and_leave_no_page(finished: Path, tmp_path: Path):
    with pytest.raises(InputError, match="a block for each head"):
        main([str(finished), "--device", "cpu", "--out", str(tmp_path / "page.html")])
    assert not any(tmp_path.iterdir())


def test_heads_that_share_keys_and_values_have_a_block_each(corpus: Path, tmp_path: Path):
    """Grouped-query attention: four heads of queries on two of keys and values."""
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(tiny.PATH)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
    )
    LlamaForCausalLM(config).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    dictionary = DictionaryConfig(recipe("topk", k=4), site="attn_z.1", width=64, blocks="heads", name="grouped")
    result = run(small_run(dictionary, model=str(tmp_path / "model"), text=str(corpus)), tmp_path / "run")
    assert len(result.metrics["grouped"].l0_per_block or ()) == 4
    (found,) = heads_of_folder(tmp_path / "run", device="cpu").values()
    assert len(found.heads.heads) == 4
