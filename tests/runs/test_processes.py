"""A run of several processes is the run of one, whatever they share."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from monosema.activations import Keep
from monosema.errors import InputError
from monosema.formats import load
from monosema.runs import DictionaryConfig, RunConfig, run
from monosema.runs.folder import LOG
from monosema.runs.harvest import harvest
from monosema.runs.harvest_config import HarvestConfig
from monosema.runs.parallel import Parallel
from monosema.runs.processes import Processes, join
from monosema.training import Learner
from tests.activations.store.setup import files
from tests.ranks import on_ranks
from tests.runs.tiny_run import recipe, small_run

STEPS = 16
BOTH = (
    DictionaryConfig(recipe("batch_topk", k=4), site="activations", width=32, name="b"),
    DictionaryConfig(recipe("jumprelu", target_l0=4.0), site="activations", width=32, name="a"),
)
LAYOUTS = [(2, Parallel()), (2, Parallel(feature=2)), (2, Parallel(spread=2)), (4, Parallel(feature=2, spread=2))]


def metrics_of(out: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / LOG).read_text().splitlines()]
    return sorted(lines, key=lambda line: (line["step"], line["dictionary"]))


def same_run(out: Path, whole: Path) -> None:
    for mine, theirs in zip(metrics_of(out), metrics_of(whole), strict=True):
        assert mine.keys() == theirs.keys()
        assert mine["dictionary"] == theirs["dictionary"]
        for key in mine.keys() - {"seconds", "dictionary"}:
            assert mine[key] == pytest.approx(theirs[key], rel=1e-3, abs=1e-4), key
    for name in ("a", "b"):
        x, y = (dict(load(folder / "dictionaries" / name).state_dict()) for folder in (out, whole))
        for key, value in y.items():
            assert x[key].numpy() == pytest.approx(value.numpy(), rel=5e-3, abs=5e-4), f"{name}: {key}"
    measured = [json.loads((folder / "metrics.json").read_text())["dictionaries"] for folder in (out, whole)]
    assert measured[0].keys() == measured[1].keys()
    for name in measured[1]:
        assert measured[0][name]["fve"] == pytest.approx(measured[1][name]["fve"], abs=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("count", "parallel"), LAYOUTS)
def test_files_of_activations_give_the_same_whatever_is_shared(
    vectors: Path, tmp_path: Path, count: int, parallel: Parallel
):
    config = small_run(*BOTH, activations=str(vectors), precision="float32", evaluate_every=512)
    run(config, tmp_path / "one")
    results = on_ranks(count, run, dataclasses.replace(config, parallel=parallel), tmp_path / "several")
    same_run(tmp_path / "several", tmp_path / "one")
    assert all(result.metrics == results[0].metrics for result in results)
    assert (tmp_path / "several" / "report.html").is_file()


@pytest.mark.slow
def test_a_store_is_shared_row_by_row(model: Path, corpus: Path, tmp_path: Path):
    reads = HarvestConfig(site=("resid_post.0",), model=str(model), text=str(corpus), context=32, tokens=4096)
    harvest(dataclasses.replace(reads, shuffle=4096, shard_tokens=512), tmp_path / "store", device="cpu")
    sites = [dataclasses.replace(each, site="resid_post.0") for each in BOTH]
    config = small_run(*sites, store=str(tmp_path / "store"), precision="float32", model="tiny", context=256)
    run(config, tmp_path / "one")
    on_ranks(2, run, config, tmp_path / "two")
    same_run(tmp_path / "two", tmp_path / "one")


def stopped_after(config: RunConfig, out: Path, step: int, ask: int) -> str:
    """Has one process be asked to end within a step; says how the run ended."""
    import os
    import signal

    import torch.distributed as dist

    original = Learner.step

    def asked(self: Learner, batch: Any) -> dict[str, float]:
        if self.step_count + 1 == step and dist.get_rank() == ask:
            os.kill(os.getpid(), signal.SIGTERM)
            Learner.step = original
        return original(self, batch)

    Learner.step = asked
    try:
        run(config, out)
    except Exception as error:
        return str(error)
    return "finished"


@pytest.mark.slow
def test_asked_to_end_all_stop_after_the_same_step_and_resume_with_the_same_bits(
    model: Path, corpus: Path, tmp_path: Path
):
    sites = [dataclasses.replace(each, site="resid_post.0") for each in BOTH]
    config = small_run(*sites, model=str(model), text=str(corpus), shuffle=4096)
    on_ranks(2, run, config, tmp_path / "whole")
    ends = on_ranks(2, stopped_after, config, tmp_path / "parts", 7, 1)
    assert all("after 7 steps" in end for end in ends)
    assert [path.name for path in (tmp_path / "parts" / "checkpoints").iterdir()] == ["step-0000000007"]
    with pytest.raises(InputError, match="1 processes to go on in a text that 2 have read"):
        run(config, tmp_path / "parts", resume=True)
    on_ranks(2, resumed, config, tmp_path / "parts")
    for name in ("a", "b"):
        file = Path("dictionaries") / name
        for path in (tmp_path / "whole" / file).iterdir():
            assert path.read_bytes() == (tmp_path / "parts" / file / path.name).read_bytes(), path.name


def resumed(config: RunConfig, out: Path) -> None:
    run(config, out, resume=True)


def test_what_processes_cannot_share_is_refused():
    with pytest.raises(InputError, match="a multiple of 2 processes"), join(Parallel(feature=2), "cpu", 64):
        pass
    with pytest.raises(InputError, match=r"parallel\.spread = 0"):
        Parallel(spread=0)


def test_dictionaries_are_dealt_out_and_each_has_a_place():
    from monosema.ranks import Group

    names = [f"d{i}" for i in range(7)]
    shares = [Processes(others=Group(None, rank, 3)).share(names) for rank in range(3)]
    assert sorted(name for share in shares for name in share) == names
    assert {len(share) for share in shares} == {2, 3}


def harvested(config: HarvestConfig, out: Path, **how: Any) -> list[str]:
    return harvest(config, out, device="cpu", **how)[1]


@pytest.mark.slow
@pytest.mark.parametrize(("tokens", "keep"), [(2048 + 96, Keep(max_norm=2.0)), (10**6, Keep())])
def test_a_store_that_several_write_has_the_bytes_of_one(
    model: Path, corpus: Path, tmp_path: Path, tokens: int, keep: Keep
):
    reads = HarvestConfig(site=("resid_post.0", "mlp_out.1"), model=str(model), text=str(corpus), context=32)
    config = dataclasses.replace(reads, tokens=tokens, keep=keep, shuffle=4096, shard_tokens=512)
    harvested(config, tmp_path / "one")
    on_ranks(3, harvested, config, tmp_path / "three")
    whole = files(tmp_path / "one")
    assert files(tmp_path / "three") == whole
    for name in ("shard-000000.safetensors", "shard-000002.safetensors"):
        (tmp_path / "three" / name).unlink()
    (made, _), again = on_ranks(2, repaired, config, tmp_path / "three"), files(tmp_path / "three")
    assert made == ["shard-000000.safetensors", "shard-000002.safetensors"]
    assert again == whole


def repaired(config: HarvestConfig, out: Path) -> list[str]:
    return harvested(config, out, repair=True)
