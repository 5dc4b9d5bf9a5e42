"""A tiny random language model, and dictionaries whose every metric is known."""

from dataclasses import is_dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from monosema.dictionaries import Dictionary, ReLU, Spec, TopK, initialise_
from monosema.models import LoadedModel, load_model

D, VOCABULARY, SPECIAL = 12, 50, 0
POINT = "resid_post.0"
MLP_IN, MLP_OUT = "gpt_neox.layers.1.mlp:in", "gpt_neox.layers.1.mlp"


def random_model(special: tuple[int, ...] = (SPECIAL,), dtype: torch.dtype = torch.float64) -> LoadedModel:
    """Two layers of GPT-NeoX; in float64, so that rounding does not hide what a test looks for."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    config = GPTNeoXConfig(
        vocab_size=VOCABULARY,
        hidden_size=D,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=32,
        initializer_range=0.6,  # large, so that every layer matters
    )
    tokenizer: Any = SimpleNamespace(all_special_ids=list(special))
    torch.manual_seed(1)
    return load_model(GPTNeoXForCausalLM(config), tokenizer=tokenizer, device="cpu", dtype=dtype)


def random_contexts(n: int = 6, length: int = 10) -> Tensor:
    """Random ids with special tokens at the beginning and here and there."""
    ids = torch.randint(1, VOCABULARY, (n, length), generator=torch.Generator().manual_seed(2))
    ids[:, 0] = SPECIAL
    ids[1::2, 5] = SPECIAL
    return ids


def spec(d: int, width: int, reads: str = POINT, writes: str | None = None, d_out: int | None = None) -> Spec:
    wiring = "autoencoder" if writes is None else "transcoder"
    return Spec(d, d_out or d, width, (reads,), (writes or reads,), wiring)


def scaling(factor: float, d: int = D, point: str = POINT) -> Dictionary:
    """x̂ = factor · x, with codes relu(x) and relu(−x)."""
    dictionary = Dictionary(spec(d, 2 * d, point), ReLU(2 * d)).double().eval()
    with torch.no_grad():
        dictionary.W_enc.copy_(torch.cat([torch.eye(d), -torch.eye(d)], dim=1))
        dictionary.W_dec.copy_(factor * dictionary.W_enc.mT)
    return dictionary


def constant(x: Tensor, point: str = POINT) -> Dictionary:
    """x̂ = `x`, whatever is read."""
    dictionary = Dictionary(spec(len(x), 4, point), ReLU(4)).double().eval()
    dictionary.b_dec = nn.Parameter(x.double().clone())
    return dictionary


def random_dictionary(width: int = 40, k: int = 4, seed: int = 0, **where: Any) -> Dictionary:
    dictionary = Dictionary(spec(D, width, **where), TopK(width, k)).double().eval()
    initialise_(dictionary, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        dictionary.b_dec.normal_(generator=torch.Generator().manual_seed(seed))
    return dictionary


def assert_same(one: object, other: object, rel: float, name: str = "") -> None:
    """Metrics agree, and what they hold: numbers up to `rel`, all else exactly."""
    if isinstance(one, tuple):
        assert isinstance(other, tuple), name
        assert len(one) == len(other), name
        for each, its in zip(one, other, strict=True):
            assert_same(each, its, rel, name)
    elif is_dataclass(one):
        assert vars(one).keys() == vars(other).keys(), name
        for field, value in vars(one).items():
            assert_same(value, vars(other)[field], rel, f"{name}.{field}")
    else:
        assert other == (pytest.approx(one, rel=rel, abs=rel) if isinstance(one, float) else one), name
