"""How long a step takes, by the same formula for processors and GPUs."""

from dataclasses import replace

import pytest

from monosema.planning import DictionaryShape, Hardware, hardware
from monosema.planning.duration import QUEUEING, step_seconds

LARGE = DictionaryShape(d_in=2304, d_out=2304, width=65_536, active=64, parameters=302_124_544, axes=2304**2)


def test_a_recipe_takes_longer_by_its_own_factor_on_each_kind_of_device():
    shape, gpu, cpu = replace(LARGE, factor=2.5, gpu_factor=1.2), hardware("h200"), hardware("cpu")
    assert step_seconds(shape, 8192, gpu) == pytest.approx(1.2 * step_seconds(LARGE, 8192, gpu))
    assert step_seconds(shape, 8192, cpu) == pytest.approx(2.5 * step_seconds(LARGE, 8192, cpu))


def test_a_gpu_turns_into_the_principal_axes_at_half_the_rate_of_products_in_bfloat16():
    gpu, turns = hardware("h200"), 2 * 8192 * LARGE.axes
    without = replace(LARGE, axes=0)
    for size, rate in ((2, gpu.flops / 2), (4, gpu.flops32)):
        longer = step_seconds(LARGE, 8192, gpu, size=size) - step_seconds(without, 8192, gpu, size=size)
        assert longer == pytest.approx(turns / rate / gpu.efficiency)


def test_a_small_step_takes_as_long_as_its_operations_are_queued():
    small = DictionaryShape(d_in=512, d_out=512, width=4096, active=32, parameters=4_199_424)
    fast: Hardware = hardware("h100")
    assert step_seconds(small, 4096, fast) == QUEUEING
    assert step_seconds(small, 4096, replace(fast, gpu=False)) < QUEUEING


def test_a_step_on_an_h200_is_predicted_within_a_tenth_of_what_was_measured():
    assert step_seconds(LARGE, 8192, hardware("h200")) == pytest.approx(13.1e-3, rel=0.1)
