"""The field's reference runs work from end to end, on a random little model of the same family and as many layers."""

import subprocess
import sys
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
    if path.stem == "pythia-70m":
        _stands_beside_what_was_published(tmp_path / "run")
    assert table.headers[1:] == ["Variance Explained (%)", "L1", "L0", "% Alive", "CE Diff", "% CE Recovered"]


def _stands_beside_what_was_published(folder: Path) -> None:
    """Each of the suite's nineteen hook points has a row of the published figures, and one of the run's."""
    script = FOLDER.parents[1] / "scripts" / "reference_table.py"
    printed = subprocess.run([sys.executable, script, folder], capture_output=True, text=True, check=True).stdout
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines()[2:]]
    assert len(rows) == 2 * 19
    assert [row[1] for row in rows] == ["published", "monosema"] * 19
    assert all("–" not in row[:5] + row[6:] for row in rows)  # alive asks for 8,192 tokens
    assert rows[0] == ["mlp_out.0", "published", "92", "8", "128", "17", "0.02", "99"]


def _fitting(recipe: Any) -> Any:
    """With as many active features as a little width can have."""
    few = {name: 4 for name in ("k", "target_l0") if getattr(recipe, name, None)}
    return replace(recipe, **few)
