"""What machines can do: data sheets of some devices, and what this one measures of itself."""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from monosema.device import has_fast_bf16
from monosema.registry import Registry

CGROUP = Path("/sys/fs/cgroup/memory.max")
MEASURED = 0.65
"""Share of the rates of a large product and of a large copy that harvests and training steps reach on a processor, by
benchmarks/cost_model.py."""


@dataclass(frozen=True)
class Hardware:
    """One kind of device, and the machines that they are in. Rates are per second, sizes in bytes."""

    flops: float
    """FLOP/s of a device's dense bfloat16 products, at its peak."""
    flops32: float
    """The same of float32."""
    bandwidth: float
    """Bytes/s from and to a device's memory."""
    memory: float
    """Bytes of one device's memory."""
    host_memory: float
    """Bytes of a machine's memory."""
    link: float
    """Bytes/s that a device sends to others of its machine."""
    network: float
    """Bytes/s that a device sends to other machines."""
    disk: float
    """Bytes/s from and to a machine's disk."""
    per_machine: int = 8
    """Devices in a machine."""
    efficiency: float = 0.5
    """Share of its peak that products reach: an assumption, unless the rates were measured."""
    byte_efficiency: float = 0.8
    """Share of their peaks that memory and connections reach, likewise."""
    gpu: bool = True
    """Whether a device has memory of its own, and the kernels of a GPU."""
    fast_bfloat16: bool = True
    """Whether bfloat16 is what products are made in by default."""


presets: Registry[Callable[[], Hardware]] = Registry("hardware")


@presets.register("a100-80gb")
def _a100() -> Hardware:
    """NVIDIA A100 80GB SXM: data sheet of June 2021; 200 Gb/s InfiniBand for each."""
    return Hardware(312e12, 19.5e12, 2.039e12, 80e9, 1e12, 300e9, 25e9, 5e9)


@presets.register("h100")
def _h100() -> Hardware:
    """NVIDIA H100 SXM: data sheet; 400 Gb/s InfiniBand for each, 2 TB in a machine of eight."""
    return Hardware(989e12, 67e12, 3.35e12, 80e9, 2e12, 450e9, 50e9, 5e9)


@presets.register("h200")
def _h200() -> Hardware:
    """NVIDIA H200 SXM: data sheet; otherwise as the H100."""
    return Hardware(989e12, 67e12, 4.8e12, 141e9, 2e12, 450e9, 50e9, 5e9)


@presets.register("cpu")
def _cpu() -> Hardware:
    """This machine's processor, measured in a second or two."""
    fast = has_fast_bf16(torch.device("cpu"))
    product = product_rate(torch.float32)
    copying = copy_rate()
    return Hardware(
        flops=product_rate(torch.bfloat16) if fast else product,
        flops32=product,
        bandwidth=copying,
        memory=host_memory(),
        host_memory=host_memory(),
        link=copying / 2,  # a process writes what another reads
        network=1.25e9,
        disk=1e9,
        per_machine=1,
        efficiency=MEASURED,
        byte_efficiency=MEASURED,
        gpu=False,
        fast_bfloat16=fast,
    )


def hardware(name: str) -> Hardware:
    """The hardware of a preset.

    Raises:
        InputError: there is no such preset.
    """
    return presets[name]()


def host_memory(cgroup: Path = CGROUP) -> float:
    """Bytes that all processes of this machine, or of the container that this is one of, may hold."""
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = cgroup.read_text(encoding="utf-8").strip() if cgroup.is_file() else "max"
    return float(whole if limit == "max" else min(whole, int(limit)))


def product_rate(dtype: torch.dtype, size: int = 2048, repeats: int = 5) -> float:
    """FLOP/s of a square product on this processor; the median of some."""
    x, y = torch.ones(size, size, dtype=dtype), torch.ones(size, size, dtype=dtype)
    out = torch.empty(size, size, dtype=dtype)
    return 2 * size**3 / _median_seconds(lambda: torch.mm(x, y, out=out), repeats)


def copy_rate(size: int = 2**27, repeats: int = 5) -> float:
    """Bytes/s, read and written, of a copy on this processor; the median of some."""
    x, y = torch.ones(size // 4), torch.empty(size // 4)
    return 2 * size / _median_seconds(lambda: y.copy_(x), repeats)


def _median_seconds(act: Callable[[], object], repeats: int) -> float:
    act()
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        act()
        found.append(time.perf_counter() - start)
    return statistics.median(found)
