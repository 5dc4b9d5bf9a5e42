"""Publish a dictionary, or all of a run, on the Hugging Face hub, with a model card."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from monosema.cli.arguments import parse, print_json
from monosema.runs.push import push


@dataclass(frozen=True)
class Push:
    """Publish a saved dictionary, or every dictionary of a run: safetensors, in monosema's form and in SAELens', with a
    model card that has the metrics, the training configuration and how to load it."""

    folder: tyro.conf.Positional[Path]
    """A dictionary's folder, or a run's."""
    repo: tyro.conf.Positional[str]
    """Repository on the hub, org/repo; it is made if it is not there."""
    dry_run: Path | None = None
    """Write what would be published to this new folder, and ask nobody."""
    private: bool = False
    """Make a new repository private."""
    license: str | None = None
    """Licence that the card names, as the hub calls it: mit, apache-2.0, …"""
    message: str = "Dictionaries from monosema"
    """What the commit says."""
    json: bool = False
    """Print where it lies as JSON."""


def main(arguments: list[str]) -> None:
    """Publishes, and prints where."""
    options = vars(parse(Push, arguments, "push"))
    as_json = options.pop("json")
    done = push(**options)
    address = f"hf://{options['repo']}@{done}"
    if as_json:
        print_json({"dry_run": done} if options["dry_run"] else {"address": address})
    else:
        print(f"would be published: {done}" if options["dry_run"] else address)
