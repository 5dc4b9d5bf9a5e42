"""What one dictionary costs: what it holds, and what a training step of it multiplies, moves and keeps for a while.

`d_in`, `d_out` and `width` W are its sizes, k its active features a token, b the rows of a step. Where `ranks` share
its features, each has W / ranks of them.
"""

from dataclasses import dataclass

from monosema.kernels.parts import BUFFER, GPU_BUFFER, GPU_ROWS, ROWS, dense_rows_at_a_time

AUX_SHARE = 0.1
"""Share of features that are taken to be dead, for which AuxK makes dense products."""


@dataclass(frozen=True)
class DictionaryShape:
    """One dictionary in training, as far as costs depend on it."""

    d_in: int
    """Size of what is read."""
    d_out: int
    """Size of what is written."""
    width: int
    """Features."""
    active: float
    """Active features a token."""
    parameters: int
    """Numbers in its weights, biases and thresholds."""
    buffers: int = 0
    """Numbers that it keeps beside its parameters, such as a threshold."""
    moments: int = 2
    """Numbers that the optimiser keeps for each parameter: two of Adam."""
    axes: int = 0
    """Numbers in the matrices of principal axes that it is trained in."""
    transcoder: bool = False
    """Whether what is written is not what is read."""
    aux: bool = False
    """Whether dead features are revived by AuxK."""
    dense: bool = False
    """Whether all pre-activations are held, as most recipes do before features become rare."""
    by_row: bool = False
    """Whether they are then held of some rows at a time, where no other rank has a part of the batch."""
    factor: float = 1.0
    """How much longer a step of its recipe takes than one of `topk` with as many active features."""
    gpu_factor: float = 1.0
    """The same on a GPU."""


def state_bytes(shape: DictionaryShape) -> float:
    """Bytes of its part of a checkpoint: `4 P (1 + moments)` of P parameters, 4 for each buffer, 8 W to count silence,
    and the axes twice, for what is read and for what is written."""
    axes = shape.axes if shape.transcoder else 2 * shape.axes
    return 4 * (shape.parameters * (1 + shape.moments) + shape.buffers + axes) + 8 * shape.width


def held_bytes(shape: DictionaryShape, ranks: int = 1) -> dict[str, float]:
    """Bytes of a device's memory from the first step to the last, all in float32, by what they hold: `4 P / ranks` of
    weights, as many of gradients, whose memory is kept for the next ones, and of each moment."""
    own = 4 * shape.parameters / ranks
    beside = 4 * (shape.buffers + shape.axes) + 8 * shape.width / ranks
    return {"weights": own + beside, "gradients": own, "moments": own * shape.moments}


def step_flops(shape: DictionaryShape, rows: int, ranks: int = 1) -> float:
    """FLOPs of a step in the precision of products: the encoder's `2 b d_in W / ranks`, of which all entries are made;
    decoding and the gradients of both weights and of the codes, `2 b k (d_in + 3 d_out) / ranks`, of which only those
    of active features are."""
    dense = 2 * rows * shape.d_in * shape.width
    sparse = 2 * rows * shape.active * (shape.d_in + 3 * shape.d_out)
    return (dense + sparse) / ranks


def step_flops32(shape: DictionaryShape, rows: int) -> float:
    """FLOPs of a step in float32: the turn into the principal axes, `2 b d²` of each d, on every rank alike."""
    return 2 * rows * shape.axes


def part_rows(shape: DictionaryShape, rows: int, ranks: int, gpu: bool) -> int:
    """Rows of the encoder's product that are made at a time."""
    width = -(-shape.width // ranks)
    fitting = max(GPU_BUFFER // width, GPU_ROWS) if gpu else max(BUFFER // width, ROWS)
    return max(min(fitting, rows), 1)


def step_traffic(shape: DictionaryShape, rows: int, *, ranks: int = 1, size: int = 2, gpu: bool = True) -> float:
    """Bytes that a step reads and writes, with products of `size` bytes a number.

    Passes over the weights, each of `4 d W / ranks` bytes: of the encoder a cast (1 and size / 4), its gradient (1),
    the norm (1), Adam (7: weight, gradient and two moments read, all but the gradient written) and `size / 4` for each
    part of the product; of the decoder the gradient (1), its projection (3), the norm (1), Adam (7) and the rows' norms
    (3). Entries: every active feature's row of the decoder twice in float32, and the row of what it was active in twice
    in `size` bytes. The product, written and searched: `2 · size · b W / ranks`.
    """
    parts = -(-rows // part_rows(shape, rows, ranks, gpu))
    adam = 3 + 2 * shape.moments
    cast = 0 if size == 4 else 1 + size / 4
    encoder = 4 * shape.d_in * shape.width * (cast + 2 + adam + parts * size / 4)
    decoder = 4 * shape.d_out * shape.width * (1 + 3 + 1 + adam + 3)
    entries = rows * shape.active * (8 * shape.d_out + size * (shape.d_in + shape.d_out))
    product = 2 * size * rows * shape.width
    return (encoder + decoder + entries + product) / ranks


def dense_rows(shape: DictionaryShape, rows: int, *, alone: bool, gpu: bool) -> int:
    """Rows of which all pre-activations are held at once."""
    if not shape.dense:
        return 0
    return min(rows, dense_rows_at_a_time(shape.width, gpu)) if shape.by_row and alone else rows


def working_bytes(
    shape: DictionaryShape, rows: int, *, ranks: int = 1, size: int = 2, gpu: bool = True, alone: bool = True
) -> float:
    """Bytes that a step holds for a while: the encoder in the precision of products; two parts of the product, or where
    all pre-activations of some rows are held, three of `[rows, W / ranks]` in float32, and if these are fewer rows than
    b, the gradient of one weight; rows of activations (`b (16 d_in + 12 d_out)`: framed, centred, reconstructed, their
    error and gradient), 64 for each active feature; AuxK holds as much of what is dead, and its weights, for which a
    tenth of all features is taken. `alone` says that no other rank has a part of the batch."""
    width = shape.width / ranks
    cast = 0 if size == 4 else size * shape.d_in * width
    product = 2 * size * part_rows(shape, rows, ranks, gpu) * width
    activations = rows * (16 * shape.d_in + 12 * shape.d_out + 64 * shape.active)
    together = dense_rows(shape, rows, alone=alone, gpu=gpu)
    dense = 12 * together * width + (4 * max(shape.d_in, shape.d_out) * width if 0 < together < rows else 0.0)
    aux = AUX_SHARE * width * (12 * rows + 8 * shape.d_in + 8 * shape.d_out) if shape.aux else 0.0
    return cast + max(product, dense) + activations + aux
