"""Stores in the forms of other tools hold what the stores hold, under the names that those tools give it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from torch import Tensor

from monosema.features import FeatureStore
from monosema.features import delphi as delphi_file
from monosema.features import export as module
from monosema.features.descriptions import Description, write_descriptions
from monosema.features.export import EXPORTS
from monosema.models import LoadedModel
from tests.features.stores import LENGTH, WIDTH, built, signed

Expected = tuple[Tensor, np.ndarray]

CACHE_CONFIG = {
    "dataset_repo",
    "dataset_split",
    "dataset_name",
    "dataset_column",
    "batch_size",
    "cache_ctx_len",
    "n_tokens",
    "n_splits",
}
"""Fields of delphi's `CacheConfig`, of its release 0.1.3."""
BATCH = {"model_id", "layer", "sae_set", "sae_id_suffix", "features"}
FEATURE = {
    *("feature_index", "neuron_alignment_indices", "neuron_alignment_values", "neuron_alignment_l1"),
    *("correlated_neurons_indices", "correlated_neurons_l1", "correlated_neurons_pearson"),
    *("correlated_features_indices", "correlated_features_l1", "correlated_features_pearson"),
    *("neg_str", "neg_values", "pos_str", "pos_values", "frac_nonzero"),
    *("freq_hist_data_bar_values", "freq_hist_data_bar_heights"),
    *("logits_hist_data_bar_heights", "logits_hist_data_bar_values"),
    *("n_prompts_total", "n_tokens_in_prompt", "dataset", "decoder_weights_dist", "activations", "vector"),
}
ACTIVATION = {"bin_min", "bin_max", "bin_contains", "tokens", "values", "qualifying_token_index"}
"""Keys that SAEDashboard 0.8.0 writes for Neuronpedia, read from its source."""


def read_back(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Tokens, and dense codes, as delphi's loader puts them together."""
    parts = [(int(path.stem.split("_")[0]), load_file(path)) for path in folder.glob("*.safetensors")]
    tokens = parts[0][1]["tokens"]
    codes = np.zeros((tokens.size, WIDTH))
    for first, part in parts:
        assert np.array_equal(part["tokens"], tokens)
        rows, positions, latents = part["locations"].astype(np.int64).T
        codes[rows * tokens.shape[1] + positions, latents + first] = part["activations"]
        flat = (rows * tokens.shape[1] + positions) * WIDTH + latents
        assert (np.diff(flat) > 0).all()
    return tokens, codes


@pytest.mark.parametrize("splits", [1, 7, 10, 100])
def test_delphis_cache_holds_all_activations(
    store: FeatureStore, expected: Expected, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, splits: int
):
    monkeypatch.setattr(module, "SPLITS", splits)
    EXPORTS["delphi"](store, tmp_path / "cache")
    (folder,) = (tmp_path / "cache").iterdir()
    assert folder.name == "resid_post.0"
    tokens, codes = read_back(folder)
    assert tokens.dtype == np.int64
    assert tokens.tolist() == expected[0].tolist()
    np.testing.assert_allclose(codes, expected[1], rtol=1e-3)
    edges = sorted(tuple(map(int, path.stem.split("_"))) for path in folder.glob("*.safetensors"))
    assert len(edges) == min(splits, WIDTH)
    assert [first for first, _ in edges] == [0, *(last + 1 for _, last in edges[:-1])]
    assert edges[-1][1] == WIDTH - 1
    config = json.loads((folder / "config.json").read_text())
    assert config.keys() == CACHE_CONFIG | {"model_name"}
    assert config["cache_ctx_len"] == LENGTH
    assert config["n_tokens"] == tokens.size
    assert config["n_splits"] == len(edges)
    assert config["model_name"] == store.index.model
    assert config["dataset_repo"] == "some documents"


def test_locations_are_small_where_they_can_be(store: FeatureStore, tmp_path: Path):
    tokens = np.zeros((2**16, 2), np.int64)
    for count, kind in ((2**16, np.uint16), (2**16 + 1, np.uint32)):
        more = np.zeros((count, 2), np.int64)
        delphi_file.write_split(tmp_path, store.activations_between(0, 4), 0, 4, more)
        assert load_file(tmp_path / "0_3.safetensors")["locations"].dtype == kind
    delphi_file.write_split(tmp_path, store.activations_between(5, 6), 5, 6, tokens)  # it never fires
    empty = load_file(tmp_path / "5_5.safetensors")
    assert empty["locations"].shape == (0, 3)
    assert empty["activations"].shape == (0,)


def test_values_that_delphi_leaves_out_or_cannot_hold(tmp_path: Path):
    import pyarrow as pa

    values = np.array([1e-6, 1e5, -1e5, -2e-5], np.float32)
    columns = {name: np.arange(4, dtype=np.int32) * (name == "position") for name in ("feature", "context", "position")}
    delphi_file.write_split(tmp_path, pa.table({**columns, "value": values}), 0, 1, np.zeros((1, 4), np.int64))
    found = load_file(tmp_path / "0_0.safetensors")
    assert found["locations"][:, 1].tolist() == [1, 2, 3]
    assert found["activations"][:2].tolist() == [65504, -65504]
    assert found["activations"].dtype == np.float16


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("hf:owner/name", ("owner/name", "", "train")),
        ("hf:owner/name:config:test", ("owner/name", "config", "test")),
        ("hf:owner/name::test", ("owner/name", "", "test")),
        ("tiny:train", ("tiny:train", "", "train")),
        (None, ("", "", "train")),
    ],
)
def test_delphis_configuration_names_the_data_set(
    store: FeatureStore, monkeypatch: pytest.MonkeyPatch, text: str | None, expected: tuple[str, str, str]
):
    from dataclasses import replace

    monkeypatch.setattr(store, "index", replace(store.index, text=text))
    config = module._delphi_config(store, 3)
    assert (config["dataset_repo"], config["dataset_name"], config["dataset_split"]) == expected


def batches(folder: Path) -> list[dict[str, Any]]:
    paths = sorted(folder.glob("batch-*.json"), key=lambda path: int(path.stem.removeprefix("batch-")))
    assert [path.name for path in paths] == [f"batch-{i}.json" for i in range(len(paths))]
    return [json.loads(path.read_text()) for path in paths]


@pytest.fixture(params=[5, 128], scope="module")
def exported(request: pytest.FixtureRequest, store: FeatureStore, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "batches"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "BATCH_FEATURES", request.param)
        patch.setattr("monosema.features.neuronpedia._EXAMPLES", 100)
        EXPORTS["neuronpedia"](store, out)
    return out


def test_batches_have_saedashboards_keys(exported: Path, store: FeatureStore):
    found = batches(exported)
    for batch in found:
        assert batch.keys() == BATCH
        assert batch["model_id"] == store.index.model
        assert batch["layer"] == 0
        for feature in batch["features"]:
            assert feature.keys() == FEATURE
            for activation in feature["activations"]:
                assert activation.keys() == ACTIVATION
    indices = [feature["feature_index"] for batch in found for feature in batch["features"]]
    skipped = json.loads((exported / "skipped_indexes.json").read_text())
    assert skipped["skipped_indexes"] == [5]
    assert sorted([*indices, 5]) == list(range(WIDTH))
    assert indices == sorted(indices)


def test_features_say_what_the_store_says(exported: Path, store: FeatureStore, expected: Expected):
    _, codes = expected
    for feature in (feature for batch in batches(exported) for feature in batch["features"]):
        row = store.feature(feature["feature_index"])
        own = codes[:, row.index]
        assert feature["frac_nonzero"] == row.density
        assert sum(feature["freq_hist_data_bar_heights"]) == np.count_nonzero(own)
        centres = np.array(feature["freq_hist_data_bar_values"])
        heights = np.array(feature["freq_hist_data_bar_heights"])
        assert (centres * heights).sum() / heights.sum() == pytest.approx(own[own != 0].mean(), abs=own.max() / 80)
        assert feature["pos_str"] == [pair["text"] for pair in row.promotes]
        assert feature["pos_values"] == pytest.approx([pair["value"] for pair in row.promotes], abs=6e-4)
        assert feature["neg_values"] == sorted(feature["neg_values"])
        assert feature["correlated_features_indices"] == [pair["feature"] for pair in row.together]
        assert len(feature["correlated_features_pearson"]) == len(row.together)
        assert feature["n_prompts_total"] == store.index.contexts
        assert feature["n_tokens_in_prompt"] == LENGTH
        assert feature["dataset"] == "some documents"


def test_examples_are_contexts_with_the_features_values(exported: Path, store: FeatureStore, expected: Expected):
    _, codes = expected
    for feature in (feature for batch in batches(exported) for feature in batch["features"]):
        row = store.feature(feature["feature_index"])
        assert len(feature["activations"]) == len(row.examples)
        for pick, activation in zip(row.examples, feature["activations"], strict=True):
            begin = pick["token"] // LENGTH * LENGTH
            assert activation["qualifying_token_index"] == pick["token"] - begin
            assert activation["values"] == pytest.approx(codes[begin : begin + LENGTH, row.index].tolist(), abs=6e-4)
            assert activation["tokens"] == store.place(pick["token"], LENGTH, LENGTH).texts
            if pick["group"] == 0:
                assert (activation["bin_min"], activation["bin_contains"]) == (-1, -1)
                assert activation["bin_max"] == pytest.approx(row.high, abs=6e-4)
            else:
                assert activation["bin_min"] - 1e-3 <= pick["value"] <= activation["bin_max"] + 1e-3
                assert activation["bin_contains"] == row.shares[pick["group"] - 1]


def test_codes_that_may_be_negative_are_exported_too(model: LoadedModel, tmp_path: Path):
    store = built(signed(), model, tmp_path / "store")
    EXPORTS["delphi"](store, tmp_path / "cache")
    EXPORTS["neuronpedia"](store, tmp_path / "batches")
    _, codes = read_back(tmp_path / "cache" / "resid_post.0")
    assert codes.min() < 0
    heights = [f["freq_hist_data_bar_heights"] for b in batches(tmp_path / "batches") for f in b["features"]]
    assert sum(map(sum, heights)) == store.index.activations


def test_saedashboards_own_classes_take_the_batches(exported: Path):
    dashboard = pytest.importorskip("sae_dashboard.neuronpedia.neuronpedia_dashboard")
    for batch in batches(exported):
        assert dashboard.NeuronpediaDashboardBatch(**batch).to_dict() == batch


@pytest.mark.parametrize("to", sorted(EXPORTS))
def test_an_export_that_fails_leaves_nothing(
    store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
):
    def fail(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(module, "write_json", fail)
    with pytest.raises(OSError, match="disk is full"):
        EXPORTS[to](store, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("points", "layer"),
    [
        (["resid_post.3"], 3),
        (["gpt_neox.layers.12.mlp:in"], 12),
        (["second.attn_z.2.1"], 2),
        (["mlp_in.0", "mlp_in.1"], 0),
        (["embed"], 0),
        ([], 0),
    ],
)
def test_the_layer_is_the_first_that_is_read(points: list[str], layer: int):
    assert module._layer({"spec": {"reads": points}}) == layer


def test_several_hook_points_are_one_folder(store: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(store.index.dictionary, "spec", {"reads": ["a/b", "c"]})
    EXPORTS["delphi"](store, tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["a_b & c"]


def test_what_was_said_of_features_is_exported_beside_them(store: FeatureStore, tmp_path: Path):
    copy = FeatureStore(shutil.copytree(store.folder, tmp_path / "store"))
    said = [Description(3, "rules", "on `x`", 0.9, (0.8, 0.95)), Description(3, "judge", "an “x”", None)]
    write_descriptions(copy.folder, said)
    EXPORTS["neuronpedia"](copy, tmp_path / "out")
    lines = (tmp_path / "out" / "explanations.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "modelId": store.index.model,
            "layer": f"0-{store.index.dictionary['name']}",
            "index": "3",
            "description": text,
            "explanationModelName": method,
        }
        for method, text in (("judge", "an “x”"), ("rules", "on `x`"))
    ]
    EXPORTS["neuronpedia"](store, tmp_path / "without")
    assert not (tmp_path / "without" / "explanations.jsonl").exists()
