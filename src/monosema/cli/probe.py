"""Read labels off a few features: k-sparse probes, beside activations, PCA and an untrained dictionary."""

from dataclasses import dataclass
from typing import Literal

import tyro

from monosema.cli.arguments import parse, print_json
from monosema.runs.probe import LabelledFile, ProbeOptions, ProbePlan, probe_folder
from monosema.runs.probe_text import probe_json, probe_tables
from monosema.runs.terminal import print_table


@dataclass(frozen=True)
class ProbeCommand:
    """Say how well labels can be read off k features of a dictionary, beside k entries and k principal components of
    the activations, k features of an untrained dictionary, and all of each. Labels are those of documents in a file,
    or, of the embedded corpus, what Python says of each token: its kind (strings and comments among them), whether it
    is in a docstring, how deep it is, which package it is in."""

    folder: tyro.conf.Positional[str]
    """A dictionary's folder or address, or a run's folder."""
    labelled: str | None = None
    """A .jsonl or .csv file of documents, one label each; by default the embedded corpus."""
    text_column: str = "text"
    """Its column of texts."""
    label_column: str = "label"
    """Its column of labels."""
    pool: Literal["mean", "max"] = "mean"
    """How the tokens of a document become one row."""
    text: str = "tiny:heldout"
    """Part of the embedded corpus: tiny:heldout or tiny:train."""
    tokens: int = 131_072
    """Its tokens to draw examples from."""
    k: tuple[int, ...] = ProbeOptions.ks
    """How many features (or entries, or components) a probe reads."""
    examples: int = 4000
    """Examples of each task at most: half of them are of a class, half are others."""
    folds: int = 5
    """Folds; no document is in two."""
    seed: int = 0
    """Of the examples that are drawn, of folds, and of the untrained dictionary."""
    dictionary: str | None = None
    """Which of a run's dictionaries; by default the first."""
    model: str | None = None
    """Read this model instead of the one that the dictionary was trained on."""
    context: int | None = None
    """Tokens that the model reads at once, of a document in a file the first ones; by default as in training."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, …"""
    json: bool = False
    """Print JSON."""


def main(arguments: list[str]) -> None:
    """Probes, and prints."""
    options = parse(ProbeCommand, arguments, "probe")
    labelled = None
    if options.labelled is not None:
        labelled = LabelledFile(options.labelled, options.text_column, options.label_column, options.pool)
    plan = ProbePlan(
        labelled,
        text=options.text,
        tokens=options.tokens,
        examples=options.examples,
        folds=options.folds,
        seed=options.seed,
        probes=ProbeOptions(ks=tuple(sorted(set(options.k)))),
    )
    where = {"name": options.dictionary, "model": options.model, "context": options.context, "device": options.device}
    found = probe_folder(options.folder, plan, **where)
    if options.json:
        print_json(probe_json(found))
        return
    for table in probe_tables(found):
        print_table(table)
