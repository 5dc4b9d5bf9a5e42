import pytest
import torch

from monosema.dictionaries import Dictionary, ReLU
from monosema.errors import InputError
from monosema.evaluation import evaluate_rows
from tests.evaluation.helpers import D, assert_same, constant, random_dictionary, scaling, spec


def batches(mean: float = 0.0, sizes: tuple[int, ...] = (30, 1, 50)):
    x = torch.randn(sum(sizes), D, generator=torch.Generator().manual_seed(0)) + mean
    return [(part, part) for part in x.split(sizes)]


def test_identity_scores_perfectly_and_has_no_loss():
    m = evaluate_rows(scaling(1.0), batches()).metrics
    assert (m.fve, m.mse, m.tokens) == (1, 0, 81)
    assert (m.ce_diff, m.kl, m.includes_special_tokens) == (None, None, None)


@pytest.mark.parametrize("mean", [0.0, 5.0, 1e4])
def test_predicting_the_mean_explains_nothing(mean: float):
    rows = batches(mean)
    dictionary = constant(torch.cat([x for x, _ in rows]).double().mean(0))
    assert evaluate_rows(dictionary, rows).metrics.fve == pytest.approx(0, abs=1e-12)


def test_no_metric_depends_on_the_batches():
    # More than the rows that are encoded at once, so that this inner cut is crossed, too.
    whole, cut = (evaluate_rows(random_dictionary(), batches(1.0, sizes)) for sizes in [(2100,), (1, 1500, 0, 599)])
    assert_same(cut.metrics, whole.metrics, rel=1e-9)
    assert torch.equal(cut.density, whole.density)


def test_a_target_other_than_the_input_is_what_is_explained():
    m = evaluate_rows(scaling(1.0), [(x, 2 * x) for x, _ in batches()]).metrics
    assert m.reconstruction_bias == pytest.approx(0.5)


def test_an_autoencoder_s_activations_may_be_one_tensor():
    x = torch.cat([part for part, _ in batches(1.0)])
    one, pairs = evaluate_rows(random_dictionary(), x), evaluate_rows(random_dictionary(), [(x, x)])
    assert one.metrics == pairs.metrics
    assert torch.equal(one.density, pairs.density)


def test_one_tensor_is_refused_where_it_is_not_what_is_reconstructed():
    transcoder = Dictionary(spec(D, 4, writes="elsewhere"), ReLU(4)).eval()
    with pytest.raises(InputError, match="one tensor of activations for a transcoder"):
        evaluate_rows(transcoder, torch.zeros(3, D))
    with pytest.raises(InputError, match=r"shape \[2, 3, 12\]; expected \[rows, 12\]"):
        evaluate_rows(scaling(1.0), torch.zeros(2, 3, D))


def test_batches_that_can_be_read_only_once_are_refused():
    with pytest.raises(InputError, match="read twice"):
        evaluate_rows(scaling(1.0), iter(batches()))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("x", [torch.zeros(3, D + 1), torch.zeros(4, D), torch.full((3, D), torch.inf)])
def test_activations_that_do_not_fit_or_are_not_finite_are_refused(x: torch.Tensor):
    with pytest.raises(InputError, match="batch 1"):
        evaluate_rows(scaling(1.0), [*batches(sizes=(5,)), (x, torch.zeros(3, D))])


def test_no_rows_are_refused():
    with pytest.raises(InputError, match="no activations"):
        evaluate_rows(scaling(1.0), [])
