"""`monosema probe` says what labels can be read off, of the embedded corpus and of a file."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command

SMALL = ("--device", "cpu", "--tokens", 4000, "--examples", 60, "--folds", 3, "--k", 3, 1)


@pytest.mark.slow
def test_the_embedded_corpus_has_labels_of_its_own(monosema: Command, finished: Path):
    found = json.loads(monosema("probe", finished, *SMALL, "--json").out)
    assert found["text"] == "tiny:heldout"
    assert {"kind of token", "docstring", "depth"} <= found["mean_accuracy"].keys()
    for spaces in found["mean_accuracy"].values():
        assert list(spaces["codes"]) == list(spaces["activations"]) == list(spaces["untrained"]) == ["1", "3", "all"]
        assert list(spaces["PCA"]) == ["1", "3"]
    assert found["fires"]["at_all"] <= found["fires"]["width"] == 32


def test_documents_in_a_file_are_probed(monosema: Command, finished: Path, tmp_path: Path):
    rows = [f"{'one two three' if i % 2 else '1 2 3'} {i},{i % 2}\n" for i in range(40)]
    path = tmp_path / "a.csv"
    path.write_text("q,odd\n" + "".join(rows), encoding="utf-8")
    where = ("--labelled", path, "--text-column", "q", "--label-column", "odd", "--pool", "max")
    found = json.loads(monosema("probe", finished, *SMALL, *where, "--json").out)
    (task,) = found["tasks"]
    assert (task["label"], task["class"], task["examples"]) == ("odd", "1", 40)
    printed = monosema("probe", finished, *SMALL, *where).out
    assert "Best feature" in printed
    assert "features fire on the examples" in printed


def test_mistakes_are_refused_in_one_line(monosema: Command, finished: Path):
    assert "a file that ends in" in monosema("probe", finished, "--labelled", "none.jsonl").refused()
    assert "dictionary 'none'" in monosema("probe", finished, "--dictionary", "none").refused()
    assert "tiny:heldout" in monosema("probe", finished, "--text", "corpus.jsonl").refused()
    assert "at least one" in monosema("probe", finished, "--k", 0).refused()
