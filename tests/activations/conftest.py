import pytest
import torch

from monosema import tiny

DOCUMENTS = [f"def function_{i}(x):\n    return x + {i} * {i * i}\n" * (1 + i % 7) for i in range(40)]


@pytest.fixture(scope="session")
def tokenizer():
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny.PATH)


@pytest.fixture(scope="session")
def documents():
    return list(DOCUMENTS)


@pytest.fixture
def model(tokenizer):
    """A random two-layer model that a test may change."""
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    from monosema.models import load_model

    torch.manual_seed(0)
    config = GPTNeoXConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
    )
    return load_model(GPTNeoXForCausalLM(config), tokenizer=tokenizer, device="cpu")
