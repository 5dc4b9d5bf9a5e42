"""The page of an attribution graph: one HTML file that opens anywhere."""

from pathlib import Path

from monosema.circuits.described import Circuit
from monosema.dashboard.page import html_page
from monosema.files import write_text

MAIN = "circuit.js"


def write_circuit_page(path: str | Path, circuit: Circuit, title: str, share: float) -> Path:
    """Writes the page.

    Args:
        path: of the file.
        circuit: what it shows.
        title: what it is called.
        share: of the influence on the logits that the kept nodes have.
    """
    data = {
        "title": title,
        "tokens": circuit.tokens,
        "layers": circuit.layers,
        "active": circuit.active,
        "share": share,
        "scores": circuit.scores._asdict(),
        "nodes": [
            {
                "kind": own.node.kind,
                "position": own.node.position,
                "layer": own.layer,
                "name": own.node.site,
                "index": own.node.index,
                "value": own.node.value,
                "influence": own.influence,
                "rank": own.rank if own.rank <= share else 1,
                "label": own.label,
            }
            for own in circuit.nodes
        ],
        "edges": [list(edge) for edge in circuit.edges],
    }
    write_text(Path(path), html_page(title, data, MAIN))
    return Path(path)
