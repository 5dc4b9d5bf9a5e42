"""The configuration of a harvest, which a store keeps in its index."""

from dataclasses import dataclass
from pathlib import Path

from monosema.activations.store import Place, read_index
from monosema.activations.store.index import StoredDtype
from monosema.config import from_dict
from monosema.errors import InputError
from monosema.runs.read_config import ReadConfig


@dataclass(frozen=True)
class HarvestConfig(ReadConfig):
    """What is read, and how it is stored."""

    site: tuple[str, ...] = ()
    """Hook points to read, all in one pass; their rows stay aligned."""
    all_text: bool = False
    """Read the one document in twenty, too, that training leaves out to be measured on."""
    tokens: int = 1_000_000
    """Tokens to read, in whole contexts; fewer if the text ends before."""
    seed: int = 0
    """Seed of shuffling."""
    stored: StoredDtype = "bfloat16"
    """How activations are stored; int8 has a scale for each row."""
    shard_tokens: int = 65_536
    """Tokens in a shard, in whole contexts: as many as are written, checked and repaired at once."""
    context_batch: int = 16
    """Contexts in one pass of the model."""

    def __post_init__(self):
        if not self.site:
            raise InputError("no hook point to harvest", expected="--site, such as resid_post.2")
        self.check_second(self.site)
        for name in ("tokens", "shuffle", "context", "shard_tokens", "context_batch"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} = {getattr(self, name)}", expected="at least 1")
        if min(self.tokens, self.shard_tokens) < self.context:
            raise InputError(
                f"{self.tokens} tokens in shards of {self.shard_tokens}",
                expected=f"at least one context of {self.context} in each",
            )


def config_of(out: str | Path) -> HarvestConfig:
    """What a store was begun with.

    Raises:
        InputError: there is no store.
    """
    index = read_index(Place(out))
    return from_dict(HarvestConfig, index.made_from, f"{out}/index.json")
