"""What it costs to write activations into a store and to read them again, beside running the model each time.

    python benchmarks/store.py [--tokens 524288] [--json]

`resid_post.2` of the embedded model in bfloat16 (d = 256), contexts of 256 tokens, shards of 65,536, a window of two
shards, batches of 4,096. The files are read from the page cache: a disk that is slower than that is the limit then.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any, get_args

import torch
from harvest import machine

import monosema as ms
from monosema.activations import Keep
from monosema.activations.store import Harvester, Index, Place, StoreSource, new_store
from monosema.activations.store.index import StoredDtype
from monosema.models import LoadedModel

POINT, D, CONTEXT, SHARD, BATCH = "resid_post.2", 256, 256, 65_536, 4096


def contexts(model: LoadedModel, tokens: int) -> ms.MixedContexts:
    return ms.MixedContexts(ms.Contexts(model.tokenizer, "tiny:train", CONTEXT), tokens)


def seconds_of(batches: Iterator[Any]) -> float:
    start = time.perf_counter()
    for _ in batches:
        pass
    return time.perf_counter() - start


def streamed(model: LoadedModel, tokens: int) -> float:
    """Tokens per second of a source that runs the model, its first filling left out."""
    source = ms.ModelSource(model, contexts(model, 2 * tokens), [POINT], batch_size=BATCH, buffer_rows=2 * SHARD)
    next(source)
    batches = tokens // BATCH
    return batches * BATCH / seconds_of(islice(source, batches))


def stored(model: LoadedModel, tokens: int, dtype: StoredDtype, folder: Path) -> dict[str, float]:
    """Figures of one store."""
    text = contexts(model, tokens)
    _ = text.position  # reads the text, before the clock starts
    index = Index(
        made_from={},
        points={POINT: D},
        dtype=dtype,
        context=CONTEXT,
        contexts=tokens // CONTEXT,
        shard_contexts=SHARD // CONTEXT,
        context_batch=16,
        norm_limits={},
    )
    place = Place(folder)
    harvester = Harvester(model, text, place, new_store(place, index), Keep())
    start = time.perf_counter()
    index = harvester.finish()
    writing = time.perf_counter() - start
    source = StoreSource(folder, batch_size=BATCH, window_rows=2 * SHARD, epochs=2)
    first = seconds_of(islice(source, source.rows // BATCH))  # the checksums are compared
    again = seconds_of(islice(source, source.rows // BATCH))
    return {
        "bytes_per_token": round(index.bytes / index.rows, 1),
        "written_per_second": round(index.rows / writing),
        "read_per_second_first": round(index.rows / first),
        "read_per_second": round(index.rows / again),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=524_288)
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    settings = parser.parse_args()
    model, found = ms.load_model("tiny", dtype="bfloat16"), {}
    torch.manual_seed(0)
    rate = streamed(model, settings.tokens)
    with tempfile.TemporaryDirectory() as folder:
        for dtype in get_args(StoredDtype):
            found[dtype] = stored(model, settings.tokens, dtype, Path(folder) / dtype)
    if settings.json:
        kept = {"date": date.today().isoformat(), "machine": machine(), "tokens": settings.tokens}
        print(json.dumps({**kept, "model_source_per_second": round(rate), "stores": found}, indent=2))
        return
    print(f"running the model: {rate:,.0f} tokens/s")
    for dtype, figures in found.items():
        size, written, first, again = figures.values()
        print(f"{dtype:10}{size:8.0f} bytes{written:10,.0f} written/s{first:12,.0f}, then{again:12,.0f} read/s")


if __name__ == "__main__":
    main()
