"""The cost model of `monosema plan` beside what is measured here: time of a harvest, of training steps, of a store.

    python benchmarks/cost_model.py [--repeats 5] [--json]

One thread, and the processor's time rather than the clock's, so that others on the machine count little; medians. The
rates that predictions start from (products, copies) are measured in between, in the same way.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from harvest import machine

import monosema as ms
from monosema.activations import Keep
from monosema.activations.store import Harvester, Index, Place, StoreSource, new_store
from monosema.device import has_fast_bf16
from monosema.models import LoadedModel, blueprint, pass_cost
from monosema.models.blueprint import Held
from monosema.planning import DictionaryShape, Hardware, Mesh, hardware
from monosema.planning.dictionary import working_bytes
from monosema.planning.duration import reading_seconds, step_seconds
from monosema.planning.workload import ModelShape, Workload, stored_bytes
from monosema.recipes.topk import TopKRecipe
from monosema.runs.config import DictionaryConfig
from monosema.runs.workload import shape_of

CONTEXT, CONTEXTS, BATCH = 256, 16, 2048
SIZES = [
    (256, 4096, 512, 32),
    (256, 4096, 4096, 32),
    (256, 16_384, 2048, 32),
    (512, 16_384, 2048, 64),
    (1024, 8192, 2048, 16),
]
"""d, width, rows of a step, active features."""
FAST = has_fast_bf16(torch.device("cpu"))


def seconds_of(act: Callable[[], object], repeats: int) -> float:
    """The processor's, the median of some; the first call is left out."""
    act()
    found = []
    for _ in range(repeats):
        start = time.process_time()
        act()
        found.append(time.process_time() - start)
    return statistics.median(found)


def rates(repeats: int) -> Hardware:
    """What the processor does now, by its own time."""
    dtype = torch.bfloat16 if FAST else torch.float32
    x, y, out = (torch.ones(2048, 2048, dtype=dtype) for _ in range(3))
    wide, there, to = torch.ones(1024, 1024), torch.ones(2**25), torch.empty(2**25)
    return replace(
        hardware("cpu"),
        flops=2 * 2048**3 / seconds_of(lambda: torch.mm(x, y, out=out), repeats),
        flops32=2 * 1024**3 / seconds_of(lambda: torch.mm(wide, wide), repeats),
        bandwidth=2 * 2**27 / seconds_of(lambda: to.copy_(there), repeats),
    )


def step(d: int, width: int, rows: int, k: int, repeats: int) -> dict[str, Any]:
    """A training step, without AuxK, which depends on how many features are dead."""
    recipe = TopKRecipe(k=k, aux=0.0)
    data = {"x": torch.randn(rows, d)}
    learner = ms.Learner(
        ms.Spec.autoencoder("x", d=d, width=width), recipe, data, steps=1000, batch_size=rows, autocast=FAST
    )
    shape: DictionaryShape = shape_of(DictionaryConfig(recipe=recipe, site="x", width=width), {"x": d})
    found = seconds_of(lambda: learner.step(data), repeats)
    with Held(learner.dictionary) as held:
        learner.step(data)
    now, size = rates(3), 2 if FAST else 4
    return {
        "what": f"step d={d} width={width} batch={rows} k={k}",
        "predicted_seconds": step_seconds(shape, rows, now, size=size),
        "measured_seconds": found,
        "predicted_working_bytes": working_bytes(shape, rows, size=size, gpu=False),
        "measured_working_bytes": held.most,
        "rates": {"flops": now.flops, "flops32": now.flops32, "bandwidth": now.bandwidth},
    }


def workload(tokens: int, stored: int | None = None) -> Workload:
    """Reading `resid_post.2` of the embedded model."""
    model = blueprint("tiny", fast16=FAST)
    cost = pass_cost(model, ["resid_post.2"], CONTEXTS, CONTEXT)
    tokens_of_pass = CONTEXTS * CONTEXT
    shape = ModelShape(
        weights=0,
        parameters_run=cost.parameters,
        flops=cost.flops / tokens_of_pass,
        traffic=cost.traffic / tokens_of_pass,
        pass_bytes=cost.bytes,
        size=model.dtype.itemsize,
    )
    return Workload(
        dictionaries={},
        points=cost.widths,
        tokens=tokens,
        batch_size=BATCH,
        buffer=0,
        context=CONTEXT,
        shuffle=0,
        size=2,
        row_size=model.dtype.itemsize,
        model=shape,
        stored=stored,
    )


def contexts(model: LoadedModel, tokens: int) -> ms.MixedContexts:
    return ms.MixedContexts(ms.Contexts(model.tokenizer, "tiny:train", CONTEXT, repeat=True), tokens)


def reading(model: LoadedModel, tokens: int, repeats: int) -> dict[str, Any]:
    """Running the model."""
    source = ms.ModelSource(model, contexts(model, 2**21), ["resid_post.2"], batch_size=BATCH, buffer_rows=2 * tokens)
    next(source)
    found = seconds_of(lambda: list(islice(source, tokens // BATCH)), repeats)
    return _read("harvest, the model running", workload(tokens), found)


def storing(model: LoadedModel, tokens: int, repeats: int, folder: Path) -> list[dict[str, Any]]:
    """Writing a store, which is a harvest and a checksum, and reading it from the page cache."""
    text = contexts(model, 2**21)
    _ = text.position
    index = Index(
        made_from={}, points={"resid_post.2": 256}, dtype="bfloat16", context=CONTEXT, contexts=tokens // CONTEXT,
        shard_contexts=256, context_batch=CONTEXTS, norm_limits={},
    )  # fmt: skip
    harvester = Harvester(model, text, Place(folder), new_store(Place(folder), index), Keep())
    start = time.process_time()
    index = harvester.finish()
    writing = time.process_time() - start
    source = StoreSource(folder, batch_size=BATCH, window_rows=2**17, epochs=100)
    again = seconds_of(lambda: list(islice(source, tokens // BATCH)), repeats)
    size = stored_bytes(index.points, index.dtype)
    disk = {"what": "bytes of the store", "predicted_bytes": tokens * size, "measured_bytes": index.bytes}
    return [
        _read("writing a store", workload(tokens), writing),
        _read("reading the store", workload(tokens, stored=0), again),
        disk,
    ]


def _read(what: str, work: Workload, found: float) -> dict[str, Any]:
    predicted = reading_seconds(work, rates(3), Mesh())
    return {"what": what, "predicted_seconds": predicted, "measured_seconds": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=65_536)
    parser.add_argument("--json", action="store_true", help="print JSON in the place of a table")
    settings = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = ms.load_model("tiny", device="cpu")
    found = [step(*size, settings.repeats) for size in SIZES]
    found.append(reading(model, settings.tokens, settings.repeats))
    with tempfile.TemporaryDirectory() as folder:
        found += storing(model, settings.tokens, settings.repeats, Path(folder) / "store")
    if settings.json:
        kept = {"date": date.today().isoformat(), "machine": machine(), "threads": 1}
        print(json.dumps({**kept, "figures": found}, indent=2))
        return
    for figures in found:
        for kind in ("seconds", "working_bytes", "bytes"):
            if f"measured_{kind}" in figures:
                predicted, measured = figures[f"predicted_{kind}"], figures[f"measured_{kind}"]
                print(f"{figures['what']:45} {kind:14} {predicted:14,.4g} predicted {measured:14,.4g} measured "
                      f"{predicted / measured:8.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
