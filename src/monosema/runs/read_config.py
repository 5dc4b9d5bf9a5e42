"""What a run and a harvest have in common: the model that reads, its text, and what is kept of it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from monosema.activations import Keep
from monosema.errors import InputError
from monosema.models import of_second


@dataclass(frozen=True, kw_only=True)
class ReadConfig:
    """What is read, and by what."""

    model: str = "tiny"
    """Model to read: a Hugging Face name, a local folder, or `tiny`, the embedded one."""
    revision: str | None = None
    """Revision of the model on the hub."""
    second: str | None = None
    """A second model, with the tokenizer of the first, to read beside it: a Hugging Face name or a local folder. Its
    hook points are second.resid_post.2, ...; a crosscoder of both compares them."""
    second_revision: str | None = None
    """Revision of the second model on the hub."""
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

    def check_second(self, points: Iterable[str]) -> None:
        """Refuses a second model of which none of some hook points is.

        Raises:
            InputError: it is so.
        """
        points = list(points)
        if self.second is not None and not any(map(of_second, points)):
            raise InputError(
                f"a second model, {self.second}, of which nothing is read at {', '.join(points)}",
                expected="a hook point of it, such as second.resid_post.2",
                hint="leave second out, or join two hook points: --site 'resid_post.2 & second.resid_post.2' "
                "--wiring crosscoder",
            )
        if self.second is None and self.second_revision is not None:
            raise InputError(f"second_revision {self.second_revision} without a second model", hint="--second")
