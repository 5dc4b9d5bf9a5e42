"""The dictionary against its equation written out in float64, for every wiring and activation function."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from monosema.dictionaries import Dictionary, ReLU, Spec
from monosema.errors import InputError
from tests.dictionaries.strategies import ACTIVATIONS, Case, activate, build, cases, quick, random


def written_out(d: Dictionary, x: Tensor) -> tuple[Tensor, Tensor]:
    """Codes and reconstruction of `[batch, d_in]`, row by row."""
    subtracted = {"none": 0, "b_dec": d.b_dec, "b_in": d.b_in}[d.spec.input_bias]
    centre, size, epsilon = moments(d.spec.normalisation, x)
    pre = torch.stack([d.b_enc + d.W_enc.T.mv(row) for row in (x - centre) / (size + epsilon) - subtracted])
    codes = activate(d.activation, pre)
    out = torch.stack([d.b_dec + sum(code * d.W_dec[j] for j, code in enumerate(row)) for row in codes])
    if d.W_skip is not None:
        out = out + torch.stack([d.W_skip.T.mv(row) for row in x])
    return codes, out * size + centre if d.spec.wiring == "autoencoder" else out


def moments(normalisation: str, x: Tensor) -> tuple[Tensor, Tensor, float]:
    """Of each row what is subtracted, what it is divided by, and what is added to the latter."""
    if normalisation == "layer_norm":
        centre = x.sum(1, keepdim=True) / x.shape[1]
        return centre, ((x - centre).square().sum(1, keepdim=True) / (x.shape[1] - 1)).sqrt(), 1e-5
    none = torch.zeros(len(x), 1, dtype=x.dtype)
    return none, x.square().mean(1, keepdim=True).sqrt() if normalisation == "length" else none + 1, 0.0


@quick
@given(cases())
def test_encode_decode_and_forward_follow_the_equation(case: Case):
    d, x = case
    codes, out = written_out(d, x)
    torch.testing.assert_close(d.encode(x), codes)
    torch.testing.assert_close(d.decode(codes, x), out)
    torch.testing.assert_close(d(x), out)


@quick
@given(cases())
def test_the_sparse_path_is_the_dense_one_in_values_and_gradients(case: Case):
    d, x = case
    x.requires_grad_()
    sparse = d.encode_sparse(x)
    torch.testing.assert_close(sparse.to_dense(), d.encode(x))
    leaves = [x, *(p for p in d.parameters() if p.requires_grad)]
    by_dense, by_sparse = d(x), d.decode(sparse, x)
    torch.testing.assert_close(by_sparse, by_dense)
    upstream = random(5, *by_dense.shape)
    of_dense = torch.autograd.grad((by_dense * upstream).sum(), leaves, allow_unused=True, materialize_grads=True)
    of_sparse = torch.autograd.grad((by_sparse * upstream).sum(), leaves, allow_unused=True, materialize_grads=True)
    torch.testing.assert_close(of_sparse, of_dense)


@quick
@given(cases(), st.integers(1, 3))
def test_leading_dimensions_are_one_batch(case: Case, positions: int):
    d, _ = case
    x = random(3, 2, positions, d.spec.d_in)
    torch.testing.assert_close(d.encode(x), d.encode(x.flatten(0, 1)).unflatten(0, (2, positions)))
    torch.testing.assert_close(d(x), d(x.flatten(0, 1)).unflatten(0, (2, positions)))
    torch.testing.assert_close(d(x[0, 0]), d(x[0, :1])[0])


@quick
@given(cases(), st.floats(1e-2, 1e2), st.floats(1e-2, 1e2))
def test_a_folded_dictionary_maps_raw_to_raw_as_the_trained_one_maps_scaled_to_scaled(
    case: Case, scale_in: float, scale_out: float
):
    trained, x = case
    if trained.spec.normalisation != "none":
        with pytest.raises(InputError, match="expected no normalisation"):
            trained.fold_scale_([scale_in], [scale_out])
        return
    if trained.spec.wiring == "autoencoder":
        scale_out = scale_in
    folded = copy.deepcopy(trained)
    folded.fold_scale_([scale_in], [scale_out])
    torch.testing.assert_close(folded(x), trained(x * scale_in) / scale_out, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(folded.encode(x), trained.encode(x * scale_in) / scale_out, rtol=1e-9, atol=1e-9)
    assert torch.equal(folded.W_dec, trained.W_dec)


def test_one_bias_on_both_sides_cannot_be_folded_with_two_scales():
    d = build(Spec(3, 3, 12, subtracts_input_bias=True), "relu")
    with pytest.raises(InputError, match="expected the same"):
        d.fold_scale_([2.0], [3.0])


@pytest.mark.parametrize("activation", sorted(ACTIVATIONS))
def test_activations_of_the_wrong_size_are_refused(activation: str):
    d, x = build(Spec(4, 4, 12, ("resid_post.2",), ("resid_post.2",), skip=True), activation), random(0, 2, 5)
    for call in (d, d.encode, d.encode_sparse, lambda x: d.decode(random(1, 2, 12), x)):
        with pytest.raises(InputError, match=r"size 5; expected size 4.*resid_post\.2"):
            call(x)


def test_sparse_codes_are_of_flat_batches_only():
    d = build(Spec(4, 4, 12), "topk")
    for shape in [(4,), (2, 3, 4)]:
        with pytest.raises(InputError, match="flatten"):
            d.encode_sparse(random(0, *shape))


def test_decoding_with_a_skip_needs_the_input():
    d = build(Spec(4, 4, 12, skip=True), "relu")
    with pytest.raises(InputError, match="skip connection"):
        d.decode(random(0, 2, 12))


def test_decoding_into_the_units_of_the_input_needs_the_input():
    d = build(Spec(4, 4, 12, normalisation="layer_norm"), "relu")
    with pytest.raises(InputError, match="into the units of x"):
        d.decode(random(0, 2, 12))
    transcoder = build(Spec(4, 4, 12, wiring="transcoder", normalisation="layer_norm"), "relu")
    assert transcoder.decode(random(0, 2, 12)).shape == (2, 4)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_a_normalised_dictionary_has_the_same_codes_for_longer_inputs(scale: float):
    d, x = build(Spec(4, 4, 12, normalisation="length"), "topk"), random(0, 5, 4)
    torch.testing.assert_close(d.encode(scale * x), d.encode(x))
    torch.testing.assert_close(d(scale * x), scale * d(x))
    assert d(torch.zeros(1, 4)).isfinite().all()


def test_activations_of_another_precision_are_taken_in_that_of_the_weights():
    d, x = build(Spec(4, 4, 12), "relu").float(), random(0, 2, 4)
    assert torch.equal(d(x), d(x.float()))
    assert d(x.bfloat16()).dtype == torch.float32


def test_decoder_norms_are_those_of_the_rows():
    d = build(Spec(4, 4, 12), "relu")
    torch.testing.assert_close(d.decoder_norms(), d.W_dec.square().sum(1).sqrt())


def test_weights_go_by_the_names_of_the_field():
    d = Dictionary(Spec(4, 3, 12, wiring="transcoder", subtracts_input_bias=True, skip=True), ReLU(12))
    shapes = {name: tuple(t.shape) for name, t in d.state_dict().items()}
    assert shapes == {
        "W_enc": (4, 12),
        "b_enc": (12,),
        "W_dec": (12, 3),
        "b_dec": (3,),
        "b_in": (4,),
        "W_skip": (4, 3),
    }
