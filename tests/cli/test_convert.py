"""`monosema convert` writes what it read in another format, or nothing."""

import json
from pathlib import Path

import pytest
import torch

from monosema.formats import load
from tests.cli.conftest import Command
from tests.formats.recorded import FIXTURES, recorded


def test_a_dictionary_goes_through_every_format_that_has_its_kind(monosema: Command, tmp_path: Path):
    path = FIXTURES / "sparsify" / "layers.3"
    for to in ("saelens", "dictionary_learning", "sparsify", "monosema"):
        ended = monosema("convert", path, tmp_path / to, "--to", to)
        assert (ended.status, ended.out) == (0, f"{path.stem}: {tmp_path / to}\n")
        path = tmp_path / to
    x, codes, out = recorded("sparsify/layers.3")
    torch.testing.assert_close(load(path).encode(x), codes, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(load(path)(x), out, rtol=1e-5, atol=1e-5)


def test_monosema_is_what_it_is_converted_to_by_default(monosema: Command, tmp_path: Path):
    assert monosema("convert", FIXTURES / "openai" / "topk.pt", tmp_path / "out").status == 0
    assert (tmp_path / "out" / "dictionary.json").is_file()


def test_every_layer_of_a_set_gets_a_folder(monosema: Command, tmp_path: Path):
    ended = monosema("convert", FIXTURES / "circuit_tracer" / "per_layer", tmp_path / "out", "--to", "saelens")
    assert ended.out.splitlines() == [f"layer_{n}: {tmp_path / 'out' / f'layer_{n}'}" for n in (0, 1)]
    x, _, out = recorded("circuit_tracer/per_layer/layer_1.safetensors")
    torch.testing.assert_close(load(tmp_path / "out" / "layer_1")(x), out, rtol=1e-5, atol=1e-5)


def test_where_everything_lies_is_said_as_json_too(monosema: Command, tmp_path: Path):
    ended = monosema("convert", FIXTURES / "circuit_tracer" / "per_layer", tmp_path / "out", "--json")
    assert json.loads(ended.out) == {f"layer_{n}": str(tmp_path / "out" / f"layer_{n}") for n in (0, 1)}


def test_every_dictionary_of_a_run_gets_a_folder(monosema: Command, tmp_path: Path, finished: Path):
    assert monosema("convert", finished, tmp_path / "out", "--to", "dictionary_learning").status == 0
    theirs, ours = load(tmp_path / "out" / "only"), load(finished / "dictionaries" / "only")
    assert torch.equal(theirs.W_enc, ours.W_enc)
    assert theirs.metadata == ours.metadata


@pytest.mark.parametrize(
    ("source", "to", "message"),
    [
        ("circuit_tracer/cross_layer", "saelens", "reads mlp_in.0 and mlp_in.1"),
        ("circuit_tracer/per_layer", "sparsify", "sparsify has no relu"),
        ("saelens/standard", "openai", "is read, not written"),
        ("saelens/standard", "safelens", "did you mean saelens"),
        ("saelens/nothing", "monosema", "no dictionary at"),
        ("saelens", "openai", "is read, not written"),
    ],
)
def test_what_cannot_be_written_is_refused_and_nothing_is_left(
    monosema: Command, tmp_path: Path, source: str, to: str, message: str
):
    assert message in monosema("convert", FIXTURES / source, tmp_path / "out", "--to", to).refused()
    assert not list(tmp_path.rglob("*.*"))


def test_nothing_is_overwritten(monosema: Command, tmp_path: Path):
    (tmp_path / "mine").touch()
    assert "already holds something" in monosema("convert", FIXTURES / "saelens" / "topk", tmp_path).refused()
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
