"""How long a run takes: FLOPs and bytes over the rates of the hardware, one after another, nothing overlapping."""

from collections.abc import Sequence

from monosema.planning.dictionary import DictionaryShape, step_flops, step_flops32, step_traffic
from monosema.planning.hardware import Hardware
from monosema.planning.mesh import Mesh, gather_bytes, rate, reduce_bytes
from monosema.planning.workload import Workload, harvest_traffic, store_traffic

QUEUEING = 4e-3
"""Seconds in which a host queues the operations of a step for a GPU, at the least."""


def reading_seconds(work: Workload, hardware: Hardware, mesh: Mesh) -> float:
    """Seconds to get every token's activations: each rank reads its share, by running the model or from the store,
    whose disk is one for each machine."""
    own = work.tokens / mesh.ranks
    moved = hardware.bandwidth * hardware.byte_efficiency
    if work.stored is not None:
        machines = -(-mesh.ranks // hardware.per_machine)
        return (
            work.tokens * work.stored / (hardware.disk * machines)
            + own * store_traffic(work.row, work.row_size) / moved
        )
    if work.model is None:
        return own * 8 * work.row / moved
    peak = hardware.flops if work.model.size == 2 else hardware.flops32
    products = work.model.flops / (peak * hardware.efficiency)
    return own * (products + (work.model.traffic + harvest_traffic(work.row, work.row_size)) / moved)


def step_seconds(shape: DictionaryShape, rows: int, hardware: Hardware, *, ranks: int = 1, size: int = 2) -> float:
    """Seconds of a training step of one dictionary, without what ranks tell each other.

    Beside products in bfloat16 a GPU makes those in float32 as TensorFloat-32, at half their rate.
    """
    peak = hardware.flops if size == 2 else hardware.flops32
    peak32 = hardware.flops / 2 if size == 2 and hardware.gpu else hardware.flops32
    products = step_flops(shape, rows, ranks) / peak + step_flops32(shape, rows) / peak32
    traffic = step_traffic(shape, rows, ranks=ranks, size=size, gpu=hardware.gpu)
    seconds = products / hardware.efficiency + traffic / (hardware.bandwidth * hardware.byte_efficiency)
    return max(shape.gpu_factor * seconds, QUEUEING) if hardware.gpu else shape.factor * seconds


def telling_bytes(work: Workload, mesh: Mesh, own: Sequence[DictionaryShape]) -> dict[str, float]:
    """Bytes that a rank sends (or receives) in a step, by what for.

    rows: those of the other ranks of its group, 4 bytes a number; features: of each dictionary the sum of
    reconstructions, `4 b d_out`, and the k candidates of each row, `4 b k`; gradients: their sum over the parts of the
    batch, `4 P / feature`.
    """
    rows = work.batch_size // mesh.data
    return {
        "rows": gather_bytes(4 * work.row * work.batch_size / mesh.ranks, mesh.group),
        "features": sum(
            reduce_bytes(4 * rows * s.d_out, mesh.feature) + gather_bytes(4 * rows * s.active, mesh.feature)
            for s in own
        ),
        "gradients": sum(reduce_bytes(4 * s.parameters / mesh.feature, mesh.data) for s in own),
    }


def telling_seconds(work: Workload, hardware: Hardware, mesh: Mesh, own: Sequence[DictionaryShape]) -> float:
    """Seconds of a step in which ranks wait for each other's numbers."""
    spans = {"rows": mesh.group, "features": mesh.feature, "gradients": mesh.ranks}
    found = telling_bytes(work, mesh, own)
    return sum(size / rate(hardware, spans[what]) for what, size in found.items()) / hardware.byte_efficiency
