"""A tiny random model of each family."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

from monosema.models import LoadedModel, load_model

LAYERS = 3
SIZE = {"vocab_size": 64, "max_position_embeddings": 32, "hidden_size": 32}
SHAPE = SIZE | {"intermediate_size": 48, "num_hidden_layers": LAYERS, "num_attention_heads": 4}
GROUPED = SHAPE | {"num_key_value_heads": 2}
WINDOW = GROUPED | {"sliding_window": 4}
CAPPED = {"head_dim": 12, "attn_implementation": "eager"}  # only this caps attention logits; not every version knows it


def of_class(model: str, config: str, **sizes: Any) -> nn.Module:
    import transformers

    return getattr(transformers, model)(getattr(transformers, config)(**sizes))


def gemma3_that_sees() -> nn.Module:
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    seen = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    return Gemma3ForConditionalGeneration(
        Gemma3Config(
            text_config=WINDOW | {"head_dim": 12},
            vision_config=seen | {"image_size": 28, "patch_size": 14},
            mm_tokens_per_image=4,
            boi_token_index=60,
            eoi_token_index=61,
            image_token_index=62,
        )
    )


BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "gpt2": partial(
        of_class, "GPT2LMHeadModel", "GPT2Config", vocab_size=64, n_positions=32, n_embd=32, n_layer=LAYERS, n_head=4
    ),
    "gpt_neo": partial(
        of_class,
        "GPTNeoForCausalLM",
        "GPTNeoConfig",
        **SIZE,
        num_layers=LAYERS,
        num_heads=4,
        intermediate_size=48,
        window_size=4,
        attention_types=[[["global", "local", "global"], 1]],
    ),
    "gpt_neox": partial(of_class, "GPTNeoXForCausalLM", "GPTNeoXConfig", **SHAPE, use_parallel_residual=False),
    "gpt_neox_parallel": partial(of_class, "GPTNeoXForCausalLM", "GPTNeoXConfig", **SHAPE, use_parallel_residual=True),
    "llama": partial(of_class, "LlamaForCausalLM", "LlamaConfig", **GROUPED),
    "mistral": partial(of_class, "MistralForCausalLM", "MistralConfig", **WINDOW),
    "qwen2": partial(of_class, "Qwen2ForCausalLM", "Qwen2Config", **GROUPED),
    "qwen3": partial(of_class, "Qwen3ForCausalLM", "Qwen3Config", **GROUPED, head_dim=12),
    "gemma2": partial(of_class, "Gemma2ForCausalLM", "Gemma2Config", **WINDOW, **CAPPED),
    "gemma3_text": partial(of_class, "Gemma3ForCausalLM", "Gemma3TextConfig", **WINDOW, head_dim=12),
    "gemma3": gemma3_that_sees,
    "phi": partial(of_class, "PhiForCausalLM", "PhiConfig", **GROUPED),
    "bert": partial(of_class, "BertForMaskedLM", "BertConfig", **SHAPE),
}


def build(name: str) -> LoadedModel:
    """A model whose weights, biases and norms are all random, so that no part of it is the identity."""
    torch.manual_seed(0)
    module = BUILDERS[name]()
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(std=0.2)
    return load_model(module, device="cpu")


def hooks_of(module: nn.Module) -> int:
    """How many hooks are on a module and its parts."""
    return sum(len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules())
