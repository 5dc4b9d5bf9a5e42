"""Circuits of saved dictionaries: the attribution graph of a prompt as a table, a page and a viewer's file."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monosema.circuits import attribution_graph
from monosema.circuits.described import Circuit, describe, strongest
from monosema.circuits.graph import FEATURES, LOGITS
from monosema.circuits.viewer import metadata, viewer_json
from monosema.dashboard.circuit_page import write_circuit_page
from monosema.device import pick_device
from monosema.dictionaries import Dictionary
from monosema.errors import InputError
from monosema.evaluation import Table
from monosema.files import read_json, write_json
from monosema.runs.evaluate import dictionaries_in, model_of
from monosema.runs.prompts import one_model, prompt_ids

LIST = "graph-metadata.json"
"""The file in which circuit-tracer's viewer looks for graphs."""


@dataclass(frozen=True)
class CircuitOptions:
    """What goes into a graph, and what is left of it."""

    features: int = FEATURES
    """Most features whose sources are looked for, those with the most influence on the predictions."""
    logits: int = LOGITS
    """Most predictions that are explained, the likeliest ones."""
    nodes: float = 0.8
    """Share of the influence on the predictions that the nodes which are kept have."""
    edges: float = 0.98
    """The same of edges."""


def circuit_folder(
    folder: str | Path,
    prompt: str,
    options: CircuitOptions = CircuitOptions(),
    *,
    names: Sequence[str] = (),
    model: str | None = None,
    device: str = "auto",
) -> Circuit:
    """How a model comes to the next token after a prompt, through the features of a run's dictionaries.

    Args:
        folder: a run's folder, or a dictionary's.
        prompt: the text.
        options: how much of the graph.
        names: of the run's dictionaries; by default all.
        model: another model.
        device: where to compute.

    Raises:
        InputError: no such dictionary, or one that cannot be in a circuit; or no text.
    """
    dictionaries = _chosen(dictionaries_in(folder), names)
    loaded = one_model(model_of(dictionaries, model=model, device=device), "a circuit")
    loaded.module.float()  # effects are small beside what flows
    dictionaries = {name: d.to(pick_device(device)).eval() for name, d in dictionaries.items()}
    ids = prompt_ids(loaded, prompt)
    graph = attribution_graph(loaded, dictionaries, ids, features=options.features, logits=options.logits)
    return describe(graph, loaded, dictionaries, nodes=options.nodes, edges=options.edges)


def _chosen(dictionaries: Mapping[str, Dictionary], names: Sequence[str]) -> dict[str, Dictionary]:
    if missing := [name for name in names if name not in dictionaries]:
        raise InputError(f"no dictionary {missing[0]!r}", expected=f"some of {', '.join(dictionaries)}")
    return {name: d for name, d in dictionaries.items() if not names or name in names}


def write_circuit(out: str | Path, circuit: Circuit, prompt: str, scan: str, share: float) -> dict[str, Path]:
    """Writes a graph into a folder: a page, and a file for circuit-tracer's viewer with its list of graphs.

    `circuit-tracer start-server --graph_file_dir OUT` shows all graphs of the folder.

    Args:
        out: the folder; graphs that are there stay, but for one of the same prompt.
        circuit: what is written.
        prompt: that it is of, which names the files.
        scan: the name of the set of dictionaries.
        share: of the influence, that its nodes have.
    """
    folder, slug = Path(out), slug_of(prompt)
    paths = {"page": folder / f"{slug}.html", "graph": folder / f"{slug}.json"}
    folder.mkdir(parents=True, exist_ok=True)
    write_circuit_page(paths["page"], circuit, f"What makes up the next token after “{prompt}”", share)
    write_json(paths["graph"], viewer_json(circuit, slug, scan, share))
    listed = read_json(folder / LIST)["graphs"] if (folder / LIST).exists() else []
    own = metadata(circuit, slug, scan, share)
    write_json(folder / LIST, {"graphs": [*(graph for graph in listed if graph["slug"] != slug), own]})
    return paths


def slug_of(text: str) -> str:
    """A file's name for a prompt: its last words, in letters, digits and dashes."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return "-".join(words)[-60:].strip("-") or "prompt"


def circuit_table(circuit: Circuit, n: int) -> Table:
    """The features with the most influence, as text."""
    rows = [
        [
            own.node.site,
            str(own.node.index),
            f"{own.node.position} {circuit.tokens[own.node.position]!r}",
            f"{own.node.value:.2f}",
            f"{100 * own.influence:.2f}",
            own.label,
        ]
        for own in strongest(circuit, n)
    ]
    said = ", ".join(f"{own.label!r} {100 * own.node.value:.0f} %" for own in circuit.nodes if own.node.kind == "logit")
    kinds = [own.node.kind for own in circuit.nodes]
    notes = [
        f"Predictions: {said}.",
        f"{kinds.count('feature')} of {circuit.active:,} active features and {kinds.count('error')} errors are kept, "
        f"with {len(circuit.edges):,} edges. Replacement score {circuit.scores.replacement:.2f}, completeness "
        f"{circuit.scores.completeness:.2f}.",
    ]
    return Table(["Dictionary", "Feature", "At", "Code", "Influence (%)", "Makes likelier"], rows, notes)


def circuit_json(circuit: Circuit) -> dict[str, Any]:
    """Everything that is kept, as plain values."""
    return {
        "tokens": circuit.tokens,
        "scores": circuit.scores._asdict(),
        "active": circuit.active,
        "nodes": [
            {**vars(own.node), "layer": own.layer, "influence": own.influence, "label": own.label}
            for own in circuit.nodes
        ],
        "edges": [{"source": s, "target": t, "weight": w} for s, t, w in circuit.edges],
    }
