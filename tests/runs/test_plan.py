"""From a configuration to what its run costs, and refusing what cannot fit before anything is loaded."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from monosema.errors import InputError
from monosema.models import load_model
from monosema.planning import Mesh, hardware, plan
from monosema.runs import DictionaryConfig, RunConfig, run
from monosema.runs import plan as planning
from monosema.runs.harvest import harvest
from monosema.runs.harvest_config import HarvestConfig
from monosema.runs.parallel import Parallel
from monosema.runs.plan import gib, hardware_of, planned, refuse_if_unfit, refuse_what_cannot_fit
from monosema.runs.workload import workload_of
from tests.runs.tiny_run import SMALL, D, save_model, small_run, write_corpus

WIDTH = 64


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    """A run of two dictionaries of a saved model."""
    model, text = save_model(tmp_path / "model"), write_corpus(tmp_path / "text.jsonl")
    recipe = small_run().dictionaries[0].recipe
    places = ("resid_post.0", "mlp_out.1")
    return RunConfig(
        dictionaries=tuple(DictionaryConfig(recipe=recipe, site=site, width=WIDTH) for site in places),
        model=str(model),
        text=str(text),
        **SMALL,
    )


def without_weights(config: RunConfig) -> RunConfig:
    (Path(config.model) / "model.safetensors").unlink()
    return config


def test_a_model_needs_no_weights_to_be_planned_for(config: RunConfig):
    loaded = load_model(config.model, dtype="float32", device="cpu")
    work = workload_of(without_weights(config), fast_bfloat16=False)
    assert work.model is not None
    held = [*loaded.module.parameters(), *loaded.module.buffers()]
    assert work.model.weights == pytest.approx(sum(w.nbytes for w in held))
    assert work.points == {"resid_post.0": D, "mlp_out.1": D}
    assert [shape.width for shape in work.dictionaries.values()] == [WIDTH, WIDTH]


def test_the_configured_precision_is_what_is_planned(config: RunConfig):
    assert (workload_of(config).size, workload_of(config, fast_bfloat16=False).size) == (2, 4)
    assert workload_of(replace(config, precision="float32")).size == 4


def test_a_checkpoint_is_as_large_as_planned(config: RunConfig, tmp_path: Path):
    """But for the buffer, which is not full when a step is done."""
    config = replace(config, checkpoint_at=(512,), precision="float32", buffer=128)
    run(config, tmp_path / "out")
    (file,) = (tmp_path / "out" / "checkpoints").iterdir()
    planned_bytes = plan(workload_of(config, fast_bfloat16=False), hardware("h100"), Mesh()).disk["checkpoint"]
    header, half_buffer = 20_000, 128 * 2 * D * 4 / 2
    assert planned_bytes - 2 * half_buffer <= file.stat().st_size <= planned_bytes + header


def test_the_dictionaries_of_a_run_take_the_disk_that_is_planned(config: RunConfig, tmp_path: Path):
    result_folder = tmp_path / "out"
    run(replace(config, precision="float32"), result_folder)
    files = sum(path.stat().st_size for path in (result_folder / "dictionaries").rglob("*.safetensors"))
    expected = plan(workload_of(config), hardware("h100"), Mesh()).disk["dictionaries"]
    assert expected <= files <= expected + 2 * 2000


def test_a_store_is_planned_for_by_its_index(config: RunConfig, tmp_path: Path):
    made = HarvestConfig(
        model=config.model, text=config.text, context=32, site=("resid_post.0", "mlp_out.1"), tokens=4096
    )
    harvest(made, str(tmp_path / "store"))
    stored = RunConfig(dictionaries=config.dictionaries, store=str(tmp_path / "store"), tokens=1024)
    work = workload_of(stored)
    assert work.stored == 2 * (2 * D) + 12
    assert plan(work, hardware("h100"), Mesh()).device["buffer"] == 0
    missing = replace(stored, dictionaries=(replace(config.dictionaries[0], site="resid_post.1"),))
    with pytest.raises(InputError, match=r"hook points resid_post.1; expected those of the store"):
        workload_of(missing)


def test_a_file_of_activations_is_held_as_a_whole(tmp_path: Path):
    torch.save({"a": torch.randn(500, 24)}, tmp_path / "x.pt")
    config = RunConfig(
        dictionaries=(replace(small_run().dictionaries[0], site="a"),), activations=str(tmp_path / "x.pt")
    )
    work = workload_of(config)
    assert (work.points, work.rows_in_memory, work.model) == ({"a": 24}, 500 * 24 * 4, None)


def test_what_does_not_fit_is_refused_with_the_layout_that_would(config: RunConfig):
    work = workload_of(replace(config, dictionaries=(replace(config.dictionaries[0], width=2**16),)))
    alone = plan(work, hardware("h100"), Mesh())
    small = replace(hardware("h100"), memory=sum(alone.device.values()) * 0.9)
    with pytest.raises(InputError, match=r"needs .* on a device .*; expected at most .*; \d+ ranks with parallel"):
        refuse_if_unfit(work, small, plan(work, small, Mesh()))
    refuse_if_unfit(work, hardware("h100"), alone)


def test_a_layout_that_the_ranks_do_not_fit_is_refused_with_one_that_they_do(config: RunConfig):
    config = replace(config, parallel=Parallel(feature=3))
    with pytest.raises(InputError, match=r"expected a multiple of 3 ranks; the fastest on 4 is parallel: \{feature: "):
        planned(config, hardware("h100"), 4)


@pytest.mark.parametrize("memory", [2**20, 2**40])
def test_a_run_that_memory_cannot_hold_ends_before_its_model_is_loaded(
    config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: int
):
    config = replace(config, dictionaries=(replace(config.dictionaries[0], width=2**16),))
    monkeypatch.setattr(planning, "host_memory", lambda: float(memory))
    monkeypatch.setattr(planning, "swap", lambda: 0.0)
    if memory > 2**30:
        refuse_what_cannot_fit(config)
        return
    without_weights(config)
    with pytest.raises(InputError, match=r"a run that holds at least .*; expected at most the 1.0 MiB of this machine"):
        run(config, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_described_is_left_to_those_who_load_it(config: RunConfig):
    refuse_what_cannot_fit(replace(config, model="/no/such/folder"))


@pytest.mark.parametrize("changes", [{"memory": 0.0}, {"flops": float("nan")}, {"per_machine": -1}])
def test_hardware_of_no_size_is_refused(changes: dict[str, Any]):
    with pytest.raises(InputError, match="expected a positive number"):
        hardware_of("h100", changes)


def test_sizes_are_told_in_units_that_suit_them():
    assert [gib(size) for size in (2**19, 2**21, 3 * 2**30, 5 * 2**41)] == ["0.5 MiB", "2.0 MiB", "3.0 GiB", "10.0 TiB"]
