"""A feature of a saved dictionary is pulled back in a prompt, and the way is tested on held-out text."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from monosema.analysis.deembed import effective_embeddings
from monosema.analysis.linearise import feature_direction, through_norm
from monosema.errors import InputError
from monosema.models import load_model
from monosema.runs import DictionaryConfig, run
from monosema.runs.linearise import Linearised, linearise_folder
from monosema.runs.linearise_text import linearise_json, linearise_tables
from tests.runs.tiny_run import recipe, small_run

PROMPT = "document_3 = [x * 3 for x in range(9)]"


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory, model: Path, corpus: Path) -> Path:
    """The folder of a run with transcoders of both layers, and an autoencoder of the last MLP."""
    folder = tmp_path_factory.mktemp("runs") / "chain"
    dictionaries = (
        DictionaryConfig(recipe("topk", k=4), site="mlp_out.1", width=32, name="out"),
        DictionaryConfig(recipe("topk", k=4), site="mlp_in.0", target="mlp_out.0", width=32, name="early"),
        DictionaryConfig(recipe("topk", k=4), site="mlp_in.1", target="mlp_out.1", width=32, name="late"),
    )
    run(small_run(*dictionaries, model=str(model), text=str(corpus)), folder)
    return folder


def pulled(folder: Path, feature: int = 3, prompt: str = PROMPT, **options: Any) -> Linearised:
    return linearise_folder(folder, feature, prompt, device="cpu", **options)


def test_a_transcoders_feature_is_pulled_back_to_the_stream_and_fed_by_an_earlier_ones(chain: Path):
    found = pulled(chain, name="late", earlier="early", position=5, n=3)
    assert "".join(found.tokens[1:]) == PROMPT
    assert [place.point for place in found.way] == ["mlp_in.1", "resid_mid.1"]
    assert sum(found.parts.values()) == pytest.approx(found.way[-1].linear, abs=1e-5)
    assert len(found.heads) == 3
    assert found.feeding is not None
    assert found.feeding.connections.shape == (32,)


def test_by_default_the_token_of_the_largest_preactivation_is_looked_at(chain: Path, model: Path):
    found = pulled(chain, name="out")
    values = [pulled(chain, name="out", position=p, tokens=0).way[0].value for p in range(1, len(found.tokens))]
    assert found.position == 1 + max(range(len(values)), key=values.__getitem__)
    assert found.way[0].value == pytest.approx(max(values))


def test_the_way_is_tested_where_the_feature_fires_on_held_out_text(chain: Path):
    features = [pulled(chain, feature, name="late") for feature in range(32)]
    found = max(features, key=lambda each: each.agreements[1].tokens)
    assert found.agreements.keys() == {1}
    assert found.agreements[1].tokens > 20
    assert -1 <= found.agreements[1].correlation <= 1
    assert pulled(chain, name="late", tokens=0).agreements == {}


def test_only_what_mlps_and_norms_alone_led_to_is_tested(chain: Path):
    found = pulled(chain, name="out", through=("mlp_out.0",), position=6)
    assert [place.via for place in found.way] == ["feature", "mlp", "norm", "part", "mlp", "norm"]
    assert found.agreements.keys() == {1, 2, 4, 5}
    ahead = pulled(chain, name="out", through=("attn_z.1.1@2", "mlp_out.0"), position=6)
    assert ahead.agreements.keys() == {1, 2, 7, 8}
    assert ahead.way[-1].position == 2


def test_norms_are_exact_if_that_is_asked_for(chain: Path, model: Path):
    found = pulled(chain, name="late", position=4, exact_norm=True, tokens=0)
    loaded = load_model(str(model), device="cpu", dtype="float32")
    ids = torch.tensor([0, *loaded.tokenizer.encode(PROMPT)])  # pyright: ignore[reportOptionalMemberAccess]
    import monosema

    late = monosema.load(chain / "dictionaries" / "late").eval()
    _, own = feature_direction(late, loaded, ids, 4, 3)
    torch.testing.assert_close(found.way[1].vector, through_norm(loaded, ids, own, frozen=False).vector)


def test_effective_embeddings_are_those_behind_layer_0(chain: Path, model: Path):
    found = pulled(chain, name="late", effective=True, tokens=0, n=1)
    assert found.read is not None
    embeddings = effective_embeddings(load_model(str(model), device="cpu", dtype="float32"))
    assert found.read.top_values[0, 0].item() == pytest.approx((embeddings @ found.way[-1].vector).max().item())


def test_tables_and_json_say_the_same(chain: Path):
    found = pulled(chain, name="out", earlier="early", position=5, n=4)
    tables = linearise_tables(found, 4)
    assert [table.headers[0] for table in tables] == [
        "out, feature 3",
        "Added to the stream by",
        "Head",
        "Embeddings along resid_mid.1",
        "Fed by",
    ]
    figures: Any = json.loads(json.dumps(linearise_json(found, 4)))
    assert [float(row[3]) for row in tables[0].rows] == pytest.approx(
        [place["linear"] for place in figures["way"]], abs=1e-3
    )
    assert [row[0] for row in tables[1].rows] == list(figures["parts"])
    assert [row[0] for row in tables[2].rows] == [f"attn_z.{one['layer']}.{one['head']}" for one in figures["heads"]]
    assert [float(row[1]) for row in tables[3].rows] == pytest.approx(
        [one["value"] for one in figures["read"]["top"]], abs=1e-3
    )
    assert [row[0] for row in tables[4].rows] == [f"feature {one['feature']}" for one in figures["fed_by"]]
    assert figures["preactivation"] == found.way[0].value


def test_a_feature_of_the_stream_is_in_the_stream_and_one_of_attention_has_heads(
    finished: Path, tmp_path: Path, model: Path, corpus: Path
):
    found = pulled(finished, name="jump")
    assert [place.point for place in found.way] == ["resid_post.1"]
    attention = DictionaryConfig(recipe("topk", k=4), site="attn_out.1", width=32, name="attention")
    run(small_run(attention, model=str(model), text=str(corpus)), tmp_path / "run")
    found = pulled(tmp_path / "run", position=4)
    assert (found.parts, found.read, found.agreements) == ({}, None, {})
    assert found.heads
    assert [table.headers[0] for table in linearise_tables(found, 4)] == ["attention, feature 3", "Head"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feature": 32}, "feature 32"),
        ({"prompt": ""}, "an empty prompt"),
        ({"position": 99}, "position 99"),
        ({"name": "none"}, "dictionary 'none'"),
        ({"earlier": "late"}, "what is added to the stream up to there"),
        ({"through": ("mlp_out.1",)}, "as a part of resid_mid"),
        ({"through": ("resid_mid.0",)}, "a head and a position"),
    ],
)
def test_what_cannot_be_pulled_back_is_refused(chain: Path, options: dict[str, Any], message: str):
    with pytest.raises(InputError, match=message):
        pulled(chain, **{"name": "late", "tokens": 0, **options})


def test_a_run_without_a_model_is_refused(vectors: Path, tmp_path: Path):
    run(small_run(activations=str(vectors)), tmp_path / "run")
    with pytest.raises(InputError, match="made from activations or two models"):
        pulled(tmp_path / "run")
