"""GPT-2's computation in TransformerLens' layout, for an environment without TransformerLens; and the real thing."""

from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from monosema import tiny

LAYERS, HEADS, D = 3, 4, 32


def gpt2() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    sizes: dict[str, Any] = {
        "n_positions": 32,
        "n_ctx": 32,
    }  # TransformerLens asks for n_ctx, which others have dropped
    config = GPT2Config(vocab_size=64, n_embd=D, n_layer=LAYERS, n_head=HEADS, **sizes)
    return _random(GPT2LMHeadModel(config))


def gpt_neox(parallel: bool) -> Any:
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    sizes: dict[str, Any] = {
        "hidden_size": D,
        "intermediate_size": 48,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
    }
    config = GPTNeoXConfig(vocab_size=64, max_position_embeddings=32, use_parallel_residual=parallel, **sizes)
    return _random(GPTNeoXForCausalLM(config))


def _random(module: Any) -> Any:
    """All weights random, so that no norm and no bias is nothing."""
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(std=0.2)
    return module.eval()


class Hook(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


class Attention(nn.Module):
    """The heads of one layer of GPT-2, each with matrices of its own."""

    def __init__(self, theirs: Any):
        super().__init__()
        qkv = theirs.c_attn.weight.detach().reshape(D, 3, HEADS, D // HEADS).permute(1, 2, 0, 3)
        self.W = nn.Parameter(qkv)  # [q k v, head, d, d_head]
        self.b = nn.Parameter(theirs.c_attn.bias.detach().reshape(3, HEADS, D // HEADS))
        self.W_O = nn.Parameter(theirs.c_proj.weight.detach().reshape(HEADS, D // HEADS, D))
        self.b_O = nn.Parameter(theirs.c_proj.bias.detach().clone())
        self.hook_z = Hook()

    def forward(self, query_input: Tensor, key_input: Tensor, value_input: Tensor) -> Tensor:
        inputs = torch.stack([query_input, key_input, value_input])
        q, k, v = torch.einsum("ibpd,ihde->ibphe", inputs, self.W) + self.b[:, None, None]
        scores = torch.einsum("bphe,bqhe->bhpq", q, k) / (D // HEADS) ** 0.5
        future = torch.ones(scores.shape[-2:]).triu(1).bool()
        pattern = scores.masked_fill(future, -torch.inf).softmax(-1)
        z = self.hook_z(torch.einsum("bhpq,bqhe->bphe", pattern, v))
        return torch.einsum("bphe,hed->bpd", z, self.W_O) + self.b_O


class Block(nn.Module):
    def __init__(self, theirs: Any):
        super().__init__()
        self.ln1, self.ln2, self.mlp = deepcopy(theirs.ln_1), deepcopy(theirs.ln_2), deepcopy(theirs.mlp)
        self.attn = Attention(theirs.attn)
        self.hook_resid_pre, self.hook_resid_mid, self.hook_resid_post = Hook(), Hook(), Hook()
        self.hook_attn_out, self.hook_mlp_out, self.hook_mlp_in = Hook(), Hook(), Hook()

    def forward(self, x: Tensor) -> Tensor:
        x = self.hook_resid_pre(x)
        normed = self.ln1(x)
        x = self.hook_resid_mid(x + self.hook_attn_out(self.attn(normed, key_input=normed, value_input=normed)))
        return self.hook_resid_post(x + self.hook_mlp_out(self.mlp(self.ln2(x))))


class StandIn(nn.Module):
    """What monosema knows of a `HookedTransformer`: the places of its modules, `cfg`, and a few of its weights."""

    def __init__(self, theirs: Any):
        super().__init__()
        sizes = {"d_model": D, "n_layers": LAYERS, "n_heads": HEADS, "d_head": D // HEADS, "d_vocab": 64, "n_ctx": 32}
        self.cfg = SimpleNamespace(**sizes, attention_dir="causal", parallel_attn_mlp=False)
        base = theirs.transformer
        self.embed, self.pos_embed, self.ln_final = deepcopy(base.wte), deepcopy(base.wpe), deepcopy(base.ln_f)
        self.unembed = deepcopy(theirs.lm_head)
        self.blocks = nn.ModuleList(Block(theirs_too) for theirs_too in base.h)
        self.hook_embed, self.hook_pos_embed = Hook(), Hook()

    @property
    def W_E(self) -> Tensor:
        return self.embed.weight

    @property
    def b_V(self) -> Tensor:
        return torch.stack([block.attn.b[2] for block in self.blocks])  # pyright: ignore

    @property
    def b_O(self) -> Tensor:
        return torch.stack([block.attn.b_O for block in self.blocks])  # pyright: ignore

    def forward(self, ids: Tensor) -> Tensor:
        x = self.hook_embed(self.embed(ids)) + self.hook_pos_embed(self.pos_embed(torch.arange(ids.shape[1])))
        for block in self.blocks:
            x = block(x)
        return self.unembed(self.ln_final(x))


def tokenizer() -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(tiny.PATH)


def hooked(theirs: Any, folder: Path, *, processed: bool) -> Any:
    """TransformerLens' own `HookedTransformer` of a Hugging Face model."""
    lens = pytest.importorskip("transformer_lens")
    from transformer_lens.loading_from_pretrained import convert_hf_model_config  # pyright: ignore
    from transformer_lens.pretrained import weight_conversions  # pyright: ignore

    theirs.save_pretrained(folder)
    cfg = lens.HookedTransformerConfig.from_dict(convert_hf_model_config(str(folder)) | {"device": "cpu"})
    model = lens.HookedTransformer(cfg, tokenizer(), move_to_device=False)
    kind = "neox" if "NeoX" in type(theirs).__name__ else "gpt2"
    state = getattr(weight_conversions, f"convert_{kind}_weights")(deepcopy(theirs), cfg)
    steps = ("fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases")
    model.load_and_process_state_dict(state, **dict.fromkeys(steps, processed))
    return model


def bridge(theirs: Any, folder: Path, *, processed: bool) -> Any:
    """TransformerLens' `TransformerBridge` around a Hugging Face model."""
    model_bridge = pytest.importorskip("transformer_lens.model_bridge")
    theirs.save_pretrained(folder)
    boot = model_bridge.TransformerBridge.boot_transformers
    model = boot(str(folder), hf_model=deepcopy(theirs), tokenizer=tokenizer(), device="cpu")
    if processed:
        model.enable_compatibility_mode()
    return model
