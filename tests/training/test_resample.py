"""Resampling: when it is done, to whom, from what, and what is forgotten."""

import dataclasses

import pytest
import torch

from monosema.recipes import Moment, recipes
from monosema.recipes.l1 import L1Recipe
from monosema.recipes.topk import TopKRecipe
from monosema.training.resample import resample_, resampling_window
from tests.training.setup import batches, blocks, learner, recipe, rows

AT = (0.2, 0.6)


def prepared(name: str = "l1", dead: int = 6, **options):
    student = learner(dataclasses.replace(recipe(name, **options), resample_at=AT, lr=1e-3))
    for batch in batches(3):
        student.step(batch)
    mask = torch.zeros(32, dtype=torch.bool)
    mask[:dead] = True
    return student, mask


def restart(student, mask, x, reconstruction=None, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    made = student.dictionary(x).detach() if reconstruction is None else reconstruction
    return resample_(student.dictionary, student.optimisers, x, x, made, mask, generator)


def scaled(student, count: int = 64) -> torch.Tensor:
    return student.read.into(rows(count, seed=5))


def test_only_within_the_steps_after_each_point_of_the_run():
    recipe = TopKRecipe(resample_at=AT)
    due = [step for step in range(1000) if resampling_window(recipe, Moment(step, 1000, 10), width=32) is not None]
    assert due == [200, 201, 202, 203, 600, 601, 602, 603]  # four batches of ten inputs, for a width of 32


def test_the_window_is_half_of_the_interval_since_the_one_before():
    recipe = TopKRecipe(resample_at=AT)
    assert resampling_window(recipe, Moment(200, 1000, 10), 32) == 100 * 10
    assert resampling_window(recipe, Moment(600, 1000, 10), 32) == 200 * 10
    assert resampling_window(TopKRecipe(), Moment(600, 1000, 10), 32) is None


@pytest.mark.parametrize("name", [name for name in recipes if name != "hierarchical_topk"])
def test_weights_moments_and_parameters_of_the_restarted_alone_are_new(name: str):
    student, mask = prepared(name)
    before = {key: value.clone() for key, value in student.dictionary.state_dict().items()}
    chosen = restart(student, mask, scaled(student))
    after = student.dictionary.state_dict()
    assert chosen.tolist() == list(range(6))
    assert torch.equal(after["W_dec"][6:], before["W_dec"][6:])
    assert torch.equal(after["W_enc"][:, 6:], before["W_enc"][:, 6:])
    assert (after["W_dec"][:6] != before["W_dec"][:6]).any(1).all()
    assert (after["W_enc"][:, :6] != before["W_enc"][:, :6]).any(0).all()
    assert not after["b_enc"][:6].any()
    states = student.optimisers.parts[0].state
    for key in ("exp_avg", "exp_avg_sq"):
        assert not states[student.dictionary.W_enc][key][:, :6].any()
        assert not states[student.dictionary.W_dec][key][:6].any()
        assert states[student.dictionary.W_dec][key][6:].any()
    for parameter in student.dictionary.activation.parameters():
        assert not states[parameter]["exp_avg"][:6].any() if parameter in states else True


def test_new_rows_are_directions_of_inputs_and_columns_a_fifth_of_the_alive_norm():
    student, mask = prepared()
    x = scaled(student)
    alive = student.dictionary.W_enc.detach()[:, 6:].norm(dim=0).mean()
    bias = student.dictionary.b_dec.detach()
    restart(student, mask, x)
    directions = torch.nn.functional.normalize(x - bias)
    rows_, columns = student.dictionary.W_dec.detach()[:6], student.dictionary.W_enc.detach()[:, :6]
    nearest = (rows_ @ directions.T).max(1)
    torch.testing.assert_close(nearest.values, torch.ones(6))
    assert len(set(nearest.indices.tolist())) == 6  # no input twice
    torch.testing.assert_close(columns.norm(dim=0), (0.2 * alive).expand(6))
    torch.testing.assert_close(columns.T, 0.2 * alive * rows_)


def test_inputs_are_drawn_by_their_squared_error_squared():
    """With errors of 1 and 2, the second is drawn 16 times as often."""
    student, mask = prepared(dead=1)
    x = scaled(student, 2)
    error = torch.nn.functional.normalize(torch.ones(2, 16)) * torch.tensor([[1.0], [2.0]])
    directions = torch.nn.functional.normalize(x - student.dictionary.b_dec.detach())
    second = 0
    for seed in range(400):
        restart(student, mask, x, x - error, seed)
        second += int((student.dictionary.W_dec.detach()[0] @ directions[1]).item() > 0.999)
    assert second / 400 == pytest.approx(16 / 17, abs=0.04)


def test_perfectly_reconstructed_inputs_restart_nothing():
    student, mask = prepared()
    x = scaled(student)
    assert len(restart(student, mask, x, x.clone())) == 0


def test_no_more_than_there_are_inputs():
    student, _ = prepared()
    assert len(restart(student, torch.ones(32, dtype=torch.bool), scaled(student, 8))) == 8


@pytest.mark.parametrize("name", ["l1", "jumprelu", "gated"])
def test_in_a_run_features_that_cannot_fire_come_back_to_life(name: str):
    alive = {}
    for at in ((), (0.4,)):
        student = learner(dataclasses.replace(recipe(name, lr=5e-3), resample_at=at, aux=0.0), steps=200)
        student.dictionary.W_enc.data[:, :8] = 0.0
        student.dictionary.W_dec.data[:8] = 0.0
        student.dictionary.W_dec.data[:8, 0] = 1.0
        for bias in (student.dictionary.b_enc, *student.dictionary.activation.parameters()):
            bias.data[:8] = 0.5 if name == "jumprelu" and bias is not student.dictionary.b_enc else -1.0
        for batch in batches(90):
            student.step(batch)
        alive[at] = (student.finished().encode(rows(1000, seed=99)) > 0).any(0)[:8].sum().item()
    assert alive[()] <= 2
    assert alive[(0.4,)] >= 6


def test_each_step_and_each_seed_draws_otherwise_and_the_same_ones_alike(monkeypatch: pytest.MonkeyPatch):
    drawn: list[int] = []

    def watched(*arguments):
        drawn.append(arguments[-1].initial_seed())
        return resample_(*arguments)

    monkeypatch.setattr("monosema.training.learner.resample_", watched)
    for seed in (0, 1, 0):
        student = learner(dataclasses.replace(recipe("l1"), resample_at=(0.1, 0.2)), steps=100, seed=seed)
        for batch in batches(21):
            student.dictionary.b_enc.data[:4] = -100.0
            student.step(batch)
    assert len(drawn) == 6
    assert len(set(drawn[:4])) == 4
    assert drawn[4:] == drawn[:2]


def test_a_restarted_feature_counts_as_one_that_has_just_fired():
    student = learner(dataclasses.replace(recipe("l1"), resample_at=(0.1,)), steps=100)
    *before, last = batches(11)
    for batch in (*before, last):
        student.dictionary.b_enc.data[:4] = -100.0
        if batch is last:
            assert (student.dead.silent[:4] == 10 * len(last["x"])).all()
        student.step(batch)
    assert (student.dead.silent[:4] == 0).all()


def test_a_resumed_run_resamples_the_same():
    stream = batches(12)
    make = lambda seed: learner(L1Recipe(target_l0=4.0, lr=1e-2, resample_at=(0.5,)), steps=12, seed=seed)  # noqa: E731
    whole, resumed = make(0), make(7)
    for student in (whole,):
        student.dictionary.b_enc.data[:8] = -10.0
    for batch in stream[:5]:
        whole.step(batch)
    resumed.load_state_dict(whole.state_dict())
    before = whole.dictionary.W_dec.detach()[:8].clone()
    for batch in stream[5:]:
        assert whole.step(batch) == resumed.step(batch)
    assert (whole.dictionary.W_dec.detach()[:8] - before).norm() > 1  # it did happen
    assert torch.equal(whole.dictionary.W_dec, resumed.dictionary.W_dec)


@pytest.mark.parametrize("name", ["l1", "jumprelu", "gated"])
def test_features_of_a_block_start_again_from_what_it_sees(name: str):
    student = learner(dataclasses.replace(recipe(name), resample_at=AT, lr=1e-3), blocks(recipe(name)))
    for batch in batches(3):
        student.step(batch)
    mask = torch.arange(32) % 16 < 3  # three of each of two blocks
    before = {key: value.clone() for key, value in student.dictionary.state_dict().items()}
    x, kept = scaled(student), ~mask.view(2, 16)
    assert restart(student, mask, x).tolist() == mask.nonzero().flatten().tolist()
    d = student.dictionary
    assert torch.equal(d.W_dec[kept], before["W_dec"][kept])
    assert torch.equal(d.W_enc.mT[kept], before["W_enc"].mT[kept])
    for block, seen in enumerate((x - d.b_dec.detach()).chunk(2, dim=1)):
        new = torch.nn.functional.normalize(d.W_dec.detach()[block, :3])
        nearest = (new @ torch.nn.functional.normalize(seen).T).max(1)
        torch.testing.assert_close(nearest.values, torch.ones(3))
        assert len(set(nearest.indices.tolist())) == 3
    states = student.optimisers.parts[0].state
    for moment in (states[d.W_dec]["exp_avg"], states[d.W_enc]["exp_avg"].mT):
        assert not moment[~kept].any()
        assert moment[kept].any()
