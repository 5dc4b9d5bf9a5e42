"""What each kernel of a sparse training step takes beside the dense expressions that it replaces.

    python benchmarks/kernel_times.py [--d 512] [--width 16384] [--k 32] [--batch 4096] [--repeats 9]
                                       [--processor] [--json]

All take turns in one process; medians of the repeats, products in bfloat16 where nothing else is said.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from datetime import date

import numpy as np
import torch
import torch.nn.functional as F
from harvest import machine
from torch import Tensor

from monosema.dictionaries import step_kernels
from monosema.dictionaries.entry_steps import active_at, jump_at
from monosema.kernels import SparseCodes, encode_topk, prefix_decode, prefix_errors, sparse_decode
from monosema.kernels.entries import _take_rows, products_at, transposed, weighted_sums
from monosema.kernels.search import FAN, entries_above_zero, largest_of_rows, ordered


def sides(d: int, width: int, k: int, batch: int) -> dict[str, Callable[[], object]]:
    """Each operation, by name."""
    generator = torch.Generator().manual_seed(0)
    x, grad = (torch.randn(batch, d, generator=generator) for _ in range(2))
    encoder = torch.randn(width, d, generator=generator).div(d**0.5).mT
    decoder, bias = torch.randn(width, d, generator=generator), torch.zeros(width)
    low_x, low_grad, low_encoder, low_decoder = (t.bfloat16() for t in (x, grad, encoder, decoder))

    def encode() -> object:
        with torch.autocast("cpu", torch.bfloat16):
            return encode_topk(x, encoder, bias, k)

    codes = encode_topk(x, encoder, bias, k)
    entries, dense = codes.ragged(), codes.to_dense().bfloat16()
    by_column = transposed(entries.offsets, entries.columns, width)
    factors = entries.values[by_column.order]
    matrix = torch.sparse_csr_tensor(by_column.offsets, by_column.rows, factors, (width, batch), check_invariants=False)
    return {
        "encode: the product alone": lambda: low_x @ low_encoder,
        "encode: product and torch.topk": lambda: (low_x @ low_encoder).topk(k, dim=1),
        "encode: encode_topk": encode,
        "decode: dense product": lambda: dense @ low_decoder,
        "decode: embedding_bag of the whole table": lambda: F.embedding_bag(
            entries.columns,
            decoder,
            entries.offsets,
            mode="sum",
            per_sample_weights=entries.values,
            include_last_offset=True,
        ),
        "decode: sparse_decode": lambda: sparse_decode(codes, decoder),
        "gradient of a weight: dense product": lambda: dense.T @ low_grad,
        "gradient of a weight: sparse matrix product": lambda: matrix @ grad,
        "gradient of a weight: entries sorted": lambda: entries.columns.sort(stable=True),
        "gradient of a weight: transposed": lambda: transposed(entries.offsets, entries.columns, width),
        "gradient of a weight: weighted_sums": lambda: weighted_sums(
            by_column.offsets, by_column.rows, factors, low_grad
        ),
        "gradient of the codes: dense product, gathered": lambda: (low_grad @ low_decoder.T).gather(1, codes.indices),
        "gradient of the codes: products_at": lambda: products_at(entries.offsets, entries.columns, grad, decoder),
        **many_products(grad, decoder, 16 * k),
        **searches((low_x @ low_encoder)[:512], k),
        **near(low_x @ low_encoder),
        **passes(decoder),
        **prefixes(codes, decoder, x),
    }


def many_products(left: Tensor, right: Tensor, a_row: int) -> dict[str, Callable[[], object]]:
    """As many entries as a penalty's gradient may need: the precision decides whether all products are made."""
    columns = torch.rand(len(left), len(right)).topk(min(a_row, len(right)), dim=1).indices.flatten()
    offsets = torch.arange(0, len(columns) + 1, len(columns) // len(left))
    name = f"gradient of {a_row} entries a row"
    return {
        f"{name}: these products alone": lambda: products_at(offsets, columns, left, right),
        f"{name}: all, in bfloat16": lambda: products_at(offsets, columns, left, right, torch.bfloat16),
    }


def searches(pre: Tensor, k: int) -> dict[str, Callable[[], object]]:
    """The largest of each of 512 rows, and the entries above a bound that leaves 3 in a hundred."""
    beyond = pre - pre.flatten()[::97].float().quantile(0.97).to(pre.dtype)

    def maxima(numbers: Tensor) -> Tensor:
        return numbers.view(len(numbers), FAN, -1).amax(1)

    return {
        "search: torch.topk": lambda: pre.topk(k, dim=1),
        "search: largest_of_rows": lambda: largest_of_rows(pre, k),
        "search: maxima in bfloat16": lambda: maxima(pre),
        "search: maxima as integers": lambda: maxima(ordered(pre)),
        "bound: compared by PyTorch": lambda: ordered(beyond) > 0,
        "bound: compared by NumPy": lambda: ordered(beyond).numpy() > 0,
        "bound: nonzero of PyTorch": lambda: (beyond > 0).nonzero(),
        "bound: entries_above_zero": lambda: entries_above_zero(beyond),
    }


def near(pre: Tensor) -> dict[str, Callable[[], object]]:
    """The eighth of all entries that may lie near the thresholds of JumpReLU, most of them below."""
    reach = 0.2
    bound = pre.flatten()[::97].float().quantile(7 / 8)
    counts, columns, values = entries_above_zero(pre - bound.to(pre.dtype))
    offsets = F.pad(counts.cumsum(0), (1, 0))
    threshold, bandwidth = torch.full((pre.shape[1],), 2 * reach, requires_grad=True), torch.tensor(4 * reach)
    kernel, upstream, values = step_kernels["rectangle"], torch.randn_like(values), values.requires_grad_()
    codes = (values * (values > 2 * reach)).detach()

    def whole() -> None:
        """What the two say, as PyTorch's own operations on all entries."""
        distance = values.float() - threshold.detach().index_select(0, columns)
        on = distance > 0
        assert on.float().sum() + (values * on).sum() > 0
        weight = ((distance / bandwidth).abs() < 0.5).float() / bandwidth
        for gradient in (upstream.float() * 2 * reach, torch.ones(())):
            torch.zeros_like(threshold).index_add_(0, columns, -weight * gradient)
        assert len(upstream * on)

    def pieces() -> None:
        jumped = jump_at(values, columns, threshold, bandwidth, kernel)
        active = active_at(values, columns, threshold, bandwidth, kernel)
        torch.autograd.backward([jumped, active], [upstream, None])

    def by_place() -> Tensor:
        first = (pre.shape[1] * torch.arange(len(pre))).repeat_interleave(counts, output_size=len(columns))
        return pre.flatten().index_select(0, columns + first)

    return {
        "near: JumpReLU, L0 and gradients, all entries": torch.no_grad()(whole),
        "near: JumpReLU, L0 and gradients in pieces": pieces,
        "near: taken by their places": by_place,
        "near: taken row by row": lambda: _take_rows(pre, columns, offsets.tolist(), torch.empty_like(codes)),
        "near: not zero, of integers": lambda: np.flatnonzero(ordered(codes).numpy() << 1),
        "near: not zero, of truth values": lambda: np.flatnonzero(ordered(codes).numpy() << 1 != 0),
    }


def prefixes(codes: SparseCodes, decoder: Tensor, target: Tensor) -> dict[str, Callable[[], object]]:
    """The errors of every prefix of 512 rows, as `hierarchical_topk` has them, and their gradients."""
    few = SparseCodes(codes.indices[:512], codes.values[:512].detach().requires_grad_(), codes.width)
    weight, target, ends = decoder.clone().requires_grad_(), target[:512], range(1, codes.indices.shape[1] + 1)

    def at_once() -> None:
        (target[:, None] - prefix_decode(few, weight, ends)).square().sum().backward()

    return {
        "prefixes: all at once": at_once,
        "prefixes: some rows at a time": lambda: prefix_errors(few, weight, target, ends).sum().backward(),
    }


def passes(weight: Tensor) -> dict[str, Callable[[], object]]:
    """Over one weight: its gradient written, and Adam's step."""
    low, kept, parameter = weight.bfloat16(), torch.empty_like(weight), torch.nn.Parameter(weight.clone())
    parameter.grad = 0.01 * torch.randn_like(weight)
    adam = torch.optim.Adam([parameter], fused=True)
    return {
        "a weight's gradient in new memory": lambda: torch.empty_like(weight).copy_(low),
        "a weight's gradient in memory that was kept": lambda: kept.copy_(low),
        "a weight's step of Adam": adam.step,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"d": 512, "width": 16_384, "k": 32, "batch": 4096, "repeats": 9}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--processor", action="store_true", help="one thread, and processor time")
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    settings = parser.parse_args()
    clock = time.process_time if settings.processor else time.perf_counter
    torch.set_num_threads(1 if settings.processor else torch.get_num_threads())
    operations = sides(settings.d, settings.width, settings.k, settings.batch)
    times: dict[str, list[float]] = {name: [] for name in operations}
    for repeat in range(settings.repeats + 1):  # the first warms up
        for name, operation in operations.items():
            start = clock()
            operation()
            if repeat:
                times[name].append(1e3 * (clock() - start))
    medians = {name: round(statistics.median(found), 2) for name, found in times.items()}
    if settings.json:
        about = {"date": date.today().isoformat(), "machine": machine()} | vars(settings)
        del about["json"]
        print(json.dumps(about | {"milliseconds": medians}, indent=2, ensure_ascii=False))
    else:
        for name, value in medians.items():
            print(f"{name:52}{value:10.1f} ms")


if __name__ == "__main__":
    main()
