"""The frame of training: scale and principal axes, and how both leave a finished dictionary."""

import dataclasses
from itertools import product

import pytest
import torch
from torch import Tensor

from monosema.recipes import recipes
from monosema.training.frame import frame_of
from tests.training.setup import autoencoder, batches, blocks, data, learner, recipe, rows, transcoder


def rotation(d: int, seed: int = 3) -> Tensor:
    return torch.linalg.qr(torch.randn(d, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64))[
        0
    ].float()


def test_principal_coordinates_are_uncorrelated_with_falling_variances_and_lean_to_the_positive_side():
    x = rows(4000)
    framed = frame_of(x, "one", "principal").into(x).double()
    covariance = torch.cov(framed.T)
    variances = covariance.diagonal()
    assert (covariance - variances.diag()).abs().max() < 1e-5 * variances.max()
    assert variances.tolist() == sorted(variances.tolist(), reverse=True)
    assert ((framed - framed.mean(0)).pow(3).sum(0) >= 0).all()


@pytest.mark.parametrize("basis", ["principal", "given"])
def test_a_frame_keeps_distances_up_to_its_scale(basis):
    x = rows(300)
    frame = frame_of(x, "sqrt_d", basis)
    framed = frame.into(x).double()
    expected = frame.scales[0] * torch.cdist(x.double(), x.double())
    torch.testing.assert_close(torch.cdist(framed, framed), expected, atol=1e-4, rtol=1e-4)
    assert frame.into(x).square().sum(1).mean().sqrt().item() == pytest.approx(4.0)
    assert (frame.axes is None) == (basis == "given")


def test_a_single_row_and_constant_rows_have_a_frame():
    for x in (torch.ones(1, 5), torch.ones(7, 5)):
        axes = frame_of(x, "one", "principal").axes
        assert axes is not None
        torch.testing.assert_close(axes.T @ axes, torch.eye(5), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["topk", "gated", "jumprelu", "april_l1"])
def test_training_in_principal_axes_does_not_depend_on_the_basis_of_the_activations(name: str):
    turned = rotation(16)
    curves = []
    for turn in (torch.eye(16), turned):
        sample = {"x": rows(2048) @ turn}
        student = learner(recipe(name))
        student = type(student)(autoencoder(recipe(name)), recipe(name), sample, steps=100, batch_size=64)
        curves.append([student.step({"x": batch["x"] @ turn})["loss"] for batch in batches(5)])
    assert curves[0] == pytest.approx(curves[1], rel=1e-2)


@pytest.mark.parametrize("name", recipes)
def test_both_bases_finish_with_a_dictionary_of_raw_activations(name: str):
    """A finished dictionary does to raw activations what the one in training does to framed ones."""
    half = dataclasses.replace(blocks(recipe(name)), decoder="dense")
    wired = [transcoder(recipe(name), skip=True), blocks(recipe(name)), *([half] if name != "matryoshka" else [])]
    for basis, spec in product(("principal", "given"), wired):
        student = learner(dataclasses.replace(recipe(name), basis=basis), spec)
        student.dictionary.double()  # so that no code is cut or kept by rounding
        x, finished = data(256)["x"].double(), student.finished()
        framed = student.dictionary.eval()(student.read.into(x)).detach()
        torch.testing.assert_close(student.written.into(finished(x)), framed, rtol=1e-4, atol=1e-4)


def test_blocks_of_coordinates_have_axes_of_their_own():
    x = rows(2048)
    whole = frame_of(x, "one", "principal", blocks=4)
    assert whole.axes is not None
    assert whole.axes.shape == (4, 4, 4)
    framed = whole.into(x)
    for own, axes, seen in zip(x.chunk(4, 1), whole.axes, framed.chunk(4, 1), strict=True):
        torch.testing.assert_close(seen, own @ axes * whole.scales[0])
        covariance = torch.cov(seen.T.double())
        torch.testing.assert_close(covariance, covariance.diagonal().diag(), atol=1e-6, rtol=0)
        assert (covariance.diagonal().diff() <= 1e-9).all()
