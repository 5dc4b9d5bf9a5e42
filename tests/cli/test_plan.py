"""`monosema plan`: what a run would take, and the refusal of one that cannot fit."""

import json
from pathlib import Path

import pytest

from monosema.cli.arguments import field_docs
from monosema.cli.plan import Plan
from tests.cli.conftest import Command

LLAMA = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
    "dtype": "bfloat16",
}
RUN = """
tokens: 1e9
batch_size: 32768
context: 1024
dictionaries:
  - {site: [resid_post.15, resid_post.31], width: 131072, recipe: {name: batch_topk, k: 64}}
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of an 8 B model of which there is nothing but its configuration."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text(json.dumps(LLAMA))
    (tmp_path / "run.yaml").write_text(f"model: {tmp_path / 'model'}\n{RUN}")
    return tmp_path / "run.yaml"


def test_it_says_what_a_run_takes_of_a_model_that_is_not_there(monosema: Command, run: Path):
    ended = monosema("plan", run, "--hardware", "h100", "--ranks", "8")
    assert (ended.status, ended.err) == (0, "")
    for word in ("model", "dictionaries", "8 × h100", "time", "each device", "each machine", "disk", "It fits"):
        assert word in ended.out


def test_json_has_the_same_figures(monosema: Command, run: Path):
    found = json.loads(monosema("plan", run, "--json").out)
    assert found["workload"]["model"]["weights"] == pytest.approx(2 * 8.03e9, rel=0.01)
    assert found["workload"]["model"]["flops"] == pytest.approx(14.5e9, rel=0.01)
    assert found["plan"]["duration"] == sum(found["plan"]["seconds"].values())
    assert found["plan"]["fits"] is True


@pytest.mark.slow
def test_a_run_that_does_not_fit_is_refused_with_what_to_change(monosema: Command, run: Path):
    ended = monosema("plan", run, "--memory", "60e9")
    assert ended.status == 2
    assert "expected at most 55.9 GiB; 2 ranks with parallel: {feature: " in ended.err
    assert "It does not fit" in ended.out


def test_figures_that_are_given_take_the_place_of_the_data_sheets(monosema: Command, run: Path):
    def duration(*options: str) -> float:
        return json.loads(monosema("plan", run, "--json", *options).out)["plan"]["duration"]

    assert duration("--efficiency", "0.9") < duration()
    assert duration("--bandwidth", "1e12") > duration()
    assert duration("--ranks", "16", "--gpus-per-node", "16") < duration("--ranks", "16")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--hardware", "h1000"), "unknown hardware 'h1000'"),
        (("--ranks", "0"), "--ranks 0"),
        (("--ranks", "3"), "batches of 32768 tokens for 3 ranks"),
        (("--memory", "-1"), "memory = -1"),
    ],
)
def test_bad_options_are_refused(monosema: Command, run: Path, options: tuple[str, ...], message: str):
    ended = monosema("plan", run, *options)
    assert ended.status == 2
    assert message in ended.err


def test_every_option_is_documented():
    assert all(field_docs(Plan).values())
