"""The kernels of a CUDA device, in Triton; importing this needs Triton. `kernels/backend.py` says who is sent here.

None of them sorts, none adds with atomic operations: the same tensors give the same bits. All but `above_zero`, whose
result has a length that the host must know, are queued without waiting for the device.
"""

from monosema.kernels.gpu.largest import largest_of_rows
from monosema.kernels.gpu.norms import normalise_rows_, project_rows_
from monosema.kernels.gpu.positive import above_zero
from monosema.kernels.gpu.products import products_at
from monosema.kernels.gpu.sums import weighted_sums

__all__ = ["above_zero", "largest_of_rows", "normalise_rows_", "products_at", "project_rows_", "weighted_sums"]
