"""Build a feature store: every activation of every feature on a text, with figures and examples; or export one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from monosema.cli.arguments import parse, print_json
from monosema.runs.features import (
    EACH,
    STRONGEST,
    TOKENS,
    build_folder,
    export_folder,
    feature_values,
    features_text,
    open_store,
)


@dataclass(frozen=True)
class Build:
    """Read a text once with a dictionary's model, and keep what each feature does there: Parquet files, by feature."""

    folder: tyro.conf.Positional[str]
    """A dictionary's folder or address, or a run's folder: each of its dictionaries then gets a store."""
    out: Path | None = None
    """Where the store is to be; by default features/ in the dictionary's folder."""
    model: str | None = None
    """Read this model instead of the one that the dictionary was trained on."""
    second: str | None = None
    """Read this second model, for dictionaries of two."""
    text: str | None = None
    """Read this text instead of the one that the dictionary was trained on."""
    tokens: int = TOKENS
    """Tokens to read; fewer where the text ends."""
    context: int | None = None
    """Tokens that the model reads at once; by default as in training."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, …"""
    overwrite: bool = False
    """Replace a store that is there."""
    strongest: int = STRONGEST
    """Contexts kept of each feature in which it is strongest."""
    each: int = EACH
    """Examples drawn at random from each of five intervals of its activations."""


@dataclass(frozen=True)
class Show:
    """Print a feature's figures, examples and neighbours."""

    folder: tyro.conf.Positional[str]
    """A dictionary's folder, or a run's."""
    features: tyro.conf.Positional[tuple[int, ...]]
    """Which features."""
    dictionary: str | None = None
    """Which of a run's dictionaries; by default the first."""
    out: Path | None = None
    """Where the store is, if not in the dictionary's folder."""
    json: bool = False
    """Print JSON."""


@dataclass(frozen=True)
class Export:
    """Write a store in the form of another tool."""

    folder: tyro.conf.Positional[str]
    """A dictionary's folder, or a run's."""
    to: Literal["delphi", "neuronpedia"]
    """delphi: its cache of latents, to be interpreted; neuronpedia: batches of features as JSON."""
    into: Path
    """A new or empty folder to write."""
    dictionary: str | None = None
    """Which of a run's dictionaries; by default the first."""
    out: Path | None = None
    """Where the store is, if not in the dictionary's folder."""


_ACTIONS: Any = Build | Show | Export


def main(arguments: list[str]) -> None:
    """Builds, shows or exports."""
    chosen = parse(_ACTIONS, arguments, "features")
    if isinstance(chosen, Build):
        _build(vars(chosen))
    elif isinstance(chosen, Export):
        print(export_folder(chosen.folder, chosen.to, chosen.into, name=chosen.dictionary, out=chosen.out))
    else:
        store = open_store(chosen.folder, chosen.dictionary, chosen.out)
        if chosen.json:
            print_json([feature_values(store, feature) for feature in chosen.features])
        else:
            print(features_text(store, chosen.features))


def _build(options: dict[str, Any]) -> None:
    for one in build_folder(**options):
        index = one.store.index
        print(
            f"{one.name}: {index.activations:,} activations of {index.width:,} features on {index.counted:,} tokens: "
            f"{one.store.folder}"
        )
