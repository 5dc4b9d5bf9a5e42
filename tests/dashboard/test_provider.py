"""What the page shows of a store: in the contract's form, and equal to what dictionary and model say directly."""

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pyarrow.parquet import write_table

from monosema.activations.tokens import TokeniseDocuments
from monosema.analysis import (
    aligned_neurons,
    encoder_decoder_cosines,
    head_shares,
    largest_entries,
    removal_effects,
    source_attribution,
    tokens_read,
)
from monosema.analysis.dose import dose_response
from monosema.analysis.steering import Steer, generate, steering
from monosema.dashboard import contract
from monosema.dashboard.provider import PROMPT_FEATURES, StoreProvider
from monosema.dashboard.steer import DOSE_TOKENS
from monosema.dashboard.steer_contract import Doses, Steered, SteerRequest
from monosema.dictionaries import Dictionary, Spec
from monosema.errors import InputError
from monosema.features import FeatureStore
from monosema.features.layout import FEATURES
from monosema.features.pairs import spread_contexts
from monosema.models import LoadedModel, read
from tests.analysis.dictionaries import crosscoder, random_weights, transcoder
from tests.dashboard.conforming import conforms
from tests.features.stores import LENGTH, WIDTH, D, all_codes, autoencoder, built, random_model, signed, sparse

BLOCKS: dict[str, Any] = {"encoder": "block_diagonal", "decoder": "block_diagonal", "blocks": 2}
DEAD = 5


def heads() -> Dictionary:
    return sparse(random_weights(Spec(D, D, WIDTH, ("attn_z.1",), ("attn_z.1",), **BLOCKS)), 1.0)


MADE: dict[str, Callable[[], Dictionary]] = {
    "autoencoder": autoencoder,
    "transcoder": lambda: sparse(transcoder("mlp_in.1", "mlp_out.1", D, WIDTH)),
    "heads": heads,
    "signed": signed,
    "crosscoder": lambda: sparse(crosscoder(("resid_post.0", "resid_post.1"), D, WIDTH)),
}


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return random_model()


@pytest.fixture(scope="module", autouse=True)
def _window() -> Iterator[None]:
    """Less than a context is shown."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("monosema.dashboard.examples.WINDOW", (6, 3))
        yield


@pytest.fixture(scope="module")
def of(model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], StoreProvider]:
    """Providers by the name of their dictionary, each made once."""
    made: dict[str, StoreProvider] = {}

    def get(name: str) -> StoreProvider:
        if name not in made:
            dictionary = MADE[name]().eval()
            store = built(dictionary, model, tmp_path_factory.mktemp("stores") / "features")
            made[name] = StoreProvider(store, dictionary, model)
        return made[name]

    return get


def live(provider: StoreProvider, n: int = 4) -> list[int]:
    return np.flatnonzero(provider.store.column("activations") > 3)[:n].tolist()


def examples(groups: list[contract.Group]) -> Iterator[contract.Example]:
    return (example for group in groups for example in group["examples"])


def lists_agree(example: contract.Example) -> None:
    n = len(example["tokens"])
    given = [example[name] for name in ("values", "next", "after", "total", "direct", "sources")]
    assert all(column is None or len(column) == n for column in given)
    assert example["start"] + example["strongest"] == example["position"]


@pytest.mark.parametrize("name", MADE)
def test_answers_have_the_contracts_form(of: Callable[[str], StoreProvider], name: str):
    provider = of(name)
    overview = provider.overview()
    conforms(overview, contract.Overview)
    width = provider.dictionary.spec.width
    assert overview["width"] == width
    for column in overview["columns"].values():
        assert column is None or len(column) == width  # pyright: ignore[reportArgumentType]
    for i in {*live(provider), DEAD, width - 1}:
        feature = provider.feature(i)
        conforms(feature, contract.Feature)
        assert len(feature["histogram"]["edges"]) == len(feature["histogram"]["counts"]) + 1
        assert feature["histogram"]["edges"] == sorted(feature["histogram"]["edges"])
        assert sum(feature["histogram"]["counts"]) == feature["activations"]
        effects = provider.effects(i)
        conforms(effects, list[contract.Group])
        for example in [*examples(feature["groups"]), *examples(effects)]:
            lists_agree(example)
    prompt = provider.prompt("def f(x): 🙂 return x")
    conforms(prompt, contract.Prompt)
    conforms(provider.search("return"), list[int])


@pytest.mark.parametrize("name", MADE)
def test_values_of_examples_are_those_of_encode(of: Callable[[str], StoreProvider], model: LoadedModel, name: str):
    provider = of(name)
    ids, codes = all_codes(provider.dictionary, model)
    assert model.tokenizer is not None
    for i in live(provider):
        feature = provider.feature(i)
        assert feature["max"] == pytest.approx(codes[:, i].max(), rel=1e-6)
        for group in feature["groups"]:
            assert group["examples"]
            for example in group["examples"]:
                begin = example["context"] * LENGTH + example["start"]
                own = codes[begin : begin + len(example["tokens"]), i]
                assert example["values"] == pytest.approx(own.tolist(), abs=6e-5)
                value = own[example["strongest"]]
                if group["low"] is not None and group["high"] is not None:
                    slack = 1e-6 * abs(codes[:, i]).max()  # the store's values are float32
                    assert group["low"] - slack <= value <= group["high"] + slack
                assert "".join(example["tokens"]) in model.tokenizer.decode(ids[example["context"]].tolist())
        shares = [group["share"] for group in feature["groups"] if group["share"] is not None]
        assert sum(shares) == pytest.approx(1)


def test_columns_are_figures_of_each_feature(of: Callable[[str], StoreProvider], model: LoadedModel):
    provider = of("autoencoder")
    _, codes = all_codes(provider.dictionary, model)
    columns = provider.overview()["columns"]
    assert columns["max"] == pytest.approx(codes.max(0).tolist(), abs=6e-5)
    assert columns["density"] == pytest.approx(((codes != 0).sum(0) / provider.store.index.counted).tolist())
    assert columns["token"][DEAD] == ""
    assert columns["head"] is None
    for i in (0, 3):
        logits = provider.feature(i)["logits"]
        assert logits is not None
        assert columns["logit"] is not None
        assert columns["logit"][i] == logits["top"][0][0]
        assert columns["skew"][i] == pytest.approx(logits["skew"], abs=6e-4)


@pytest.mark.parametrize("name", ["autoencoder", "transcoder", "heads"])
def test_effects_are_those_of_a_removal(of: Callable[[str], StoreProvider], model: LoadedModel, name: str):
    provider = of(name)
    assert provider.overview()["effects"]
    ids = torch.stack(list(_contexts(provider.store)))
    for i in live(provider, 2):
        before, after = provider.feature(i)["groups"], provider.effects(i)
        shown = list(examples(after))
        found = removal_effects(provider.dictionary, model, ids[[e["context"] for e in shown]], [i] * len(shown))
        for row, example in enumerate(shown):
            part = slice(example["start"], example["start"] + len(example["tokens"]))
            for key, expected in (
                ("next", found.before.exp()),
                ("after", found.total.exp()),
                ("total", found.total - found.before),
                ("direct", None if found.direct is None else found.direct - found.before),
            ):
                if expected is None:
                    assert example[key] is None
                    continue
                given = [math.nan if v is None else v for v in example[key]]
                np.testing.assert_allclose(given, expected[row, part], rtol=1e-3, atol=1e-9)
            # What follows the last token shown is known where the context goes on.
            assert (example["next"][-1] is None) == (part.stop == LENGTH)
        assert any(e["start"] + len(e["tokens"]) < LENGTH for e in shown)
        for old, new in zip(examples(before), shown, strict=True):
            assert (old["tokens"], old["values"]) == (new["tokens"], new["values"])
            assert old["after"] is None


def _contexts(store: FeatureStore) -> Iterator[torch.Tensor]:
    for row in np.concatenate(list(store.ids())).reshape(-1, LENGTH):
        yield torch.from_numpy(row.astype(np.int64))


def test_sources_of_attention_and_shares_of_heads(of: Callable[[str], StoreProvider], model: LoadedModel):
    provider = of("heads")
    ids = torch.stack(list(_contexts(provider.store)))
    shares = head_shares(provider.dictionary, model, range(WIDTH))
    assert shares is not None
    overview = provider.overview()
    assert overview["heads"] == 2
    assert overview["columns"]["head"] == shares.argmax(1).tolist()
    for i in live(provider):
        assert provider.feature(i)["heads"] == pytest.approx(shares[i].tolist(), abs=1e-4)
        shown = list(examples(provider.effects(i)))
        rows, places = ids[[e["context"] for e in shown]], [e["position"] for e in shown]
        found = source_attribution(provider.dictionary, model, rows, places, [i] * len(shown)).sources
        for row, example in enumerate(shown):
            part = found[row, example["start"] : example["start"] + len(example["tokens"])]
            assert example["sources"] == pytest.approx(part.tolist(), abs=6e-5)
            assert example["source_rest"] == pytest.approx((found[row].sum() - part.sum()).item(), abs=6e-5)


def test_heads_are_read_from_the_store_and_computed_where_it_is_old(
    of: Callable[[str], StoreProvider], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    new = of("heads")
    folder = shutil.copytree(new.store.folder, tmp_path / "old")
    write_table(new.store._features.read().drop_columns(["head_norms"]), folder / FEATURES)
    old = StoreProvider(FeatureStore(folder), new.dictionary, new.model)
    assert old.overview() == new.overview()
    assert [old.feature(i)["heads"] for i in range(4)] == [new.feature(i)["heads"] for i in range(4)]
    monkeypatch.setattr("monosema.dashboard.make_up.head_shares", None)  # nothing asks for it
    again = StoreProvider(new.store, new.dictionary, new.model)
    assert again.overview() == new.overview()
    exact = torch.block_diag(*new.dictionary.W_dec.detach().norm(dim=2).unsqueeze(2))
    norms = new.store.head_norms()
    assert norms is not None
    np.testing.assert_allclose(norms, exact, rtol=1e-6)


def test_without_heads_there_are_no_sources(of: Callable[[str], StoreProvider]):
    provider = of("autoencoder")
    assert all(example["sources"] is None for example in examples(provider.effects(live(provider)[0])))


def test_what_is_not_removed_from_one_place_has_no_effects(of: Callable[[str], StoreProvider]):
    provider = of("crosscoder")
    assert not provider.overview()["effects"]
    i = live(provider)[0]
    assert provider.effects(i) == provider.feature(i)["groups"]


def test_what_a_feature_is_made_of(of: Callable[[str], StoreProvider], model: LoadedModel):
    for name in MADE:
        provider = of(name)
        (neurons,) = provider.feature(2)["neurons"]
        if name in ("heads", "crosscoder"):
            exact = largest_entries(provider.dictionary, [2], 10)
            indices, numbers, parts = exact.indices[0], exact.weights[0], exact.shares[0]
            assert neurons["title"] == "Entries"
        else:
            (found,) = aligned_neurons(provider.dictionary, model, [2], 10)
            indices, numbers, parts = found.indices[0], found.cosines[0], found.cosines[0].abs()
            assert neurons["label"] == f"of the MLP of layer {found.layer} that write it"
        assert [index for index, _, _ in neurons["entries"]] == indices.tolist()
        assert [number for _, number, _ in neurons["entries"]] == pytest.approx(numbers.tolist(), abs=6e-5)
        assert [part for _, _, part in neurons["entries"]] == pytest.approx(parts.tolist(), abs=6e-5)
        assert (provider.feature(2)["reads"] is None) == (name != "transcoder")
    provider = of("transcoder")
    reads, exact = provider.feature(2)["reads"], tokens_read(provider.dictionary, model, [2], 10)
    assert reads is not None
    assert exact is not None
    assert model.tokenizer is not None
    assert [text for text, _ in reads["top"]] == [model.tokenizer.decode([i]) for i in exact.top_tokens[0].tolist()]
    assert [value for _, value in reads["bottom"]] == pytest.approx(exact.bottom_values[0].tolist(), abs=6e-5)
    cosine = F.cosine_similarity(provider.dictionary.W_enc[:, 2], provider.dictionary.W_dec[2], dim=0).item()
    assert encoder_decoder_cosines(provider.dictionary, [2]) is not None
    assert reads["cosine"] == pytest.approx(cosine, abs=6e-5)


def test_a_feature_that_never_fires_has_no_examples(of: Callable[[str], StoreProvider]):
    feature = of("autoencoder").feature(DEAD)
    assert feature["groups"] == []
    assert feature["activations"] == feature["max"] == 0
    assert of("autoencoder").effects(DEAD) == []


@pytest.mark.parametrize("name", ["autoencoder", "signed", "transcoder"])
def test_a_prompt_has_the_values_of_encode(of: Callable[[str], StoreProvider], model: LoadedModel, name: str):
    provider = of(name)
    text = "def f_3(x): 漢字 <|endoftext|> return x"
    assert model.tokenizer is not None
    separator = model.tokenizer.bos_token_id
    ids = [separator, *model.tokenizer.encode(text, add_special_tokens=False)]
    point = provider.dictionary.spec.reads[0]
    codes = provider.dictionary.encode(read(model, torch.tensor([ids]), [point])[point][0]).detach()
    found = provider.prompt(text)
    assert "".join(found["tokens"]) == model.tokenizer.decode(ids)
    assert len(found["active"]) == len(found["tokens"]) == len(ids)
    for token, own, active in zip(ids, codes, found["active"], strict=True):
        if token in model.special_ids:
            assert active == []
            continue
        order = own.abs().argsort(descending=True, stable=True)[:PROMPT_FEATURES].tolist()
        expected = [(i, own[i].item()) for i in order if own[i] != 0]
        assert [i for i, _ in active] == [i for i, _ in expected]
        assert [v for _, v in active] == pytest.approx([v for _, v in expected], abs=6e-5)
    shown = {i for active in found["active"] for i, _ in active}
    assert found["features"].keys() == shown
    for i in shown:
        assert found["features"][i]["max"] == provider.store.feature(i).high


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "without tokens"),
        ("x + " * 100, r"prompt of \d+ tokens; expected at most 64"),
        ("half \ud83d", "half of a surrogate pair"),
    ],
)
def test_prompts_that_cannot_be_read_are_refused(of: Callable[[str], StoreProvider], text: str, message: str):
    with pytest.raises(InputError, match=message):
        of("autoencoder").prompt(text)


def test_without_a_tokeniser_there_are_no_prompts(of: Callable[[str], StoreProvider]):
    old = of("autoencoder")
    bare: Any = SimpleNamespace(tokenizer=None, owner=old.model.owner, vocabulary=None)
    provider = StoreProvider(old.store, old.dictionary, bare)
    with pytest.raises(InputError, match="a model with a tokenizer"):
        provider.prompt("text")


def test_a_search_finds_the_densest_first(of: Callable[[str], StoreProvider]):
    provider = of("autoencoder")
    density, found = provider.store.column("density"), provider.search("RETURN")
    assert set(found) == set(provider.store.search("return").tolist())
    assert density[found].tolist() == sorted(density[found], reverse=True)
    assert provider.search("nowhere at all") == []


def test_features_are_compared_by_the_cosine_of_their_directions(
    of: Callable[[str], StoreProvider], model: LoadedModel, tmp_path: Path
):
    one = of("autoencoder")
    mixed = autoencoder(WIDTH + 7, dead=0, seed=4).eval()
    mixed.W_dec.data[9] = one.dictionary.W_dec[2] * 3
    other = StoreProvider(built(mixed, model, tmp_path / "other"), mixed, model)
    provider = StoreProvider(one.store, one.dictionary, model, {"the other/one": other})
    assert provider.overview()["others"] == ["the other/one"]
    found = provider.compare("the other/one")
    conforms(found, contract.Comparison)
    cosines = F.normalize(one.dictionary.W_dec, dim=1) @ F.normalize(mixed.W_dec, dim=1).T
    ids, codes = all_codes(one.dictionary, model)
    counted = ~torch.isin(ids.flatten(), torch.tensor(sorted(model.special_ids))).numpy()
    codes, others = codes[counted], all_codes(mixed, model)[1][counted]
    assert {pair["feature"] for pair in found["pairs"]} == set(range(WIDTH)) - {DEAD}
    best = [pair["cosine"] for pair in found["pairs"]]
    assert best == sorted(best, reverse=True)
    assert (found["pairs"][0]["feature"], found["pairs"][0]["other"]) == (2, 9)
    for pair in found["pairs"]:
        assert pair["other"] == cosines[pair["feature"]].argmax()
        assert pair["cosine"] == pytest.approx(cosines[pair["feature"]].max().item(), abs=1e-5)
        assert pair.get("token") == other.store.feature(pair["other"]).strongest_token
        fires, too = codes[:, pair["feature"]] != 0, others[:, pair["other"]] != 0
        if pair["together"] is None:  # where one never fires, or always does
            assert fires.std() * too.std() == 0
        else:
            assert pair["together"] == pytest.approx(np.corrcoef(fires, too)[0, 1], abs=6e-5)
    assert found["tokens"] == counted.sum()
    assert provider.compare("the other/one") is found
    assert provider.other_feature("the other/one", 3) == other.feature(3)
    for name in ("nobody", ""):
        with pytest.raises(InputError, match="one of the other/one"):
            provider.compare(name)
    with pytest.raises(InputError, match=f"feature {WIDTH + 7}"):
        provider.other_feature("the other/one", WIDTH + 7)
    with pytest.raises(InputError, match="expected one of none"):
        one.compare("the other/one")


@pytest.mark.parametrize("feature", [-1, WIDTH])
def test_unknown_features_are_refused(of: Callable[[str], StoreProvider], feature: int):
    for ask in (of("autoencoder").feature, of("autoencoder").effects):
        with pytest.raises(InputError, match=f"feature {feature}; expected 0 to {WIDTH - 1}"):
            ask(feature)


def test_a_context_of_several_examples_is_read_once(
    of: Callable[[str], StoreProvider], monkeypatch: pytest.MonkeyPatch
):
    provider = of("heads")
    read_ids: list[torch.Tensor] = []

    def seen(dictionary: Any, model: Any, ids: torch.Tensor, features: Any) -> Any:
        read_ids.extend(ids)
        return removal_effects(dictionary, model, ids, features)

    monkeypatch.setattr("monosema.dashboard.effects.removal_effects", seen)
    i = max(live(provider, WIDTH), key=lambda i: provider.store.feature(i).activations)
    contexts = [example["context"] for example in examples(provider._effects_of(i))]
    assert len(read_ids) == len(set(contexts)) < len(contexts)


def test_answers_may_be_changed_by_who_gets_effects(of: Callable[[str], StoreProvider]):
    """The groups of a feature stay as they are when its effects are added to a copy."""
    provider = of("transcoder")
    i = live(provider)[0]
    before = repr(provider.feature(i))
    provider.effects(i)
    assert repr(provider.feature(i)) == before


def request(provider: StoreProvider, **options: Any) -> SteerRequest:
    steers = tuple(Steer(i, 6.0) for i in live(provider, 2))
    return SteerRequest(**{"prompt": "def f(x): 漢", "steers": steers, "tokens": 7, **options})


@pytest.mark.parametrize("name", ["autoencoder", "transcoder", "heads"])
def test_steered_texts_are_those_of_generate(of: Callable[[str], StoreProvider], model: LoadedModel, name: str):
    provider = of(name)
    assert provider.overview()["steers"]
    asked = request(provider, temperature=0.8, seed=4)
    found = provider.steer(asked)
    conforms(found, Steered)
    (ids,) = TokeniseDocuments(model.tokenizer)([asked.prompt])
    assert found["prompt"] == len(ids)
    assert found["features"] == [steer.feature for steer in asked.steers]
    how: dict[str, Any] = {"temperature": 0.8, "seed": 4}
    plain = [*ids, *generate(model, ids, 7, **how)]
    with steering(model, provider.dictionary, asked.steers):
        steered = [*ids, *generate(model, ids, 7, **how)]
    assert plain != steered
    point = provider.dictionary.spec.reads[0]
    for side, written in ((found["plain"], plain), (found["steered"], steered)):
        assert "".join(side["tokens"]) == model.tokenizer.decode(written)  # pyright: ignore[reportOptionalMemberAccess]
        x = read(model, torch.tensor([written]), [point])[point][0]
        codes = provider.dictionary.encode(x).detach()
        codes[[i in model.special_ids for i in written]] = 0
        for values, feature in zip(side["values"], found["features"], strict=True):
            assert values == pytest.approx(codes[:, feature].tolist(), abs=6e-5)


def test_doses_are_those_of_the_stores_text(of: Callable[[str], StoreProvider], model: LoadedModel):
    provider = of("autoencoder")
    found = provider.dose(2, [-1.0, 3.0])
    conforms(found, Doses)
    ids = torch.stack(list(_contexts(provider.store)))[spread_contexts(provider.store, DOSE_TOKENS)]
    assert found["tokens"] == ids.numel()
    exact = dose_response(provider.dictionary, model, ids, 2, [-1.0, 3.0], controls=found["controls"])
    assert found["responses"] == [pytest.approx(vars(one)) for one in exact]
    assert len(found["promoted"]) == 10


def test_what_cannot_be_steered_is_refused(of: Callable[[str], StoreProvider]):
    assert not of("crosscoder").overview()["steers"]
    with pytest.raises(InputError, match="steering of"):
        of("crosscoder").steer(request(of("crosscoder")))
    provider = of("autoencoder")
    with pytest.raises(InputError, match=f"feature {WIDTH}"):
        provider.steer(request(provider, steers=(Steer(WIDTH, 1.0),)))
    with pytest.raises(InputError, match=f"feature {WIDTH}"):
        provider.dose(WIDTH, [1.0])
    with pytest.raises(InputError, match="prompt of 0 tokens; expected 1 to 63"):
        provider.steer(request(provider, prompt=""))
    with pytest.raises(InputError, match=r"prompt of \d+ tokens; expected 1 to 63"):
        provider.steer(request(provider, prompt="x + " * 100))
