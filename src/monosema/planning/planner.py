"""A run on some hardware: how long it takes, what it holds, and whether it fits."""

from collections.abc import Mapping
from dataclasses import dataclass

from monosema.errors import InputError
from monosema.planning.duration import reading_seconds, step_seconds, telling_seconds
from monosema.planning.hardware import Hardware
from monosema.planning.memory import dealt, device_bytes, disk_bytes, host_bytes, lasting_bytes
from monosema.planning.mesh import Mesh, meshes
from monosema.planning.workload import Workload


@dataclass(frozen=True)
class Plan:
    """What a run costs. Sizes are in bytes, and those of the rank that holds most."""

    mesh: Mesh
    seconds: Mapping[str, float]
    """Of the whole run: reading, training, communication."""
    device: Mapping[str, float]
    """What a device's memory holds, by what."""
    device_memory: float
    """What it can hold."""
    host: Mapping[str, float]
    """What a machine's memory holds, for all of its processes (and devices without memory of their own)."""
    host_memory: float
    """What it can hold."""
    disk: Mapping[str, float]
    """What the run writes."""
    least: float
    """Bytes that a device holds from the first step to the last, whatever comes and goes."""

    @property
    def duration(self) -> float:
        """Seconds."""
        return sum(self.seconds.values())

    @property
    def fits(self) -> bool:
        """Whether memory holds what the run is expected to need."""
        return sum(self.device.values()) <= self.device_memory and sum(self.host.values()) <= self.host_memory


def plan(work: Workload, hardware: Hardware, mesh: Mesh) -> Plan:
    """What a run costs on so many devices.

    Raises:
        InputError: the batch cannot be cut into as many parts as there are ranks, or there are more groups than
            dictionaries.
    """
    _check_divides(work, mesh)
    groups, rows, steps = dealt(work, mesh.spread), work.batch_size // mesh.data, work.tokens // work.batch_size

    def training(own: list) -> float:
        return sum(step_seconds(s, rows, hardware, ranks=mesh.feature, size=work.size) for s in own)

    fullest = max(groups, key=lambda own: sum(device_bytes(work, mesh, own, hardware.gpu).values()))
    device = device_bytes(work, mesh, fullest, hardware.gpu)
    processes = min(mesh.ranks, hardware.per_machine)
    host = {what: size * processes for what, size in host_bytes(work, mesh, fullest, hardware.gpu).items()}
    if mesh.spread > 1:  # the first process measures the dictionaries of all
        host["measuring"] = 4.0 * sum(shape.parameters for shape in work.dictionaries.values())
    if not hardware.gpu:
        host["devices"] = processes * sum(device.values())
    return Plan(
        mesh=mesh,
        seconds={
            "reading": reading_seconds(work, hardware, mesh),
            "training": steps * max(training(own) for own in groups),
            "communication": steps * max(telling_seconds(work, hardware, mesh, own) for own in groups),
        },
        device=device,
        device_memory=hardware.memory,
        host=host,
        host_memory=hardware.host_memory,
        disk=disk_bytes(work, mesh),
        least=sum(lasting_bytes(work, mesh, fullest).values()),
    )


def _check_divides(work: Workload, mesh: Mesh) -> None:
    if work.batch_size % mesh.ranks:
        raise InputError(
            f"batches of {work.batch_size} tokens for {mesh.ranks} ranks", expected=f"a multiple of {mesh.ranks}"
        )
    if mesh.spread > len(work.dictionaries):
        raise InputError(
            f"{len(work.dictionaries)} dictionaries dealt out to {mesh.spread} groups of ranks",
            expected=f"parallel.spread of at most {len(work.dictionaries)}",
        )


def best(work: Workload, hardware: Hardware, ranks: int) -> Plan:
    """The fastest plan that fits on so many devices; if none does, the one whose devices hold least."""
    found = [plan(work, hardware, mesh) for mesh in meshes(ranks, len(work.dictionaries))]
    fitting = [p for p in found if p.fits]
    if not fitting:
        return min(found, key=lambda p: sum(p.device.values()))
    return min(fitting, key=lambda p: (p.duration, p.mesh.feature, p.mesh.spread))
