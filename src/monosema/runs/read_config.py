"""What a run and a harvest have in common: the model that reads, its text, and what is kept of it."""

from dataclasses import dataclass, field

from monosema.activations import Keep


@dataclass(frozen=True, kw_only=True)
class ReadConfig:
    """What is read, and by what."""

    model: str = "tiny"
    """Model to read: a Hugging Face name, a local folder, or `tiny`, the embedded one."""
    revision: str | None = None
    """Revision of the model on the hub."""
    dtype: str = "auto"
    """Precision of the model: auto, float32, bfloat16 or float16."""
    text: str = "tiny:train"
    """Text to read: a .txt, .jsonl or .parquet file, a folder, hf:NAME, or tiny:train."""
    context: int = 256
    """Tokens that the model reads at once."""
    shuffle: int = 16_777_216
    """Tokens of text among which contexts are shuffled before the model reads them (8 bytes each)."""
    keep: Keep = field(default_factory=Keep)
    """Which tokens' activations are left out."""
