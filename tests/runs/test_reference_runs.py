"""The field's reference runs work from end to end, on a random little model of the same family and as many layers."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from monosema import tiny
from monosema.config import load_yaml
from monosema.evaluation import table_rows
from monosema.runs import RunConfig, run
from tests.models.tiny_families import of_class
from tests.runs.tiny_run import SMALL

FOLDER = Path(__file__).parents[2] / "configs" / "reference"
LITTLE = {"hidden_size": 24, "intermediate_size": 32, "max_position_embeddings": 64}
MODELS = {
    "EleutherAI/pythia-70m-deduped": partial(
        of_class, "GPTNeoXForCausalLM", "GPTNeoXConfig", **LITTLE, num_hidden_layers=6, num_attention_heads=2
    ),
    "openai-community/gpt2": partial(
        of_class, "GPT2LMHeadModel", "GPT2Config", n_positions=64, n_embd=24, n_layer=12, n_head=12
    ),
    "google/gemma-2-2b": partial(
        of_class,
        "Gemma2ForCausalLM",
        "Gemma2Config",
        **LITTLE,
        num_hidden_layers=26,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=12,
    ),
}


def little(name: str, folder: Path) -> Path:
    """A random model of the family that `name` is of, with the embedded model's tokeniser."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny.PATH)
    torch.manual_seed(0)
    module: Any = MODELS[name](vocab_size=len(tokenizer))
    module.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_reference_run_trains_measures_and_reports(path: Path, corpus: Path, tmp_path: Path):
    config = load_yaml(RunConfig, path)
    shrunk = tuple(replace(d, width=24, expansion=None, recipe=_fitting(d.recipe)) for d in config.dictionaries)
    changes = {**SMALL, "model": str(little(config.model, tmp_path / "model")), "text": str(corpus)}
    result = run(replace(config, dictionaries=shrunk, checkpoint_every=None, **changes), tmp_path / "run")
    assert len(result.metrics) == len(config.dictionaries)
    assert (tmp_path / "run" / "report.html").exists()
    table = table_rows(result.metrics)
    assert table.headers[1:] == ["Variance Explained (%)", "L1", "L0", "% Alive", "CE Diff", "% CE Recovered"]


def _fitting(recipe: Any) -> Any:
    """With as many active features as a little width can have."""
    few = {name: 4 for name in ("k", "target_l0") if getattr(recipe, name, None)}
    return replace(recipe, **few)
