"""Take a neuron out of superposition: which features of a saved dictionary make it up, and how much of it each."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from monosema.cli.arguments import parse, print_json
from monosema.runs.neuron import as_json, neuron_of_folder, neuron_table
from monosema.runs.terminal import print_table


@dataclass(frozen=True)
class Neuron:
    """Say which features make up a neuron of the activations that a saved dictionary writes, on held-out text."""

    folder: tyro.conf.Positional[Path]
    """A dictionary's folder, or a run's."""
    neuron: tyro.conf.Positional[int]
    """Which neuron: its place among the activations of the hook point."""
    point: str | None = None
    """Hook point of the neuron, where a run's dictionaries write several."""
    top: int = 10
    """Features to show."""
    model: str | None = None
    """Read this model instead of the one that the dictionary was trained on."""
    text: str | None = None
    """Read this text instead of the held-out part of the training text."""
    activations: str | None = None
    """Read a file of activations (.npy, .safetensors, .pt, .parquet, .arrow), in place of model and text."""
    tokens: int | None = None
    """Tokens (rows of activations) to read; by default as in the run."""
    context: int | None = None
    """Tokens that the model reads at once; by default as in training."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, …"""
    json: bool = False
    """Print JSON."""


def main(arguments: list[str]) -> None:
    """Takes apart and prints."""
    options = vars(parse(Neuron, arguments, "neuron"))
    top, json = options.pop("top"), options.pop("json")
    found = neuron_of_folder(**options)
    if json:
        print_json({name: as_json(parts, top) for name, parts in found.items()})
        return
    for name, parts in found.items():
        print_table(neuron_table(name, parts, top))
