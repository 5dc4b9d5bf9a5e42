"""Optimisers: each is what its name says, and the constraints, averages and resets hold under all of them."""

import copy
import math
from typing import get_args

import pytest
import torch

from monosema.errors import InputError
from monosema.recipes.recipe import AVERAGING, Optimiser
from monosema.recipes.topk import TopKRecipe
from monosema.training import train
from monosema.training.optimisers import Optimisers
from tests.training.setup import autoencoder, batches, learner, rows, source

EVERY = get_args(Optimiser)
RATES = {"adam": 1e-2, "muon": 3e-2, "signum": 3e-3, "schedule_free": 1e-2}
every = pytest.mark.parametrize("optimiser", EVERY)


def student_of(optimiser, steps: int = 300, **options):
    return learner(TopKRecipe(k=4, optimiser=optimiser, lr=RATES[optimiser]), steps=steps, **options)


@every
def test_every_optimiser_learns(optimiser):
    student = student_of(optimiser)
    train(source(), {"": student}, 300)
    x, dictionary = rows(1000, seed=99), student.finished()
    assert 1 - ((x - dictionary(x)).square().sum() / (x - x.mean(0)).square().sum()).item() > 0.6


@every
def test_rows_have_unit_norm_after_every_step_and_when_finished(optimiser):
    student = student_of(optimiser)
    for batch in batches(5):
        student.step(batch)
        torch.testing.assert_close(student.dictionary.decoder_norms(), torch.ones(32))
    torch.testing.assert_close(student.finished().decoder_norms(), torch.ones(32))


@every
def test_a_resumed_run_ends_bit_identical(optimiser):
    stream = batches(8)
    whole, resumed = student_of(optimiser), student_of(optimiser, seed=5)
    for batch in stream[:4]:
        whole.step(batch)
    resumed.load_state_dict(whole.state_dict())
    for batch in stream[4:]:
        assert whole.step(batch) == resumed.step(batch)
    for name, value in whole.finished().state_dict().items():
        assert torch.equal(value, resumed.finished().state_dict()[name])


@every
def test_finishing_changes_nothing_of_the_run(optimiser):
    asked, left_alone = student_of(optimiser), student_of(optimiser)
    for batch in batches(4):
        asked.finished()
        assert asked.step(batch) == left_alone.step(batch)


def test_adam_is_torch_s_under_the_recipe_s_schedule():
    student = learner(TopKRecipe(k=4, lr=1e-2, encoder_lr=1.0))
    twin = [p.detach().clone() for p in student.dictionary.parameters()]
    adam = torch.optim.Adam(twin, lr=1.0, betas=student.recipe.betas)
    optimisers = Optimisers(student.recipe, student.dictionary)
    for lr in (1e-2, 3e-3):
        for own, other in zip(student.dictionary.parameters(), twin, strict=True):
            own.grad = torch.empty_like(own).normal_(generator=torch.Generator().manual_seed(own.numel()))
            other.grad = own.grad.clone()
        optimisers.step(lr)
        adam.param_groups[0]["lr"] = lr
        adam.step()
    for own, other in zip(student.dictionary.parameters(), twin, strict=True):
        torch.testing.assert_close(own, other)


@every
def test_the_encoder_has_a_rate_of_its_own(optimiser):
    moved = {}
    for relative in (1.0, 0.25):
        student = learner(TopKRecipe(k=4, optimiser=optimiser, lr=1e-3, encoder_lr=relative))
        before = {name: p.detach().clone() for name, p in student.dictionary.named_parameters()}
        for parameter in student.dictionary.parameters():
            parameter.grad = torch.ones_like(parameter)
        student.optimisers.step(1e-3)
        moved[relative] = {name: (p - before[name]).detach() for name, p in student.dictionary.named_parameters()}
    for name, whole in moved[1.0].items():
        factor = 0.25 if name == "W_enc" else 1.0
        torch.testing.assert_close(moved[0.25][name], factor * whole, rtol=1e-2, atol=1e-7)


def test_muon_moves_matrices_along_orthogonal_updates_and_biases_by_adam():
    student = student_of("muon")
    before = {name: p.detach().clone() for name, p in student.dictionary.named_parameters()}
    for parameter in student.dictionary.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
    Optimisers(student.recipe, student.dictionary).step(0.01)
    after = dict(student.dictionary.named_parameters())
    singular = torch.linalg.svdvals((after["W_dec"] - before["W_dec"]).detach())
    assert singular.max() / singular.min() < 2.5  # five steps of Newton and Schulz leave them between 0.7 and 1.2
    torch.testing.assert_close(
        (after["b_enc"] - before["b_enc"]).detach().abs(), torch.full((32,), 0.01), rtol=1e-3, atol=0
    )


def test_signum_averages_steps_of_one_size():
    student = student_of("signum")
    optimisers = Optimisers(student.recipe, student.dictionary)
    start = student.dictionary.b_dec.detach().clone()
    for _ in range(3):
        for parameter in student.dictionary.parameters():
            parameter.grad = torch.full(parameter.shape, 0.37)
        optimisers.step(0.1)
    copied = student.finished()
    optimisers.averaged_(student.dictionary, copied)
    # z goes 0.1 a step; x is the mean of its three places.
    torch.testing.assert_close(copied.b_dec, start - 0.2)


def test_muon_refuses_weights_that_are_no_matrices():
    class Stack(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.W_enc = torch.nn.Parameter(torch.zeros(2, 3, 4))

    with pytest.raises(InputError, match=r"muon with W_enc of shape \[2, 3, 4\]; expected matrices"):
        Optimisers(TopKRecipe(optimiser="muon"), Stack())


@every
def test_forgetting_leaves_only_the_other_entries_their_past(optimiser):
    student = student_of(optimiser)
    for batch in batches(3):
        student.step(batch)
    weight = student.dictionary.W_enc
    entries = torch.zeros(weight.shape, dtype=torch.bool)
    entries[:, :5] = True
    student.optimisers.forget_(weight, entries)
    checked = 0
    for part in student.optimisers.parts:
        for name, value in part.state.get(weight, {}).items():
            if isinstance(value, torch.Tensor) and value.shape == weight.shape:
                assert torch.equal(value[:, :5], weight[:, :5] if name == "z" else torch.zeros(16, 5))
                assert value[:, 5:].abs().sum() > 0
                checked += 1
    assert checked == {"adam": 2, "muon": 1, "signum": 1, "schedule_free": 2}[optimiser]


def test_the_averaging_ones_are_those_without_a_decay():
    assert {name for name in EVERY if student_of(name).optimisers.averages} == set(AVERAGING)


@every
def test_goes_with_every_wiring(optimiser):
    from tests.training.setup import transcoder

    recipe = TopKRecipe(k=4, optimiser=optimiser, lr=1e-3)
    student = learner(recipe, transcoder(recipe, skip=True))
    metrics = [student.step(batch) for batch in batches(3)]
    assert all(math.isfinite(m["loss"]) for m in metrics)
    assert autoencoder(recipe).width == student.spec.width


def test_moments_that_a_file_has_laid_out_otherwise_are_the_same_moments():
    students = [learner(TopKRecipe(k=4, lr=1e-2)) for _ in range(2)]
    for batch in batches(3):
        students[0].step(batch)
    state = copy.deepcopy(students[0].state_dict())
    for part in state["optimiser"]:
        for remembered in part["state"].values():
            remembered.update({name: value.contiguous() for name, value in remembered.items()})
    students[1].load_state_dict(state)
    for batch in batches(2):
        for student in students:
            student.step(batch)
    pairs = zip(*(student.dictionary.parameters() for student in students), strict=True)
    assert all(torch.equal(own, other) for own, other in pairs)
