import platform
import subprocess
import sys

import pytest
import torch

from monosema.device import has_fast_bf16, pick_device, read_figures
from monosema.errors import InputError


@pytest.mark.parametrize(("cuda", "mps", "best"), [(2, True, "cuda"), (0, True, "mps"), (0, False, "cpu")])
def test_auto_is_the_best_that_the_machine_has(cuda: int, mps: bool, best: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert pick_device("auto") == torch.device(best)


def test_a_device_is_picked_by_name_if_the_machine_has_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("cuda:1") == torch.device("cuda", 1)
    for missing in ("cuda:2", "xpu", "meta"):
        with pytest.raises(InputError, match="not on this machine"):
            pick_device(missing)


@pytest.mark.parametrize("name", ["", "abacus", "cuda:x"])
def test_what_is_no_device_is_refused(name: str):
    with pytest.raises(InputError, match="unknown device"):
        pick_device(name)


def test_only_what_multiplies_bf16_in_hardware_is_fast(monkeypatch: pytest.MonkeyPatch):
    for amx, avx in ((True, False), (False, True), (False, False)):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx=avx: avx)
        assert has_fast_bf16(torch.device("cpu")) == (amx or avx)
    assert not has_fast_bf16(torch.device("mps"))


def test_glibc_keeps_memory_so_that_it_is_not_handed_out_page_by_page_again_and_others_say_that_they_do_not():
    script = """
import resource, torch
from monosema.device import keep_freed_memory
print(keep_freed_memory())
faults = []
for _ in range(30):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    held = [torch.ones(2**20) for _ in range(8)]  # more than glibc keeps of its own accord
    del held
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(*faults)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    kept, *counts = done.stdout.split()
    faults = [int(count) for count in counts]
    assert kept == str(platform.libc_ver()[0] == "glibc")
    assert kept == "False" or max(faults[-3:]) < faults[0] / 10, faults


def test_figures_are_read_as_they_are_whatever_their_precision():
    figures = [torch.tensor(2**40 + 1), torch.tensor(0.1, requires_grad=True), torch.tensor(torch.inf).bfloat16()]
    assert read_figures(figures) == [figure.item() for figure in figures]
