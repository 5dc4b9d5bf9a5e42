"""Models in TransformerLens' layout, where a module stands at every place of interest and returns what it is given.

`HookedTransformer` and `TransformerBridge` are recognised by their shape, so that TransformerLens need not be there.
"""

from dataclasses import dataclass
from typing import Any

from torch import nn

from monosema.lens_names import LENS_NAMES
from monosema.models.families import Family

LENS = Family(
    "transformer_lens",
    {**LENS_NAMES, "mlp_in": "blocks.{L}.mlp:in"},
    parallel=lambda config: config.parallel,
)
"""Where the short names lie in such a model. No `config.model_type` says so, hence it is not among the families."""


@dataclass(frozen=True)
class LensConfig:
    """What TransformerLens' configuration says, under the names of Hugging Face's."""

    num_hidden_layers: int
    num_attention_heads: int
    hidden_size: int
    head_dim: int
    vocab_size: int
    max_position_embeddings: int
    parallel: bool
    """Whether attention and MLP read the same stream."""

    def get_text_config(self) -> "LensConfig":
        """Itself: it describes a language model alone."""
        return self


def lens_config(module: nn.Module) -> LensConfig | None:
    """The configuration of a causal model in TransformerLens' layout; None of any other.

    Its encoders (`HookedEncoder`) are others: they have hooks of the same names at places that mean something else.
    """
    cfg: Any = getattr(module, "cfg", None)
    needed = ("n_layers", "n_heads", "d_model", "d_head", "d_vocab", "n_ctx", "attention_dir")
    if not all(hasattr(cfg, name) for name in needed) or cfg.attention_dir != "causal":
        return None
    if not all(isinstance(getattr(module, part, None), nn.Module) for part in ("blocks", "hook_embed", "unembed")):
        return None
    return LensConfig(
        num_hidden_layers=cfg.n_layers,
        num_attention_heads=cfg.n_heads,
        hidden_size=cfg.d_model,
        head_dim=cfg.d_head,
        vocab_size=cfg.d_vocab,
        max_position_embeddings=cfg.n_ctx,
        parallel=bool(getattr(cfg, "parallel_attn_mlp", False)),
    )
