"""A plan adds up, shares what is shared, and finds the layout that fits."""

from dataclasses import replace

import pytest

from monosema.errors import InputError
from monosema.planning import DictionaryShape, Mesh, ModelShape, Workload, best, hardware, plan
from monosema.planning.memory import dealt, passing_bytes

D, WIDTH = 4096, 2**17
SHAPE = DictionaryShape(d_in=D, d_out=D, width=WIDTH, active=64, parameters=2 * D * WIDTH + D + WIDTH, axes=D * D)
MODEL = ModelShape(
    weights=16 * 10**9, parameters_run=7 * 10**9, flops=14e9, traffic=1e6, pass_bytes=10**9, size=2, vocabulary=128_256
)
WORK = Workload(
    dictionaries={f"layer {i}": SHAPE for i in range(8)},
    points={f"layer {i}": D for i in range(8)},
    tokens=10**9,
    batch_size=2**15,
    buffer=2**18,
    context=1024,
    shuffle=2**24,
    size=2,
    row_size=2,
    model=MODEL,
)
H100 = hardware("h100")


def test_sixteen_bytes_a_parameter_are_there_all_the_time():
    one = plan(replace(WORK, dictionaries={"a": SHAPE}), H100, Mesh())
    assert one.device["gradients"] + one.device["moments"] == 12 * SHAPE.parameters
    assert one.device["dictionaries"] == pytest.approx(4 * SHAPE.parameters, rel=0.02)
    assert one.least == sum(one.device.values()) - one.device["passing"]


def test_features_and_dictionaries_are_divided_among_ranks_and_the_model_is_not():
    alone, shared, spread = (plan(WORK, H100, mesh) for mesh in (Mesh(8), Mesh(8, feature=8), Mesh(8, spread=8)))
    for divided in (shared, spread):
        assert divided.device["moments"] == alone.device["moments"] / 8
        assert divided.device["model"] == alone.device["model"]
        assert divided.seconds["reading"] == alone.seconds["reading"]
    assert not alone.fits
    assert spread.fits


def test_twice_the_ranks_halve_what_is_computed():
    """But for passes over the weights, which each part of a batch makes anew, and the turn into the axes, which all
    ranks that share features make alike."""
    few, many = (plan(WORK, H100, Mesh(n, spread=8)) for n in (8, 16))
    assert many.seconds["reading"] == pytest.approx(few.seconds["reading"] / 2)
    assert few.seconds["training"] / 2 < many.seconds["training"] < few.seconds["training"]
    given = replace(WORK, dictionaries={name: replace(SHAPE, axes=0) for name in WORK.dictionaries})
    whole, split = (plan(given, H100, Mesh(n, n // 8, 8)) for n in (8, 16))
    assert split.seconds["training"] == pytest.approx(whole.seconds["training"] / 2, rel=0.05)


def test_one_process_tells_nobody_anything():
    assert plan(WORK, H100, Mesh()).seconds["communication"] == 0
    assert plan(WORK, H100, Mesh(8, spread=8)).seconds["communication"] > 0


def test_the_best_plan_fits_and_none_that_fits_is_faster():
    found = best(WORK, H100, 8)
    assert found.fits
    others = [plan(WORK, H100, Mesh(8, f, s)) for f in (1, 2, 4, 8) for s in (1, 2, 4, 8) if f * s <= 8]
    assert found.duration == min(p.duration for p in others if p.fits)


def test_if_nothing_fits_the_best_plan_holds_least():
    small = replace(H100, memory=20e9)
    found = best(WORK, small, 2)
    assert not found.fits
    assert sum(found.device.values()) <= sum(plan(WORK, small, Mesh(2)).device.values())


def test_every_dictionary_is_dealt_to_one_group():
    groups = dealt(replace(WORK, dictionaries={str(i): replace(SHAPE, width=i + 1) for i in range(7)}), 3)
    assert sorted(s.width for group in groups for s in group) == [1, 2, 3, 4, 5, 6, 7]
    assert {len(group) for group in groups} == {2, 3}


def test_what_comes_and_goes_is_counted_once_by_its_largest():
    parts = passing_bytes(WORK, Mesh(8, spread=8), [SHAPE], gpu=True)
    assert plan(WORK, H100, Mesh(8, spread=8)).device["passing"] == max(parts.values())
    assert set(parts) == {"start", "pass", "step", "measuring"}


def test_devices_without_memory_of_their_own_count_in_the_machines():
    laptop = replace(H100, gpu=False, per_machine=2)
    found = plan(WORK, laptop, Mesh(2, spread=2))
    assert found.host["devices"] == 2 * sum(found.device.values())
    assert "devices" not in plan(WORK, H100, Mesh(2, spread=2)).host


def test_a_store_takes_the_place_of_the_model_in_the_time_and_of_the_buffer_in_memory():
    stored = plan(replace(WORK, stored=65_548), H100, Mesh(8, spread=8))
    assert stored.device["buffer"] == 0
    assert stored.seconds["reading"] >= WORK.tokens * 65_548 / H100.disk


@pytest.mark.parametrize(
    ("work", "mesh", "message"),
    [
        (replace(WORK, batch_size=1000), Mesh(16), "batches of 1000 tokens for 16 ranks"),
        (WORK, Mesh(9, spread=9), "batches of 32768"),
        (replace(WORK, dictionaries={"a": SHAPE}), Mesh(8, spread=8), "1 dictionaries dealt out to 8 groups"),
    ],
)
def test_a_run_that_cannot_be_laid_out_is_refused(work: Workload, mesh: Mesh, message: str):
    with pytest.raises(InputError, match=message):
        plan(work, H100, mesh)
