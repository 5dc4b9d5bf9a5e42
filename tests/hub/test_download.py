"""Downloads from a hub on this machine: once, resumed, checked, and never outside of their folder."""

import os
import re
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest
import torch
from huggingface_hub import constants, hf_hub_download
from safetensors.torch import save_file

import monosema
from monosema.errors import InputError
from monosema.hub import fetch, parse
from monosema.hub.address import Address
from tests.hub.conftest import REPO, a_dictionary, files_of
from tests.hub.fake_hub import FakeHub
from tests.same import same

WEIGHTS = "wide/dictionary.safetensors"


def place(text: str) -> Address:
    found = parse(text)
    assert isinstance(found, Address)
    return found


def contents(cache: Path) -> list[str]:
    """Everything in the cache that is or could become a file of a dictionary."""
    return sorted(p.name for p in cache.rglob("*") if p.is_file() and p.suffix != ".lock" and "refs" not in p.parts)


def test_an_address_is_loaded_as_what_was_saved(hub: FakeHub):
    at_root, in_folder = monosema.load(f"hf://{REPO}"), monosema.load(f"hf://{REPO}/wide")
    assert same(at_root, a_dictionary(0))
    assert same(in_folder, a_dictionary(1, width=2000))
    assert in_folder.metadata == {"name": "small", "model": "tiny", "address": f"hf://{REPO}/wide"}


def test_only_the_files_of_the_dictionary_are_downloaded(hub: FakeHub, cache: Path):
    fetch(place(f"hf://{REPO}"))
    assert {p.name for p in (cache / "snapshots").rglob("*") if p.is_file()} == {
        "dictionary.json",
        "dictionary.safetensors",
    }


def test_what_is_there_is_not_downloaded_again_but_a_newer_commit_is(hub: FakeHub):
    address = f"hf://{REPO}/wide"
    monosema.load(address)
    assert len(hub.downloads(WEIGHTS)) == 1
    monosema.load(address)
    assert len(hub.downloads(WEIGHTS)) == 1
    changed = hub.tree(REPO, "main")
    assert changed
    hub.commit(REPO, {"wide/dictionary.json": changed[1]["wide/dictionary.json"].replace(b"small", b"newer")})
    assert monosema.load(address).metadata["name"] == "newer"
    assert len(hub.downloads(WEIGHTS)) == 1  # the same content


def test_a_commit_is_read_without_asking_the_hub_once_it_is_there(hub: FakeHub):
    before = hub.tree(REPO, "main")
    assert before
    hub.commit(REPO, {"wide/dictionary.json": b"{}"})
    monosema.load(f"hf://{REPO}/wide@{before[0]}")
    asked = len(hub.requests)
    monosema.load(f"hf://{REPO}/wide@{before[0]}")
    assert len(hub.requests) == asked > 0
    with pytest.raises(InputError, match="format None"):
        monosema.load(f"hf://{REPO}/wide")


def test_the_hubs_own_library_finds_what_was_downloaded(hub: FakeHub):
    folder = fetch(place(f"hf://{REPO}/wide"))
    found = hf_hub_download(REPO, WEIGHTS, local_files_only=True, cache_dir=constants.HF_HUB_CACHE)
    assert Path(found) == folder / "dictionary.safetensors"


def test_a_download_that_is_cut_goes_on_where_it_stopped(hub: FakeHub):
    hub.cut[WEIGHTS] = [50_000, 20_000]
    assert same(monosema.load(f"hf://{REPO}/wide"), a_dictionary(1, width=2000))
    assert hub.downloads(WEIGHTS) == ["", "bytes=50000-", "bytes=70000-"]


def test_another_process_goes_on_where_a_killed_one_stopped(hub: FakeHub, cache: Path):
    content = hub.commits[REPO][-1][1][WEIGHTS]
    digest = hub.entry(WEIGHTS, content)["lfs"]["oid"]
    (cache / "blobs").mkdir(parents=True)
    (cache / "blobs" / f"{digest}.monosema.part").write_bytes(content[:30_000])
    assert same(monosema.load(f"hf://{REPO}/wide"), a_dictionary(1, width=2000))
    assert hub.downloads(WEIGHTS) == ["bytes=30000-"]
    assert [name for name in contents(cache) if name.endswith(".part")] == []


def test_a_connection_that_brings_nothing_more_ends_in_one_line_and_keeps_what_came(
    hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    hub.cut[WEIGHTS] = [10_000, *[0] * 20]
    with pytest.raises(ConnectionError, match=r"broke off after 10,000 of .* what has arrived is kept"):
        monosema.load(f"hf://{REPO}/wide")
    (part,) = cache.rglob("*.part")
    assert part.stat().st_size == 10_000
    assert not list((cache / "snapshots").rglob("*.safetensors"))
    hub.cut.clear()
    assert same(monosema.load(f"hf://{REPO}/wide"), a_dictionary(1, width=2000))
    assert hub.downloads(WEIGHTS)[-1] == "bytes=10000-"


def test_a_commit_that_came_half_is_not_taken_for_a_whole_one(hub: FakeHub, cache: Path):
    address = f"hf://{REPO}/wide@{hub.commits[REPO][-1][0]}"
    hub.cut[WEIGHTS] = [10_000, *[0] * 20]
    with pytest.raises(ConnectionError):
        monosema.load(address)
    assert not (cache / "snapshots").exists()
    hub.cut.clear()
    assert same(monosema.load(address), a_dictionary(1, width=2000))


@pytest.mark.parametrize("file", [WEIGHTS, "wide/dictionary.json"])
def test_a_wrong_checksum_is_refused_and_nothing_of_it_stays(hub: FakeHub, cache: Path, file: str):
    """One file has the sha256 of LFS, the other git's own hash."""
    real = hub.commits[REPO][-1][1][file]
    hub.served_instead[file] = bytes([real[0] ^ 1]) + real[1:]
    before = contents(cache)
    with pytest.raises(InputError, match=r"arrived with checksum .* as the hub says; nothing of it was kept"):
        monosema.load(f"hf://{REPO}/wide")
    assert not any(p.name == Path(file).name for p in cache.rglob("*"))
    assert [name for name in contents(cache) if name.endswith(".part") or name in before] == []
    hub.served_instead.clear()
    assert same(monosema.load(f"hf://{REPO}/wide"), a_dictionary(1, width=2000))


@pytest.mark.parametrize("shorter", [True, False])
def test_a_file_of_another_size_is_refused(hub: FakeHub, shorter: bool, monkeypatch: pytest.MonkeyPatch):
    real = hub.commits[REPO][-1][1][WEIGHTS]
    hub.served_instead[WEIGHTS] = real[:-1] if shorter else real + b"x"
    with pytest.raises((InputError, OSError), match="broke off" if shorter else "checksum"):
        monosema.load(f"hf://{REPO}/wide")


@pytest.mark.parametrize(
    "name",
    ["../../../outside.json", "/tmp/outside.json", "wide/../../outside.json", "wide\\..\\x.json", "wide//x.json"],
)
def test_a_name_that_leads_out_of_the_repository_is_refused(hub: FakeHub, tmp_path: Path, name: str):
    hub.commit(REPO, {"wide/extra.json": b"{}"})
    hub.listed_as["wide/extra.json"] = name
    before = files_of(tmp_path)
    with pytest.raises(InputError, match="stays inside the repository"):
        fetch(place(f"hf://{REPO}/wide"))
    assert files_of(tmp_path) == before


def test_a_hash_that_is_none_is_refused(hub: FakeHub, monkeypatch: pytest.MonkeyPatch):
    entry = hub.entry

    def evil(path: str, content: bytes) -> dict:
        return entry(path, content) | {"oid": "../../../evil", "lfs": None}

    monkeypatch.setattr(hub, "entry", evil)
    with pytest.raises(InputError, match="for a hash"):
        fetch(place(f"hf://{REPO}/wide"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (f"hf://{REPO}/narrow", "has no 'narrow'"),
        (f"hf://{REPO}/wide@v9", "no revision 'v9'"),
        ("hf://org/absent", "no repository org/absent"),
        ("hf://org/locked/x", "agreed to its terms"),
        (f"hf://{REPO}/README.md", "holds no dictionary"),
    ],
)
def test_what_is_not_on_the_hub_is_refused_and_named(hub: FakeHub, text: str, words: str):
    with pytest.raises(InputError, match=words):
        monosema.load(text)


def test_a_repository_of_many_dictionaries_asks_for_one(hub: FakeHub):
    hub.commit("org/many", {"layer_0/cfg.json": b"{}", "layer_1/cfg.json": b"{}", "README.md": b""})
    with pytest.raises(InputError, match=r"holds no dictionary itself.*such as layer_0, layer_1"):
        fetch(place("hf://org/many"))


def test_a_file_brings_the_configuration_beside_it_and_llama_scope_its_checkpoint(hub: FakeHub):
    files = {"layer_0.safetensors": b"0", "layer_1.safetensors": b"1", "config.yaml": b"a: 1"}
    scope = {"hyperparams.json": b"{}", "checkpoints/final.safetensors": b"f", "checkpoints/step.safetensors": b""}
    hub.commit("org/files", files | {f"l0/{name}": content for name, content in scope.items()})
    there = fetch(place("hf://org/files/layer_1.safetensors"))
    assert there.read_bytes() == b"1"
    assert sorted(p.name for p in there.parent.iterdir()) == ["config.yaml", "layer_1.safetensors"]
    found = files_of(fetch(place("hf://org/files/l0")))
    assert found == {"hyperparams.json": b"{}", "checkpoints/final.safetensors": b"f"}


def test_offline_what_is_here_is_read_and_what_is_not_is_refused_with_its_place(
    hub: FakeHub, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monosema.load(f"hf://{REPO}/wide")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert same(monosema.load(f"hf://{REPO}/wide"), a_dictionary(1, width=2000))
    assert "as it was downloaded" in capsys.readouterr().err
    commit = hub.commits[REPO][-1][0]
    with pytest.raises(InputError) as refused:
        monosema.load(f"hf://{REPO}/narrow")
    assert str(cache / "snapshots" / commit / "narrow") in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
    with pytest.raises(InputError, match="models--org--never"):
        monosema.load("hf://org/never/seen")


def test_a_hub_that_does_not_answer_is_like_no_network(hub: FakeHub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="hub cannot be reached"):
        monosema.load(f"hf://{REPO}/wide")


@pytest.mark.slow
def test_after_a_process_that_was_killed_another_one_goes_on(hub: FakeHub, cache: Path):
    hub.stall[WEIGHTS] = 60_000
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub.endpoint, "HF_HUB_CACHE": constants.HF_HUB_CACHE, "HF_HUB_DISABLE_XET": "1"}
    code = f"""if True:
        import huggingface_hub.constants, monosema
        huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE = 1000
        monosema.load("hf://{REPO}/wide")
    """
    with subprocess.Popen([sys.executable, "-c", code], env=environment) as process:
        waited = Event()
        while not any(part.stat().st_size > 40_000 for part in cache.rglob("*.part")):
            assert process.poll() is None
            waited.wait(0.05)
        process.kill()
    hub.stall.clear()
    assert same(monosema.load(f"hf://{REPO}/wide"), a_dictionary(1, width=2000))
    first, second = hub.downloads(WEIGHTS)
    assert first == ""
    assert int(second.removeprefix("bytes=").removesuffix("-")) > 40_000


@pytest.mark.slow
def test_the_environments_endpoint_is_the_one_that_is_asked(hub: FakeHub, tmp_path: Path):
    """In a process of its own, as a user has it: HF_ENDPOINT, HF_HOME, and the command line's exit status."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_HUB_DISABLE_XET": "1"}
    code = f"import monosema; print(monosema.load('hf://{REPO}/wide').spec.width)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "2000\n"), done.stderr
    assert (tmp_path / "home" / "hub" / f"models--{REPO.replace('/', '--')}").is_dir()


def test_a_path_that_is_not_there_is_offered_as_an_address():
    with pytest.raises(InputError, match=r"no dictionary at org/some; .* hf://org/some"):
        monosema.load("org/some")
    with pytest.raises(InputError) as refused:
        monosema.load("/no/where")
    assert not re.search("hf://", str(refused.value))


def test_commands_take_addresses(hub: FakeHub, tmp_path: Path):
    from monosema.runs.convert import convert
    from monosema.runs.evaluate import evaluate_folder

    address = f"hf://{REPO}/wide"
    assert convert(address, tmp_path / "out", "saelens") == {"wide": tmp_path / "out"}
    assert same(monosema.load(tmp_path / "out"), a_dictionary(1, width=2000))
    rows = torch.randn(500, 8, generator=torch.Generator().manual_seed(0))
    save_file({"resid_post.1": rows}, tmp_path / "rows.safetensors")
    (found,) = evaluate_folder(address, activations=str(tmp_path / "rows.safetensors"), device="cpu").items()
    assert found[0] == address
    assert found[1].l0 == 4
