"""How well first-order effects foretell removal, edges of circuits foretell interventions, and how long a graph takes.

    python benchmarks/attribution.py runs/transcoders --autoencoder runs/demo/dictionaries/topk [--json]

The first run has a transcoder for every layer. On prompts from held-out documents, the features with the largest
gradient × code on the likeliest token's logit are removed one at a time, in the model as it is and in one whose
attention patterns and norms are held. Of circuits, features are taken away where they write, in the local replacement
model: what that changes at every other node is compared with the edges. The graph's time is that of a prompt of 128
tokens through all layers' transcoders.
"""

import argparse
import json
import statistics
import time
from collections.abc import Mapping
from datetime import date
from itertools import islice
from typing import Any

import torch
from harvest import machine

from monosema.activations import open_text
from monosema.analysis.attribution import agreement, attribute, logit_of, removal_of_each
from monosema.circuits import attribution_graph, held_at, scores
from monosema.circuits.graph import Graph
from monosema.circuits.local import LocalModel
from monosema.dictionaries import Dictionary
from monosema.models import LoadedModel, load_model
from monosema.runs.evaluate import dictionaries_in


def effects(model: LoadedModel, dictionary: Dictionary, prompts: list[list[int]], n: int) -> dict[str, float]:
    """Correlation of gradient × code with removal, over the largest effects of all prompts."""
    found: dict[str, tuple[list[torch.Tensor], list[torch.Tensor]]] = {"free": ([], []), "held": ([], [])}
    for ids in prompts:
        measure = logit_of(int(model.logits(torch.tensor([ids]))[0, -1].argmax()))
        for name, own in (("free", model), ("held", held_at(model, ids))):
            effect = attribute(own, {"": dictionary}, ids, measure)[""]
            top = effect.effects.abs().topk(min(n, len(effect.effects))).indices
            found[name][0].append(effect.effects[top])
            found[name][1].append(removal_of_each(own, dictionary, ids, measure, effect, top))
    return {name: round(agreement(torch.cat(a), torch.cat(b)), 4) for name, (a, b) in found.items()}


@torch.no_grad()
def edges(model: LoadedModel, dictionaries: Mapping[str, Dictionary], ids: list[int], n: int) -> float:
    """Correlation of edges with what taking a feature away changes, over the features with the most influence."""
    graph, local = attribution_graph(model, dictionaries, ids, features=256), LocalModel(model, dictionaries, ids)
    given = {site: local.flowing[site] for site in local.sites}
    before = _values(local, graph, *local.run(given))
    sources = [number for number, node in enumerate(graph.nodes) if node.kind == "feature"]
    sources = sorted(sources, key=lambda number: -float(graph.edges[:, number].abs().sum()))[:n]
    said, done = [], []
    for source in sources:
        node, own = graph.nodes[source], local.active[graph.nodes[source].site]
        place = ((own.positions == node.position) & (own.features == node.index)).nonzero()[0, 0]
        left = {site: x.clone() for site, x in given.items()}
        for site, written in own.written.items():
            left[site][0, node.position] -= written[place].to(left[site])
        said.append(graph.edges[:, source])
        done.append(before - _values(local, graph, *local.run(left)))
    return agreement(torch.cat(said), torch.cat(done))


def _values(local: LocalModel, graph: Graph, reads: Mapping[str, torch.Tensor], logits: torch.Tensor) -> torch.Tensor:
    """Each feature's pre-activation, up to a constant, and each logit less the mean; 0 of what nothing feeds."""
    found = torch.zeros(len(graph.nodes))
    for number, node in enumerate(graph.nodes):
        if node.kind == "logit":
            found[number] = logits[-1, node.index] - logits[-1].mean()
        elif node.kind == "feature":
            own = local.active[node.site]
            place = ((own.positions == node.position) & (own.features == node.index)).nonzero()[0]
            found[number] = local.inward(node.site, place)[0] @ reads[node.site][node.position]
    return found


def graph_time(model: LoadedModel, dictionaries: Mapping[str, Dictionary], ids: list[int], repeats: int) -> dict:
    clock, processor, graph = [], [], None
    for _ in range(repeats):
        begun, used = time.perf_counter(), time.process_time()
        graph = attribution_graph(model, dictionaries, ids)
        clock.append(time.perf_counter() - begun)
        processor.append(time.process_time() - used)
    assert graph is not None
    return {
        "tokens": len(ids),
        "active": graph.active,
        "nodes": len(graph.nodes),
        "seconds": round(statistics.median(clock), 2),
        "processor_seconds": round(statistics.median(processor), 2),
        "threads": torch.get_num_threads(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="a run with a transcoder for every layer of the embedded model")
    parser.add_argument("--autoencoder", help="the folder of an autoencoder of it")
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=48, help="of a prompt")
    parser.add_argument("--n", type=int, default=30, help="features removed, for each prompt")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print JSON in the place of lines")
    settings = parser.parse_args()
    model, transcoders = load_model("tiny", dtype="float32"), dictionaries_in(settings.run)
    assert model.tokenizer is not None
    texts = [model.tokenizer(text)["input_ids"] for text in islice(open_text("tiny:heldout"), 3 * settings.prompts)]
    long: list[list[int]] = [list(ids) for ids in texts if len(ids) >= 128][: settings.prompts]
    prompts = [ids[: settings.tokens] for ids in long]
    chosen = {**transcoders, **(dictionaries_in(settings.autoencoder) if settings.autoencoder else {})}
    graphs = [scores(attribution_graph(model, transcoders, ids)) for ids in prompts]
    found: dict[str, Any] = {
        "effects": {name: effects(model, d.eval(), prompts, settings.n) for name, d in chosen.items()},
        "edges": round(min(edges(model, transcoders, ids, settings.n) for ids in prompts), 6),
        "replacement": round(statistics.median(score.replacement for score in graphs), 3),
        "completeness": round(statistics.median(score.completeness for score in graphs), 3),
        "graph": graph_time(model, transcoders, long[0][:128], settings.repeats),
    }
    if settings.json:
        kept = {name: getattr(settings, name) for name in ("prompts", "tokens", "n", "repeats")}
        print(json.dumps({"date": date.today().isoformat(), "machine": machine(), **kept, **found}, indent=2))
        return
    for name, own in found["effects"].items():
        print(f"{name:28} correlation with removal {own['free']:.3f}, patterns and norms held {own['held']:.3f}")
    print(f"edges of circuits with interventions, the least of all prompts: {found['edges']:.6f}")
    print(f"replacement score {found['replacement']}, completeness {found['completeness']} (medians)")
    print("a graph: " + ", ".join(f"{key} {value}" for key, value in found["graph"].items()))


if __name__ == "__main__":
    main()
