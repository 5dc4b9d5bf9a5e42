import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from monosema.dictionaries import BatchTopK, Dictionary
from monosema.errors import InputError
from monosema.evaluation import Metrics, evaluate, splice
from monosema.evaluation.cross_entropy import next_token_kl, next_token_loss
from monosema.models import LoadedModel, load_model, read, replacing
from tests.evaluation.helpers import (
    MLP_IN,
    MLP_OUT,
    POINT,
    SPECIAL,
    assert_same,
    constant,
    random_contexts,
    random_dictionary,
    random_model,
    scaling,
    spec,
)

MODEL, CONTEXTS = random_model(), random_contexts()
KEPT = CONTEXTS != SPECIAL
ROWS = read(MODEL, CONTEXTS, [POINT])[POINT][KEPT]


def measure(dictionary: Dictionary, **options):
    return evaluate({"it": dictionary}, MODEL, CONTEXTS, **options)["it"].metrics


def test_identity_scores_perfectly():
    m = measure(scaling(1.0))
    assert (m.mse, m.fve, m.ce_recovered, m.ce_recovered_from_mean) == (0, 1, 1, 1)
    assert m.ce_diff == pytest.approx(0, abs=1e-6)
    assert m.kl == pytest.approx(0, abs=1e-9)


def test_identity_scores_perfectly_in_the_precision_of_real_models():
    model = random_model(dtype=torch.bfloat16)
    m = evaluate({"it": scaling(1.0).float()}, model, CONTEXTS)["it"].metrics
    assert (m.mse, m.fve, m.ce_diff, m.ce_recovered, m.kl) == (0, 1, 0, 1, 0)


def test_zeros_recover_nothing():
    m = measure(scaling(0.0))
    assert m.ce_recovered == 0
    assert m.ce_spliced == m.ce_zero
    assert m.ce_diff is not None
    assert abs(m.ce_diff) > 0.05  # or nothing was replaced


def test_the_mean_explains_nothing_and_recovers_nothing_from_the_mean():
    m = measure(constant(ROWS.mean(0)))
    assert m.fve == pytest.approx(0, abs=1e-12)
    assert m.ce_recovered_from_mean == pytest.approx(0, abs=1e-9)
    assert m.ce_mean != m.ce_zero


@pytest.mark.parametrize("c", [0.5, 1.5])
def test_scaled_reconstructions_have_their_scale_as_bias(c: float):
    assert measure(scaling(c)).reconstruction_bias == pytest.approx(c, abs=1e-12)


@torch.no_grad()
@pytest.mark.parametrize("skip_special", [True, False])
@pytest.mark.parametrize("transcodes", [True, False])
def test_agrees_with_a_computation_in_one_go(skip_special: bool, transcodes: bool):
    dictionary = random_dictionary(reads=MLP_IN, writes=MLP_OUT) if transcodes else random_dictionary()
    kept = KEPT if skip_special else torch.ones_like(KEPT)
    activations = read(MODEL, CONTEXTS, [*dictionary.spec.reads, *dictionary.spec.writes])
    x, y = activations[dictionary.spec.reads[0]][kept], activations[dictionary.spec.writes[0]][kept]
    with replacing(MODEL, splice(dictionary, untouched=~kept)):
        spliced = MODEL.logits(CONTEXTS)
    clean, predicted = MODEL.logits(CONTEXTS), CONTEXTS[:, 1:].numel()

    m = measure(dictionary, skip_special=skip_special, batch_contexts=4)
    error = (y - dictionary(x)).square().sum()
    assert m.tokens == kept.sum()
    assert m.tokens + m.left_out_tokens == CONTEXTS.numel()
    assert m.includes_special_tokens is not skip_special
    assert m.mse == pytest.approx(error.item() / len(x), rel=1e-9)
    assert m.fve == pytest.approx(1 - (error / (y - y.mean(0)).square().sum()).item(), rel=1e-9)
    assert m.l0 == (dictionary.encode(x) != 0).sum().item() / len(x)
    assert m.predicted_tokens == predicted
    assert m.ce_clean == pytest.approx(next_token_loss(clean, CONTEXTS) / predicted, rel=1e-6)
    assert m.ce_spliced == pytest.approx(next_token_loss(spliced, CONTEXTS) / predicted, rel=1e-6)
    assert m.kl == pytest.approx(next_token_kl(clean, spliced) / predicted, rel=1e-5)


@settings(max_examples=8, deadline=None)
@given(batch_contexts=st.integers(1, 7))
def test_no_metric_depends_on_the_batch_size(batch_contexts: int):
    autoencoder, transcoder = random_dictionary(), random_dictionary(reads=MLP_IN, writes=MLP_OUT)
    together = {"autoencoder": autoencoder, "transcoder": transcoder}
    one, other = (evaluate(together, MODEL, CONTEXTS, batch_contexts=n) for n in (len(CONTEXTS), batch_contexts))
    for name in together:
        assert_same(other[name].metrics, one[name].metrics, rel=1e-6)
        assert torch.equal(other[name].density, one[name].density)


def test_a_dictionary_in_training_mode_is_measured_as_it_will_be_used():
    dictionary = Dictionary(spec(12, 40), BatchTopK(40, 4)).double().train()
    dictionary.load_state_dict({**random_dictionary().state_dict(), "activation.threshold": torch.tensor(0.5)})
    in_training = measure(dictionary)
    assert dictionary.training
    assert dictionary.activation.training
    assert in_training == measure(dictionary.eval())


def test_density_counts_the_features_on_the_measured_tokens():
    dictionary = random_dictionary()
    result = evaluate({"it": dictionary}, MODEL, CONTEXTS)["it"]
    assert torch.equal(result.density, (dictionary.encode(ROWS) != 0).double().mean(0))


def test_runs_without_a_dictionary_are_shared_between_dictionaries(monkeypatch: pytest.MonkeyPatch):
    runs = []
    logits = LoadedModel.logits
    monkeypatch.setattr(LoadedModel, "logits", lambda self, ids: runs.append(1) or logits(self, ids))
    dictionaries = {str(seed): random_dictionary(seed=seed) for seed in range(5)}
    evaluate(dictionaries, MODEL, CONTEXTS, batch_contexts=len(CONTEXTS))
    assert len(runs) == 1 + 2 + 5  # clean, zeros and mean, one for each dictionary


def test_each_dictionary_is_measured_as_if_it_were_alone():
    dictionaries = {
        "a": random_dictionary(seed=1),
        "b": scaling(0.8),
        "c": random_dictionary(reads=MLP_IN, writes=MLP_OUT),
    }
    together = evaluate(dictionaries, MODEL, CONTEXTS)
    assert {name: result.metrics for name, result in together.items()} == {
        name: measure(dictionary) for name, dictionary in dictionaries.items()
    }


def test_metrics_are_json_and_lack_only_the_parts_that_there_are_not():
    m = measure(random_dictionary())
    figures = json.loads(json.dumps(m.as_json(), allow_nan=False))
    assert figures["ce_recovered"] == m.ce_recovered
    assert set(vars(m)) - set(figures) == {"l0_per_block", "sites", "more"}
    assert Metrics(**figures | {"density_histogram": m.density_histogram}) == m


def test_a_model_that_does_not_predict_the_next_token_has_no_loss():
    model = load_model(MODEL.module.get_submodule("gpt_neox"), tokenizer=MODEL.tokenizer, device="cpu")
    path = "layers.0"
    m = evaluate({"it": scaling(0.9, point=path)}, model, CONTEXTS)["it"].metrics
    assert (m.ce_clean, m.ce_diff, m.ce_recovered, m.kl, m.predicted_tokens) == (None,) * 5
    assert m.fve == pytest.approx(measure(scaling(0.9)).fve, rel=1e-9)


def test_a_dictionary_that_does_not_fit_names_both_sizes():
    with pytest.raises(InputError, match=r"'it'.*size 5.*size 12"):
        measure(scaling(1.0, d=5))


def test_an_unknown_hook_point_is_refused():
    with pytest.raises(InputError, match=r"resid_post\.9"):
        measure(scaling(1.0, point="resid_post.9"))


@pytest.mark.parametrize("contexts", [CONTEXTS[:, :1], CONTEXTS[0], CONTEXTS[:0]])
def test_contexts_in_which_nothing_is_predicted_are_refused(contexts: Tensor):
    with pytest.raises(InputError, match="at least 2 tokens"):
        evaluate({"it": scaling(1.0)}, MODEL, contexts)


def test_contexts_of_special_tokens_alone_are_refused():
    with pytest.raises(InputError, match="no activations"):
        evaluate({"it": scaling(1.0)}, MODEL, torch.full((2, 5), SPECIAL))


def test_activations_that_are_not_finite_are_refused_with_their_place():
    model = random_model()
    with torch.no_grad():
        model.module.get_submodule("gpt_neox.embed_in").weight[CONTEXTS[4, 3]] = torch.nan  # pyright: ignore
    first = (CONTEXTS[4, 3] == CONTEXTS).nonzero()[0].tolist()
    with pytest.raises(InputError, match=rf"'embed'.*context {first[0]}, position {first[1]}"):
        evaluate({"it": scaling(1.0, point="embed")}, model, CONTEXTS, batch_contexts=2)


def test_a_dictionary_that_yields_nan_is_refused():
    with pytest.raises(InputError, match="NaN"):
        measure(scaling(torch.nan))
