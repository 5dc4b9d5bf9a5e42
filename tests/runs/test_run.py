"""A run writes what it promises, repeats itself, and leaves nothing behind when it cannot begin."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from monosema.config import load_yaml
from monosema.errors import InputError
from monosema.formats import load
from monosema.runs import DictionaryConfig, Interrupted, RunConfig, run
from monosema.runs.data import open_data
from monosema.training import ProgressBar
from tests.runs.tiny_run import DOCUMENTS, document, recipe, small_run

NAMES = ["jump", "topk-resid_post.0", "transcoder"]


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_runs_folder_holds_what_is_promised_and_nothing_else(finished: Path):
    found = files(finished)
    pictures = {name for name in found if name.startswith("pictures/") and name.endswith(".png")}
    own = {f"dictionaries/{name}/dictionary.{ending}" for name in NAMES for ending in ("json", "safetensors")}
    assert found - pictures == {"config.yaml", "metrics.json", "metrics.jsonl", "report.html"} | own
    assert len(pictures) >= len(NAMES)


def test_the_configuration_beside_a_run_leaves_nothing_open(finished: Path, model: Path):
    config = load_yaml(RunConfig, finished / "config.yaml")
    assert config.device == "cpu"
    assert config.dtype == "float32"
    assert config.precision in ("float32", "bfloat16")
    assert config.model == str(model)
    assert {(d.name, d.width, d.expansion) for d in config.dictionaries} == {
        ("topk-resid_post.0", 32, None),
        ("jump", 48, None),
        ("transcoder", 32, None),
    }


def test_a_run_of_its_own_configuration_is_the_same_run(finished: Path, tmp_path: Path):
    config = load_yaml(RunConfig, finished / "config.yaml")
    result = run(config, tmp_path / "again")
    for name in NAMES:
        weights = Path("dictionaries", name, "dictionary.safetensors")
        assert (tmp_path / "again" / weights).read_bytes() == (finished / weights).read_bytes()
    figures, again = (json.loads((f / "metrics.json").read_text()) for f in (finished, tmp_path / "again"))
    assert again["dictionaries"] == figures["dictionaries"]
    assert again["dictionaries"] == {name: json.loads(json.dumps(m.as_json())) for name, m in result.metrics.items()}
    assert (tmp_path / "again" / "config.yaml").read_bytes() == (finished / "config.yaml").read_bytes()
    untimed = [[{**line, "seconds": 0} for line in log_of(folder)] for folder in (finished, tmp_path / "again")]
    assert untimed[0] == untimed[1]


def test_another_seed_is_another_run(finished: Path, tmp_path: Path, vectors: Path):
    for seed in (0, 1):
        run(small_run(activations=str(vectors), seed=seed), tmp_path / str(seed))
    one, other = (load(tmp_path / seed / "dictionaries" / "topk-activations").W_enc for seed in "01")
    assert not torch.equal(one, other)


def test_dictionaries_say_what_they_connect_and_where_they_come_from(finished: Path, model: Path, corpus: Path):
    found = {name: load(finished / "dictionaries" / name) for name in NAMES}
    wires = {name: (d.spec.wiring, d.spec.reads, d.spec.writes) for name, d in found.items()}
    assert wires == {
        "jump": ("autoencoder", ("resid_post.1",), ("resid_post.1",)),
        "topk-resid_post.0": ("autoencoder", ("resid_post.0",), ("resid_post.0",)),
        "transcoder": ("transcoder", ("mlp_in.1",), ("mlp_out.1",)),
    }
    for name, dictionary in found.items():
        origin = {
            key: dictionary.metadata[key] for key in ("name", "model", "text", "context", "tokens", "activations")
        }
        assert origin == {
            "name": name,
            "model": str(model),
            "text": str(corpus),
            "context": 32,
            "tokens": 1024,
            "activations": None,
        }
    assert found["jump"].metadata["recipe"]["target_l0"] == 6.0


def test_the_figures_have_every_part_of_the_run(finished: Path):
    figures = json.loads((finished / "metrics.json").read_text())
    assert set(figures["dictionaries"]) == set(NAMES)
    assert figures["tokens"] == 1024
    assert figures["tokens_per_second"] > 0
    assert set(figures["seconds"]) == {"preparation", "training", "measuring"}
    for metrics in figures["dictionaries"].values():
        assert metrics["ce_recovered"] is not None
        assert 0 < metrics["tokens"] <= 512


def test_the_log_has_a_line_for_each_dictionary_and_logged_step(finished: Path):
    steps = [(line["step"], line["dictionary"]) for line in log_of(finished)]
    order = ["topk-resid_post.0", "jump", "transcoder"]
    assert steps == [(step, name) for step in (1, 4, 8, 12, 16) for name in order]


def test_held_out_text_is_one_document_in_twenty_and_never_trained_on(model: Path, corpus: Path):
    site = DictionaryConfig(recipe("topk"), site="embed")
    data = open_data(small_run(site, model=str(model), text=str(corpus), heldout_tokens=10**6))
    lm = data.heldout.model
    assert lm is not None
    assert lm.tokenizer is not None
    assert data.heldout.contexts is not None
    held = str(lm.tokenizer.decode(data.heldout.contexts.flatten().tolist()))
    trained = list(data.source.contexts.text)  # pyright: ignore[reportAttributeAccessIssue]
    assert trained == [document(i) for i in range(DOCUMENTS) if i % 20]
    assert all(f"document_{i} =" in held for i in range(0, DOCUMENTS - 20, 20))
    assert not any(f"document_{i} =" in held for i in range(DOCUMENTS) if i % 20)


def test_a_named_text_is_held_out_in_place_of_a_part(model: Path, corpus: Path, tmp_path: Path):
    (tmp_path / "other.txt").write_text("something else entirely\n" * 40)
    site = DictionaryConfig(recipe("topk"), site="embed")
    data = open_data(small_run(site, model=str(model), text=str(corpus), heldout=str(tmp_path / "other.txt")))
    assert len(list(data.source.contexts.text)) == DOCUMENTS  # pyright: ignore[reportAttributeAccessIssue]
    assert data.heldout.model is not None
    assert data.heldout.model.tokenizer is not None
    assert data.heldout.contexts is not None
    assert "document" not in data.heldout.model.tokenizer.decode(data.heldout.contexts.flatten().tolist())


def test_held_out_rows_are_one_in_twenty_and_never_trained_on(vectors: Path):
    data = open_data(small_run(activations=str(vectors), batch_size=19))
    assert data.heldout.rows is not None
    batches = [next(iter(data.source))["activations"] for _ in range(400 * 19 // 20 // 19)]
    trained = {int(row) for batch in batches for row in batch[:, 0]}
    held = {int(row) for row in data.heldout.rows["activations"][:, 0]}
    assert held == set(range(0, 400, 20))
    assert trained == set(range(400)) - held


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_a_safetensors_file_of_any_precision_trains_without_a_model(tmp_path: Path, dtype: torch.dtype):
    save_file({"a": torch.randn(300, 6, dtype=dtype), "b": torch.randn(300, 5).to(dtype)}, tmp_path / "x.safetensors")
    transcoder = DictionaryConfig(recipe("topk", k=2), site="a", target="b", width=16, name="a-to-b")
    result = run(small_run(transcoder, activations=str(tmp_path / "x.safetensors")), tmp_path / "out")
    assert result.metrics["a-to-b"].ce_recovered is None
    assert result.metrics["a-to-b"].tokens == 15
    assert (tmp_path / "out" / "report.html").is_file()


def test_an_array_without_a_name_is_at_the_site_that_is_trained_on(vectors: Path, tmp_path: Path):
    named = DictionaryConfig(recipe("topk", k=4), site="encoder.blocks.3", width=32, name="d")
    plain = DictionaryConfig(recipe("topk", k=4), site="activations", width=32, name="d")
    for site, out in ((named, "named"), (plain, "plain")):
        run(small_run(site, activations=str(vectors), heldout=str(vectors)), tmp_path / out)
    mine, other = (load(tmp_path / out / "dictionaries" / "d") for out in ("named", "plain"))
    assert mine.spec.reads == mine.spec.writes == ("encoder.blocks.3",)
    assert torch.equal(mine.W_dec, other.W_dec)
    two = DictionaryConfig(recipe("topk", k=4), site="a", target="b", width=32)
    with pytest.raises(InputError, match=r"site 'a'; expected a tensor in .*: activations"):
        run(small_run(two, activations=str(vectors)), tmp_path / "two")


def test_a_run_whose_features_are_all_dead_still_ends_in_a_report(model: Path, corpus: Path, tmp_path: Path):
    silent = DictionaryConfig(recipe("jumprelu", threshold=1e6), site="resid_post.0", width=8, name="silent")
    result = run(small_run(silent, model=str(model), text=str(corpus), tokens=64), tmp_path / "out")
    assert result.metrics["silent"].alive == 0
    assert (tmp_path / "out" / "report.html").is_file()


def test_figures_on_held_out_data_enter_the_log_as_often_as_asked(vectors: Path, tmp_path: Path):
    result = run(small_run(activations=str(vectors), evaluate_every=320), tmp_path / "out")
    lines = [line for line in log_of(tmp_path / "out") if "heldout_fve" in line]
    assert [line["step"] for line in lines] == [5, 10, 15]
    assert [line["step"] for line in result.log if "loss" in line] == [1, 4, 8, 12, 16]
    assert {line["dictionary"] for line in lines} == {"topk-activations"}


def test_held_out_evaluation_does_not_change_what_is_learned(vectors: Path, tmp_path: Path):
    for name, every in (("without", None), ("with", 128)):
        batch_topk = DictionaryConfig(recipe("batch_topk", k=4), site="activations", width=32, name="d")
        run(small_run(batch_topk, activations=str(vectors), evaluate_every=every), tmp_path / name)
    weights = [(tmp_path / name / "dictionaries/d/dictionary.safetensors").read_bytes() for name in ("with", "without")]
    assert weights[0] == weights[1]


def test_ctrl_c_saves_what_was_trained(vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def stop(bar: ProgressBar, step: int, metrics: object) -> None:
        if step == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(ProgressBar, "on_step", stop)
    with pytest.raises(Interrupted, match="after 3 steps") as ended:
        run(small_run(activations=str(vectors), log_every=1), tmp_path / "out")
    assert (ended.value.folder, ended.value.steps) == (tmp_path / "out", 3)
    assert load(tmp_path / "out" / "dictionaries" / "topk-activations").metadata["tokens"] == 3 * 64
    assert [line["step"] for line in log_of(tmp_path / "out")] == [1, 2, 3]
    assert not (tmp_path / "out" / "metrics.json").exists()


def test_bad_input_found_while_training_leaves_nothing(vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def spoil(bar: ProgressBar, step: int, metrics: object) -> None:
        raise InputError("NaN, deep in the text")

    monkeypatch.setattr(ProgressBar, "on_step", spoil)
    with pytest.raises(InputError, match="deep in the text"):
        run(small_run(activations=str(vectors)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_earlier_run_is_replaced_only_when_asked_and_only_by_one_that_can_begin(vectors: Path, tmp_path: Path):
    out = tmp_path / "out"
    run(small_run(activations=str(vectors)), out)
    (out / "old").touch()
    before = {name: (out / name).read_bytes() for name in files(out)}
    with pytest.raises(InputError, match="already holds a run"):
        run(small_run(activations=str(vectors)), out)
    with pytest.raises(InputError, match="no file"):
        run(small_run(activations="absent.npy"), out, overwrite=True)
    assert {name: (out / name).read_bytes() for name in files(out)} == before
    run(small_run(activations=str(vectors), seed=1), out, overwrite=True)
    assert not (out / "old").exists()
    assert load_yaml(RunConfig, out / "config.yaml").seed == 1


@pytest.mark.parametrize("left", [(), ("metrics.jsonl",), ("metrics.jsonl", ".config.yaml.123.tmp")])
@pytest.mark.parametrize("resume", [False, True])
def test_a_run_that_was_killed_while_it_made_its_folder_can_begin_again(
    vectors: Path, tmp_path: Path, left: tuple[str, ...], resume: bool
):
    (tmp_path / "out").mkdir()
    for name in left:
        (tmp_path / "out" / name).touch()
    run(small_run(activations=str(vectors)), tmp_path / "out", resume=resume)
    assert not list((tmp_path / "out").glob(".*"))


@pytest.mark.parametrize("content", ["notes.txt", "config.yaml", "metrics.jsonl"])
def test_a_folder_that_holds_no_run_is_never_replaced(vectors: Path, tmp_path: Path, content: str):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / content).write_text("precious")
    with pytest.raises(InputError, match="is not a run's folder"):
        run(small_run(activations=str(vectors)), tmp_path / "mine", overwrite=True)
    assert (tmp_path / "mine" / content).read_text() == "precious"


@pytest.mark.parametrize(("extra", "wanted"), [("tensorboard", {"tensorboard": True}), ("wandb", {"wandb": "project"})])
def test_a_missing_extra_is_named_before_anything_is_written(
    vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extra: str, wanted: dict[str, Any]
):
    monkeypatch.setitem(sys.modules, extra, None)  # as if it were not installed
    with pytest.raises(InputError, match=rf"{extra} is not installed; pip install monosema\[{extra}\]"):
        run(small_run(activations=str(vectors), **wanted), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_tensorboard_and_wandb_write_into_the_runs_folder(
    vectors: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("tensorboard")
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    config = small_run(activations=str(vectors), tensorboard=True, wandb="monosema-test", evaluate_every=320)
    run(config, tmp_path / "out")
    wandb.teardown()  # waits until its service, a process of its own, has written everything
    assert list((tmp_path / "out" / "tensorboard").glob("events.*"))
    (record,) = (tmp_path / "out").rglob("*.wandb")
    assert b"topk-activations/heldout_fve" in record.read_bytes()


def test_a_row_that_is_not_finite_is_named_by_its_place_in_the_file(tmp_path: Path):
    for row in (40, 41):  # one that would be held out, one that would be trained on
        rows = np.ones((100, 4), "float32") * np.arange(100, dtype="float32")[:, None]
        rows[row, 2] = np.nan
        np.save(tmp_path / "x.npy", rows)
        with pytest.raises(InputError, match=f"NaN or infinity in row {row} "):
            run(small_run(activations=str(tmp_path / "x.npy")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(100, "float32"), r"shape \[100\]"),
        (np.float32(1), r"shape \[\]"),
        (np.zeros((100, 4), "int64"), "int64"),
        (np.zeros((0, 4), "float32"), "0 rows"),
        (np.ones((5, 4), "float32"), "from 0 rows"),
    ],
)
def test_an_array_that_is_no_activations_is_refused(tmp_path: Path, array: np.ndarray, message: str):
    np.save(tmp_path / "x.npy", array)
    with pytest.raises(InputError, match=message):
        run(small_run(activations=str(tmp_path / "x.npy")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_held_out_activations_of_another_size_are_refused_before_training(vectors: Path, tmp_path: Path):
    np.save(tmp_path / "narrow.npy", np.random.default_rng(0).normal(size=(50, 3)).astype("float32"))
    with pytest.raises(InputError, match="as in training"):
        run(small_run(activations=str(vectors), heldout=str(tmp_path / "narrow.npy")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_single_document_cannot_be_trained_on_and_held_out(model: Path, tmp_path: Path):
    (tmp_path / "book.txt").write_text("once upon a time\n" * 500)
    site = DictionaryConfig(recipe("topk", k=2), site="embed", width=8)
    config = small_run(site, model=str(model), text=str(tmp_path / "book.txt"))
    with pytest.raises(InputError, match=r"book\.txt is one document.*--heldout"):
        open_data(config)
