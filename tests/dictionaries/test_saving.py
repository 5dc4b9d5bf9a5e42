"""Dictionaries on disk: what is saved comes back bit for bit, and nothing else is taken for a dictionary."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from monosema.dictionaries import Spec, load, save
from monosema.errors import InputError
from monosema.files import read_json, write_atomically
from tests.dictionaries.strategies import Case, build, cases, random
from tests.same import same

CONFIG, WEIGHTS = "dictionary.json", "dictionary.safetensors"
SPEC = Spec(4, 3, 12, ("mlp_in.2",), ("mlp_out.2",), "transcoder", subtracts_input_bias=True, skip=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(build(SPEC, "batch_topk").float(), tmp_path)
    return tmp_path


@settings(deadline=None, max_examples=40)
@given(cases(), st.sampled_from([torch.float32, torch.float64, torch.bfloat16]))
def test_saving_and_loading_changes_no_bit(case: Case, dtype: torch.dtype):
    saved, x = case.dictionary.to(dtype), case.x
    with tempfile.TemporaryDirectory() as folder:
        save(saved, folder)
        loaded = load(folder)
    assert same(saved, loaded)
    assert loaded.spec == saved.spec
    assert loaded.metadata == saved.metadata
    assert loaded.activation.options() == saved.activation.options()
    assert not loaded.training
    pairs = zip(loaded.parameters(), saved.parameters(), strict=True)
    assert all(parameter.requires_grad == original.requires_grad for parameter, original in pairs)
    assert torch.equal(loaded(x), saved.eval()(x))


def test_a_loaded_dictionary_outlives_its_files(folder: Path):
    loaded = load(folder)
    (folder / WEIGHTS).write_bytes(bytes((folder / WEIGHTS).stat().st_size))
    assert same(loaded, build(SPEC, "batch_topk").float())


def test_weights_cut_anywhere_are_refused(folder: Path):
    path = folder / WEIGHTS
    whole = path.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    for length in (0, 1, 7, 8, 9, header - 1, header, header + 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=rf"{WEIGHTS} is corrupt or truncated"):
            load(folder)


def test_a_bit_flipped_in_the_header_is_refused_or_does_no_harm(folder: Path):
    path = folder / WEIGHTS
    whole, original = path.read_bytes(), load(folder)
    errors = []
    for position in range(8 + int.from_bytes(whole[:8], "little")):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        try:
            assert same(load(folder), original)
        except InputError as error:
            errors.append(str(error))
    assert len(errors) > 200
    assert all(WEIGHTS in error for error in errors)


def nan_in(tensor: Tensor) -> Tensor:
    tensor = tensor.clone()
    tensor.view(-1)[1] = torch.nan
    return tensor


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda t: t.pop("W_enc"), "has no tensor 'W_enc'"),
        (lambda t: t.update(b_encc=t["b_enc"].clone()), "has a tensor 'b_encc'.*did you mean b_enc"),
        (lambda t: t.update(W_dec=t["W_dec"].T.contiguous()), r"'W_dec'.*shape \[3, 12\]; expected \[12, 3\]"),
        (lambda t: t.update(b_dec=nan_in(t["b_dec"])), "'b_dec'.*not finite"),
        (lambda t: t.update(W_skip=t["W_skip"] / 0), "'W_skip'.*not finite"),
        (lambda t: t.update(W_enc=t["W_enc"].int()), r"'W_enc'.*type torch\.int32"),
    ],
    ids=["missing", "extra", "shape", "nan", "infinite", "type"],
)
def test_wrong_tensors_are_refused_by_name(folder: Path, edit: Callable[[dict[str, Tensor]], Any], message: str):
    tensors = safetensors.torch.load((folder / WEIGHTS).read_bytes())
    edit(tensors)
    safetensors.torch.save_file(tensors, folder / WEIGHTS)
    with pytest.raises(InputError, match=message) as error:
        load(folder)
    assert WEIGHTS in str(error.value)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda c: c.update(format="monosema/999"), "format 'monosema/999'; expected 'monosema/1'"),
        (lambda c: c.pop("format"), "format None"),
        (lambda c: c.pop("spec"), "does not describe a dictionary.*spec"),
        (lambda c: c.pop("metadata"), "does not describe a dictionary.*metadata"),
        (lambda c: c["spec"].pop("width"), "does not describe a dictionary.*width"),
        (lambda c: c["spec"].update(widht=3), "does not describe a dictionary.*widht"),
        (lambda c: c["spec"].update(width="12"), "does not describe a dictionary"),
        (lambda c: c["spec"].update(width=10**9), r"tensor '.*shape \[.*expected \[.*1000000000"),
        (lambda c: c["spec"].update(width=10**30), "does not describe a dictionary"),
        (lambda c: c["spec"].update(width=0), "width = 0; expected a positive size"),
        (lambda c: c["spec"].update(d_in=5), "tensor '.*shape"),
        (lambda c: c["spec"].update(wiring="trancoder"), "unknown wiring.*did you mean transcoder"),
        (lambda c: c["spec"].update(decoder="dence"), "unknown map.*did you mean dense"),
        (lambda c: c["activation"].update(name="bacth_topk"), "unknown activation function.*did you mean batch_topk"),
        (lambda c: c["activation"].update(name=3), "does not describe a dictionary"),
        (lambda c: c["activation"].pop("name"), "does not describe a dictionary.*name"),
        (lambda c: c["activation"].update(kk=3), "does not describe a dictionary.*kk"),
        (lambda c: c["activation"].update(k=13), "k = 13 with width 12"),
        (lambda c: c["activation"].update(k=None), "k = None with width 12"),
        (lambda c: c.update(activation="relu"), "does not describe a dictionary"),
    ],
)
def test_wrong_configurations_are_refused_by_file(folder: Path, edit: Callable[[dict[str, Any]], Any], message: str):
    config = read_json(folder / CONFIG)
    edit(config)
    (folder / CONFIG).write_text(json.dumps(config))
    with pytest.raises(InputError, match=message) as error:
        load(folder)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("content", [b"", b'{"format": "mono', b"[1, 2]", b"null", b"\xff\xfe\x00"])
def test_a_configuration_that_is_none_is_refused(folder: Path, content: bytes):
    (folder / CONFIG).write_bytes(content)
    with pytest.raises(InputError, match=CONFIG):
        load(folder)


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_a_missing_file_is_named(folder: Path, name: str):
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"no file .*{name}"):
        load(folder)
    (folder / name).mkdir()
    with pytest.raises(InputError, match=f"no file .*{name}"):
        load(folder)


def test_a_file_in_place_of_the_folder_is_refused(folder: Path):
    with pytest.raises(InputError, match="no file"):
        load(folder / WEIGHTS)
    with pytest.raises(InputError, match="no file"):
        load(folder / "nowhere")


def test_an_interrupted_write_leaves_what_was_there_and_nothing_beside_it(tmp_path: Path):
    def fail_midway(path: Path) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    target = tmp_path / "new" / "file"
    with pytest.raises(KeyboardInterrupt):
        write_atomically(target, fail_midway)
    assert list(target.parent.iterdir()) == []

    write_atomically(target, lambda path: path.write_text("whole"))
    with pytest.raises(KeyboardInterrupt):
        write_atomically(target, fail_midway)
    assert target.read_text() == "whole"
    assert list(target.parent.iterdir()) == [target]


def test_an_interrupted_save_leaves_the_dictionary_that_was_there(folder: Path, monkeypatch: pytest.MonkeyPatch):
    def fail_midway(tensors: dict[str, Tensor], path: Path, metadata: None) -> None:
        path.write_bytes(safetensors.torch.save(tensors)[:100])
        raise OSError("disk full")

    monkeypatch.setattr(safetensors.torch, "save_file", fail_midway)
    other = build(SPEC, "batch_topk", seed=1).float()
    for place in (folder, folder / "new"):
        with pytest.raises(OSError, match="disk full"):
            save(other, place)
    assert same(load(folder), build(SPEC, "batch_topk").float())
    assert {path.name for path in folder.rglob("*")} == {CONFIG, WEIGHTS, "new"}


def test_weights_need_not_be_contiguous(tmp_path: Path):
    saved = build(SPEC, "relu")
    saved.W_enc.data = random(0, 12, 4).T
    save(saved, tmp_path)
    assert same(load(tmp_path), saved)
