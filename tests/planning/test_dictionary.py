"""What the formulas say about a dictionary is what a learner holds and what its products take."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from monosema.dictionaries import Spec
from monosema.models.blueprint import Held
from monosema.planning import DictionaryShape
from monosema.planning.dictionary import (
    held_bytes,
    part_rows,
    state_bytes,
    step_flops,
    step_flops32,
    step_traffic,
    working_bytes,
)
from monosema.recipes import recipes
from monosema.recipes.l1 import L1Recipe
from monosema.recipes.topk import TopKRecipe
from monosema.runs.config import DictionaryConfig
from monosema.runs.workload import shape_of
from monosema.training import Learner
from monosema.training.frame import frame_of
from monosema.training.state_file import Snapshot

D, WIDTH, BATCH = 48, 512, 64
PLAIN = DictionaryShape(d_in=D, d_out=D, width=WIDTH, active=8, parameters=2 * D * WIDTH + D + WIDTH, axes=D * D)
KINDS = [
    ("topk", "adam"),
    ("topk", "signum"),
    ("topk", "schedule_free"),
    ("jumprelu", "adam"),
    ("gated", "adam"),
]


def trained(recipe: Any, width: int = WIDTH, d: int = D, batch: int = BATCH) -> Learner:
    """After a step."""
    rows = torch.randn(4 * batch, d, generator=torch.Generator().manual_seed(0))
    learner = Learner(Spec.autoencoder("x", d=d, width=width), recipe, {"x": rows}, steps=100, batch_size=batch)
    learner.step({"x": rows[:batch]})
    return learner


def nbytes(value: Any) -> int:
    if isinstance(value, torch.Tensor):
        return value.nbytes
    items = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return sum(nbytes(item) for item in items)


@pytest.mark.parametrize(("name", "optimiser"), KINDS)
def test_a_learner_holds_what_the_formulas_say(name: str, optimiser: Any, tmp_path: Path):
    recipe = recipes[name](optimiser=optimiser)
    learner = trained(recipe)
    shape = shape_of(DictionaryConfig(recipe=recipe, site="x", width=WIDTH), {"x": D})
    held, dictionary = held_bytes(shape), learner.dictionary
    axes = learner.read.axes
    beside = nbytes(list(dictionary.buffers())) + learner.dead.silent.nbytes + (0 if axes is None else axes.nbytes)
    assert held["weights"] == pytest.approx(nbytes(list(dictionary.parameters())) + beside)
    assert held["moments"] == pytest.approx(nbytes(learner.optimisers.state_dict()), rel=0.02)
    Snapshot(learner.state_dict()).write(tmp_path / "state")
    assert (tmp_path / "state").stat().st_size == pytest.approx(state_bytes(shape), rel=0.03)


def test_ranks_that_share_features_share_what_is_held():
    one, four = held_bytes(PLAIN), held_bytes(PLAIN, 4)
    assert four["gradients"] == one["gradients"] / 4
    assert four["moments"] == one["moments"] / 4
    assert four["weights"] - 4 * PLAIN.axes == pytest.approx((one["weights"] - 4 * PLAIN.axes) / 4)


@pytest.mark.parametrize("d_out", [D, 20])
def test_flops_are_those_of_dense_products_if_every_feature_is_active(d_out: int):
    """Of five products a dense step makes, all but the encoder's shrink with the active features."""
    x, y = torch.randn(BATCH, D), torch.randn(BATCH, d_out)
    encoder, decoder = (torch.randn(*size, requires_grad=True) for size in ((D, WIDTH), (WIDTH, d_out)))
    with FlopCounterMode(display=False) as counted:
        ((x @ encoder).relu() @ decoder - y).square().sum().backward()
    shape = replace(PLAIN, d_out=d_out, active=WIDTH)
    assert step_flops(shape, BATCH) == counted.get_total_flops()
    assert step_flops(replace(shape, active=0), BATCH) == 2 * BATCH * D * WIDTH
    assert step_flops(shape, BATCH, ranks=4) == step_flops(shape, BATCH) / 4


def test_the_turn_into_the_axes_is_one_product():
    frame = frame_of(torch.randn(200, D), "one", "principal")
    with FlopCounterMode(display=False) as counted:
        frame.into(torch.randn(BATCH, D))
    assert step_flops32(PLAIN, BATCH) == counted.get_total_flops()


def test_traffic_is_at_least_that_of_the_state_and_falls_with_ranks():
    state = 4 * 2 * D * WIDTH
    weights = step_traffic(replace(PLAIN, active=0), 1)
    assert weights > state * (4 + 3)  # weight, gradient and moments are read, weight and moments written
    assert step_traffic(PLAIN, BATCH, ranks=4) == pytest.approx(step_traffic(PLAIN, BATCH) / 4, rel=0.05)
    more = step_traffic(PLAIN, 2 * BATCH) - step_traffic(PLAIN, BATCH)
    assert more == step_traffic(PLAIN, 3 * BATCH) - step_traffic(PLAIN, 2 * BATCH)
    fewer = step_traffic(replace(PLAIN, active=0, moments=1), 1)
    assert weights - fewer == 2 * state  # a moment is read and written


@pytest.mark.parametrize(("rows", "width", "gpu", "expected"), [(64, 512, False, 64), (4096, 2**15, False, 512)])
def test_parts_of_the_product_are_those_of_the_kernels(rows: int, width: int, gpu: bool, expected: int):
    from monosema.kernels.parts import product_in_parts

    made = [len(part) for part in product_in_parts(torch.zeros(rows, 1), torch.zeros(1, width))]
    assert part_rows(replace(PLAIN, width=width), rows, 1, gpu) == expected == made[0]


SIZES = [(64, 4096, 512, 16), (256, 4096, 512, 32), (128, 1024, 4096, 16)]


@pytest.mark.parametrize(("d", "width", "batch", "k"), SIZES)
def test_a_step_holds_about_as_much_for_a_while_as_the_formula_says(d: int, width: int, batch: int, k: int):
    """Followed operation by operation; what has come before the step is no part of it, nor are kept gradients."""
    recipe = TopKRecipe(k=k, aux=0.0)
    learner = trained(recipe, width, d, batch)
    rows = torch.randn(batch, d)
    with Held(learner.dictionary) as held:
        learner.step({"x": rows})
    shape = shape_of(DictionaryConfig(recipe=recipe, site="x", width=width), {"x": d})
    expected = working_bytes(shape, batch, size=4, gpu=False)
    assert 0.5 < expected / held.most < 2


@pytest.mark.parametrize("settings", [{}, {"aux": 0.1}], ids=["of some rows at a time", "of all"])
def test_a_dense_step_holds_about_as_much_for_a_while_as_the_formula_says(settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("monosema.kernels.parts.DENSE", 2**19)
    monkeypatch.setattr("monosema.planning.dictionary.ROWS", 1)  # parts of the product, which later steps make,
    monkeypatch.setattr("monosema.planning.dictionary.BUFFER", 1)  # would be larger than all that this one does
    d, width, batch = 64, 2048, 1024
    recipe = L1Recipe(sparsity=0.0, **settings)
    learner = trained(recipe, width, d, batch)
    assert learner.stored is not None
    assert learner.stored > width / 4
    with Held(learner.dictionary) as held:
        learner.step({"x": torch.randn(batch, d)})
    shape = shape_of(DictionaryConfig(recipe=recipe, site="x", width=width), {"x": d})
    assert shape.by_row != bool(settings)
    expected = working_bytes(replace(shape, aux=False), batch, size=4, gpu=False)
    assert 0.5 < expected / held.most < 2


@pytest.mark.parametrize(("d", "width", "batch", "k"), SIZES)
def test_a_step_moves_no_more_than_its_operations_one_by_one(d: int, width: int, batch: int, k: int):
    """Of these, some read whole tables of which they are said to touch a few rows."""
    recipe = TopKRecipe(k=k, aux=0.0)
    learner = trained(recipe, width, d, batch)
    with Held(learner.dictionary) as held:
        learner.step({"x": torch.randn(batch, d)})
    shape = shape_of(DictionaryConfig(recipe=recipe, site="x", width=width), {"x": d})
    assert 0.4 < step_traffic(shape, batch, size=4, gpu=False) / held.traffic < 1
