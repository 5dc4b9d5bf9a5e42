"""`monosema circuit` traces a prompt and writes its files; `monosema attribute` lists effects; both refuse nonsense."""

import json
from pathlib import Path

import pytest

from monosema.circuits.described import Circuit
from monosema.runs.circuit import circuit_folder, slug_of, write_circuit
from tests.cli.conftest import Command

PROMPT = "def f(x"


def test_a_prompt_is_traced_into_a_table_a_page_and_a_viewers_file(monosema: Command, finished: Path, tmp_path: Path):
    where = ("circuit", finished, "--prompt", PROMPT, "--device", "cpu", "--dictionaries", _one_of(finished))
    found = json.loads(monosema(*where, "--out", tmp_path, "--json").out)
    kinds = [node["kind"] for node in found["nodes"]]
    assert {"feature", "error", "embedding", "logit"} == set(kinds)
    assert all(kinds[edge["target"]] in ("feature", "logit") for edge in found["edges"])
    assert "Influence" in monosema(*where, "--show", 3).out
    graph = json.loads((tmp_path / "def-f-x.json").read_text())
    assert len(graph["nodes"]) == len(found["nodes"])
    assert (tmp_path / "def-f-x.html").read_text().startswith("<!doctype html>")
    listed = json.loads((tmp_path / "graph-metadata.json").read_text())["graphs"]
    assert [own["slug"] for own in listed] == ["def-f-x"]


def _one_of(run: Path) -> str:
    return sorted(path.name for path in (run / "dictionaries").iterdir())[0]


@pytest.fixture(scope="module")
def circuit(finished: Path) -> Circuit:
    return circuit_folder(finished, PROMPT, names=[_one_of(finished)], device="cpu")


def test_a_viewers_file_has_what_its_schema_asks_for(circuit: Circuit, tmp_path: Path):
    paths = write_circuit(tmp_path, circuit, PROMPT, "set", 0.8)
    graph = json.loads(paths["graph"].read_text())
    ids = [node["node_id"] for node in graph["nodes"]]
    assert len(set(ids)) == len(ids)
    assert {end for link in graph["links"] for end in (link["source"], link["target"])} <= set(ids)
    for node in graph["nodes"]:  # as circuit-tracer 0.5's data model names and types them
        assert isinstance(node["feature"], int)
        assert isinstance(node["layer"], str)
        assert isinstance(node["ctx_idx"], int)
        assert 0 <= node["influence"] <= 1
        if node["feature_type"] == "cross layer transcoder":
            layer, feature, position = map(int, node["node_id"].split("_"))
            assert node["feature"] == (layer + feature) * (layer + feature + 1) // 2 + feature
            assert (str(layer), position) == (node["layer"], node["ctx_idx"])
    targets = [node for node in graph["nodes"] if node["is_target_logit"]]
    assert [node["token_prob"] for node in targets] == [max(node["token_prob"] for node in graph["nodes"])]
    assert graph["metadata"]["prompt_tokens"] == circuit.tokens


def test_a_folder_keeps_graphs_of_other_prompts(circuit: Circuit, tmp_path: Path):
    for prompt in ("one", "two", "one"):
        write_circuit(tmp_path, circuit, prompt, "set", 0.8)
    listed = json.loads((tmp_path / "graph-metadata.json").read_text())["graphs"]
    assert sorted(own["slug"] for own in listed) == ["one", "two"]


def test_names_of_files_hold_nothing_but_letters_digits_and_dashes():
    assert slug_of("../../etc/passwd\x00 <b>") == "etc-passwd-b"
    assert slug_of("→ ☃") == "prompt"
    assert len(slug_of("word " * 100)) <= 60


def test_effects_are_listed_largest_first_beside_removal(monosema: Command, finished: Path):
    where = ("attribute", finished, "--prompt", PROMPT, "--device", "cpu", "--n", 4)
    found = json.loads(monosema(*where, "--json").out)
    sizes = [abs(effect["gradient"]) for effect in found["effects"]]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) == 4
    assert "Gradient" in monosema(*where, "--loss").out
    swapped = json.loads(monosema(*where, "--token", "self", "--against", ")", "--json").out)
    assert swapped["measure"] == "logit of 'self' less ')'"


def test_what_makes_no_sense_is_refused(monosema: Command, finished: Path):
    where = ("attribute", finished, "--prompt", PROMPT)
    assert "one token" in monosema(*where, "--token", "several tokens here").refused()
    assert "one of the two" in monosema(*where, "--token", "self", "--loss").refused()
    assert "at least one" in monosema(*where, "--n", 0).refused()
    where = ("circuit", finished, "--prompt", PROMPT)
    assert "no dictionary 'none'" in monosema(*where, "--dictionaries", "none").refused()
    one = ("--dictionaries", _one_of(finished))
    assert "from 0 to 1" in monosema(*where, *one, "--nodes", 2).refused()
    assert "at least one token" in monosema("circuit", finished, "--prompt", "", *one).refused()
