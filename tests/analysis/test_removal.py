"""Removing a feature is what hooks by hand do, and changes nothing where it cannot."""

from typing import Any

import pytest
import torch
from torch import Tensor

from monosema.analysis.removal import Removal, removal_effects
from monosema.dictionaries import Dictionary, Spec
from monosema.errors import InputError
from monosema.models import PREPROCESSING, LoadedModel, ModelPair, load_model, read
from tests.analysis.dictionaries import autoencoder, cross_layer, crosscoder, random_weights, transcoder
from tests.evaluation.helpers import SPECIAL, D, random_contexts, random_model
from tests.models import tiny_lens
from tests.models.tiny_families import build

FEATURES = [3, 0, 11, 7, 7, 14]
LAYER = "gpt_neox.layers."
PLACES = {
    "resid_post.0": f"{LAYER}0",
    "attn_out.1": f"{LAYER}1.attention",
    "mlp_out.0": f"{LAYER}0.mlp",
    "resid_post.1": f"{LAYER}1",
}


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return random_model()


def next_of(logits: Tensor, ids: Tensor) -> Tensor:
    """log p of each next token, without the last position."""
    return logits.log_softmax(-1)[:, :-1].gather(2, ids[:, 1:, None]).squeeze(2)


def kept(ids: Tensor) -> Tensor:
    return (ids != SPECIAL).double()


@torch.no_grad()
def with_hook(model: LoadedModel, path: str, change: Any, ids: Tensor, *, before: bool = False) -> Tensor:
    """The next tokens' log-probabilities while `change` acts on what a module returns, or is given."""
    module = model.module.get_submodule(path)
    if before:
        hook = module.register_forward_pre_hook(lambda _module, args: (change(args[0]), *args[1:]))
    else:
        hook = module.register_forward_hook(
            lambda _module, _args, out: (change(out[0]), *out[1:]) if isinstance(out, tuple) else change(out)
        )
    logits = model.module(ids).logits
    hook.remove()
    return next_of(logits, ids)


def contributions(made: Dictionary, x: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
    """The codes of each row's feature, and what they add to the output."""
    codes = torch.stack([made.encode(row)[:, f] for row, f in zip(x, FEATURES, strict=True)]) * kept(ids)
    rows = made.decode_features(torch.eye(made.spec.width).double()[FEATURES])
    return codes.detach(), (codes[..., None] * rows[:, None]).detach()


def check_changes(found: Removal) -> None:
    assert ((found.total - found.before)[:, :-1].abs() > 1e-6).any()
    for part in (found.before, found.total, found.direct):
        assert part is None or (part.isnan().sum(1).eq(1).all() and part[:, -1].isnan().all())


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("at_once", [4, 8])
def test_autoencoders_features_are_removed_as_by_hand(model: LoadedModel, name: str, at_once: int):
    ids, made = random_contexts(), autoencoder(name, D)
    codes, added = contributions(made, read(model, ids, [name])[name], ids)
    found = removal_effects(made, model, ids, FEATURES, at_once)
    check_changes(found)
    torch.testing.assert_close(found.values, codes)
    torch.testing.assert_close(found.before[:, :-1], next_of(model.logits(ids), ids))
    torch.testing.assert_close(found.total[:, :-1], with_hook(model, PLACES[name], lambda x: x - added, ids))
    assert found.direct is not None
    torch.testing.assert_close(found.direct[:, :-1], with_hook(model, f"{LAYER}1", lambda x: x - added, ids))


@pytest.mark.parametrize(("reads", "writes"), [("mlp_in.0", "mlp_out.0"), ("resid_pre.0", "attn_out.1")])
def test_transcoders_features_are_removed_where_they_write(model: LoadedModel, reads: str, writes: str):
    ids, made = random_contexts(), transcoder(reads, writes, D, skip=True)
    codes, added = contributions(made, read(model, ids, [reads])[reads], ids)
    found = removal_effects(made, model, ids, FEATURES)
    check_changes(found)
    torch.testing.assert_close(found.values, codes)
    torch.testing.assert_close(found.total[:, :-1], with_hook(model, PLACES[writes], lambda x: x - added, ids))
    assert found.direct is not None
    torch.testing.assert_close(found.direct[:, :-1], with_hook(model, f"{LAYER}1", lambda x: x - added, ids))


@pytest.mark.parametrize(("name", "columns"), [("attn_z.0", (0, D)), ("attn_z.0.1", (D // 2, D))])
def test_attn_z_is_removed_before_the_projection_and_directly_behind_it(
    model: LoadedModel, name: str, columns: tuple[int, int]
):
    ids, made = random_contexts(), autoencoder(name, columns[1] - columns[0])
    _, added = contributions(made, read(model, ids, [name])[name], ids)
    whole = torch.zeros(*ids.shape, D).double()
    whole[..., slice(*columns)] = added
    path = f"{LAYER}0.attention.dense"
    weight = model.module.get_parameter(f"{path}.weight")
    found = removal_effects(made, model, ids, FEATURES)
    check_changes(found)
    torch.testing.assert_close(found.total[:, :-1], with_hook(model, path, lambda x: x - whole, ids, before=True))
    assert found.direct is not None
    expected = with_hook(model, f"{LAYER}1", lambda x: x - whole @ weight.T, ids)
    torch.testing.assert_close(found.direct[:, :-1], expected)


def test_cross_layer_features_are_removed_from_all_that_they_write(model: LoadedModel):
    ids, made = random_contexts(), cross_layer((("mlp_in.0", "mlp_in.1"), ("mlp_out.0", "mlp_out.1")), D)
    x = torch.cat(list(read(model, ids, made.spec.reads).values()), -1)
    _, added = contributions(made, x, ids)
    first, second = added.split(D, -1)
    assert first[[2, 5]].count_nonzero() == 0  # features of the second layer do not write to the first
    found = removal_effects(made, model, ids, FEATURES)
    check_changes(found)
    module: Any = model.module.get_submodule(f"{LAYER}0.mlp")
    hook = module.register_forward_hook(lambda _module, _args, out: out - first)
    expected = with_hook(model, f"{LAYER}1.mlp", lambda out: out - second, ids)
    hook.remove()
    torch.testing.assert_close(found.total[:, :-1], expected)
    assert found.direct is not None
    torch.testing.assert_close(found.direct[:, :-1], with_hook(model, f"{LAYER}1", lambda x: x - first - second, ids))


def test_at_the_last_stream_there_is_no_other_path_than_the_direct_one(model: LoadedModel):
    found = removal_effects(autoencoder("resid_post.1", D), model, random_contexts(), FEATURES)
    assert found.direct is not None
    torch.testing.assert_close(found.total, found.direct, equal_nan=True)
    check_changes(found)


def test_nothing_changes_before_a_feature_fires(model: LoadedModel):
    ids, made = random_contexts(), autoencoder("resid_post.0", D)
    made.b_enc.data.sub_(4)  # so that it fires here and there
    found = removal_effects(made, model, ids, FEATURES)
    fired = (found.values != 0).cumsum(1) > 0
    assert 0 < fired[:, :-1].float().mean() < 1
    assert torch.equal(found.total[~fired].nan_to_num(), found.before[~fired].nan_to_num())
    assert found.direct is not None
    silent = found.values == 0
    assert torch.equal(found.direct[silent].nan_to_num(), found.before[silent].nan_to_num())
    assert not found.values[ids == SPECIAL].any()


def test_a_feature_that_never_fires_does_nothing(model: LoadedModel):
    made = autoencoder("mlp_out.0", D)
    made.b_enc.data.sub_(1e4)
    found = removal_effects(made, model, random_contexts(), FEATURES)
    assert not found.values.any()
    for part in (found.total, found.direct):
        assert part is not None
        assert torch.equal(part.nan_to_num(), found.before.nan_to_num())


def test_without_a_direction_in_the_stream_there_is_a_total_alone(model: LoadedModel):
    found = removal_effects(autoencoder("mlp_in.1", D), model, random_contexts(), FEATURES)
    assert found.direct is None
    check_changes(found)


def test_of_a_dictionary_that_normalises_directions_are_as_long_as_the_input(model: LoadedModel):
    ids = random_contexts()
    made = autoencoder("resid_post.1", D, normalisation="layer_norm")
    x = read(model, ids, ["resid_post.1"])["resid_post.1"]
    codes = torch.stack([made.encode(row)[:, f] for row, f in zip(x, FEATURES, strict=True)]) * kept(ids)
    without = made.encode(x)
    for row, (feature, counts) in enumerate(zip(FEATURES, kept(ids), strict=True)):
        without[row, counts > 0, feature] = 0
    added = (made.decode(made.encode(x), x) - made.decode(without, x)).detach()
    found = removal_effects(made, model, ids, FEATURES)
    torch.testing.assert_close(found.values, codes.detach())
    torch.testing.assert_close(found.total[:, :-1], with_hook(model, f"{LAYER}1", lambda x: x - added, ids))
    assert found.direct is not None
    torch.testing.assert_close(found.direct, found.total, equal_nan=True)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "lens"])
def test_other_families_agree_at_the_last_stream(family: str):
    made = autoencoder("resid_post.2", 32)
    if family == "lens":
        model = load_model(tiny_lens.StandIn(tiny_lens.gpt2()).double().eval(), device="cpu")
    else:
        model = load_model(build(family).module.double())
    found = removal_effects(made, model, random_contexts(), FEATURES)
    assert found.direct is not None
    torch.testing.assert_close(found.direct, found.total, equal_nan=True)
    check_changes(found)


def test_of_two_models_features_are_removed_from_the_one_that_they_write(model: LoadedModel):
    other = load_model(random_model().module, tokenizer=model.tokenizer)
    with torch.no_grad():
        for weight in other.module.parameters():
            weight.mul_(1.1)
    made = autoencoder("second.resid_post.0", D)
    alone = autoencoder("resid_post.0", D)
    ids = random_contexts()
    found = removal_effects(made, ModelPair(model, other), ids, FEATURES)
    for name, value in vars(removal_effects(alone, other, ids, FEATURES)).items():
        torch.testing.assert_close(vars(found)[name], value, equal_nan=True)


def test_the_dictionary_keeps_its_mode(model: LoadedModel):
    made = autoencoder("resid_post.0", D).train()
    removal_effects(made, model, random_contexts(), FEATURES)
    assert made.training


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (lambda: crosscoder(("resid_post.0", "resid_post.1"), D), "would be removed twice"),
        (lambda: random_weights(Spec(D, D, 24)), "hook points on each side"),
    ],
)
def test_what_cannot_be_removed_is_refused(model: LoadedModel, made: Any, expected: str):
    with pytest.raises(InputError, match=expected):
        removal_effects(made(), model, random_contexts(), FEATURES)


def test_a_model_without_a_head_and_lists_of_other_lengths_are_refused(model: LoadedModel):
    made = autoencoder("resid_post.0", D)
    with pytest.raises(InputError, match="one causal language model with its head"):
        removal_effects(made, load_model(model.module.get_submodule("gpt_neox")), random_contexts(), FEATURES)
    with pytest.raises(InputError, match=r"a context .* for each feature"):
        removal_effects(made, model, random_contexts(), FEATURES[:-1])
    made.metadata[PREPROCESSING] = ["center_writing_weights"]
    with pytest.raises(InputError, match="not those that it knows"):
        removal_effects(made, model, random_contexts(), FEATURES)


def test_a_context_that_repeats_is_read_as_it_is_once(model: LoadedModel):
    made, ids = autoencoder("resid_post.0", D), random_contexts(2)
    repeated = ids[[0, 1, 0, 0]]
    rows: list[int] = []
    hook = model.module.register_forward_pre_hook(lambda _module, args: rows.append(len(args[0])))
    found = removal_effects(made, model, repeated, [3, 3, 7, 3])
    hook.remove()
    # To read the codes, as it is, and without the features; the head reads one token more.
    assert sorted(rows, reverse=True)[:3] == [4, 2, 2]
    for row, (context, feature) in enumerate([(0, 3), (1, 3), (0, 7), (0, 3)]):
        alone = removal_effects(made, model, ids[[context]], [feature])
        for name, value in vars(alone).items():
            torch.testing.assert_close(vars(found)[name][[row]], value, equal_nan=True)
