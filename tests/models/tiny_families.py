"""A tiny random model of each family."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from monosema.models import LoadedModel, load_model

SIZE: dict[str, Any] = {"vocab_size": 64, "max_position_embeddings": 32}
SHAPE: dict[str, Any] = SIZE | {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
}
GROUPED: dict[str, Any] = SHAPE | {"num_key_value_heads": 2}
WIDE_HEADS: dict[str, Any] = GROUPED | {"head_dim": 12, "sliding_window": 4}
LAYERS = 3


def _gpt2():
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(vocab_size=64, n_positions=32, n_embd=32, n_layer=3, n_head=4))


def _gpt_neo():
    from transformers import GPTNeoConfig, GPTNeoForCausalLM

    types = [[["global", "local", "global"], 1]]
    sizes = {"hidden_size": 32, "num_layers": 3, "num_heads": 4, "intermediate_size": 48, "window_size": 4}
    return GPTNeoForCausalLM(GPTNeoConfig(**SIZE, **sizes, attention_types=types))


def _gpt_neox(*, parallel: bool):
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    return GPTNeoXForCausalLM(GPTNeoXConfig(**SHAPE, use_parallel_residual=parallel))


def _causal(name: str, config: str, sizes: dict[str, Any]) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        import transformers

        return getattr(transformers, f"{name}ForCausalLM")(getattr(transformers, config)(**sizes))

    return build


def _gemma3_that_sees():
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration, Gemma3TextConfig, SiglipVisionConfig

    seen = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    vision = SiglipVisionConfig(**seen, image_size=28, patch_size=14)
    ids = {"boi_token_index": 60, "eoi_token_index": 61, "image_token_index": 62}
    config = Gemma3Config(
        text_config=Gemma3TextConfig(**WIDE_HEADS), vision_config=vision, mm_tokens_per_image=4, **ids
    )
    return Gemma3ForConditionalGeneration(config)


def _bert():
    from transformers import BertConfig, BertForMaskedLM

    return BertForMaskedLM(BertConfig(**SHAPE))


BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "gpt2": _gpt2,
    "gpt_neo": _gpt_neo,
    "gpt_neox": lambda: _gpt_neox(parallel=False),
    "gpt_neox_parallel": lambda: _gpt_neox(parallel=True),
    "llama": _causal("Llama", "LlamaConfig", GROUPED),
    "mistral": _causal("Mistral", "MistralConfig", GROUPED | {"sliding_window": 4}),
    "qwen2": _causal("Qwen2", "Qwen2Config", GROUPED),
    "qwen3": _causal("Qwen3", "Qwen3Config", GROUPED | {"head_dim": 12}),
    "gemma2": _causal("Gemma2", "Gemma2Config", WIDE_HEADS),
    "gemma3_text": _causal("Gemma3", "Gemma3TextConfig", WIDE_HEADS),
    "gemma3": _gemma3_that_sees,
    "phi": _causal("Phi", "PhiConfig", GROUPED),
    "bert": _bert,
}


def build(name: str) -> LoadedModel:
    """A model whose weights, biases and norms are all random, so that no part of it is the identity."""
    torch.manual_seed(0)
    module = BUILDERS[name]()
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(std=0.2)
    return load_model(module, device="cpu")
