"""The embedded model as TransformerLens knows models: the same weights, nothing done to them."""

# pyright: reportMissingImports=false
from typing import Any

import torch


def hooked_transformer(folder: str, dtype: torch.dtype = torch.float32) -> Any:
    """A `HookedTransformer` of a GPT-NeoX model in Hugging Face format.

    Args:
        folder: of the model and its tokenizer.
        dtype: what it computes in.
    """
    from transformer_lens import HookedTransformer, HookedTransformerConfig
    from transformer_lens.loading_from_pretrained import convert_hf_model_config
    from transformer_lens.pretrained.weight_conversions import convert_neox_weights
    from transformers import AutoModelForCausalLM, AutoTokenizer

    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config = HookedTransformerConfig.from_dict(convert_hf_model_config(folder) | {"device": "cpu"})
    model = HookedTransformer(config, AutoTokenizer.from_pretrained(folder), move_to_device=False)
    steps = ("fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases")
    model.load_and_process_state_dict(convert_neox_weights(theirs, config), **dict.fromkeys(steps, False))
    return model.to(dtype).eval()
