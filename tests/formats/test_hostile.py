"""No file makes a loader crash, run code, or take memory that it does not fill."""

import contextlib
import io
import json
import pickle
import random
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monosema.errors import InputError
from monosema.formats import load
from monosema.formats.archives import read_npz, read_pt, read_pt_tensors
from tests.formats.hostile import DEEP, DIGITS, Files, damaged, files_of, packed, read, unpacked, write
from tests.formats.recorded import FIXTURES, names

WEIGHTS = (".safetensors", ".pt", ".pth", ".npz")


@settings(deadline=None, max_examples=500)
@given(st.sampled_from(names()), st.randoms(use_true_random=False))
def test_a_damaged_file_is_refused_or_does_no_harm(
    tmp_path_factory: pytest.TempPathFactory, name: str, chance: random.Random
):
    read(write(damaged(files_of(name), chance), name, tmp_path_factory.mktemp("damaged")))


def weights_of(name: str, files: Files) -> str:
    """The file with the encoder."""
    if (FIXTURES / name).is_file():
        return Path(name).name
    beside = ("sparsity", "whitening", "W_dec_")
    return sorted(file for file in files if file.endswith(WEIGHTS) and not any(word in file for word in beside))[0]


def edited(name: str, edit: Callable[[dict[str, Any], str], Any], folder: Path) -> tuple[Path, str]:
    """A fixture with the tensors of its encoder's file edited, and that file's name."""
    files = dict(files_of(name))
    file = weights_of(name, files)
    tensors = unpacked(files[file], file)
    matrices = (key for key, value in tensors.items() if isinstance(value, torch.Tensor) and value.ndim == 2)
    edit(tensors, next(key for key in matrices if "skip" not in key))  # a skip may be missing
    return write({**files, file: packed(tensors, file)}, name, folder), Path(file).name


def without_a_feature(matrix: torch.Tensor) -> torch.Tensor:
    return matrix.narrow(int(matrix.shape[1] == 24), 0, 23).clone()


def with_nan(tensors: dict[str, Any], key: str) -> None:
    tensors[key] = tensors[key].clone()
    tensors[key][0, 0] = torch.nan


@pytest.mark.parametrize("name", names())
@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda t, key: t.pop(key), "has no tensor|has tensors|holds no dictionary"),
        (lambda t, key: t.update(surplus=torch.ones(3)), "surplus|holds no dictionary"),
        (lambda t, key: t.update({key: without_a_feature(t[key])}), "shape"),
        (lambda t, key: t.update({key: t[key].int()}), "type torch.int32"),
        (with_nan, "not finite"),
    ],
    ids=["missing", "extra", "shape", "type", "nan"],
)
def test_wrong_tensors_are_refused_by_file_and_name(
    tmp_path: Path, name: str, edit: Callable[[dict[str, Any], str], Any], says: str
):
    path, file = edited(name, edit, tmp_path)
    with pytest.raises(InputError, match=says) as error:
        load(path)
    assert file in str(error.value) or "no dictionary" in str(error.value)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "saelens/standard",
            {"d_in": 9},
            r"'W_enc' of .*sae_weights.safetensors has shape \[8, 24\]; expected \[9, 24\]",
        ),
        ("saelens/standard", {"d_sae": 10**9}, "expected .*1000000000"),
        ("saelens/standard", {"d_sae": 10**30}, "d_sae = 1000000.* in .*cfg.json; expected a whole number"),
        ("saelens/standard", {"d_sae": True}, "d_sae = True"),
        ("saelens/standard", {"architecture": "temporal"}, "temporal dictionary; .*every token before"),
        ("saelens/matching_pursuit", {"max_iterations": 2**31}, "rounds 2147483648"),
        ("saelens/standard", {"architecture": "standart"}, "did you mean standard"),
        ("saelens/standard", {"architecture": "gated"}, "has no tensor 'b_gate'"),
        ("saelens/standard", {"normalize_activations": "expected_average_only_in"}, "nothing says by which factor"),
        ("saelens/standard", {"normalize_activations": "covariance_whitening"}, "nothing says which"),
        ("saelens/standard", {"activation_fn": "tanh-relu"}, "activation function 'tanh-relu'"),
        ("saelens/transcoder", {"apply_b_dec_to_input": True}, "b_dec belongs to a transcoder's output"),
        ("saelens/topk", {"k": 25}, "k = 25 with width 24"),
        (
            "dictionary_learning/AutoEncoderTopK",
            {"trainer": {"dict_class": "AutoEncoderTopK", "k": 5}},
            "k = 4 in .*but 5",
        ),
        ("dictionary_learning/AutoEncoder", {"trainer": {"dict_class": "Autoencoder"}}, "did you mean AutoEncoder"),
        ("dictionary_learning/BatchTopKSAE", {"trainer": {}}, "config.json with trainer.dict_class"),
        ("sparsify/layers.3", {"num_latents": 0}, r"shape \[24, 8\]; expected \[256, 8\]"),
        ("sparsify/layers.3", {"activation": "relu"}, "activation = 'relu'.*expected groupmax or topk"),
        ("sparsify/layers.5", {"k": 5}, "5 groups of 24 features"),
        ("gemma_scope_2/transcoder", {"affine_connection": True}, "no tensor 'affine_skip_connection'"),
        ("llama_scope/L15R-8x", {"dataset_average_activation_norm": {"in": 0}}, "mean norm above 0"),
        ("llama_scope/L15R-8x", {"jump_relu_threshold": -1}, "at least 0"),
    ],
)
def test_a_configuration_that_contradicts_the_tensors_or_says_nonsense_is_refused(
    tmp_path: Path, name: str, change: dict[str, Any], message: str
):
    files = dict(files_of(name))
    config = next(file for file in files if file.endswith(".json"))
    files[config] = json.dumps({**json.loads(files[config]), **change}).encode()
    with pytest.raises(InputError, match=message):
        load(write(files, name, tmp_path))


@pytest.mark.parametrize("content", [DEEP, DIGITS, b"\xff\xfe", b"", b"[1]", b'{"d_in": NaN}', b'"text"'])
@pytest.mark.parametrize("name", ["saelens/topk", "sparsify/layers.3", "dictionary_learning/AutoEncoder"])
def test_a_configuration_that_is_none_is_refused(tmp_path: Path, name: str, content: bytes):
    files = dict(files_of(name))
    config = next(file for file in files if file.endswith(".json"))
    with pytest.raises(InputError, match=Path(config).name):
        load(write({**files, config: content}, name, tmp_path))


class Malicious:
    """Would make a file, if it were unpickled."""

    def __init__(self, victim: Path):
        self.victim = victim

    def __reduce__(self) -> Any:
        return Path.touch, (self.victim,)


def test_a_pickle_runs_no_code(tmp_path: Path):
    for path, content in (
        (tmp_path / "ae.pt", {"bias": Malicious(tmp_path / "victim")}),
        (tmp_path / "one.pt", Malicious(tmp_path / "victim")),
    ):
        torch.save(content, path)
        with pytest.raises(InputError, match=f"{path.name} cannot be read"):
            load(path)
    (tmp_path / "raw.pt").write_bytes(pickle.dumps(Malicious(tmp_path / "victim")))
    with pytest.raises(InputError, match=r"raw\.pt cannot be read"):
        load(tmp_path / "raw.pt")
    assert not (tmp_path / "victim").exists()


def test_arrays_of_objects_run_no_code(tmp_path: Path):
    np.savez(tmp_path / "params.npz", W_enc=np.array([Malicious(tmp_path / "victim")], dtype=object))
    with pytest.raises(InputError, match=r"params\.npz"):
        load(tmp_path)
    assert not (tmp_path / "victim").exists()


def test_a_tensor_that_is_larger_than_its_data_takes_no_memory(tmp_path: Path):
    torch.save({"encoder.weight": torch.zeros(1).expand(2**45)}, tmp_path / "x.pt")
    with pytest.raises(InputError, match="not stored as one"):
        read_pt(tmp_path / "x.pt")


def test_a_pickle_that_claims_more_numbers_than_there_are_is_refused(tmp_path: Path):
    """The count of numbers in the pickle is raised by hand: where it is believed, memory beyond the data is read."""
    path = tmp_path / "x.pt"
    torch.save({"w": torch.ones(300)}, path)
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}
    for claimed in (301, 60_000):
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in members.items():
                raised = content.replace((300).to_bytes(2, "little"), claimed.to_bytes(2, "little"))
                archive.writestr(member, raised if member.endswith("data.pkl") else content)
        with pytest.raises(InputError, match=r"x\.pt"):
            read_pt_tensors(path)


def test_archives_that_unpack_to_far_more_than_they_are_take_no_memory(tmp_path: Path):
    np.savez_compressed(tmp_path / "bomb.npz", W_enc=np.zeros((2**25,), dtype="float32"))
    with pytest.raises(InputError, match=r"would unpack to 134,.* bytes"):
        read_npz(tmp_path / "bomb.npz")
    with zipfile.ZipFile(tmp_path / "bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", bytes(2**20))
    with pytest.raises(InputError, match="is compressed"):
        read_pt(tmp_path / "bomb.pt")


def test_an_array_that_claims_another_size_takes_no_memory(tmp_path: Path):
    np.savez(tmp_path / "x.npz", W_enc=np.zeros((4, 4), dtype="float32"))
    content = (tmp_path / "x.npz").read_bytes().replace(b"(4, 4)", b"(9**9)"[:6])
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"x\.npz"):
        read_npz(tmp_path / "x.npz")


def test_compressed_arrays_of_weights_are_read(tmp_path: Path):
    values = np.random.default_rng(0).normal(size=(8, 24)).astype("float32")
    np.savez_compressed(tmp_path / "x.npz", W_enc=np.asfortranarray(values), zeros=np.zeros(24, dtype="float64"))
    found = read_npz(tmp_path / "x.npz")
    assert torch.equal(found["W_enc"], torch.from_numpy(values))
    assert found["zeros"].dtype == torch.float64


def test_the_old_layout_of_torch_is_refused_with_what_to_do(tmp_path: Path):
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(3)}, buffer, _use_new_zipfile_serialization=False)
    (tmp_path / "x.pt").write_bytes(buffer.getvalue())
    with pytest.raises(InputError, match=r"torch\.save it again"):
        read_pt(tmp_path / "x.pt")


@pytest.mark.parametrize("depth", [100, 300, 450, 600, 900])
def test_values_within_values_are_read_or_refused(tmp_path: Path, depth: int):
    content: dict[str, Any] = {"w": torch.ones(3)}
    for _ in range(depth):
        content = {"in": content}
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000)
    try:
        torch.save(content, tmp_path / "x.pt")
    finally:
        sys.setrecursionlimit(limit)
    for read_it in (read_pt, load):
        with contextlib.suppress(InputError):
            read_it(tmp_path / "x.pt")


def test_mappings_that_share_mappings_take_no_time(tmp_path: Path):
    """Sixty levels of two references to the next stand for 2^60 tensors in a few hundred bytes."""
    content: dict[str, Any] = {"w": torch.ones(3)}
    for _ in range(60):
        content = {"a": content, "b": content}
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(InputError, match="one mapping in two places"):
        load(tmp_path / "x.pt")
    content["a"] = content
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(InputError, match="one mapping in two places"):
        load(tmp_path / "x.pt")


def test_what_is_read_from_a_mapped_file_outlives_it(tmp_path: Path):
    torch.save({"w": torch.ones(1000)}, tmp_path / "x.pt")
    found = read_pt_tensors(tmp_path / "x.pt")
    (tmp_path / "x.pt").write_bytes(bytes((tmp_path / "x.pt").stat().st_size))
    assert torch.equal(found["w"], torch.ones(1000))
