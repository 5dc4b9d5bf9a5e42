"""Attribution graphs in the JSON that circuit-tracer's viewer and Neuronpedia read (schema version 1)."""

from typing import Any

from monosema.circuits.described import Circuit, DescribedNode

_TYPES = {
    "feature": "cross layer transcoder",
    "error": "mlp reconstruction error",
    "embedding": "embedding",
    "logit": "logit",
}


def viewer_json(circuit: Circuit, slug: str, scan: str, share: float) -> dict[str, Any]:
    """The graph's file.

    Args:
        circuit: what is written.
        slug: the graph's name, as that of its file.
        scan: the name of the set of dictionaries, under which a viewer looks for features.
        share: of the influence on the logits that its nodes have.
    """
    nodes = [_node(own, circuit) for own in circuit.nodes]
    return {
        "metadata": metadata(circuit, slug, scan, share),
        "qParams": {"pinnedIds": [], "supernodes": [], "linkType": "both", "clickedId": "", "sg_pos": ""},
        "nodes": nodes,
        "links": [
            {"source": nodes[source]["node_id"], "target": nodes[target]["node_id"], "weight": weight}
            for source, target, weight in circuit.edges
        ],
    }


def metadata(circuit: Circuit, slug: str, scan: str, share: float) -> dict[str, Any]:
    """What the viewer's list of graphs says of one."""
    return {
        "slug": slug,
        "scan": scan,
        "transcoder_list": [],
        "prompt_tokens": circuit.tokens,
        "prompt": "".join(circuit.tokens),
        "node_threshold": share,
        "schema_version": 1,
    }


def _node(own: DescribedNode, circuit: Circuit) -> dict[str, Any]:
    node, at = own.node, own.node.position
    first = max((n.node.value for n in circuit.nodes if n.node.kind == "logit"), default=0.0)
    layer = {"embedding": "E", "logit": str(circuit.layers + 1)}.get(node.kind, str(own.layer))
    said = {
        "feature": own.label,
        "error": "",
        "embedding": own.label,
        "logit": f'Output "{own.label}" (p={node.value:.3f})',
    }
    names = {
        "feature": (f"{layer}_{node.index}_{at}", f"{layer}_{node.index}-0"),
        "error": (f"{node.site}_{layer}_{at}", f"{layer}_{node.site}_{at}-0"),
        "embedding": (f"E_{node.index}_{at}", f"E_{node.index}-{at}"),
        "logit": (f"{layer}_{node.index}_{at}", f"L_{node.index}-{at}"),
    }
    number = {"feature": _pair(own.layer, node.index), "error": -1, "embedding": at, "logit": node.index}
    return {
        "node_id": names[node.kind][0],
        "feature": number[node.kind],
        "layer": layer,
        "ctx_idx": at,
        "feature_type": _TYPES[node.kind],
        "token_prob": node.value if node.kind == "logit" else 0.0,
        "is_target_logit": node.kind == "logit" and node.value == first,
        "run_idx": 0,
        "reverse_ctx_idx": 0,
        "jsNodeId": names[node.kind][1],
        "clerp": said[node.kind],
        "influence": own.rank,  # the viewer shows nodes up to a share
        "activation": node.value if node.kind == "feature" else None,
    }


def _pair(layer: int, feature: int) -> int:
    """Cantor's number of a pair, by which the viewer names a layer's feature."""
    return (layer + feature) * (layer + feature + 1) // 2 + feature
