"""Edges add up to what they explain, and are what taking a source away changes."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from monosema.circuits import Graph, attribution_graph, pruned, scores
from monosema.circuits.graph import Node
from monosema.circuits.local import LocalModel
from monosema.dictionaries import Dictionary, activation_functions
from monosema.errors import InputError
from monosema.models import LoadedModel, load_model, read, width_of
from tests.analysis.dictionaries import autoencoder, cross_layer, transcoder
from tests.models.tiny_families import BUILDERS, build

BLOCKS: dict[str, Any] = {"encoder": "block_diagonal", "decoder": "block_diagonal", "blocks": 4}
IDS = [5, 17, 3, 40, 22, 9, 31]


def double(family: str, implementation: str | None = None) -> LoadedModel:
    module: Any = build(family).module.double()
    if family == "gemma2":
        module.config.final_logit_softcapping = None  # which is linearised
    if implementation:
        module.set_attn_implementation(implementation)
    return load_model(module)


def calm(dictionary: Dictionary) -> Dictionary:
    """With smaller weights, so that the model still says something."""
    with torch.no_grad():
        for weight in dictionary.parameters():
            weight *= 0.3
    return dictionary


def transcoders(model: LoadedModel, layers: int = 2, **options: bool) -> dict[str, Dictionary]:
    d = width_of(model, "mlp_in.0")
    return {str(i): calm(transcoder(f"mlp_in.{i}", f"mlp_out.{i}", d, **options)) for i in range(layers)}


def constants(local: LocalModel) -> dict[str, Tensor]:
    """What flows at each site of a dictionary that no node has: biases, and skips."""
    return {
        site: local.flowing[site][0]
        - local.errors[site]
        - sum(
            torch.zeros_like(local.errors[site]).index_add_(0, own.positions, own.written[site])
            for own in local.active.values()
            if site in own.written
        )
        for site in local.errors
    }


FAMILIES = [name for name in BUILDERS if name != "bert"]


@pytest.mark.parametrize("family", FAMILIES)
def test_edges_and_what_biases_give_add_up_to_what_flows(family: str):
    model = double(family)
    dictionaries = transcoders(model)
    graph, local = attribution_graph(model, dictionaries, IDS), LocalModel(model, dictionaries, IDS)
    given = {site: local.flowing[site] for site in local.sites}
    with torch.no_grad():
        _, logits = local.run(given)
    torch.testing.assert_close(logits, local.logits, atol=1e-6, rtol=1e-6)  # held factors change nothing
    biases = constants(local)
    nothing = {site: biases[site].expand_as(x) if site in biases else torch.zeros_like(x) for site, x in given.items()}
    with torch.no_grad():
        reads, said = local.run(given)
        bare, bare_said = local.run(nothing)
    sums = graph.edges.sum(1)
    for number, node in enumerate(graph.nodes):
        if node.kind == "logit":
            wanted = (said - bare_said)[-1]
            torch.testing.assert_close(sums[number], wanted[node.index] - wanted.mean(), atol=1e-5, rtol=1e-5)
        elif node.kind == "feature":
            inward = local.inward(node.site, _place(local, node))[0]
            wanted = inward @ (reads[node.site] - bare[node.site])[node.position]
            torch.testing.assert_close(sums[number], wanted, atol=1e-5, rtol=1e-5)
        else:
            assert not graph.edges[number].any()


def _named(node: Node) -> tuple[str, str, int, int]:
    return node.kind, node.site, node.position, node.index


def _place(local: LocalModel, node: Node) -> Tensor:
    own = local.active[node.site]
    return ((own.positions == node.position) & (own.features == node.index)).nonzero()[0]


def made_of(name: str, model: LoadedModel) -> dict[str, Dictionary]:
    d = width_of(model, "mlp_in.0")
    points = ("mlp_in.0", "mlp_in.1"), ("mlp_out.0", "mlp_out.1")
    ways: dict[str, Callable[[], Mapping[str, Dictionary]]] = {
        "transcoders": lambda: transcoders(model),
        "skips": lambda: transcoders(model, skip=True),
        "cross-layer": lambda: {"all": calm(cross_layer(points, d))},
        "autoencoders": lambda: {
            "stream": calm(autoencoder("resid_post.0", d)),
            "attention": calm(autoencoder("attn_out.1", d)),
        },
        "heads": lambda: {"heads": calm(autoencoder("attn_z.1", d, 24, **BLOCKS)), "0": transcoders(model)["0"]},
        "one layer": lambda: {"1": transcoders(model)["1"]},
        "gated": lambda: {name: _gated(made) for name, made in transcoders(model).items()},
    }
    return dict(ways[name]())


def _gated(made: Dictionary) -> Dictionary:
    made.activation = activation_functions["gated"](made.spec.width).double()
    with torch.no_grad():
        for weight in made.activation.parameters():
            weight.normal_(generator=torch.Generator().manual_seed(1))
    return made


@pytest.mark.parametrize("way", ["transcoders", "skips", "cross-layer", "autoencoders", "heads", "one layer", "gated"])
def test_an_edge_is_what_taking_the_source_away_changes(way: str):
    model = double("gpt_neox")
    dictionaries = made_of(way, model)
    graph, local = attribution_graph(model, dictionaries, IDS), LocalModel(model, dictionaries, IDS)
    given = {site: local.flowing[site] for site in local.sites}
    with torch.no_grad():
        reads, logits = local.run(given)
    sources = [n for n, node in enumerate(graph.nodes) if node.kind != "logit"]
    for source in sources[:: max(len(sources) // 12, 1)]:
        with torch.no_grad():
            changed, said = local.run(without(local, graph, source, given))
        for target, node in enumerate(graph.nodes):
            if node.kind == "feature":
                inward = local.inward(node.site, _place(local, node))[0]
                effect = inward @ (reads[node.site] - changed[node.site])[node.position]
            elif node.kind == "logit":
                every = (logits - said)[-1]
                effect = every[node.index] - every.mean()
            else:
                continue
            torch.testing.assert_close(graph.edges[target, source], effect, atol=1e-6, rtol=1e-6)


def without(local: LocalModel, graph: Graph, source: int, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """What is given, less what one node gives."""
    node, left = graph.nodes[source], {site: x.clone() for site, x in given.items()}
    if node.kind == "embedding":
        left["embed"][0, node.position] = 0
    elif node.kind == "error":
        left[node.site][0, node.position] -= local.errors[node.site][node.position]
    else:
        for site, written in local.active[node.site].written.items():
            left[site][0, node.position] -= written[_place(local, node)[0]]
    return left


def test_patterns_made_by_hand_are_held_like_those_of_the_kernel():
    graphs = [
        attribution_graph(model, transcoders(model), IDS)
        for model in (double("gpt_neox", "eager"), double("gpt_neox", "sdpa"))
    ]
    assert [_named(n) for n in graphs[0].nodes] == [_named(n) for n in graphs[1].nodes]
    torch.testing.assert_close(graphs[0].edges, graphs[1].edges, atol=1e-6, rtol=1e-6)


def test_codes_are_the_edges_and_the_values_of_nodes_are_the_codes():
    model = double("gpt_neox")
    dictionaries = transcoders(model)
    graph = attribution_graph(model, dictionaries, IDS)
    x = read(model, torch.tensor([IDS]), ["mlp_in.0", "mlp_in.1"])
    for node in graph.nodes:
        if node.kind == "feature":
            codes = dictionaries[node.site].encode(x[f"mlp_in.{node.site}"][0])
            assert float(codes[node.position, node.index].detach()) == pytest.approx(node.value, rel=1e-6)


def test_few_features_are_those_with_the_most_influence():
    model = double("gpt_neox")
    whole = attribution_graph(model, transcoders(model), IDS, features=10_000)
    few = attribution_graph(model, transcoders(model), IDS, features=20)
    assert sum(node.kind == "feature" for node in few.nodes) == 20
    place = {node: number for number, node in enumerate(whole.nodes)}
    kept = torch.tensor([place[node] for node in few.nodes])
    torch.testing.assert_close(few.edges, whole.edges[kept][:, kept])
    assert whole.active == few.active == sum(node.kind == "feature" for node in whole.nodes)


def test_later_nodes_never_feed_earlier_ones():
    model = double("llama")
    graph = attribution_graph(model, transcoders(model), IDS)
    for target, source in graph.edges.nonzero().tolist():
        to, origin = graph.nodes[target], graph.nodes[source]
        assert origin.position <= to.position
        if to.kind == "feature" and origin.kind == "feature":
            assert origin.site < to.site


def test_a_dictionary_in_training_mode_is_left_in_it():
    model = double("gpt_neox")
    dictionaries = transcoders(model)
    dictionaries["0"].train()
    attribution_graph(model, dictionaries, IDS)
    assert dictionaries["0"].training
    assert not dictionaries["1"].training


def test_what_cannot_be_in_a_circuit_is_refused():
    model = double("gpt_neox")
    d = width_of(model, "mlp_in.0")
    twice = {"a": transcoder("mlp_in.0", "mlp_out.0", d), "b": autoencoder("mlp_out.0", d)}
    normalised = {"a": autoencoder("resid_post.0", d, normalisation="layer_norm")}
    for dictionaries, said in ((twice, "both write"), (normalised, "layer_norm"), ({}, "0 dictionaries")):
        with pytest.raises(InputError, match=said):
            attribution_graph(model, dictionaries, IDS)
    with pytest.raises(InputError, match="0 tokens"):
        attribution_graph(model, transcoders(model), [])
    with pytest.raises(InputError, match="at least one of each"):
        attribution_graph(model, transcoders(model), IDS, features=0)
    with pytest.raises(InputError, match="from 0 to 1"):
        pruned(attribution_graph(model, transcoders(model), IDS), nodes=2)


def test_scores_are_one_where_nothing_is_missed_and_shares_otherwise():
    model = double("gpt_neox")
    graph = attribution_graph(model, transcoders(model), IDS)
    found = scores(graph)
    assert 0 < found.replacement < 1
    assert 0 < found.completeness < 1
    nothing_missed = replace(graph, edges=graph.edges * ~graph.of("error"))
    assert scores(nothing_missed) == pytest.approx((1, 1))
