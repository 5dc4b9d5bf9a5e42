"""Labelled documents and Python's labels become examples, and examples become what probes tell of a dictionary."""

import json
from pathlib import Path

import numpy as np
import pytest

from monosema.activations.tokens import TokeniseDocuments
from monosema.analysis.probing import KINDS, ProbeOptions
from monosema.errors import InputError
from monosema.models import load_model
from monosema.runs.labelled import read_labelled
from monosema.runs.probe import CODES, Fires, LabelledFile, ProbePlan, probe_folder
from monosema.runs.probe_examples import labelled_examples, python_examples
from monosema.runs.probe_text import probe_json, probe_tables
from monosema.tiny import Document

SOURCE = 'def f(x):\n    """Doc."""\n    return x + 12  # why\n'


@pytest.fixture(scope="module")
def tokenizer():
    return load_model("tiny", device="cpu").tokenizer


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_csv_and_jsonl_hold_the_same_documents(tmp_path: Path):
    rows = [("a, b\nc", "yes"), ("d", "no")]
    lines = "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)
    jsonl = write(tmp_path / "a.jsonl", lines)
    comma = write(tmp_path / "a.csv", 'text,label\n"a, b\nc",yes\nd,no\n')
    assert read_labelled(jsonl) == read_labelled(comma) == (["a, b\nc", "d"], ["yes", "no"])
    other = write(tmp_path / "b.jsonl", '{"q": "x", "y": 0}\n\n{"q": "z", "y": true}\n')
    assert read_labelled(other, "q", "y") == (["x", "z"], ["0", "true"])


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.txt", "text", "ends in .csv or .jsonl"),
        ("a.jsonl", '{"text": "a"}\n', "line 1 of .* no 'label'"),
        ("a.jsonl", "[1]\n", "no object"),
        ("a.jsonl", "{\n", "not JSON"),
        ("a.csv", "text,label\na,\n", "no 'label'"),
        ("a.csv", "text,label\na,yes\nb,yes\n", "at least two"),
    ],
)
def test_a_file_without_labels_is_refused(tmp_path: Path, name: str, text: str, said: str):
    with pytest.raises(InputError, match=said):
        read_labelled(write(tmp_path / name, text))


def test_tokens_have_pythons_labels(tokenizer):
    sources = [Document("json/a.py", SOURCE), Document("b.py", "print 'old'"), Document("c.py", SOURCE)]
    examples = python_examples(tokenizer, {0}, sources, tokens=1000, length=8)
    ids = TokeniseDocuments(tokenizer)([SOURCE])[0]
    assert [i for piece in examples.pieces for i in piece] == ids * 2
    assert examples.documents.tolist() == [0] * (len(ids) - 1) + [2] * (len(ids) - 1)
    kept = [piece[i] for piece, positions in zip(examples.pieces, examples.keep, strict=True) for i in positions]
    assert kept == ids[1:] * 2  # all but the separator
    labels = {label.name: np.array([*label.classes, ""])[label.values] for label in examples.labels}
    words = [str(tokenizer.decode([i])).strip() for i in kept]
    assert labels["kind of token"][words.index("def")] == "keyword"
    assert labels["kind of token"][words.index("+")] == "operator"
    assert labels["kind of token"][words.index("#")] == "comment"
    assert labels["docstring"][words.index('"""')] == "yes"
    assert labels["depth"][words.index("return")] == "1"
    assert set(labels["kind of token"]) <= {*KINDS, ""}
    assert set(labels["package"][: len(ids) - 1]) == {"json"}
    assert set(labels["package"][len(ids) - 1 :]) == {"(top level)"}


def test_some_examples_are_those_positions_or_texts(tokenizer):
    sources = [Document(f"{i}.py", SOURCE) for i in range(4)]
    examples = python_examples(tokenizer, {0}, sources, tokens=1000, length=8)
    flat = [(n, int(i)) for n, positions in enumerate(examples.keep) for i in positions]
    rows = np.array([0, 3, 7, len(flat) - 1])
    few = examples.only(rows)
    assert [(n, int(i)) for n, positions in enumerate(few.keep) for i in positions] == [flat[row] for row in rows]
    assert (few.documents == examples.documents[rows]).all()
    texts = labelled_examples(tokenizer, {0}, ["a", "b c", "d"], list("xyx"), name="l", length=2, pool="mean")
    assert texts.only(np.array([1, 2])).pieces == texts.pieces[1:]
    assert max(map(len, texts.pieces)) == 2


def test_a_document_without_tokens_and_a_text_without_python_are_refused(tokenizer):
    with pytest.raises(InputError, match="document 1"):
        labelled_examples(tokenizer, {0}, ["a", ""], ["x", "y"], name="l", length=4, pool="mean")
    with pytest.raises(InputError, match="not Python"):
        python_examples(tokenizer, {0}, [Document("a.py", "print 'old'")], tokens=10, length=4)


def test_few_features_that_fire_are_warned_of():
    assert Fires(width=1000, d=64, examples=100, at_all=900, often=64, l0=8).warning is None
    warning = Fires(width=1000, d=64, examples=100, at_all=70, often=63, l0=8).warning
    assert warning is not None
    assert "63 of 1,000" in warning


@pytest.mark.parametrize("pool", ["mean", "max"])
@pytest.mark.parametrize("name", ["topk", "transcoder"])
def test_documents_of_two_kinds_are_told_apart(finished: Path, tmp_path: Path, pool, name: str):
    rng = np.random.default_rng(0)
    rows = [
        {"text": " ".join(rng.choice(words, 12)), "kind": kind}
        for kind, words in (("code", ["def", "return", "(", "self"]), ("prose", ["the", "of", "and", "which"]))
        for _ in range(30)
    ]
    path = write(tmp_path / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    plan = ProbePlan(LabelledFile(str(path), label="kind", pool=pool), folds=3, probes=ProbeOptions((1, 4)))
    found = probe_folder(finished, plan, name=next(n for n in names(finished) if n.startswith(name)), device="cpu")
    assert found.documents == found.fires.examples == 60
    ((task, scores),) = found.results
    assert task.positive == "prose"
    assert {len(score) for score in scores.values()} == {2, 3}
    assert np.mean(scores["activations"][-1].accuracy) > 0.95
    assert np.mean(scores[CODES][1].accuracy) > 0.8
    figures = probe_json(found)
    assert figures["mean_accuracy"]["kind"][CODES].keys() == {"1", "4", "all"}
    tables = probe_tables(found)
    assert len(tables) == 2
    assert all(len(row) == len(table.headers) for table in tables for row in table.rows)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "dictionaries").iterdir())


def test_what_cannot_be_probed_is_refused(finished: Path, tmp_path: Path):
    with pytest.raises(InputError, match="tiny:heldout or tiny:train"):
        probe_folder(finished, ProbePlan(text="corpus.jsonl"), device="cpu")
    path = write(tmp_path / "a.jsonl", '{"text": "a", "label": 0}\n{"text": "b", "label": 1}\n')
    with pytest.raises(InputError, match="more documents"):
        probe_folder(finished, ProbePlan(LabelledFile(str(path))), device="cpu")
