"""What a run holds: in the memory of each device, of each process, and on disk."""

from collections.abc import Sequence

from monosema.planning.dictionary import DictionaryShape, held_bytes, state_bytes, working_bytes
from monosema.planning.mesh import Mesh
from monosema.planning.workload import Workload, buffer_bytes, buffer_rows

PROCESS = 1.0 * 2**30
"""Bytes of a process that has loaded Python's and PyTorch's code."""
SAMPLE = 16_384
"""Rows on which the scale and the axes of training are found at the start."""
MEASURED_CONTEXTS = 8
"""Contexts that are measured at once, at the end."""


def dealt(work: Workload, groups: int) -> list[list[DictionaryShape]]:
    """The dictionaries of each group of ranks: dealt out in turn, by name."""
    shapes = [work.dictionaries[name] for name in sorted(work.dictionaries)]
    return [shapes[group::groups] for group in range(groups)]


def device_bytes(work: Workload, mesh: Mesh, own: Sequence[DictionaryShape], gpu: bool) -> dict[str, float]:
    """What a device holds whose rank trains some dictionaries: for the whole run, and the most that comes and goes."""
    return {**lasting_bytes(work, mesh, own), "passing": max(passing_bytes(work, mesh, own, gpu).values())}


def lasting_bytes(work: Workload, mesh: Mesh, own: Sequence[DictionaryShape]) -> dict[str, float]:
    """What is there from the first step to the last: the least that the run needs."""
    held = [held_bytes(shape, mesh.feature) for shape in own]
    streams = work.stored is None and work.model is not None
    rows = buffer_rows(work, mesh.ranks) if streams else 0
    return {
        "model": float(work.model.weights if work.model else 0),
        "dictionaries": sum(part["weights"] for part in held),
        "gradients": sum(part["gradients"] for part in held),
        "moments": sum(part["moments"] for part in held),
        "buffer": float(buffer_bytes(rows, work.row, work.row_size)),
    }


def passing_bytes(work: Workload, mesh: Mesh, own: Sequence[DictionaryShape], gpu: bool) -> dict[str, float]:
    """What is there for a while, by when: never two of these at once.

    At the start the sample of activations, `4 · 16384` bytes a number, and twice as many for the axes of one hook
    point; a pass of the model; a step, with its batch in float32, and on a GPU the pass that the model makes beside it;
    at the end a copy of each dictionary, as a whole on each of its ranks, and logits of eight contexts, two in the
    model's precision (of two models, three) and one in float32.
    """
    rows = work.batch_size // mesh.data
    alone = mesh.ranks == 1
    steps = (working_bytes(s, rows, ranks=mesh.feature, size=work.size, gpu=gpu, alone=alone) for s in own)
    found = {
        "start": SAMPLE * (4 * work.row + 24 * max(work.points.values())),
        "step": 4 * rows * work.row + max(steps, default=0.0),
    }
    if work.model is not None:
        number = (1 + work.model.models) * work.model.size + 4
        logits = MEASURED_CONTEXTS * work.context * work.model.vocabulary * number
        copies = sum(4 * shape.parameters for shape in own)
        found |= {"pass": float(work.model.pass_bytes), "measuring": copies + logits}
        if gpu and work.stored is None:
            found["step"] += work.model.pass_bytes
    return found


def host_bytes(work: Workload, mesh: Mesh, own: Sequence[DictionaryShape], gpu: bool) -> dict[str, float]:
    """What a process holds in its machine's memory, beside what its device holds.

    Its part of the window of text at 8 bytes a token; and of what comes and goes the larger: the weights on their way
    to a GPU, or the copy of a checkpoint that is being written.
    """
    weights = work.model.weights if gpu and work.model else 0
    return {
        "process": PROCESS,
        "text": 8.0 * work.shuffle / mesh.ranks if work.stored is None and work.model else 0.0,
        "rows": float(work.rows_in_memory),
        "passing": max(float(weights), rank_checkpoint_bytes(work, mesh, own)),
    }


def rank_checkpoint_bytes(work: Workload, mesh: Mesh, own: Sequence[DictionaryShape]) -> float:
    """Bytes of a checkpoint that come from one rank: its part of each dictionary's state, and its buffer, full."""
    rows = buffer_rows(work, mesh.ranks) if work.stored is None and work.model else 0
    return sum(state_bytes(s) for s in own) / mesh.feature + rows * work.row * work.row_size


def disk_bytes(work: Workload, mesh: Mesh) -> dict[str, float]:
    """What a run writes: the dictionaries, a checkpoint, and all checkpoints that are there at once, one of them half
    written."""
    shapes = list(work.dictionaries.values())
    rows = buffer_rows(work, mesh.ranks) * mesh.ranks if work.stored is None and work.model else 0
    one = sum(state_bytes(s) for s in shapes) + rows * work.row * work.row_size
    return {
        "dictionaries": sum(4.0 * s.parameters for s in shapes),
        "checkpoint": one,
        "checkpoints": one * (work.checkpoints + 1),
    }
