"""Which kernels a tensor is given to: where it lies decides, and nothing else."""

from torch import Tensor


def on_gpu(tensor: Tensor) -> bool:
    """Whether it lies on a CUDA device."""
    return tensor.is_cuda


def triton_kernels(tensor: Tensor):
    """The kernels of `monosema.kernels.gpu` for a tensor on a CUDA device; None for all others.

    Triton comes with every CUDA build of PyTorch, and with no other: it is imported when such a tensor is met.
    """
    if not on_gpu(tensor):
        return None
    from monosema.kernels import gpu

    return gpu
