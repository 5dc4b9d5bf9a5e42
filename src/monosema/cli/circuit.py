"""Trace how the next token after a prompt comes about: an attribution graph through the features of dictionaries."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from monosema.cli.arguments import parse, print_json
from monosema.runs.circuit import CircuitOptions, circuit_folder, circuit_json, circuit_table, write_circuit
from monosema.runs.terminal import print_table


@dataclass(frozen=True)
class CircuitCommand(CircuitOptions):
    """Trace which features of a run's dictionaries, such as transcoders of every layer, make up the next token's
    logits: direct effects with attention patterns and norms held, pruned to what has most of the influence. With --out,
    a page, and a file that circuit-tracer's viewer opens."""

    folder: tyro.conf.Positional[str] = tyro.MISSING
    """A run's folder, or a dictionary's folder or address."""
    prompt: str = tyro.MISSING
    """The text whose next token is explained."""
    dictionaries: tuple[str, ...] = ()
    """Names of the run's dictionaries that take part; by default all, of which no two may write one hook point."""
    out: Path | None = None
    """A folder for the page and the viewer's file; graphs of other prompts there stay."""
    show: int = 20
    """Features in the table."""
    model: str | None = None
    """Use this model instead of the one that the dictionaries were trained on."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, …"""
    json: bool = False
    """Print all nodes and edges as JSON."""


def main(arguments: list[str]) -> None:
    """Traces, writes and prints."""
    options = parse(CircuitCommand, arguments, "circuit")
    wanted = CircuitOptions(options.features, options.logits, options.nodes, options.edges)
    circuit = circuit_folder(
        options.folder,
        options.prompt,
        wanted,
        names=options.dictionaries,
        model=options.model,
        device=options.device,
    )
    written = {}
    if options.out is not None:
        written = write_circuit(options.out, circuit, options.prompt, Path(options.folder).name, options.nodes)
    if options.json:
        print_json(circuit_json(circuit))
        return
    print_table(circuit_table(circuit, options.show))
    for path in written.values():
        print(f"wrote {path}")
