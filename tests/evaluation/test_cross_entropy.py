import pytest
import torch
import torch.nn.functional as F

from monosema.evaluation.cross_entropy import CrossEntropySums, next_token_kl, next_token_loss


def random_logits(n: int, length: int, vocabulary: int) -> torch.Tensor:
    return 3 * torch.randn(n, length, vocabulary)


def test_loss_agrees_with_a_dense_float64_computation():
    logits, ids = random_logits(3, 300, 11), torch.randint(0, 11, (3, 300))
    expected = F.cross_entropy(logits[:, :-1].double().flatten(0, 1), ids[:, 1:].flatten(), reduction="sum")
    assert next_token_loss(logits, ids) == pytest.approx(expected.item(), rel=1e-6)


def test_loss_of_a_uniform_prediction_is_the_logarithm_of_the_vocabulary():
    assert next_token_loss(torch.zeros(2, 5, 7), torch.ones(2, 5, dtype=torch.long)) == pytest.approx(
        8 * torch.tensor(7.0).log().item()
    )


def test_kl_agrees_with_a_dense_float64_computation():
    p, q = random_logits(2, 200, 9), random_logits(2, 200, 9)
    log_p, log_q = p[:, :-1].double().log_softmax(-1), q[:, :-1].double().log_softmax(-1)
    expected = (log_p.exp() * (log_p - log_q)).sum()
    assert next_token_kl(p, q) == pytest.approx(expected.item(), rel=1e-6)


def test_kl_of_a_distribution_with_itself_is_zero():
    p = random_logits(2, 9, 30)
    assert next_token_kl(p, p.clone()) == 0
    assert next_token_kl(p, p + 2) == pytest.approx(0, abs=1e-5)  # a constant added to logits changes nothing


def test_half_precision_logits_are_measured_in_full_precision():
    logits, ids = random_logits(2, 20, 50).bfloat16(), torch.randint(0, 50, (2, 20))
    assert next_token_loss(logits, ids) == pytest.approx(next_token_loss(logits.double(), ids), rel=1e-6)


def test_recovered_is_one_without_loss_and_zero_when_as_bad_as_ablation():
    same = CrossEntropySums(tokens=4, clean=8, spliced=8, zero=20, mean=16).metrics()
    assert (same.ce_diff, same.ce_recovered, same.ce_recovered_from_mean) == (0, 1, 1)
    bad = CrossEntropySums(tokens=4, clean=8, spliced=20, zero=20, mean=16).metrics()
    assert (bad.ce_diff, bad.ce_recovered) == (3, 0)
    assert bad.ce_recovered_from_mean is not None
    assert bad.ce_recovered_from_mean < 0


def test_recovered_is_undefined_where_ablation_changes_nothing():
    assert CrossEntropySums(tokens=4, clean=8, spliced=8, zero=8, mean=9).metrics().ce_recovered is None
