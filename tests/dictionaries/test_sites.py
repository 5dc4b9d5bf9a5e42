"""Dictionaries that write several hook points: crosscoders, and cross-layer features with their triangular decoder."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from monosema.dictionaries import Dictionary, Sites, Spec, Triangular, load, save
from monosema.errors import InputError
from monosema.kernels import SparseCodes
from tests.dictionaries.strategies import ACTIVATIONS, WIDTH, build, quick, random

BY_FEATURE = sorted(name for name, made in ACTIVATIONS.items() if made(WIDTH).by_feature)
SIZES = (2, 3, 1)


def cross_layer(n: int, d_in: int = 2, d_out: int = 3, **options) -> Spec:
    return Spec(
        n * d_in,
        n * d_out,
        WIDTH,
        wiring="transcoder",
        encoder="block_diagonal",
        decoder="triangular",
        blocks=n,
        sizes_in=(d_in,) * n,
        sizes_out=(d_out,) * n,
        **options,
    )


def crosscoder(activation: str = "relu", seed: int = 0, **options) -> Dictionary:
    sizes = {"sizes_in": SIZES, "sizes_out": SIZES, "decoder": "sites"}
    return build(Spec(sum(SIZES), sum(SIZES), WIDTH, **sizes, **options), activation, seed)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Dictionary, Dictionary]:
    """A dictionary of cross-layer features, and the dense one with the same weights and zeros."""
    n = draw(st.sampled_from([1, 2, 3, 4]))
    spec = cross_layer(n, draw(st.integers(1, 3)), draw(st.integers(1, 3)), skip=draw(st.booleans()))
    d = build(spec, draw(st.sampled_from(BY_FEATURE)), draw(st.integers(0, 10**6)))
    plain = replace(spec, encoder="dense", decoder="dense", blocks=1)
    twin = Dictionary(plain, copy.deepcopy(d.activation)).double()
    whole = {"W_enc": torch.block_diag(*d.W_enc), "W_dec": matrix(d)}
    twin.load_state_dict({**d.state_dict(), **whole})
    return d.eval(), twin.eval()


def matrix(d: Dictionary, weight: Tensor | None = None) -> Tensor:
    """The decoder with its zeros, written out pair by pair."""
    weight, n = d.W_dec if weight is None else weight, d.spec.blocks
    rows, columns = weight.shape[1:]
    whole = weight.new_zeros(n * rows, n * columns)
    for part in range(n):
        for layer in range(part + 1):
            block = weight[part * (part + 1) // 2 + layer]
            whole[layer * rows : (layer + 1) * rows, part * columns : (part + 1) * columns] = block
    return whole


@quick
@given(pairs(), st.integers(0, 10**6), st.integers(1, 5))
def test_cross_layer_features_compute_what_the_dense_matrix_with_zeros_does(pair, seed: int, batch: int):
    d, twin = pair
    x = random(seed, batch, d.spec.d_in)
    torch.testing.assert_close(d.encode(x), twin.encode(x))
    torch.testing.assert_close(d(x), twin(x))
    torch.testing.assert_close(d.decode(d.encode_sparse(x), x), twin(x))
    torch.testing.assert_close(d.decode(d.encode_sparse(x).ragged(), x), twin(x))
    torch.testing.assert_close(d.decoder_norms(), twin.decoder_norms())
    torch.testing.assert_close(d.site_norms().square().sum(1), twin.decoder_norms().square())


@quick
@given(pairs(), st.sets(st.integers(0, WIDTH - 1), min_size=1), st.integers(0, 10**6))
def test_some_codes_are_decoded_as_by_the_dense_matrix(pair, chosen: set[int], seed: int):
    d, twin = pair
    features = torch.tensor(sorted(chosen, key=lambda feature: (feature * 7) % 11))
    codes = random(seed, 4, len(features))
    torch.testing.assert_close(*(one.decoder.apply_some(codes, one.W_dec, features) for one in pair))
    indices = torch.stack([torch.arange(WIDTH).roll(row) for row in range(4)])
    sparse = SparseCodes(indices, random(seed, 4, WIDTH), WIDTH)
    target = random(seed + 1, 4, d.spec.d_out)
    torch.testing.assert_close(*(one.decoder.prefix_errors(sparse, one.W_dec, target, [2, 5]) for one in pair))
    parts = d.decoder.apply_parts(sparse.ragged(), d.W_dec, [WIDTH // 2, WIDTH])
    torch.testing.assert_close(parts[0] + parts[1], sparse.to_dense() @ twin.W_dec)


@quick
@given(pairs(), st.integers(0, 10**6))
def test_gradients_are_those_of_the_dense_matrix(pair, seed: int):
    d, twin = pair
    x, weights = random(seed, 4, d.spec.d_in), random(seed + 1, 4, d.spec.d_out)
    (d.decode(d.encode_sparse(x), x) * weights).sum().backward()
    (twin(x) * weights).sum().backward()
    assert d.W_dec.grad is not None
    assert d.W_enc.grad is not None
    assert twin.W_enc.grad is not None
    assert twin.W_dec.grad is not None
    torch.testing.assert_close(matrix(d, d.W_dec.grad), twin.W_dec.grad * (matrix(d) != 0))
    own = d.W_enc.grad.shape[2]
    expected = [twin.W_enc.grad[i * len(g) : (i + 1) * len(g), i * own : (i + 1) * own] for i, g in enumerate(d.W_enc)]
    torch.testing.assert_close(d.W_enc.grad, torch.stack(expected))


@quick
@given(pairs(), st.integers(0, 10**6))
def test_rows_are_normalised_projected_set_and_turned_as_those_of_the_dense_matrix(pair, seed: int):
    d, twin = pair
    axes = random(seed, d.spec.blocks, 3, 3)[:, : d.spec.sizes_out[0], : d.spec.sizes_out[0]]
    grad = random(seed + 1, *d.W_dec.shape)
    whole = matrix(d, grad)
    with torch.no_grad():
        for one in pair:
            one.decoder.normalise_(one.W_dec)
        torch.testing.assert_close(matrix(d), twin.W_dec.data)
        for one, own in ((d, grad), (twin, whole)):
            one.decoder.project_(own, one.W_dec)
        torch.testing.assert_close(matrix(d, grad), whole)
        assert ((whole * matrix(d)).sum(1).abs() < 1e-9).all()
        features, rows = torch.tensor([0, WIDTH - 1]), random(seed + 2, 2, d.spec.d_out)
        units = d.decoder.unit(rows, features, WIDTH)
        d.decoder.set_rows_(d.W_dec, features, units)
        torch.testing.assert_close(matrix(d)[features], units)
        torch.testing.assert_close(d.decoder_norms()[features], torch.ones(2).double())
        assert not units[1, : -d.spec.sizes_out[0]].any()  # the last layer writes to itself alone
        before = matrix(d)
        d.decoder.turn_(d.W_dec, axes)
        torch.testing.assert_close(matrix(d), before @ torch.block_diag(*axes))


def test_a_feature_of_a_crosscoder_has_the_sum_of_its_norms():
    d = crosscoder()
    parts = d.W_dec.split(SIZES, 1)
    torch.testing.assert_close(d.decoder_norms(), sum(part.norm(dim=1) for part in parts))
    torch.testing.assert_close(d.site_norms(), torch.stack([part.norm(dim=1) for part in parts], 1))


def test_projecting_leaves_what_does_not_change_the_norms_of_a_crosscoder():
    d = crosscoder()
    (normal,) = torch.autograd.grad(d.decoder_norms().sum(), d.W_dec)
    grad = random(5, *d.W_dec.shape)
    projected = grad.clone()
    d.decoder.project_(projected, d.W_dec)
    torch.testing.assert_close((projected * normal).sum(1), torch.zeros(WIDTH).double())
    removed = grad - projected
    torch.testing.assert_close(removed, normal * (removed / normal).mean(1, keepdim=True))


def test_a_crosscoder_s_normalised_features_have_euclidean_norm_one_where_they_are_shared_evenly():
    sites = Sites((2, 2, 2))
    even, single = torch.ones(1, 6).double(), torch.tensor([[0.0, 0, 0, 3, 0, 0]]).double()
    for rows in (even, single):
        sites.normalise_(rows)
        torch.testing.assert_close(sites.row_norms(rows), torch.tensor([3**0.5]).double())
    torch.testing.assert_close(even.norm(), torch.tensor(1.0).double())
    torch.testing.assert_close(sites.row_norms(sites.unit(even, torch.tensor([0]), 1)), torch.ones(1).double())


@pytest.mark.parametrize("activation", BY_FEATURE)
@pytest.mark.parametrize("kind", ["crosscoder", "cross-layer"])
def test_scales_of_hook_points_fold_into_the_weights(kind: str, activation: str):
    if kind == "crosscoder":
        d = crosscoder(activation, subtracts_input_bias=True)
        scales_in, scales_out = [0.5, 2.0, 7.0], [0.5, 2.0, 7.0]
    else:
        d = build(cross_layer(3, 2, 3, skip=True), activation)
        scales_in, scales_out = [0.5, 2.0, 7.0], [3.0, 0.25, 1.5]
    d, x = d.eval(), random(1, 4, d.spec.d_in)
    of_x, of_y = (
        torch.tensor(scales, dtype=torch.float64).repeat_interleave(torch.tensor(sizes))
        for scales, sizes in ((scales_in, d.spec.sizes_in), (scales_out, d.spec.sizes_out))
    )
    expected, codes = d(x * of_x) / of_y, d.encode(x * of_x)
    d.fold_scale_(scales_in, scales_out)
    torch.testing.assert_close(d(x), expected)
    ratio = d.encode(x)[codes > 0] / codes[codes > 0]  # one for all features
    torch.testing.assert_close(ratio, torch.full_like(ratio, float(torch.tensor(scales_out).log().mean().neg().exp())))


@pytest.mark.parametrize("spec", [cross_layer(3), crosscoder().spec], ids=["cross-layer", "crosscoder"])
def test_they_come_back_from_their_folder(spec: Spec, tmp_path: Path):
    d = build(spec, "jumprelu").eval()
    save(d, tmp_path)
    again = load(tmp_path)
    assert again.spec == spec
    assert type(again.decoder) in (Sites, Triangular)
    assert torch.equal(again(random(0, 5, spec.d_in)), d(random(0, 5, spec.d_in)))


def test_only_pairs_of_layers_are_stored():
    d = build(cross_layer(4, 2, 3), "relu")
    assert d.W_dec.numel() == 10 * (WIDTH // 4) * 3
    assert d.W_enc.numel() == WIDTH * 2


def test_features_that_compete_with_those_of_later_layers_are_refused():
    with pytest.raises(InputError, match="topk with cross-layer features; expected one that decides on each feature"):
        build(cross_layer(2), "topk")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sizes_out": (3, 3)}, "sizes .3, 3. of what is written"),
        ({"sizes_in": (1, 1, 4)}, "all of one size"),
        ({"encoder": "dense"}, "encoder dense and decoder triangular"),
        ({"encoder": "triangular"}, "encoder triangular"),
        ({"decoder": "sites", "sizes_out": ()}, "decoder sites with sizes_out"),
        ({"blocks": 1}, "1 blocks, from sizes"),
        ({"reads": ("a", "b")}, "of what is read at a, b; expected one for each hook point, 6 in all"),
    ],
)
def test_hook_points_that_do_not_fit_are_refused(change: dict, message: str):
    with pytest.raises(InputError, match=message):
        replace(cross_layer(3), **change)
