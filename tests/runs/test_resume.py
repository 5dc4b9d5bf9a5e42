"""A run that was interrupted ends as if it had not been."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from monosema.errors import InputError
from monosema.recipes import recipes
from monosema.runs import DictionaryConfig, Interrupted, NonFiniteLoss, RunConfig, run
from monosema.runs.folder import DICTIONARIES, LOG
from monosema.runs.train import BATCH
from monosema.training import Learner
from tests.runs.tiny_run import recipe, small_run

STEPS = 16


def configured(vectors: Path, *dictionaries: DictionaryConfig, **changes: Any) -> RunConfig:
    return small_run(*dictionaries, activations=str(vectors), **changes)


def outcome(out: Path) -> tuple[dict[str, bytes], list[dict[str, Any]]]:
    """What a run leaves: the bytes of its dictionaries, and the log without its clock."""
    files = [path for path in sorted((out / DICTIONARIES).rglob("*")) if path.is_file()]
    weights = {str(path.relative_to(out)): path.read_bytes() for path in files}
    lines = [json.loads(line) for line in (out / LOG).read_text().splitlines()]
    return weights, [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def interrupt_in_step(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Ctrl-C while the first dictionary learns from that batch."""
    step = Learner.step

    def pressed(self: Learner, batch: Any) -> dict[str, float]:
        if self.step_count + 1 == number:
            os.kill(os.getpid(), signal.SIGINT)
            monkeypatch.undo()
        return step(self, batch)

    monkeypatch.setattr(Learner, "step", pressed)


@pytest.mark.slow
def test_interrupted_and_resumed_every_recipe_and_optimiser_ends_with_the_same_bits(
    vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    optimisers = [recipe("topk", k=4, optimiser=name) for name in ("muon", "signum", "schedule_free")]
    every = [DictionaryConfig(each, site="activations", width=32) for each in [r() for r in recipes.values()]]
    every += [DictionaryConfig(each, site="activations", width=32) for each in optimisers]
    config = configured(vectors, *every)
    run(config, tmp_path / "whole")
    for step in (3, 11):
        interrupt_in_step(monkeypatch, step)
        with pytest.raises(Interrupted, match="--resume goes on"):
            run(config, tmp_path / "parts", resume=True)
    run(config, tmp_path / "parts", resume=True)
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")
    assert not (tmp_path / "parts" / "checkpoints").exists()


def test_a_run_that_reads_text_goes_on_in_the_text_where_it_was(
    model: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sites = [DictionaryConfig(recipe("batch_topk", k=4), site=f"resid_post.{layer}", width=32) for layer in (0, 1)]
    config = small_run(*sites, model=str(model), text=str(corpus), shuffle=4096)
    run(config, tmp_path / "whole")
    interrupt_in_step(monkeypatch, 7)
    with pytest.raises(Interrupted):
        run(config, tmp_path / "parts")
    run(config, tmp_path / "parts", resume=True)
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


def test_what_a_changed_configuration_has_changed_is_named_and_nothing_is_lost(
    vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = configured(vectors)
    interrupt_in_step(monkeypatch, 5)
    with pytest.raises(Interrupted):
        run(config, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    wider = DictionaryConfig(recipe("topk", k=5), site="activations", width=32, name=config.dictionaries[0].name)
    for changed, key in ((replace(config, seed=1), "seed = 1"), (replace(config, tokens=2048), "tokens = 2048")):
        with pytest.raises(InputError, match=f"{key} to go on with a run"):
            run(changed, tmp_path, resume=True)
    with pytest.raises(InputError, match=r"dictionaries\.0\.recipe\.k = 5 .*expected 4"):
        run(replace(config, dictionaries=(wider,)), tmp_path, resume=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    run(replace(config, log_every=2, keep_checkpoints=1), tmp_path, resume=True)


def test_a_finished_run_says_so_and_one_that_is_there_asks_what_to_do(vectors: Path, tmp_path: Path):
    config = configured(vectors)
    run(config, tmp_path, resume=True)
    with pytest.raises(InputError, match="is finished"):
        run(config, tmp_path, resume=True)
    with pytest.raises(InputError, match=r"already holds a run.*--resume.*--overwrite"):
        run(config, tmp_path)


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_serves(
    vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = configured(vectors, checkpoint_every=64 * 4)
    run(config, tmp_path / "whole")
    interrupt_in_step(monkeypatch, 10)
    with pytest.raises(Interrupted):
        run(config, tmp_path / "parts")
    older, newest = sorted((tmp_path / "parts" / "checkpoints").iterdir())
    newest.write_bytes(newest.read_bytes()[:-7])
    with pytest.raises(InputError, match=rf"{newest.name} is damaged.*delete it to go on from {older.name}"):
        run(config, tmp_path / "parts", resume=True)
    newest.unlink()
    run(config, tmp_path / "parts", resume=True)
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")


def test_named_checkpoints_stay(vectors: Path, tmp_path: Path):
    run(configured(vectors, checkpoint_every=128, checkpoint_at=(256, 640)), tmp_path)
    kept = [path.name for path in sorted((tmp_path / "checkpoints").iterdir())]
    assert kept == ["step-0000000004.safetensors", "step-0000000010.safetensors"]


def poisoned(vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The third batch holds a number so large that its square is not finite."""
    from monosema.activations import TensorSource

    following = TensorSource.__next__

    def broken(self: TensorSource) -> dict[str, torch.Tensor]:
        batch = following(self)
        state = self.state_dict()
        if (state["epoch"], state["next"]) == (0, 3 * self.batch_size):
            batch["activations"][0, 0] = 1e30
        return batch

    monkeypatch.setattr(TensorSource, "__next__", broken)


def test_a_batch_that_breaks_the_loss_is_saved(vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from safetensors.torch import load_file

    poisoned(vectors, tmp_path, monkeypatch)
    with pytest.raises(NonFiniteLoss, match=rf"the batch is in .*{BATCH}"):
        run(configured(vectors), tmp_path / "out")
    batch = load_file(tmp_path / "out" / BATCH)["activations"]
    assert batch.shape[0] == 64
    assert batch[0, 0] == torch.tensor(1e30)


def test_or_it_is_left_out_and_counted(vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    poisoned(vectors, tmp_path, monkeypatch)
    result = run(configured(vectors, non_finite="skip", log_every=1), tmp_path)
    assert result.facts["skipped_batches"] == 1
    assert [line["step"] for line in result.log if "skipped" in line] == [3]
    assert result.log[-1]["tokens"] == STEPS * 64
