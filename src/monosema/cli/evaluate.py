"""Measure a saved dictionary, or all of a run, on held-out text: variance explained, L0, cross-entropy, …"""

from dataclasses import asdict, dataclass

import tyro

from monosema.cli.arguments import parse, print_json
from monosema.runs.evaluate import evaluate_folder, evaluate_folder_together
from monosema.runs.terminal import print_metrics, print_together


@dataclass(frozen=True)
class Evaluate:
    """Measure a saved dictionary, or every dictionary of a run, on the model and held-out text that it came from."""

    folder: tyro.conf.Positional[str]
    """A dictionary's folder or address (hf://org/repo/path, saelens:release/id), or a run's folder."""
    model: str | None = None
    """Measure on this model instead of the one that the dictionary was trained on."""
    second: str | None = None
    """Measure on this second model, for dictionaries of two."""
    text: str | None = None
    """Measure on this text instead of the held-out part of the training text."""
    activations: str | None = None
    """Measure on a file of activations (.npy, .safetensors, .pt, .parquet, .arrow), in place of model and text."""
    tokens: int | None = None
    """Tokens (rows of activations) to measure on; by default as in the run."""
    context: int | None = None
    """Tokens that the model reads at once; by default as in training."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, …"""
    together: bool = False
    """Measure what is left of the model's predictions with all dictionaries of the run in it at once."""
    json: bool = False
    """Print every metric as JSON."""


def main(arguments: list[str]) -> None:
    """Measures and prints."""
    options = vars(parse(Evaluate, arguments, "evaluate"))
    json, together = options.pop("json"), options.pop("together")
    if together:
        found, dictionaries = evaluate_folder_together(**options)
        if json:
            print_json(asdict(found))
        else:
            print_together(found, dictionaries)
        return
    metrics = evaluate_folder(**options)
    if json:
        print_json({name: found.as_json() for name, found in metrics.items()})
    else:
        print_metrics(metrics)
