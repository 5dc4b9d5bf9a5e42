"""How long each kernel of a GPU takes beside its PyTorch equivalents, and how close it comes to what limits it.

    python benchmarks/gpu_kernels.py [--d 512] [--width 16384] [--k 32] [--batch 4096] [--repeats 20] [--json]

Needs a CUDA device. All take turns in one process, and before each the L2 cache is overwritten; medians of the repeats.
A kernel's limit is the time in which the card multiplies its FLOPs, or copies the bytes that must be read or written
once, at the rates measured first: a large product in bfloat16, and a large copy. Matrices are bfloat16, values, a
weight and its gradient float32; of the codes, four features fire in every token and most others hardly ever.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from harvest import measured_on
from torch import Tensor

from monosema.kernels import RaggedCodes, SparseCodes, encode_topk
from monosema.kernels.entries import products_at, transposed, weighted_sums, weighted_sums_
from monosema.kernels.search import entries_above_zero, largest_of_rows

Operation = Callable[[], object]
CACHE = 2**28
"""Bytes that are written before each operation; no GPU has an L2 cache as large."""


class Side(NamedTuple):
    """A kernel, what it must at least do, and what does the same in PyTorch."""

    kernel: Operation
    limit: Literal["FLOPs", "bytes"]
    amount: float
    equivalents: dict[str, Operation]


def sides(d: int, width: int, k: int, batch: int, device: torch.device) -> dict[str, Side]:
    """Every kernel, by name."""
    torch.manual_seed(0)
    x, grad = (torch.randn(batch, d, device=device) for _ in range(2))
    encoder = torch.randn(width, d, device=device).div(d**0.5).mT
    decoder, bias = torch.randn(width, d, device=device), torch.zeros(width, device=device)
    low_x, low_grad, low_encoder, low_decoder, low_bias = (t.bfloat16() for t in (x, grad, encoder, decoder, bias))
    pre = low_x @ low_encoder
    less = pre - 1.5
    many, few = int((pre > 0).sum()), int((less > 0).sum())

    def encode() -> object:
        with torch.autocast(device.type, torch.bfloat16):
            return encode_topk(x, encoder, bias, k)

    return {
        "encode_topk": Side(
            encode,
            "FLOPs",
            2 * batch * d * width,
            {
                "the product alone": lambda: torch.addmm(low_bias, low_x, low_encoder),
                "addmm, torch.topk": lambda: torch.addmm(low_bias, low_x, low_encoder).topk(k, dim=1, sorted=False),
            },
        ),
        "largest_of_rows": Side(
            lambda: largest_of_rows(pre, k),
            "bytes",
            nbytes(pre) + 8 * batch * k,
            {"torch.topk": lambda: pre.topk(k, dim=1, sorted=False)},
        ),
        f"above_zero, {many / pre.numel():.0%} of entries": above_zero(pre, many),
        f"above_zero, {few / pre.numel():.0%} of entries": above_zero(less, few),
        **over_entries(codes(batch, width, k, device), grad, low_grad, decoder, low_decoder),
    }


def above_zero(pre: Tensor, found: int) -> Side:
    def nonzero() -> object:
        rows, columns = (pre > 0).nonzero(as_tuple=True)
        return rows.bincount(minlength=len(pre)), columns, pre[rows, columns]

    written = found * (8 + pre.element_size())
    return Side(lambda: entries_above_zero(pre), "bytes", nbytes(pre) + written, {"nonzero, gathered": nonzero})


def over_entries(
    codes: RaggedCodes, grad: Tensor, low_grad: Tensor, decoder: Tensor, low_decoder: Tensor
) -> dict[str, Side]:
    """What decodes, and what makes the gradients of codes and weights."""
    offsets, columns, values, width, _ = codes
    by_column = transposed(offsets, columns, width)
    factors, out, entries = values[by_column.order], torch.empty_like(decoder), nbytes(columns, values)
    shape = len(offsets) - 1, width
    pattern = torch.sparse_csr_tensor(offsets, columns, torch.zeros_like(values), shape)
    matrix = torch.sparse_csr_tensor(offsets, columns, values, shape)
    flipped = torch.sparse_csr_tensor(by_column.offsets, by_column.rows, factors, shape[::-1])
    chosen = (codes.rows(), columns)
    return {
        "weighted_sums, decoding": Side(
            lambda: weighted_sums(offsets, columns, values, low_decoder),
            "bytes",
            entries + nbytes(low_decoder, low_grad),
            {
                "embedding_bag": lambda: bags(offsets, columns, values.bfloat16(), low_decoder),
                "torch.sparse.mm, float32": lambda: torch.sparse.mm(matrix, decoder),
            },
        ),
        "weighted_sums_, a weight's gradient": Side(
            lambda: weighted_sums_(out, offsets, columns, values, low_grad),
            "bytes",
            entries + nbytes(low_grad, out),
            {
                "embedding_bag, sorted already": lambda: out.copy_(
                    bags(by_column.offsets, by_column.rows, factors.bfloat16(), low_grad)
                ),
                "torch.sparse.mm, float32, sorted already": lambda: torch.sparse.mm(flipped, grad),
            },
        ),
        "transposed, of that gradient": Side(
            lambda: transposed(offsets, columns, width),
            "bytes",
            nbytes(columns) + nbytes(by_column.rows, by_column.order, by_column.offsets),
            {"argsort of int64": lambda: columns.argsort(stable=True)},
        ),
        "products_at, the gradient of the codes": Side(
            lambda: products_at(offsets, columns, grad, decoder),
            "bytes",
            entries + nbytes(grad, decoder),
            {
                "sampled_addmm": lambda: torch.sparse.sampled_addmm(pattern, grad, decoder.mT, beta=0.0),
                "all products in bfloat16, gathered": lambda: (low_grad @ low_decoder.mT)[chosen],
            },
        ),
    }


def codes(batch: int, width: int, k: int, device: torch.device) -> RaggedCodes:
    """Features drawn without replacement, each with a chance that falls with the root of its number."""
    popularity = torch.arange(1, width + 1, device=device) ** -0.5
    popularity[:4] = torch.inf
    draws = torch.rand(batch, width, device=device) ** (1 / popularity)
    values, indices = draws.topk(k, dim=1)
    return SparseCodes(indices, values, width).ragged()


def bags(offsets: Tensor, columns: Tensor, values: Tensor, table: Tensor) -> Tensor:
    return F.embedding_bag(columns, table, offsets, mode="sum", per_sample_weights=values, include_last_offset=True)


def nbytes(*tensors: Tensor) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def milliseconds(operations: dict[str, Operation], repeats: int, device: torch.device) -> dict[str, float]:
    """The median time of each; they take turns."""
    times: dict[str, list[float]] = {name: [] for name in operations}
    cache = torch.empty(CACHE, dtype=torch.int8, device=device)
    for repeat in range(repeats + 2):  # the first two compile and warm up
        for name, operation in operations.items():
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            cache.zero_()
            start.record()
            operation()
            end.record()
            end.synchronize()
            if repeat > 1:
                times[name].append(start.elapsed_time(end))
    return {name: statistics.median(found) for name, found in times.items()}


def rates(repeats: int, device: torch.device) -> dict[Literal["FLOPs", "bytes"], float]:
    """What the card achieves in a second."""
    size = 8192
    a, b = (torch.randn(size, size, dtype=torch.bfloat16, device=device) for _ in range(2))
    large = torch.empty(2**30, dtype=torch.int8, device=device)
    other = torch.empty_like(large)
    times = milliseconds({"product": lambda: a @ b, "copy": lambda: other.copy_(large)}, repeats, device)
    return {"FLOPs": 2e3 * size**3 / times["product"], "bytes": 2e3 * nbytes(large) / times["copy"]}


def measure(d: int, width: int, k: int, batch: int, repeats: int, device: torch.device) -> dict[str, object]:
    achieved, found = rates(repeats, device), {}
    for name, side in sides(d, width, k, batch, device).items():
        times = milliseconds({"": side.kernel, **side.equivalents}, repeats, device)
        took = times.pop("")
        least = 1e3 * side.amount / achieved[side.limit]
        found[name] = {
            "milliseconds": round(took, 4),
            "limit": side.limit,
            "share_of_limit": round(least / took, 3),
            "equivalents": {equivalent: round(time, 4) for equivalent, time in times.items()},
        }
    return {"TFLOP/s": achieved["FLOPs"] / 1e12, "GB/s": achieved["bytes"] / 1e9, "kernels": found}


def table(measured: dict) -> str:
    lines = [f"bfloat16 product: {measured['TFLOP/s']:.0f} TFLOP/s; copy: {measured['GB/s']:.0f} GB/s", ""]
    for name, row in measured["kernels"].items():
        lines.append(f"{name:44}{row['milliseconds']:9.3f} ms{row['share_of_limit']:8.0%} of its {row['limit']}")
        for equivalent, time in row["equivalents"].items():
            lines.append(f"    {equivalent:40}{time:9.3f} ms{time / row['milliseconds']:8.1f} × as long")
    return "\n".join(lines)


def arguments(about: str | None, **defaults: int | str) -> tuple[dict[str, Any], bool]:
    """The settings on the command line, and whether JSON is wanted; ends the program where there is no GPU."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in defaults.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    settings = vars(parser.parse_args())
    as_json = settings.pop("json")
    if not torch.cuda.is_available():
        parser.error("this machine has no CUDA device; benchmarks/kernel_times.py measures the kernels of a CPU")
    return settings, as_json


def main() -> None:
    settings, as_json = arguments(__doc__, d=512, width=16_384, k=32, batch=4096, repeats=20)
    measured = measure(**settings, device=torch.device("cuda"))
    if as_json:
        about = measured_on("cuda")
        about["versions"] = f"PyTorch {torch.__version__}, CUDA {torch.version.cuda}"
        print(json.dumps(about | settings | measured, indent=2, ensure_ascii=False))
    else:
        print(table(measured))


if __name__ == "__main__":
    main()
