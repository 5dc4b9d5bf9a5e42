"""Whole sets at addresses: folders of a repository, what a list names, a release of the registry."""

import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

import monosema
from monosema.errors import InputError
from monosema.hub import releases
from monosema.runs.convert import convert
from tests.formats.recorded import FIXTURES
from tests.hub.conftest import REPO, a_dictionary, files_of, hub
from tests.hub.fake_hub import FakeHub
from tests.same import same

__all__ = ["hub"]
SETS = "org/sets"
CONFIG = "model_name: google/gemma-2-2b\nfeature_input_hook: mlp.hook_in\nfeature_output_hook: mlp.hook_out\n"


def put(hub: FakeHub, name: str, at: str = "") -> Path:
    """A fixture of the formats, in a repository."""
    folder = FIXTURES / name
    hub.commit(SETS, {f"{at}{file}": content for file, content in files_of(folder).items() if "recorded" not in file})
    return folder


def several(hub: FakeHub, tmp_path: Path, repo: str = "org/several", below: str = "") -> None:
    for seed in range(3):
        monosema.save(a_dictionary(seed), tmp_path / "several" / f"layer_{seed}")
    files = {
        **files_of(tmp_path / "several"),
        "README.md": b"# Three",
        "notes/data.json": b"{}",
        "config.yaml": b"a: 1",
    }
    hub.commit(repo, {f"{below}{name}": content for name, content in files.items()})


def equal(found: dict, expected: dict) -> bool:
    return list(found) == list(expected) and all(same(found[name], expected[name]) for name in expected)


def test_files_of_a_repository_are_the_dictionaries_that_they_are_here(hub: FakeHub):
    folder = put(hub, "circuit_tracer/set")
    found = monosema.load_all(f"hf://{SETS}")
    assert equal(found, monosema.load_all(folder))
    assert found["layer_1"].metadata["address"] == f"hf://{SETS}/layer_1.safetensors"
    assert same(monosema.load(found["layer_1"].metadata["address"]), found["layer_1"])


def test_the_files_of_a_crosscoder_are_one_dictionary_and_examples_beside_them_stay_where_they_are(hub: FakeHub):
    at = "crosscoder/layer_5_9_12_width_72"
    folder = put(hub, f"gemma_scope_2/{at}", f"{at}/")
    hub.commit(SETS, {f"{at}/examples.safetensors": b"many"})
    found = monosema.load(f"hf://{SETS}/{at}")
    assert same(found, monosema.load(folder))
    assert not hub.downloads(f"{at}/examples.safetensors")
    (one,) = monosema.load_all(f"hf://{SETS}/crosscoder").values()
    assert same(one, found)
    layer = monosema.load(f"hf://{SETS}/{at}/params_layer_1.safetensors")
    assert layer.spec.writes == ("resid_post.9", "resid_post.12")


@pytest.mark.parametrize("below", ["", "some/where/"])
def test_folders_right_below_are_read_and_those_that_hold_none_are_left(hub: FakeHub, tmp_path: Path, below: str):
    several(hub, tmp_path, below=below)
    address = f"hf://org/several/{below}".rstrip("/")
    found = monosema.load_all(address)
    assert list(found) == ["layer_0", "layer_1", "layer_2"]
    for seed, dictionary in enumerate(found.values()):
        assert same(dictionary, a_dictionary(seed))
        assert same(monosema.load(dictionary.metadata["address"].partition("@")[0]), dictionary)


def test_a_dictionary_at_the_root_is_the_only_one_whatever_lies_below(hub: FakeHub):
    (found,) = monosema.load_all(f"hf://{REPO}").values()
    assert same(found, a_dictionary(0))
    (wide,) = monosema.load_all(f"hf://{REPO}/wide").values()
    assert same(wide, a_dictionary(1, width=2000))


def test_without_a_network_a_set_is_what_was_downloaded(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    several(hub, tmp_path)
    before = monosema.load_all("hf://org/several")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert equal(monosema.load_all("hf://org/several"), before)
    with pytest.raises(InputError, match="is not on this machine"):
        monosema.load_all(f"hf://{SETS}")


def test_a_list_fetches_what_it_names(hub: FakeHub, tmp_path: Path):
    put(hub, "circuit_tracer/set", at="deep/")
    places = [f"hf://{SETS}/deep/layer_1.safetensors?revision=main", f"hf://{SETS}/deep/layer_0.safetensors"]
    config = f"{CONFIG}transcoders: {places}\n"
    (tmp_path / "config.yaml").write_text(config)
    hub.commit("org/list", {"config.yaml": config.encode()})
    expected = monosema.load_all(FIXTURES / "circuit_tracer" / "set")
    for place in (tmp_path, "hf://org/list"):
        found = monosema.load_all(place)
        assert same(found["layer_0"], expected["layer_1"])
        assert same(found["layer_1"], expected["layer_0"])
        assert found["layer_1"].spec.reads == ("mlp_in.1",)
    with pytest.raises(InputError, match="holds 2 dictionaries: layer_0, layer_1"):
        monosema.load("hf://org/list")


def test_a_cross_layer_transcoder_is_one_address_and_each_of_its_layers_another(hub: FakeHub):
    folder = put(hub, "circuit_tracer/across")
    assert same(monosema.load(f"hf://{SETS}"), monosema.load(folder))
    assert len(monosema.load_all(f"hf://{SETS}")) == 1
    layer = "W_enc_1.safetensors"
    assert same(monosema.load(f"hf://{SETS}/{layer}"), monosema.load(folder / layer))


def test_a_list_of_the_layers_of_one_transcoder_is_one_dictionary(hub: FakeHub, tmp_path: Path):
    folder = put(hub, "gemma_scope_2/clt", at="clt/")
    places = [f"hf://{SETS}/clt/params_layer_{layer}.safetensors" for layer in range(3)]
    (tmp_path / "config.yaml").write_text(f"{CONFIG}model_kind: cross_layer_transcoder\ntranscoders: {places}\n")
    assert torch.equal(monosema.load(tmp_path).W_dec, monosema.load(folder).W_dec)


@pytest.mark.parametrize("text", ["saelens:gpt2-small-hook-z-kk", "saelens:gpt2-small-hook-z-kk/blocks.3.hook_z"])
def test_a_release_of_the_registry_is_all_of_its_dictionaries(hub: FakeHub, text: str):
    """Each file is in the layout that the release has, with its name there."""
    (weights,) = (FIXTURES / "connor_rob").glob("*.pt")
    config = weights.with_name(f"{weights.stem}_cfg.json").read_bytes()
    release = releases()["gpt2-small-hook-z-kk"]
    for one in release:
        hub.commit(one.repo, {one.path: weights.read_bytes(), f"{Path(one.path).stem}_cfg.json": config})
    found = monosema.load_all(text)
    assert list(found) == [one.id for one in release if one.address.startswith(text)]
    for one in release:
        if one.id in found:
            assert found[one.id].metadata["address"] == one.address
            assert torch.equal(found[one.id].W_enc, monosema.load(weights).W_enc)


def test_a_set_at_an_address_is_converted_each_into_a_folder(hub: FakeHub, tmp_path: Path):
    several(hub, tmp_path)
    places = convert("hf://org/several", tmp_path / "out", "saelens")
    assert {name: path.name for name, path in places.items()} == {f"layer_{n}": f"layer_{n}" for n in range(3)}
    assert same(monosema.load(tmp_path / "out" / "layer_2"), a_dictionary(2))
    assert list(convert(f"hf://{REPO}/wide", tmp_path / "one", "saelens").values()) == [tmp_path / "one"]
    shutil.copytree(FIXTURES / "circuit_tracer" / "listed", tmp_path / "listed")
    assert list(convert(tmp_path / "listed", tmp_path / "set", "monosema")) == ["layer_0", "layer_1"]


def test_what_holds_no_dictionary_and_none_right_below_is_refused(hub: FakeHub):
    hub.commit("org/nothing", {"README.md": b"#", "a/b/c.json": b"{}"})
    with pytest.raises(InputError, match=r"none right below.*the folders a"):
        monosema.load_all("hf://org/nothing")
    with pytest.raises(InputError, match="no repository"):
        monosema.load_all("hf://org/absent")
    with pytest.raises(InputError, match=r"no dictionary at no/such.*hf://no/such"):
        monosema.load_all("no/such")
