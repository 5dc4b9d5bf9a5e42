"""What TransformerLens calls the places of a transformer that have short names here."""

LENS_NAMES = {
    "embed": "hook_embed",
    "resid_pre": "blocks.{L}.hook_resid_pre",
    "resid_mid": "blocks.{L}.hook_resid_mid",
    "resid_post": "blocks.{L}.hook_resid_post",
    "attn_z": "blocks.{L}.attn.hook_z",
    "attn_out": "blocks.{L}.hook_attn_out",
    "mlp_out": "blocks.{L}.hook_mlp_out",
}
"""`mlp_in` has none: TransformerLens' `hook_mlp_in` lies before the norm."""
