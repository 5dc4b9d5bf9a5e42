"""Say what a run would take on some hardware, before it starts: time, memory, disk; refuse one that cannot fit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from monosema.cli.arguments import parse, print_json
from monosema.config import load_yaml
from monosema.errors import InputError
from monosema.runs import RunConfig
from monosema.runs.plan import KINDS, hardware_of, planned, refuse_if_unfit
from monosema.runs.plan_text import as_json, lines_of

OF_HARDWARE = ("flops", "flops32", "efficiency", "bandwidth", "memory", "host_memory", "link", "network", "disk")
"""Options that are figures of the hardware."""
HINT = f"(one of {', '.join(KINDS)}; default: h100)"


@dataclass(frozen=True)
class Plan:
    """Say what the run of a YAML file would take on some hardware: time, memory of each device and machine, disk.

    Of the model only its configuration is read, so that a folder with config.json is enough. Times come from data
    sheets and shares of their peaks that are assumed; every figure can be given. A run that memory cannot hold is
    refused, with what to change.
    """

    config: tyro.conf.Positional[Path]
    """A run in YAML, as monosema train takes it."""
    hardware: Annotated[str, tyro.conf.arg(help_behavior_hint=HINT)] = "h100"
    """Kind of device; cpu is this machine's processor, which is measured."""
    ranks: int = 1
    """Processes, one a device, as torchrun starts them."""
    gpus_per_node: int | None = None
    """Devices in a machine."""
    flops: float | None = None
    """FLOP/s of a device's dense bfloat16 products, at its peak."""
    flops32: float | None = None
    """The same of float32."""
    efficiency: float | None = None
    """Share of these peaks that is reached."""
    bandwidth: float | None = None
    """Bytes/s from and to a device's memory."""
    memory: float | None = None
    """Bytes of a device's memory: 80e9."""
    host_memory: float | None = None
    """Bytes of a machine's memory."""
    link: float | None = None
    """Bytes/s that a device sends to others of its machine."""
    network: float | None = None
    """Bytes/s that a device sends to other machines."""
    disk: float | None = None
    """Bytes/s of a machine's disk."""
    json: bool = False
    """Print JSON, in seconds and bytes."""


def main(arguments: list[str]) -> None:
    """Plans, prints, and refuses what does not fit."""
    options = parse(Plan, arguments, "plan")
    if options.ranks < 1:
        raise InputError(f"--ranks {options.ranks}", expected="at least 1")
    changes = {name: getattr(options, name) for name in OF_HARDWARE} | {"per_machine": options.gpus_per_node}
    machine = hardware_of(options.hardware, changes)
    work, chosen, other = planned(load_yaml(RunConfig, options.config), machine, options.ranks)
    if options.json:
        print_json(as_json(work, machine, chosen, other))
    else:
        print("\n".join(lines_of(work, machine, options.hardware, chosen, other)))
    refuse_if_unfit(work, machine, chosen)
