"""Compiles every kernel of a GPU to machine code, without one; the argument is a compute capability, such as 90.

The interpreter takes programs that the compiler refuses: numbers whose type changes in a loop, for instance.
"""

import sys
from typing import Any, cast

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction


class NoDevice:
    """What Triton asks its driver before it compiles."""

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", int(sys.argv[1]), 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


launch = JITFunction.run


def compile_only(self: JITFunction, *args, grid: tuple[int, ...], warmup: bool, **options) -> None:
    kernel = launch(self, *args, grid=grid, warmup=True, **options)
    assert kernel is not None
    print(self.__name__, len(kernel.asm["cubin"]))


def main() -> None:
    driver.set_active(cast(Any, NoDevice()))
    JITFunction.run = compile_only
    torch.empty = torch.zeros  # nothing fills what the host then reads
    from monosema.kernels import gpu

    for width, k, d, dtype in ((16_384, 32, 512, torch.bfloat16), (1, 1, 1, torch.float32), (9000, 5000, 768, None)):
        pre = torch.zeros(2, width, dtype=dtype)
        gpu.largest_of_rows(pre, k)
        gpu.above_zero(pre)
        gpu.normalise_rows_(torch.zeros(2, d))
        gpu.project_rows_(torch.zeros(2, d), torch.zeros(2, d))
        offsets, columns, values = torch.tensor([0, 200, 600]), torch.zeros(600, dtype=torch.long), torch.zeros(600)
        table = torch.zeros(width, d, dtype=dtype)
        gpu.weighted_sums(offsets, columns, values, table)
        gpu.weighted_sums(offsets, columns, values, table, torch.zeros(d, 2).T)
        gpu.products_at(offsets, columns, torch.zeros(2, d), table)


if __name__ == "__main__":
    main()
