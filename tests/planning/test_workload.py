"""What streams of activations hold and store."""

from pathlib import Path

import pytest
import torch
from torch import nn

from monosema.activations.shuffle import ShuffleBuffer
from monosema.activations.store.index import StoredDtype
from monosema.activations.store.shard import restored
from monosema.models.blueprint import Held
from monosema.planning.workload import buffer_bytes, harvest_traffic, store_traffic, stored_bytes
from monosema.runs.harvest import harvest
from monosema.runs.harvest_config import HarvestConfig
from tests.runs.tiny_run import D, save_model, write_corpus


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_buffer_holds_what_the_formula_says(dtype: torch.dtype):
    like = {"a": torch.zeros(1, 24, dtype=dtype), "b": torch.zeros(1, 40, dtype=dtype)}
    assert buffer_bytes(100, 64, dtype.itemsize) == ShuffleBuffer(100, like).bytes


@pytest.mark.parametrize("stored", ["float32", "bfloat16", "float16", "int8"])
def test_a_store_takes_the_bytes_that_the_formula_says(tmp_path: Path, stored: StoredDtype):
    model, text = save_model(tmp_path / "model"), write_corpus(tmp_path / "text.jsonl")
    points = {"resid_post.0": D, "mlp_out.1": D}
    config = HarvestConfig(
        model=str(model), text=str(text), site=tuple(points), tokens=4096, context=32, stored=stored, shard_tokens=4096
    )
    index, _ = harvest(config, str(tmp_path / "store"))
    files = sum(path.stat().st_size for path in (tmp_path / "store").glob("*.safetensors"))
    header = 1000  # names and shapes, once a shard
    assert files - header < index.rows * stored_bytes(points, stored) < files


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_move_between_model_and_batch_as_often_as_the_formula_says(dtype: torch.dtype):
    """Followed operation by operation; a buffer that is filled as a whole counts once more than it is touched."""
    rows, d = 64, 512
    made = torch.randn(rows, d).to(dtype)
    buffer = ShuffleBuffer(rows, {"a": made})
    with Held(nn.Linear(1, 1)) as held:
        read = made.detach().clone()
        torch.linalg.vector_norm(read.float(), dim=1)
        buffer.add({"a": read})
        buffer.take(rows)
    assert held.traffic == pytest.approx(rows * harvest_traffic(d, dtype.itemsize), rel=0.15)


def test_rows_of_a_store_move_as_often_as_the_formula_says():
    rows, d = 64, 512
    stored, picked = {"a": torch.randn(rows, d).bfloat16()}, torch.randperm(rows)
    out = torch.empty(rows, d)
    with Held(nn.Linear(1, 1)) as held:
        out[picked] = restored(stored, "a", picked)
    assert held.traffic == pytest.approx(rows * store_traffic(d, 2), rel=0.35)
