from itertools import islice

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from monosema.activations import Source, TensorSource, load_tensors
from monosema.errors import InputError


def numbered(rows, d=3):
    return torch.arange(rows, dtype=torch.float32)[:, None].expand(rows, d).contiguous()


def test_each_epoch_has_every_row_once_in_an_order_of_its_own():
    source = TensorSource(numbered(20), 5, epochs=3)
    epochs = torch.cat([b["activations"][:, 0] for b in source]).view(3, 20)
    assert torch.equal(epochs.sort(dim=1).values, torch.arange(20.0).expand(3, 20))
    assert len({tuple(e.tolist()) for e in epochs}) == 3


def test_rows_stay_aligned_across_hook_points():
    source = TensorSource({"a": numbered(20, 3), "b": -numbered(20, 4)}, 6, epochs=2)
    assert source.widths == {"a": 3, "b": 4}
    assert isinstance(source, Source)
    batches = list(source)
    assert len(batches) == 6  # the two rows that fill no batch are left out in each epoch
    for batch in batches:
        assert torch.equal(batch["a"], -batch["b"][:, :3])


def test_without_a_number_of_epochs_there_is_no_end():
    assert len(list(islice(TensorSource(numbered(4), 4), 50))) == 50


def test_a_restored_source_goes_on_identically():
    source = TensorSource(numbered(23), 5, seed=1, epochs=4)
    for read in (0, 3, 4, 9, 16):
        source = TensorSource(numbered(23), 5, seed=1, epochs=4)
        list(islice(source, read))
        again = TensorSource(numbered(23), 5, seed=77, epochs=4)
        again.load_state_dict(source.state_dict())
        ours, theirs = list(source), list(again)
        assert len(ours) == len(theirs) == 16 - read
        assert all(torch.equal(o["activations"], t["activations"]) for o, t in zip(ours, theirs, strict=True))


def test_seeds_and_epochs_do_not_share_orders():
    def epochs(seed):
        return {tuple(b["activations"][:, 0].tolist()) for b in TensorSource(numbered(20), 20, seed=seed, epochs=5)}

    assert not epochs(0) & epochs(1)
    assert epochs(0) == epochs(0)


def test_a_sample_consumes_nothing():
    source = TensorSource(numbered(20), 5, epochs=1)
    assert len(source.sample(8)["activations"]) == 8
    assert len(source.sample(100)["activations"]) == 20
    plain = TensorSource(numbered(20), 5, epochs=1)
    assert all(torch.equal(a["activations"], b["activations"]) for a, b in zip(source, plain, strict=True))


def test_the_users_tensor_is_left_alone():
    x = torch.randn(4, 5, 3).transpose(0, 1)
    before = x.clone()
    for batch in TensorSource(x, 5, epochs=2):
        batch["activations"].zero_()
    assert torch.equal(x, before)


def test_more_dimensions_are_rows_and_batches_are_float32():
    x = torch.randn(4, 5, 3, dtype=torch.float64)
    batch = next(TensorSource(x, 20))["activations"]
    assert batch.dtype == torch.float32
    assert torch.equal(batch.sort(dim=0).values, x.reshape(20, 3).float().sort(dim=0).values)


@pytest.mark.parametrize("dtype", ["<f4", "<f2", "<f8"])
def test_a_npy_file_is_read_and_never_written(tmp_path, dtype):
    path = tmp_path / "x.npy"
    array = np.random.default_rng(0).normal(size=(6, 2, 3)).astype(dtype)
    np.save(path, array)
    before = path.read_bytes()
    tensor = load_tensors(path)["activations"]
    assert np.array_equal(tensor.numpy(), array)
    tensor.zero_()
    assert path.read_bytes() == before
    assert len(next(TensorSource(load_tensors(path), 12))["activations"]) == 12


def test_a_safetensors_file_holds_hook_points_by_name(tmp_path):
    saved = {"resid_post.0": torch.randn(5, 3), "mlp_out.0": torch.randn(5, 2, dtype=torch.bfloat16).float()}
    save_file(saved, tmp_path / "x.safetensors")
    loaded = load_tensors(tmp_path / "x.safetensors")
    assert loaded.keys() == saved.keys()
    assert all(torch.equal(loaded[name], saved[name]) for name in saved)


def test_broken_and_missing_files_are_named(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "whole.npy", np.zeros((100, 3), dtype=np.float32))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:500])
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "cut.safetensors").write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{")
    for name in ("objects.npy", "cut.npy", "empty.npy", "cut.safetensors"):
        with pytest.raises(InputError, match=f"{name} cannot be read"):
            load_tensors(tmp_path / name)
    with pytest.raises(InputError, match="no file"):
        load_tensors(tmp_path / "none.npy")
    with pytest.raises(InputError, match=r"'\.txt'"):
        load_tensors("x.txt")


def broken_at(row):
    x = numbered(70_000)
    x[row, 1] = float("nan")
    x[69_999, 0] = float("inf")
    return x


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        (torch.zeros(5), "shape \\[5\\]"),
        (torch.zeros(5, 0), "shape \\[5, 0\\]"),
        (torch.zeros(5, 3, dtype=torch.long), "torch.int64"),
        ({"a": torch.zeros(5, 3), "b": torch.zeros(6, 3)}, "'a': 5, 'b': 6"),
        ({}, "no tensor"),
        (torch.zeros(3, 3), "a batch of 4 rows from 3 rows"),
        ({"a": broken_at(66_000)}, "'a' holds NaN or infinity in row 66000"),
    ],
)
def test_what_is_no_set_of_activations_is_refused(tensors, says):
    with pytest.raises(InputError, match=says):
        TensorSource(tensors, 4)


def test_the_state_of_other_tensors_is_refused():
    with pytest.raises(InputError, match="state of a source of 20 rows"):
        TensorSource(numbered(21), 5).load_state_dict(TensorSource(numbered(20), 5).state_dict())
