"""The demonstration: two dictionaries on the embedded model."""

from monosema.recipes import recipes
from monosema.runs.config import DictionaryConfig, RunConfig

SITE, WIDTH, K = "resid_post.2", 4096, 32


def demo_config() -> RunConfig:
    """A run that two cores finish in minutes: TopK and BatchTopK, side by side on one stream of activations."""
    return RunConfig(
        dictionaries=tuple(
            DictionaryConfig(recipe=recipes[name](k=K), site=SITE, width=WIDTH, name=name)  # pyright: ignore[reportCallIssue]
            for name in ("topk", "batch_topk")
        ),
        tokens=800_000,
    )
