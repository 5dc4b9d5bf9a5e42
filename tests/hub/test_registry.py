"""The registry and the addresses that it gives meaning to."""

import json
import re
from pathlib import Path

import pytest
from huggingface_hub import constants

import monosema
from monosema.errors import InputError
from monosema.formats import formats
from monosema.hub import Address, find, parse, releases, search
from monosema.hub.registry import FILE
from monosema.models.families import KINDS
from tests.hub.conftest import a_dictionary, files_of
from tests.hub.fake_hub import FakeHub

ALL = [one for of in releases().values() for one in of]


def test_the_registry_is_small_and_says_of_each_dictionary_where_it_belongs():
    assert FILE.stat().st_size < 500_000
    assert len(ALL) > 10_000
    assert len({one.address for one in ALL}) == len(ALL)
    for one in ALL:
        for point in (one.reads, one.writes):
            assert point == "embed" or re.fullmatch(rf"({'|'.join(KINDS)})\.\d+", point), one
        assert one.width is None or 256 <= one.width <= 2**21
        assert one.l0 is None or 0 < one.l0 < 10_000
        assert one.factor is None or 0 < one.factor < 1000


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("saelens:gpt2-small-res-jb/blocks.8.hook_resid_pre", ("gpt2", "resid_pre.8", 24576, 60.0, "saelens")),
        (
            "gemma-scope:2b-pt-res/layer_12/width_16k/average_l0_82",
            ("google/gemma-2-2b", "resid_post.12", 16384, 82.0, "gemma_scope"),
        ),
        (
            "gemma-scope:2b-pt-att-canonical/layer_3/width_65k/canonical",
            ("google/gemma-2-2b", "attn_z.3", 65536, None, "gemma_scope"),
        ),
        (
            "gemma-scope:2-1b-pt-res/layer_13_width_16k_l0_big",
            ("google/gemma-3-1b-pt", "resid_post.13", 16384, 150.0, "gemma_scope_2"),
        ),
        (
            "saelens:llama_scope_lxm_8x/l5m_8x",
            ("meta-llama/Llama-3.1-8B", "mlp_out.5", 32768, 50.0, "llama_scope"),
        ),
        (
            "saelens:mwhanna-qwen3-4b-transcoders/layer_7",
            ("Qwen/Qwen3-4B", "mlp_in.7 → mlp_out.7", None, None, "circuit_tracer"),
        ),
    ],
)
def test_an_address_tells_what_the_registrys_names_say(address: str, expected: tuple):
    place = parse(address)
    assert isinstance(place, Address)
    one = place.published
    assert one
    model, point, width, l0, format = expected
    assert (one.model, one.point, one.width, one.format) == (model, point, width, format)
    assert l0 is None or one.l0 == l0


def test_every_word_narrows_a_search_and_points_and_widths_are_whole():
    wide, narrow = search(["gemma-2-2b"]), search(["GEMMA-2-2b", "resid_post.1", "16384"])
    assert {one.model for one in narrow} == {"google/gemma-2-2b"}
    assert {one.reads for one in narrow} == {"resid_post.1"}
    assert {one.width for one in narrow} == {16384}
    assert 0 < len(narrow) < len(wide)
    assert {one.reads.split(".")[0] for one in search(["gpt2", "resid_mid"])} == {"resid_mid"}
    assert search(["no-such-model"]) == []
    assert search([]) == ALL


@pytest.mark.parametrize(
    ("text", "repo", "path", "revision"),
    [
        ("hf://org/repo", "org/repo", "", "main"),
        ("hf://org/repo/", "org/repo", "", "main"),
        ("hf://org/repo/a/b.pt", "org/repo", "a/b.pt", "main"),
        ("hf://org/repo/a@v1.0", "org/repo", "a", "v1.0"),
        ("hf://org/repo@refs/pr/3", "org/repo", "", "refs/pr/3"),
        ("hf://org/repo/group:v1", "org/repo", "group:v1", "main"),
    ],
)
def test_an_address_on_the_hub_is_taken_apart_and_put_together(text: str, repo: str, path: str, revision: str):
    address = parse(text)
    assert address == Address(repo, path, revision)
    assert parse(str(address)) == address


@pytest.mark.parametrize("text", ["runs/a", "/x/y", Path("hf://org/repo"), "C", "org/repo", "a b:c"])
def test_anything_else_is_a_path(text: str):
    assert parse(text) == Path(text)


def test_a_file_that_is_there_is_what_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("saelens:x").mkdir()
    assert parse("saelens:x") == Path("saelens:x")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("s3://bucket/x", "expected a local path, hf://org/repo"),
        ("sae-lens:x/y", "did you mean saelens"),
        ("hf://org", "hf://org/repo"),
        ("hf://org/repo/x@", "hf://org/repo"),
        ("hf://org/../etc", "org/repo, of letters"),
        ("hf://org/repo/../../x", "stays inside"),
        ("hf://org/repo/x@../../refs", "stays inside"),
        ("saelens:gpt2-small-res-jp/blocks.1", "did you mean gpt2-small-res-jb"),
        ("saelens:gpt2-small-res-jb/blocks.12.hook_resid_pre", r"did you mean blocks\.\d+\.hook_resid_pre"),
        ("saelens:gpt2-small-res-jb", r"release of 13 dictionaries; expected one of them: saelens:gpt2-small-res-jb/b"),
        ("gemma-scope:2b-pt-rez/layer_1", "did you mean gemma-scope-2b-pt-res"),
    ],
)
def test_a_wrong_address_is_refused_with_what_was_meant(text: str, words: str):
    with pytest.raises(InputError, match=words):
        parse(text)


def publish(hub: FakeHub, address: str, tmp_path: Path) -> None:
    """Puts a dictionary that names no hook point where the registry says that one is."""
    place = parse(address)
    assert isinstance(place, Address)
    made = a_dictionary()
    made.spec = monosema.Spec(d_in=8, d_out=8, width=40)
    made.metadata = {"name": "theirs", "model": None}
    monosema.save(made, tmp_path / "theirs")
    hub.commit(place.repo, {f"{place.path}/{name}": content for name, content in files_of(tmp_path / "theirs").items()})


def test_what_the_registry_knows_completes_what_the_files_say(hub: FakeHub, tmp_path: Path):
    address = "saelens:gpt2-small-res-jb/blocks.8.hook_resid_pre"
    publish(hub, address, tmp_path)
    found = monosema.load(address)
    assert (found.spec.reads, found.spec.writes) == (("resid_pre.8",), ("resid_pre.8",))
    assert found.metadata == {
        "name": "theirs",
        "model": "gpt2",
        "address": address,
        "model_preprocessing": ["center_writing_weights"],
    }


def test_a_factor_that_only_the_registry_has_lies_beside_the_files(hub: FakeHub, tmp_path: Path):
    address = "saelens:gpt2-small-mlp-tm/blocks.0.hook_mlp_out"
    publish(hub, address, tmp_path)
    monosema.load(address)
    (scaler,) = Path(constants.HF_HUB_CACHE).rglob("activation_scaler.json")
    assert json.loads(scaler.read_text()) == {"scaling_factor": find(*address[8:].split("/")).factor}
    assert (scaler.parent / "dictionary.json").is_file()


def test_every_format_in_the_registry_is_one_that_can_be_read():
    assert {one.format for one in ALL} <= set(formats)
