"""What the tests of the main job and of the command line run: a random little model, a little text, little runs."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from monosema import tiny
from monosema.recipes import Recipe, recipes
from monosema.runs import Interrupted, interrupt, run
from monosema.runs.config import DictionaryConfig, RunConfig
from monosema.training import ProgressBar

D, LAYERS, DOCUMENTS = 16, 2, 200
SMALL: dict[str, Any] = {
    "tokens": 1024,
    "batch_size": 64,
    "context": 32,
    "buffer": 256,
    "heldout_tokens": 512,
    "log_every": 4,
    "device": "cpu",
}


def save_model(folder: Path, d: int = D, seed: int = 0, longest: int = 64) -> Path:
    """A random GPT-NeoX of two layers, with the embedded model's tokeniser."""
    from transformers import AutoTokenizer, GPTNeoXConfig, GPTNeoXForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(tiny.PATH)
    torch.manual_seed(seed)
    config = GPTNeoXConfig(
        vocab_size=len(tokenizer),
        hidden_size=d,
        num_hidden_layers=LAYERS,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=longest,
        use_parallel_residual=False,
    )
    GPTNeoXForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def document(number: int) -> str:
    """No two are alike, and each names itself."""
    return f"document_{number} = [x * {number} for x in range({number * number})]\n" * 4


def write_corpus(path: Path, documents: int = DOCUMENTS) -> Path:
    path.write_text("".join(json.dumps({"text": document(i)}) + "\n" for i in range(documents)), encoding="utf-8")
    return path


def recipe(name: str, **hyper_parameters: Any) -> Recipe:
    return recipes[name](**hyper_parameters)


def small_run(*dictionaries: DictionaryConfig, **changes: Any) -> RunConfig:
    """A run of a moment; by default of one TopK dictionary on a file's activations."""
    default = DictionaryConfig(recipe("topk", k=4), site="activations", width=32)
    return RunConfig(dictionaries=dictionaries or (default,), **{**SMALL, **changes})


def options(**changes: Any) -> list[str]:
    """The same run as options of the command line."""
    named = {**SMALL, "width": 32, **changes}
    return [word for name, value in named.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def interrupted_run(config: RunConfig, out: Path, step: int = 7) -> None:
    """A run that is told to stop behind a step."""

    def stop(self: ProgressBar, at: int, metrics: Any) -> None:
        if at == step:
            raise interrupt.Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ProgressBar, "on_step", stop)
        with pytest.raises(Interrupted):
            run(config, out)


def weights_of(out: Path) -> dict[str, bytes]:
    """The files of weights of a run's dictionaries, by name."""
    return {path.parent.name: path.read_bytes() for path in out.glob("dictionaries/*/*.safetensors")}
