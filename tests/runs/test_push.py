"""What is published: both forms, a card, safetensors alone; to a hub on this machine, or to a folder."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import constants

import monosema
from monosema.dictionaries import Dictionary, ReLU, Spec
from monosema.errors import InputError
from monosema.evaluation import evaluate_rows
from monosema.files import write_json
from monosema.runs.push import push
from tests.hub.conftest import a_dictionary, files_of, hub
from tests.hub.fake_hub import FakeHub
from tests.same import same

__all__ = ["hub"]
RUN = {"README.md", "config.yaml", "metrics.json"}


def front(card: str) -> dict:
    """The metadata at the head of a card."""
    _, head, _ = card.split("---\n", 2)
    return yaml.safe_load(head)


def test_a_run_is_published_and_loaded_from_there(finished: Path, hub: FakeHub):
    commit = push(finished, "me/mine", message="ours")
    head, tree = hub.commits["me/mine"][-1]
    assert head == commit
    names = [path.name for path in sorted((finished / "dictionaries").iterdir())]
    assert len(names) == 3
    for name in names:
        assert same(monosema.load(f"hf://me/mine/{name}"), monosema.load(finished / "dictionaries" / name))
        assert {f"{name}/dictionary.json", f"{name}/dictionary.safetensors"} <= tree.keys()
        assert {f"{name}/saelens/cfg.json", f"{name}/saelens/sae_weights.safetensors"} <= tree.keys()
        ours, theirs = (monosema.load(f"hf://me/mine/{name}{below}") for below in ("", "/saelens"))
        x = torch.randn(20, ours.spec.d_in, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(theirs(x), ours(x), rtol=1e-5, atol=1e-5)
    assert tree.keys() >= RUN
    assert hub.messages == ["ours"]
    assert not hub.private


def test_the_weights_go_as_large_files_and_nothing_else_is_of_another_kind(finished: Path, hub: FakeHub):
    push(finished, "me/mine", private=True)
    tree = hub.commits["me/mine"][-1][1]
    assert hub.private == {"me/mine"}
    weights = {content for name, content in tree.items() if name.endswith(".safetensors")}
    assert weights
    assert weights == set(hub.uploaded.values())
    kinds = {Path(name).suffix for name in tree if name != ".gitattributes"}
    assert kinds == {".safetensors", ".json", ".yaml", ".md"}


def test_the_card_has_metrics_configuration_and_how_to_load(finished: Path, tmp_path: Path):
    push(finished, "me/mine", dry_run=tmp_path / "out", license="mit")
    card = (tmp_path / "out" / "README.md").read_text()
    head = front(card)
    assert head["library_name"] == "monosema"
    assert head["license"] == "mit"
    assert "base_model" not in head  # the run's model was a local folder
    metrics = json.loads((finished / "metrics.json").read_text())["dictionaries"]
    for name, found in metrics.items():
        assert f'monosema.load("hf://me/mine/{name}")' in card
        row, *_ = [line for line in card.splitlines() if line.startswith(f"| {name} |")]
        assert f"{100 * found['fve']:.1f}" in row
        assert f"{found['l0']:.1f}" in row
    assert 'SAE.from_pretrained("me/mine", "jump/saelens")' in card
    assert "SAELens has no form" not in card
    assert (finished / "config.yaml").read_text() in card
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["dictionaries"] == metrics


def test_a_dictionary_alone_lies_at_the_root(finished: Path, hub: FakeHub, tmp_path: Path):
    jump = finished / "dictionaries" / "jump"
    push(jump, "me/one")
    assert same(monosema.load("hf://me/one"), monosema.load(jump))
    assert "saelens/cfg.json" in hub.commits["me/one"][-1][1]
    card = hub.commits["me/one"][-1][1]["README.md"].decode()
    assert "| jump |" in card  # measured in the run that it lies in
    assert 'monosema.load("hf://me/one")' in card


def test_what_saelens_has_no_form_for_is_published_without_it_and_the_card_says_why(tmp_path: Path):
    sites = {"sizes_in": (4, 4), "sizes_out": (4, 4), "decoder": "sites"}
    points = ("resid_post.0", "resid_post.1")
    made = Dictionary(Spec(8, 8, 12, points, points, **sites), ReLU(12))
    monosema.save(made, tmp_path / "made")
    push(tmp_path / "made", "me/mine", dry_run=tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "SAELens has no form for `made`: a dictionary that reads resid_post.0 and resid_post.1" in card
    assert not (tmp_path / "out" / "saelens").exists()
    assert same(monosema.load(tmp_path / "out"), made)


def test_the_card_has_a_row_for_each_hook_point_where_a_dictionary_writes_several(tmp_path: Path):
    points = ("resid_post.0", "resid_post.1")
    made = Dictionary(Spec(8, 8, 12, points, points, sizes_in=(4, 4), sizes_out=(4, 4), decoder="sites"), ReLU(12))
    rows = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    metrics = evaluate_rows(made, [(rows, rows)]).metrics
    assert metrics.sites is not None
    monosema.save(made, tmp_path / "run" / "dictionaries" / "both")
    write_json(tmp_path / "run" / "metrics.json", {"dictionaries": {"both": metrics.as_json()}})
    push(tmp_path / "run" / "dictionaries" / "both", "me/mine", dry_run=tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text().splitlines()
    for own in metrics.sites:
        assert f"| {own.site} | {100 * own.fve:.1f} | – | – |" in card
    assert any("Each hook point by itself" in line for line in card)


def test_a_dry_run_is_what_is_pushed_and_asks_nobody(finished: Path, hub: FakeHub, tmp_path: Path):
    asked = len(hub.requests)
    assert push(finished, "me/mine", dry_run=tmp_path / "out") == str(tmp_path / "out")
    assert len(hub.requests) == asked
    push(finished, "me/mine")
    published = dict(hub.commits["me/mine"][-1][1])
    del published[".gitattributes"]
    assert published == files_of(tmp_path / "out")
    with pytest.raises(InputError, match="already holds something"):
        push(finished, "me/mine", dry_run=tmp_path / "out")


def test_without_a_run_the_card_says_that_nothing_was_measured(tmp_path: Path):
    made = a_dictionary()
    made.metadata = {"text": "na|me [x](y)\n", "model": "org/model", "model_preprocessing": ["fold_ln"]}
    monosema.save(made, tmp_path / "made")
    push(tmp_path / "made", "me/mine", dry_run=tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert "No metrics came with this dictionary." in card
    assert front(card)["base_model"] == "org/model"
    assert "fold_ln" in card
    assert "na\\|me \\[x\\](y)" in card
    assert set(files_of(tmp_path / "out")) >= {"README.md", "dictionary.json", "dictionary.safetensors"}
    assert "config.yaml" not in files_of(tmp_path / "out")


def test_pushing_again_adds_a_commit(hub: FakeHub, tmp_path: Path):
    for seed in (0, 1):
        monosema.save(a_dictionary(seed), tmp_path / "made")
        push(tmp_path / "made", "me/mine")
    assert same(monosema.load("hf://me/mine"), a_dictionary(1))
    assert hub.messages == ["Dictionaries from monosema"] * 2


def test_what_cannot_be_published_is_refused(
    finished: Path, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(InputError, match="org/repo"):
        push(finished, "mine")
    with pytest.raises(InputError, match="no dictionary at"):
        push(tmp_path / "absent", "me/mine")
    with pytest.raises(InputError, match="agreed to its terms"):
        push(finished, "org/locked")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match=r"cannot be reached \(HF_HUB_OFFLINE is set\); --dry-run"):
        push(finished, "me/mine")
    assert "me/mine" not in hub.commits


def test_other_kinds_of_files_are_not_uploaded(hub: FakeHub, tmp_path: Path):
    from monosema.hub import upload

    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "ae.pt").write_bytes(b"")
    with pytest.raises(InputError, match=r"ae\.pt"):
        upload(tmp_path / "x", "me/mine", message="")
    assert "me/mine" not in hub.commits
