"""What the places of a transformer are called in each model family of Hugging Face.

| short name | the activation there |
| --- | --- |
| `embed` | what the token embedding returns |
| `resid_pre.L` | the residual stream that enters layer L |
| `resid_mid.L` | the residual stream between attention and MLP (only where they follow each other) |
| `resid_post.L` | the residual stream that leaves layer L |
| `attn_z.L` | the heads' outputs side by side, before the output projection |
| `attn_z.L.H` | that of head H alone |
| `attn_out.L` | what attention adds to the residual stream |
| `mlp_in.L` | what the MLP is given, after the norm |
| `mlp_out.L` | what the MLP adds to the residual stream |
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from monosema.registry import Registry

KINDS = ("embed", "resid_pre", "resid_mid", "resid_post", "attn_z", "attn_out", "mlp_in", "mlp_out")
"""The kinds of short names; all but `embed` take a layer."""


_STREAMS = frozenset({"resid_pre", "resid_mid", "resid_post"})


@dataclass(frozen=True)
class MLPParts:
    """The modules of a layer's MLP, relative to the base model, with `{L}` for the layer."""

    reads: Mapping[str, str]
    """The projections from the MLP's input to its neurons: `gate` and `up` of a gated MLP, "" of another."""
    writes: str
    """The projection from the neurons."""
    before: str | None = None
    """The norm between the stream and `mlp_in`."""
    after: str | None = None
    """The norm between the last projection and `mlp_out`."""
    streams: frozenset[str] = _STREAMS
    """The kinds of hook points of the stream that the MLP reads through `before`, or adds `mlp_out` to."""


@dataclass(frozen=True, eq=False)
class Family:
    """Where the short names lie in the models of one `config.model_type`.

    `templates` has a hook point for each short name, relative to the base model, with `{L}` for the layer.
    `transformer_lens` has those that TransformerLens puts elsewhere under the same name. `parallel` tells from a
    configuration whether attention and MLP read the same stream, so that there is no `resid_mid`. `causal` says whether
    a position sees only those before it. `mlp` names the modules of the MLPs, where they are known.
    """

    name: str
    templates: Mapping[str, str] = field(repr=False)
    transformer_lens: Mapping[str, str] = field(default_factory=dict, repr=False)
    parallel: Callable[[Any], bool] = field(default=lambda config: False, repr=False)
    causal: bool = True
    mlp: MLPParts | None = field(default=None, repr=False)

    def layers(self, config: Any) -> int:
        """The number of layers of the model with this configuration."""
        return config.get_text_config().num_hidden_layers


families: Registry[Family] = Registry("model family")

# GPT-Neo names its modules as GPT-2 does, but for what is inside attention.
_GPT2 = {
    "embed": "wte",
    "resid_pre": "h.{L}:in",
    "resid_mid": "h.{L}.ln_2:in",
    "resid_post": "h.{L}",
    "attn_out": "h.{L}.attn",
    "attn_z": "h.{L}.attn.c_proj:in",
    "mlp_in": "h.{L}.mlp:in",
    "mlp_out": "h.{L}.mlp",
}
_GPT_NEO = _GPT2 | {"attn_z": "h.{L}.attn.attention.out_proj:in"}
_LLAMA = {
    "embed": "embed_tokens",
    "resid_pre": "layers.{L}:in",
    "resid_mid": "layers.{L}.post_attention_layernorm:in",
    "resid_post": "layers.{L}",
    "attn_out": "layers.{L}.self_attn",
    "attn_z": "layers.{L}.self_attn.o_proj:in",
    "mlp_in": "layers.{L}.mlp:in",
    "mlp_out": "layers.{L}.mlp",
}
# Gemma 2 and 3 normalise what attention and MLP return before it is added to the stream.
_GEMMA = _LLAMA | {
    "resid_mid": "layers.{L}.pre_feedforward_layernorm:in",
    "attn_out": "layers.{L}.post_attention_layernorm",
    "mlp_out": "layers.{L}.post_feedforward_layernorm",
}
_GPT_NEOX = _LLAMA | {
    "embed": "embed_in",
    "attn_out": "layers.{L}.attention",
    "attn_z": "layers.{L}.attention.dense:in",
}
_PHI = {kind: place for kind, place in _LLAMA.items() if kind != "resid_mid"} | {
    "attn_z": "layers.{L}.self_attn.dense:in"
}
# BERT normalises after each addition (post-LN): the stream is what the norms return, and what is added to it is what
# the dense layers before them return. The MLP is `intermediate` and `output.dense`.
_BERT = {
    "embed": "embeddings.word_embeddings",
    "resid_pre": "encoder.layer.{L}:in",
    "resid_mid": "encoder.layer.{L}.attention.output",
    "resid_post": "encoder.layer.{L}",
    "attn_out": "encoder.layer.{L}.attention.output.dense",
    "attn_z": "encoder.layer.{L}.attention.output.dense:in",
    "mlp_in": "encoder.layer.{L}.intermediate:in",
    "mlp_out": "encoder.layer.{L}.output.dense",
}
# TransformerLens hooks BERT's sums before they are normalised.
_BERT_SUMS = {
    "resid_mid": "encoder.layer.{L}.attention.output.LayerNorm:in",
    "resid_post": "encoder.layer.{L}.output.LayerNorm:in",
}

_GPT2_MLP = MLPParts({"": "h.{L}.mlp.c_fc"}, "h.{L}.mlp.c_proj", before="h.{L}.ln_2")
_GATED = {"gate": "layers.{L}.mlp.gate_proj", "up": "layers.{L}.mlp.up_proj"}
_LLAMA_MLP = MLPParts(_GATED, "layers.{L}.mlp.down_proj", before="layers.{L}.post_attention_layernorm")
_GEMMA_MLP = MLPParts(
    _GATED,
    "layers.{L}.mlp.down_proj",
    before="layers.{L}.pre_feedforward_layernorm",
    after="layers.{L}.post_feedforward_layernorm",
)
_GPT_NEOX_MLP = MLPParts(
    {"": "layers.{L}.mlp.dense_h_to_4h"},
    "layers.{L}.mlp.dense_4h_to_h",
    before="layers.{L}.post_attention_layernorm",
)
_PHI_MLP = MLPParts({"": "layers.{L}.mlp.fc1"}, "layers.{L}.mlp.fc2", before="layers.{L}.input_layernorm")
_BERT_MLP = MLPParts(
    {"": "encoder.layer.{L}.intermediate.dense"},
    "encoder.layer.{L}.output.dense",
    streams=frozenset({"resid_mid"}),  # the stream that leaves a layer is normalised after the MLP's sum
)


def _inside(part: str, places: Mapping[str, str], mlp: MLPParts) -> tuple[dict[str, str], MLPParts]:
    """The places, and the parts of the MLP, of a base model that is a part of another one."""

    def inside(place: str) -> str:
        return f"{part}.{place}"

    reads = {name: inside(place) for name, place in mlp.reads.items()}
    norms = {name: inside(place) for name in ("before", "after") if (place := getattr(mlp, name))}
    return {kind: inside(place) for kind, place in places.items()}, replace(
        mlp, reads=reads, writes=inside(mlp.writes), **norms
    )


# The larger Gemma 3 models see too; their text model is a part of the base model.
_GEMMA_THAT_SEES, _GEMMA_THAT_SEES_MLP = _inside("language_model", _GEMMA, _GEMMA_MLP)

for _family in (
    Family("gpt2", _GPT2, mlp=_GPT2_MLP),
    Family("gpt_neo", _GPT_NEO, mlp=_GPT2_MLP),
    Family("gpt_neox", _GPT_NEOX, parallel=lambda config: config.use_parallel_residual, mlp=_GPT_NEOX_MLP),
    Family("llama", _LLAMA, mlp=_LLAMA_MLP),
    Family("mistral", _LLAMA, mlp=_LLAMA_MLP),
    Family("qwen2", _LLAMA, mlp=_LLAMA_MLP),
    Family("qwen3", _LLAMA, mlp=_LLAMA_MLP),
    Family("gemma2", _GEMMA, mlp=_GEMMA_MLP),
    Family("gemma3_text", _GEMMA, mlp=_GEMMA_MLP),
    Family("gemma3", _GEMMA_THAT_SEES, mlp=_GEMMA_THAT_SEES_MLP),
    Family("phi", _PHI, parallel=lambda config: True, mlp=_PHI_MLP),
    Family("bert", _BERT, transformer_lens=_BERT_SUMS, causal=False, mlp=_BERT_MLP),
):
    families.register(_family.name)(_family)
