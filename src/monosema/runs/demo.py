"""The demonstration: two dictionaries on the embedded model, and a page of their features."""

from pathlib import Path

from monosema.recipes import recipes
from monosema.runs.config import DictionaryConfig, RunConfig
from monosema.runs.feature_page import write_folder_page
from monosema.runs.features import build_folder

SITE, WIDTH, K = "resid_post.2", 4096, 32
PAGE_OF, FEATURE_TOKENS, SHOWN = "topk", 200_000, 40


def demo_config() -> RunConfig:
    """A run that two cores finish in minutes: TopK and BatchTopK, side by side on one stream of activations."""
    return RunConfig(
        dictionaries=tuple(
            DictionaryConfig(recipe=recipes[name](k=K), site=SITE, width=WIDTH, name=name)  # pyright: ignore[reportCallIssue]
            for name in ("topk", "batch_topk")
        ),
        tokens=800_000,
    )


def demo_page(folder: Path) -> Path:
    """Builds the feature store of one dictionary of a finished demonstration, and writes its page."""
    build_folder(folder, only=[PAGE_OF], tokens=FEATURE_TOKENS, overwrite=True)
    return write_folder_page(folder, name=PAGE_OF, shown=SHOWN)
