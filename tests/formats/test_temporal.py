"""Autoencoders of contexts: what SAELens computes, from its files and those of their authors."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from monosema.errors import InputError
from monosema.formats import load, load_temporal
from monosema.models import Replacement, load_model, read, replacing
from tests.formats.hostile import damaged
from tests.formats.recorded import FIXTURES
from tests.models import tiny_lens

FOLDER = FIXTURES / "temporal"
NAMES = ("topk", "relu", "layer_norm", "bare", "original/layer_12/temporal")


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_codes_and_reconstructions_are_those_of_saelens(name: str):
    sae, known = load_temporal(FOLDER / name), load_file(FOLDER / f"{name}.safetensors")
    with torch.no_grad():
        codes = sae.codes(known["x"])
        close(codes.novel, known["novel"])
        close(codes.predicted, known["predicted"])
        close(sae.encode(known["x"]), known["novel"])
        close(sae.decode(codes, known["x"]), known["out"])
        close(sae(known["x"]), known["out"])
    assert codes.novel.any()
    assert codes.predicted.any()


def test_codes_depend_on_earlier_tokens_and_on_no_later_ones():
    sae, x = load_temporal(FOLDER / "topk"), load_file(FOLDER / "topk.safetensors")["x"]
    changed = x.clone()
    changed[:, 2] += 1
    with torch.no_grad():
        before, after = sae.codes(x), sae.codes(changed)
    for old, new in zip(before, after, strict=True):
        assert torch.equal(old[:, :2], new[:, :2])
        assert not torch.allclose(old[:, 3:], new[:, 3:])


def test_a_configuration_says_where_it_belongs():
    saved, original = load_temporal(FOLDER / "topk"), load_temporal(FOLDER / "original" / "layer_12" / "temporal")
    assert (saved.point, saved.metadata["model"]) == ("blocks.12.hook_resid_post", "google/gemma-2-2b")
    assert (original.point, original.config.factor) == ("resid_post.12", 0.25)


def test_it_takes_the_place_of_what_it_reads_in_a_model():
    model, ids = load_model(tiny_lens.gpt2()), torch.arange(12).reshape(2, 6)
    sae = load_temporal(FOLDER / "topk")
    sae.W_dec.data = torch.randn(len(sae.W_dec), tiny_lens.D, generator=torch.Generator().manual_seed(0))
    sae.b_dec.data = torch.zeros(tiny_lens.D)
    with torch.no_grad():
        reconstruction = sae(read(model, ids, ["resid_post.0"])["resid_post.0"])
        with replacing(model, [Replacement("resid_post.0", sae)]):
            found = model.logits(ids)
        with replacing(model, [Replacement("resid_post.0", lambda x: reconstruction)]):
            close(found, model.logits(ids))
    assert not torch.allclose(found, model.logits(ids))


def test_load_says_how_it_is_read():
    with pytest.raises(InputError, match=r"attention, on every token before.*load_temporal"):
        load(FOLDER / "topk")
    for other in ("saelens/standard", "sparsify/layers.3"):
        with pytest.raises(InputError):
            load_temporal(FIXTURES / other)
    with pytest.raises(InputError, match="codes after layer_norm alone"):
        load_temporal(FOLDER / "layer_norm").decode(load_temporal(FOLDER / "layer_norm").codes(torch.randn(1, 2, 8)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"d_sae": 2**39}, "shape"),
        ({"n_attn_layers": 2**39}, "8 for each layer"),
        ({"n_heads": 5}, "heads times bottleneck divide"),
        ({"kval_topk": 25}, "k below it"),
        ({"tied_weights": False}, "no tensor 'W_enc'"),
        ({"normalize_activations": "expected_average_only_in"}, "normalize_activations"),
        ({"activation_normalization_factor": 0}, "other than zero"),
    ],
)
def test_a_configuration_that_the_tensors_contradict_is_refused(tmp_path: Path, change: dict[str, Any], message: str):
    folder = shutil.copytree(FOLDER / "topk", tmp_path / "it")
    (folder / "cfg.json").write_text(json.dumps(json.loads((folder / "cfg.json").read_text()) | change))
    with pytest.raises(InputError, match=message):
        load_temporal(folder)


def test_a_tensor_that_is_not_finite_is_refused(tmp_path: Path):
    folder = shutil.copytree(FOLDER / "topk", tmp_path / "it")
    tensors = load_file(folder / "sae_weights.safetensors")
    tensors["attn_layers.1.v_ctx.bias"][0] = torch.nan
    save_file(tensors, folder / "sae_weights.safetensors")
    with pytest.raises(InputError, match=r"attn_layers\.1\.v_ctx\.bias.*not finite"):
        load_temporal(folder)


@pytest.mark.parametrize("name", ["relu", "original/layer_12/temporal"])
def test_damaged_files_are_read_or_refused(tmp_path: Path, name: str):
    files = {path.name: path.read_bytes() for path in (FOLDER / name).iterdir()}
    for number in range(150):
        folder = tmp_path / f"layer_1_{number}"
        folder.mkdir()
        for file, content in damaged(files, random.Random(number)).items():
            (folder / file).write_bytes(content)
        try:
            load_temporal(folder)(torch.ones(1, 2, 8))
        except InputError:
            continue
