"""A folder to write into, and what a run's folder holds."""

from pathlib import Path

from monosema.errors import InputError

CONFIG, LOG, METRICS, REPORT = "config.yaml", "metrics.jsonl", "metrics.json", "report.html"
CHECKPOINTS, DICTIONARIES, PICTURES = "checkpoints", "dictionaries", "pictures"


def check_free(out: Path) -> Path:
    """The same path, if there is nothing there that could be overwritten.

    Raises:
        InputError: the folder holds something, or is no folder.
    """
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise InputError(f"{out} already holds something", expected="a new or empty folder")
    return out
