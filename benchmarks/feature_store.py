"""How long a feature takes to open from a large store, and how long the store takes to sort.

    python benchmarks/feature_store.py [--width 32768] [--tokens 10_000_000] [--k 32] [--json]

The store is made of random codes, without a model: k features of each token, drawn by Zipf's law, so that some are
active on a tenth of all tokens and most on few; so are the tokens. A feature is opened as the page opens it: its row,
all of its activations, and the text around its examples.
"""

import argparse
import json
import statistics
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harvest import machine

from monosema.analysis import TokenTexts
from monosema.dashboard.examples import example_groups
from monosema.features import FeatureStore
from monosema.features.cofiring import Neighbours
from monosema.features.directions import neighbour_column
from monosema.features.layout import Index, write_index
from monosema.features.sorting import Sorter
from monosema.features.summary import summarise
from monosema.features.writing import ActivationWriter, TokenWriter, figure_columns, write_features
from monosema.kernels import RaggedCodes

CONTEXT, BLOCK, OPENED = 512, 8192, 300


def codes(width: int, k: int, rng: np.random.Generator, weights: np.ndarray) -> RaggedCodes:
    """Codes of a block of tokens: about k different features each, the frequent ones far more often."""
    drawn = np.searchsorted(weights, rng.random((BLOCK, k)))
    drawn.sort(axis=1)
    first = np.ones_like(drawn, dtype=bool)
    first[:, 1:] = drawn[:, 1:] != drawn[:, :-1]
    offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(first.sum(1))]))
    columns = torch.from_numpy(drawn[first])
    return RaggedCodes(offsets, columns, torch.from_numpy(rng.gamma(2, 2, len(columns)).astype(np.float32)), width)


def zipf(rng: np.random.Generator) -> np.ndarray:
    """Contexts of tokens, of 50,000 kinds."""
    return np.minimum(rng.pareto(1, (BLOCK // CONTEXT, CONTEXT)) * 10, 49_999).astype(np.int64)


def made(folder: Path, width: int, tokens: int, k: int) -> dict[str, float]:
    """Writes a store; the seconds that its parts take."""
    rng, clock, seconds = (
        np.random.default_rng(0),
        time.perf_counter,
        dict.fromkeys(("codes", "sorting", "merging"), 0.0),
    )
    share = 1 / (np.arange(width) + 30.0)
    weights = np.cumsum(rng.permutation(share / share.sum()))
    weights[-1] = 1
    blocks = tokens // BLOCK
    documents = np.repeat(np.arange(blocks * BLOCK // 2048 + 1, dtype=np.int32), 2048)[: blocks * BLOCK]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        sorter, texts = Sorter(Path(scratch), width), TokenTexts(None)
        with TokenWriter(folder) as writer:
            for number in range(blocks):
                begin = clock()
                drawn, ids = codes(width, k, rng, weights), zipf(rng)
                seconds["codes"] += clock() - begin
                begin = clock()
                part = slice(number * BLOCK, (number + 1) * BLOCK)
                writer.write(number * BLOCK // CONTEXT, documents[part], ids, [texts(row) for row in ids.tolist()])
                sorter.add(drawn, torch.arange(number * BLOCK, (number + 1) * BLOCK))
                seconds["sorting"] += clock() - begin
        begin, summaries = clock(), []
        with ActivationWriter(folder) as writer:
            for group in sorter.groups():
                writer.write(group, documents, CONTEXT)
                for own, (a, b) in enumerate(zip(group.offsets[:-1], group.offsets[1:], strict=True)):
                    summaries.append(summarise(group.first + own, group.tokens[a:b], group.values[a:b], CONTEXT))
        counts = sorter.counts()
    near = neighbour_column(Neighbours(np.zeros((width, 10), np.int32), np.zeros((width, 10), np.float32)))
    columns = {**figure_columns(counts, summaries, blocks * BLOCK), "together": near, "apart": near, "similar": near}
    write_features(folder, columns)
    about = {"dictionary": {"name": "random"}, "model": "none", "text": None, "context": CONTEXT}
    sizes = {"contexts": blocks * BLOCK // CONTEXT, "counted": blocks * BLOCK, "activations": int(counts.sum())}
    write_index(folder, Index(**about, **sizes, width=width, bins=40, intervals=5, cofiring_tokens=0))  # pyright: ignore[reportArgumentType]
    seconds["merging"] = clock() - begin
    return {part: round(found, 1) for part, found in seconds.items()}


def opened(folder: Path, width: int) -> dict[str, Any]:
    """Milliseconds that features take to open, from a store that was opened before, and the first one."""
    clock, features = time.perf_counter, np.random.default_rng(1).integers(0, width, OPENED).tolist()
    begin = clock()
    store, times = FeatureStore(folder), []
    for feature in features:
        row = store.feature(feature)
        example_groups(store, row, store.activations(row))
        times.append(1e3 * (clock() - begin))
        begin = clock()
    warm = sorted(times[1:])
    found = {
        "first": times[0],
        "median": statistics.median(warm),
        "p95": warm[int(0.95 * len(warm))],
        "slowest": warm[-1],
    }
    return {name: round(value, 1) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=32_768)
    parser.add_argument("--tokens", type=int, default=10_000_000)
    parser.add_argument("--k", type=int, default=32)
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    settings = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        seconds = made(folder, settings.width, settings.tokens, settings.k)
        sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.is_file()}
        times = opened(folder, settings.width)
        activations = FeatureStore(folder).index.activations
    result = {
        "date": date.today().isoformat(),
        "machine": machine(),
        "width": settings.width,
        "tokens": settings.tokens,
    }
    result |= {"activations": activations, "bytes": sizes, "seconds": seconds, "milliseconds_to_open": times}
    if settings.json:
        print(json.dumps(result, indent=2, ensure_ascii=False))
        return
    print(f"{activations:,} activations of {settings.width:,} features on {settings.tokens:,} tokens")
    print(f"seconds: {seconds}; MiB: { {name: round(size / 2**20) for name, size in sizes.items()} }")
    print(f"milliseconds to open a feature: {times}")


if __name__ == "__main__":
    main()
