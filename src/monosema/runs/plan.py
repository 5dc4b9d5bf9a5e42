"""Whether a run fits, before it starts, and how it is planned on other hardware."""

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite

import torch

from monosema.device import pick_device
from monosema.errors import InputError
from monosema.planning import Hardware, Mesh, Plan, Workload, best, hardware, plan, presets
from monosema.planning.hardware import host_memory
from monosema.planning.memory import dealt, lasting_bytes
from monosema.runs.config import RunConfig
from monosema.runs.parallel import Parallel
from monosema.runs.workload import workload_of

MOST_RANKS = 4096
KINDS = sorted(presets)
"""Hardware that is known by name."""


def mesh_of(parallel: Parallel, ranks: int) -> Mesh:
    """How a run's ranks are laid out.

    Raises:
        InputError: they are no multiple of what the configuration asks for.
    """
    return Mesh(ranks, parallel.feature, parallel.spread)


def refuse_if_unfit(work: Workload, machine: Hardware, chosen: Plan) -> None:
    """Refuses a plan that memory cannot hold, and says which would fit.

    Raises:
        InputError: it does not fit.
    """
    if chosen.fits:
        return
    device, host = sum(chosen.device.values()), sum(chosen.host.values())
    too_much = device > chosen.device_memory
    parts, where = (chosen.device, "a device") if too_much else (chosen.host, "a machine")
    held, memory = (device, chosen.device_memory) if too_much else (host, chosen.host_memory)
    largest = sorted(parts.items(), key=lambda item: -item[1])[:4]
    raise InputError(
        f"a run that needs {gib(held)} of memory on {where} "
        f"({', '.join(f'{what} {gib(size)}' for what, size in largest if size)})",
        expected=f"at most {gib(memory)}",
        hint=remedy(work, machine, chosen.mesh.ranks),
    )


def remedy(work: Workload, machine: Hardware, ranks: int) -> str:
    """What to change so that a run fits: how the ranks are laid out, or how many there are."""
    while ranks <= MOST_RANKS and work.batch_size % ranks == 0:
        found = best(work, machine, ranks)
        if found.fits:
            mesh = found.mesh
            return (
                f"{ranks} ranks with parallel: {{feature: {mesh.feature}, spread: {mesh.spread}}} "
                f"need {gib(sum(found.device.values()))} each"
            )
        ranks *= 2
    return "train fewer or narrower dictionaries at once, lower batch_size or buffer, or take devices with more memory"


def refuse_what_cannot_fit(config: RunConfig, *, ranks: int = 1, on_this_machine: int = 1) -> None:
    """Refuses a run here and now whose lasting tensors alone are more than memory; what may fit is let through.

    Costs a second at most: the model's configuration is read, none of its weights. Says nothing about what cannot be
    described so, which loading the model will.

    Args:
        config: the run, of which the device is this machine's.
        ranks: processes of the run.
        on_this_machine: those of them that share this machine's memory.

    Raises:
        InputError: it cannot fit.
    """
    try:
        device = pick_device(config.device)
        work = workload_of(config, fast_bfloat16=True)  # the smaller of the two
        mesh = mesh_of(config.parallel, ranks)
        groups = dealt(work, mesh.spread)
    except InputError:
        return
    least = max((lasting_bytes(work, mesh, own) for own in groups), key=lambda parts: sum(parts.values()))
    if device.type == "cuda":
        memory, shared = float(torch.cuda.mem_get_info(device)[1]), 1
    else:
        memory, shared = host_memory() + swap(), on_this_machine
    if shared * sum(least.values()) > memory:
        parts = ", ".join(f"{what} {gib(size * shared)}" for what, size in least.items() if size)
        raise InputError(
            f"a run that holds at least {gib(shared * sum(least.values()))} ({parts})",
            expected=f"at most the {gib(memory)} of {'this machine' if device.type != 'cuda' else device}",
            hint="monosema plan says what it would take",
        )


def swap() -> float:
    """Bytes of this machine's swap space, if it says so."""
    try:
        with open("/proc/meminfo", encoding="utf-8") as file:
            found = [line.split() for line in file if line.startswith("SwapTotal:")]
    except OSError:
        return 0.0
    return 1024 * float(found[0][1]) if found else 0.0


def planned(config: RunConfig, machine: Hardware, ranks: int) -> tuple[Workload, Plan, Plan]:
    """What a run has to do, its plan as it is configured, and the best plan on as many devices.

    Raises:
        InputError: the run names what cannot be used, or cannot be laid out on so many ranks.
    """
    work = workload_of(config, fast_bfloat16=machine.fast_bfloat16)
    fastest = best(work, machine, ranks)
    try:
        return work, plan(work, machine, mesh_of(config.parallel, ranks)), fastest
    except InputError as error:
        mesh = fastest.mesh
        hint = f"the fastest on {ranks} is parallel: {{feature: {mesh.feature}, spread: {mesh.spread}}}"
        raise error.hinting(hint) from None


def hardware_of(name: str, changes: Mapping[str, float | None]) -> Hardware:
    """Hardware of a preset, with some figures of its own in place of those that are not None.

    Raises:
        InputError: there is no such preset, or a figure is not positive.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    for figure, value in given.items():
        if not (isfinite(value) and value > 0):
            raise InputError(f"{figure} = {value}", expected="a positive number")
    return replace(hardware(name), **given)  # pyright: ignore[reportArgumentType]  each is of its field's type


def gib(size: float) -> str:
    """Bytes as one reads them: 74.5 GiB."""
    units = {"TiB": 2**40, "GiB": 2**30, "MiB": 2**20}
    unit = next((unit for unit, one in units.items() if size >= one), "MiB")
    return f"{size / units[unit]:,.1f} {unit}"
