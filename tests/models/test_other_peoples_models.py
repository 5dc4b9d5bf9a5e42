"""The same names mean the same on models of Hugging Face, TransformerLens and nnsight, and on a bare module."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from monosema.analysis.steering import Steer, steering
from monosema.dictionaries import Dictionary, Spec, activation_functions
from monosema.errors import InputError
from monosema.evaluation import evaluate, splice
from monosema.models import LoadedModel, Replacement, load_model, read, replacing
from monosema.models.lens import lens_config
from tests.models import tiny_lens
from tests.models.tiny_lens import LAYERS

KINDS = ("resid_pre", "resid_mid", "resid_post", "attn_z", "attn_out", "mlp_in", "mlp_out")
THEIRS: dict[str, Callable[[], Any]] = {
    "gpt2": tiny_lens.gpt2,
    "gpt_neox": lambda: tiny_lens.gpt_neox(parallel=False),
    "gpt_neox_parallel": lambda: tiny_lens.gpt_neox(parallel=True),
}
STAND_IN = [("gpt2", "stand_in")]
REAL = [(model, made) for model in THEIRS for made in ("hooked", "bridge")]


class Pair:
    """A Hugging Face model, and the same in TransformerLens' layout."""

    def __init__(self, model: str, made: str, folder: Path, processed: bool = False):
        theirs = THEIRS[model]()
        self.plain = load_model(theirs, device="cpu")
        if made == "stand_in":
            lens = tiny_lens.StandIn(theirs).eval()
        else:
            lens = getattr(tiny_lens, made)(theirs, folder, processed=processed)
        self.lens = load_model(lens, device="cpu")
        kinds = [kind for kind in KINDS if kind != "resid_mid" or model != "gpt_neox_parallel"]
        self.names = ["embed", *(f"{kind}.{layer}" for kind in kinds for layer in range(LAYERS))]


@pytest.fixture(params=[*STAND_IN, *REAL], ids="-".join)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    model, made = request.param
    return Pair(model, made, tmp_path)


@pytest.fixture(params=REAL, ids="-".join)
def treated(request: pytest.FixtureRequest, tmp_path: Path) -> Pair:
    """The same, its weights treated by TransformerLens."""
    model, made = request.param
    return Pair(model, made, tmp_path, processed=True)


def close(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=1e-4)


def dictionary(point: str, d: int = 32, trained_on: list[str] | None = None) -> Dictionary:
    torch.manual_seed(0)
    made = Dictionary(Spec.autoencoder(point, d, 48), activation_functions["relu"](48))
    with torch.no_grad():
        for weight in made.parameters():
            weight.normal_(std=0.3)
    made.metadata = {} if trained_on is None else {"model_preprocessing": trained_on}
    return made.eval()


def test_activations_agree_at_every_hook_point(pair: Pair, ids: Tensor):
    ours, theirs = read(pair.plain, ids, pair.names), read(pair.lens, ids, pair.names)
    assert [name for name in pair.names if not close(ours[name], theirs[name])] == []
    assert close(pair.plain.logits(ids), pair.lens.logits(ids))


def test_replacing_changes_the_model_alike_at_every_hook_point(pair: Pair, ids: Tensor):
    clean = pair.plain.logits(ids)
    for name in (*pair.names, "attn_z.1.2"):
        change = Replacement(name, lambda x: x.roll(1, dims=-1))
        with torch.no_grad(), replacing(pair.plain, [change]), replacing(pair.lens, [change]):
            ours, theirs = pair.plain.logits(ids), pair.lens.logits(ids)
        assert not torch.allclose(ours, clean, atol=1e-2), name
        assert close(ours, theirs), name
    assert close(pair.lens.logits(ids), clean)


def test_a_dictionary_spliced_in_measures_the_same(pair: Pair, ids: Tensor):
    made = {name: dictionary(name) for name in ("resid_post.1", "attn_z.0", "mlp_out.2")}
    ours, theirs = evaluate(made, pair.plain, ids), evaluate(made, pair.lens, ids)
    for name in made:
        for figure in ("fve", "l0", "ce_diff", "kl"):
            expected = getattr(ours[name].metrics, figure)
            assert getattr(theirs[name].metrics, figure) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_steering_moves_the_predictions_alike(pair: Pair, ids: Tensor):
    for name in ("resid_post.1", "attn_z.0", "mlp_out.2"):
        steers = [Steer(3, 20.0), Steer(5, 0.0, "ablate")]
        with torch.no_grad():
            clean = pair.plain.logits(ids)
            with steering(pair.plain, dictionary(name), steers):
                expected = pair.plain.logits(ids)
            with steering(pair.lens, dictionary(name), steers):
                assert close(pair.lens.logits(ids), expected)
        assert not torch.allclose(expected, clean, atol=1e-2), name


def test_what_is_known_of_the_model_is_the_same(pair: Pair):
    for fact in ("max_context", "vocabulary", "heads", "predicts_next", "preprocessing"):
        assert getattr(pair.lens, fact) == getattr(pair.plain, fact), fact
    assert pair.lens.heads_at("attn_z.1") == pair.plain.heads_at("attn_z.1") == 4
    with pytest.raises(InputError, match="at most 32 tokens"):
        pair.lens.logits(torch.ones(1, 33, dtype=torch.long))


def test_transformer_lens_names_are_the_short_names_there_too(pair: Pair, ids: Tensor):
    names = ["blocks.1.attn.hook_z", "blocks.2.hook_resid_post", "hook_embed"]
    at = read(pair.lens, ids, [*names, "attn_z.1", "resid_post.2", "embed"])
    for lens, short in zip(names, ("attn_z.1", "resid_post.2", "embed"), strict=True):
        assert torch.equal(at[lens], at[short])
        assert at[lens].shape == (2, 7, 32)
    with pytest.raises(InputError, match="before the norm"):
        pair.lens.point("blocks.1.hook_mlp_in")


def test_mistakes_are_answered_as_on_other_models(pair: Pair):
    with pytest.raises(InputError, match="from 0 to 2"):
        pair.lens.point("resid_post.3")
    with pytest.raises(InputError, match="from 0 to 3"):
        pair.lens.point("attn_z.1.4")
    with pytest.raises(InputError, match=r"did you mean resid_post\.1"):
        pair.lens.point("resid_pots.1")
    if "resid_mid.1" not in pair.names:
        with pytest.raises(InputError, match="side by side"):
            pair.lens.point("resid_mid.1")


def test_treated_weights_are_recognised_and_change_what_the_table_says(treated: Pair, ids: Tensor):
    from monosema.models.preprocessing import CHANGES

    assert set(treated.lens.preprocessing) == set(CHANGES)
    ours, theirs = read(treated.plain, ids, treated.names), read(treated.lens, ids, treated.names)
    changed = {name.split(".")[0] for name in treated.names if not close(ours[name], theirs[name])}
    listed = {kind for kinds in CHANGES.values() for kind in kinds}
    assert changed == listed & {name.split(".")[0] for name in treated.names}
    logits = treated.plain.logits(ids).log_softmax(-1), treated.lens.logits(ids).log_softmax(-1)
    assert close(*logits)


def folded_by_hand() -> LoadedModel:
    """A stand-in whose stream was centred, and nothing else."""
    theirs = tiny_lens.gpt2()
    with torch.no_grad():
        theirs.transformer.wte.weight.sub_(theirs.transformer.wte.weight.mean(-1, keepdim=True))
    return load_model(tiny_lens.StandIn(theirs).eval(), device="cpu")


def test_a_treatment_shows_in_the_weights():
    theirs = tiny_lens.gpt2()
    assert load_model(tiny_lens.StandIn(theirs)).preprocessing == ()
    assert folded_by_hand().preprocessing == ("center_writing_weights",)
    for block in theirs.transformer.h:
        for norm in (block.ln_1, block.ln_2):
            nn.init.ones_(norm.weight)
            nn.init.zeros_(norm.bias)
        block.attn.c_attn.bias.data[64:] = 0
    assert load_model(tiny_lens.StandIn(theirs)).preprocessing == ("fold_ln", "fold_value_biases")


@pytest.mark.parametrize("point", ["resid_post.1", "blocks.1.hook_resid_pre", "embed", "mlp_out.0", "attn_out.2"])
@pytest.mark.parametrize(("trained_on", "words"), [([], "without center.* with it"), (["center_writing_weights"], "")])
def test_a_dictionary_of_other_activations_is_refused(point: str, trained_on: list[str], words: str, ids: Tensor):
    centred, plain = folded_by_hand(), load_model(tiny_lens.gpt2(), device="cpu")
    fits, other = (plain, centred) if trained_on == [] else (centred, plain)
    made = dictionary(point, trained_on=trained_on)
    with pytest.raises(InputError, match=words or "with center.* without it"):
        evaluate({"it": made}, other, ids)
    with pytest.raises(InputError, match="not those that it knows"), replacing(other, splice(made)):
        raise AssertionError
    with replacing(fits, splice(made)):
        assert fits.logits(ids).isfinite().all()


def test_where_a_treatment_changes_nothing_nothing_is_refused(ids: Tensor):
    for point in ("attn_z.1", "mlp_in.1", "attn_z.1.3"):
        made = dictionary(point, d=8 if point.endswith(".3") else 32, trained_on=[])
        assert evaluate({"it": made}, folded_by_hand(), ids)["it"].metrics.tokens
    assert evaluate({"it": dictionary("resid_post.1")}, folded_by_hand(), ids)["it"].metrics.tokens  # nobody knows


def test_an_encoder_of_transformer_lens_has_no_short_names():
    encoder = tiny_lens.StandIn(tiny_lens.gpt2())
    assert lens_config(encoder) is not None
    encoder.cfg.attention_dir = "bidirectional"
    assert lens_config(encoder) is None
    with pytest.raises(InputError, match="whose family is not known"):
        load_model(encoder).point("resid_post.1")


class Wrapped:
    """What monosema knows of an nnsight model: it holds a module, and answers to any name."""

    def __init__(self, module: nn.Module | None, place: str, tokenizer: Any = None):
        vars(self).update({place: module, "tokenizer": tokenizer})

    def __getattr__(self, name: str) -> Any:
        return SimpleNamespace()


Wrapped.__module__ = "nnsight.modeling.language"


@pytest.mark.parametrize("place", ["_model", "_module"])
def test_the_module_in_an_nnsight_model_is_what_is_read(place: str, ids: Tensor):
    theirs = tiny_lens.gpt2()
    tokenizer = tiny_lens.tokenizer()
    model = load_model(Wrapped(theirs, place, tokenizer))
    assert model.module is theirs
    assert model.tokenizer is tokenizer
    assert close(read(model, ids, ["attn_z.1"])["attn_z.1"], read(load_model(theirs), ids, ["attn_z.1"])["attn_z.1"])


def padding_tokenizer() -> Any:
    """One with a token for padding, without which nnsight 0.4 reads no batch."""
    tokenizer = tiny_lens.tokenizer()
    tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


WRAPPED: dict[str, Callable[[Any, Any, str], Any]] = {
    "NNsight": lambda nnsight, theirs, folder: nnsight.NNsight(theirs),
    "LanguageModel": lambda nnsight, theirs, folder: nnsight.LanguageModel(theirs, tokenizer=padding_tokenizer()),
    "LanguageModel, loaded": lambda nnsight, theirs, folder: nnsight.LanguageModel(folder, dispatch=True),
    "TransformersModel": lambda nnsight, theirs, folder: nnsight.TransformersModel(
        folder, task="text-generation", dispatch=True
    ),
}


@pytest.mark.filterwarnings("ignore:LanguageModel is deprecated")
@pytest.mark.parametrize("family", ["gpt2", "gpt_neox_parallel"])
@pytest.mark.parametrize("way", WRAPPED)
def test_a_real_nnsight_model_is_read_and_replaced_like_what_it_wraps(
    family: str, way: str, ids: Tensor, tmp_path: Path
):
    nnsight = pytest.importorskip("nnsight", minversion="0.8" if way == "TransformersModel" else None)
    theirs = THEIRS[family]()
    theirs.save_pretrained(tmp_path)
    padding_tokenizer().save_pretrained(tmp_path)
    wrap = WRAPPED[way](nnsight, theirs, str(tmp_path))
    plain, model = load_model(theirs), load_model(wrap)
    names = ["embed", "resid_post.1", "attn_z.0", "attn_z.1.2", "mlp_in.0", "mlp_out.2"]
    ours, found = read(plain, ids, names), read(model, ids, names)
    assert [name for name in names if not close(ours[name], found[name])] == []
    assert (model.tokenizer is None) == (way == "NNsight")
    made, clean = dictionary("resid_post.1"), plain.logits(ids)
    with torch.no_grad():
        with replacing(plain, splice(made)):
            expected = plain.logits(ids)
        with replacing(model, splice(made)):
            spliced = model.logits(ids)
        with wrap.trace(ids):  # and nnsight goes on as if nothing had been
            traced = wrap.output.save()
    assert close(spliced, expected)
    assert not close(spliced, clean)
    assert close(traced.logits, clean)


def test_an_nnsight_model_without_weights_or_module_is_refused():
    with pytest.raises(InputError, match="dispatch=True"):
        load_model(Wrapped(nn.Linear(2, 2, device="meta"), "_model"))
    with pytest.raises(InputError, match="no module in a Wrapped"):
        load_model(Wrapped(None, "_model"))
    with pytest.raises(InputError, match="a dict as a model"):
        load_model({})  # pyright: ignore[reportArgumentType]


def test_a_bare_module_is_read_by_the_paths_of_its_modules(ids: Tensor):
    bare = nn.Sequential(nn.Embedding(64, 8), nn.Linear(8, 8))
    model = load_model(bare)
    with torch.no_grad():
        assert torch.equal(read(model, ids, ["1"])["1"], bare(ids))
